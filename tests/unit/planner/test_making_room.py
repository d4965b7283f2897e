"""At a limit an idle machine that nobody needs does not keep out, for its whole time-out, what work waits for."""

from typing import Any

import pytest
from tests.unit.planner.looking import kept, launched, leaving, planned, sound_plan

from rayfleet.model import Disruption, DisruptionBudget, Drain, FrozenMap, PendingThreshold, Phase, ReasonCode, reason
from rayfleet.planner.invariants import check
from rayfleet.testing.carrying_out import carried_out
from rayfleet.testing.snapshots import buffer, claim, gang, pool, requested, snapshot, tasks

CPU = pool("cpu", 1.0, CPU=4)
GPU = pool("gpu", 3.0, GPU=1, CPU=4)
IDLE: dict[str, Any] = {"idle_s": 5.0}
ROOM = {"m1": ReasonCode.MAKES_ROOM}


@pytest.mark.parametrize(
    "limits",
    [
        {"max_workers": 1},
        {"max_usd_per_hour": 3.0},
        {"max_usd_per_day": 72.0},
        {"max_resources": FrozenMap({"CPU": 4 * 10_000})},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "work", [tasks(1, GPU=1), requested(1, GPU=1), gang("PACK", {"GPU": 1}), gang("STRICT_SPREAD", {"GPU": 1})]
)
def test_it_leaves_and_the_next_plan_launches(limits: dict[str, Any], work: Any) -> None:
    first = snapshot(CPU, GPU, claim("m1", "cpu", **IDLE), work, **limits)
    made = sound_plan(first)
    assert (leaving(made), launched(made)) == (ROOM, {})
    assert made.drains[0].voluntary
    assert sound_plan(snapshot(CPU, GPU, *made.claims, work, **limits)).actions == ()
    assert launched(sound_plan(carried_out(first, made))) == {"gpu": 1}


def test_the_reason_names_the_limit() -> None:
    made = planned(CPU, GPU, claim("m1", "cpu", **IDLE), tasks(1, GPU=1), max_workers=1)
    assert made.drains[0].reason.text == "is idle and makes room for what waits; the cluster is at its maximum of 1"


def test_only_as_many_leave_as_make_room_and_the_longest_idle_first() -> None:
    idle = [claim(f"m{n}", "cpu", idle_s=5.0 + n) for n in range(4)]
    assert set(leaving(planned(CPU, GPU, *idle, tasks(2, GPU=1), max_workers=4))) == {"m3", "m2"}
    assert set(leaving(planned(CPU, GPU, *idle, tasks(1, GPU=1), max_usd_per_hour=4.0))) == {"m1", "m2", "m3"}
    assert set(leaving(planned(CPU, GPU, *idle, gang("PACK", *[{"GPU": 1}] * 3), max_workers=4))) == {"m1", "m2", "m3"}


def test_nobody_leaves_for_a_gang_that_would_not_fit_all_the_same() -> None:
    idle = [claim(f"m{n}", "cpu", **IDLE) for n in range(2)]
    assert leaving(planned(CPU, GPU, *idle, gang("STRICT_SPREAD", *[{"GPU": 1}] * 3), max_workers=2)) == {}


def test_what_is_leaving_already_makes_the_room() -> None:
    away = claim(
        "m2", "cpu", Phase.DRAINING, drain=Drain(reason(ReasonCode.IDLE, idle_s=1, idle_timeout_s=1), 999.0, 1100.0)
    )
    made = planned(CPU, GPU, claim("m1", "cpu", **IDLE), away, tasks(1, GPU=1), max_workers=2)
    assert leaving(made) == {}


def test_where_a_pool_is_full_its_idle_machine_in_another_zone_leaves() -> None:
    zones = {"a": {"ray.io/availability-zone": "a"}, "b": {"ray.io/availability-zone": "b"}}
    one = pool("cpu", CPU=4, max_workers=1, labels=zones["a"])
    other = pool("cpu", CPU=4, max_workers=1)
    there = claim("m1", "cpu", labels=zones["a"], **IDLE)
    assert leaving(planned(one, there, tasks(1, zones["b"], CPU=1))) == {}  # no machine of it would have that label
    assert leaving(planned(other, claim("m1", "cpu", total={"CPU": 2}, **IDLE), tasks(1, CPU=4))) == ROOM


KEPT: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = [
    ("below the limit", {}, {"max_workers": 2}, ()),
    ("in use", {"used": {"CPU": 1}, "idle_s": 0.0}, {}, ()),
    ("do not disrupt", {"do_not_disrupt": True}, {}, ()),
    ("refused just now", {"retry_at": 1001.0}, {}, ()),
    ("idle for a moment", {"idle_s": 1.0}, {}, ()),
    ("holds a buffer", {}, {"buffers": (buffer(1, CPU=1),)}, ()),
    ("is needed", {}, {}, (tasks(1, CPU=1),)),
    ("scale-down use", {}, {"scale_down_utilization": 0.1, "max_workers": 2}, (claim("m2", "cpu", used={"CPU": 4}),)),
]


@pytest.mark.parametrize(("facts", "fields", "more"), [case[1:] for case in KEPT], ids=[case[0] for case in KEPT])
def test_it_stays(facts: dict[str, Any], fields: dict[str, Any], more: tuple[Any, ...]) -> None:
    there = claim("m1", "cpu", **{**IDLE, **facts})
    made = planned(CPU, GPU, there, tasks(1, GPU=1), *more, **{"max_workers": 1, **fields})
    assert leaving(made) == {}
    assert "m1" in kept(made)


def test_minimums_and_disruption_budgets_hold() -> None:
    least = pool("cpu", 1.0, CPU=4, min_workers=1)
    assert leaving(planned(least, GPU, claim("m1", "cpu", **IDLE), tasks(1, GPU=1), max_workers=1)) == {}
    for budget, leaves in [
        (DisruptionBudget(0), {}),
        (DisruptionBudget(0, reasons=(Disruption.IDLE,)), {}),
        (DisruptionBudget(0, reasons=(Disruption.DRIFTED,)), ROOM),
    ]:
        there = claim("m1", "cpu", **IDLE)
        made = planned(CPU, GPU, there, tasks(1, GPU=1), max_workers=1, disruption_budgets=(budget,))
        assert leaving(made) == leaves


@pytest.mark.parametrize(
    ("work", "fields"),
    [
        (tasks(1, GPU=2), {}),
        (tasks(1, GPU=1), {"scale_up_pending_threshold": PendingThreshold(5)}),
        (tasks(1, GPU=1), {"max_resources": FrozenMap({"GPU": 0})}),
        (tasks(1, GPU=1), {"max_launches_per_min": 0}),
    ],
    ids=["too big", "too few wait", "another limit", "too many launches"],
)
def test_nobody_leaves_for_what_could_not_be_launched_all_the_same(work: Any, fields: dict[str, Any]) -> None:
    assert leaving(planned(CPU, GPU, claim("m1", "cpu", **IDLE), work, max_workers=1, **fields)) == {}


def test_the_check_of_plans_knows_what_may_not_make_room() -> None:
    of = snapshot(CPU, GPU, claim("m1", "cpu", **IDLE), tasks(1, GPU=1), max_workers=1)
    made = sound_plan(of)
    busy = snapshot(CPU, GPU, claim("m1", "cpu", used={"CPU": 1}), tasks(1, GPU=1), max_workers=1)
    assert "what is in use is not released for being idle" in check(busy, made)[0].reason.text


def test_nobody_leaves_where_those_that_have_to_stay_keep_it_useless() -> None:
    """Two places are wanted; room to spare lets one of the two idle machines go."""
    parts: list[Any] = [pool("p", CPU=4), pool("w", GPU=1, hosts_per_replica=2), tasks(1, GPU=1)]
    machines = [claim("a", "p", idle_s=9.0), claim("b", "p", idle_s=8.0), claim("c", "p", used={"CPU": 2})]
    assert leaving(planned(*parts, *machines, max_workers=3)) == dict.fromkeys("ab", ReasonCode.MAKES_ROOM)
    assert leaving(planned(*parts, *machines, max_workers=3, scale_down_utilization=0.3)) == {}
