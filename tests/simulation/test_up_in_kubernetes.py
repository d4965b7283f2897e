"""`up` and `down` against an API server in memory and the operator, on virtual time."""

import asyncio
from typing import Any

import pytest
from tests.simulation.kubernetes import CLUSTER, Stage, on_stage
from tests.unit.kube_operator.raycluster.clusters import group, raycluster

from rayfleet.launcher.errors import LauncherError, TookTooLong
from rayfleet.launcher.kube.down import Ended, bring_down
from rayfleet.launcher.kube.manifest import Manifest
from rayfleet.launcher.kube.target import Target
from rayfleet.launcher.kube.up import Failed, carry_out, steps, until_ready
from rayfleet.wire.kube.errors import KubeError, NotFound, Unavailable
from rayfleet.wire.kube.objects import CONFIG_MAP, POD, RAY_CLUSTER, RAY_JOB, Key, Kind, Object, key_of, uid_of

SCRIPTS = {"metadata": {"name": "scripts", "namespace": "team"}, "data": {"a.py": "1"}}
TARGET = Target(RAY_CLUSTER, CLUSTER)


def manifest(replicas: int = 2, **spec: Any) -> Manifest:
    thing = raycluster(group(replicas=replicas), **spec)
    thing["metadata"] = {"name": CLUSTER.name, "namespace": CLUSTER.namespace}
    return Manifest(RAY_CLUSTER, thing, ((CONFIG_MAP, SCRIPTS),))


async def apply(stage: Stage, wanted: Manifest) -> list[str]:
    planned = await steps(stage.kube, wanted)
    await carry_out(stage.kube, planned)
    return [line for step in planned for line in step.lines]


async def follow(stage: Stage, limit_s: float = 600.0) -> list[str]:
    told: list[str] = []
    await until_ready(stage.kube, TARGET, told.append, limit_s)
    return told


async def away(stage: Stage, target: Target = TARGET, limit_s: float = 600.0) -> tuple[Ended, list[str]]:
    told: list[str] = []
    return await bring_down(stage.kube, target, manifest().beside, told.append, limit_s), told


def test_up_says_what_it_makes_and_follows_until_all_is_ready() -> None:
    async def act(stage: Stage) -> tuple[list[str], list[str]]:
        stage.boot_s = 5.0
        return await apply(stage, manifest()), await follow(stage)

    made, told = on_stage(act)
    assert made == ["create ConfigMap team/scripts", "create RayCluster team/demo"]
    assert told[-1] == "workers: 2/2 ready"
    assert told[0] == "workers: 0/2 ready"
    assert [line.partition(": ")[2] for line in told if line.startswith("head ")] == ["starts", "ready"]


def test_up_again_names_what_changes_and_waits_for_that() -> None:
    async def act(stage: Stage) -> tuple[list[str], list[str], int]:
        await apply(stage, manifest())
        await follow(stage)
        again = await apply(stage, manifest())
        changes = await apply(stage, manifest(3))
        await follow(stage)
        return again, changes, len(stage.pods())

    again, changes, workers = on_stage(act)
    assert again == []
    assert changes == ["change RayCluster team/demo", "  spec.workerGroupSpecs[small].replicas: 2 -> 3"]
    assert workers == 3


