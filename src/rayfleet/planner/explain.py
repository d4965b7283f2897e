"""Step 14: why every host that exists stays, and what it all costs."""

from __future__ import annotations

from rayfleet.model import CAPACITY, LEAVING, PRESENT, Claim, Cost, Deferred, Kept, Phase, Reason, ReasonCode, reason
from rayfleet.planner.census import census, census_before
from rayfleet.planner.draft import Draft
from rayfleet.planner.surplus import busy_with


def kept_hosts(draft: Draft, why: dict[str, Reason]) -> tuple[Kept, ...]:
    """Return a reason for every host that existed and does not start to leave in this plan.

    They are written when somebody looks: most plans of a quiet cluster are like the one before, and nobody does.
    """
    return Deferred(lambda: _kept(draft, why)).as_tuple()


def _kept(draft: Draft, why: dict[str, Reason]) -> list[Kept]:
    kept: list[Kept] = []
    acted = {drain.claim for drain in draft.drains} | {release.claim for release in draft.releases}
    for before in draft.snapshot.claims:
        claim = draft.claims.get(before.id)
        if claim is None or before.phase not in PRESENT:
            continue
        if claim.phase in LEAVING and before.phase in CAPACITY | {Phase.STANDBY} and claim.id in acted:
            continue
        cause = why.get(claim.id) or _otherwise(draft, claim)
        for host in claim.hosts:
            kept.append(Kept(host.id, cause))  # noqa: PERF401 - one host mostly, and a generator costs more than that
    return kept


def _otherwise(draft: Draft, claim: Claim) -> Reason:
    if claim.phase in LEAVING:
        why = claim.drain.reason if claim.drain else claim.ending
        leaves = reason(ReasonCode.LEAVING)
        return leaves.because(why) if why else leaves
    if claim.phase is Phase.STANDBY:
        return reason(ReasonCode.ON_STANDBY)
    if claim.head:
        return reason(ReasonCode.IS_HEAD)
    if claim.foreign:
        return reason(ReasonCode.NEEDED, by="whoever joined it by hand")
    return busy_with(claim) or draft.held or reason(ReasonCode.BOOTING)


def cost(draft: Draft) -> Cost:
    """Return what all that exists costs before and after this plan; leaving machines cost until they are gone."""
    before, after = census_before(draft), census(draft)
    fresh = sum(batch.usd_per_hour for batch in draft.fresh)
    unpriced = after.unpriced + sum(batch.hosts for batch in draft.fresh if batch.price is None)
    return Cost(round(before.usd_per_hour, 9), round(after.usd_per_hour + fresh, 9), unpriced)
