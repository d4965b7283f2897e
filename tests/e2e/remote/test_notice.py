"""A spot machine that is told, on itself, that it will be taken away drains its own node, and is replaced in time."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.e2e.remote.cloud import Aws

from rayfleet.testing.clouds.aws import Instance

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.timeout(400)]

NOTICE = timedelta(minutes=5)
"""The cloud says two minutes; a busy machine may need more of them for its own work."""
MARKED = timedelta(minutes=2)
"""The emulator's end of a machine comes so long after the mark."""
SPOT = {"InstanceType": "m5.large", "InstanceMarketOptions": {"MarketType": "spot"}}


HOLD = """
import time, ray
ray.init(logging_level="error")

@ray.remote(num_cpus=1)
class Holder:
    def ready(self): return 1

kept = [Holder.remote() for _ in range(2)]
ray.get([each.ready.remote() for each in kept])
open("/tmp/held", "w").close()
time.sleep(600)
"""
"""Two actors: one CPU is the head's, one the worker's."""


def test_a_spot_machine_s_own_notice_drains_its_node_before_the_end(aws: Aws) -> None:
    """The cloud's listing shows nothing of it here, as it comes later: it is the machine itself that knows."""
    head = {"resources": {"CPU": 1}, "node_config": {"InstanceType": "m5.large"}}
    worker = {"resources": {"CPU": 1}, "node_config": SPOT, "min_workers": 1, "max_workers": 2}
    aws.write(available_node_types={"head": head, "worker": worker})
    (aws.folder / "hold.py").write_text(HOLD, encoding="utf-8")
    aws.rayfleet("up", "cloud.yaml", "--json", "--timeout", "300")
    aws.until(lambda: len(aws.workers()) == 1)
    (name,) = aws.workers()
    driver = aws.begin("submit", "cloud.yaml", "hold.py")
    here = aws.machines.host(aws.emulator.account.living()[0].private_address)
    aws.until(lambda: here.run(["ls", "/tmp"]).stdout.count("held"))
    (first,) = spot_machines(aws)
    first.spot_request = ""  # a listing of spot requests has no more to say of it
    ends = datetime.now(UTC) + NOTICE
    aws.emulator.interrupt(first, f"{ends - MARKED:%FT%TZ}")
    aws.until(lambda: "the provider takes it back in" in aws.rayfleet("why", "cloud.yaml", name).stdout)
    aws.until(lambda: len(spot_machines(aws)) == 2)
    assert first.exists, "its place is taken while it still works"
    there = aws.machines.host(first.private_address)
    assert there.run(["sh", "-c", "cat ~/.rayfleet/cloudy/notice.*.log"]).stdout.rstrip().endswith("drained")
    driver.terminate()
    driver.wait()
    here.run(["sh", "-c", "for pid in $(pgrep -f '[h]old.py'); do kill $pid; done"])
    aws.until(lambda: not first.exists)
    assert datetime.now(UTC) < ends, "it was given back before the cloud would have taken it"
    assert json.loads(aws.rayfleet("down", "cloud.yaml", "--json").stdout)["ok"]
    assert aws.is_empty()


def spot_machines(aws: Aws) -> list[Instance]:
    return [each for each in aws.emulator.account.living() if each.market == "spot"]
