"""The checker itself: a sound plan, one thing in it changed, and the one rule that this breaks."""

from dataclasses import replace
from typing import Any

import pytest

from rayfleet.model import (
    Claim,
    Disruption,
    DisruptionBudget,
    Drain,
    DrainNodes,
    FrozenMap,
    How,
    Phase,
    Plan,
    Pool,
    ReasonCode,
    Release,
    Snapshot,
    Spent,
    reason,
)
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.testing.snapshots import buffer, claim, gang, pool, requested, snapshot, tasks

CPU4 = pool("cpu4", 1.0, CPU=4)
IDLE = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
EXPIRED = reason(ReasonCode.EXPIRED, age_s=70.0, max_age_s=60.0)
HALF = 86400.0 + 43200.0


def rules(of: Snapshot, made: Plan) -> list[tuple[str, object]]:
    return [(finding.subject, finding.reason.details["rule"]) for finding in check(of, made)]


def broken(of: Snapshot, **changes: Any) -> list[tuple[str, object]]:
    """Return the rules that a plan breaks in which these fields are others; as it is it breaks none."""
    made = plan(of)
    assert rules(of, made) == []
    return rules(of, replace(made, **changes))


def whole(**changes: Any) -> tuple[Snapshot, Plan]:
    of = snapshot(CPU4, tasks(8, CPU=1), **changes)
    return of, plan(of)


def released(of: Claim, why: object = IDLE) -> Release:
    return Release(of.id, tuple(h.id for h in of.hosts), (), None, How.NOW, why)  # type: ignore[arg-type]  # a Reason


def drained(of: Claim, why: object = IDLE, *, voluntary: bool = True) -> DrainNodes:
    return DrainNodes(of.id, tuple(h.id for h in of.hosts), (), 1300.0, why, voluntary)  # type: ignore[arg-type]


# ---- records ---------------------------------------------------------------------------------------------------------


def test_launches_and_claims_belong_together() -> None:
    of, made = whole()
    (launch,), (first, second) = made.launches, made.claims
    twice_written = replace(made, claims=(*made.claims, second))
    assert rules(of, twice_written) == [("claims", "ids are unique")]
    assert check(of, twice_written)[0].reason.text.endswith("a claim is written twice")
    assert rules(of, replace(made, claims=(first,))) == [
        (launch.batch, "claims are saved before they are launched"),
    ]
    assert rules(of, replace(made, launches=(replace(launch, count=3),)))[0] == (
        launch.batch,
        "launches count machines",
    )
    twice = replace(launch, claims=(first.id,), count=1, again=True)
    assert rules(of, replace(made, launches=(launch, twice)))[0] == (first.id, "a claim is launched once")
    assert rules(of, replace(made, serial=99)) == [("serial", "never falls")]
    assert rules(of, replace(made, serial=100)) == []


def test_a_launch_that_is_asked_again_may_be_of_claims_that_exist_and_no_other() -> None:
    of = snapshot(CPU4, claim("m1", "cpu4", Phase.REQUESTED, batch="b", machine=None, listed_at=950.0), tasks(4, CPU=1))
    fresh = plan(snapshot(CPU4, tasks(4, CPU=1))).launches[0]
    again = replace(fresh, claims=("m1",), again=True)
    assert broken(of, launches=(again,)) == []
    assert broken(of, launches=(replace(again, again=False),)) == [(again.batch, "new machines get new names")]


# ---- what leaves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "why", "rule"),
    [
        ({"foreign": True}, ReasonCode.DRIFTED, "machines joined by hand stay"),
        ({"head": True}, ReasonCode.DRIFTED, "the head stays"),
        ({"head": True}, ReasonCode.UNNEEDED, "the head stays"),
        ({"head": True}, ReasonCode.OVER_MAX, "the head stays"),
        ({"head": True}, ReasonCode.OVER_BUDGET, "the head stays"),
        ({"head": True}, ReasonCode.SHUTDOWN, None),
        ({"used": {"CPU": 1}}, ReasonCode.IDLE, "what is in use is not released for being idle"),
        ({"used": {"CPU": 1}}, ReasonCode.OVER_MAX, None),
        ({}, ReasonCode.IDLE, None),
    ],
)
def test_who_may_leave_for_what(fields: dict[str, Any], why: ReasonCode, rule: str | None) -> None:
    have = claim("m", "cpu4", **fields)
    of = snapshot(CPU4, have)
    made = replace(plan(of), releases=(released(have, reason(why)),))
    assert rules(of, made) == ([("m", rule)] if rule else [])


