"""A RayCluster's life: provisioned, suspended, resumed, failing, and whose it is."""

import pytest
from tests.unit.kube_operator.raycluster.clusters import (
    NOW,
    condition,
    container,
    created,
    deleted,
    ended,
    group,
    look,
    made,
    raycluster,
)

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.reconciling import Failure
from rayfleet.wire.kube.objects import POD, SERVICE, Object


def with_conditions(*true: str) -> Object:
    since = timestamp(NOW - 60)
    return {
        "conditions": [
            {"type": kind, "status": "True", "reason": "x", "message": "", "lastTransitionTime": since} for kind in true
        ]
    }


def test_a_new_cluster_is_not_provisioned_and_says_that_it_has_no_head() -> None:
    done = look(raycluster(group()))
    assert condition(done, "RayClusterProvisioned") == ("False", "RayClusterPodsProvisioning")
    assert condition(done, "HeadPodReady") == ("False", "HeadPodNotFound")
    assert done.status is not None
    assert done.status["desiredWorkerReplicas"] == 1
    assert done.status["state"] == ""


def test_it_is_ready_when_every_pod_is() -> None:
    cluster = raycluster(group(replicas=2))
    waiting = look(cluster, *made(cluster, ready=False))
    done = look(cluster, *made(cluster))
    assert waiting.status is not None
    assert done.status is not None
    assert (waiting.status["state"], done.status["state"]) == ("", "ready")
    assert (waiting.status["readyWorkerReplicas"], waiting.status["availableWorkerReplicas"]) == (0, 2)
    assert (done.status["readyWorkerReplicas"], done.status["availableWorkerReplicas"]) == (2, 2)
    assert done.status["head"] == {
        "podIP": "10.244.1.2",
        "podName": done.status["head"]["podName"],
        "serviceIP": "10.244.1.2",
        "serviceName": "demo-head-svc",
    }
    assert done.status["endpoints"]["dashboard"] == "8265"
    assert done.status["desiredCPU"] == "4"
    assert done.status["desiredMemory"] == str(4 * 2**30)
    assert done.status["observedGeneration"] == 3


def test_once_ready_it_stays_provisioned_when_a_pod_is_lost() -> None:
    """KubeRay's scenario 64: the head's pod is gone, HeadPodReady says so, Provisioned stays."""
    cluster = raycluster(group(), status={**with_conditions("RayClusterProvisioned"), "state": "ready"})
    done = look(cluster)
    assert condition(done, "RayClusterProvisioned") == ("True", "x")
    assert condition(done, "HeadPodReady") == ("False", "HeadPodNotFound")
    assert done.status is not None
    assert done.status["state"] == "ready"


def test_the_status_is_the_same_object_while_nothing_changes() -> None:
    cluster = raycluster(group())
    things = made(cluster)
    first = look(cluster, *things).status
    assert first is not None
    again = look({**cluster, "status": first}, *things).status
    assert again == first


def test_a_refusal_is_in_the_status_until_it_is_over() -> None:
    """KubeRay's scenario 18: a quota that is full."""
    failure = Failure("FailedCreateHeadPod", "exceeded quota: team", "QuotaExceeded")
    cluster = raycluster(group())
    done = look(cluster, failures=(failure,))
    assert condition(done, "ReplicaFailure") == ("True", "FailedCreateHeadPod")
    assert done.status is not None
    assert done.status["reason"] == "exceeded quota: team"
    over = look({**cluster, "status": done.status})
    assert condition(over, "ReplicaFailure") is None
    assert over.status is not None
    assert "reason" not in over.status


