"""From what a cluster has recorded to a trace that can be simulated: what ran where, and what waited.

Records say what is used on each host and what waits, not which task runs. So use is read as pieces of work:

    use of a host grows by {CPU: 3}, 1-CPU tasks have been waiting --> three 1-CPU tasks begin, the oldest that waited
    use of a host shrinks, or the host goes                        --> its oldest pieces of that size end

The sum of resources x seconds is that of the record. Work that came and went between two records is not seen; work
that runs at the end is taken to end there.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import median, pstdev

from rayfleet.model import Demand, Gang, Phase, Resources, Selectors, Strategy, TickReport
from rayfleet.reports.work_record import WorkSeen
from rayfleet.simulator.chance import Spread
from rayfleet.simulator.scene import Scene
from rayfleet.simulator.trace import Trace, Work, trace_of

Key = tuple[Resources, Selectors]


@dataclass(slots=True, eq=False)
class _Piece:
    """Work that runs on a host. `gang`: the number of its placement group."""

    key: Key
    submit_s: float
    began_s: float
    gang: int | None = None


@dataclass(slots=True)
class _Queue:
    """When what waits of one kind came, the oldest first: (moment, count)."""

    came: deque[tuple[float, int]] = field(default_factory=deque)
    count: int = 0

    def grow(self, moment: float, count: int) -> None:
        """Have more wait since `moment`."""
        self.came.append((moment, count))
        self.count += count

    def take(self) -> float:
        """Take the oldest and return when it came; IndexError when nothing waits."""
        moment, count = self.came.popleft()
        if count > 1:
            self.came.appendleft((moment, count - 1))
        self.count -= 1
        return moment


class _Reader:
    """Follows the record from moment to moment."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.used: dict[str, Resources] = {}
        self.pieces: dict[str, list[_Piece]] = {}
        self.queues: dict[Key, _Queue] = {}
        self.waiting: dict[Key, tuple[int, float]] = {}
        self.gangs: dict[Gang, int] = {}
        self.gang_since: dict[Gang, float] = {}
        self.strategies: list[Strategy] = []
        self.rows: list[Work] = []
        self.gang_rows: dict[int, list[tuple[Key, float, float]]] = {}

    def see(self, seen: WorkSeen) -> None:
        """Take in the next moment."""
        now = seen.at - self.began
        self.waiting = _waiting(seen.demand)
        begun = self._changes(seen.used, now)
        self._gangs(seen.demand, begun)
        self._settle_queues()
        self._arrivals(seen.demand, now)

    def finish(self, now: float) -> tuple[Work, ...]:
        """End what still runs; return everything."""
        self._changes({}, now)
        for number, members in sorted(self.gang_rows.items()):
            strategy = self.strategies[number]
            submit_s = min(submit for _, submit, _ in members)
            duration_s = max(seconds for _, _, seconds in members)
            for (shape, selectors), count in Counter(key for key, _, _ in members).items():
                self.rows.append(Work(submit_s, shape, duration_s, count, strategy, f"g{number}", selectors))
        return _merged(self.rows)

    # ---- what waits ---------------------------------------------------------------------------------

    def _arrivals(self, demand: Demand, now: float) -> None:
        for (shape, selectors), (count, age_s) in self.waiting.items():
            queue = self.queues.setdefault((shape, selectors), _Queue())
            if count > queue.count:
                since = max(0.0, now - age_s) if queue.count == 0 else now
                queue.grow(since, count - queue.count)
        for gang in demand.gangs:
            known = replace(gang, count=1, age_s=0.0)
            self.gang_since.setdefault(known, max(0.0, now - gang.age_s))

    def _settle_queues(self) -> None:
        """Forget what waits no more and was not seen to begin."""
        for key, queue in self.queues.items():
            while queue.count > self._still(key):
                queue.take()

    def _still(self, key: Key) -> int:
        """Return how many of a kind wait now: of those, none has begun."""
        return self.waiting.get(key, (0, 0.0))[0]

    # ---- what runs ----------------------------------------------------------------------------------

    def _changes(self, used: dict[str, Resources], now: float) -> list[_Piece]:
        """End and begin pieces as use has changed; return those that begin."""
        begun: list[_Piece] = []
        for host in sorted({*self.used, *used}):
            change = used.get(host, Resources()) - self.used.get(host, Resources())
            if change:
                self._end(host, Resources({n: -units for n, units in change.items() if units < 0}), now)
                begun += self._begin(host, change.floored(), now)
        self.used = used
        return begun

    def _end(self, host: str, freed: Resources, now: float) -> None:
        kept: list[_Piece] = []
        for piece in self.pieces.get(host, []):
            shape = piece.key[0]
            part = _common(shape, freed)
            if not part:
                kept.append(piece)
                continue
            freed = (freed - part).floored()
            self._ended(_part(piece, part), now)
            rest = (shape - part).floored()
            if rest:
                kept.append(_part(piece, rest))
        self.pieces[host] = kept

    def _ended(self, piece: _Piece, now: float) -> None:
        seconds = max(0.001, now - piece.began_s)
        if piece.gang is not None:
            self.gang_rows.setdefault(piece.gang, []).append((piece.key, piece.submit_s, seconds))
        else:
            shape, selectors = piece.key
            self.rows.append(Work(piece.submit_s, shape, seconds, 1, selectors=selectors))

    def _begin(self, host: str, taken: Resources, now: float) -> list[_Piece]:
        begun = [_Piece(key, submit_s, now) for key, submit_s in self._parts(taken, now)]
        self.pieces.setdefault(host, []).extend(begun)
        return begun

    def _parts(self, taken: Resources, now: float) -> list[tuple[Key, float]]:
        """Split what a host has begun to use into shapes that waited, the largest first; the rest is its own shape."""
        found: list[tuple[Key, float]] = []
        waited = [key for key, queue in self.queues.items() if queue.count > self._still(key)]
        for key in sorted(waited, key=lambda key: (-sum(key[0].values()), str(key))):
            queue = self.queues[key]
            while taken and key[0].fits(taken) and queue.count > self._still(key):
                found.append((key, queue.take()))
                taken = taken - key[0]
        known = [key for key in {**self.queues, **self.waiting} if key[0].fits(taken)]
        for key in sorted(known, key=lambda key: (-sum(key[0].values()), str(key))):
            while taken and key[0].fits(taken):
                found.append((key, now))
                taken = taken - key[0]
        return [*found, *([((taken, ()), now)] if taken else [])]

    # ---- placement groups ---------------------------------------------------------------------------

    def _gangs(self, demand: Demand, begun: list[_Piece]) -> None:
        """Find the pieces of placement groups that wait no more among those that have just begun."""
        counts = {replace(gang, count=1, age_s=0.0): gang.count for gang in demand.gangs}
        for gang, before in self.gangs.items():
            for _ in range(before - counts.get(gang, 0)):
                self._placed(gang, begun)
        for gang in [gang for gang in self.gang_since if gang not in counts]:
            del self.gang_since[gang]
        self.gangs = counts

    def _placed(self, gang: Gang, begun: list[_Piece]) -> None:
        found: list[_Piece] = []
        for bundle in gang.bundles:
            free = (p for p in begun if p.gang is None and p not in found and p.key[0] == bundle.shape)
            piece = next(free, None)
            if piece is None:
                return
            found.append(piece)
        self.strategies.append(gang.strategy)
        for piece, bundle in zip(found, gang.bundles, strict=True):
            piece.gang = len(self.strategies) - 1
            piece.key = (bundle.shape, bundle.selectors)
            piece.submit_s = self.gang_since.get(gang, piece.began_s)