def test_up_goes_on_through_an_api_server_that_restarts() -> None:
    async def act(stage: Stage) -> str:
        await apply(stage, manifest())

        def down(_verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            return Unavailable("no answer") if asyncio.get_running_loop().time() < 8 else None

        stage.kube.refuse = down
        return (await follow(stage))[-1]

    assert on_stage(act) == "workers: 2/2 ready"


def test_up_without_an_operator_says_so() -> None:
    async def act(stage: Stage) -> None:
        await stage.kill()
        await apply(stage, manifest())
        await follow(stage)

    with pytest.raises(Failed, match="nobody has taken notice of RayCluster team/demo for 30 s") as caught:
        on_stage(act)
    assert "install" in caught.value.hint


def test_up_without_definitions_says_so() -> None:
    async def act(stage: Stage) -> None:
        def unknown(_verb: str, kind: Kind, _thing: Object) -> KubeError | None:
            return NotFound("the server could not find the requested resource") if kind == RAY_CLUSTER else None

        await stage.kill()
        stage.kube.refuse = unknown
        await apply(stage, manifest())

    with pytest.raises(LauncherError, match=r"knows no RayCluster of ray\.io/v1"):
        on_stage(act)


def test_pods_that_wait_for_machines_are_waited_for_to_the_limit_and_named() -> None:
    async def act(stage: Stage) -> None:
        stage.boot_s = 10_000.0
        await apply(stage, manifest())
        no_room = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
        await asyncio.sleep(5)
        for pod in stage.kube.things(POD):
            stage.kube.set_status(POD, key_of(pod), {"phase": "Pending", "conditions": [no_room]})
        await follow(stage, 300.0)

    with pytest.raises(TookTooLong, match=r"not ready after 300 s") as caught:
        on_stage(act)
    assert "small: 2 waits for a machine: Unschedulable: 0/1 nodes" in str(caught.value)


def test_a_head_whose_image_is_not_there_fails_in_a_minute() -> None:
    async def act(stage: Stage) -> float:
        stage.boot_s = 10_000.0
        await apply(stage, manifest())
        await asyncio.sleep(5)
        (head,) = stage.pods("head")
        state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        stuck = {"phase": "Pending", "containerStatuses": [{"name": "ray-head", "state": state}]}
        stage.kube.set_status(POD, key_of(head), stuck)
        with pytest.raises(Failed, match="does not start: ImagePullBackOff: no such image"):
            await follow(stage)
        return asyncio.get_running_loop().time()

    assert 60 <= on_stage(act) <= 70


def test_suspended_by_its_file_it_is_done_when_the_pods_are_gone() -> None:
    async def act(stage: Stage) -> int:
        await apply(stage, manifest())
        await follow(stage)
        await apply(stage, manifest(suspend=True))
        await follow(stage)
        return len(stage.kube.things(POD))

    assert on_stage(act) == 0


def test_down_takes_everything_of_the_file_and_waits_for_the_pods() -> None:
    async def act(stage: Stage) -> tuple[Ended, list[int], Ended]:
        await apply(stage, manifest())
        await follow(stage)
        ended, _ = await away(stage)
        left = [len(stage.kube.things(kind)) for kind in (RAY_CLUSTER, POD, CONFIG_MAP)]
        return ended, left, (await away(stage))[0]

    ended, left, again = on_stage(act)
    assert (ended.existed, ended.pods, left) == (True, 3, [0, 0, 0])
    assert (again.existed, again.as_json()["pods"]) == (False, 0)


def test_down_says_what_does_not_go() -> None:
    async def act(stage: Stage) -> str:
        held = manifest()
        held.resource["metadata"]["finalizers"] = ["somebody/holds"]
        await apply(stage, held)
        await follow(stage)
        told: list[str] = []
        with pytest.raises(TookTooLong, match="still there:\nRayCluster demo"):
            await bring_down(stage.kube, TARGET, (), told.append, 60.0)
        return told[-1]

    assert on_stage(act).startswith("4 left: RayCluster demo, pod demo-head-")


def test_down_of_a_job_takes_its_cluster_along() -> None:
    """And no other's: the garbage collector takes what the job owns, `down` waits for it."""

    async def act(stage: Stage) -> tuple[int, list[str]]:
        await stage.kill()
        job = await stage.kube.create(RAY_JOB, {"metadata": {"name": "train", "namespace": "team"}, "spec": {}})
        owner = {"uid": uid_of(job), "kind": "RayJob", "name": "train", "controller": True}
        origin = {"ray.io/originated-from-cr-name": "train", "ray.io/originated-from-crd": "RayJob"}
        for name, labels, owners in (("train-1", origin, [owner]), ("other", {}, [])):
            meta = {"name": name, "namespace": "team", "labels": labels, "ownerReferences": owners}
            thing = await stage.kube.create(RAY_CLUSTER, {**raycluster(), "metadata": meta})
            above = [{"uid": uid_of(thing), "kind": "RayCluster", "name": name, "controller": True}]
            head = {"ray.io/cluster": name, "ray.io/node-type": "head"}
            pod = {"name": f"{name}-head", "namespace": "team", "labels": head, "ownerReferences": above}
            await stage.kube.create(POD, {"metadata": pod, "spec": {"containers": [{"name": "ray"}]}})
        ended, _ = await away(stage, Target(RAY_JOB, Key("team", "train")))
        return ended.pods, [key_of(thing).name for kind in (RAY_CLUSTER, POD) for thing in stage.kube.things(kind)]

    assert on_stage(act) == (1, ["other", "other-head"])
