"""`rayfleet status`: the sections that users know, in full, and the same as data."""

import json
from dataclasses import replace
from datetime import UTC

import jsonschema
import pytest
from tests.unit.reports.examples import CPU4, QUIET, REPORT

from rayfleet.model import Plan, TickReport
from rayfleet.reports.amounts import amount, duration, shape
from rayfleet.reports.status_text import status_json, status_schema, status_text

EVENTFUL = """\
======== Autoscaler status: 2023-11-14 22:13:20.250000 ========
Node status
---------------------------------------------------------------
Healthy:
 1 head
 2 cpu4
Pending:
 cpu4, 1 launching
 c2: cpu4, starting Ray for 30 s
Leaving:
 c3: cpu4, draining (idle for 61 s (time-out 60 s))
Recent failures:
 gpu1: OutOfStock (no gpu1 left)

Resources
---------------------------------------------------------------
Usage:
 1/12 CPU
 0B/6GiB memory

Demands:
 {CPU: 1}: 2 pending tasks/actors
 {CPU: 64}: 3 pending tasks/actors on {tier: batch}
 {CPU: 1} * 2 (STRICT_SPREAD): 2 pending placement groups
 {CPU: 1}: 8 from request_resources()

Reasons:
 launch 1 cpu4: 2 tasks wait for machines
 drain c3: idle for 61 s (time-out 60 s)
 release c4: was released 21 s ago and still exists
 3 x {CPU: 64} wait: no pool can ever hold {CPU: 64}
    cpu4: has 4 CPU, 64 are needed

Orders:
 scale cpu4 3, by ann (benchmark)

Back-offs:
 gpu1 on a: 30 s more after OutOfStock

Cost:
 2.00 USD/h now, 2.50 USD/h after this plan, 1 machines without a price

Troubles:
 provider fake: try again"""


def test_an_eventful_report() -> None:
    assert status_text(REPORT, UTC) == EVENTFUL


OF_NODES = """
Node: head (head)
 Id: 0123abcdhead
 Usage:
  0/4 CPU
  0B/2GiB memory
 Idle: 12 s
 Activity:
  (no activity)

Node: c1 (cpu4)
 Id: 0123abcdc1
 Usage:
  1/4 CPU
  0B/2GiB memory
 Activity:
  CPU in use
"""


def test_what_is_in_use_on_each_node_when_it_is_asked_for() -> None:
    """The head first; c2 boots, and Ray knows nothing of it."""
    text = status_text(REPORT, UTC, verbose=True)
    before, _, after = EVENTFUL.partition("\nReasons:\n")
    assert text.startswith(before)
    assert text.endswith(after)
    nodes = text.removeprefix(before).partition("\nReasons:\n")[0]
    assert nodes.startswith(OF_NODES)
    assert nodes.count("Node: ") == 3
    assert "Node: " not in status_text(QUIET, UTC, verbose=True)


def test_an_empty_cluster() -> None:
    text = status_text(QUIET, UTC)
    for line in ("(no healthy nodes)", "(no pending nodes)", "(no failures)", "(no resource demands)"):
        assert f"\n {line}" in text
    assert "Reasons:" not in text


def test_what_was_held_is_said() -> None:
    text = status_text(replace(REPORT, saved=False), UTC)
    assert " launch 1 cpu4: 2 tasks wait for machines (held: the ledger cannot be written)" in text


def test_a_tick_that_failed_shows_what_was_seen_and_the_error() -> None:
    text = status_text(replace(REPORT, plan=Plan(), error="Traceback\nKeyError: 'x'\n"), UTC)
    assert " the last tick failed: KeyError: 'x'" in text
    assert "\n 2 cpu4" in text  # ready before this tick; nothing was decided in it


def test_a_silent_engine_is_no_empty_queue() -> None:
    down = replace(QUIET, snapshot=replace(QUIET.snapshot, engine_up=False))
    assert "(unknown: Ray does not answer)" in status_text(down, UTC)


def test_long_sections_are_cut_and_counted() -> None:
    demand = replace(REPORT.snapshot.demand, tasks=REPORT.snapshot.demand.tasks[:1] * 50)
    text = status_text(replace(REPORT, snapshot=replace(REPORT.snapshot, demand=demand)), UTC)
    assert text.count("pending tasks/actors") == 20
    assert " ... and 32 more" in text


# ---- as data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", [REPORT, QUIET, replace(REPORT, error="Traceback ...", plan=Plan())])
def test_the_data_is_json_that_keeps_to_its_schema(report: TickReport) -> None:
    data = json.loads(json.dumps(status_json(report)))
    jsonschema.Draft202012Validator.check_schema(status_schema())
    jsonschema.validate(data, status_schema())


def test_machines_as_data() -> None:
    data = status_json(REPORT)
    machines = {machine["id"]: machine for machine in data["machines"]}
    assert list(machines) == ["head", "c1", "c2", "c3", "c5", "c6"]
    assert (machines["c3"]["phase"], machines["c3"]["reason"]["code"]) == ("DRAINING", "idle")
    assert (machines["c1"]["used"], machines["c1"]["reason"]["code"]) == ({"CPU": 1}, "busy")
    assert machines["c1"]["resources"] == CPU4.amounts()
    assert machines["c6"]["machine_id"] is None


def test_pools_resources_and_demand_as_data() -> None:
    data = status_json(REPORT)
    pool = data["pools"][0]
    assert (pool["name"], pool["ready"], pool["starting"], pool["leaving"]) == ("cpu4", 2, 2, 1)
    assert data["resources"]["CPU"] == {"used": 1, "total": 12}
    assert data["demand"]["tasks"][1] == {
        "shape": {"CPU": 64}, "count": 3, "selectors": [{"tier": "batch"}], "age_s": 90.0,
    }  # fmt: skip
    assert data["unmet"][0]["pools"] == [
        {"pool": "cpu4", "reason": {"code": "too_small", "text": "has 4 CPU, 64 are needed"}}
    ]


# ---- amounts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "value", "text"),
    [("CPU", 0.5, "0.5"), ("CPU", 16, "16"), ("memory", 2e9, "1.863GiB"), ("object_store_memory", 0, "0B")],
)
def test_amounts_are_readable(resource: str, value: float, text: str) -> None:
    assert amount(resource, round(value * 10_000)) == text


def test_shapes_are_readable() -> None:
    assert shape(CPU4) == "{CPU: 4, memory: 2GiB}"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")])
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