def test_of_two_heads_one_may_leave() -> None:
    heads = [claim(name, "cpu4", head=True) for name in ("h1", "h2")]
    of = snapshot(CPU4, *heads)
    made = replace(plan(of), releases=(released(heads[0], reason(ReasonCode.UNNEEDED)),))
    assert rules(of, made) == []


def test_nothing_voluntary_while_the_engine_is_down_and_nothing_that_is_needed() -> None:
    have = claim("m", "cpu4", idle_s=70.0)
    down = snapshot(CPU4, have, engine_up=False)
    for why, rule in ((IDLE, True), (reason(ReasonCode.UNNEEDED), True), (reason(ReasonCode.ORDERED), False)):
        found = rules(down, replace(plan(down), releases=(released(have, why),)))
        assert found == ([("m", "nothing voluntary while the engine is down")] if rule else [])
    needed = snapshot(CPU4, have, tasks(1, CPU=1))
    assert broken(needed, drains=(drained(have),)) == [("m", "what demand is placed on stays")]
    assert broken(needed, drains=(drained(have, reason(ReasonCode.OVER_MAX)),)) == []


@pytest.mark.parametrize(
    ("by_pool", "pool_label", "host_label", "allowed"),
    [
        (False, None, None, False),
        (True, None, None, True),
        (True, "false", None, False),
        (False, "true", None, True),
        (True, None, "false", False),
        (False, None, "true", True),
    ],
)
def test_what_is_in_use_leaves_voluntarily_only_where_it_may_be_restarted(
    *, by_pool: bool, pool_label: str | None, host_label: str | None, allowed: bool
) -> None:
    key = "rayfleet.io/restartable"
    of_pool: Pool = pool("p", 1.0, CPU=4, restartable=by_pool, labels={key: pool_label} if pool_label else {})
    have = claim("m", "p", used={"CPU": 1}, labels={key: host_label} if host_label else {})
    of = snapshot(of_pool, have)
    made = plan(of)
    rule = ("m", "what is in use leaves voluntarily only when its work is restartable")
    assert rules(of, replace(made, drains=(drained(have, EXPIRED, voluntary=False),))) == ([] if allowed else [rule])
    assert rules(of, replace(made, drains=(drained(have, EXPIRED),))) == [rule], "Ray may refuse that"


def test_what_must_not_be_disturbed_stays_and_what_leaves_already_is_asked_again() -> None:
    quiet = claim("m", "cpu4", do_not_disrupt=True)
    assert broken(snapshot(CPU4, quiet), drains=(drained(quiet, EXPIRED),)) == [
        ("m", "what is labelled do-not-disrupt is not disrupted")
    ]
    away = replace(quiet, phase=Phase.DRAINING, drain=Drain(EXPIRED, 999.0, 1300.0))
    assert broken(snapshot(CPU4, away), drains=(drained(away, EXPIRED),)) == []


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "subject", "rule"),
    [
        ({"max_workers": 1}, "cluster", "cluster maximum"),
        ({"max_usd_per_hour": 1.99}, "cluster", "budget"),
        ({"max_usd_per_day": 23.9, "now": HALF}, "cluster", "budget of the day"),
        ({"max_resources": FrozenMap({"CPU": 79_999})}, "cluster", "resource maximum"),
        ({"max_launches_per_min": 1}, "cluster", "launches per minute"),
        ({"max_launches_per_min": 3, "launched_last_min": 2}, "cluster", "launches per minute"),
    ],
)
def test_no_limit_is_exceeded_by_launches(limits: dict[str, Any], subject: str, rule: str) -> None:
    """Two machines with 4 CPUs and 1 USD per hour each are launched where that much is not allowed."""
    now = {"now": limits["now"]} if "now" in limits else {}
    _, made = whole(**now)
    of = snapshot(CPU4, tasks(8, CPU=1), **limits)
    assert rules(of, made) == [(subject, rule)]


