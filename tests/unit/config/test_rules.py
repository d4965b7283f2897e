"""The rules that API servers hold resources against, read as they read them, and beside what our own checks say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import cel
import pytest
from tests.unit.kube_operator.raycluster.clusters import SETTINGS, group, raycluster

from rayfleet.config.rayio.base import Spec
from rayfleet.config.rayio.crds import definitions, schema
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.config.rayio.rayjob import RayJobSpec
from rayfleet.config.rayio.rules import RULES
from rayfleet.kube_operator.raycluster.checks import problems
from rayfleet.kube_operator.raycluster.cluster import Cluster

Part = Mapping[str, Any]
TOKEN = {"mode": "token"}
REDIS = {"redisAddress": "redis:6379"}
IDLE = {"timeoutSeconds": 60}
SCALED = {"enableInTreeAutoscaling": True}


def refusals(form: type[Spec], now: Part, before: Part | None = None) -> list[str]:
    """Return the messages of rules that a spec breaks, as an API server with its schema would."""
    return [*_refusals(_schema(form), now, before)]


@cache
def _schema(form: type[Spec]) -> Part:
    return schema(form, rules=True)


def _refusals(of: Part, now: Any, before: Any) -> Iterator[str]:
    for rule in of.get("x-kubernetes-validations", ()):
        context = {"self": now} | ({"oldSelf": before} if before is not None else {})
        if ("oldSelf" not in rule["rule"] or before is not None) and cel.evaluate(rule["rule"], context) is not True:
            yield rule["message"]
    for key, below in (of.get("properties") or {}).items():
        if isinstance(now, Mapping) and key in now:
            yield from _refusals(below, now[key], (before or {}).get(key))
    if "items" in of and isinstance(now, list):
        for one in now:
            yield from _refusals(of["items"], one, None)  # a list without keys: what was before is not known


def cluster(**more: Any) -> Part:
    spec: Part = raycluster(*more.pop("groups", [group()]), **more)["spec"]
    return spec


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"groups": [group(minReplicas=3, maxReplicas=2)]}, "minReplicas must not be more"),
        ({"groups": [group(replicas=-1)]}, "replicas must be at least 0"),
        ({"groups": [group(numOfHosts=0)]}, "numOfHosts must be at least 1"),
        ({"groups": [group(idleTimeoutSeconds=-1)]}, "idleTimeoutSeconds must be at least 0"),
        ({"authOptions": {**TOKEN, "enableK8sTokenAuth": True, "secretName": "mine"}}, "leave secretName out"),
        ({"authOptions": {"mode": "disabled", "secretName": "mine"}}, "need mode: token"),
        ({"autoscalerOptions": {"version": "v3"}}, "version must be one of: v1, v2"),
        ({"autoscalerOptions": {"idleTimeoutSeconds": -1}}, "at least 0"),
        ({"idleTerminationOptions": IDLE}, "needs enableInTreeAutoscaling"),
        ({"idleTerminationOptions": {}, **SCALED}, "timeoutSeconds must be given"),
        ({"gcsFaultToleranceOptions": {}}, "redisAddress must be given"),
        ({"gcsFaultToleranceOptions": {**REDIS, "storage": {}}}, "storage is for"),
        ({"gcsFaultToleranceOptions": {**REDIS, "backend": "rocksdb"}}, "are for backend: redis"),
        (
            {"gcsFaultToleranceOptions": {"backend": "rocksdb", "storage": {"claimName": "mine", "size": 2}}},
            "leave them out with claimName",
        ),
        (
            {"gcsFaultToleranceOptions": {"backend": "rocksdb", "storage": {"deletionPolicy": "Keep"}}},
            "deletionPolicy must be one of",
        ),
    ],
)
def test_what_a_rule_refuses_our_checks_refuse_too(more: dict[str, Any], said: str) -> None:
    """Servers without rules, and clusters that were there before them, are looked at by the operator."""
    spec = cluster(**more)
    found = refusals(RayClusterSpec, spec)
    assert len(found) == 1, found
    assert said in found[0]
    assert problems(Cluster.read({**raycluster(), "spec": spec}, SETTINGS)) != []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"groups": []},
        {"groups": [{"groupName": "small", "template": {}}]},
        {"authOptions": {}},
        {"authOptions": {**TOKEN, "secretName": "mine"}},
        {"authOptions": {**TOKEN, "enableK8sTokenAuth": True}},
        {"autoscalerOptions": {"version": "v2"}, **SCALED},
        {"idleTerminationOptions": IDLE, **SCALED},
        {"gcsFaultToleranceOptions": REDIS},
        {"gcsFaultToleranceOptions": {"backend": "rocksdb"}},
        {"gcsFaultToleranceOptions": {"backend": "rocksdb", "externalStorageNamespace": ""}},
        {"gcsFaultToleranceOptions": {"backend": "rocksdb", "storage": {"claimName": "mine", "accessModes": []}}},
        {"gcsFaultToleranceOptions": {"backend": "rocksdb", "storage": {"size": "2Gi"}}},
        {"managedBy": "kueue.x-k8s.io/multikueue"},
    ],
)
def test_what_is_right_breaks_no_rule(more: dict[str, Any]) -> None:
    spec = cluster(**more)
    assert refusals(RayClusterSpec, spec, spec) == []


def test_who_manages_a_cluster_is_known_and_does_not_change() -> None:
    mine, theirs = cluster(managedBy="ray.io/kuberay-operator"), cluster(managedBy="kueue.x-k8s.io/multikueue")
    assert refusals(RayClusterSpec, theirs, mine) == ["managedBy cannot be changed"]
    assert refusals(RayClusterSpec, theirs, cluster()) == []
    (unknown,) = refusals(RayClusterSpec, cluster(managedBy="example.com/me"))
    assert unknown.startswith("managedBy must be one of: ray.io/kuberay-operator, ")


def test_where_the_gcs_keeps_its_state_does_not_change() -> None:
    redis = cluster(gcsFaultToleranceOptions=REDIS)
    said = cluster(gcsFaultToleranceOptions={**REDIS, "backend": "redis"})
    rocksdb = cluster(gcsFaultToleranceOptions={"backend": "rocksdb"})
    assert refusals(RayClusterSpec, said, redis) == []
    assert refusals(RayClusterSpec, rocksdb, redis) == ["backend cannot be changed"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "give either"),
        ({"clusterSelector": {"a": "b"}, "rayClusterSpec": cluster()}, "give either"),
        ({"rayClusterSpec": cluster(), "ttlSecondsAfterFinished": 5}, "needs shutdownAfterJobFinishes"),
        ({"rayClusterSpec": cluster(), "backoffLimit": -1}, "backoffLimit must be at least 0"),
        ({"rayClusterSpec": cluster(groups=[group(numOfHosts=0)])}, "numOfHosts"),
    ],
)
def test_rules_of_jobs_and_of_clusters_inside_them(spec: Part, said: str) -> None:
    (found,) = refusals(RayJobSpec, spec)
    assert said in found
    assert refusals(RayJobSpec, {"clusterSelector": {"a": "b"}}) == []


def test_every_rule_stands_in_the_definitions_that_are_asked_for_them() -> None:
    text = str([*definitions(rules=True)])
    rules = [rule for of in RULES.values() for rule in of]
    assert [rule for rule in rules if repr(rule.holds) not in text] == []


def test_no_rule_looks_through_a_list() -> None:
    """Lists have no bound here, so that an API server would think such a rule too dear, and refuse all of it."""
    loops = (".all(", ".exists(", ".exists_one(", ".map(", ".filter(")
    assert [rule for of in RULES.values() for rule in of if any(loop in rule.holds for loop in loops)] == []
