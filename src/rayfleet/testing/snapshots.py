"""Builders of snapshots with defaults, so that a test names only what it is about.

snapshot(pool("cpu4", CPU=4), claim("m1", "cpu4", CPU_used=1), demand=[tasks(5, CPU=1)])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rayfleet.model import (
    Buffer,
    Bundle,
    Claim,
    Demand,
    FrozenMap,
    Gang,
    Host,
    LabelSelector,
    Market,
    Offer,
    OfferKey,
    Phase,
    Policy,
    Pool,
    RequestedDemand,
    Resources,
    Selectors,
    Snapshot,
    Strategy,
    TaskDemand,
)
from rayfleet.planner.names import host_ids

NOW = 1000.0
"""When snapshots are taken unless they say otherwise."""
LONG_AGO = 900.0
"""When claims entered their phase unless they say otherwise: not young, and within every time-out."""

Demanded = TaskDemand | Gang | RequestedDemand


def pool(
    name: str, usd_per_hour: float | None = None, amounts: Mapping[str, float] | None = None, **fields: Any
) -> Pool:
    """Return a pool: `pool("cpu4", CPU=4, max_workers=3)`.

    Fields of `Pool` go there, everything else is a resource; `amounts` is for names that are no Python names.
    `labels` may be a plain mapping; `usd_per_hour` makes the one on-demand offer.
    """
    own = {key: fields.pop(key) for key in list(fields) if key in Pool.__dataclass_fields__}
    own.setdefault("offers", (Offer(usd_per_hour),))
    own["labels"] = FrozenMap(own.get("labels", {}))
    return Pool(name=name, resources=Resources.of({**fields, **(amounts or {})}), **own)


def offer(usd_per_hour: float | None = None, zone: str | None = None, *, spot: bool = False) -> Offer:
    """Return an offer."""
    return Offer(usd_per_hour, Market.SPOT if spot else Market.ON_DEMAND, zone)


def claim(name: str, of: str | OfferKey, phase: Phase = Phase.READY, *, hosts: int = 1, **fields: Any) -> Claim:
    """Return a claim of pool (or offer) `of` with `hosts` hosts.

    Fields of `Host` (`used`, `total`: plain amounts; `labels`: a mapping) apply to every host, the others to
    the claim.
    """
    of_host = {key: fields.pop(key) for key in list(fields) if key in Host.__dataclass_fields__}
    for key in ("used", "total"):
        if key in of_host:
            of_host[key] = Resources.of(of_host[key])
    of_host["labels"] = FrozenMap(of_host.get("labels", {}))
    origin = OfferKey(of, market=Market.ON_DEMAND) if isinstance(of, str) else of
    members = tuple(Host(id=host, **of_host) for host in host_ids(name, hosts))
    fields.setdefault("batch", name)
    fields.setdefault("since", LONG_AGO)
    fields.setdefault("created", LONG_AGO)
    fields.setdefault("accepted", phase is not Phase.REQUESTED)
    fields.setdefault("standby", phase is Phase.STANDBY)
    return Claim(id=name, offer=origin, phase=phase, hosts=members, **fields)


def selectors(*alternatives: Mapping[str, str]) -> Selectors:
    """Return label selectors in order of preference, in Ray's syntax."""
    return tuple(LabelSelector.parse(expressions) for expressions in alternatives)


def tasks(
    count: int, *alternatives: Mapping[str, str], amounts: Mapping[str, float] | None = None, **shape: float
) -> TaskDemand:
    """Return `count` waiting tasks: `tasks(3, CPU=1)`, `tasks(1, {"tier": "batch"}, CPU=1)`."""
    return TaskDemand(Resources.of({**shape, **(amounts or {})}), count, selectors(*alternatives))


def requested(count: int, amounts: Mapping[str, float] | None = None, **shape: float) -> RequestedDemand:
    """Return `count` requested bundles."""
    return RequestedDemand(Resources.of({**shape, **(amounts or {})}), count)


def bundle(shape: Mapping[str, float], *alternatives: Mapping[str, str]) -> Bundle:
    """Return a bundle of a gang with selectors of its own."""
    return Bundle(Resources.of(shape), selectors(*alternatives))


def gang(strategy: Strategy | str, *shapes: Mapping[str, float] | Bundle, count: int = 1, **fields: Any) -> Gang:
    """Return a placement group with a bundle per shape. `labels`: alternatives that hold for every such bundle."""
    wanted = selectors(*fields.pop("labels", ()))
    bundles = tuple(s if isinstance(s, Bundle) else Bundle(Resources.of(s), wanted) for s in shapes)
    fields["placed"] = FrozenMap(fields.get("placed", {}))
    return Gang(Strategy(strategy), bundles, count, **fields)


def buffer(
    count: int = 0, *alternatives: Mapping[str, str], percent: float = 0.0, name: str = "spare", **shape: float
) -> Buffer:
    """Return a buffer: `buffer(2, CPU=1)`, `buffer(percent=20, CPU=1)`."""
    return Buffer(name, Resources.of(shape), count, percent, selectors(*alternatives))


def demand(*wanted: Demanded) -> Demand:
    """Sort demand into its lists."""
    return Demand(
        tasks=tuple(d for d in wanted if isinstance(d, TaskDemand)),
        gangs=tuple(d for d in wanted if isinstance(d, Gang)),
        requested=tuple(d for d in wanted if isinstance(d, RequestedDemand)),
    )


def snapshot(*parts: Pool | Claim | Demanded, now: float = NOW, **fields: Any) -> Snapshot:
    """Return a snapshot of pools, claims and demand, in any order.

    Fields of `Policy` go there (`max_workers=5`), the others are the snapshot's. No limit and no price unless given.
    """
    of_policy = {key: fields.pop(key) for key in list(fields) if key in Policy.__dataclass_fields__}
    claims = tuple(part for part in parts if isinstance(part, Claim))
    policy = Policy(pools=tuple(part for part in parts if isinstance(part, Pool)), **of_policy)
    wanted = demand(*(p for p in parts if isinstance(p, TaskDemand | Gang | RequestedDemand)))
    fields.setdefault("serial", 100)
    return Snapshot(now=now, policy=policy, claims=claims, demand=wanted, **fields)


def with_host(of: Claim, number: int = 0, **facts: Any) -> Claim:
    """Return the claim with other facts of one host."""
    hosts = list(of.hosts)
    hosts[number] = replace(hosts[number], **facts)
    return replace(of, hosts=tuple(hosts))
