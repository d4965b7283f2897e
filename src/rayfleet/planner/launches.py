"""Step 13: what was decided to be made becomes claims and one launch per offer, with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from rayfleet.model import (
    Claim,
    DemandKind,
    Host,
    Launch,
    OfferKey,
    Phase,
    Placement,
    Reason,
    ReasonCode,
    reason,
)
from rayfleet.planner.adopt import host_ids
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout, Made
from rayfleet.planner.minimums import minimum_reason


@dataclass(slots=True)
class _Load:
    """What the new machines of one offer are for: pieces by kind, and the gangs they belong to."""

    pieces: dict[DemandKind, int] = field(default_factory=dict)
    gangs: dict[int, dict[int, int]] = field(default_factory=dict)
    ahead: dict[int, int] = field(default_factory=dict)

    def add(self, kind: DemandKind, index: int, bundle: int | None, count: int) -> None:
        self.pieces[kind] = self.pieces.get(kind, 0) + count
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
    offers: dict[OfferKey, list[Made]] = {}
    for made in layout.made:
        offers.setdefault(made.variant.key, []).append(made)
    offer_of = {
        column: key
        for key, mades in offers.items()
        for made in mades
        for column in range(made.first, made.first + made.replicas * made.variant.hosts)
    }
    loads: dict[OfferKey, _Load] = {key: _Load() for key in offers}
    for placed in layout.placed:
        key = offer_of.get(placed.column)
        if key is not None:
            loads[key].add(placed.kind, placed.position, placed.bundle, placed.pieces)
    numbers: dict[int, int] = {}
    already = sum(launch.count for launch in draft.launches)
    for key, mades in offers.items():
        why = _reason(draft, mades, loads[key])
        _write(draft, key, mades, why.because(draft.overlaid[key]) if key in draft.overlaid else why)
        for made in mades:
            for column in range(made.first, made.first + made.replicas * made.variant.hosts):
                numbers[column] = already + len(numbers)
    return _placements(layout, numbers)


def _write(draft: Draft, key: OfferKey, mades: list[Made], why: Reason) -> None:
    pool, offer = mades[0].variant.pool, mades[0].variant.offer
    names = [draft.next_id(pool.name) for made in mades for _ in range(made.replicas)]
    batch = draft.token(names[0])
    for name in names:
        draft.keep(
            Claim(
                id=name,
                offer=key,
                phase=Phase.REQUESTED,
                hosts=tuple(Host(id=host) for host in host_ids(name, pool.hosts_per_replica)),
                since=draft.now,
                created=draft.now,
                batch=batch,
                accepted=False,
                make=pool.make,
                usd_per_hour=offer.usd_per_hour,
            )
        )
    count = len(names) * pool.hosts_per_replica
    draft.launches.append(Launch(key, tuple(names), batch, count, why))


def _reason(draft: Draft, mades: list[Made], load: _Load) -> Reason:
    """Return why an offer is launched: the first cause, with the others in its chain."""
    causes: list[Reason] = []
    for code in dict.fromkeys(made.why for made in mades):
        match code:
            case ReasonCode.MIN_WORKERS:
                causes.append(minimum_reason(draft, mades[0].variant.pool))
            case ReasonCode.GANG:
                causes.append(reason(code, gangs=load.gang_count()))
            case ReasonCode.REQUESTED:
                causes.append(reason(code, bundles=load.pieces.get(DemandKind.REQUESTED, 0)))
            case ReasonCode.BUFFER | ReasonCode.UTILIZATION | ReasonCode.FORECAST:
                mine = [index for index in sorted(load.ahead) if draft.ahead[index].why is code]
                names = ", ".join(dict.fromkeys(draft.ahead[index].name for index in mine))
                causes.append(reason(code, pieces=sum(load.ahead[index] for index in mine), names=names))
            case _:
                causes.append(reason(code, tasks=load.pieces.get(DemandKind.TASKS, 0)))
    first = causes[0]
    for other in causes[1:]:
        first = first.because(other)
    return first


def _placements(layout: Layout, numbers: dict[int, int]) -> tuple[Placement, ...]:
    places = layout.capacity.places
    merged: dict[tuple[int, DemandKind, int, int | None], int] = {}
    for placed in layout.placed:
        spot = (placed.column, placed.kind, placed.position, placed.bundle)
        merged[spot] = merged.get(spot, 0) + placed.pieces
    return tuple(
        Placement(
            on=places[column].host or f"new:{numbers[column]}",
            pool=places[column].pool,
            kind=kind,
            index=index,
            bundle=bundle,
            count=count,
        )
        for (column, kind, index, bundle), count in merged.items()
    )
