"""Room to spare: how much of a pool would be in use without a machine, for `scale_down_utilization`.

Of each resource of the pool the sum in use is compared with the sum that the READY machines have; the fullest one
counts. What runs on a machine that leaves goes on elsewhere, so it stays in the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from rayfleet.model import Claim, Phase, Reason, ReasonCode, reason
from rayfleet.planner.draft import Draft

_ROUNDING: Final = 1e-9


@dataclass(slots=True)
class Headroom:
    """Units in use and in all, by pool and resource; empty when the policy does not ask."""

    draft: Draft
    used: dict[tuple[str, str], int] = field(default_factory=dict)
    total: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, draft: Draft) -> Headroom:
        """Sum up what is READY."""
        made = cls(draft)
        if draft.policy.scale_down_utilization is not None:
            for claim in draft.workers():
                if claim.phase is Phase.READY and claim.id not in draft.outgoing:
                    made._add(claim, 1)
                    for host in claim.hosts:
                        for name, units in host.used.items():
                            made.used[claim.pool, name] = made.used.get((claim.pool, name), 0) + units
        return made

    def held(self, claim: Claim) -> Reason | None:
        """Return why a READY claim stays so that there is room to spare; None when it may go."""
        most = self.draft.policy.scale_down_utilization
        if most is None:
            return None
        share = self._without(claim)
        if share <= most + _ROUNDING:
            return None
        share = min(share, 1.0)  # nothing is left of what is in use: all of it would be
        return reason(
            ReasonCode.SCALE_DOWN_UTILIZATION, pool=claim.pool, utilization=share, scale_down_utilization=most
        )

    def take(self, claim: Claim) -> None:
        """Count a claim that leaves."""
        if self.draft.policy.scale_down_utilization is not None:
            self._add(claim, -1)

    def _without(self, claim: Claim) -> float:
        own = self._totals(claim)
        share = 0.0
        for (pool, name), used in self.used.items():
            if pool == claim.pool and used:
                left = self.total.get((pool, name), 0) - own.get(name, 0)
                share = max(share, used / left if left > 0 else math.inf)
        return share

    def _add(self, claim: Claim, sign: int) -> None:
        for name, units in self._totals(claim).items():
            key = (claim.pool, name)
            self.total[key] = self.total.get(key, 0) + sign * units

    def _totals(self, claim: Claim) -> dict[str, int]:
        pool = self.draft.policy.pool(claim.pool)
        sums: dict[str, int] = {}
        for host in claim.hosts:
            for name, units in (host.total or (pool.resources if pool else {})).items():
                sums[name] = sums.get(name, 0) + units
        return sums
