"""A problem as rayfleet is told it: a snapshot. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.problems.catalogue import MARKET, ZONE
from benchmarks.problems.model import Amounts, Case, Group, MachineType, Node, Selector
from rayfleet.model import (
    UNITS,
    Bundle,
    Claim,
    Demand,
    FrozenMap,
    Gang,
    Host,
    LabelMatch,
    LabelSelector,
    Market,
    Offer,
    Policy,
    Pool,
    Resources,
    Snapshot,
    Strategy,
    TaskDemand,
)

_NOW = 1000.0


def snapshot_of(problem: Case, effort: int = 0) -> Snapshot:
    """Return the snapshot of a problem: types of one name are offers of one pool."""
    of_pool: dict[str, list[MachineType]] = {}
    for each in problem.types:
        of_pool.setdefault(each.pool, []).append(each)
    tasks = tuple(
        TaskDemand(Resources.of(each.resources), each.count, _selectors(each.selector)) for each in problem.shapes
    )
    return Snapshot(
        now=_NOW,
        policy=Policy(pools=tuple(_pool(types) for types in of_pool.values())),
        claims=tuple(_claim(node) for node in problem.nodes),
        demand=Demand(tasks=tasks, gangs=tuple(_gang(group) for group in problem.groups)),
        effort=effort,
    )


def _pool(types: list[MachineType]) -> Pool:
    first = types[0]
    labels = {key: value for key, value in first.labels.items() if key not in (MARKET, ZONE)}
    return Pool(first.pool, Resources.of(first.resources), FrozenMap(labels), offers=tuple(map(_offer, types)))


def _offer(of: MachineType) -> Offer:
    market = Market.SPOT if of.labels.get(MARKET) == "spot" else Market.ON_DEMAND
    return Offer(of.usd_per_hour, market, of.labels.get(ZONE))


def _selectors(selector: Selector) -> tuple[LabelSelector, ...]:
    matches = tuple(LabelMatch(key, tuple(sorted(values)), not wanted) for key, wanted, values in sorted(selector))
    return (LabelSelector(matches),) if matches else ()


def _gang(group: Group) -> Gang:
    bundles = tuple(Bundle(Resources.of(bundle)) for bundle in group.bundles)
    return Gang(Strategy(group.strategy), bundles, group.count)


def _claim(node: Node) -> Claim:
    total = Resources.of(node.type.resources)
    host = Host(node.name, used=_used(node.type.resources, node.available, total.keys()))
    return Claim(node.name, _offer(node.type).key(node.type.pool), hosts=(host,), batch=node.name)


def _used(total: Amounts, available: Amounts, names: Iterable[str]) -> Resources:
    return Resources({name: round((total[name] - available.get(name, 0.0)) * UNITS) for name in names})
