"""The GCS's answer as the loop's words: demand and nodes. Pure; protobufs stop here.

What Ray says and what it means differ in places, each handled here and nowhere else:

- An actor carries one empty label selector, a task none: both mean "anywhere".
- The strategy of a group that is not STRICT is only in the text `details`; selectors of single bundles are only in
  `bundle_selectors`. Of a group that lost a node only the missing bundles are listed; nodes that hold the others
  carry the label `_PG_<id>` among their dynamic ones.
- A request made inside a placement group names resources like `CPU_group_0_<id>`: no new node can have them.
- A cleared `request_resources` is one empty message.
- `node_activity` of a node that has become IDLE is what last kept it busy; IDLE is believed when nothing is in use.
- DEAD nodes stay listed, also beside the node that came after them on the same machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from rayfleet.contracts import EngineView, Node
from rayfleet.engines.ray.protobufs import autoscaler, common
from rayfleet.model import (
    NOTHING,
    UNITS,
    Bundle,
    Demand,
    FrozenMap,
    Gang,
    LabelMatch,
    LabelSelector,
    NodeFact,
    RequestedDemand,
    Resources,
    Selectors,
    Strategy,
    TaskDemand,
)

HEAD_RESOURCE: Final = "node:__internal_head__"
_GROUP_LABEL: Final = "_PG_"
_IN_A_GROUP: Final = re.compile(r".+_group_(\d+_)?[0-9a-f]{20,}")
_ALIVE, _DRAINING, _DEAD = NodeFact.ALIVE, NodeFact.DRAINING, NodeFact.DEAD
_ORDER: Final = (_ALIVE, _DRAINING, _DEAD)


def engine_view(state: Any, received_at: float) -> EngineView:
    """Translate a ClusterResourceState. `received_at`: seconds since the epoch. Ages are 0; see `with_ages`."""
    return EngineView(demand(state), nodes(state), received_at, state.cluster_session_name)


# ---- demand ----------------------------------------------------------------------------------------------------------


def demand(state: Any) -> Demand:
    """Return all that waits; equal entries are one entry with their counts added, in order of first appearance."""
    return Demand(_tasks(state), _gangs(state), _requested(state))


def task_key(request: Any) -> tuple[Resources, Selectors]:
    """Return what makes two task requests the same demand."""
    return resources(request.resources_bundle), selectors(request)


def _tasks(state: Any) -> tuple[TaskDemand, ...]:
    counts: dict[tuple[Resources, Selectors], int] = {}
    for entry in state.pending_resource_requests:
        if not any(_IN_A_GROUP.fullmatch(name) for name in entry.request.resources_bundle):
            key = task_key(entry.request)
            counts[key] = counts.get(key, 0) + entry.count
    return tuple(TaskDemand(shape, count, where) for (shape, where), count in counts.items())


def _requested(state: Any) -> tuple[RequestedDemand, ...]:
    counts: dict[tuple[Resources, Selectors], int] = {}
    for constraint in state.cluster_resource_constraints:
        for entry in constraint.resource_requests:
            key = task_key(entry.request)
            counts[key] = counts.get(key, 0) + entry.count
    return tuple(RequestedDemand(shape, count, where) for (shape, where), count in counts.items())


def _gangs(state: Any) -> tuple[Gang, ...]:
    holders = _holders(state)
    counts: dict[Gang, int] = {}
    partly_placed: list[Gang] = []
    for request in state.pending_gang_resource_requests:
        group, strategy = _group_and_strategy(request)
        gang = Gang(strategy, _bundles(request), same_label=_same_label(request))
        gang = _with_placed(gang, holders.get(group, ()))
        if gang.placed:
            partly_placed.append(gang)
        else:
            counts[gang] = counts.get(gang, 0) + 1
    return (*partly_placed, *(replace(gang, count=count) for gang, count in counts.items()))


def _group_and_strategy(request: Any) -> tuple[str, Strategy]:
    """Read `<group id>:<STRATEGY>|<STATE>`; where that is missing, the placement constraints tell the STRICT ones."""
    group, _, rest = request.details.partition(":")
    word = rest.partition("|")[0].strip()
    if word in Strategy.__members__:
        return group, Strategy(word)
    constraints = [constraint for bundle in request.requests for constraint in bundle.placement_constraints]
    if any(constraint.HasField("anti_affinity") for constraint in constraints):
        return group, Strategy.STRICT_SPREAD
    if any(constraint.HasField("affinity") for constraint in constraints):
        return group, Strategy.STRICT_PACK
    return group, Strategy.PACK


def _same_label(request: Any) -> str | None:
    """Return the label on which all nodes of a group have to agree; None: they need not, or Ray is too old to say."""
    for entry in getattr(request, "bundle_selectors", ()):
        if "locality_requirement" in entry.DESCRIPTOR.fields_by_name and entry.HasField("locality_requirement"):
            wanted = entry.locality_requirement.locality_constraint
            strategies = wanted.DESCRIPTOR.fields_by_name["placement_strategy"].enum_type.values_by_number
            if strategies[wanted.placement_strategy].name == Strategy.STRICT_PACK:
                return wanted.label_name or None
    return None


def _bundles(request: Any) -> tuple[Bundle, ...]:
    """Return the bundles; `bundle_selectors` lists them again with selectors, once per alternative, the best first."""
    alternatives = [entry.resource_requests for entry in getattr(request, "bundle_selectors", ())]
    plain = request.requests or (alternatives[0] if alternatives else ())
    shapes = [resources(bundle.resources_bundle) for bundle in plain]
    same = [a for a in alternatives if [resources(b.resources_bundle) for b in a] == shapes]
    found = []
    for number, shape in enumerate(shapes):
        wishes = [where for a in same for where in (selectors(a[number]) or (LabelSelector(),))]
        found.append(Bundle(shape, _until_anywhere(wishes) or selectors(plain[number])))
    return tuple(found)


def _holders(state: Any) -> dict[str, tuple[str, ...]]:
    """Return per placement group the machine ids (node ids where there is none) that hold a part of it."""
    found: dict[str, tuple[str, ...]] = {}
    for node in state.node_states:
        if node.status != autoscaler.DEAD:
            for label in node.dynamic_labels:
                if label.startswith(_GROUP_LABEL):
                    group = label.removeprefix(_GROUP_LABEL)
                    found[group] = (*found.get(group, ()), node.instance_id or node.node_id.hex())
    return found


def _with_placed(gang: Gang, machines: Iterable[str]) -> Gang:
    """Add what is already placed: bundles that need no room, at their machines. Only STRICT strategies care where."""
    if gang.strategy not in (Strategy.STRICT_PACK, Strategy.STRICT_SPREAD):
        return gang
    placed = {str(len(gang.bundles) + number): machine for number, machine in enumerate(sorted(machines))}
    return replace(gang, bundles=(*gang.bundles, *(Bundle(NOTHING) for _ in placed)), placed=FrozenMap(placed))


def selectors(request: Any) -> Selectors:
    """Return the request's label selectors in order of preference; empty = anywhere."""
    return _until_anywhere(_selector(entry) for entry in getattr(request, "label_selectors", ()))


