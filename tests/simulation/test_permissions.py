"""The operator's table of permissions against what operators do in runs that reach all of their calls.

A right that the table lacks would be refused in a real cluster; one that no run needs has no place in it.
"""

import asyncio
import importlib
import pkgutil
from typing import Any

from tests.simulation.kubernetes import CLUSTER, Stage, on_stage
from tests.unit.kube_operator.raycluster.clusters import group, raycluster

import rayfleet.kube_operator
from rayfleet.kube_operator.permissions import GRANTED, OWN, WATCHED, rules
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.rayjob.reconcile import JobFact
from rayfleet.kube_operator.rayservice.serve import APPLICATIONS, CONFIGURE, PROXY, ServeFact
from rayfleet.kube_operator.reconciling import Call, Probe
from rayfleet.kube_operator.runtime.tokens import Tokens
from rayfleet.kube_operator.settings import Autoscaling, OperatorSettings
from rayfleet.model import Demand, Resources, TaskDemand
from rayfleet.testing.fake_engine import FakeEngine
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.recording_kube import RecordingKube, Right, rights_of
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.wire.kube.election import Candidate, lead
from rayfleet.wire.kube.objects import (
    NODE,
    RAY_CLUSTER,
    RAY_CRON_JOB,
    RAY_JOB,
    RAY_SERVICE,
    Key,
    Kind,
    Object,
)

CONFIG = "applications:\n- name: fruit\n  import_path: fruit:app\n"


