"""Consolidation: is it worth it to give up a machine, or to have a cheaper one in its place?

    score = saving / (saving + disruption)

`saving` is what is not paid any more, `disruption` what the used part of the machine costs, both in USD per hour: as if
an hour of the work on it were lost. An idle machine scores 1, a machine that is half used and whose work fits elsewhere
2/3. With `consolidation_threshold` (off by default; 0.5 says that the saving is worth at least the disruption) what
scores as much or more is done, when it saves at least a tenth of the machine's price, `consolidate_after_s` after the
machine has become READY at the earliest, and as the disruption budgets allow (reason `underused`).

    cheaper      another offer of its pool costs less - so on-demand gives way to spot that no longer backs off
    fits         the work on it fits on machines that stay anyway: it leaves without a replacement
    exchange     another machine of any pool takes the work of one or several (see exchange)

The work on a machine is taken as one piece per host and goes only where its pool's labels hold. Prices that are not
known are compared by what stands in for them.
"""

from __future__ import annotations

from typing import Final

from rayfleet.model import Claim, OfferKey, Pool, Reason, ReasonCode, reason
from rayfleet.planner import backoffs
from rayfleet.planner.detours import offer_text, price_of
from rayfleet.planner.draft import Draft, idle_s, is_used, used_share
from rayfleet.planner.weights import stand_in_price

LEAST_SAVING: Final = 0.1
"""Share of a machine's price that has to be saved: prices move, and nothing is replaced for cents."""
_ROUNDING: Final = 1e-9


def cheaper(draft: Draft, claim: Claim, pool: Pool) -> Reason | None:
    """Return why an offer of the same pool should take a claim's place; None when none should."""
    if not is_settled(draft, claim) or not _is_kept(draft, claim, pool):
        return None
    paid = paid_usd_per_hour(draft, claim)
    found: tuple[float, OfferKey] | None = None
    for offer in pool.offers:
        key = offer.key(pool.name)
        price = price_of(pool, offer)
        if key != claim.offer and not backoffs.active(draft, key) and (found is None or price < found[0]):
            found = (price, key)
    if found is None:
        return None
    saving = (paid - found[0]) * claim.count
    score = worth(draft, claim, saving)
    if score is None:
        return None
    return reason(ReasonCode.CHEAPER, offer=offer_text(found[1]), usd_per_hour=saving, score=score)


def fits(draft: Draft, claim: Claim) -> Reason | None:
    """Return why a claim should leave whose work fits on machines that are up; None when it is not worth it."""
    if not is_settled(draft, claim):
        return None
    saving = paid_usd_per_hour(draft, claim) * claim.count
    score = worth(draft, claim, saving)
    return None if score is None else reason(ReasonCode.UNDERUSED, usd_per_hour=saving, score=score)


def worth(draft: Draft, claim: Claim, saving: float) -> float | None:
    """Return the score of saving so much (USD per hour) by ending a claim; None when it is not enough."""
    price = paid_usd_per_hour(draft, claim) * claim.count
    return score_of(draft, saving, used_share(claim, draft.policy) * price, price)


def score_of(draft: Draft, saving: float, disruption: float, price: float) -> float | None:
    """Return the score of a saving on what costs `price`; None when it is not enough."""
    threshold = draft.policy.consolidation_threshold
    if threshold is None or saving <= 0 or saving < LEAST_SAVING * price - _ROUNDING:
        return None
    score = saving / (saving + disruption)
    return score if score >= threshold - _ROUNDING else None


def is_settled(draft: Draft, claim: Claim) -> bool:
    """Say whether a claim has been READY for long enough to be judged."""
    wanted = draft.policy.consolidation_threshold is not None
    return wanted and draft.now - claim.since >= draft.policy.consolidate_after_s


def _is_kept(draft: Draft, claim: Claim, pool: Pool) -> bool:
    """Say whether a claim stays unless something takes its place: it is used, or idle and held all the same."""
    if is_used(claim):
        return True
    timeout_s = draft.policy.idle_timeout_s if pool.idle_timeout_s is None else pool.idle_timeout_s
    return idle_s(claim) >= timeout_s and bool(pool.min_workers or draft.snapshot.demand.requested)


def paid_usd_per_hour(draft: Draft, claim: Claim) -> float:
    """Return what a host of a claim costs, or what stands in for that.

    When its own offer has become cheaper since, so has the machine: to have it anew would save nothing.
    """
    known = [usd for usd in (claim.usd_per_hour, draft.listed_usd_per_hour(claim.offer)) if usd is not None]
    if known:
        return min(known)
    pool = draft.policy.pool(claim.pool)
    return stand_in_price(pool.resources) if pool else 0.0
