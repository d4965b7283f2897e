"""What has to leave beyond a limit: which machines, in which order, and how; exact counts."""

import pytest
from tests.unit.planner.looking import found, launched, leaving, planned, unmet

from rayfleet.model import Claim, Drain, How, Order, OrderKind, Phase, ReasonCode, Schedule, Window, reason
from rayfleet.testing.snapshots import claim, pool, tasks, with_host

CPU4 = pool("cpu4", 1.0, CPU=4)
PAIR = pool("pair", 1.0, CPU=4, hosts_per_replica=2)
SHUTDOWN = (Order("o", OrderKind.SHUTDOWN),)


def busy(count: int, of: str = "cpu4", **fields: object) -> list[Claim]:
    return [claim(f"{of}-{n}", of, used={"CPU": 4}, **fields) for n in range(1, count + 1)]  # type: ignore[arg-type]


# ---- interruptions ---------------------------------------------------------------------------------------------------


def test_each_interrupted_machine_leaves_by_its_own_moment_whichever_is_first_in_the_list() -> None:
    calm, soon, later = busy(3)
    result = planned(CPU4, calm, with_host(soon, interrupt_at=1050.0), with_host(later, interrupt_at=1090.0))
    assert [(d.claim, d.deadline, d.voluntary) for d in result.drains] == [
        ("cpu4-2", 1050.0, False),
        ("cpu4-3", 1090.0, False),
    ]


def test_a_replica_leaves_when_the_first_of_its_hosts_is_taken_back() -> None:
    both = with_host(claim("r", "pair", hosts=2, used={"CPU": 1}, interrupt_at=1090.0), 1, interrupt_at=1050.0)
    assert [d.deadline for d in planned(PAIR, both).drains] == [1050.0]
    one = with_host(claim("r", "pair", hosts=2, used={"CPU": 1}), 1, interrupt_at=1050.0)
    assert [d.deadline for d in planned(PAIR, one).drains] == [1050.0]


def test_a_moment_that_has_passed_leaves_no_seconds() -> None:
    (drain,) = planned(CPU4, claim("m", "cpu4", used={"CPU": 4}, interrupt_at=990.0)).drains
    assert (drain.deadline, dict(drain.reason.details)) == (990.0, {"left_s": 0.0})


@pytest.mark.parametrize("phase", [Phase.REQUESTED, Phase.BOOTING])
def test_what_is_interrupted_before_it_has_joined_is_cancelled(phase: Phase) -> None:
    result = planned(CPU4, claim("m", "cpu4", phase, interrupt_at=1050.0), tasks(1, CPU=1))
    assert [(r.claim, r.how, r.reason.code) for r in result.releases] == [("m", How.CANCEL, ReasonCode.INTERRUPTED)]


def test_what_leaves_already_is_not_drained_again_when_it_is_interrupted() -> None:
    why = reason(ReasonCode.ORDERED, by="me", why="test")
    away = claim("m", "cpu4", Phase.DRAINING, used={"CPU": 4}, drain=Drain(why, 999.0, 1300.0), interrupt_at=1050.0)
    assert planned(CPU4, away).actions == ()


# ---- shutdown --------------------------------------------------------------------------------------------------------


def test_a_shutdown_cancels_what_has_not_joined_and_releases_the_rest_once() -> None:
    have = [claim("r", "cpu4", Phase.REQUESTED), claim("b", "cpu4", Phase.BOOTING), claim("m", "cpu4")]
    gone = claim("g", "cpu4", Phase.RELEASING)
    result = planned(CPU4, *have, gone, orders=SHUTDOWN)
    assert [(x.claim, x.how) for x in result.releases] == [("b", How.CANCEL), ("m", How.NOW), ("r", How.CANCEL)]


def test_a_shutdown_releases_the_head_once_and_nothing_joined_by_hand() -> None:
    head, by_hand = claim("h", "cpu4", head=True), claim("f", "cpu4", foreign=True)
    assert [(x.claim, x.how) for x in planned(CPU4, head, by_hand, orders=SHUTDOWN).releases] == [("h", How.NOW)]
    assert planned(CPU4, claim("h", "cpu4", Phase.RELEASING, head=True), orders=SHUTDOWN).releases == ()
    waits = planned(CPU4, head, claim("m", "cpu4", Phase.RELEASING), orders=SHUTDOWN)
    assert waits.releases == ()
    assert planned(CPU4, claim("h", "cpu4", head=True, foreign=True), orders=SHUTDOWN).releases == ()


# ---- pools and maximums ----------------------------------------------------------------------------------------------


def test_every_machine_of_a_removed_pool_is_reported_and_leaves() -> None:
    have = [*busy(1), claim("x-1", "x", used={"CPU": 1}), claim("x-2", "x", Phase.BOOTING)]
    result = planned(CPU4, *have)
    assert leaving(result) == dict.fromkeys(["x-1", "x-2"], ReasonCode.POOL_REMOVED)
    assert [(subject, code) for subject, code in found(result) if code is ReasonCode.UNKNOWN_POOL] == [
        ("x-1", ReasonCode.UNKNOWN_POOL),
        ("x-2", ReasonCode.UNKNOWN_POOL),
    ]
    assert result.drains[0].reason.details == {"pool": "x"}
    assert result.findings[0].reason.details == {"claim": "x-1", "pool": "x"}


