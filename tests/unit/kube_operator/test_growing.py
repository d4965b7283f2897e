"""Pods that grow in place: which are chosen, what the planner sees meanwhile, what becomes of an attempt."""

import json
from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import NOW, group, raycluster

from rayfleet.config.rayio.growth import Growth, growth_of, growth_problems
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.contracts import EngineView, Node
from rayfleet.kube_operator.growing.choose import choose
from rayfleet.kube_operator.growing.pods import Attempt, Growing, Kept, growing, resize
from rayfleet.model import Bundle, Demand, FrozenMap, Gang, LabelSelector, NodeFact, Resources, Strategy, TaskDemand
from rayfleet.wire.kube.objects import Object

GI = 2**30
LIMITS = {"cpu": "2", "memory": "2Gi"}
ALLOWED = Growth(Resources.of({"CPU": 4, "memory": 4 * GI}), 60.0)


def pod(kept: Object | None = None, *, conditions: Any = (), reached: Object | None = None, **resources: Any) -> Object:
    """Return a pod of 2 processors; `reached`: how large its kubelet has made it."""
    annotations = {"ray.io/ippr-status": json.dumps(kept)} if kept is not None else {}
    own = resources or {"limits": LIMITS, "requests": {"cpu": "1", "memory": "1Gi"}}
    statuses = [{"name": "ray", "resources": reached}] if reached else []
    return {
        "metadata": {"name": "w1", "namespace": "team", "annotations": annotations},
        "spec": {"containers": [{"name": "ray", "resources": own}]},
        "status": {"conditions": list(conditions), "containerStatuses": statuses},
    }


def attempt(of: Object) -> tuple[Attempt, str]:
    one = growing(of, "small", ALLOWED, NOW)
    return one.attempt, one.why


def true(kind: str, **more: str) -> Object:
    return {"type": kind, "status": "True", **more}


def node(name: str, cpus: float, free: float, **labels: str) -> Node:
    total, available = Resources.of({"CPU": cpus, "memory": 2 * GI}), Resources.of({"CPU": free, "memory": 2 * GI})
    return Node(f"ray-{name}", name, "small", NodeFact.ALIVE, total, available, FrozenMap(labels))


def can(name: str, now: float = 2, most: float = 4, attempt: Attempt = Attempt.NONE, asked: float = 0) -> Growing:
    sizes = [Resources.of({"CPU": cpus, "memory": 2 * GI}) for cpus in (now, asked or now, most)]
    return Growing(name, "small", sizes[0], sizes[1], sizes[2], attempt, Kept())


def view(*nodes: Node, tasks: tuple[TaskDemand, ...] = (), gangs: tuple[Gang, ...] = ()) -> EngineView:
    return EngineView(Demand(tasks, gangs), nodes, NOW)


def task(cpus: float, count: int = 1) -> TaskDemand:
    return TaskDemand(Resources.of({"CPU": cpus}), count)


def cpus(of: EngineView) -> list[float]:
    return [one.total.amounts()["CPU"] for one in of.nodes]


def test_what_fits_as_it_is_lets_nothing_grow() -> None:
    seen = view(node("a", 2, 2), tasks=(task(1, 2),))
    choice = choose(seen, {"a": can("a")})
    assert (choice.grow, choice.view) == ((), seen)


def test_as_few_pods_grow_as_what_waits_needs_and_count_as_large_as_they_will_be() -> None:
    nodes = [node(name, 2, 0) for name in "abc"]
    choice = choose(view(*nodes, tasks=(task(1, 3),)), {name: can(name) for name in "abc"})
    assert choice.grow == ("a", "b")
    assert cpus(choice.view) == [4, 4, 2]


def test_a_pod_that_grows_already_is_room_and_not_asked_again() -> None:
    pods = {"a": can("a", attempt=Attempt.GROWING, asked=4), "b": can("b")}
    choice = choose(view(node("a", 2, 0), node("b", 2, 0), tasks=(task(2),)), pods)
    assert choice.grow == ()
    assert cpus(choice.view) == [4, 2]


@pytest.mark.parametrize("attempt", [Attempt.RESTING, Attempt.FAILED])
def test_a_pod_that_could_not_grow_is_as_large_as_it_is(attempt: Attempt) -> None:
    choice = choose(view(node("a", 2, 0), tasks=(task(2),)), {"a": can("a", attempt=attempt)})
    assert (choice.grow, cpus(choice.view)) == ((), [2])


def test_nothing_grows_for_what_would_not_fit_even_then() -> None:
    choice = choose(view(node("a", 2, 0), tasks=(task(8),)), {"a": can("a")})
    assert choice.grow == ()


def test_nothing_grows_for_what_may_not_run_there() -> None:
    picky = TaskDemand(Resources.of({"CPU": 1}), 1, (LabelSelector.parse({"zone": "b"}),))
    nodes = [node("a", 2, 0, zone="a"), node("b", 2, 0, zone="b")]
    assert choose(view(*nodes, tasks=(picky,)), {name: can(name) for name in "ab"}).grow == ("b",)