def _until_anywhere(wishes: Iterable[LabelSelector]) -> Selectors:
    """Cut after the first that holds everywhere; when that is the first of all, there is no condition."""
    found: list[LabelSelector] = []
    for wish in wishes:
        if wish not in found:
            found.append(wish)
        if not wish.matches:
            break
    return () if not found or not found[0].matches else tuple(found)


def _selector(entry: Any) -> LabelSelector:
    matches = (
        LabelMatch(
            condition.label_key,
            tuple(sorted(condition.label_values)),
            condition.operator == common.LabelSelectorOperator.Value("LABEL_OPERATOR_NOT_IN"),
        )
        for condition in entry.label_constraints
    )
    return LabelSelector(tuple(sorted(matches)))


# ---- nodes -----------------------------------------------------------------------------------------------------------


def nodes(state: Any) -> tuple[Node, ...]:
    """Return the nodes: alive, draining, then dead ones, each in id order; no dead one whose machine has a live one."""
    found = [_node(entry) for entry in state.node_states]
    occupied = {node.instance_id for node in found if node.state is not _DEAD and node.instance_id}
    kept = [node for node in found if node.state is not _DEAD or node.instance_id not in occupied]
    return tuple(sorted(kept, key=lambda node: (_ORDER.index(node.state), node.id)))


def _node(entry: Any) -> Node:
    total, available = resources(entry.total_resources), resources(entry.available_resources)
    idle = entry.status == autoscaler.IDLE and not (total - available).floored()
    return Node(
        id=entry.node_id.hex(),
        instance_id=entry.instance_id,
        pool=entry.ray_node_type_name,
        state=_fact(entry.status),
        total=total,
        available=available,
        labels=FrozenMap(dict(entry.labels)),
        idle_s=entry.idle_duration_ms / 1000 if idle else 0.0,
        activity=() if idle else tuple(entry.node_activity),
        head=HEAD_RESOURCE in entry.total_resources,
        address=entry.node_ip_address,
    )


def _fact(status: int) -> NodeFact:
    if status == autoscaler.DEAD:
        return _DEAD
    return _DRAINING if status == autoscaler.DRAINING else _ALIVE


def resources(amounts: Mapping[str, float]) -> Resources:
    """Return amounts in units, without the resources that Ray makes up for placement groups."""
    return Resources(
        {name: round(amount * UNITS) for name, amount in amounts.items() if not _IN_A_GROUP.fullmatch(name)}
    )


# ---- ages ------------------------------------------------------------------------------------------------------------

FirstSeen = Mapping[TaskDemand | Gang, float]
"""When each waiting shape (count 1, age 0) was first seen, seconds since the epoch."""


def with_ages(waiting: Demand, seen: FirstSeen, now: float) -> tuple[Demand, FirstSeen]:
    """Fill in how long each shape has been waiting, and return what to remember for the next time.

    Ray does not tell ages. A shape is as old as its oldest uninterrupted wait.
    """
    tasks = {task: replace(task, count=1, age_s=0.0) for task in waiting.tasks}
    gangs = {gang: replace(gang, count=1, age_s=0.0) for gang in waiting.gangs}
    keys: list[TaskDemand | Gang] = [*tasks.values(), *gangs.values()]
    since = {key: seen.get(key, now) for key in keys}
    aged = Demand(
        tuple(replace(task, age_s=max(0.0, now - since[key])) for task, key in tasks.items()),
        tuple(replace(gang, age_s=max(0.0, now - since[key])) for gang, key in gangs.items()),
        waiting.requested,
    )
    return aged, since
