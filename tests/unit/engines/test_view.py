"""The GCS's messages as demand and nodes: every way in which Ray says one thing and means another."""

from __future__ import annotations

from typing import Any

import pytest

from rayfleet.engines.ray.protobufs import autoscaler, common
from rayfleet.engines.ray.requests import constraint
from rayfleet.engines.ray.view import demand, engine_view, nodes, with_ages
from rayfleet.model import (
    Bundle,
    Demand,
    Gang,
    LabelSelector,
    NodeFact,
    RequestedDemand,
    Resources,
    Strategy,
    TaskDemand,
)

GROUP = "0123456789abcdef0123456789abcdef0123"
ANYWHERE = LabelSelector()


def cpus(count: float) -> Resources:
    return Resources.of({"CPU": count})


def selector(**conditions: str) -> Any:
    """`zone="a"`, `zone="!a"`, `zone="in(a,b)"` as Ray's message."""
    (wish,) = constraint([RequestedDemand(cpus(1), 1, (LabelSelector.parse(conditions),))]).resource_requests
    return wish.request.label_selectors[0]


def request(shape: dict[str, float], *selectors: Any) -> Any:
    return autoscaler.ResourceRequest(resources_bundle=shape, label_selectors=selectors)


def waiting(*requests: tuple[Any, int]) -> Any:
    entries = [autoscaler.ResourceRequestByCount(request=one, count=count) for one, count in requests]
    return autoscaler.ClusterResourceState(pending_resource_requests=entries)


def grouped(*gangs: Any, node_states: tuple[Any, ...] = ()) -> Any:
    return autoscaler.ClusterResourceState(pending_gang_resource_requests=gangs, node_states=node_states)


def gang(details: str, *shapes: dict[str, float], **more: Any) -> Any:
    return autoscaler.GangResourceRequest(requests=[request(shape) for shape in shapes], details=details, **more)


def node(number: int, **more: Any) -> Any:
    fields: dict[str, Any] = {
        "node_id": bytes([number] * 28),
        "instance_id": f"m{number}",
        "ray_node_type_name": "cpu4",
        "status": autoscaler.RUNNING,
        "total_resources": {"CPU": 4},
        "available_resources": {"CPU": 4},
    }
    return autoscaler.NodeState(**fields | more)


def seen_nodes(*states: Any) -> dict[str, Any]:
    return {found.instance_id: found for found in nodes(autoscaler.ClusterResourceState(node_states=states))}


# ---- tasks and actors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ((), ()),
        ((common.LabelSelector(),), ()),  # an actor without a wish
        ((selector(zone="a"),), (LabelSelector.parse({"zone": "a"}),)),
        ((selector(zone="!in(b,a)"),), (LabelSelector.parse({"zone": "!in(a,b)"}),)),
        (
            (selector(zone="a", tier="!spot"), selector(zone="in(c,b)")),
            (LabelSelector.parse({"zone": "a", "tier": "!spot"}), LabelSelector.parse({"zone": "in(b,c)"})),
        ),
        ((selector(zone="a"), common.LabelSelector()), (LabelSelector.parse({"zone": "a"}), ANYWHERE)),
        ((common.LabelSelector(), selector(zone="a")), ()),  # what comes after "anywhere" never counts
        ((selector(zone="a"), selector(zone="a")), (LabelSelector.parse({"zone": "a"}),)),
    ],
)
def test_selectors_keep_their_order_and_an_empty_one_is_no_condition(selectors: Any, expected: Any) -> None:
    (task,) = demand(waiting((request({"CPU": 1}, *selectors), 2))).tasks
    assert task == TaskDemand(cpus(1), 2, expected)


def test_a_task_and_an_actor_of_one_shape_are_one_demand() -> None:
    state = waiting((request({"CPU": 1}), 3), (request({"CPU": 1}, common.LabelSelector()), 2), (request({}), 1))
    assert demand(state).tasks == (TaskDemand(cpus(1), 5), TaskDemand(Resources()))


def test_amounts_become_whole_units() -> None:
    (task,) = demand(waiting((request({"CPU": 0.1 + 0.2, "memory": 2.0**40}), 1))).tasks
    assert dict(task.shape) == {"CPU": 3000, "memory": 2**40 * 10_000}


def test_work_inside_a_placement_group_asks_for_no_machine() -> None:
    inside = {f"CPU_group_0_{GROUP}": 1.0, f"CPU_group_{GROUP}": 1.0, f"bundle_group_{GROUP}": 0.001}
    assert not demand(waiting((request(inside), 4)))


def test_a_resource_that_merely_sounds_like_one_of_a_group_is_kept() -> None:
    (task,) = demand(waiting((request({"my_group_1": 1}), 1))).tasks
    assert task.shape == Resources.of({"my_group_1": 1})


# ---- gangs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("state", ["PENDING", "RESCHEDULING"])
def test_the_strategy_is_read_from_the_details(strategy: Strategy, state: str) -> None:
    (found,) = demand(grouped(gang(f"{GROUP}:{strategy}|{state}", {"CPU": 1}, {"CPU": 2}))).gangs
    assert found == Gang(strategy, (Bundle(cpus(1)), Bundle(cpus(2))))


