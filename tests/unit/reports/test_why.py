"""`rayfleet why`: a pool, a machine by any of its names, a shape, or everything."""

import re
from dataclasses import replace

import pytest
from tests.unit.reports.examples import QUIET, REPORT

from rayfleet.model import Resources, TickReport
from rayfleet.planner import plan
from rayfleet.planner.whynot import Question
from rayfleet.reports.events import events_of
from rayfleet.reports.why import NothingLike, parse_shape, why, why_shape
from rayfleet.testing.snapshots import offer, pool, snapshot, tasks

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
        "  3 without a place: no pool can ever hold {CPU: 64}",
        (
            "  what to do: Ask for less, or add a pool (or labels) that fits to the cluster's file, "
            "and `rayfleet up FILE` again."
        ),
        "  cpu4 (on-demand)  no price  has 4 CPU, 64 are needed",
        "  gpu1 (on-demand)  no price  has 0 CPU, 64 are needed",
    ]


def test_a_shape_that_is_served_says_so() -> None:
    lines = why(REPORT, "CPU:1")
    assert lines[:2] == [
        "{CPU: 1}: 2 tasks, 2 placement groups and 8 requested bundles wait",
        "  2 on machines that exist or are on their way (c2)",
    ]
    assert lines[2].endswith("not needed: machines that exist or are on their way have room (2 on c2)")


def test_a_shape_that_nobody_wants_says_who_would_take_it() -> None:
    lines = why(QUIET, "{GPU: 1}")
    assert lines[1:3] == ["if one more task of {GPU: 1} waited:", "  1 machine launched"]
    assert lines[-1].endswith("1 machine launched for it")


def test_everything_is_what_waits_starts_leaves_and_stays() -> None:
    lines = why(REPORT)
    assert lines[0] == "trouble: provider fake: try again"
    assert "c3 (cpu4) is DRAINING for 0 s: idle for 61 s (time-out 60 s)" in lines
    assert "c1 stays: in use: {CPU: 1}" in lines


def test_nothing_to_say() -> None:
    assert why(QUIET) == ["nothing waits, nothing starts, nothing leaves"]


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(NothingLike, match="there is no pool, machine, shape or reason cpu5") as caught:
        why(REPORT, "cpu5")
    assert caught.value.hint == "did you mean cpu4 or c5?"
    with pytest.raises(NothingLike) as caught:
        why(QUIET, "zebra")
    assert caught.value.hint == "pools: cpu4, gpu1; machines: none"


def test_what_is_unmet_says_what_to_do_once() -> None:
    twice = replace(REPORT, plan=replace(REPORT.plan, unmet=REPORT.plan.unmet * 2))
    lines = why(twice)
    assert [line for line in lines if "what to do" in line] == [
        (
            "  what to do: Ask for less, or add a pool (or labels) that fits to the cluster's file, "
            "and `rayfleet up FILE` again."
        )
    ]


def test_a_shape_and_a_pool_are_one_line_for_each_offer_of_it() -> None:
    lines = why_shape(REPORT, Question(Resources.of({"CPU": 64})), "gpu1")
    assert [line for line in lines if "GPU" in line or "gpu1" in line] == [
        "  gpu1 (on-demand)  no price  has 0 CPU, 64 are needed"
    ]
    with pytest.raises(NothingLike, match="there is no pool gpu2") as caught:
        why_shape(REPORT, Question(Resources.of({"CPU": 64})), "gpu2")
    assert caught.value.hint == "did you mean gpu1?"


def test_offers_of_one_pool_about_which_the_same_is_said_are_one_line_and_many_lines_are_cut() -> None:
    zones = pool("zoned", CPU=1, offers=tuple(offer(0.1 * n, f"z{n}") for n in range(1, 4)))
    pools = [pool(f"p{n:02}", 1.0, CPU=1) for n in range(60)]
    of = snapshot(zones, *pools, tasks(1, CPU=2))
    lines = why(TickReport(1, "demo", of, plan(of)), "CPU=2")
    assert any(re.match(r"  zoned \(all 3 offers\) +from 0.1 USD/h +has 1 CPU, 2 are needed", line) for line in lines)
    assert lines[-1] == "  ... and 21 more"


def test_a_pool_says_why_it_is_not_launched_for_what_waits() -> None:
    of = snapshot(pool("small", 0.2, CPU=4), pool("large", 0.9, CPU=16), tasks(3, CPU=1))
    lines = why(TickReport(1, "demo", of, plan(of)), "large")
    assert any(line.startswith("is not launched for 3 x {CPU: 1}: dearer by 0.7 USD/h") for line in lines)
    assert not any(line.startswith("is not launched") for line in why(TickReport(1, "demo", of, plan(of)), "small"))


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
