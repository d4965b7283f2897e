"""`rayfleet up` is killed in the middle, again and again: there is one head all the same; `down` finds everything."""

import json
import time
from collections.abc import Callable

import pytest
from tests.e2e.remote.cloud import Aws
from tests.e2e.remote.laptop import PATIENCE_S

from rayfleet.testing.clouds.aws import Fault
from rayfleet.testing.hosts import Host

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

FOLDER = ".local/state/rayfleet/clusters/cloudy"


def killed(aws: Aws, happened: Callable[[], object]) -> None:
    """Begin an `up` and kill it when something has happened."""
    child = aws.begin("up", "cloud.yaml", "--yes")
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert child.poll() is None, f"up ended with {child.returncode} before"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()


def launching(aws: Aws, late_s: float = 3.0) -> Callable[[], bool]:
    """Say when the launch has been asked for; it is carried out some seconds later."""
    late = Fault("RunInstances", delay_s=late_s)
    aws.emulator.fault(late)
    return lambda: late.times == 0


def heads(aws: Aws) -> int:
    """Return how many heads there ever were."""
    return sum(each.tags["rayfleet-head"] == "yes" for each in aws.emulator.account.instances.values())


def head_host(aws: Aws) -> Host | None:
    living = aws.living()
    return aws.machines.host(living[0].address) if living else None


def has(aws: Aws, name: str) -> bool:
    """Say whether the head's home has a file."""
    host = head_host(aws)
    return host is not None and host.path(f"{host.home}/{name}").exists()


def test_killed_while_launching_and_down(aws: Aws) -> None:
    """The instance is made after its `up` is dead; `down` sees to it."""
    killed(aws, launching(aws))
    aws.wait(lambda: len(aws.living()) == 1)
    assert json.loads(aws.rayfleet("down", "cloud.yaml", "--json").stdout)["ok"]
    assert aws.is_empty()


def test_killed_while_launching_and_down_before_the_launch_has_happened(aws: Aws) -> None:
    killed(aws, launching(aws, late_s=20))
    ended = aws.begin("down", "cloud.yaml")
    before = heads(aws)
    aws.wait(lambda: heads(aws) > before)
    ended.wait()
    assert aws.is_empty()


def test_killed_at_every_stage_and_up(aws: Aws) -> None:
    """The launch is repeated with its token; what was done on the head is not done again."""
    before = heads(aws)
    killed(aws, launching(aws))
    killed(aws, lambda: has(aws, "set_up"))
    killed(aws, lambda: has(aws, f"{FOLDER}/cluster.yaml"))
    killed(aws, lambda: has(aws, f"{FOLDER}/controller.json"))
    aws.rayfleet("up", "cloud.yaml", "--yes", "--json", "--timeout", "300")
    assert heads(aws) - before == 1
    assert [each.head for each in aws.living()] == [True]
    assert "1 head" in aws.rayfleet("exec", "cloud.yaml", "ray status").stdout


def test_down_finds_all_of_it(aws: Aws) -> None:
    assert json.loads(aws.rayfleet("down", "cloud.yaml", "--json").stdout)["ok"]
    assert aws.is_empty()
