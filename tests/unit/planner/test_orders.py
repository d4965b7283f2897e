"""What people order."""

import pytest
from tests.unit.planner.looking import claim_of, found, launched, leaving, planned, unmet

from rayfleet.model import (
    Drain,
    How,
    MachineFact,
    Order,
    OrderKind,
    Outcome,
    OutcomeKind,
    Phase,
    ReasonCode,
    Trouble,
    reason,
)
from rayfleet.testing.snapshots import claim, pool, tasks

CPU1 = pool("cpu1", CPU=1)


def order(kind: OrderKind, target: str = "", value: str = "", name: str = "o1", at: float = 0.0) -> Order:
    return Order(name, kind, target, value, by="ann", why="test", at=at)


# ---- drain -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["m1", "i-1", "n-1"])
def test_a_machine_is_drained_by_any_of_its_names(target: str) -> None:
    busy = claim("m1", "cpu1", used={"CPU": 1}, machine_id="i-1", node_id="n-1")
    result = planned(CPU1, busy, orders=(order(OrderKind.DRAIN, target),))
    assert [(d.claim, d.node_ids, d.deadline, d.voluntary) for d in result.drains] == [("m1", ("n-1",), 1300.0, False)]
    assert result.drains[0].reason.text == "ann ordered it: test"
    assert (result.answered, result.orders) == (("o1",), ())


def test_a_starting_machine_is_cancelled() -> None:
    result = planned(CPU1, claim("m1", "cpu1", Phase.BOOTING), tasks(1, CPU=1), orders=(order(OrderKind.DRAIN, "m1"),))
    assert [r.how for r in result.releases] == [How.CANCEL]


def test_an_order_makes_an_idle_drain_one_that_has_to_be() -> None:
    """Ray may refuse an idle drain; the machine would then stay although somebody wants it gone."""
    why = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
    asked = claim("m1", "cpu1", Phase.DRAINING, since=999.0, drain=Drain(why, 999.0, 1029.0))
    result = planned(CPU1, asked, orders=(order(OrderKind.DRAIN, "m1"),))
    assert [(d.claim, d.voluntary, d.deadline) for d in result.drains] == [("m1", False, 1300.0)]
    ordered = claim_of(result, "m1")
    assert ordered is not None
    refused = Outcome(OutcomeKind.DRAIN, ("m1",), 1000.0, Trouble.REFUSED)
    became = claim_of(planned(CPU1, ordered, outcomes=(refused,)), "m1")
    assert became is not None
    assert became.phase is Phase.DRAINING


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nobody", "there is no machine 'nobody'"),
        ("h", "h is the head, which is only released by a shutdown"),
        ("f", "f was joined by hand and is not ours to release"),
    ],
)
def test_a_drain_that_cannot_be_says_why_and_is_answered(target: str, why: str) -> None:
    have = [claim("h", "cpu1", head=True), claim("f", "cpu1", foreign=True)]
    result = planned(CPU1, *have, orders=(order(OrderKind.DRAIN, target),))
    assert (leaving(result), result.answered) == ({}, ("o1",))
    assert [f.reason.text for f in result.findings] == [f"order o1 cannot be carried out: {why}"]


# ---- scale -----------------------------------------------------------------------------------------------------------


def test_scale_holds_a_pool_at_a_number_until_it_is_cleared() -> None:
    scale = order(OrderKind.SCALE, "cpu1", "3")
    up = planned(CPU1, tasks(9, CPU=1), orders=(scale,))
    assert (launched(up), up.orders, up.answered) == ({"cpu1": 3}, (scale,), ())
    assert up.launches[0].reason.text == "ann ordered cpu1 to 3"
    idle = [claim(f"m{n}", "cpu1", idle_s=999.0) for n in range(3)]
    assert planned(CPU1, *idle, orders=(scale,)).actions == ()
    clear = order(OrderKind.UNSCALE, "cpu1", name="o2", at=1.0)
    cleared = planned(CPU1, *idle, orders=(clear, scale))
    assert (len(leaving(cleared)), cleared.orders, cleared.answered) == (3, (), ("o1", "o2"))


def test_scaling_down_drains_busy_machines() -> None:
    busy = [claim(f"m{n}", "cpu1", used={"CPU": 1}) for n in range(3)]
    result = planned(CPU1, *busy, orders=(order(OrderKind.SCALE, "cpu1", "1"),))
    assert list(leaving(result).values()) == [ReasonCode.OVER_MAX] * 2
    assert "ann ordered cpu1 to 1" in result.drains[0].reason.text


def test_the_newer_of_two_orders_stands() -> None:
    orders = (order(OrderKind.SCALE, "cpu1", "5", "new", 2.0), order(OrderKind.SCALE, "cpu1", "2", "old", 1.0))
    result = planned(CPU1, orders=orders)
    assert (launched(result), result.answered, [o.id for o in result.orders]) == ({"cpu1": 5}, ("old",), ["new"])


# ---- set -------------------------------------------------------------------------------------------------------------