@pytest.mark.parametrize(
    ("constraint_field", "expected"),
    [("affinity", Strategy.STRICT_PACK), ("anti_affinity", Strategy.STRICT_SPREAD), (None, Strategy.PACK)],
)
def test_without_details_the_placement_constraints_tell(constraint_field: str | None, expected: Strategy) -> None:
    one = request({"CPU": 1})
    if constraint_field:
        getattr(one.placement_constraints.add(), constraint_field).label_name = f"_PG_{GROUP}"
    (found,) = demand(grouped(autoscaler.GangResourceRequest(requests=[one, one]))).gangs
    assert found.strategy is expected


def test_equal_gangs_are_counted_and_different_ones_kept_apart() -> None:
    same = [gang(f"{number:036x}:SPREAD|PENDING", {"CPU": 1}) for number in range(3)]
    other = gang(f"{9:036x}:PACK|PENDING", {"CPU": 1})
    bundles = (Bundle(cpus(1)),)
    assert demand(grouped(*same, other)).gangs == (Gang(Strategy.SPREAD, bundles, 3), Gang(Strategy.PACK, bundles))


def bundle_selectors(*alternatives: list[Any]) -> list[Any]:
    return [autoscaler.BundleSelector(resource_requests=entries) for entries in alternatives]


def test_selectors_of_bundles_come_from_their_own_list_with_alternatives_in_order() -> None:
    first = [request({"CPU": 1}, selector(zone="a")), request({"CPU": 2})]
    second = [request({"CPU": 1}, selector(zone="b")), request({"CPU": 2}, selector(zone="c"))]
    other_shapes = [request({"CPU": 7}, selector(zone="x")), request({"CPU": 2})]
    message = gang(f"{GROUP}:PACK|PENDING", {"CPU": 1}, {"CPU": 2})
    message.bundle_selectors.extend(bundle_selectors(first, second, other_shapes))
    (found,) = demand(grouped(message)).gangs
    zones = (LabelSelector.parse({"zone": "a"}), LabelSelector.parse({"zone": "b"}))
    assert found.bundles == (Bundle(cpus(1), zones), Bundle(cpus(2)))


@pytest.mark.parametrize(("strategy", "label"), [("STRICT_PACK", "rack"), ("PACK", None), ("SPREAD", None)])
def test_a_group_that_has_to_be_in_one_place_names_the_label(strategy: str, label: str | None) -> None:
    message = gang(f"{GROUP}:SPREAD|PENDING", {"CPU": 1})
    if not hasattr(autoscaler, "LocalityRequirement"):  # older versions of Ray have no such thing
        assert demand(grouped(message)).gangs[0].same_label is None
        return
    kinds = autoscaler.LocalityConstraint.DESCRIPTOR.fields_by_name["placement_strategy"].enum_type.values_by_name
    constraint = autoscaler.LocalityConstraint(label_name="rack", placement_strategy=kinds[strategy].number)
    wanted = autoscaler.LocalityRequirement(locality_constraint=constraint)
    message.bundle_selectors.append(
        autoscaler.BundleSelector(resource_requests=[request({"CPU": 1})], locality_requirement=wanted)
    )
    (found,) = demand(grouped(message)).gangs
    assert found == Gang(Strategy.SPREAD, (Bundle(cpus(1)),), same_label=label)


def test_what_a_strict_group_already_holds_stays_where_it_is() -> None:
    """After a node was lost Ray lists the missing bundles only; nodes with the others carry the group's label."""
    holders = (
        node(1, dynamic_labels={f"_PG_{GROUP}": ""}),
        node(2, dynamic_labels={f"_PG_{GROUP}": ""}, status=autoscaler.DEAD),
        node(3, dynamic_labels={"_PG_other": ""}),
    )
    message = gang(f"{GROUP}:STRICT_SPREAD|RESCHEDULING", {"CPU": 1})
    (found,) = demand(grouped(message, node_states=holders)).gangs
    assert found.bundles == (Bundle(cpus(1)), Bundle(Resources()))
    assert dict(found.placed) == {"1": "m1"}
    (loose,) = demand(grouped(gang(f"{GROUP}:SPREAD|RESCHEDULING", {"CPU": 1}), node_states=holders)).gangs
    assert loose == Gang(Strategy.SPREAD, (Bundle(cpus(1)),)), "a preference does not look back"


def test_two_groups_that_hold_equal_machines_are_still_two() -> None:
    groups = [f"{number:036x}" for number in range(2)]
    holder = node(1, dynamic_labels={f"_PG_{group}": "" for group in groups})
    messages = [gang(f"{group}:STRICT_SPREAD|RESCHEDULING", {"CPU": 1}) for group in groups]
    assert len(demand(grouped(*messages, node_states=(holder,))).gangs) == 2


# ---- request_resources -----------------------------------------------------------------------------------------------


