"""What `up` would do, without doing it: machines, changes of the configuration, and what it costs an hour. Pure.

Nothing is asked of any place: what a cluster that is up has grown to is not known here, only what its two
configurations, the stored and the new one, want at least and allow at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from rayfleet.config import ClusterSpec
from rayfleet.config.cluster_show import everything
from rayfleet.config.secrets import without_secrets
from rayfleet.launcher.prices import PriceRow, price_rows
from rayfleet.model import Policy, Pool, Snapshot
from rayfleet.planner import plan

SHOWN: Final = ("provider", "policy", "types", "bootstrap", "monitoring")
"""Parts of `rayfleet config show` that a cluster is made of."""
VALUE_MAX: Final = 60
"""Longest value that is printed whole."""


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines of one offer that the minimums want: so many are made, or end, by `up`."""

    row: PriceRow
    count: int

    def as_json(self) -> dict[str, Any]:
        """Return it in the public format."""
        return {**self.row.as_json(), "count": self.count}

    def __str__(self) -> str:
        """Return it for people."""
        offer = self.row.offer
        role = "head" if self.row.head else "worker" if self.count == 1 else "workers"
        name = self.row.pool if self.row.pool != role else ""
        kind = " ".join(filter(None, (role, name, f"({self.row.machine})" if self.row.machine else "")))
        where = " ".join(filter(None, (str(offer.market).replace("_", " "), "in" if offer.zone else "", offer.zone)))
        usd = "price unknown" if offer.usd_per_hour is None else f"{self.count * offer.usd_per_hour:.4g} USD/h"
        source = f" ({', '.join(filter(None, (self.row.source, self.row.as_of)))})" if self.row.source else ""
        return f"{self.count} x {kind}, {where}: {usd}{source}"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that the new configuration has otherwise. `path`: as in `rayfleet config show`; None: not there."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.path}: {_brief(self.before)} -> {_brief(self.after)}"


