"""Changes of a RayCluster, as patches that fail when somebody else was quicker."""

from typing import Any

import pytest

from rayfleet.providers.kuberay.patches import (
    LAUNCHES_ANNOTATION,
    LAUNCHES_KEPT,
    NoSuchGroup,
    find_group,
    launch_patch,
    launches,
    release_patch,
)
from rayfleet.wire.kube.objects import Object


def raycluster(*groups: Object, **annotations: str) -> Object:
    return {
        "metadata": {"name": "demo", "namespace": "team", **({"annotations": annotations} if annotations else {})},
        "spec": {"workerGroupSpecs": list(groups)},
    }


def group(name: str = "small", **more: Any) -> Object:
    return {"groupName": name, "template": {}, **more}


def plain(*names: str) -> dict[str, str]:
    """Return pods of which nobody says to which replica they belong."""
    return dict.fromkeys(names, "")


def wanted(cluster: Object, staying: int, count: int, batch: str = "b1") -> int:
    """Return the replicas that a launch asks for."""
    patch = launch_patch(cluster, find_group(cluster, "small"), staying, count, batch)
    return next(
        int(str(one["value"])) for one in patch if str(one["path"]).endswith("/replicas") and one["op"] == "add"
    )


@pytest.mark.parametrize(
    ("replicas", "low", "staying", "count", "expected"),
    [
        (2, 0, 2, 3, 5),
        (0, 1, 1, 1, 2),  # the minimum is there without being written
        (1, 0, 3, 1, 4),  # somebody lowered the number: what exists counts
        (4, 0, 2, 1, 5),  # two are still on their way
    ],
)
def test_a_launch_adds_to_what_there_is_or_is_on_its_way(
    replicas: int, low: int, staying: int, count: int, expected: int
) -> None:
    assert wanted(raycluster(group(replicas=replicas, minReplicas=low)), staying, count) == expected


def test_a_launch_never_goes_beyond_the_maximum() -> None:
    assert wanted(raycluster(group(replicas=2, maxReplicas=3)), 2, 5) == 3


def test_a_patch_tests_the_group_and_what_it_replaces() -> None:
    cluster = raycluster(group("other"), group(replicas=2, scaleStrategy={"workersToDelete": ["x"]}))
    patch = launch_patch(cluster, find_group(cluster, "small"), 2, 1, "b1")
    assert patch[:3] == [
        {"op": "test", "path": "/spec/workerGroupSpecs/1/groupName", "value": "small"},
        {"op": "test", "path": "/spec/workerGroupSpecs/1/replicas", "value": 2},
        {"op": "test", "path": "/spec/workerGroupSpecs/1/scaleStrategy", "value": {"workersToDelete": ["x"]}},
    ]


def test_a_launch_is_remembered_with_the_counts_and_the_oldest_are_forgotten() -> None:
    cluster = raycluster(group())
    patch = launch_patch(cluster, find_group(cluster, "small"), 0, 1, "b1")
    assert patch[-2:] == [
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/rayfleet.io~1launches", "value": '["b1"]'},
    ]
    full = str([f"b{n}" for n in range(LAUNCHES_KEPT)]).replace("'", '"')
    kept = raycluster(group(), **{LAUNCHES_ANNOTATION: full})
    last = launch_patch(kept, find_group(kept, "small"), 0, 1, "new")[-1]["value"]
    assert str(last).startswith('["b1",')
    assert str(last).endswith(',"new"]')
    assert launches(raycluster(**{LAUNCHES_ANNOTATION: "{"})) == ()


def test_a_release_names_the_pods_and_wants_as_many_less() -> None:
    cluster = raycluster(group(replicas=3))
    patch = release_patch(find_group(cluster, "small"), ["a", "b"], plain("a", "b", "c"))
    assert patch[2:] == [
        {"op": "add", "path": "/spec/workerGroupSpecs/0/replicas", "value": 1},
        {"op": "add", "path": "/spec/workerGroupSpecs/0/scaleStrategy", "value": {"workersToDelete": ["a", "b"]}},
    ]


def test_what_is_named_already_is_not_counted_again_and_what_is_gone_is_dropped() -> None:
    """Somebody else's pending delete does not hold ours up."""
    cluster = raycluster(group(replicas=3, scaleStrategy={"workersToDelete": ["gone", "theirs"]}))
    patch = release_patch(find_group(cluster, "small"), ["theirs", "mine"], plain("theirs", "mine", "c"))
    assert [one["value"] for one in patch if one["op"] == "add"] == [2, {"workersToDelete": ["theirs", "mine"]}]
    only_known = raycluster(group(replicas=3, scaleStrategy={"workersToDelete": ["theirs"]}))
    assert release_patch(find_group(only_known, "small"), ["theirs"], plain("theirs", "c")) == []
    stale = release_patch(find_group(cluster, "small"), [], plain("theirs"))
    assert [one["value"] for one in stale if one["op"] == "add"] == [{"workersToDelete": ["theirs"]}]


def test_a_replica_of_several_pods_counts_once() -> None:
    cluster = raycluster(group(replicas=2, numOfHosts=4))
    names = [f"p{n}" for n in range(8)]
    patch = release_patch(find_group(cluster, "small"), names[:4], plain(*names))
    assert [one["value"] for one in patch if str(one["path"]).endswith("/replicas")] == [2, 1]


def test_what_is_left_of_a_broken_replica_counts_as_one() -> None:
    """Else it would be made again: the operator has all of a replica go when one of its pods does."""
    cluster = raycluster(group(replicas=2, numOfHosts=4, scaleStrategy={"workersToDelete": ["p5"]}))
    there = {"p1": "r1", "p2": "r1", "p5": "r2", "p6": "r2"}
    patch = release_patch(find_group(cluster, "small"), ["p1", "p2", "p6"], there)
    assert [one["value"] for one in patch if str(one["path"]).endswith("/replicas")] == [2, 1]


def test_a_number_below_what_there_is_does_not_sink_further() -> None:
    cluster = raycluster(group(replicas=1))
    patch = release_patch(find_group(cluster, "small"), ["a"], plain("a", "b", "c", "d"), staying=4)
    assert next(one["value"] for one in patch if one["op"] == "add") == 3


def test_a_release_never_goes_below_the_minimum() -> None:
    cluster = raycluster(group(replicas=2, minReplicas=2))
    patch = release_patch(find_group(cluster, "small"), ["a"], plain("a", "b"))
    assert next(one["value"] for one in patch if one["op"] == "add") == 2


def test_a_group_that_is_no_more_is_said() -> None:
    with pytest.raises(NoSuchGroup, match="small"):
        find_group(raycluster(group("other")), "small")
