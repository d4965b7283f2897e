"""What is wrong with a RayCluster is said all at once, and nothing is made of it while it is."""

from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import (
    SETTINGS,
    container,
    created,
    deleted,
    group,
    look,
    made,
    raycluster,
)

from rayfleet.kube_operator.raycluster.checks import problems
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.reconciling import Emit
from rayfleet.wire.kube.objects import NETWORK_POLICY, Object

OF_JOB = {"labels": {"ray.io/originated-from-crd": "RayJob"}}
OF_SERVICE = {"labels": {"ray.io/originated-from-crd": "RayService"}}
REDIS = {"redisAddress": "redis:6379"}
TOKEN = {"mode": "token"}
CENTRAL = {"annotations": {"rayfleet.io/autoscaler": "central"}}
TLS = {"tlsOptions": {"enabled": True}}
V2 = {"enableInTreeAutoscaling": True, "autoscalerOptions": {"version": "v2"}}


def wrong(*groups: Object, **spec: Any) -> list[str]:
    return problems(Cluster.read(raycluster(*groups, **spec), SETTINGS))


def head(**more: Any) -> Object:
    return {"rayStartParams": {}, "template": {"spec": {"containers": [container("ray-head")]}}, **more}


def pods(**spec: Any) -> Object:
    return {"spec": {"containers": [container("ray")], **spec}}


