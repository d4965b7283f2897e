"""A real cluster tells a receiver of OTLP where the time of its scale-ups went."""

import pytest
from tests.e2e.cluster.fleet import Fleet, config

from rayfleet.testing.otlp import OtlpReceiver

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "traced"
WORK = """
import ray
ray.init()
@ray.remote(num_cpus=1)
def work():
    return 1
assert ray.get(work.remote()) == 1
"""


def test_a_scale_up_from_the_demand_to_the_first_task(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        fleet("up", config(fleet.folder, NAME))
        fleet.python(WORK, "--cluster", NAME)
        fleet.wait(lambda: any(name.startswith("scale up") and "head" not in name for name in receiver.spans()))
        fleet("down", NAME)
    spans = receiver.spans()
    (root,) = (span for name, span in spans.items() if name.startswith("scale up") and "head" not in name)
    mine = {name: span for name, span in spans.items() if span.trace_id == root.trace_id}
    (machine,) = (span for name, span in mine.items() if name.startswith("machine "))
    assert mine.keys() - {root.name, machine.name} == {"plan", "request", "provision", "boot", "wait for work"}
    # One look may find the machine and its node together: then the boot begins and ends with that look.
    assert mine["provision"].start_time_unix_nano < mine["boot"].end_time_unix_nano
    assert mine["provision"].end_time_unix_nano == mine["boot"].start_time_unix_nano
    assert root.end_time_unix_nano >= machine.end_time_unix_nano
    attributes = {each.key: each.value.string_value for each in root.attributes}
    assert (attributes["rayfleet.cluster"], attributes["rayfleet.reason"]) == (NAME, "tasks")
