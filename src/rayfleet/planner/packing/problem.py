"""A packing problem as whole numbers: what pieces need, what variants offer, what both are worth.

Prices are scaled so that the dearest replica costs 2**30, worth and sizes likewise, so that no product of two of them
leaves 64 bits. Exact amounts decide what fits; where only sizes are compared, amounts of at most 30 bits are used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rayfleet.model import LabelSelector, Pool
from rayfleet.planner.market import Variant
from rayfleet.planner.room import CENT_PART, UNLIMITED, Room
from rayfleet.planner.work import Item

Numbers = npt.NDArray[np.int64]

PRICE_BITS: Final = 30
COUNT_MAX: Final = 2**32
"""More pieces of one sort than this are not packed at once."""
NANO: Final = 1e9
MACHINE_SHARE: Final = 0.001
"""Every machine counts as dearer than it is by this share of the cheapest one's price, so that of equally cheap plans
the one of fewer machines wins. A plan is never dearer by more than this share of its price for it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Pieces to place: an item, one of its selectors, and how many."""

    item: Item
    selector: LabelSelector
    count: int


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Problem:
    """One question to the packer. Arrays are per piece, per variant, or per entry of a piece's needs (`need*`).

    A problem is equal to itself alone.
    """

    counts: Numbers
    need_start: Numbers
    need_row: Numbers
    need: Numbers
    rough: Numbers
    shift: Numbers
    offers: Numbers
    suit_start: Numbers
    suits: Numbers
    hosts: Numbers
    price: Numbers
    usd: Numbers
    pool: Numbers
    accelerated: Numbers
    weight: Numbers
    piece_accelerated: Numbers
    piece_weight: Numbers
    worth: Numbers
    alone: Numbers
    room: Numbers
    variants: tuple[Variant, ...]
    prefer_many: bool

    @property
    def pieces(self) -> int:
        """Return the number of sorts of pieces."""
        return self.counts.size

    def with_dear_machines(self) -> Problem:
        """Return the problem with every machine as dear as the dearest besides: few big ones win then."""
        return replace(self, price=self.price + self.price.max())


def problem_of(wanted: list[Wanted], variants: list[Variant], room: Room, *, prefer_many: bool) -> Problem | None:
    """Write a problem as numbers; None when no variant can take any piece. What another replaces is left out."""
    if not variants:
        return None
    need_start, need_row, need = _needs(wanted)
    dense = np.zeros((len(wanted), len(variants[0].offers)), np.int64)
    dense[np.repeat(np.arange(len(wanted)), np.diff(need_start)), need_row] = need
    suits = _suits(wanted, variants, dense)
    kept = _useful(variants, suits, _roomy(variants, room, sum(w.count for w in wanted)))
    if not kept:
        return None
    variants, suits = [variants[v] for v in kept], suits[kept]
    offers = np.array([v.offers for v in variants], np.int64).reshape(len(variants), dense.shape[1])
    shift = _shift(offers)
    share = _share(dense, offers)
    price = _prices([v.price for v in variants], prefer_many=prefer_many)
    hosts = np.array([v.hosts for v in variants], np.int64)
    accelerated = np.array([v.accelerated for v in variants], np.bool_)
    piece_accelerated = np.array([w.item.accelerated for w in wanted], np.bool_)
    order, suit_start = _big_first(suits, share, piece_accelerated)
    known = {v.pool.name: v.pool for v in variants}
    pools = list(known)
    proper = suits & (piece_accelerated | ~accelerated[:, None])
    return Problem(
        counts=np.array([min(w.count, COUNT_MAX) for w in wanted], np.int64),
        need_start=need_start,
        need_row=need_row,
        need=need,
        rough=need >> shift[need_row],
        shift=shift,
        offers=offers,
        suit_start=suit_start,
        suits=order,
        hosts=hosts,
        price=price,
        usd=np.array([_nano(v.offer.usd_per_hour) * v.hosts for v in variants], np.int64),
        pool=np.array([pools.index(v.pool.name) for v in variants], np.int64),
        accelerated=accelerated.astype(np.int64),
        weight=np.array([round(v.weight * NANO) for v in variants], np.int64),
        piece_accelerated=piece_accelerated.astype(np.int64),
        piece_weight=np.array([round(w.item.weight * NANO) for w in wanted], np.int64),
        worth=_worth(dense, offers, price // hosts, suits, proper),
        alone=_least(np.broadcast_to(price[:, None], suits.shape), suits, proper),
        room=_room(known.values(), room),
        variants=tuple(variants),
        prefer_many=prefer_many,
    )


def _needs(wanted: list[Wanted]) -> tuple[Numbers, Numbers, Numbers]:
    start = np.cumsum([0, *(len(w.item.need) for w in wanted)])
    flat = np.array([entry for w in wanted for entry in w.item.need], np.int64).reshape(-1, 2)
    return start.astype(np.int64), flat[:, 0].copy(), flat[:, 1].copy()


def _suits(wanted: list[Wanted], variants: list[Variant], dense: Numbers) -> npt.NDArray[np.bool_]:
    """Say of every variant which pieces it can take: enough of everything, and labels that the selector means."""
    offers = np.array([v.offers for v in variants], np.int64).reshape(len(variants), dense.shape[1])
    suits = np.ones((len(variants), len(wanted)), np.bool_)
    for row in range(dense.shape[1]):
        suits &= offers[:, row, None] >= dense[None, :, row]
    labels: dict[tuple[tuple[str, str], ...], int] = {}
    label_ids = [labels.setdefault(v.labels, len(labels)) for v in variants]
    selectors = {w.selector: None for w in wanted}
    meant = {s: np.array([s.holds(dict(known)) for known in labels], np.bool_) for s in selectors}
    suits &= np.stack([meant[w.selector] for w in wanted])[:, label_ids].T
    return suits


def _roomy(variants: list[Variant], room: Room, pieces: int) -> npt.NDArray[np.bool_]:
    """Say which variants can be had as often as could ever be wanted: once for every piece."""
    return np.array([room.hosts(v.pool) >= pieces * v.hosts for v in variants], np.bool_)


def _useful(variants: list[Variant], suits: npt.NDArray[np.bool_], roomy: npt.NDArray[np.bool_]) -> list[int]:
    """Return the variants that no other one replaces: one that offers as much to the same pieces and costs less.

    Equal ones are replaced by the first of them. What replaces others must be in a pool without a limit.
    """
    fit = _cheapest_of_equals(variants, suits, roomy)
    if not fit:
        return []
    offers = np.array([variants[v].offers for v in fit], np.int64)
    price = np.array([variants[v].price for v in fit])
    hosts = np.array([variants[v].hosts for v in fit])
    weight = np.array([variants[v].weight for v in fit])
    accelerated = np.array([variants[v].accelerated for v in fit], np.bool_)
    mine = suits[fit]
    kept = []
    for n, v in enumerate(fit):
        other = roomy[fit] & (hosts == hosts[n]) & (price <= price[n]) & (accelerated <= accelerated[n])
        other &= (offers >= offers[n]).all(axis=1) & (mine >= mine[n]).all(axis=1)
        same = (price == price[n]) & (
            (offers != offers[n]).any(axis=1) | (weight != weight[n]) | (np.arange(len(fit)) >= n)
        )
        if not (other & ~same).any():
            kept.append(v)
    return kept


def _cheapest_of_equals(
    variants: list[Variant], suits: npt.NDArray[np.bool_], roomy: npt.NDArray[np.bool_]
) -> list[int]:
    """Return the variants that some piece fits on; of equal machines for equal pieces the first of the cheapest.

    This is what `_useful` would find, but quickly: there may be hundreds of offers of few kinds of machines.
    """
    best: dict[object, int] = {}
    kept: list[int] = []
    for v in sorted(np.flatnonzero(suits.any(axis=1)).tolist(), key=lambda v: variants[v].price):
        variant = variants[v]
        key = (tuple(variant.offers), suits[v].tobytes(), variant.hosts, variant.accelerated, variant.weight)
        if key not in best:
            kept.append(v)
            if roomy[v]:
                best[key] = v
    return sorted(kept)


def _shift(offers: Numbers) -> Numbers:
    """Return per row how many bits an amount has above 30."""
    most = offers.max(axis=0, initial=0)
    return np.array([max(0, int(units).bit_length() - PRICE_BITS) for units in most], np.int64)


def _share(dense: Numbers, offers: Numbers) -> npt.NDArray[np.float64]:
    """Return the largest share of a host's amounts that a piece takes, per variant and piece."""
    share = np.zeros((offers.shape[0], dense.shape[0]))
    for row in range(offers.shape[1]):
        have = np.maximum(offers[:, row, None], 1)
        np.maximum(share, dense[None, :, row] / have, out=share)
    return share


