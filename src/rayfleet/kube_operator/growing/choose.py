"""Which pods are to grow for what waits, and how the cluster looks to the planner meanwhile. Pure.

What waits fills what is free as it is, then what is on its way, then pods that may grow, which are chosen one by one. A
pod that is chosen, or grows already, counts as if it were as large as it will be: nothing is launched for what fits
there. When its growth fails it counts as it is again, and the planner launches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from rayfleet.contracts import EngineView, Node
from rayfleet.kube_operator.growing.pods import Attempt, Growing
from rayfleet.model import Bundle, NodeFact, Resources


@dataclass(frozen=True, slots=True)
class Choice:
    """What the planner is to see, and the names of pods that are to begin to grow."""

    view: EngineView
    grow: tuple[str, ...]


def choose(view: EngineView, pods: Mapping[str, Growing]) -> Choice:
    """Choose pods for the demand of a view. `pods`: those of groups that may grow, by name."""
    nodes = {node.instance_id: node for node in view.nodes if node.state is NodeFact.ALIVE and node.instance_id}
    under_way = {name for name, pod in pods.items() if name in nodes and _is_under_way(pod)}
    larger = {name: _grown(node, pods[name]) if name in under_way else node for name, node in nodes.items()}
    free = {name: node.available for name, node in larger.items()}
    chosen: dict[str, Node] = {}
    for bundle, count in _waiting(view):
        left = _fill(bundle, count, larger, free)
        for name in sorted(pods):
            if left == 0:
                break
            if name not in nodes or name in chosen or not pods[name].may_grow:
                continue
            grown = _grown(nodes[name], pods[name])
            room = free[name] + (grown.available - nodes[name].available)
            if bundle.shape.fits(room) and _suits(bundle, grown):
                chosen[name] = larger[name] = grown
                free[name] = room
                left = _fill(bundle, left, {name: grown}, free)
    shown = tuple(larger.get(node.instance_id, node) if node.state is NodeFact.ALIVE else node for node in view.nodes)
    return Choice(replace(view, nodes=shown), tuple(sorted(chosen)))


def _waiting(view: EngineView) -> Iterator[tuple[Bundle, int]]:
    """Yield what waits. Members of gangs are looked at one by one: the planner sees to their being together."""
    for task in view.demand.tasks:
        yield Bundle(task.shape, task.selectors), task.count
    for gang in view.demand.gangs:
        for number, bundle in enumerate(gang.bundles):
            if str(number) not in gang.placed:
                yield bundle, gang.count


def _fill(bundle: Bundle, count: int, nodes: Mapping[str, Node], free: dict[str, Resources]) -> int:
    """Put as many as fit into what is free; return how many are left."""
    for name, node in nodes.items():
        while count and bundle.shape.fits(free[name]) and _suits(bundle, node):
            free[name] = free[name] - bundle.shape
            count -= 1
    return count


def _suits(bundle: Bundle, node: Node) -> bool:
    return not bundle.selectors or any(selector.holds(node.labels) for selector in bundle.selectors)


def _is_under_way(pod: Growing) -> bool:
    """Say whether it grows, or has grown and Ray does not know it yet."""
    return pod.attempt in (Attempt.GROWING, Attempt.SETTLED)


def _grown(node: Node, pod: Growing) -> Node:
    """Return a node as it will be."""
    size = pod.asked if _is_under_way(pod) else pod.goal
    more = Resources({name: max(0, units - node.total.get(name, 0)) for name, units in size.items()})
    return replace(node, total=node.total + more, available=node.available + more)
