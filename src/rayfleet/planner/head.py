"""Step 6: a cluster has one head. Until it is READY nothing else is scaled."""

from __future__ import annotations

from rayfleet.model import EXISTING, Claim, Host, How, Launch, Phase, Pool, ReasonCode, reason
from rayfleet.planner import backoffs, leaving
from rayfleet.planner.draft import Draft
from rayfleet.planner.market import by_price


def tend_head(draft: Draft) -> None:
    """Launch the head when there is none, and say what may be scaled now (`draft.held`)."""
    heads = [claim for claim in draft.claims.values() if claim.head and claim.phase in EXISTING]
    if draft.shutdown:
        draft.held = reason(ReasonCode.SHUTTING_DOWN)
        return
    for extra in _extra(heads):
        leaving.release(draft, extra, reason(ReasonCode.UNNEEDED), How.NOW)
    if draft.policy.head and not heads:
        _launch(draft, draft.policy.head)
    if (draft.policy.head or heads) and not any(head.phase is Phase.READY for head in heads):
        draft.held = reason(ReasonCode.WAITING_FOR_HEAD)
    elif not draft.snapshot.engine_up:
        draft.held = reason(ReasonCode.ENGINE_DOWN)
        draft.find("engine", draft.held)


def _extra(heads: list[Claim]) -> list[Claim]:
    """Return heads beyond the first that is READY (or furthest): a cluster with two is none."""
    staying = [head for head in heads if head.phase is not Phase.RELEASING and not head.foreign]
    furthest = {Phase.READY: 0, Phase.BOOTING: 1, Phase.REQUESTED: 2}
    return sorted(staying, key=lambda head: furthest.get(head.phase, 3))[1:]


def _launch(draft: Draft, pool: Pool) -> None:
    free = [offer for offer in by_price(pool) if not backoffs.active(draft, offer.key(pool.name))]
    if not free:
        return
    offer = free[0]
    name = draft.next_id(pool.name)
    claim = Claim(
        id=name,
        offer=offer.key(pool.name),
        phase=Phase.REQUESTED,
        hosts=(Host(id=name),),
        since=draft.now,
        created=draft.now,
        batch=draft.token(name),
        accepted=False,
        head=True,
        make=pool.make,
        usd_per_hour=offer.usd_per_hour,
    )
    draft.keep(claim)
    draft.launches.append(Launch(claim.offer, (name,), claim.batch, 1, reason(ReasonCode.HEAD)))
