"""Step 13: what was decided to be made becomes claims and one launch per offer, with its reason."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rayfleet.model import Claim, Deferred, DemandKind, Launch, OfferKey, Placement, Reason, ReasonCode, reason
from rayfleet.planner.batch import Batch
from rayfleet.planner.capacity import Counts
from rayfleet.planner.detours import Piece, detours
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout, Made
from rayfleet.planner.minimums import minimum_reason
from rayfleet.planner.reuse import start_resting
from rayfleet.planner.spread import spread_spot


@dataclass(slots=True)
class _Load:
    """What the new machines of one offer are for: pieces by kind, and the gangs they belong to."""

    pieces: dict[DemandKind, int] = field(default_factory=dict)
    parts: dict[tuple[DemandKind, int, int | None], None] = field(default_factory=dict)
    gangs: dict[int, dict[int, int]] = field(default_factory=dict)
    ahead: dict[int, int] = field(default_factory=dict)

    def add(self, kind: DemandKind, index: int, bundle: int | None, count: int) -> None:
        self.pieces[kind] = self.pieces.get(kind, 0) + count
        self.parts[kind, index, bundle] = None
        if kind is DemandKind.BUFFER:
            self.ahead[index] = self.ahead.get(index, 0) + count
        if kind is DemandKind.GANG:
            bundles = self.gangs.setdefault(index, {})
            bundles[bundle or 0] = bundles.get(bundle or 0, 0) + count

    def gang_count(self) -> int:
        """Return how many gangs have a bundle here, as far as the counts of bundles tell."""
        return sum(max(bundles.values()) for bundles in self.gangs.values())


def write_launches(draft: Draft, layout: Layout) -> tuple[Placement, ...]:
    """Add claims and launches for everything made; return all placements, new hosts by their final number."""
    spread_spot(draft, layout)
    offers: dict[OfferKey, list[Made]] = {}
    for made in layout.made:
        offers.setdefault(made.variant.key, []).append(made)
    loads = _loads(layout, offers)
    numbers = np.zeros(layout.capacity.size, np.int64)
    # Those that are to wait come last in the plan: they carry no work, and may still be taken back.
    number = sum(launch.count for launch in draft.launches if launch.standby is None)
    rests = draft.on_standby() if offers else []
    for key, mades in offers.items():
        why = _reason(draft, mades, loads[key])
        _write(draft, mades, why.because(draft.overlaid[key]) if key in draft.overlaid else why, rests)
        for made in mades:
            numbers[made.first : made.end] = np.arange(number, number + made.hosts)
            number += made.hosts
    return Deferred(lambda: _placements(layout, numbers)).as_tuple()


def _loads(layout: Layout, offers: dict[OfferKey, list[Made]]) -> dict[OfferKey, _Load]:
    """Add up what the new machines of every offer are for."""
    loads: dict[OfferKey, _Load] = {key: _Load() for key in offers}
    made = sorted((made.first, made.variant.key) for mades in offers.values() for made in mades)
    firsts = [first for first, _ in made]
    existing = layout.capacity.existing

    def load_of(column: int) -> _Load:
        return loads[made[bisect_right(firsts, column) - 1][1]]

    for put in layout.placed:
        if isinstance(put.columns, range):  # all of it is on the machines of one launch
            load = load_of(put.columns[0])
            for index, bundle, count in put.parts:
                load.add(put.kind, index, bundle, count)
        elif put.columns.size and int(put.columns.max()) >= existing:
            for column, index, bundle, count in put.pieces():
                if column >= existing:
                    load_of(column).add(put.kind, index, bundle, count)
    return loads


def _write(draft: Draft, mades: list[Made], why: Reason, rests: list[Claim]) -> None:
    pool, offer, key = mades[0].variant.pool, mades[0].variant.offer, mades[0].variant.key
    replicas = sum(made.replicas for made in mades)
    first, names = draft.next_ids(pool.name, replicas)
    batch = start_resting(draft, Batch(pool, offer, key, names, replicas, draft.token(first), draft.now), why, rests)
    if batch is not None:
        draft.fresh.append(batch)
        draft.launches.append(Launch(key, batch.names, batch.batch, batch.hosts, why))


def _reason(draft: Draft, mades: list[Made], load: _Load) -> Reason:
    """Return why an offer is launched: the first cause, with the others in its chain."""
    causes: list[Reason] = []
    for code in dict.fromkeys(made.why for made in mades):
        match code:
            case ReasonCode.MIN_WORKERS:
                causes.append(minimum_reason(draft, mades[0].variant.pool))
            case ReasonCode.GANG:
                causes.append(reason(code, gangs=load.gang_count()))
            case ReasonCode.REPLACEMENT:
                machines = sum(made.replicas * made.variant.hosts for made in mades if made.why is code)
                causes.append(reason(ReasonCode.REPLACEMENT, machines=machines))
            case ReasonCode.REQUESTED:
                causes.append(reason(code, bundles=load.pieces.get(DemandKind.REQUESTED, 0)))
            case ReasonCode.BUFFER | ReasonCode.UTILIZATION | ReasonCode.FORECAST:
                mine = [index for index in sorted(load.ahead) if draft.ahead[index].why is code]
                names = ", ".join(dict.fromkeys(draft.ahead[index].name for index in mine))
                causes.append(reason(code, pieces=sum(load.ahead[index] for index in mine), names=names))
            case _:
                causes.append(reason(code, tasks=load.pieces.get(DemandKind.TASKS, 0)))
    first = causes[0]
    variant = mades[0].variant
    among = max(made.among for made in mades)
    if among:
        margin = draft.policy.spot_spread_margin or 0.0
        causes.append(reason(ReasonCode.SPOT_SPREAD, offers=among, spot_spread_margin=margin))
    for other in (*causes[1:], *detours(draft, variant.pool, variant.offer, _pieces(draft, load))):
        first = first.because(other)
    return first


def _pieces(draft: Draft, load: _Load) -> Iterator[Piece]:
    demand = draft.snapshot.demand
    for kind, index, bundle in load.parts:
        if kind is DemandKind.GANG:
            part = demand.gangs[index].bundles[bundle or 0]
            yield Piece(part.shape, part.selectors)
        elif kind is DemandKind.BUFFER:
            yield Piece(draft.ahead[index].shape, draft.ahead[index].selectors)
        else:
            asked = demand.requested[index] if kind is DemandKind.REQUESTED else demand.tasks[index]
            yield Piece(asked.shape, asked.selectors)


def _placements(layout: Layout, numbers: Counts) -> Iterator[Placement]:
    """Write down where everything goes; equal pieces on one host are one entry."""
    merged: dict[tuple[int, DemandKind, int, int | None], int] = {}
    for put in layout.placed:
        for column, index, bundle, count in put.pieces():
            spot = (column, put.kind, index, bundle)
            merged[spot] = merged.get(spot, 0) + count
    places, existing = layout.capacity.places, layout.capacity.existing
    pools = {made.first: made.variant.pool.name for made in layout.made}
    firsts = sorted(pools)
    for (column, kind, index, bundle), count in merged.items():
        if column < existing:
            yield Placement(places[column].host, places[column].pool, kind, index, bundle, count)
        else:
            yield Placement(
                f"new:{numbers[column]}", pools[firsts[bisect_right(firsts, column) - 1]], kind, index, bundle, count
            )
