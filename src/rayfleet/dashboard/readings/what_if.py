"""What would be decided if a limit were another: the newest snapshot is planned again, and nothing is touched. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rayfleet.dashboard.readings.autoscaler import Step, steps
from rayfleet.model import Order, OrderKind, Plan, Snapshot
from rayfleet.planner import plan
from rayfleet.planner.orders import POLICY_FIELDS, POOL_FIELDS

_ID = "what-if"


@dataclass(frozen=True, slots=True)
class Side:
    """A plan in numbers: machines launched, drained and released, work without a place, USD per hour after it."""

    launched: int
    leaving: int
    unmet: int
    usd_per_hour: float
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The plan as it is and as it would be. `refused`: why the change cannot be; "": it can."""

    key: str
    value: str
    before: Side
    after: Side
    refused: str = ""


def settings(snapshot: Snapshot) -> tuple[str, ...]:
    """Return what can be changed: limits of the cluster, then those of each pool (POOL.key)."""
    pools = (f"{pool.name}.{field}" for pool in snapshot.policy.pools for field in sorted(POOL_FIELDS))
    return (*sorted(POLICY_FIELDS), *pools)


def what_if(snapshot: Snapshot, key: str, value: str) -> WhatIf:
    """Plan the snapshot as it is, and as if somebody had set `key` to `value`."""
    order = Order(_ID, OrderKind.SET, key.strip(), value.strip(), by="what-if", at=snapshot.now)
    standing = tuple(each for each in snapshot.orders if each.target != order.target or each.kind is not OrderKind.SET)
    before, after = plan(snapshot), plan(replace(snapshot, orders=(*standing, order)))
    refused = next((str(f.reason.details.get("why", f.reason.text)) for f in after.findings if f.subject == _ID), "")
    return WhatIf(order.target, order.value, side(before), side(after), refused)


def side(decided: Plan) -> Side:
    """Return a plan in numbers."""
    return Side(
        sum(launch.count for launch in decided.launches),
        sum(len(drain.hosts) for drain in decided.drains) + sum(len(release.hosts) for release in decided.releases),
        sum(unmet.count for unmet in decided.unmet),
        decided.cost.after,
        steps(decided),
    )