def _prices(prices: list[float], *, prefer_many: bool) -> Numbers:
    scale = 2**PRICE_BITS / max(prices)
    each = 0.0 if prefer_many else min(prices) * MACHINE_SHARE
    return np.array([max(1, round((price + each) * scale)) for price in prices], np.int64)


def _big_first(
    suits: npt.NDArray[np.bool_], share: npt.NDArray[np.float64], accelerated: npt.NDArray[np.bool_]
) -> tuple[Numbers, Numbers]:
    """Return the pieces that suit each variant, those with accelerators first, then the biggest first."""
    key = np.where(suits, -share - 2.0 * accelerated[None, :], np.inf)
    order = np.argsort(key, axis=1, kind="stable")
    fit = suits.sum(axis=1)
    flat = np.concatenate([order[v, :n] for v, n in enumerate(fit)])
    return flat.astype(np.int64), np.cumsum([0, *fit]).astype(np.int64)


def _worth(
    dense: Numbers, offers: Numbers, price: Numbers, suits: npt.NDArray[np.bool_], proper: npt.NDArray[np.bool_]
) -> Numbers:
    """Return what a piece costs in the cheapest way to run it without others."""
    fit = np.full(suits.shape, COUNT_MAX, np.int64)
    for row in range(offers.shape[1]):
        need = dense[None, :, row]
        np.minimum(fit, np.where(need > 0, offers[:, row, None] // np.maximum(need, 1), COUNT_MAX), out=fit)
    fit[:, (dense == 0).all(axis=1)] = 1  # what needs nothing
    return _least(price[:, None] // np.maximum(fit, 1), suits, proper)


def _least(costs: Numbers, suits: npt.NDArray[np.bool_], proper: npt.NDArray[np.bool_]) -> Numbers:
    """Return the least over the variants that are meant for a piece, else over those that can take it; at least 1."""
    never = np.iinfo(np.int64).max
    first = np.where(proper, costs, never).min(axis=0, initial=never)
    second = np.where(suits, costs, never).min(axis=0, initial=never)
    least = np.where(first < never, first, second)
    return np.where(least < never, np.maximum(least, 1), 0).astype(np.int64)


def _nano(usd_per_hour: float | None) -> int:
    return round((usd_per_hour or 0.0) * NANO)


def _room(pools: Iterable[Pool], room: Room) -> Numbers:
    """Return the hosts that may be added per pool and in all, and the nano-USD per hour."""
    money = room.money_per_hour()
    usd = UNLIMITED if math.isinf(money) else round((money + CENT_PART) * NANO)
    return np.array([*(room.hosts(pool) for pool in pools), room.cluster, usd], np.int64)
