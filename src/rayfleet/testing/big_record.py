"""A record as the controller of a large and busy cluster would have left it, for everything that shows records.

Every tick some nodes are asked for, join, are drained and go, for reasons that are met in life: work, idleness, offers
that are out of stock, spot machines that are taken away. The same arguments give the same record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rayfleet.model import (
    Backoff,
    Claim,
    Cost,
    Demand,
    DemandKind,
    DrainNodes,
    FrozenMap,
    Gang,
    Host,
    How,
    Kept,
    Launch,
    MachineFact,
    Market,
    NodeFact,
    Offer,
    OfferKey,
    Order,
    OrderKind,
    Outcome,
    OutcomeKind,
    Phase,
    Plan,
    Policy,
    Pool,
    PoolVerdict,
    Reason,
    ReasonCode,
    Release,
    Resources,
    Snapshot,
    Spent,
    Strategy,
    TaskDemand,
    TickReport,
    Timings,
    Trouble,
    Unmet,
    reason,
)
from rayfleet.model.demand import Bundle
from rayfleet.reports.history import History

_GIB: Final = 2**30
_CPU16 = Resources.of({"CPU": 16, "memory": 64 * _GIB})
_MEM = Resources.of({"CPU": 8, "memory": 128 * _GIB})
_GPU8 = Resources.of({"CPU": 96, "GPU": 8, "memory": 768 * _GIB})
_HEAD = Resources.of({"CPU": 8, "memory": 32 * _GIB})
_SHAPE = Resources.of({"CPU": 4})
_GPU_SHAPE = Resources.of({"CPU": 8, "GPU": 1})
_HUGE = Resources.of({"CPU": 256})


def _offer(usd: float, zone: str, *, spot: bool) -> Offer:
    return Offer(usd, Market.SPOT if spot else Market.ON_DEMAND, f"us-west-2{zone}", "us-west-2", "aws")


_POOLS: Final = (
    Pool("cpu16", _CPU16, max_workers=900, offers=(
        _offer(0.27, "a", spot=True), _offer(0.29, "b", spot=True), _offer(0.768, "a", spot=False))),
    Pool("mem8", _MEM, min_workers=2, max_workers=200, offers=(
        _offer(0.21, "b", spot=True), _offer(0.504, "b", spot=False))),
    Pool("gpu8", _GPU8, max_workers=24, offers=(_offer(12.4, "a", spot=True), _offer(32.77, "a", spot=False))),
)  # fmt: skip
_POLICY: Final = Policy(
    pools=_POOLS,
    head=Pool("head", _HEAD, offers=(_offer(0.384, "a", spot=False),)),
    max_workers=1_100,
    max_usd_per_hour=600.0,
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is recorded: nodes at a time, ticks `every_s` seconds apart, and nodes that change in each tick."""

    nodes: int = 1_000
    ticks: int = 245
    every_s: float = 60.0
    changes: int = 210


async def write_big_record(path: Path, until: float, size: Size = Size()) -> None:
    """Write a record whose last tick is at `until` (seconds since the epoch)."""
    history = History(path)
    try:
        for report in reports(until, size):
            await history.write(report)
    finally:
        await history.close()


def reports(until: float, size: Size = Size()) -> Iterator[TickReport]:
    """Yield the ticks, oldest first."""
    began = until - (size.ticks - 1) * size.every_s
    cluster = _Cluster(size)
    for tick in range(size.ticks):
        yield cluster.tick(tick + 1, began + tick * size.every_s)


