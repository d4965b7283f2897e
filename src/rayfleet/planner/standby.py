"""Step 14: machines on standby, the last thing that a plan looks after.

    idle machine --(too few wait, or more are kept)--> drained and stopped, instead of given back
    nothing else to launch ---------> a new one is made without Ray, within every limit
    too many, too old, outdated, interrupted, too dear beside the work, pool gone --> given back

They are no capacity and hold no minimum. They count in no maximum either, but never more are made than could work
beside what exists. Their cost counts after everything else: for work there is as much money as without them, and what
then does not fit is given back. `reuse` is how they come back to work.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from rayfleet.model import (
    STARTING,
    Claim,
    Host,
    How,
    Launch,
    Market,
    Phase,
    Pool,
    Reason,
    ReasonCode,
    ReleaseMode,
    reason,
)
from rayfleet.planner import leaving
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout
from rayfleet.planner.market import Variant
from rayfleet.planner.minimums import backed_off
from rayfleet.planner.names import host_ids
from rayfleet.planner.resting import is_at_rest, mode_of
from rayfleet.planner.room import CENT_PART, Room, total_of
from rayfleet.planner.spending import spent_today
from rayfleet.planner.standby_rules import STOPPABLE
from rayfleet.planner.surplus import busy_with

_WORK_COMES_FIRST: Final = frozenset(
    {
        ReasonCode.BUDGET,
        ReasonCode.DAY_BUDGET,
        ReasonCode.MAX_RESOURCES,
        ReasonCode.LAUNCH_RATE,
        ReasonCode.UPSCALING_SPEED,
    }
)
"""While demand waits for one of these, nothing is made to wait."""
_NO_MORE_COULD_WORK: Final = frozenset({ReasonCode.MAX_WORKERS, ReasonCode.POOL_MAX_WORKERS})
"""Limits that leave no use for more: that fewer wait than wanted is as it should be then."""


def end_forced(draft: Draft) -> None:
    """Give back what may not wait, also while nothing is scaled: its provider takes it, or its pool is gone."""
    for claim in draft.on_standby():
        moments = [host.interrupt_at for host in claim.hosts if host.interrupt_at is not None]
        if moments:
            left_s = max(0.0, min(moments) - draft.now)
            leaving.release(draft, claim, reason(ReasonCode.INTERRUPTED, left_s=left_s), How.NOW)
        elif draft.policy.pool(claim.pool) is None:
            draft.find(claim.id, reason(ReasonCode.UNKNOWN_POOL, claim=claim.id, pool=claim.pool))
            leaving.release(draft, claim, reason(ReasonCode.POOL_REMOVED, pool=claim.pool), How.NOW)


@dataclass(slots=True)
class Tally:
    """Counts per pool, in machines: those that wait or will (being made, or drained to be stopped), and READY ones."""

    waits: dict[str, int] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, draft: Draft) -> Tally:
        """Count once; most plans have nothing to do with standby and do not come here."""
        tally = cls()
        shares = any(pool.standby and pool.standby.percent for pool in draft.policy.pools)
        for claim in draft.claims.values():
            if claim.phase is Phase.READY:  # nearly all, and they matter only where a percentage is wanted
                if shares and not claim.head and not claim.foreign:
                    name = claim.offer.pool
                    tally.ready[name] = tally.ready.get(name, 0) + len(claim.hosts)
            elif claim.phase is Phase.STANDBY or _will_wait(claim):
                tally.waits[claim.pool] = tally.waits.get(claim.pool, 0) + claim.count
        return tally

    def wanted(self, pool: Pool) -> int:
        """Return how many machines of a pool are to wait."""
        return pool.standby.wanted(self.ready.get(pool.name, 0)) if pool.standby else 0

    def most(self, pool: Pool) -> int:
        """Return how many machines of a pool may wait."""
        return pool.standby.most(self.ready.get(pool.name, 0)) if pool.standby else 0

    def short(self, pool: Pool) -> int:
        """Return how many more of a pool are to wait; negative: fewer, unless they may."""
        return self.wanted(pool) - self.waits.get(pool.name, 0)

    def room(self, pool: Pool) -> int:
        """Return how many more of a pool may wait; negative: fewer."""
        return self.most(pool) - self.waits.get(pool.name, 0)

    def why(self, pool: Pool) -> Reason:
        """Return why machines of a pool wait."""
        return reason(ReasonCode.STANDBY, pool=pool.name, wanted=self.most(pool))


def stop_idle(draft: Draft) -> None:
    """Give back what is too old to wait; have idle machines that this plan drains wait afterwards while more may."""
    for claim in draft.on_standby():
        why = _outdated(draft, claim)
        if why is not None:
            leaving.release(draft, claim, why, How.NOW)
    pools = {pool.name: pool for pool in draft.policy.pools if pool.standby is not None}
    if not pools or not draft.drains:
        return
    tally = Tally.of(draft)
    short = {name: tally.short(pool) for name, pool in pools.items()}
    room = {name: tally.room(pool) for name, pool in pools.items()}
    for position, drain in enumerate(draft.drains):
        claim = draft.claims[drain.claim]
        left = short if claim.offer.market is Market.SPOT else room
        if drain.reason.code not in STOPPABLE or claim.drain is None or left.get(claim.pool, 0) < claim.count:
            continue
        short[claim.pool] -= claim.count
        room[claim.pool] -= claim.count
        why = drain.reason.because(tally.why(pools[claim.pool]))
        draft.drains[position] = replace(drain, reason=why, mode=ReleaseMode.STOP)
        draft.keep(replace(claim, drain=replace(claim.drain, reason=why, mode=ReleaseMode.STOP)))


def tend_standby(draft: Draft, layout: Layout) -> None:
    """Give back what need not wait, then make what is missing if all work is served."""
    wants = any(pool.standby for pool in draft.policy.pools)
    if not wants and not draft.on_standby():
        return
    tally = Tally.of(draft)
    for pool in draft.policy.pools:
        if tally.room(pool) < 0:
            _end_surplus(draft, pool, tally)
    _end_dear(draft, layout)
    if wants and _is_served(draft):
        _fill(draft, layout)


def _will_wait(claim: Claim) -> bool:
    drain = claim.drain
    return claim.phase is Phase.DRAINING and drain is not None and drain.mode is ReleaseMode.STOP


# ---- giving back ----------------------------------------------------------------------------------------------------


def _outdated(draft: Draft, claim: Claim) -> Reason | None:
    if claim.drifted:
        return reason(ReasonCode.DRIFTED, pool=claim.pool)
    pool = draft.policy.pool(claim.pool)
    most = pool.standby.max_age_s if pool and pool.standby else None
    age_s = draft.now - claim.since
    return reason(ReasonCode.EXPIRED, age_s=age_s, max_age_s=most) if most is not None and age_s >= most else None


def _end_surplus(draft: Draft, pool: Pool, tally: Tally) -> None:
    have, most = tally.waits.get(pool.name, 0), tally.most(pool)
    why = reason(ReasonCode.STANDBY_SURPLUS, pool=pool.name, have=have, wanted=most)
    mine = [claim for claim in draft.on_standby() if claim.pool == pool.name]
    for claim in sorted(mine, key=lambda c: (is_at_rest(c), c.since, c.created)):
        if have - claim.count >= most:
            have -= claim.count
            leaving.release(draft, claim, why, How.NOW)


def _end_dear(draft: Draft, layout: Layout) -> None:
    """Give back the dearest of what waits until the rest fits into what the work leaves of the money."""
    left = layout.room.money_per_hour()
    priced = [(_usd(draft, claim), claim) for claim in draft.on_standby()]
    usd = sum(price for price, _ in priced)
    for price, claim in sorted(priced, key=lambda pair: -pair[0]):
        if usd <= left + CENT_PART or not price:
            return
        usd -= price
        leaving.release(draft, claim, _too_dear(draft, layout.room), How.NOW)


def _too_dear(draft: Draft, room: Room) -> Reason:
    policy = draft.policy
    if room.today_per_hour < room.usd_per_hour and policy.max_usd_per_day is not None:
        spent_usd = spent_today(draft).usd
        return reason(ReasonCode.DAY_BUDGET, max_usd_per_day=policy.max_usd_per_day, spent_usd=spent_usd)
    return reason(ReasonCode.BUDGET, max_usd_per_hour=policy.max_usd_per_hour or 0.0)


def _usd(draft: Draft, claim: Claim) -> float:
    return (draft.usd_per_hour(claim) or 0.0) * claim.count


# ---- making ---------------------------------------------------------------------------------------------------------


def _is_served(draft: Draft) -> bool:
    """Say whether nothing is launched or on its way, and no demand waits for what a launch would take from it."""
    if any(launch.standby is None for launch in draft.launches):
        return False
    if any(claim.phase in STARTING for claim in draft.workers()):
        return False
    return not any(missing.reason.code in _WORK_COMES_FIRST for missing in draft.unmet)


def _fill(draft: Draft, layout: Layout) -> None:
    """Make what is missing, less the idle machines that will be stopped when their time-out has passed."""
    tally = Tally.of(draft)
    short = {pool.name: tally.short(pool) for pool in draft.policy.pools}
    if not any(count > 0 for count in short.values()):
        return
    idle, room = _soon_idle(draft, layout), _room_beside(draft, layout.room)
    for pool in draft.policy.pools:
        short[pool.name] -= idle.get(pool.name, 0)
        if short[pool.name] > 0:
            _fill_pool(draft, layout, pool, room, (short[pool.name], tally.why(pool)))


def _soon_idle(draft: Draft, layout: Layout) -> dict[str, int]:
    """Return how many machines of each pool are idle and held by nothing but their time-out."""
    needed, idle, ready = layout.needed(), dict[str, int](), dict[str, int]()
    for claim in draft.workers():
        if claim.phase is not Phase.READY or draft.is_replaced(claim):
            continue
        ready[claim.pool] = ready.get(claim.pool, 0) + claim.count
        held = claim.id in needed or any(host.do_not_disrupt for host in claim.hosts)
        if not held and busy_with(claim) is None:
            idle[claim.pool] = idle.get(claim.pool, 0) + claim.count
    least = {pool.name: pool.min_workers for pool in draft.policy.pools}
    return {name: max(0, min(count, ready[name] - least.get(name, 0))) for name, count in idle.items()}


def _room_beside(draft: Draft, room: Room) -> Room:
    """Return the room there is if everything that waits came to work at once."""
    beside = room.copy()
    for claim in draft.claims.values():
        if claim.standby and not claim.foreign:
            beside.usd_per_hour -= _usd(draft, claim)
            beside.today_per_hour -= _usd(draft, claim)
        if claim.phase is Phase.STANDBY and claim.pool in beside.pools:
            beside.pools[claim.pool] -= claim.count
            beside.cluster -= claim.count
            for name in beside.resources:
                beside.resources[name] -= total_of(draft, claim).get(name, 0)
    return beside


def _fill_pool(draft: Draft, layout: Layout, pool: Pool, room: Room, wish: tuple[int, Reason]) -> None:
    """Make machines of a pool wait, as far as `room` allows. `wish`: how many, and why."""
    missing, why = -(-wish[0] // pool.hosts_per_replica), wish[1]
    mine = sorted((v for v in layout.variants if v.pool.name == pool.name), key=lambda v: v.price)
    mode, price = mode_of(draft, pool.name), None
    for variant in mine:
        price = variant.offer.resting_usd_per_hour(mode)
        count = min(missing, room.replicas(pool, price), max(0, room.launches) // pool.hosts_per_replica)
        if count:
            room.take(pool, price, count)
            _make(draft, variant, count, price, why)
            missing -= count
    if missing:
        hits = room.blockers(draft, pool, price, hurried=True, hosts=pool.hosts_per_replica)
        cut = next(iter(hits), None) or backed_off(draft, pool)
        if cut is not None and cut.code not in _NO_MORE_COULD_WORK:
            draft.find(pool.name, why.because(cut))


def _make(draft: Draft, variant: Variant, replicas: int, price: float | None, why: Reason) -> None:
    pool = variant.pool
    first, names = draft.next_ids(pool.name, replicas)
    batch = draft.token(first)
    for name in names:
        draft.keep(
            Claim(
                id=name,
                offer=variant.key,
                phase=Phase.STANDBY,
                hosts=tuple(Host(id=host) for host in host_ids(name, pool.hosts_per_replica)),
                since=draft.now,
                created=draft.now,
                batch=batch,
                accepted=False,
                make=pool.make,
                usd_per_hour=price,
                standby=True,
            )
        )
    count = replicas * pool.hosts_per_replica
    mode = mode_of(draft, pool.name)
    draft.launches.append(Launch(variant.key, tuple(names), batch, count, why, standby=mode))
