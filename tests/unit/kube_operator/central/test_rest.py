"""When a cluster that the operator scales may be left alone: a table."""

from dataclasses import replace
from typing import Any

import pytest

from rayfleet.kube_operator.central.rest import (
    LOOK_FIRST_S,
    LOOK_MAX_S,
    Activity,
    activity,
    mark,
    may_sleep,
    next_pause_s,
)
from rayfleet.model import (
    Bundle,
    Claim,
    Demand,
    Gang,
    Host,
    Launch,
    OfferKey,
    Outcome,
    OutcomeKind,
    Phase,
    Plan,
    Policy,
    Pool,
    ReasonCode,
    Resources,
    Snapshot,
    Strategy,
    TaskDemand,
    TickReport,
    reason,
)

CPU = Resources.of({"CPU": 1})
POOL = OfferKey("cpu")
POLICY = Policy(pools=(Pool("cpu", CPU, idle_timeout_s=60.0),))
IDLE = Claim("c1", POOL, Phase.READY, (Host("c1", "m1", "n1", idle_s=10.0),))
KEPT = replace(IDLE, hosts=(Host("c1", "m1", "n1", idle_s=61.0),))
BUSY = replace(IDLE, hosts=(Host("c1", "m1", "n1", used=CPU),))
HEAD = Claim("head", POOL, Phase.READY, (Host("head", "h", "n0", used=CPU),), foreign=True)
WAITING = Demand(tasks=(TaskDemand(CPU, 1, age_s=3.0),))
GANG = Demand(gangs=(Gang(Strategy.PACK, (Bundle(CPU),)),))
NOTHING, WORKING, MOVING = Activity.NOTHING, Activity.WORKING, Activity.MOVING


def report(*claims: Claim, plan: Plan | None = None, saved: bool = True, error: str = "", **seen: Any) -> TickReport:
    snapshot = Snapshot(policy=POLICY, claims=claims, **seen)
    return TickReport(1, "team/demo", snapshot, plan or Plan(claims=claims), error=error, saved=saved)


@pytest.mark.parametrize(
    ("seen", "going_on"),
    [
        (report(), NOTHING),
        (report(HEAD), NOTHING),
        (report(KEPT), NOTHING),
        (report(IDLE), WORKING),
        (report(BUSY), WORKING),
        (report(demand=WAITING), WORKING),
        (report(demand=GANG), WORKING),
        *((report(replace(KEPT, phase=phase)), MOVING) for phase in Phase if phase is not Phase.READY),
        (report(in_flight=("b1",)), MOVING),
        (report(outcomes=(Outcome(OutcomeKind.LAUNCH, ("c1",), 1.0),)), MOVING),
        (report(plan=Plan(launches=(Launch(POOL, ("c1",), "b1", 1, reason(ReasonCode.HEAD)),))), MOVING),
        (report(saved=False), MOVING),
        (report(error="it broke"), MOVING),
    ],
)
def test_what_goes_on(seen: TickReport, going_on: Activity) -> None:
    assert activity(seen) is going_on


@pytest.mark.parametrize(
    ("going_on", "up", "quiet_s", "sleeps"),
    [
        (NOTHING, True, 4.9, False),
        (NOTHING, True, 5.0, True),
        (WORKING, True, 299.0, False),
        (WORKING, True, 300.0, True),
        (MOVING, True, 1e9, False),
        (NOTHING, False, 5.0, True),
        (WORKING, False, 29.0, False),
        (WORKING, False, 30.0, True),
        (MOVING, False, 29.0, False),
        (MOVING, False, 30.0, True),
    ],
)
def test_how_long_it_stays_awake(going_on: Activity, up: bool, quiet_s: float, sleeps: bool) -> None:
    assert may_sleep(going_on, quiet_s, engine_up=up) is sleeps


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (report(demand=WAITING), report(demand=Demand(tasks=(TaskDemand(CPU, 1, age_s=9.0),))), True),
        (report(demand=WAITING), report(demand=Demand(tasks=(TaskDemand(CPU, 2),))), False),
        (report(demand=WAITING), report(demand=GANG), False),
        (report(IDLE), report(replace(IDLE, hosts=(Host("c1", "m1", "n1", idle_s=20.0),))), True),
        (report(IDLE), report(BUSY), False),
        (report(IDLE), report(replace(IDLE, phase=Phase.DRAINING)), False),
        (report(), report(engine_up=False), False),
    ],
)
def test_time_alone_is_no_news(before: TickReport, after: TickReport, same: bool) -> None:
    assert (mark(before) == mark(after)) is same


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_pauses_grow_and_stay_below_ten_seconds(spread: float) -> None:
    pauses = [LOOK_FIRST_S]
    for _ in range(20):
        pauses.append(next_pause_s(pauses[-1], spread))
    assert pauses == sorted(pauses)
    assert 0.9 * LOOK_MAX_S <= pauses[-1] <= LOOK_MAX_S


def test_clusters_that_fell_asleep_together_are_not_asked_together_for_long() -> None:
    last = {round(next_pause_s(100.0, n / 10), 3) for n in range(11)}
    assert len(last) == 11