@pytest.mark.parametrize(
    "limits",
    [
        {"max_workers": 2},
        {"max_usd_per_hour": 2.0},
        {"max_usd_per_day": 24.0, "now": HALF},
        {"max_resources": FrozenMap({"CPU": 80_000, "GPU": 0})},
        {"max_launches_per_min": 2},
    ],
)
def test_up_to_the_limit_is_within_it(limits: dict[str, Any]) -> None:
    now = {"now": limits["now"]} if "now" in limits else {}
    _, made = whole(**now)
    assert rules(snapshot(CPU4, tasks(8, CPU=1), **limits), made) == []


def test_a_pool_maximum_and_pools_that_are_not_there() -> None:
    _, made = whole()
    small = snapshot(pool("cpu4", 1.0, CPU=4, max_workers=1), tasks(8, CPU=1))
    assert rules(small, made) == [("cpu4", "pool maximum")]
    assert ("cpu4", "only pools are launched") in rules(snapshot(tasks(8, CPU=1)), made)


def test_what_was_spent_is_told_for_the_moment_of_the_plan() -> None:
    of, made = whole()
    for spent in (None, Spent(-1.0, 1000.0), Spent(0.0, 999.0)):
        assert rules(of, replace(made, spent=spent)) == [("cluster", "spending is told")]


def test_what_nobody_needs_leaves_the_minimum() -> None:
    keeps = pool("cpu4", 1.0, CPU=4, min_workers=2)
    have = [claim(f"m{n}", "cpu4", idle_s=70.0) for n in range(3)]
    of = snapshot(keeps, *have)
    made = plan(of)
    gone = [replace(c, phase=Phase.DRAINING, drain=Drain(IDLE, 1000.0, 1030.0)) for c in have]
    one = replace(made, claims=(gone[0], *have[1:]), drains=(drained(have[0]),))
    two = replace(made, claims=(*gone[:2], have[2]), drains=(drained(have[0]), drained(have[1])))
    assert rules(of, one) == []
    assert rules(of, two) == [("cpu4", "idle and unneeded machines leave the minimum")]
    forced = tuple(drained(c, reason(ReasonCode.ORDERED)) for c in have[:2])
    assert rules(of, replace(two, drains=forced)) == []


@pytest.mark.parametrize(
    ("budget", "holds"),
    [
        (DisruptionBudget(1), False),
        (DisruptionBudget(2), True),
        (DisruptionBudget(50, percent=True), True),
        (DisruptionBudget(25, percent=True), False),
        (DisruptionBudget(1, pool="cpu4"), False),
        (DisruptionBudget(1, pool="other"), True),
        (DisruptionBudget(1, reasons=(Disruption.IDLE,)), False),
        (DisruptionBudget(1, reasons=(Disruption.EXPIRED,)), True),
    ],
)
def test_disruption_budgets_hold(budget: DisruptionBudget, *, holds: bool) -> None:
    """Two of four machines begin to leave for being idle."""
    have = [claim(f"m{n}", "cpu4", idle_s=70.0) for n in range(4)]
    of = snapshot(CPU4, *have, disruption_budgets=(budget,))
    gone = [replace(c, phase=Phase.DRAINING, drain=Drain(IDLE, 1000.0, 1030.0)) for c in have[:2]]
    made = replace(plan(of), claims=(*gone, *have[2:]), drains=tuple(drained(c) for c in have[:2]))
    assert rules(of, made) == ([] if holds else [("cluster", "disruption budgets")])
    assert rules(of, replace(made, drains=())) == [], "nothing begins to leave"


# ---- placements ------------------------------------------------------------------------------------------------------


