"""Step 6, its end, in part: a grace beyond the maximum age, for what runs on a machine that is too old.

Without a grace only idle machines and those whose work is restartable are replaced for their age; work that is neither
keeps its machine for ever. With `max_age_grace_s` a machine in use is drained at its maximum age, within the
disruption budgets: Ray sends it no new work, and what runs there has until age and grace are over (at least
`drain_timeout_s`). It is ended then, restartable or not - that is what the key says. Its work gets room elsewhere only
`drain_timeout_s` before that, if it still runs. Machines labelled do-not-disrupt stay all the same.
"""

from __future__ import annotations

from rayfleet.model import Claim, Phase, Pool, ReasonCode
from rayfleet.planner.draft import Draft


def max_age_s(draft: Draft, pool: Pool | None) -> float | None:
    """Return how old machines of a pool may be, in seconds; None: as old as they like."""
    own = pool.max_age_s if pool else None
    return draft.policy.max_age_s if own is None else own


def grace_ends_at(draft: Draft, claim: Claim) -> float | None:
    """Return when what runs on a claim is ended for its age; None: never, or its age has no maximum."""
    pool = draft.policy.pool(claim.pool)
    own = pool.max_age_grace_s if pool else None
    grace_s = draft.policy.max_age_grace_s if own is None else own
    age_s = max_age_s(draft, pool)
    return None if grace_s is None or age_s is None else claim.created + age_s + grace_s


def may_finish(draft: Draft, claim: Claim) -> bool:
    """Say whether the work of a claim that leaves for its age has time to finish, so that it needs no room yet."""
    if claim.phase is Phase.DRAINING:
        asked = claim.drain
        graced = asked is not None and any(link.code is ReasonCode.GRACE for link in asked.reason.chain)
        ends_at = asked.deadline if asked is not None and graced else None
    else:
        why = draft.outgoing.get(claim.id)
        ends_at = grace_ends_at(draft, claim) if why is not None and why.code is ReasonCode.EXPIRED else None
    return ends_at is not None and ends_at - draft.now > draft.timeouts.drain_timeout_s