def variable(name: str) -> Object:
    return head(template={"spec": {"containers": [{"name": "ray", "env": [{"name": name, "value": "x"}]}]}})


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"meta": {"name": "a" * 54}}, "at most 53"),
        ({"meta": {"name": "1st"}}, "begin with a letter"),
        ({"meta": {"name": "Demo"}}, "lower-case"),
        ({"headGroupSpec": head(template={"spec": {"containers": []}})}, "headGroupSpec.template.spec.containers"),
        ({"headGroupSpec": head(resources={"CPU": "1"}, rayStartParams={"num-cpus": "1"})}, "rayStartParams.num-cpus"),
        ({"headGroupSpec": head(resources={"X": 1}, rayStartParams={"resources": "'{}'"})}, "rayStartParams.resources"),
        ({"headGroupSpec": head(labels={"a": "b"}, rayStartParams={"labels": "a=c"})}, "rayStartParams.labels"),
        ({"headGroupSpec": head(labels={"a": "b c"})}, "no label"),
        (
            {"headGroupSpec": head(template={"spec": {"containers": [container("ray", cpu="lots")]}})},
            "must be a quantity",
        ),
        ({"headGroupSpec": head(template=pods(restartPolicy="Always")), **V2}, "must be Never"),
        ({"authOptions": TOKEN, "rayVersion": "2.51.1"}, "Ray 2.52"),
        ({"authOptions": TOKEN, "rayVersion": ""}, "rayVersion"),
        ({"authOptions": {"mode": "disabled", "secretName": "mine"}}, "mode: token"),
        ({"authOptions": {**TOKEN, "enableK8sTokenAuth": True}, "rayVersion": "2.54.0"}, "Ray 2.55"),
        ({"authOptions": {**TOKEN, "enableK8sTokenAuth": True, "secretName": "mine"}}, "leave secretName out"),
        ({"authOptions": {**TOKEN, "enableK8sTokenAuth": True}, "meta": OF_JOB}, "RayJob"),
        ({"gcsFaultToleranceOptions": {}}, "redisAddress is missing"),
        ({"gcsFaultToleranceOptions": {**REDIS, "storage": {}}}, "backend: rocksdb"),
        ({"gcsFaultToleranceOptions": {**REDIS, "backend": "rocksdb"}}, "redisAddress is for backend: redis"),
        (
            {"gcsFaultToleranceOptions": {"backend": "rocksdb", "externalStorageNamespace": "x"}},
            "externalStorageNamespace is for",
        ),
        (
            {"gcsFaultToleranceOptions": {"backend": "rocksdb", "storage": {"claimName": "mine", "size": "2Gi"}}},
            "leave it out with claimName",
        ),
        (
            {"gcsFaultToleranceOptions": {"backend": "rocksdb", "storage": {"deletionPolicy": "Keep"}}},
            "DeleteWithCluster or Retain",
        ),
        (
            {"gcsFaultToleranceOptions": REDIS, "meta": {"annotations": {"ray.io/ft-enabled": "false"}}},
            "remove one of them",
        ),
        (
            {
                "gcsFaultToleranceOptions": REDIS,
                "meta": {"annotations": {"ray.io/external-storage-namespace": "x"}},
            },
            "externalStorageNamespace says it",
        ),
        ({"gcsFaultToleranceOptions": REDIS, "headGroupSpec": variable("REDIS_PASSWORD")}, "remove REDIS_PASSWORD"),
        (
            {"gcsFaultToleranceOptions": REDIS, "headGroupSpec": head(rayStartParams={"redis-password": "x"})},
            "remove redis-password",
        ),
        ({"headGroupSpec": variable("RAY_REDIS_ADDRESS")}, "ray.io/ft-enabled"),
        ({"meta": {"annotations": {"ray.io/gcs-ft-deletion-timeout": "soon"}}}, "give seconds"),
        ({"upgradeStrategy": {"type": "None"}, "meta": OF_JOB}, "RayJob"),
        ({"autoscalerOptions": {"version": "v3"}}, "v1 or v2"),
        ({"autoscalerOptions": {"idleTimeoutSeconds": -1}}, "must not be negative"),
        ({"idleTerminationOptions": {"timeoutSeconds": 60}}, "enableInTreeAutoscaling"),
        (
            {"idleTerminationOptions": {"timeoutSeconds": 60}, **V2, "meta": OF_SERVICE},
            "without any driver",
        ),
        ({"idleTerminationOptions": {}, **V2}, "timeoutSeconds is missing"),
        ({"networkPolicy": {"workerGroups": [{"groupName": "none"}]}}, "no worker group"),
        ({"meta": {"annotations": {"rayfleet.io/autoscaler": "beside"}}}, "use sidecar or central"),
        (
            {"meta": CENTRAL, "enableInTreeAutoscaling": True, "autoscalerOptions": {"command": ["ray"]}},
            "remove one of them",
        ),
        ({**TLS, "headGroupSpec": variable("RAY_USE_TLS")}, "headGroupSpec sets RAY_USE_TLS"),
        (
            {**TLS, "autoscalerOptions": {"volumeMounts": [{"name": "mine", "mountPath": "/etc/ray/tls"}]}},
            "autoscalerOptions mounts mine at /etc/ray/tls",
        ),
        ({**TLS, "meta": CENTRAL, "enableInTreeAutoscaling": True}, "does not work with tlsOptions"),
        ({"historyServerOptions": {}}, "not supported"),
    ],
)
def test_a_wrong_cluster_is_told_what_to_do(spec: dict[str, Any], said: str) -> None:
    found = wrong(**spec)
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"minReplicas": 3, "maxReplicas": 2}, "raise maxReplicas"),
        ({"replicas": -1}, "replicas must not be negative"),
        ({"numOfHosts": 0}, "at least 1"),
        ({"idleTimeoutSeconds": -1}, "idleTimeoutSeconds must not"),
        ({"template": {"spec": {"containers": []}}}, "template.spec.containers is empty"),
        ({"groupName": "headgroup"}, "is the head's"),
        ({"groupName": "gpu group"}, "is a label"),
        ({"groupName": ""}, "is a label"),
        ({"resources": {"CPU": "many"}}, "must be a quantity"),
    ],
)
def test_a_wrong_group_is_told_by_its_name(more: dict[str, Any], said: str) -> None:
    (found,) = wrong({**group("small"), **more})
    assert said in found
    assert found.startswith("workerGroupSpecs[0] (")