def test_set_changes_the_policy_while_it_stands() -> None:
    result = planned(CPU1, tasks(9, CPU=1), orders=(order(OrderKind.SET, "max_workers", "2"),))
    assert (launched(result), len(result.orders)) == ({"cpu1": 2}, 1)


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        ("cpu1.max_workers", "4", 4),
        ("cpu1.min_workers", "6", 6),
        ("max_usd_per_hour", "3", 3),
        ("upscaling_speed", "1", 5),
    ],
)
def test_what_set_can_change(target: str, value: str, expected: int) -> None:
    priced = pool("cpu1", 1.0, CPU=1)
    wants = [] if "min" in target else [tasks(9, CPU=1)]
    assert launched(planned(priced, *wants, orders=(order(OrderKind.SET, target, value),))) == {"cpu1": expected}


@pytest.mark.parametrize(("target", "value"), [("max_workers", "2"), ("cpu1.max_workers", "1")])
def test_what_was_set_is_taken_back(target: str, value: str) -> None:
    """Also in the very tick that first meets it: nothing of it stays in the policy."""
    given = order(OrderKind.SET, target, value, "given"), order(OrderKind.UNSET, target, name="clear", at=1.0)
    result = planned(CPU1, tasks(9, CPU=1), max_workers=5, orders=given)
    assert (launched(result), result.orders, result.answered) == ({"cpu1": 5}, (), ("given", "clear"))


def test_a_setting_of_after_its_clearing_stands() -> None:
    given = order(OrderKind.UNSET, "max_workers", name="clear"), order(OrderKind.SET, "max_workers", "2", "later", 1.0)
    result = planned(CPU1, tasks(9, CPU=1), orders=given)
    assert (launched(result), result.orders, result.answered) == ({"cpu1": 2}, (given[1],), ("clear",))


def test_set_can_lift_a_limit() -> None:
    lifted = order(OrderKind.SET, "max_workers", "null")
    assert launched(planned(CPU1, tasks(9, CPU=1), max_workers=1, orders=(lifted,))) == {"cpu1": 9}


@pytest.mark.parametrize(
    ("kind", "target", "value"),
    [
        (OrderKind.SET, "max_worker", "3"),
        (OrderKind.SET, "max_workers", "many"),
        (OrderKind.SET, "max_workers", "-1"),
        (OrderKind.SET, "idle_timeout_s", "null"),
        (OrderKind.SET, "idle_timeout_s", "nan"),
        (OrderKind.SET, "cpu1.min_workers", "null"),
        (OrderKind.SET, "nopool.max_workers", "1"),
        (OrderKind.SET, "cpu1.resources", "1"),
        (OrderKind.SCALE, "nopool", "1"),
        (OrderKind.SCALE, "cpu1", "x"),
        (OrderKind.UNSCALE, "nopool", ""),
        (OrderKind.UNSET, "max_worker", ""),
        (OrderKind.UNSET, "nopool.max_workers", ""),
    ],
)
def test_bad_orders_are_answered_with_a_finding(kind: OrderKind, target: str, value: str) -> None:
    """D5-111: wrong input at run time is not fatal."""
    result = planned(CPU1, orders=(order(kind, target, value),))
    assert (found(result), result.answered, result.orders) == ([("o1", ReasonCode.BAD_ORDER)], ("o1",), ())


# ---- shutdown --------------------------------------------------------------------------------------------------------


def test_a_shutdown_releases_all_workers_then_the_head() -> None:
    down = order(OrderKind.SHUTDOWN)
    have = [
        claim("h", "head", head=True, machine_id="i-0"),
        claim("m1", "cpu1", used={"CPU": 1}, machine_id="i-1"),
        claim("m2", "cpu1", Phase.REQUESTED),
    ]
    first = planned(pool("cpu1", CPU=1, min_workers=2), *have, tasks(5, CPU=1), orders=(down,))
    assert leaving(first) == {"m1": ReasonCode.SHUTDOWN, "m2": ReasonCode.SHUTDOWN}
    assert unmet(first) == [("tasks", 0, 5, ReasonCode.SHUTTING_DOWN)]
    assert planned(CPU1, *first.claims, orders=(down,), now=1001.0).releases == ()
    last = planned(CPU1, have[0], orders=(down,))
    assert (leaving(last), launched(last), last.orders) == ({"h": ReasonCode.SHUTDOWN}, {}, (down,))


def test_a_shutdown_works_without_the_engine() -> None:
    have = [claim("h", "head", head=True), claim("m1", "cpu1")]
    assert leaving(planned(CPU1, *have, orders=(order(OrderKind.SHUTDOWN),), engine_up=False)) == {
        "m1": ReasonCode.SHUTDOWN
    }


def test_after_a_shutdown_no_head_is_launched() -> None:
    gone = claim("h", "head", Phase.RELEASING, head=True, machine=MachineFact.ABSENT, machine_id="i-0", listed_at=999.0)
    result = planned(CPU1, gone, head=pool("head", CPU=0), orders=(order(OrderKind.SHUTDOWN),))
    assert (result.claims, result.launches) == ((), ())
    assert claim_of(result, "h") is None
