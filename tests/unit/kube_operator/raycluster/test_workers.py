"""Which worker pods come and which go."""

import pytest
from tests.unit.kube_operator.raycluster.clusters import (
    NOW,
    as_seen,
    created,
    deleted,
    ended,
    group,
    look,
    made,
    raycluster,
)

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycluster.health import slot_of
from rayfleet.kube_operator.raycluster.names import GROUP_LABEL
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import POD, Kind, Object, key_of, labels_of

Things = tuple[tuple[Kind, Object], ...]


def workers(things: Things) -> list[Object]:
    return [one for kind, one in things if kind == POD and labels_of(one)[GROUP_LABEL] != "headgroup"]


def with_pods(things: Things, pods: list[Object]) -> Things:
    return (*(one for one in things if one[1] not in workers(things)), *((POD, pod) for pod in pods))


def indices(pods: list[Object]) -> list[tuple[str, str, str]]:
    names = ("ray.io/group", "ray.io/worker-group-replica-index", "ray.io/replica-host-index")
    return sorted(tuple(labels_of(pod).get(name, "") for name in names) for pod in pods)  # type: ignore[misc]


def test_a_new_cluster_gets_its_head_and_every_groups_replicas() -> None:
    pods = created(look(raycluster(group("a", 2), group("b", 1))))
    assert indices(pods) == [("a", "0", ""), ("a", "1", ""), ("b", "0", ""), ("headgroup", "", "")]
    assert len({key_of(pod).name for pod in pods}) == 4


@pytest.mark.parametrize(
    ("replicas", "low", "high", "pods"), [(5, 0, 3, 3), (0, 2, 10, 2), (4, 0, 10, 4), (7, 0, 0, 0)]
)
def test_replicas_are_kept_within_their_limits(replicas: int, low: int, high: int, pods: int) -> None:
    cluster = raycluster(group("a", replicas, minReplicas=low, maxReplicas=high))
    assert len(created(look(cluster))) == 1 + pods


def test_a_cluster_that_has_everything_needs_nothing() -> None:
    cluster = raycluster(group(replicas=2))
    assert look(cluster, *made(cluster)).actions == ()


def test_the_same_look_names_the_same_pods_and_a_later_one_new_ones() -> None:
    """A create that is repeated from a stale cache meets the pod that it made; one after a loss is a new pod."""
    cluster = raycluster(group())
    first, again = created(look(cluster)), created(look(cluster))
    later = created(look(cluster, departed={"small/0/0": 1}))
    assert first == again
    assert [key_of(a) == key_of(b) for a, b in zip(first, later, strict=True)] == [True, False]


def test_gaps_are_filled_first() -> None:
    """KubeRay's scenario 25: a missing index is filled again, and the next one is used to grow."""
    cluster = raycluster(group(replicas=3))
    things = made(cluster)
    left = [pod for pod in workers(things) if labels_of(pod)["ray.io/worker-group-replica-index"] != "1"]
    assert indices(created(look(cluster, *with_pods(things, left)))) == [("small", "1", "")]


def test_without_an_autoscaler_surplus_goes_the_least_useful_first() -> None:
    cluster = raycluster(group(replicas=4))
    things = made(cluster)
    old, young, pending, middle = workers(things)
    pods = [
        as_seen(old, age_s=900),
        as_seen(young, age_s=100),
        as_seen(pending, "Pending", ready=False, age_s=1000),
        as_seen(middle, age_s=500),
    ]
    done = look(raycluster(group(replicas=2)), *with_pods(things, pods))
    assert deleted(done) == {
        key_of(pending).name: "more workers than wanted",
        key_of(young).name: "more workers than wanted",
    }


