"""What `config check` tells about a file is what the operator tells about the resource, and where it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.config.places import HERE
from tests.unit.kube_operator.raycluster.clusters import SETTINGS, container, group, raycluster

from rayfleet.config import check
from rayfleet.config.rayio.names import AUTOSCALER_PLACES
from rayfleet.kube_operator.raycluster.checks import problems
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.settings import Autoscaling
from rayfleet.wire.kube.objects import Object

TOKEN = {"mode": "token"}
REDIS = {"redisAddress": "redis:6379"}


TLS = {"tlsOptions": {"enabled": True}}
NOTED = {**container("w", cpu="1"), "env": [{"name": "RAY_USE_TLS"}]}


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"authOptions": {**TOKEN}, "rayVersion": "2.46.0"}, "spec.authOptions.mode"),
        (
            {"authOptions": {**TOKEN, "enableK8sTokenAuth": True, "secretName": "x"}},
            "spec.authOptions.enableK8sTokenAuth",
        ),
        ({"gcsFaultToleranceOptions": {**REDIS, "storage": {}}}, "spec.gcsFaultToleranceOptions.storage"),
        ({"gcsFaultToleranceOptions": REDIS}, ""),
        ({"meta": {"annotations": {"ray.io/gcs-ft-deletion-timeout": "soon"}}}, "metadata.annotations"),
        ({"meta": {"annotations": {"ray.io/ippr": "no JSON"}}}, "metadata.annotations"),
        ({"meta": {"annotations": {"rayfleet.io/autoscaler": "here"}}}, "metadata.annotations"),
        ({**TLS, "meta": {"annotations": {"rayfleet.io/autoscaler": "central"}}}, "metadata.annotations"),
        ({"autoscalerOptions": {"version": "v3"}, "enableInTreeAutoscaling": True}, "spec.autoscalerOptions.version"),
        ({"idleTerminationOptions": {"timeoutSeconds": 5}}, "spec.idleTerminationOptions"),
        ({"networkPolicy": {"workerGroups": [{"groupName": "none"}]}}, "spec.networkPolicy.workerGroups[0].groupName"),
        ({"historyServerOptions": {}}, "spec.historyServerOptions"),
        ({"groups": [group(labels={"a": "b c"})]}, "spec.workerGroupSpecs[0].labels.a"),
        ({"groups": [group("headgroup")]}, "spec.workerGroupSpecs[0].groupName"),
        (
            {**TLS, "groups": [group(template={"spec": {"containers": [NOTED]}})]},
            "spec.workerGroupSpecs[0].template.spec.containers[0].env",
        ),
    ],
)
def test_the_file_and_the_status_say_the_same(more: dict[str, Any], path: str) -> None:
    groups = more.pop("groups", [group()])
    thing = raycluster(*groups, **more)
    found = check(json.dumps(thing, indent=1), HERE, "f.yaml").problems
    said = [f"{one.message}; {one.hint}" if one.hint else one.message for one in found]
    assert said == problems(Cluster.read(thing, SETTINGS))
    assert all(one.path.startswith(path) and one.line > 1 for one in found)
    assert bool(found) == bool(path)


@pytest.mark.parametrize(
    ("annotations", "path"),
    [({"ray.io/ippr": {"groups": {}}}, "metadata.annotations.ray.io/ippr"), (["a"], "metadata.annotations")],
)
def test_annotations_that_are_no_text_are_told(annotations: Any, path: str) -> None:
    thing = raycluster(group(), meta={"annotations": annotations})
    (found,) = check(json.dumps(thing), HERE, "f.yaml").problems
    assert found.path.startswith(path)
    assert "text" in found.message


def test_places_of_an_autoscaler_are_those_of_the_operator() -> None:
    assert set(AUTOSCALER_PLACES) == set(Autoscaling)


def test_what_the_schema_s_sense_has_told_is_not_told_twice() -> None:
    thing = raycluster(group(minReplicas=3, maxReplicas=2), group("b", replicas=-1))
    found = [one.path for one in check(json.dumps(thing), HERE, "f.yaml").problems]
    assert found == ["spec.workerGroupSpecs[0].minReplicas", "spec.workerGroupSpecs[1].replicas"]


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("RayJob", {"entrypoint": "true", "rayClusterSpec": {"upgradeStrategy": {"type": "None"}}}, "RayJob"),
        ("RayService", {"rayClusterConfig": {"upgradeStrategy": {"type": "None"}}}, "RayService"),
    ],
)
def test_clusters_inside_of_others_are_told_whose_they_are(kind: str, spec: Object, said: str) -> None:
    for inner in spec.values():
        if isinstance(inner, dict):
            inner.update(raycluster(group())["spec"])
    thing = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "demo"}, "spec": spec}
    (found,) = check(json.dumps(thing), HERE, "f.yaml").problems
    assert f"not for those of a {said}" in found.message
    assert found.path.endswith(".upgradeStrategy")