@pytest.mark.parametrize(("most", "leave"), [(6, 0), (5, 1), (4, 1), (3, 2)])
def test_a_maximum_counts_the_hosts_of_replicas(most: int, leave: int) -> None:
    three = [claim(f"r{n}", "pair", hosts=2, used={"CPU": 4}) for n in range(3)]
    result = planned(PAIR, *three, max_workers=most)
    assert len(leaving(result)) == leave
    assert [d.reason.text for d in result.drains] == [f"the cluster has 6 machines, {most} are allowed"] * leave


def test_a_schedule_of_the_cluster_is_the_cause_of_what_leaves_for_it() -> None:
    always = Window("* * * * *", 3600.0)
    both = (Schedule("all", always, max_workers=1), Schedule("one", always, "cpu4", min_workers=0))
    (drain,) = planned(CPU4, *busy(2), schedules=both).drains
    assert drain.reason.text == "the cluster has 2 machines, 1 are allowed; schedule all is on"


def test_the_order_of_leaving() -> None:
    """Not to be disturbed last; first what has not joined, what is idle for longest, used least, youngest."""
    have = [
        claim("quiet", "cpu4", do_not_disrupt=True, idle_s=10.0),
        claim("full", "cpu4", used={"CPU": 4}),
        claim("old", "cpu4", used={"CPU": 1}, created=800.0),
        claim("young", "cpu4", used={"CPU": 1}, created=890.0),
        claim("rested", "cpu4", idle_s=20.0),
        claim("idle", "cpu4", idle_s=10.0),
        claim("boots", "cpu4", Phase.BOOTING),
        claim("asked", "cpu4", Phase.REQUESTED),
    ]
    order = ["asked", "boots", "rested", "idle", "young", "old", "full", "quiet"]
    for most in range(len(have) + 1):
        left = leaving(planned(CPU4, *have, max_workers=most))
        assert {name for name in left if left[name] is ReasonCode.OVER_MAX} == set(order[: len(have) - most]), most


def test_a_machine_is_used_as_much_as_its_fullest_resource() -> None:
    both = pool("both", CPU=4, memory=4e9)
    have = [claim("a", "both", used={"CPU": 2, "memory": 2e9}), claim("b", "both", used={"CPU": 1, "memory": 3e9})]
    assert list(leaving(planned(both, *have, max_workers=1))) == ["a"]


# ---- money and resources ---------------------------------------------------------------------------------------------


def test_a_budget_counts_every_host_and_the_head_and_ends_neither_the_head_nor_what_is_free() -> None:
    have = [
        claim("h", "head", head=True, usd_per_hour=2.0),
        claim("f", "cpu4", foreign=True, usd_per_hour=50.0),
        claim("free", "none", used={"CPU": 1}),
        *(claim(f"r{n}", "pair", hosts=2, used={"CPU": 1 + n}) for n in range(3)),
    ]
    pools = (PAIR, pool("none", CPU=4))
    for most, gone in [(8.0, []), (7.9, ["r0"]), (6.0, ["r0"]), (5.9, ["r0", "r1"]), (1.0, ["r0", "r1", "r2"])]:
        assert sorted(leaving(planned(*pools, *have, max_usd_per_hour=most))) == gone, most


def test_what_leaves_already_costs_nothing_any_more() -> None:
    away = claim("a", "cpu4", Phase.DRAINING, used={"CPU": 4})
    assert leaving(planned(CPU4, *busy(2), away, max_usd_per_hour=2.0)) == {}


def test_cents_that_floats_lose_end_no_machine() -> None:
    tenth = pool("tenth", 0.1, CPU=4)
    assert leaving(planned(tenth, *busy(3, "tenth"), max_usd_per_hour=0.3)) == {}


def test_as_many_leave_as_a_limited_resource_needs() -> None:
    have = [claim(f"m{n}", "cpu4", used={"CPU": n}) for n in range(1, 5)]
    limit = {"max_resources": {"CPU": 80_000}}
    result = planned(CPU4, *have, **limit)
    assert leaving(result) == dict.fromkeys(["m1", "m2"], ReasonCode.OVER_RESOURCES)
    assert {d.reason.text for d in result.drains} == {"machines have 16 CPU, 8 are allowed"}


# ---- what one launch leaves for the next -----------------------------------------------------------------------------


def test_what_is_launched_for_one_kind_of_work_is_not_there_for_the_next() -> None:
    """Money of the hour and of the day, resources, launches: two pools share them."""
    gpu = pool("gpu", 2.0, CPU=4, GPU=1)
    wants = (tasks(1, GPU=1), tasks(8, CPU=4))
    limits = {
        "max_usd_per_hour": 4.0,
        "max_usd_per_day": 4.0 * 24,
        "max_resources": {"CPU": 120_000},
        "max_launches_per_min": 3,
        "max_workers": 3,
    }
    for name, most in limits.items():
        result = planned(CPU4, gpu, *wants, now=86400.0, **{name: most})
        assert launched(result) == {"gpu": 1, "cpu4": 2}, name
        assert [(kind, index, count) for kind, index, count, _ in unmet(result)] == [("tasks", 1, 5)], (
            name
        )  # one on the other


def test_what_minimums_cost_is_not_there_for_work() -> None:
    keeps = pool("keeps", 2.0, CPU=1, min_workers=1)
    assert launched(planned(keeps, CPU4, tasks(8, CPU=4), max_usd_per_hour=4.0)) == {"keeps": 1, "cpu4": 2}
    short = planned(pool("keeps", 2.0, CPU=1, min_workers=3), max_usd_per_hour=4.0)
    assert (launched(short), found(short)) == ({"keeps": 2}, [("keeps", ReasonCode.MIN_WORKERS)])