def test_members_of_gangs_that_wait_let_pods_grow_and_placed_ones_do_not() -> None:
    bundles = (Bundle(Resources.of({"CPU": 2})), Bundle(Resources.of({"CPU": 2})))
    gang = Gang(Strategy.PACK, bundles, placed=FrozenMap({"0": "a"}))
    nodes = [node("a", 2, 0), node("b", 2, 0)]
    assert choose(view(*nodes, gangs=(gang,)), {name: can(name) for name in "ab"}).grow == ("a",)


def test_both_limits_and_requests_grow_and_what_is_between_them_stays() -> None:
    assert resize(pod(), Resources.of({"CPU": 4, "memory": 4 * GI})) == [
        {"op": "replace", "path": "/spec/containers/0/resources/limits/cpu", "value": "4000m"},
        {"op": "replace", "path": "/spec/containers/0/resources/requests/cpu", "value": "3000m"},
        {"op": "replace", "path": "/spec/containers/0/resources/limits/memory", "value": str(4 * GI)},
        {"op": "replace", "path": "/spec/containers/0/resources/requests/memory", "value": str(3 * GI)},
    ]
    only = pod(requests={"cpu": "1", "memory": "1Gi"})
    assert [one["value"] for one in resize(only, Resources.of({"CPU": 4, "memory": GI}))] == ["4000m", str(GI)]


def test_an_attempt_is_over_when_the_kubelet_has_made_the_pod_as_large() -> None:
    begun = {"raylet-id": "ab", "resizing-at": NOW - 10}
    assert attempt(pod()) == (Attempt.NONE, "")
    assert attempt(pod(begun, reached={"limits": {"cpu": "1", "memory": "1Gi"}})) == (Attempt.GROWING, "")
    assert (
        attempt(pod(begun, reached={"limits": LIMITS}, conditions=[true("PodResizeInProgress")]))[0] == Attempt.GROWING
    )
    assert attempt(pod(begun, reached={"limits": LIMITS})) == (Attempt.SETTLED, "")


def test_an_attempt_fails_when_the_machine_is_too_small_or_it_takes_too_long() -> None:
    begun, smaller = {"resizing-at": NOW - 10}, {"limits": {"cpu": "1", "memory": "1Gi"}}
    full = true("PodResizePending", reason="Infeasible", message="Node didn't have enough capacity")
    assert attempt(pod(begun, reached=smaller, conditions=[full])) == (Attempt.FAILED, full["message"])
    later = true("PodResizePending", reason="Deferred", message="not now")
    assert attempt(pod(begun, reached=smaller, conditions=[later]))[0] == Attempt.GROWING
    begun = {"resizing-at": NOW - 61}
    assert attempt(pod(begun, reached=smaller, conditions=[later])) == (Attempt.FAILED, "not now")
    assert attempt(pod(begun, reached=smaller)) == (Attempt.FAILED, "not as large after 60 s")
    failing = true("PodResizeInProgress", reason="Error")
    assert attempt(pod(begun, reached=smaller, conditions=[failing])) == (Attempt.FAILED, "Error")


def test_a_pod_that_failed_rests_ten_minutes() -> None:
    assert attempt(pod({"resizing-at": None, "last-failed-at": NOW - 599}))[0] == Attempt.RESTING
    assert attempt(pod({"resizing-at": None, "last-failed-at": NOW - 601}))[0] == Attempt.NONE


def test_what_another_wrote_into_the_annotation_and_cannot_be_read_is_nothing() -> None:
    for text in ("no JSON", "[]", "3"):
        spoiled = pod()
        spoiled["metadata"]["annotations"] = {"ray.io/ippr-status": text}
        assert attempt(spoiled)[0] == Attempt.NONE


def spec(**more: Any) -> RayClusterSpec:
    requests = {"requests": {"cpu": "1", "memory": "1Gi"}}
    template = {"spec": {"containers": [{"name": "ray", "resources": requests}]}}
    return RayClusterSpec.model_validate(raycluster({**group("small"), "template": template, **more})["spec"])


def text(**groups: Object) -> str:
    return json.dumps({"groups": groups})


FINE = {"max-cpu": "4", "max-memory": "4Gi", "resize-timeout": 60}


def test_the_annotation_says_how_far() -> None:
    assert growth_of(spec(), text(small=FINE, unknown=FINE)) == {"small": ALLOWED}
    assert growth_of(spec(), "") == {}


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        ("no JSON", {}, "cannot be read"),
        ("[]", {}, "no mapping"),
        (text(small={**FINE, "max-cpu": "lots"}), {}, "give max-cpu"),
        (text(small={"max-cpu": 4}), {}, "give max-cpu, max-memory, resize-timeout"),
        (text(small={**FINE, "resize-timeout": 0}), {}, "more than 0"),
        (text(small=FINE), {"rayStartParams": {"num-cpus": "4"}}, "remove num-cpus"),
        (text(small=FINE), {"resources": {"memory": "4"}}, "remove memory"),
        (text(headgroup=FINE), {}, "give Ray's container requests"),
    ],
)
def test_what_cannot_grow_is_told(given: str, more: Object, said: str) -> None:
    (found,) = growth_problems(spec(**more), given)
    assert said in found