def test_groups_need_names_of_their_own() -> None:
    assert wrong(group("small"), group("small")) == [
        "2 worker groups are named small; give each a groupName of its own"
    ]


def test_resources_that_the_autoscaler_cannot_read_are_told() -> None:
    broken = group("small", rayStartParams={"resources": "{A: 1"})
    (found,) = wrong(broken, enableInTreeAutoscaling=True)
    assert "rayStartParams cannot be read" in found


def test_capitals_of_a_group_are_in_its_label_and_not_in_names() -> None:
    cluster = raycluster(group("GPU_Group"), networkPolicy={})
    (worker,) = [pod for pod in created(look(cluster)) if "worker" in pod["metadata"]["name"]]
    assert worker["metadata"]["name"].startswith("demo-gpu-group-worker-")
    assert worker["metadata"]["labels"]["ray.io/group"] == "GPU_Group"
    assert [one["metadata"]["name"] for one in created(look(cluster), NETWORK_POLICY)][1] == "demo-gpu-group-worker"


def test_a_group_is_not_suspended_beside_an_autoscaler() -> None:
    (found,) = wrong(group("small", suspend=True), enableInTreeAutoscaling=True)
    assert "would fight with the autoscaler" in found
    assert wrong(group("small", suspend=True)) == []


@pytest.mark.parametrize(
    ("more", "spec"),
    [
        ({"replicas": 99, "maxReplicas": 3}, {}),  # within its limits it counts
        ({"idleTimeoutSeconds": 30, "priority": 7}, {"rayVersion": "2.46.0", "enableInTreeAutoscaling": True}),
        ({"template": pods(restartPolicy="Always")}, {"enableInTreeAutoscaling": True}),
        ({"resources": {"CPU": "2"}, "rayStartParams": {"num-gpus": "1"}}, {}),
        ({"groupName": "GPU_Group"}, {}),
        ({"rayStartParams": {"resources": '\'"{\\"A\\": 1}"\''}}, {"enableInTreeAutoscaling": True}),
        ({}, {"authOptions": TOKEN, "rayVersion": "2.52.0"}),
        ({}, {"tlsOptions": {"enabled": False}}),
        ({}, {"gcsFaultToleranceOptions": {"backend": "rocksdb"}}),
        ({}, {"headGroupSpec": variable("RAY_REDIS_ADDRESS"), "meta": {"annotations": {"ray.io/ft-enabled": "true"}}}),
    ],
)
def test_what_runs_elsewhere_is_right(more: dict[str, Any], spec: dict[str, Any]) -> None:
    assert wrong({**group(), **more}, **spec) == []


def test_all_of_it_is_said_at_once_and_nothing_is_made() -> None:
    cluster = raycluster(group(minReplicas=3, maxReplicas=1), upgradeStrategy={"type": "None"}, meta=OF_JOB)
    done = look(cluster)
    (told,) = done.actions
    assert isinstance(told, Emit)
    assert told.reason == "InvalidRayClusterSpec"
    assert "maxReplicas" in told.message
    assert "upgradeStrategy" in told.message
    assert done.status is not None
    assert done.status["reason"] == told.message
    assert done.status["observedGeneration"] == 3


def test_the_status_of_a_wrong_cluster_is_written_once_and_forgotten_when_it_is_right() -> None:
    broken = raycluster(group(minReplicas=3, maxReplicas=1))
    said = look(broken).status
    assert said is not None
    assert look({**broken, "status": said}).status == said
    right = look({**raycluster(group()), "status": said})
    assert right.status is not None
    assert "reason" not in right.status
    assert len(created(right)) == 2


def test_pods_of_a_cluster_that_became_wrong_stay_unless_it_is_suspended() -> None:
    things = made(raycluster(group()))
    assert deleted(look(raycluster(group(numOfHosts=0)), *things)) == {}
    assert len(deleted(look(raycluster(group(numOfHosts=0), suspend=True), *things))) == 2
    assert len(deleted(look(raycluster(group(numOfHosts=0), idleSuspend=True), *things))) == 2
