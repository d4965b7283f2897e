"""When a cluster may be left alone, and when it is looked at again. Pure.

what goes on                                            awake for at most
------------------------------------------------------  -----------------------------------------------
machines start or leave, a call is under way (MOVING)   as long as it lasts
work waits or runs, machines become idle (WORKING)      5 minutes in which nothing of that changes
none of it (NOTHING)                                    5 seconds, for what comes in steps
Ray does not answer                                     30 seconds
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from enum import StrEnum
from typing import Final

from rayfleet.model import Claim, Phase, Policy, TickReport

LOOK_FIRST_S: Final = 1.0
LOOK_MAX_S: Final = 9.0
"""Demand is to be met within 10 s also where nobody expected any; the rest is for asking and planning."""
SLOWER: Final = 1.5
NOTHING_S: Final = 5.0
WORKING_S: Final = 300.0
DOWN_S: Final = 30.0


class Activity(StrEnum):
    """What goes on in a cluster."""

    MOVING = "moving"
    WORKING = "working"
    NOTHING = "nothing"


_AWAKE_S: Final = {Activity.MOVING: math.inf, Activity.WORKING: WORKING_S, Activity.NOTHING: NOTHING_S}


def activity(report: TickReport) -> Activity:
    """Return what goes on, as of a tick."""
    snapshot, plan = report.snapshot, report.plan
    claims = [claim for claim in plan.claims if not claim.head and not claim.foreign]
    calls = bool(plan.launches or snapshot.in_flight or snapshot.outcomes)
    if report.error or not report.saved or calls or any(claim.phase is not Phase.READY for claim in claims):
        return Activity.MOVING
    waits = bool(snapshot.demand.tasks or snapshot.demand.gangs or plan.unmet)
    if waits or any(_in_use(claim) or _may_time_out(claim, snapshot.policy) for claim in claims):
        return Activity.WORKING
    return Activity.NOTHING


def mark(report: TickReport) -> Hashable:
    """Return what is the same for as long as nothing goes on: everything but time."""
    demand = report.snapshot.demand
    return (
        tuple((task.shape, task.selectors, task.count) for task in demand.tasks),
        tuple((gang.strategy, gang.bundles, gang.count) for gang in demand.gangs),
        demand.requested,
        tuple((claim.id, claim.phase, _in_use(claim)) for claim in report.plan.claims if not claim.foreign),
        report.snapshot.engine_up,
    )


def may_sleep(going_on: Activity, quiet_s: float, *, engine_up: bool) -> bool:
    """Say whether a cluster may be left alone in which nothing has changed for `quiet_s`."""
    awake_s = _AWAKE_S[going_on]
    return quiet_s >= (awake_s if engine_up else min(awake_s, DOWN_S))


def next_pause_s(pause_s: float, spread: float) -> float:
    """Return how long to wait after a wait of `pause_s` that has brought nothing new.

    `spread`, 0 to 1, is the cluster's own: without it, thousands that fell asleep together would be asked together.
    """
    return min(pause_s * SLOWER, LOOK_MAX_S * (0.9 + 0.1 * spread))


def _in_use(claim: Claim) -> bool:
    return any(host.used for host in claim.hosts)


def _may_time_out(claim: Claim, policy: Policy) -> bool:
    """Say whether an unused machine is still within its time. One beyond it that was not let go is there to stay."""
    pool = policy.pool(claim.pool)
    own = pool.idle_timeout_s if pool else None
    timeout_s = policy.idle_timeout_s if own is None else own
    return any(host.idle_s < timeout_s for host in claim.hosts)
