"""What a RayCluster keeps outside of its pods, through operators that are killed: its token, its keys in Redis."""

import asyncio
from typing import Final

from tests.simulation.kubernetes import CLUSTER, Stage, on_stage
from tests.unit.kube_operator.raycluster.clusters import group

from rayfleet.wire.kube.objects import JOB, NETWORK_POLICY, POD, RAY_CLUSTER, SECRET, VOLUME_CLAIM, key_of

REDIS: Final = {"redisAddress": "redis:6379"}


async def ready(stage: Stage) -> None:
    while stage.status().get("state") != "ready":  # noqa: ASYNC110 - asked as a person would, on virtual time
        await asyncio.sleep(1)


async def all_gone(stage: Stage, limit_s: int = 900) -> float:
    """Return how long the cluster still lasted (s)."""
    for second in range(limit_s):
        if not stage.kube.things(RAY_CLUSTER):
            return second
        await asyncio.sleep(1)
    raise AssertionError(f"the cluster is still there: {stage.kube.things(RAY_CLUSTER)}")


def test_a_token_stays_the_same_through_restarts_of_the_operator() -> None:
    async def act(stage: Stage) -> None:
        await stage.apply(group(), authOptions={"mode": "token"})
        await ready(stage)
        (first,) = stage.kube.things(SECRET)
        for _ in range(3):
            await stage.start()
            await asyncio.sleep(30)
        assert stage.kube.things(SECRET) == (first,)
        assert stage.kube.calls["create secrets"] == 1

    on_stage(act)


def test_tokens_of_two_clusters_differ() -> None:
    async def act(stage: Stage) -> None:
        await stage.apply(authOptions={"mode": "token"})
        await ready(stage)
        first = stage.kube.things(SECRET)[0]["data"]
        await stage.kube.delete(RAY_CLUSTER, CLUSTER)
        await asyncio.sleep(10)
        assert stage.kube.things(SECRET) == ()
        await stage.apply(authOptions={"mode": "token"})
        await ready(stage)
        assert stage.kube.things(SECRET)[0]["data"] != first

    on_stage(act)


def test_keys_in_redis_are_removed_by_one_job_though_operators_come_and_go() -> None:
    async def act(stage: Stage) -> None:
        await stage.apply(group(), gcsFaultToleranceOptions=REDIS)
        await ready(stage)
        await stage.kube.delete(RAY_CLUSTER, CLUSTER)
        while not stage.kube.things(JOB):
            await stage.start()
            await asyncio.sleep(1.5)
        assert stage.kube.things(POD) == ()
        (job,) = stage.kube.things(JOB)
        await asyncio.sleep(60)
        assert stage.kube.calls["create jobs"] <= 2
        assert stage.kube.things(RAY_CLUSTER)
        stage.kube.set_status(JOB, key_of(job), {"conditions": [{"type": "Complete", "status": "True"}]})
        assert await all_gone(stage) <= 2
        assert stage.kube.things(JOB) == ()

    on_stage(act)


def test_a_redis_that_does_not_answer_holds_nobody_for_ever() -> None:
    async def act(stage: Stage) -> None:
        await stage.apply(group(), gcsFaultToleranceOptions=REDIS)
        await ready(stage)
        await stage.kube.delete(RAY_CLUSTER, CLUSTER)
        assert 250 <= await all_gone(stage) <= 305

    on_stage(act)


def test_a_volume_that_is_to_stay_stays_and_is_asked_for_once() -> None:
    async def act(stage: Stage) -> None:
        storage = {"backend": "rocksdb", "storage": {"deletionPolicy": "Retain"}}
        await stage.apply(group(), gcsFaultToleranceOptions=storage)
        await ready(stage)
        await stage.start()
        await asyncio.sleep(30)
        assert stage.kube.calls["create persistentvolumeclaims"] == 1
        await stage.kube.delete(RAY_CLUSTER, CLUSTER)
        await asyncio.sleep(10)
        assert [key_of(one).name for one in stage.kube.things(VOLUME_CLAIM)] == ["demo-gcs-pvc"]

    on_stage(act)


def test_a_changed_image_makes_all_pods_new_once() -> None:
    """KubeRay's scenario 20."""

    async def act(stage: Stage) -> None:
        await stage.apply(group(replicas=2), upgradeStrategy={"type": "Recreate"}, networkPolicy={})
        await ready(stage)
        before = {pod["metadata"]["uid"] for pod in stage.kube.things(POD)}
        await stage.kube.patch(RAY_CLUSTER, CLUSTER, {"spec": {"rayVersion": "2.60.1"}})
        await asyncio.sleep(30)
        after = {pod["metadata"]["uid"] for pod in stage.kube.things(POD)}
        assert len(after) == 3
        assert not before & after
        assert stage.kube.calls["create pods"] == 6
        assert len(stage.kube.things(NETWORK_POLICY)) == 2

    on_stage(act)


def test_a_wrong_cluster_costs_one_event_and_is_made_when_it_is_right() -> None:
    async def act(stage: Stage) -> None:
        await stage.apply(group(minReplicas=4, maxReplicas=1))
        await asyncio.sleep(30)
        assert stage.kube.things(POD) == ()
        assert "raise maxReplicas" in stage.status()["reason"]
        assert stage.kube.calls["create events"] == 1
        right = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/maxReplicas", "value": 4}]
        await stage.kube.patch(RAY_CLUSTER, CLUSTER, right)
        await ready(stage)
        assert "reason" not in stage.status()

    on_stage(act)
