"""A real cluster tells a webhook what is wrong with it; of a controller that was killed, a look from outside tells."""

import os
import signal
from collections.abc import Iterator

import pytest
from tests.e2e.cluster.fleet import Fleet, config

from rayfleet.testing.fake_receivers import WebhookServer

pytestmark = pytest.mark.ray

NAME = "told"
TOO_MUCH = """
import ray, rayfleet
ray.init()
rayfleet.request_resources(bundles=[{"CPU": 64}])
"""
ALERTING = """
monitoring_config:
  alerting:
    slack_webhook: file:hook
    webhook: {hanging}
    rules: {{unmet_demand: {{for_s: 3}}, controller_down: {{for_s: 2}}}}
"""


@pytest.fixture(scope="module")
def hooks(fleet: Fleet) -> Iterator[WebhookServer]:
    """Bring up a cluster whose people are one who listens and one who hangs."""
    with WebhookServer() as server:
        path = config(fleet.folder, NAME)
        hook = fleet.folder / "hook"
        hook.write_text(server.address("/s3cr3t"), encoding="utf-8")
        section = ALERTING.format(hanging=server.address("/hang")).replace("file:hook", f"file:{hook}")
        path.write_text(path.read_text(encoding="utf-8") + section, encoding="utf-8")
        fleet("up", path)
        yield server


def told(hooks: WebhookServer) -> list[str]:
    return [post.body["text"] for post in hooks.posts if post.path == "/s3cr3t"]


def test_work_that_nothing_can_serve_is_told_and_the_loop_goes_on(fleet: Fleet, hooks: WebhookServer) -> None:
    fleet.python(TOO_MUCH)
    fleet.wait(lambda: bool(told(hooks)))
    (text,) = told(hooks)
    assert text.startswith(
        "*[rayfleet] told: alert unmet_demand*\nWARNING: unmet_demand: 1 requested bundle of {CPU: 64} has waited"
    )
    (alert,) = fleet.json("alerts", "list", NAME)["firing"]
    assert (alert["rule"], alert["told_at"] is not None) == ("unmet_demand", True)
    tick = fleet.status(NAME)["tick"]
    fleet.wait(lambda: fleet.status(NAME)["tick"] > tick + 1)  # although somebody has not answered yet
    assert hooks.hangs.is_set()
    logs = fleet("logs", NAME).stdout
    assert "s3cr3t" not in logs


def test_a_killed_controller_is_told_of_from_outside(fleet: Fleet, hooks: WebhookServer) -> None:
    assert fleet("alerts", "check", NAME).stdout.startswith("ok    told: the controller looked")
    os.kill(fleet.controller(NAME), signal.SIGKILL)
    fleet.wait(lambda: fleet("alerts", "check", NAME, check=False).returncode == 1)
    assert told(hooks)[1].startswith(
        "*[rayfleet] told: alert controller_down*\nCRITICAL: controller_down: the controller"
    )
    fleet("up", NAME)
    assert fleet("alerts", "check", NAME).returncode == 0
    seen = fleet.status(NAME)["tick"]
    fleet.wait(lambda: fleet.status(NAME)["tick"] > seen + 2)
    assert len([text for text in told(hooks) if "alert unmet_demand" in text]) == 1  # nothing is said twice