def test_requested_resources_with_selectors_and_what_clearing_leaves() -> None:
    wishes = (
        RequestedDemand(cpus(1), 8),
        RequestedDemand(Resources.of({"GPU": 2}), 1, (LabelSelector.parse({"zone": "in(a,b)", "tier": "!spot"}),)),
    )
    state = autoscaler.ClusterResourceState(cluster_resource_constraints=[constraint(wishes)])
    assert demand(state).requested == wishes
    cleared = autoscaler.ClusterResourceState(cluster_resource_constraints=[constraint(())])
    assert len(cleared.cluster_resource_constraints) == 1
    assert not demand(cleared)


# ---- nodes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (autoscaler.RUNNING, NodeFact.ALIVE),
        (autoscaler.IDLE, NodeFact.ALIVE),
        (autoscaler.DRAINING, NodeFact.DRAINING),
        (autoscaler.DEAD, NodeFact.DEAD),
    ],
)
def test_each_status(status: int, state: NodeFact) -> None:
    assert seen_nodes(node(1, status=status))["m1"].state is state


def test_a_node_is_idle_only_when_ray_says_so_and_nothing_is_used() -> None:
    busy = "CPU currently in use"
    found = seen_nodes(
        node(1, status=autoscaler.IDLE, idle_duration_ms=2500, node_activity=[busy]),  # what it was doing before
        node(2, status=autoscaler.RUNNING, idle_duration_ms=2500, node_activity=[busy]),
        node(3, status=autoscaler.IDLE, idle_duration_ms=2500, available_resources={"CPU": 3}, node_activity=[busy]),
        node(4, status=autoscaler.DRAINING, idle_duration_ms=2500),
        node(5, status=autoscaler.IDLE, idle_duration_ms=2500, available_resources={}),  # all in use: Ray omits zeros
    )
    assert {name: one.idle_s for name, one in found.items()} == {"m1": 2.5, "m2": 0, "m3": 0, "m4": 0, "m5": 0}
    assert {name for name, one in found.items() if one.activity} == {"m2", "m3"}


def test_resources_of_groups_are_hidden_and_implicit_ones_kept() -> None:
    total = {
        "CPU": 4,
        f"CPU_group_{GROUP}": 1,
        f"CPU_group_0_{GROUP}": 1,
        f"bundle_group_{GROUP}": 1000,
        "node:10.0.0.1": 1,
    }
    found = seen_nodes(node(1, total_resources=total, available_resources=total | {"CPU": 3}))["m1"]
    assert found.total == Resources.of({"CPU": 4, "node:10.0.0.1": 1})
    assert found.available == Resources.of({"CPU": 3, "node:10.0.0.1": 1})


def test_a_whole_node() -> None:
    message = node(
        7,
        total_resources={"CPU": 4, "node:__internal_head__": 1},
        labels={"zone": "a"},
        node_ip_address="10.0.0.7",
        node_activity=["Busy workers on node."],
    )
    found = seen_nodes(message)["m7"]
    assert (found.id, found.pool, found.head, found.address) == ("07" * 28, "cpu4", True, "10.0.0.7")
    assert dict(found.labels) == {"zone": "a"}
    assert found.activity == ("Busy workers on node.",)


def test_live_nodes_come_first_and_a_dead_one_does_not_hide_its_successor() -> None:
    states = (
        node(1, status=autoscaler.DEAD),
        node(2, status=autoscaler.DEAD, instance_id="m3"),
        node(3),
        node(4, status=autoscaler.DRAINING),
        node(5, status=autoscaler.DEAD, instance_id=""),
        node(6, instance_id=""),
    )
    found = nodes(autoscaler.ClusterResourceState(node_states=states))
    assert [(one.instance_id, one.state.value) for one in found] == [
        ("m3", "alive"),
        ("", "alive"),
        ("m4", "draining"),
        ("m1", "dead"),
        ("", "dead"),
    ]


def test_an_empty_answer() -> None:
    view = engine_view(autoscaler.ClusterResourceState(cluster_session_name="s"), 12.5)
    assert (view.demand, view.nodes, view.received_at, view.session) == (Demand(), (), 12.5, "s")


# ---- ages ------------------------------------------------------------------------------------------------------------


def test_a_shape_is_as_old_as_its_uninterrupted_wait_whatever_its_count() -> None:
    one, two = TaskDemand(cpus(1), 5), TaskDemand(cpus(2), 1)
    pair = Gang(Strategy.PACK, (Bundle(cpus(1)),))
    first, seen = with_ages(Demand((one,), (pair,)), {}, 100.0)
    assert (first.tasks[0].age_s, first.gangs[0].age_s) == (0.0, 0.0)
    later, seen = with_ages(Demand((TaskDemand(cpus(1), 3), two)), seen, 107.0)
    assert [task.age_s for task in later.tasks] == [7.0, 0.0]
    again, _ = with_ages(Demand((two,), (pair,)), seen, 110.0)
    assert (again.tasks[0].age_s, again.gangs[0].age_s) == (3.0, 0.0), "the group had been served in between"
