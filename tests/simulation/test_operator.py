"""The operator against an API server in memory, on virtual time: from apply to ready and away, through every fault."""

import asyncio
import random
from collections import Counter

import pytest
from tests.simulation.kubernetes import Stage, on_stage
from tests.unit.kube_operator.raycluster.clusters import group, raycluster

from rayfleet.wire.kube.errors import Conflict, KubeError, QuotaExceeded, Unavailable
from rayfleet.wire.kube.objects import (
    EVENT,
    JOB,
    POD,
    RAY_CLUSTER,
    RAY_JOB,
    SERVICE,
    Key,
    Kind,
    Object,
    key_of,
)


def test_from_apply_to_ready_with_few_writes() -> None:
    async def act(stage: Stage) -> tuple[str, int, int]:
        await stage.apply(group(replicas=2), enableInTreeAutoscaling=True)
        await asyncio.sleep(30)
        calls = stage.kube.calls
        created = sum(
            count for call, count in calls.items() if call.startswith("create ") and "rayclusters" not in call
        )
        return stage.status()["state"], created, calls["patch rayclusters"]

    state, created, written = on_stage(act)
    assert (state, created) == ("ready", 3 + 1 + 3)  # pods, the head's Service, account, role, binding
    assert written <= 4


def test_nothing_is_written_while_nothing_changes() -> None:
    async def act(stage: Stage) -> Counter[str]:
        await stage.apply(group(replicas=2))
        await asyncio.sleep(30)
        before = Counter(stage.kube.calls)
        await asyncio.sleep(3600)
        return Counter(stage.kube.calls) - before

    assert on_stage(act) == Counter()


def test_deleted_it_leaves_nothing_behind() -> None:
    async def act(stage: Stage) -> list[int]:
        await stage.apply(group(replicas=2), enableInTreeAutoscaling=True)
        await asyncio.sleep(30)
        await stage.kube.delete(RAY_CLUSTER, Key("team", "demo"))
        await asyncio.sleep(30)
        return [len(stage.kube.things(kind)) for kind in (RAY_CLUSTER, POD, SERVICE)]

    assert on_stage(act) == [0, 0, 0]


def test_a_full_quota_is_in_the_status_and_in_an_event_and_goes_away_with_its_cause() -> None:
    """KubeRay's scenario 18."""

    async def act(stage: Stage) -> tuple[list[str], list[str], str, list[str]]:
        full = True

        def refuse(verb: str, kind: Kind, _thing: Object) -> KubeError | None:
            return QuotaExceeded("pods: exceeded quota: team") if full and (verb, kind) == ("create", POD) else None

        stage.kube.refuse = refuse
        await stage.apply(group())
        await asyncio.sleep(60)
        reasons = [one["reason"] for one in stage.status()["conditions"] if one["type"] == "ReplicaFailure"]
        events = sorted({event["reason"] for event in stage.kube.things(EVENT)})
        full = False
        await asyncio.sleep(120)
        left = [one["type"] for one in stage.status()["conditions"] if one["type"] == "ReplicaFailure"]
        return reasons, events, stage.status()["state"], left

    assert on_stage(act) == (["FailedCreateHeadPod"], ["FailedCreateHeadPod", "FailedCreateWorkerPod"], "ready", [])


def test_a_pod_that_is_lost_comes_back_once() -> None:
    async def act(stage: Stage) -> tuple[int, bool]:
        await stage.apply(group(replicas=3))
        await asyncio.sleep(30)
        lost = key_of(stage.pods()[0])
        await stage.kube.delete(POD, lost, grace_s=0)
        await asyncio.sleep(30)
        return len(stage.pods()), lost in {key_of(pod) for pod in stage.pods()}

    assert on_stage(act) == (3, False)


def test_suspended_and_resumed() -> None:
    async def act(stage: Stage) -> list[tuple[str, int]]:
        seen = []
        await stage.apply(group(replicas=2))
        for suspend in (False, True, False):
            await stage.kube.patch(RAY_CLUSTER, Key("team", "demo"), {"spec": {"suspend": suspend}})
            await asyncio.sleep(30)
            seen.append((stage.status()["state"], len(stage.kube.things(POD))))
        return seen

    assert on_stage(act) == [("ready", 3), ("suspended", 0), ("ready", 3)]


def test_a_job_makes_its_cluster_and_submitter() -> None:
    async def act(stage: Stage) -> tuple[str, list[str], int]:
        spec = {"entrypoint": "true", "rayClusterSpec": raycluster(group())["spec"]}
        await stage.kube.create(RAY_JOB, {"metadata": {"name": "train", "namespace": "team"}, "spec": spec})
        await asyncio.sleep(60)
        (job,) = stage.kube.things(RAY_JOB)
        made = [key_of(one).name for one in stage.kube.things(JOB)]
        return job["status"]["jobDeploymentStatus"], made, len(stage.kube.things(RAY_CLUSTER))

    assert on_stage(act) == ("Running", ["train"], 1)


@pytest.mark.parametrize("call", range(1, 24))
def test_killed_after_any_call_the_next_operator_finishes_without_doubles(call: int) -> None:
    async def act(stage: Stage) -> tuple[str, int, int]:
        counted = 0

        def kill_then(verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            nonlocal counted
            counted += verb in ("create", "patch", "delete")
            return Unavailable("the operator is gone") if counted >= call else None

        stage.kube.refuse = kill_then
        with_errors = asyncio.create_task(stage.apply(group(replicas=2), enableInTreeAutoscaling=True))
        await asyncio.gather(with_errors, return_exceptions=True)
        await asyncio.sleep(5)
        await stage.kill()
        stage.kube.refuse = lambda _verb, _kind, _thing: None
        if not stage.kube.things(RAY_CLUSTER):
            await stage.apply(group(replicas=2), enableInTreeAutoscaling=True)
        await stage.start()
        await asyncio.sleep(60)
        return stage.status()["state"], len(stage.kube.things(POD)), stage.kube.calls["delete pods"]

    assert on_stage(act) == ("ready", 3, 0)


@pytest.mark.parametrize("seed", range(20))
def test_through_errors_conflicts_gaps_and_restarts_it_arrives(seed: int) -> None:
    """A minute in which a fifth of all calls fail, watches are forgotten and operators are killed."""
    chance = random.Random(seed)

    async def act(stage: Stage) -> tuple[str, int, int]:
        def fail(verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            if verb == "watch" or chance.random() > 0.2:
                return None
            errors: list[KubeError] = [Unavailable("no answer")]
            if verb != "create":
                errors.append(Conflict("modified"))
            return chance.choice(errors)

        for attempt in range(10):
            stage.kube.refuse = fail
            if attempt == 0:
                stage.kube.refuse = lambda _verb, _kind, _thing: None
                await stage.apply(group(replicas=2), group("b", replicas=1, numOfHosts=2))
                stage.kube.refuse = fail
            await asyncio.sleep(chance.uniform(0.1, 6))
            if chance.random() < 0.4:
                stage.kube.forget_history()
            if chance.random() < 0.4:
                await stage.start()
            if chance.random() < 0.3 and stage.pods():
                stage.kube.refuse = lambda _verb, _kind, _thing: None
                await stage.kube.delete(POD, key_of(chance.choice(stage.pods())))
        stage.kube.refuse = lambda _verb, _kind, _thing: None
        await asyncio.sleep(180)
        return stage.status()["state"], len(stage.pods("head")), len(stage.pods())

    assert on_stage(act) == ("ready", 1, 4), f"seed {seed}"