def test_demand_is_placed_once_or_unmet() -> None:
    of, made = whole()
    assert {rule for _, rule in rules(of, replace(made, placements=()))} == {"demand is placed or unmet"}
    more = (*made.placements, replace(made.placements[0], count=1))
    assert ("tasks 0", "demand is placed or unmet") in rules(of, replace(made, placements=more))
    asked = snapshot(CPU4, requested(2, CPU=1), buffers=(buffer(1, CPU=1),))
    assert rules(asked, replace(plan(asked), placements=())) == [
        ("requested 0", "demand is placed or unmet"),
        ("buffer 0", "demand is placed or unmet"),
    ]


def test_a_gang_is_placed_whole() -> None:
    of = snapshot(CPU4, gang("PACK", {"CPU": 1}, {"CPU": 2}))
    made = plan(of)
    for dropped in (0, 1):
        some = tuple(p for p in made.placements if p.bundle != dropped)
        assert rules(of, replace(made, placements=some)) == [("gang 0", "a gang is placed whole")]


def test_hosts_hold_what_is_placed_on_them() -> None:
    have = claim("m", "cpu4", used={"CPU": 3})
    of = snapshot(CPU4, have, tasks(2, CPU=1), requested(4, CPU=1))
    made = plan(of)
    assert rules(of, made) == []
    (request,) = [p for p in made.placements if p.kind.value == "requested"]
    assert request.on == "m", "requests count against all that a machine has"
    here = tuple(replace(p, on="m") for p in made.placements)
    assert rules(of, replace(made, placements=here)) == [("m", "a host holds what is placed on it")]
    nowhere = tuple(replace(p, on="x") for p in made.placements)
    assert {rule for _, rule in rules(of, replace(made, placements=nowhere))} == {
        "demand is placed on hosts that exist"
    }


def test_labels_hold_where_something_is_placed() -> None:
    web = pool("web", 1.0, CPU=4, labels={"tier": "web"})
    have = [claim("m", "cpu4"), claim("w", "web"), claim("f", "web", foreign=True)]
    wants = (
        tasks(1, {"tier": "web"}, CPU=1),
        gang("PACK", {"CPU": 1}, labels=({"tier": "web"},)),
    )
    of = snapshot(CPU4, web, *have, *wants, buffers=(buffer(1, {"tier": "web"}, CPU=1),))
    made = plan(of)
    assert rules(of, made) == []
    for on in ("m", "f"):
        moved = tuple(replace(p, on=on) for p in made.placements)
        assert rules(of, replace(made, placements=moved)) == [(on, "a host has the labels that are asked for")] * 3


def test_strict_gangs_are_strict() -> None:
    have = [claim("a", "cpu4"), claim("b", "cpu4")]
    spread = snapshot(CPU4, *have, gang("STRICT_SPREAD", {"CPU": 1}, {"CPU": 1}))
    together = tuple(replace(p, on="a") for p in plan(spread).placements)
    assert broken(spread, placements=together) == [("gang 0", "STRICT_SPREAD shares no host")]
    packed = snapshot(CPU4, *have, gang("STRICT_PACK", {"CPU": 1}, {"CPU": 1}))
    first, *others = plan(packed).placements
    apart = (replace(first, on="a"), *(replace(p, on="b") for p in others))
    assert broken(packed, placements=apart) == [("gang 0", "STRICT_PACK shares a host")] * 2


def test_what_a_starting_or_new_machine_has_is_what_its_pool_says() -> None:
    of = snapshot(CPU4, claim("m", "cpu4", Phase.BOOTING), tasks(8, CPU=1))
    made = plan(of)
    assert sorted((p.on, p.count) for p in made.placements) == [("m", 4), ("new:0", 4)]
    all_new = tuple(replace(p, on="new:0") for p in made.placements)
    assert broken(of, placements=all_new) == [("new:0", "a host holds what is placed on it")]
    told = replace(of, claims=(claim("m", "cpu4", total={"CPU": 2}),))
    assert rules(told, made) == [("m", "a host holds what is placed on it")]