class TestSuspend:
    """KubeRay's scenario 17: all pods go before any comes back."""

    def test_it_is_said_first_and_nothing_else_is_done(self) -> None:
        cluster = raycluster(group(), suspend=True)
        done = look(cluster, *made(raycluster(group())))
        assert done.actions == ()
        assert condition(done, "RayClusterSuspending") == ("True", "UserRequestedSuspend")

    @pytest.mark.parametrize("suspend", [True, False])
    def test_then_all_pods_go_even_when_it_is_resumed_meanwhile(self, suspend: bool) -> None:
        things = made(raycluster(group(replicas=2)))
        cluster = raycluster(group(replicas=2), suspend=suspend, status=with_conditions("RayClusterSuspending"))
        done = look(cluster, *things)
        assert len(deleted(done)) == 3
        assert created(done) == []

    def test_when_none_is_left_it_is_suspended_and_no_longer_provisioned(self) -> None:
        status = with_conditions("RayClusterSuspending", "RayClusterProvisioned")
        done = look(raycluster(group(), suspend=True, status=status))
        assert condition(done, "RayClusterSuspending") == ("False", "Suspended")
        assert condition(done, "RayClusterSuspended") == ("True", "Suspended")
        assert condition(done, "RayClusterProvisioned") == ("False", "Suspended")
        assert done.status is not None
        assert done.status["state"] == "suspended"

    def test_resumed_it_gets_its_pods_again(self) -> None:
        cluster = raycluster(group(), status={**with_conditions("RayClusterSuspended"), "state": "suspended"})
        done = look(cluster)
        assert len(created(done)) == 2
        assert condition(done, "RayClusterSuspended") == ("False", "Resumed")
        assert done.status is not None
        assert done.status["state"] == ""


class TestHead:
    def test_one_that_ended_goes_and_comes_back(self) -> None:
        cluster = raycluster()
        (head,) = [one for kind, one in made(cluster) if kind == POD]
        things = tuple(one for one in made(cluster) if one[0] != POD)
        assert list(deleted(look(cluster, *things, (POD, ended(head)))).values()) == ["it has ended"]
        assert len(created(look(cluster, *things))) == 1

    def test_where_it_must_not_come_back_it_does_not(self) -> None:
        """A job whose submitter lives beside the head has failed with it."""
        annotations = {"annotations": {"ray.io/disable-provisioned-head-restart": "true"}}
        assert len(created(look(raycluster(meta=annotations)))) == 1
        assert created(look(raycluster(meta=annotations, status=with_conditions("RayClusterProvisioned")))) == []


@pytest.mark.parametrize("manager", ["kueue.x-k8s.io/multikueue", "somebody/else"])
def test_a_cluster_that_somebody_else_manages_is_left_alone(manager: str) -> None:
    """KubeRay's scenario 16."""
    done = look(raycluster(group(), managedBy=manager))
    assert done.actions == ()
    assert done.status is None


def test_a_cluster_that_is_being_deleted_gets_nothing_new() -> None:
    done = look(raycluster(group(), meta={"deletionTimestamp": timestamp(NOW)}))
    assert done.actions == ()


def test_services_that_people_have_changed_stay_as_they_are() -> None:
    cluster = raycluster(group())
    things = made(cluster)
    changed = tuple((kind, {**one, "spec": {}} if kind == SERVICE else one) for kind, one in things)
    assert look(cluster, *changed).actions == ()


@pytest.mark.parametrize("kind", ["RayService", "RayJob"])
def test_clusters_of_services_give_up_on_a_lost_head_sooner(kind: str) -> None:
    for pod in created(look(raycluster(group(), meta={"labels": {"ray.io/originated-from-crd": kind}}))):
        told = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
        assert told.get("RAY_SERVE_KV_TIMEOUT_S") == ("5" if kind == "RayService" else None)
        assert told.get("RAY_timeout_ms_task_wait_for_death_info") == ("0" if kind == "RayService" else None)


def test_the_autoscaler_knows_the_port_of_the_head() -> None:
    head = {"rayStartParams": {"port": "6400"}, "template": {"spec": {"containers": [container("ray-head", cpu="2")]}}}
    (pod,) = created(look(raycluster(headGroupSpec=head, enableInTreeAutoscaling=True)))
    _, autoscaler = pod["spec"]["containers"]
    assert {"name": "RAY_PORT", "value": "6400"} in autoscaler["env"]
