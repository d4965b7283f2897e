"""How many machines may be leaving voluntarily at a time: the policy's budgets, counted down as machines are let go.

Voluntary is what nobody has to: idleness, an outdated configuration, age, consolidation. What limits, orders,
interruptions or failures end is not asked about here, and does not count. A budget counts machines that are leaving
for one of its reasons, and those that are about to (their replacement is on its way). It is looked at with
`snapshot.now`; while its window is closed it does not exist.

Where no budget speaks of a reason now, the default holds: idleness has none, outdated machines leave by halves of
their pool (see surplus), expired and under-used ones by tenths of it, at least one (of several hosts: one replica).

The downscaling speed is asked here too, beside the budgets: it is about the same machines (see pace).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from rayfleet.model import (
    LEAVING,
    Claim,
    Disruption,
    DisruptionBudget,
    Phase,
    Reason,
    ReasonCode,
    reason,
)
from rayfleet.planner.draft import Draft
from rayfleet.planner.pace import Pace
from rayfleet.planner.windows import is_open

CODES: Final[dict[ReasonCode, Disruption]] = {
    ReasonCode.IDLE: Disruption.IDLE,
    ReasonCode.MAKES_ROOM: Disruption.IDLE,
    ReasonCode.DRIFTED: Disruption.DRIFTED,
    ReasonCode.EXPIRED: Disruption.EXPIRED,
    ReasonCode.UNDERUSED: Disruption.UNDERUSED,
    ReasonCode.CHEAPER: Disruption.UNDERUSED,
}
"""Reasons of voluntary leaving."""

DEFAULT_SHARE: Final = 10
"""Percent of a pool's machines that may be leaving because they are expired or under-used, where no budget says."""

BY_DEFAULT: Final = frozenset({Disruption.EXPIRED, Disruption.UNDERUSED})


def disruption_of(claim: Claim) -> Disruption | None:
    """Return why a claim leaves voluntarily; None when it does not."""
    if claim.phase not in LEAVING or claim.standby:  # the end of what waits disrupts nobody
        return None
    why = claim.drain.reason if claim.drain else claim.ending
    return voluntary(why) if why else None


def voluntary(why: Reason) -> Disruption | None:
    """Return which voluntary reason a reason is, or came from."""
    if why.code in CODES:
        return CODES[why.code]
    return next((found for link in why.chain if (found := voluntary(link)) is not None), None)


def in_force(budgets: Iterable[DisruptionBudget], now: float) -> Iterator[DisruptionBudget]:
    """Yield the budgets that hold at a moment."""
    for budget in budgets:
        if budget.window is None or is_open(budget.window, now):
            yield budget


@dataclass(slots=True)
class _Meter:
    """One budget: how many `may` leave at a time and how many do."""

    budget: DisruptionBudget
    may: int
    leaving: int


@dataclass(slots=True)
class Budgets:
    """See the module. `defaults` are per pool and reason, made when they are asked for."""

    meters: list[_Meter]
    ready: dict[str, int] = field(default_factory=dict)
    away: dict[tuple[str, Disruption], int] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    @classmethod
    def of(cls, draft: Draft) -> Budgets:
        """Count what is READY and what leaves voluntarily already."""
        made = cls([], pace=Pace.of(draft))
        if not draft.policy.disruption_budgets and not draft.policy.replaces_machines:
            return made  # nothing will be asked that is not always allowed
        for claim in draft.workers():
            why = disruption_of(claim)
            if why is not None:
                made.away[claim.pool, why] = made.away.get((claim.pool, why), 0) + claim.count
            if why is not None or claim.phase is Phase.READY:
                made.ready[claim.pool] = made.ready.get(claim.pool, 0) + claim.count
        for budget in in_force(draft.policy.disruption_budgets, draft.now):
            machines = sum(count for pool, count in made.ready.items() if budget.pool in ("", pool))
            leaving = sum(count for (pool, why), count in made.away.items() if budget.applies(why, pool))
            made.meters.append(_Meter(budget, budget.allowed(machines), leaving))
        return made

    def fork(self) -> Budgets:
        """Return an independent copy, for a try."""
        return Budgets([replace(meter) for meter in self.meters], dict(self.ready), dict(self.away), self.pace.copy())

    def speaks_of(self, why: Disruption, pool: str) -> bool:
        """Say whether a budget of the policy is in force for this."""
        return any(meter.budget.applies(why, pool) for meter in self.meters)

    def held(self, why: Disruption, claim: Claim) -> Reason | None:
        """Return the speed or the budget that keeps a claim from leaving now; None when it may."""
        if paced := self.pace.held(claim):
            return paced
        known = [meter for meter in self.meters if meter.budget.applies(why, claim.pool)]
        for meter in known or self._default(why, claim):
            if meter.leaving + claim.count > meter.may:
                nodes = meter.budget.nodes_text
                return reason(ReasonCode.DISRUPTION_BUDGET, why=why.value, nodes=nodes, leaving=meter.leaving)
        return None

    def take(self, why: Disruption, claim: Claim) -> None:
        """Count a claim that is let go."""
        self.pace.take(claim)
        self.away[claim.pool, why] = self.away.get((claim.pool, why), 0) + claim.count
        for meter in self.meters:
            if meter.budget.applies(why, claim.pool):
                meter.leaving += claim.count

    def _default(self, why: Disruption, claim: Claim) -> list[_Meter]:
        if why not in BY_DEFAULT:
            return []
        budget = DisruptionBudget(DEFAULT_SHARE, percent=True)
        # A replica leaves whole: where it is more than a tenth of its pool it would never be replaced.
        may = max(claim.count, budget.allowed(self.ready.get(claim.pool, 0)))
        return [_Meter(budget, may, self.away.get((claim.pool, why), 0))]
