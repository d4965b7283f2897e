"""Machines with accelerators are spared while a plain one will be asked for again in a moment.

A provider that gave no clear answer makes a plain offer back off for some seconds. Work that needs no accelerator
waits for it, or takes another plain offer; a machine with an accelerator is launched for it only when nothing else can
be had: plain offers are out of stock, at a quota, denied, at a limit, do not fit, or have given no answer for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rayfleet.model import (
    ANYWHERE,
    LabelSelector,
    OfferKey,
    Reason,
    ReasonCode,
    Resources,
    Selectors,
    offer_labels,
    reason,
)
from rayfleet.planner import backoffs
from rayfleet.planner.detours import offer_text
from rayfleet.planner.draft import Draft
from rayfleet.planner.market import Variant
from rayfleet.planner.room import Room
from rayfleet.planner.weights import has_accelerator
from rayfleet.planner.work import Item

Asked = list[tuple[Item, LabelSelector]]


class Awaited(NamedTuple):
    """A plain offer that is asked again at `until`."""

    until: float
    key: OfferKey


def awaited(draft: Draft, room: Room, shape: Resources, selectors: Selectors) -> Awaited | None:
    """Return the plain offer that work without an accelerator waits for, the first one; None: it waits for none."""
    if has_accelerator(shape) or not any(b.until > draft.now and backoffs.is_passing(draft, b) for b in draft.backoffs):
        return None
    return min(_awaited(draft, room, shape, selectors), key=lambda found: found.until, default=None)


def _awaited(draft: Draft, room: Room, shape: Resources, selectors: Selectors) -> Iterator[Awaited]:
    for pool in draft.policy.pools:
        if has_accelerator(pool.resources) or any(units > pool.resources.get(n, 0) for n, units in shape.items()):
            continue
        for offer in pool.offers:
            key = offer.key(pool.name)
            hit = backoffs.active(draft, key)
            labels = dict(offer_labels(pool, key))
            meant = any(selector.holds(labels) for selector in selectors or (ANYWHERE,))
            if hit and meant and backoffs.is_passing(draft, hit) and room.replicas(pool, offer.usd_per_hour):
                yield Awaited(hit.until, key)


def by_patience(draft: Draft, room: Room, wanted: Asked, variants: list[Variant]) -> list[tuple[Asked, list[Variant]]]:
    """Return what is launched for together: all of it, or first what waits for nothing, then the rest on plain ones."""
    if not draft.backoffs:
        return [(wanted, variants)]
    waiting = [pair for pair in wanted if pair[0].left and awaited(draft, room, pair[0].shape, (pair[1],))]
    if not waiting:
        return [(wanted, variants)]
    patient = {id(piece) for piece, _ in waiting}
    rest = [pair for pair in wanted if id(pair[0]) not in patient]
    return [(rest, variants), (waiting, [variant for variant in variants if not variant.accelerated])]


def spared(draft: Draft, room: Room, shape: Resources, selectors: Selectors) -> Reason | None:
    """Return why a pool with an accelerator does not take a piece; None when it would."""
    found = awaited(draft, room, shape, selectors)
    if found is None:
        return None
    return reason(ReasonCode.SPARED, offer=offer_text(found.key), left_s=found.until - draft.now)