@dataclass(frozen=True, slots=True)
class Bill:
    """USD per hour. `at_maximum` None: there is no maximum.

    `unpriced`: machines of the minimum whose price nobody knows. `unpriced_pools`: where that is so of any offer.
    """

    at_least: float
    at_maximum: float | None
    unpriced: int = 0
    unpriced_pools: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it in the public format."""
        most = None if self.at_maximum is None else round(self.at_maximum, 6)
        return {
            "at_least": round(self.at_least, 6),
            "at_maximum": most,
            "unpriced": self.unpriced,
            "unpriced_pools": list(self.unpriced_pools),
        }


@dataclass(frozen=True, slots=True)
class DryRun:
    """What `up` would do. `fresh`: the cluster is not up, so that everything is made."""

    cluster: str
    provider: str
    fresh: bool
    created: tuple[Machines, ...]
    ended: tuple[Machines, ...]
    changes: tuple[Change, ...]
    bill: Bill
    bill_before: Bill | None
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it in the public format."""
        return {
            "cluster": self.cluster,
            "provider": self.provider,
            "fresh": self.fresh,
            "create": [one.as_json() for one in self.created],
            "end": [one.as_json() for one in self.ended],
            "changes": [{"path": one.path, "before": one.before, "after": one.after} for one in self.changes],
            "usd_per_hour": self.bill.as_json(),
            "usd_per_hour_before": self.bill_before.as_json() if self.bill_before else None,
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        word = "is made" if self.fresh else "is up; nothing would change"
        if not self.fresh and (self.changes or self.created or self.ended):
            word = "is up; it is changed"
        return [
            f"cluster {self.cluster} ({self.provider}) {word}",
            *(f"  create  {one}" for one in self.created),
            *(f"  end     {one}" for one in self.ended),
            *(f"  change  {one}" for one in self.changes),
            *_bill_lines(self.bill, self.bill_before),
            "nothing was done: this was a dry run",
        ]


def dry_run(spec: ClusterSpec, stored: ClusterSpec | None = None, *, now: float = 0.0) -> DryRun:
    """Return what bringing up `spec` would do. `stored`: the configuration that the cluster has, None: it is not up.

    `now`: the moment (UNIX time) at which schedules are looked at.
    """
    wanted, had = _minimum(spec, now), _minimum(stored, now) if stored else Counter()
    return DryRun(
        cluster=spec.name,
        provider=spec.provider,
        fresh=stored is None,
        created=tuple(Machines(row, count) for row, count in (wanted - had).items()),
        ended=tuple(Machines(row, count) for row, count in (had - wanted).items()),
        changes=tuple(_changes(everything(stored), everything(spec))) if stored else (),
        bill=_bill(spec, wanted),
        bill_before=_bill(stored, had) if stored else None,
        notes=tuple(str(note) for note in spec.notes),
    )


def _minimum(spec: ClusterSpec, now: float) -> Counter[PriceRow]:
    """Return what runs when there is no work: the head, then the minimums as the planner buys them."""
    policy = spec.policy
    rows = {(row.pool, row.head, row.offer.key(row.pool)): row for row in price_rows(spec)}
    found: Counter[PriceRow] = Counter()
    head = plan(Snapshot(policy=replace(policy, pools=()), now=now)).launches if policy.head else ()
    for launch in head:
        found[rows[launch.offer.pool, True, launch.offer]] += launch.count
    left = policy.max_usd_per_hour
    if left is not None:
        left = max(0.0, left - _usd(found))
    workers = plan(Snapshot(policy=replace(policy, head=None, max_usd_per_hour=left), now=now)).launches
    for launch in workers:
        found[rows[launch.offer.pool, False, launch.offer]] += launch.count
    return found


def _usd(machines: Counter[PriceRow]) -> float:
    return sum(count * (row.offer.usd_per_hour or 0.0) for row, count in machines.items())


def _bill(spec: ClusterSpec, least: Counter[PriceRow]) -> Bill:
    unpriced = sum(count for row, count in least.items() if row.offer.usd_per_hour is None)
    pools = (row.pool for row in price_rows(spec) if row.offer.usd_per_hour is None)
    return Bill(_usd(least), _most(spec.policy), unpriced, tuple(dict.fromkeys(pools)))


def _most(policy: Policy) -> float | None:
    """Return what it can cost at most: every pool at its maximum, at its dearest offer, the dearest pools first."""
    usd = _dearest(policy.head) if policy.head else 0.0
    left = policy.max_workers
    for pool in sorted(policy.pools, key=lambda one: (-_dearest(one), one.name)):
        most = pool.max_workers if left is None else left if pool.max_workers is None else min(left, pool.max_workers)
        if most is None and _dearest(pool):
            return policy.max_usd_per_hour
        usd += (most or 0) * _dearest(pool)
        left = None if left is None or most is None else left - most
    return usd if policy.max_usd_per_hour is None else min(usd, policy.max_usd_per_hour)


def _dearest(pool: Pool) -> float:
    return max((offer.usd_per_hour or 0.0 for offer in pool.offers), default=0.0)


def _changes(before: Any, after: Any) -> Iterator[Change]:
    """Yield what differs, secrets included; they are then left out, so that only that they differ can be seen."""
    for part in SHOWN:
        for change in _differences(before.get(part), after.get(part), part):
            key = change.path.rpartition(".")[2]
            yield Change(change.path, without_secrets(change.before, key), without_secrets(change.after, key))


def _differences(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}")
    elif _named(before) and _named(after):
        old, new = ({row["name"]: row for row in rows} for rows in (before, after))
        yield from _differences(old, new, path)
    elif before != after:
        yield Change(path, before, after)


def _named(rows: Any) -> bool:
    return isinstance(rows, list) and bool(rows) and all(isinstance(row, dict) and "name" in row for row in rows)


def _brief(value: Any) -> str:
    if isinstance(value, dict) and "name" in value:
        return f"{value['name']}"
    text = "none" if value is None else str(value)
    return text if len(text) <= VALUE_MAX else f"{text[: VALUE_MAX - 3]}..."


def _bill_lines(bill: Bill, before: Bill | None) -> Iterator[str]:
    was = f"{before.at_least:.4g} -> " if before and before.at_least != bill.at_least else ""
    yield f"  costs   {was}{bill.at_least:.4g} USD/h at least"
    most = "without a maximum" if bill.at_maximum is None else f"{bill.at_maximum:.4g} USD/h at maximum"
    yield f"          {most}"
    if bill.unpriced_pools:
        yield f"          and what nobody knows the price of, in {', '.join(bill.unpriced_pools)}"
