"""Step 14: why every host that exists stays, and what it all costs."""

from __future__ import annotations

from rayfleet.model import CAPACITY, LEAVING, PRESENT, Claim, Cost, Kept, Phase, Reason, ReasonCode, reason
from rayfleet.planner.draft import Draft


def kept_hosts(draft: Draft, why: dict[str, Reason]) -> tuple[Kept, ...]:
    """Return a reason for every host that existed and does not start to leave in this plan."""
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
    return tuple(kept)


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
    return draft.held or reason(ReasonCode.BOOTING)


def cost(draft: Draft) -> Cost:
    """Return what all that exists costs before and after this plan; leaving machines cost until they are gone."""
    before = _sum(draft, list(draft.snapshot.claims))
    after = _sum(draft, list(draft.claims.values()))
    fresh = sum(batch.usd_per_hour for batch in draft.fresh)
    unpriced = after[1] + sum(batch.hosts for batch in draft.fresh if batch.price is None)
    return Cost(round(before[0], 9), round(after[0] + fresh, 9), unpriced)


def _sum(draft: Draft, claims: list[Claim]) -> tuple[float, int]:
    usd = 0.0
    unpriced = 0
    for claim in claims:
        if claim.foreign or claim.phase not in PRESENT:
            continue
        price = draft.usd_per_hour(claim)
        if price is None:
            unpriced += claim.count
        else:
            usd += price * claim.count
    return usd, unpriced