def test_repeated_before_its_effect_is_seen_it_chooses_the_same_pods() -> None:
    """KubeRay's scenario 19: one less is one pod less, however long that one takes to go."""
    things = made(raycluster(group(replicas=3)))
    smaller = raycluster(group(replicas=2))
    (victim,) = deleted(look(smaller, *things))
    leaving = [
        pod
        if key_of(pod).name != victim
        else {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": timestamp(NOW)}}
        for pod in workers(things)
    ]
    assert deleted(look(smaller, *with_pods(things, leaving))) == {}


def test_with_an_autoscaler_surplus_waits_to_be_named() -> None:
    things = made(raycluster(group(replicas=2), enableInTreeAutoscaling=True))
    assert deleted(look(raycluster(group(replicas=1), enableInTreeAutoscaling=True), *things)) == {}
    name = key_of(workers(things)[0]).name
    named = raycluster(group(replicas=1, scaleStrategy={"workersToDelete": [name]}), enableInTreeAutoscaling=True)
    assert deleted(look(named, *things)) == {name: "named in workersToDelete"}
    random = OperatorSettings(random_pod_delete=True)
    smaller = raycluster(group(replicas=1), enableInTreeAutoscaling=True)
    assert len(deleted(look(smaller, *things, settings=random))) == 1


def test_a_pod_that_is_named_and_wanted_is_replaced_at_once_in_another_slot() -> None:
    things = made(raycluster(group(replicas=1)))
    name = key_of(workers(things)[0]).name
    done = look(raycluster(group(replicas=1, scaleStrategy={"workersToDelete": [name]})), *things)
    assert list(deleted(done)) == [name]
    assert indices(created(done)) == [("small", "1", "")]


def test_a_pod_that_ended_after_a_long_life_is_replaced_at_once() -> None:
    cluster = raycluster(group())
    things = made(cluster)
    (pod,) = workers(things)
    done = look(cluster, *with_pods(things, [ended(pod)]), departed={"small/0/0": 3})
    assert deleted(done) == {key_of(pod).name: "it has ended"}


def test_pods_that_end_soon_after_their_start_are_replaced_more_and_more_slowly() -> None:
    cluster = raycluster(group())
    things = made(cluster)
    (pod,) = workers(things)
    waits = []
    for times in (0, 1, 2, 3, 20):
        done = look(cluster, *with_pods(things, [ended(pod, age_s=30)]), departed={"small/0/0": times})
        waits.append((len(deleted(done)), done.again_s))
    assert waits == [(1, None), (0, 5.0), (0, 10.0), (0, 20.0), (0, 300.0)]


def test_pods_of_a_group_that_is_no_more_go() -> None:
    things = made(raycluster(group("a"), group("b")))
    assert set(deleted(look(raycluster(group("a")), *things)).values()) == {"its group is no more"}


class TestReplicasOfSeveralHosts:
    """KubeRay's scenarios 3 and 25: a replica lives and dies as one."""

    CLUSTER = raycluster(group("slice", 2, numOfHosts=3))

    def test_every_host_of_every_replica_is_made_and_labelled(self) -> None:
        pods = [pod for pod in created(look(self.CLUSTER)) if labels_of(pod)[GROUP_LABEL] == "slice"]
        assert indices(pods) == [("slice", str(replica), str(host)) for replica in (0, 1) for host in (0, 1, 2)]
        replicas = {labels_of(pod)["ray.io/worker-group-replica-name"] for pod in pods}
        assert len(replicas) == 2
        assert {pod["spec"]["subdomain"] for pod in pods} == {"demo-headless"}

    def test_when_a_host_is_lost_the_others_of_its_replica_go_and_the_other_replica_stays(self) -> None:
        things = made(self.CLUSTER)
        pods = workers(things)
        lost, *left = pods
        done = look(self.CLUSTER, *with_pods(things, left), departed={str(slot_of(lost)): 1})
        replica = labels_of(lost)["ray.io/worker-group-replica-name"]
        mates = {key_of(pod).name for pod in left if labels_of(pod)["ray.io/worker-group-replica-name"] == replica}
        assert set(deleted(done)) == mates
        assert set(deleted(done).values()) == {"its replica is not whole"}

    def test_naming_one_host_takes_its_whole_replica(self) -> None:
        things = made(self.CLUSTER)
        name = key_of(workers(things)[0]).name
        named = raycluster(group("slice", 1, numOfHosts=3, scaleStrategy={"workersToDelete": [name]}))
        assert len(deleted(look(named, *things))) == 3

    def test_while_it_is_being_made_the_hosts_that_are_not_seen_yet_are_asked_for_again(self) -> None:
        """The cache shows them one after the other; those that it does not show are no reason to end the others."""
        things = made(self.CLUSTER)
        asked = {key_of(pod).name for pod in workers(things)}
        some = [pod for pod in workers(things) if labels_of(pod)["ray.io/replica-host-index"] != "1"]
        done = look(self.CLUSTER, *with_pods(things, some))
        assert deleted(done) == {}
        assert {key_of(pod).name for pod in created(done)} == asked - {key_of(pod).name for pod in some}

    def test_a_replica_in_the_place_of_another_has_another_name(self) -> None:
        before = {labels_of(pod)["ray.io/worker-group-replica-name"] for pod in workers(made(self.CLUSTER))}
        departed = {f"slice/{replica}/{host}": 1 for replica in (0, 1) for host in (0, 1, 2)}
        later = created(look(self.CLUSTER, departed=departed))
        after = {labels_of(pod).get("ray.io/worker-group-replica-name", "") for pod in later} - {""}
        assert (len(after), before & after) == (2, set())


def evicted(pod: Object, age_s: float) -> Object:
    seen = as_seen(pod, "Failed", ready=False, age_s=age_s)
    seen["status"] = {"phase": "Failed", "reason": "Evicted"}
    return seen


def test_an_evicted_pod_of_which_no_container_tells_is_replaced_all_the_same() -> None:
    things = made(raycluster(group()))
    (worker,) = workers(things)
    for age_s, gone in ((2, []), (6, [key_of(worker).name])):
        pods = with_pods(things, [evicted(worker, age_s)])
        assert list(deleted(look(raycluster(group()), *pods, departed={"small/0/0": 1}))) == gone


def test_a_head_that_ends_again_and_again_is_made_anew_more_and_more_slowly() -> None:
    cluster = raycluster()
    ((_, head),) = (one for one in made(cluster) if one[0] == POD)
    crashed = ended(head, ago_s=1, age_s=3)
    first = look(cluster, (POD, crashed))
    assert list(deleted(first)) == [key_of(head).name]
    again = look(cluster, (POD, crashed), departed={"headgroup/0/0": 3})
    assert deleted(again) == {}
    assert again.again_s == 19.0


@pytest.mark.parametrize(("kept", "late_s", "heads"), [(True, 0, 0), (True, 61, 1), (False, 0, 1)])
def test_a_head_whose_state_outlives_it_is_not_there_twice(kept: bool, late_s: float, heads: int) -> None:
    """KubeRay's scenario 21: what it kept belongs to one head at a time."""
    options = {"gcsFaultToleranceOptions": {"redisAddress": "redis:6379"}} if kept else {}
    cluster = raycluster(meta={"finalizers": ["ray.io/gcs-ft-redis-cleanup-finalizer"]}, **options)
    ((_, head),) = (one for one in made(cluster) if one[0] == POD)
    leaving = {**head, "metadata": {**head["metadata"], "deletionTimestamp": timestamp(NOW - late_s)}}
    done = look(cluster, (POD, leaving), departed={"headgroup/0/0": 1})
    assert (len(created(done)), done.again_s) == (heads, None if heads else 60.0)
