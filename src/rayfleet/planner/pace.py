"""`downscaling_speed`: how many machines of a pool may be leaving while others leave voluntarily. Mirror of upscaling.

    leaving (for whatever reason, or about to be replaced) <= max(5, ceil(speed x ready ones))

It holds for everything voluntary: idleness, an outdated configuration, age, consolidation, making room. What limits,
orders, interruptions and failures end asks nobody, but is counted. A replica is never split: when nothing of its pool
is leaving, one whole replica may.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from rayfleet.model import LEAVING, Claim, Phase, Reason, ReasonCode, reason
from rayfleet.planner.draft import Draft

FIRST_TO_LEAVE: Final = 5
"""So many may always be leaving, however slow the speed."""


@dataclass(slots=True)
class Pace:
    """`left`: how many hosts of each pool may still begin to leave; empty without a speed."""

    speed: float = 0.0
    left: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, draft: Draft) -> Pace:
        """Count what is READY and what is leaving."""
        speed = draft.policy.downscaling_speed
        if speed is None:
            return cls()
        ready: dict[str, int] = {}
        away: dict[str, int] = {}
        for claim in draft.workers():
            counts = ready if claim.phase is Phase.READY else away
            if claim.phase is Phase.READY or claim.phase in LEAVING:
                counts[claim.pool] = counts.get(claim.pool, 0) + claim.count
        left: dict[str, int] = {}
        for pool in draft.policy.pools:
            gone = away.get(pool.name, 0)
            most = max(FIRST_TO_LEAVE, math.ceil(speed * ready.get(pool.name, 0)))
            left[pool.name] = (most if gone else max(most, pool.hosts_per_replica)) - gone
        return cls(speed, left)

    def copy(self) -> Pace:
        """Return an independent copy, for a try."""
        return Pace(self.speed, dict(self.left))

    def held(self, claim: Claim) -> Reason | None:
        """Return why a claim may not leave yet; None when it may."""
        if self.left.get(claim.pool, claim.count) >= claim.count:
            return None
        return reason(ReasonCode.DOWNSCALING_SPEED, downscaling_speed=self.speed)

    def take(self, claim: Claim) -> None:
        """Count a claim that is let go, or is about to be."""
        if claim.pool in self.left:
            self.left[claim.pool] -= claim.count