class Busy:
    """Servers of clusters where every job has succeeded, and every application runs as it was told."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Any]] = {}

    async def ask(self, probe: Probe) -> object:
        match probe.call:
            case name if name == PROXY:
                return True
            case name if name == APPLICATIONS:
                return ServeFact(self._told.get(probe.target, {}))
            case _:
                return JobFact("SUCCEEDED")

    async def call(self, call: Call) -> None:
        if call.call == CONFIGURE:
            applications: Any = call.arguments["applications"]
            self._told[call.target] = {
                str(one["name"]): {"status": "RUNNING", "deployed_app_config": one, "deployments": {}}
                for one in applications
            }


async def make(stage: Stage, kind: Kind, name: str, spec: Object, **meta: Any) -> Key:
    await stage.kube.create(kind, {"metadata": {"name": name, "namespace": "team", **meta}, "spec": spec})
    await asyncio.sleep(60)
    return Key("team", name)


async def change(stage: Stage, kind: Kind, key: Key, **spec: Any) -> None:
    await stage.kube.patch(kind, key, {"spec": spec})
    await asyncio.sleep(60)


async def run_clusters(stage: Stage) -> None:
    """A cluster with an autoscaler is to delete itself one day, and is suspended; another one is wrong."""
    await stage.apply(group(replicas=2, numOfHosts=2), enableInTreeAutoscaling=True)
    await asyncio.sleep(60)
    cluster = Key("team", "demo")
    await change(stage, RAY_CLUSTER, cluster, idleTerminationOptions={"timeoutSeconds": 3600, "policy": "Delete"})
    await change(stage, RAY_CLUSTER, cluster, suspend=True)
    await make(stage, RAY_CLUSTER, "wrong", {"headGroupSpec": {"template": {}}, "workerGroupSpecs": 3})
    await stage.kube.delete(RAY_CLUSTER, cluster)


async def run_guarded_clusters(stage: Stage) -> None:
    """A cluster with a token, rules for its network, an Ingress and a volume changes its mind about two of them."""
    spec = raycluster(group())["spec"] | {
        "authOptions": {"mode": "token"},
        "networkPolicy": {"mode": "DenyAll"},
        "gcsFaultToleranceOptions": {"backend": "rocksdb"},
        "tlsOptions": {"enabled": True},
    }
    spec["headGroupSpec"] |= {"enableIngress": True}
    cluster = await make(stage, RAY_CLUSTER, "guarded", spec)
    (thing,) = (one for one in stage.kube.things(RAY_CLUSTER) if one["metadata"]["name"] == "guarded")
    secret = Cluster.read(thing, OperatorSettings()).token_secret
    assert secret is not None
    assert await Tokens(stage.door, VirtualClock().now).of(secret)
    await change(stage, RAY_CLUSTER, cluster, networkPolicy={"mode": "DenyAllIngress"})
    await change(stage, RAY_CLUSTER, cluster, headGroupSpec={"ingressOptions": {"host": "ray.example.com"}})
    await change(stage, RAY_CLUSTER, cluster, networkPolicy=None, headGroupSpec={"enableIngress": False})
    await stage.kube.delete(RAY_CLUSTER, cluster)


async def run_jobs(stage: Stage) -> None:
    """A job succeeds and its cluster loses its workers, then goes; another is suspended; the third deletes itself."""
    spec = {"entrypoint": "true", "submissionMode": "HTTPMode", "rayClusterSpec": raycluster(group())["spec"]}
    stages = [
        {"policy": policy, "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": after}}
        for policy, after in (("DeleteWorkers", 5), ("DeleteCluster", 30), ("DeleteSelf", 60))
    ]
    await make(stage, RAY_JOB, "train", {**spec, "deletionStrategy": {"deletionRules": stages}})
    await asyncio.sleep(120)
    told = {**spec, "submissionMode": "K8sJobMode", "shutdownAfterJobFinishes": True}
    job = await make(stage, RAY_JOB, "again", told)
    await change(stage, RAY_JOB, job, suspend=True)


async def run_services(stage: Stage) -> None:
    """A service gets its cluster, another one after that, more workers, and is suspended; the last one goes."""
    spec = {
        "serveConfigV2": CONFIG,
        "rayClusterConfig": raycluster(group())["spec"],
        "rayClusterDeletionDelaySeconds": 10,
    }
    service = await make(stage, RAY_SERVICE, "shop", spec)
    newer = raycluster(group())["spec"] | {"rayVersion": "2.61.0"}
    await change(stage, RAY_SERVICE, service, rayClusterConfig=newer)
    more = newer | {"workerGroupSpecs": [group(replicas=2)]}
    await change(stage, RAY_SERVICE, service, rayClusterConfig=more)
    await change(stage, RAY_SERVICE, service, suspend=True)
    await run_steps(stage, spec | {"rayClusterConfig": newer | {"enableInTreeAutoscaling": True}})
    finalizers = ["ray.io/rayservice-finalizer"]
    held = await make(stage, RAY_SERVICE, "held", spec, finalizers=finalizers)
    await stage.kube.delete(RAY_SERVICE, held)


async def run_steps(stage: Stage, spec: Object) -> None:
    """A service that goes over by steps gets another gateway, other weights, and does without both."""
    options = {"stepSizePercent": 50, "intervalSeconds": 5, "gatewayClassName": "one"}
    strategy = {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": options}
    service = await make(stage, RAY_SERVICE, "careful", {**spec, "upgradeStrategy": strategy})
    other = {**strategy, "clusterUpgradeOptions": options | {"gatewayClassName": "other"}}
    await change(stage, RAY_SERVICE, service, upgradeStrategy=other)
    await change(stage, RAY_SERVICE, service, rayClusterConfig=spec["rayClusterConfig"] | {"rayVersion": "2.62.0"})
    await change(stage, RAY_SERVICE, service, upgradeStrategy={"type": "NewCluster"})


async def run_cron_jobs(stage: Stage) -> None:
    """Of a job for every minute, old runs go."""
    template = {"entrypoint": "true", "submissionMode": "HTTPMode", "rayClusterSpec": raycluster(group())["spec"]}
    await make(
        stage,
        RAY_CRON_JOB,
        "often",
        {"schedule": "* * * * *", "jobTemplate": template, "successfulJobsHistoryLimit": 1},
    )
    await asyncio.sleep(300)


async def run_central(stage: Stage) -> None:
    """An operator that scales a cluster itself, through all that its loop writes down and asks for."""
    ray = FakeEngine(VirtualClock(), {}, list)
    ray.join_by_hand("head", Resources(), head=True)
    settings, stage.settings = stage.settings, OperatorSettings(autoscaling=Autoscaling.CENTRAL)
    stage.engine = lambda _key, _scaling, _token: ray
    await stage.start()
    await stage.apply(group(replicas=0), enableInTreeAutoscaling=True)
    await asyncio.sleep(30)
    for name in ("first", "second"):
        ray.demand = Demand(tasks=(TaskDemand(Resources.of({"CPU": 1}), 1 if name == "first" else 2),))
        await asyncio.sleep(30)
    assert stage.pods()
    await stage.kube.delete(RAY_CLUSTER, CLUSTER)
    stage.settings = settings
    await stage.start()


def needed() -> RecordingKube:
    """Run all of it, and return what it needed."""

    async def act(stage: Stage) -> RecordingKube:
        recording = RecordingKube(stage.kube)
        stage.door, stage.servers = recording, Busy()
        await stage.start()
        for run in (run_central, run_clusters, run_guarded_clusters, run_jobs, run_services, run_cron_jobs):
            await run(stage)
            await asyncio.sleep(60)
        return recording

    recording: RecordingKube = on_stage(act)
    return recording


def rights_to_lead() -> set[Right]:
    """Return what it takes to become the one who works, and to hand that over."""
    kube = RecordingKube(FakeKube())

    async def work(_word: str) -> None:
        await asyncio.sleep(30)

    run_virtual(lead(kube, Candidate(Key("system", "operator"), "a", VirtualClock().now), work))
    return kube.used


def test_the_operator_may_do_what_it_does_and_nothing_else() -> None:
    recording = needed()
    table, given = rights_of(rules(WATCHED)), rights_of(rules(GRANTED))
    assert recording.used - table == set(), "the table lacks these"
    assert table - recording.used == set(), "nothing needs these"
    assert recording.granted <= table | given, "nobody may give away what they do not have"
    assert given <= recording.granted - table, "nobody is given these"


def test_electing_a_leader_takes_just_the_rights_for_it() -> None:
    assert rights_to_lead() == rights_of(rules(OWN))


def test_every_kind_that_the_operator_knows_is_in_the_table() -> None:
    """A kind that no run reaches yet would else be forgotten until a cluster refuses it."""
    known = set()
    for module in pkgutil.walk_packages(rayfleet.kube_operator.__path__, "rayfleet.kube_operator."):
        known |= {value for value in vars(importlib.import_module(module.name)).values() if isinstance(value, Kind)}
    assert known == {one.kind for one in (*WATCHED, *GRANTED, *OWN)}


def test_what_has_no_permission_would_be_seen() -> None:
    """The recorder itself: verbs, subresources, roles, owners, refused calls."""
    kube = RecordingKube(FakeKube())

    async def use() -> None:
        owner = {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": "a", "uid": "u", "blockOwnerDeletion": True}
        thing: Object = {"metadata": {"name": "n", "ownerReferences": [owner]}}
        await kube.create(NODE, thing)
        await kube.patch(NODE, Key("", "n"), {"status": {}}, "status")

    run_virtual(use())
    assert kube.used == {
        ("", "nodes", "create"),
        ("", "nodes/status", "patch"),
        ("ray.io", "rayjobs/finalizers", "update"),
    }
