"""`rayfleet why`: a pool, a machine by any of its names, a shape, or everything."""

from dataclasses import replace

import pytest
from tests.unit.reports.examples import QUIET, REPORT

from rayfleet.model import Resources
from rayfleet.reports.events import events_of
from rayfleet.reports.why import parse_shape, why

EVENTS = events_of(REPORT)


def test_a_pool_says_how_many_why_and_what_it_refuses() -> None:
    lines = why(REPORT, "cpu4", EVENTS)
    assert lines[0] == "pool cpu4 {CPU: 4, memory: 2GiB}: 2 ready, 2 starting, 1 leaving; minimum 0, maximum 4"
    assert "launches 1: 2 tasks wait for machines" in lines
    assert "does not take 3 x {CPU: 64}: has 4 CPU, 64 are needed" in lines
    assert "0 s ago: launch 1 cpu4: 2 tasks wait for machines" in lines


def test_a_pool_that_backs_off_says_so() -> None:
    assert "is not asked for 30 s: OutOfStock no gpu1 left" in why(REPORT, "gpu1")


@pytest.mark.parametrize("name", ["c1", "m-c1", "0123abcdc1"])
def test_a_machine_answers_to_each_of_its_names(name: str) -> None:
    lines = why(REPORT, name)
    assert lines[0] == "c1 (cpu4) is READY for 30 s: in use: {CPU: 1}"
    assert "  machine m-c1, node 0123abcdc1" in lines
    assert "  CPU in use" in lines


def test_a_machine_on_its_way_says_what_for() -> None:
    assert "  expected to take 2 of tasks demand 0" in why(REPORT, "c2")


def test_a_machine_that_leaves_says_why_and_until_when() -> None:
    lines = why(REPORT, "c3", EVENTS)
    assert lines[0] == "c3 (cpu4) is DRAINING for 0 s: idle for 61 s (time-out 60 s)"
    assert "  is released in 45 s at the latest" in lines
    assert "0 s ago: drain c3: idle for 61 s (time-out 60 s)" in lines


def test_a_machine_that_is_gone_is_told_from_the_record() -> None:
    lines = why(REPORT, "c9", EVENTS)
    assert lines == ["c9 is not here (any more)", "0 s ago: c9: machine m-c9 carried our tag but had no claim"]


def test_a_code_says_what_it_means_and_what_to_do() -> None:
    lines = why(REPORT, "idle")
    assert lines[0].startswith("idle: Nothing has run on the machine for longer than the time-out")
    assert "  idle_timeout_s: the time-out that holds for its pool, in seconds" in lines
    assert lines[-1].startswith("what to do: To keep idle machines longer: `rayfleet set idle_timeout_s=N`")


@pytest.mark.parametrize("text", ["{CPU: 64}", '{"CPU": 64}', "CPU:64", "CPU=64", "CPU: 64.0"])
def test_a_shape_that_nothing_holds_names_each_pool(text: str) -> None:
    lines = why(REPORT, text)
    assert lines == [
        "{CPU: 64}: 3 tasks, 0 placement groups and 0 requested bundles wait",
        "3 x {CPU: 64} wait: no pool can ever hold {CPU: 64}",
        "  cpu4: has 4 CPU, 64 are needed",
    ]


def test_a_shape_that_is_served_says_so() -> None:
    assert why(REPORT, "CPU:1") == [
        "{CPU: 1}: 2 tasks, 2 placement groups and 8 requested bundles wait",
        "machines for all of it exist or are on their way (pools that fit: cpu4)",
    ]


def test_a_shape_that_nobody_wants_says_who_would_take_it() -> None:
    assert why(REPORT, "{GPU: 1}")[-1] == "pools that fit: gpu1"


def test_everything_is_what_waits_starts_leaves_and_stays() -> None:
    lines = why(REPORT)
    assert lines[0] == "trouble: provider fake: try again"
    assert "c3 (cpu4) is DRAINING for 0 s: idle for 61 s (time-out 60 s)" in lines
    assert "c1 stays: in use: {CPU: 1}" in lines


def test_nothing_to_say() -> None:
    assert why(QUIET) == ["nothing waits, nothing starts, nothing leaves"]


def test_an_unknown_name_gets_a_suggestion() -> None:
    assert why(REPORT, "cpu5") == ["there is no pool, machine or shape cpu5; did you mean cpu4?"]
    assert "pools: cpu4, gpu1" in why(QUIET, "zebra")[0]


def test_a_foreign_node_is_told_apart() -> None:
    snapshot = REPORT.snapshot
    foreign = replace(snapshot.claims[1], id="node-ff", foreign=True)
    shown = replace(REPORT, snapshot=replace(snapshot, claims=(*snapshot.claims, foreign)))
    assert "joined by hand" in why(shown, "node-ff")[0]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ('{"CPU": 1, "GPU": 0.5}', {"CPU": 1, "GPU": 0.5}),
        ("{CPU: 1, node:head: 0.001}", {"CPU": 1, "node:head": 0.001}),
        ("CPU=1,GPU=2", {"CPU": 1, "GPU": 2}),
        ("m3", None),
        ("CPU:many", None),
        ("CPU=inf", None),
        ("[1]", None),
        ("", None),
    ],
)
def test_shapes_are_read_as_people_write_them(text: str, shape: dict[str, float] | None) -> None:
    assert parse_shape(text) == (None if shape is None else Resources.of(shape))
