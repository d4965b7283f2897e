"""Every reason that the planner can give is given by some snapshot here, and each can be read."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rayfleet.model import (
    Backoff,
    Claim,
    DisruptionBudget,
    Drain,
    Expected,
    FrozenMap,
    MachineFact,
    NodeFact,
    OfferKey,
    Order,
    OrderKind,
    Outcome,
    OutcomeKind,
    Overlay,
    PendingThreshold,
    Phase,
    Plan,
    Pool,
    Quota,
    Reason,
    ReasonCode,
    Resources,
    Schedule,
    Snapshot,
    Standby,
    Stray,
    Trouble,
    Window,
    reason,
)
from rayfleet.model.meanings import OFFERS
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.testing.snapshots import buffer, claim, gang, offer, pool, requested, snapshot, tasks, with_host

PRESENT, ABSENT = MachineFact.PRESENT, MachineFact.ABSENT
CPU1 = pool("p", 1.0, CPU=1)
WAITS = pool("p", 1.0, CPU=1, standby=Standby(1))
HEAD = pool("head", CPU=0)
RETURN = pool("p", CPU=1, restartable=True, offers=(offer(1.0), offer(0.3, spot=True)))
SHARED: tuple[Pool | Claim, ...] = (
    pool("p", 1.0, CPU=4, restartable=True),
    *(claim(name, "p", since=0.0, used={"CPU": 1}) for name in ("m", "n")),
)
ORDER = reason(ReasonCode.ORDERED, by="me", why="test")

TEAM = replace(tasks(1, CPU=1), labels=FrozenMap({"team": "a"}))


def order(kind: OrderKind, target: str = "", value: str = "") -> tuple[Order, ...]:
    return (Order("o", kind, target, value, "me", "test"),)


def machine(phase: Phase = Phase.READY, **fields: object) -> Snapshot:
    """Return a snapshot of one machine with these facts."""
    return snapshot(CPU1, claim("m", "p", phase, **fields))  # type: ignore[arg-type]  # as `claim` takes them


CASES: dict[ReasonCode, Snapshot] = {
    ReasonCode.HEAD: snapshot(CPU1, head=HEAD),
    ReasonCode.MIN_WORKERS: snapshot(pool("p", CPU=1, min_workers=1)),
    ReasonCode.TASKS: snapshot(CPU1, tasks(1, CPU=1)),
    ReasonCode.GANG: snapshot(CPU1, gang("PACK", {"CPU": 1})),
    ReasonCode.REQUESTED: snapshot(CPU1, requested(1, CPU=1)),
    ReasonCode.SCALE_ORDER: snapshot(CPU1, orders=order(OrderKind.SCALE, "p", "1")),
    ReasonCode.RELAUNCH: snapshot(
        CPU1, claim("m", "p", Phase.REQUESTED, machine=ABSENT, listed_at=999.0), tasks(1, CPU=1)
    ),
    ReasonCode.DETOUR: snapshot(
        CPU1,
        pool("q", 0.1, CPU=1),
        tasks(1, CPU=1),
        backoffs=(Backoff(OfferKey("q"), 1200.0, Trouble.OUT_OF_STOCK),),
    ),
    ReasonCode.SPOT_SPREAD: snapshot(
        pool("p", CPU=1, offers=(offer(0.1, "a", spot=True), offer(0.1, "b", spot=True))),
        tasks(2, CPU=1),
        spot_spread_margin=0.0,
    ),
    ReasonCode.BUFFER: snapshot(CPU1, buffers=(buffer(1, CPU=1),)),
    ReasonCode.QUOTA: snapshot(CPU1, TEAM, quotas=(Quota("team", "a", FrozenMap({"CPU": 0})),)),
    ReasonCode.FAIR_SHARE: snapshot(CPU1, TEAM, quotas=(Quota("team", "a"),), max_workers=0),
    ReasonCode.FORECAST: snapshot(CPU1, expected=(Expected("CPU", Resources.of({"CPU": 1}), 1),)),
    ReasonCode.OVERLAY: snapshot(CPU1, tasks(1, CPU=1), overlays=(Overlay(OfferKey(""), multiply=2.0),)),
    ReasonCode.SCHEDULE: snapshot(CPU1, schedules=(Schedule("s", Window("* * * * *", 60.0), "p", min_workers=1),)),
    ReasonCode.UTILIZATION: snapshot(
        CPU1, claim("m", "p", used={"CPU": 1}), scale_up_utilization=FrozenMap({"CPU": 0.5})
    ),
    ReasonCode.PENDING_THRESHOLD: snapshot(CPU1, tasks(1, CPU=1), scale_up_pending_threshold=PendingThreshold(2)),
    ReasonCode.OVER_RESOURCES: snapshot(CPU1, claim("m", "p"), max_resources=FrozenMap({"CPU": 0})),
    ReasonCode.OVER_DAY_BUDGET: snapshot(CPU1, claim("m", "p"), max_usd_per_day=1.0, spent_today_usd=1.0),
    ReasonCode.MAX_RESOURCES: snapshot(CPU1, tasks(1, CPU=1), max_resources=FrozenMap({"CPU": 0})),
    ReasonCode.DAY_BUDGET: snapshot(CPU1, tasks(1, CPU=1), max_usd_per_day=1.0),
    ReasonCode.LAUNCH_RATE: snapshot(CPU1, tasks(1, CPU=1), max_launches_per_min=0),
    ReasonCode.IDLE: machine(idle_s=99.0),
    ReasonCode.UNNEEDED: machine(Phase.BOOTING),
    ReasonCode.OVER_MAX: snapshot(CPU1, claim("m", "p"), max_workers=0),
    ReasonCode.OVER_BUDGET: snapshot(CPU1, claim("m", "p"), max_usd_per_hour=0.5),
    ReasonCode.POOL_REMOVED: snapshot(claim("m", "p")),
    ReasonCode.UNKNOWN_POOL: snapshot(claim("m", "p")),
    ReasonCode.ORDERED: snapshot(CPU1, claim("m", "p"), orders=order(OrderKind.DRAIN, "m")),
    ReasonCode.SHUTDOWN: snapshot(CPU1, claim("m", "p"), orders=order(OrderKind.SHUTDOWN)),
    ReasonCode.INTERRUPTED: machine(interrupt_at=1100.0),
    ReasonCode.DRIFTED: machine(drifted=True),
    ReasonCode.EXPIRED: snapshot(CPU1, claim("m", "p"), max_age_s=10.0),
    ReasonCode.CHEAPER: snapshot(RETURN, claim("m", "p", since=0.0, used={"CPU": 0.5}), consolidation_threshold=0.5),
    ReasonCode.REPLACING: snapshot(RETURN, claim("m", "p", since=0.0, used={"CPU": 0.5}), consolidation_threshold=0.5),
    ReasonCode.REPLACEMENT: machine(interrupt_at=1100.0, used={"CPU": 1}),
    ReasonCode.EXCHANGE: snapshot(
        CPU1,
        pool("big", 3.0, CPU=4, restartable=True),
        claim("m", "big", since=0.0, used={"CPU": 1}),
        claim("n", "p", since=0.0),
        consolidation_threshold=0.5,
    ),
    ReasonCode.GRACE: snapshot(CPU1, claim("m", "p", used={"CPU": 1}), max_age_s=10.0, max_age_grace_s=9000.0),
    ReasonCode.ON_HAND: snapshot(CPU1, claim("m", "p", used={"CPU": 1}), claim("n", "p", Phase.BOOTING, created=999.0)),
    ReasonCode.STANDS_IN: snapshot(CPU1, claim("m", "p", interrupt_at=1100.0, used={"CPU": 1}), claim("n", "p")),
    ReasonCode.UNDERUSED: snapshot(*SHARED, consolidation_threshold=0.5),
    ReasonCode.RESTARTABLE: snapshot(*SHARED, consolidation_threshold=0.5),
    ReasonCode.BOOT_TIMEOUT: machine(Phase.BOOTING, since=0.0),
    ReasonCode.REQUEST_TIMEOUT: machine(
        Phase.REQUESTED, machine=ABSENT, since=0.0, created=0.0, listed_at=999.0, accepted=True
    ),
    ReasonCode.PROVISION_TIMEOUT: machine(Phase.REQUESTED, machine=PRESENT, trouble=Trouble.OUT_OF_STOCK, since=0.0),
    ReasonCode.MAKES_ROOM: snapshot(
        CPU1, pool("g", GPU=1), claim("m", "p", idle_s=5.0), tasks(1, GPU=1), max_workers=1
    ),
    ReasonCode.SPARED: snapshot(
        CPU1, pool("g", CPU=1, GPU=1), tasks(1, CPU=1), backoffs=(Backoff(OfferKey("p"), 1002.0, Trouble.FLAKY),)
    ),
    ReasonCode.WORK_FIRST: snapshot(
        CPU1, tasks(1, CPU=1), buffers=(buffer(1, CPU=1),), scale_up_pending_threshold=PendingThreshold(2)
    ),
    ReasonCode.NODE_DIED: machine(node=NodeFact.DEAD),
    ReasonCode.MACHINE_FAILED: machine(machine=MachineFact.FAILED),
    ReasonCode.MACHINE_LOST: machine(machine=ABSENT),
    ReasonCode.DRAINED: machine(Phase.DRAINING, node=NodeFact.DEAD, drain=Drain(ORDER, 990.0, 1100.0)),
    ReasonCode.DRAIN_DEADLINE: machine(Phase.DRAINING, drain=Drain(ORDER, 990.0, 999.0)),
    ReasonCode.REPLICA_BROKEN: snapshot(
        CPU1, with_host(claim("m", "p", hosts=2, machine=PRESENT), 1, machine=ABSENT), tasks(1, CPU=1)
    ),
    ReasonCode.LAUNCH_FAILED: machine(Phase.BOOTING, machine=MachineFact.FAILED),
    ReasonCode.STILL_LISTED: machine(Phase.RELEASING, machine=PRESENT, machine_id="i"),
    ReasonCode.BUSY: machine(used={"CPU": 1}),
    ReasonCode.DISRUPTION_BUDGET: snapshot(
        CPU1, claim("m", "p", idle_s=99.0), disruption_budgets=(DisruptionBudget(0),)
    ),
    ReasonCode.SCALE_DOWN_UTILIZATION: snapshot(
        CPU1, claim("m", "p", idle_s=99.0), claim("n", "p", used={"CPU": 0.5}), scale_down_utilization=0.4
    ),
    ReasonCode.STANDBY: snapshot(WAITS),
    ReasonCode.STANDBY_USED: snapshot(WAITS, claim("m", "p", Phase.STANDBY), tasks(1, CPU=1)),
    ReasonCode.STANDBY_SURPLUS: snapshot(WAITS, claim("m", "p", Phase.STANDBY), claim("n", "p", Phase.STANDBY)),
    ReasonCode.STILL_RUNNING: snapshot(
        WAITS, claim("m", "p", Phase.STANDBY, machine=PRESENT, machine_id="i", retry_at=999.0)
    ),
    ReasonCode.CANNOT_STOP: snapshot(
        WAITS,
        claim("m", "p", Phase.STANDBY, machine=PRESENT),
        outcomes=(Outcome(OutcomeKind.RELEASE, ("m",), 1000.0, Trouble.DENIED),),
    ),
    ReasonCode.ON_STANDBY: snapshot(WAITS, claim("m", "p", Phase.STANDBY)),
    ReasonCode.NOT_IDLE_YET: machine(idle_s=1.0),
    ReasonCode.NEEDED: snapshot(CPU1, claim("m", "p"), tasks(1, CPU=1)),
    ReasonCode.BOOTING: snapshot(CPU1, claim("m", "p", Phase.BOOTING), claim("n", "p", since=999.0)),
    ReasonCode.IS_HEAD: snapshot(CPU1, claim("h", "head", head=True)),
    ReasonCode.DO_NOT_DISRUPT: machine(idle_s=99.0, do_not_disrupt=True),
    ReasonCode.DRAIN_REFUSED: machine(idle_s=99.0, retry_at=1001.0),
    ReasonCode.LEAVING: machine(Phase.DRAINING, drain=Drain(ORDER, 990.0, 1100.0)),
    ReasonCode.DOWNSCALING_SPEED: snapshot(
        CPU1, *(claim(f"m{n}", "p", idle_s=99.0) for n in range(6)), downscaling_speed=0.1
    ),
    ReasonCode.NO_POOL_FITS: snapshot(CPU1, tasks(1, CPU=2)),
    ReasonCode.TOO_SMALL: snapshot(CPU1, tasks(1, CPU=2)),
    ReasonCode.LABELS_DIFFER: snapshot(CPU1, tasks(1, {"a": "b"}, CPU=1)),
    ReasonCode.MAX_WORKERS: snapshot(CPU1, tasks(1, CPU=1), max_workers=0),
    ReasonCode.POOL_MAX_WORKERS: snapshot(pool("p", CPU=1, max_workers=0), tasks(1, CPU=1)),
    ReasonCode.BUDGET: snapshot(CPU1, tasks(1, CPU=1), max_usd_per_hour=0.5),
    ReasonCode.UPSCALING_SPEED: snapshot(CPU1, tasks(9, CPU=1), upscaling_speed=1.0),
    ReasonCode.BACKED_OFF: snapshot(
        CPU1, tasks(1, CPU=1), backoffs=(Backoff(OfferKey("p"), 1100.0, Trouble.OUT_OF_STOCK),)
    ),
    ReasonCode.GANG_TOO_WIDE: snapshot(CPU1, gang("PACK", {"CPU": 1}, {"CPU": 1}), max_workers=1),
    ReasonCode.GANG_APART: snapshot(
        pool("p", CPU=1, labels={"z": "a"}),
        pool("q", GPU=1, labels={"z": "b"}),
        gang("PACK", {"CPU": 1}, {"GPU": 1}, same_label="z"),
    ),
    ReasonCode.ENGINE_DOWN: snapshot(CPU1, engine_up=False),
    ReasonCode.WAITING_FOR_HEAD: snapshot(CPU1, tasks(1, CPU=1), head=HEAD),
    ReasonCode.SHUTTING_DOWN: snapshot(CPU1, tasks(1, CPU=1), orders=order(OrderKind.SHUTDOWN)),
    ReasonCode.IMPOSSIBLE: machine(Phase.REQUESTED, machine=ABSENT, node=NodeFact.ALIVE),
    ReasonCode.ADOPTED: snapshot(CPU1, strays=(Stray("i", OfferKey("p")),)),
    ReasonCode.RELEASE_FAILED: snapshot(
        CPU1, claim("m", "p", Phase.RELEASING), outcomes=(Outcome(OutcomeKind.RELEASE, ("m",), 1.0, Trouble.DENIED),)
    ),
    ReasonCode.BAD_ORDER: snapshot(CPU1, orders=order(OrderKind.SET, "nothing")),
}


def all_reasons(of: Plan) -> Iterator[Reason]:
    """Yield every reason of a plan, the links of chains too."""
    todo = [action.reason for action in of.actions]
    todo += [kept.reason for kept in of.kept]
    todo += [finding.reason for finding in of.findings]
    todo += [missing.reason for missing in of.unmet]
    todo += [verdict.reason for missing in of.unmet for verdict in missing.pools]
    while todo:
        one = todo.pop()
        yield one
        todo.extend(one.chain)


@pytest.mark.parametrize("code", CASES)
def test_the_reason_is_given_and_can_be_read(code: ReasonCode) -> None:
    texts = [one.text for one in all_reasons(plan(CASES[code])) if one.code is code]
    assert texts
    assert all(text and "{" not in text.replace("{CPU", "").replace("{a", "") for text in texts)


def test_no_reason_is_forgotten() -> None:
    """BROKEN_INVARIANT comes from the check of a plan, never from a plan."""
    assert set(ReasonCode) - set(CASES) - set(OFFERS) == {
        ReasonCode.BROKEN_INVARIANT
    }  # test_whynot has those of offers


def test_a_broken_plan_is_found_out() -> None:
    """The check does not trust the planner: plans that were tampered with are all found."""
    of = snapshot(pool("p", CPU=1, max_workers=2), claim("m", "p", used={"CPU": 1}), tasks(1, CPU=1))
    good = plan(of)
    other = plan(snapshot(pool("p", CPU=1), claim("m", "p", idle_s=99.0)))
    crowd = plan(snapshot(pool("p", CPU=1), tasks(3, CPU=1)))
    assert check(of, good) == ()
    assert [f.reason.text for f in check(of, other)][:1] == [
        "what is in use is not released for being idle: it leaves: idle"
    ]
    texts = " ".join(f.reason.text for f in check(of, crowd))
    assert "pool maximum: 3 of 2" in texts
    assert "demand is placed or unmet: 3 of 1" in texts


def placed_otherwise(of: Snapshot, on: str) -> list[str]:
    """Plan, move the first placement to the host `on`, and return what the check says of that."""
    good = plan(of)
    assert check(of, good) == ()
    moved = (replace(good.placements[0], on=on), *good.placements[1:])
    return [finding.reason.text for finding in check(of, replace(good, placements=moved))]


def test_work_on_a_host_without_its_labels_is_found_out() -> None:
    hosts = [claim("m1", "p", labels={"a": "b"}), claim("m2", "p")]
    of = snapshot(pool("p", CPU=1), *hosts, tasks(1, {"a": "b"}, CPU=1))
    assert placed_otherwise(of, "m2") == ["a host has the labels that are asked for: tasks 0"]
    new = snapshot(
        pool("p", CPU=1, labels={"a": "b"}), *hosts[1:], tasks(1, {"ray.io/node-group": "p", "a": "b"}, CPU=1)
    )
    assert check(new, plan(new)) == ()


@pytest.mark.parametrize(
    ("strategy", "on", "broken"),
    [("STRICT_PACK", "m2", "STRICT_PACK shares a host"), ("STRICT_SPREAD", "m2", "STRICT_SPREAD shares no host")],
)
def test_strict_gangs_that_are_not_are_found_out(strategy: str, on: str, broken: str) -> None:
    hosts = [claim("m1", "p", used={"CPU": 1}), claim("m2", "p")]
    of = snapshot(pool("p", CPU=4), *hosts, gang(strategy, {"CPU": 1}, {"CPU": 1}))
    assert any(text.startswith(broken) for text in placed_otherwise(of, on))
