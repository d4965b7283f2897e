"""Step 12, in part: machines on their way that nothing needs any more, and are kept on hand all the same.

Load that comes and goes from second to second is served by machines that get free before a new one is up. To cancel
that one then costs a launch for every such moment: the provider bills its least time, and the next moment waits for
another boot. So what nobody needs on its way is treated as what is idle: it may stay for its pool's idle time-out,
counted from its launch. What boots within that time joins, and its idle time begins then, as ever.

How many: `keep_starting_share` of the machines of its pool that are in use, rounded up, those nearest to ready. A
steady load keeps a few; where nothing is in use any more, everything is cancelled at once. Nothing is kept while a
limit keeps other work waiting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rayfleet.model import Claim, Phase, Reason, ReasonCode, reason
from rayfleet.planner.draft import Draft, is_used

LIMITS = frozenset(
    {
        ReasonCode.MAX_WORKERS,
        ReasonCode.POOL_MAX_WORKERS,
        ReasonCode.BUDGET,
        ReasonCode.DAY_BUDGET,
        ReasonCode.MAX_RESOURCES,
        ReasonCode.UPSCALING_SPEED,
        ReasonCode.LAUNCH_RATE,
        ReasonCode.GANG_TOO_WIDE,
        ReasonCode.FAIR_SHARE,
    }
)
"""Why demand is unmet for which a cancelled machine may make room."""


@dataclass(slots=True)
class Patience:
    """Counts per pool, in claims: `may` be kept, and how many that nobody needs are `left` to be judged."""

    draft: Draft
    in_use: dict[str, int] = field(default_factory=dict)
    may: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, draft: Draft, unneeded: list[Claim]) -> Patience:
        """Count what may be kept of these, which are in the order in which they would be cancelled."""
        made = cls(draft)
        young = [claim for claim in unneeded if made._is_young(claim)]
        if not young or any(unmet.reason.code in LIMITS for unmet in draft.unmet):
            return made
        for claim in young:
            made.left[claim.pool] = made.left.get(claim.pool, 0) + 1
        for claim in draft.workers():
            if claim.pool in made.left and claim.phase is Phase.READY and is_used(claim):
                made.in_use[claim.pool] = made.in_use.get(claim.pool, 0) + 1
        for pool, count in made.in_use.items():
            made.may[pool] = math.ceil(draft.policy.keep_starting_share * count)
        return made

    def held(self, claim: Claim) -> Reason | None:
        """Return why the next claim in that order is kept on hand; None when it is not."""
        if claim.pool not in self.left or not self._is_young(claim):
            return None
        self.left[claim.pool] -= 1
        if self.left[claim.pool] >= self.may.get(claim.pool, 0):
            return None
        left_s = claim.created + self._timeout_s(claim) - self.draft.now
        return reason(ReasonCode.ON_HAND, in_use=self.in_use[claim.pool], pool=claim.pool, left_s=left_s)

    def _is_young(self, claim: Claim) -> bool:
        """Say whether a claim was launched within its idle time-out; one without a time (0) was long ago."""
        after = max(0.0, self.draft.now - self._timeout_s(claim))
        return claim.created > after and not self.draft.is_replaced(claim)

    def _timeout_s(self, claim: Claim) -> float:
        pool = self.draft.policy.pool(claim.pool)
        own = pool.idle_timeout_s if pool else None
        return self.draft.policy.idle_timeout_s if own is None else own