def _part(piece: _Piece, shape: Resources) -> _Piece:
    """Return the part of a piece that has another shape."""
    return _Piece((shape, piece.key[1]), piece.submit_s, piece.began_s, piece.gang)


def _waiting(demand: Demand) -> dict[Key, tuple[int, float]]:
    """Return how many tasks and bundles of each kind wait, and since when."""
    found: dict[Key, tuple[int, float]] = {}
    pieces = [((task.shape, task.selectors), task.count, task.age_s) for task in demand.tasks]
    pieces += [
        ((bundle.shape, bundle.selectors), gang.count, gang.age_s)
        for gang in demand.gangs
        for n, bundle in enumerate(gang.bundles)
        if str(n) not in gang.placed
    ]
    for key, count, age_s in pieces:
        if key[0]:
            before = found.get(key, (0, 0.0))
            found[key] = (before[0] + count, max(before[1], age_s))
    return found


def _common(one: Resources, other: Resources) -> Resources:
    """Return what is in both: all of `one` when it fits."""
    return Resources({name: min(units, other.get(name, 0)) for name, units in one.items()})


def _merged(rows: Iterable[Work]) -> tuple[Work, ...]:
    """Make one row of equal tasks; rows of placement groups stay."""
    counts: dict[Work, int] = {}
    for row in rows:
        key = replace(row, submit_s=round(row.submit_s, 3), duration_s=round(row.duration_s, 3))
        counts[key] = counts.get(key, 0) + 1
    return tuple(row if row.gang else replace(row, count=count) for row, count in counts.items())


def trace_of_record(name: str, record: Iterable[WorkSeen]) -> Trace:
    """Return the work that a record, the oldest first, tells of."""
    reader, now = None, 0.0
    for seen in record:
        reader = _Reader(seen.at) if reader is None else reader
        now = seen.at - reader.began
        reader.see(seen)
    return trace_of(name, reader.finish(now) if reader else ())


def scene_of_record(reports: Iterable[TickReport]) -> Scene:
    """Return a world with boot times as recorded, where at least a few machines were seen to come."""
    took: dict[str, float] = {}
    for report in reports:
        for claim in report.plan.claims:
            if claim.phase is Phase.READY and claim.created > 0 and not claim.head and not claim.foreign:
                took.setdefault(claim.id, claim.since - claim.created)
    seconds = [value for value in took.values() if value > 0]
    if len(seconds) < 3:  # noqa: PLR2004 - one or two tell nothing
        return Scene()
    middle = max(0.1, median(seconds))
    deviation = pstdev([math.log(value / middle) for value in seconds])
    boot = Spread("lognormal", (round(middle, 3), round(deviation, 3)))
    return Scene(boot_s=boot, join_s=Spread("constant", (0.0,)))