class _Cluster:
    """The claims of one tick become those of the next."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._serial = 0
        self._spent = 0.0
        self._claims: dict[str, Claim] = {}

    def tick(self, number: int, now: float) -> TickReport:
        before = {**self._claims} or {claim.id: claim for claim in (self._head(now),)}
        seen = tuple(before.values())
        outcomes = self._failures(number, now)
        drains = self._drains(number, now, before)
        releases = tuple(self._release(claim) for claim in seen if claim.phase is Phase.DRAINING)
        after = self._after(before, now, drains)
        launches = self._launches(number, now, after)
        self._claims = after
        rate = sum(claim.usd_per_hour or 0.0 for claim in after.values())
        self._spent += rate * self._size.every_s / 3600
        demand, unmet = _work(number, self._size.nodes)
        snapshot = Snapshot(now=now, policy=_POLICY, claims=seen, demand=demand, outcomes=outcomes, serial=self._serial)
        plan = Plan(
            launches=launches,
            drains=tuple(drains.values()),
            releases=releases,
            unmet=unmet,
            kept=tuple(Kept(claim.id, _kept(claim)) for claim in after.values() if claim.phase is Phase.READY),
            cost=Cost(rate, rate, 0),
            claims=tuple(after.values()),
            backoffs=(_backoff(now),),
            orders=_orders(now),
            serial=self._serial,
            spent=Spent(self._spent, now),
        )
        return TickReport(number, "big", snapshot, plan, Timings(0.004, 0.031, 0.002, now - 0.04, now))

    def _head(self, now: float) -> Claim:
        key = OfferKey("head", "aws", "us-west-2", "us-west-2a", Market.ON_DEMAND)
        host = _host("head", _HEAD, Resources.of({"CPU": 1}), up=True)
        return Claim("head", key, Phase.READY, (host,), now - 90, now - 150, head=True, usd_per_hour=0.384)

    def _drains(self, number: int, now: float, before: dict[str, Claim]) -> dict[str, DrainNodes]:
        ready = [claim for claim in before.values() if claim.phase is Phase.READY and not claim.head]
        surplus = len(ready) - (self._size.nodes - 2 * self._size.changes)
        leaving = ready[: min(self._size.changes, max(0, surplus))]
        idle = reason(ReasonCode.IDLE, idle_s=60.0 + number % 30, idle_timeout_s=60.0)
        taken = reason(ReasonCode.INTERRUPTED, left_s=120.0)
        return {
            claim.id: DrainNodes(
                claim.id, tuple(host.id for host in claim.hosts), tuple(host.node_id or "" for host in claim.hosts),
                now + 120, taken if place % 40 == 0 else idle, voluntary=place % 40 != 0,
            )
            for place, claim in enumerate(leaving)
        }  # fmt: skip

    def _release(self, claim: Claim) -> Release:
        machines = tuple(host.machine_id or "" for host in claim.hosts)
        why = reason(ReasonCode.DRAINED)
        return Release(claim.id, tuple(host.id for host in claim.hosts), machines, "aws", How.END, why)

    def _after(self, before: dict[str, Claim], now: float, drains: dict[str, DrainNodes]) -> dict[str, Claim]:
        """Move every claim on by one phase; what was draining is gone."""
        after = {}
        for claim in before.values():
            if claim.phase is Phase.DRAINING:
                continue
            if claim.phase in {Phase.REQUESTED, Phase.BOOTING}:
                claim = _moved(claim, now)  # noqa: PLW2901 - the same claim, later
            elif claim.id in drains:
                drain = drains[claim.id]
                claim = replace(claim, phase=Phase.DRAINING, since=now, ending=drain.reason)  # noqa: PLW2901 - as above
            after[claim.id] = claim
        return after

    def _launches(self, number: int, now: float, after: dict[str, Claim]) -> tuple[Launch, ...]:
        launches: list[Launch] = []
        room = self._size.nodes - len(after)
        for count in _shares(min(self._size.changes, max(0, room))):
            place = (number + len(launches)) % 10
            pool = _POOLS[2] if place == 0 and count < _FEW else _POOLS[1] if place < 3 else _POOLS[0]  # noqa: PLR2004
            offer = pool.offers[place % len(pool.offers)]
            ids = [f"m{self._serial + step + 1}" for step in range(count)]
            self._serial += count
            for name in ids:
                after[name] = _requested(name, pool, offer, now)
            why = reason(ReasonCode.TASKS, tasks=4 * count)
            launches.append(Launch(offer.key(pool.name), tuple(ids), ids[0], count, why))
        return tuple(launches)

    def _failures(self, number: int, now: float) -> tuple[Outcome, ...]:
        if number % 3:
            return ()
        scope = _POOLS[2].offers[0].key("gpu8")
        names = (f"m{self._serial}x",)
        text = "InsufficientInstanceCapacity: there is none in us-west-2a"
        return (Outcome(OutcomeKind.LAUNCH, names, now, Trouble.OUT_OF_STOCK, text, scope),)


_FEW: Final = 4


def _shares(count: int) -> Iterator[int]:
    """Yield how many machines each launch asks for: a few large batches and many small ones."""
    size = 3
    while count > 0:
        yield min(size, count)
        count -= size
        size = 3 if size > 40 else size + 2  # noqa: PLR2004 - as large as batches get


def _requested(name: str, pool: Pool, offer: Offer, now: float) -> Claim:
    host = Host(name, f"i-{int(name[1:]):017x}", None, MachineFact.PRESENT, NodeFact.ABSENT)
    return Claim(name, offer.key(pool.name), Phase.REQUESTED, (host,), now, now, name, usd_per_hour=offer.usd_per_hour)


def _moved(claim: Claim, now: float) -> Claim:
    """Return a claim that is on its way one phase further; ready ones are mostly busy."""
    if claim.phase is Phase.REQUESTED:
        return replace(claim, phase=Phase.BOOTING, since=now)
    pool = _POLICY.pool(claim.pool)
    total = pool.resources if pool else _CPU16
    busy = int(claim.id[1:]) % 8
    used = Resources({name: units * busy // 8 for name, units in total.items()}) if busy else Resources()
    return replace(claim, phase=Phase.READY, since=now, hosts=(_host(claim.id, total, used, up=True),))


def _host(name: str, total: Resources, used: Resources, *, up: bool) -> Host:
    number = int("".join(letter for letter in name if letter.isdigit()) or 0)
    return Host(
        name, f"i-{number:017x}", f"{number:056x}", MachineFact.PRESENT, NodeFact.ALIVE if up else NodeFact.ABSENT,
        total, used, FrozenMap({"ray.io/availability-zone": "us-west-2a", "team": "search"}),
        idle_s=0.0 if used else 24.0, activity=("CPU in use",) if used else (),
    )  # fmt: skip


def _kept(claim: Claim) -> Reason:
    host = claim.hosts[0]
    if claim.head:
        return reason(ReasonCode.IS_HEAD)
    if host.used:
        return reason(ReasonCode.BUSY, used=str(host.used))
    return reason(ReasonCode.NOT_IDLE_YET, idle_s=host.idle_s, idle_timeout_s=60.0)


def _work(number: int, nodes: int) -> tuple[Demand, tuple[Unmet, ...]]:
    wave = 1 + number % 20 if number % 40 < 20 else 21 - number % 20  # noqa: PLR2004 - up for 20 ticks, then down
    tasks = (
        TaskDemand(_SHAPE, nodes * wave // 16, age_s=12.0 * wave),
        TaskDemand(_GPU_SHAPE, 16, age_s=340.0),
        TaskDemand(_HUGE, 2, age_s=2_400.0),
    )
    gang = Gang(Strategy.STRICT_SPREAD, (Bundle(_GPU_SHAPE),) * 4, 1, age_s=95.0)
    backed = reason(ReasonCode.BACKED_OFF, left_s=74.0, error="OutOfStock")
    small = [
        PoolVerdict(pool.name, reason(ReasonCode.TOO_SMALL, resource=name, have=have, need=need))
        for pool, name, have, need in (
            (_POOLS[0], "CPU", 16, 256), (_POOLS[1], "CPU", 8, 256), (_POOLS[2], "CPU", 96, 256))
    ]  # fmt: skip
    no_gpu = [
        PoolVerdict("cpu16", reason(ReasonCode.TOO_SMALL, resource="GPU", have=0, need=1)),
        PoolVerdict("mem8", reason(ReasonCode.TOO_SMALL, resource="GPU", have=0, need=1)),
        PoolVerdict("gpu8", reason(ReasonCode.POOL_MAX_WORKERS, max_workers=24)),
    ]
    unmet = (
        Unmet(DemandKind.TASKS, 1, tasks[1], 9, backed, tuple(no_gpu)),
        Unmet(DemandKind.TASKS, 2, tasks[2], 2, reason(ReasonCode.NO_POOL_FITS, shape=str(_HUGE)), tuple(small)),
    )
    return Demand(tasks, (gang,)), unmet


def _backoff(now: float) -> Backoff:
    scope = _POOLS[2].offers[0].key("gpu8")
    return Backoff(scope, now + 74.0, Trouble.OUT_OF_STOCK, 4, "InsufficientInstanceCapacity", now - 46.0)


def _orders(now: float) -> tuple[Order, ...]:
    why = "the nightly run needs room"
    return (Order("scale:mem8", OrderKind.SCALE, "mem8", "40", "ada", why, now - 1_800.0),)
