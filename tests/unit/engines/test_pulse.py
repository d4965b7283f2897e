"""What counts as news of a cluster that sleeps: what a plan depends on, and not what changes by itself."""

from collections.abc import Hashable
from typing import Any

import pytest

from rayfleet.engines.ray.protobufs import autoscaler
from rayfleet.engines.ray.pulse import living_heads, pulse
from rayfleet.engines.ray.view import HEAD_RESOURCE


def node(number: int, status: int = autoscaler.IDLE, **more: Any) -> Any:
    return autoscaler.NodeState(node_id=bytes([number] * 28), instance_id=f"m{number}", status=status, **more)


def head(status: int = autoscaler.IDLE, **more: Any) -> Any:
    return node(0, status, total_resources={HEAD_RESOURCE: 1.0, "CPU": 4.0}, **more)


def waiting(count: int, **shape: float) -> Any:
    request = autoscaler.ResourceRequest(resources_bundle=shape or {"CPU": 1.0})
    return autoscaler.ResourceRequestByCount(request=request, count=count)


def of(*nodes: Any, **more: Any) -> Hashable:
    return pulse(autoscaler.ClusterResourceState(node_states=nodes or (head(), node(1)), **more))


@pytest.mark.parametrize(
    "later",
    [
        of(cluster_resource_state_version=9),
        of(head(autoscaler.RUNNING), node(1)),
        of(head(), node(1, idle_duration_ms=5000)),
        of(head(available_resources={"CPU": 1.0}), node(1)),
        of(node(1), head()),
    ],
)
def test_what_changes_by_itself_is_no_news(later: Hashable) -> None:
    assert later == of()


@pytest.mark.parametrize(
    "later",
    [
        of(pending_resource_requests=[waiting(1)]),
        of(pending_gang_resource_requests=[autoscaler.GangResourceRequest(details="g:PACK|PENDING")]),
        of(cluster_resource_constraints=[autoscaler.ClusterResourceConstraint()]),
        of(cluster_session_name="another"),
        of(head(autoscaler.DEAD), node(1)),
        of(head(), node(1, autoscaler.RUNNING)),
        of(head(), node(1), node(2)),
        of(head()),
    ],
)
def test_what_a_plan_depends_on_is_news(later: Hashable) -> None:
    assert later != of()


def test_more_of_the_same_is_news_and_another_order_is_not() -> None:
    one, two = waiting(1), waiting(2, GPU=1.0)
    assert of(pending_resource_requests=[one, two]) == of(pending_resource_requests=[two, one])
    assert of(pending_resource_requests=[one]) != of(pending_resource_requests=[waiting(2)])


def test_heads_that_live_are_found() -> None:
    state = autoscaler.ClusterResourceState(node_states=[head(autoscaler.DEAD), node(1), head()])
    assert list(living_heads(state)) == ["m0"]
