"""A cluster that outlives its head: where its GCS keeps its state, and what becomes of that when the cluster goes."""

import ast
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import (
    NOW,
    SETTINGS,
    as_seen,
    container,
    created,
    deleted,
    group,
    look,
    made,
    raycluster,
)

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycluster.deletion import SCRIPT
from rayfleet.kube_operator.reconciling import Create, Emit, Failure, Patch, Reconciled
from rayfleet.wire.kube.objects import JOB, POD, VOLUME_CLAIM, Kind, Object, labels_of

REDIS_FINALIZER = "ray.io/gcs-ft-redis-cleanup-finalizer"
IDLE_FINALIZER = "ray.io/idle-termination-cleanup-finalizer"
SECRET_REF = {"secretKeyRef": {"name": "redis", "key": "password"}}
ROCKSDB = {"backend": "rocksdb"}


def held(*groups: Object, meta: Object | None = None, **spec: Any) -> Object:
    """Return a cluster that has its finalizer already."""
    return raycluster(*groups, meta={"finalizers": [REDIS_FINALIZER], "resourceVersion": "7", **(meta or {})}, **spec)


def with_redis(meta: Object | None = None, **options: Any) -> Object:
    return held(group(), meta=meta, gcsFaultToleranceOptions={"redisAddress": "redis:6379", **options})


def parts(cluster: Object) -> tuple[Object, Object]:
    """Return the head's and the worker's pod."""
    first, second = created(look(cluster))
    return (first, second) if labels_of(first)["ray.io/node-type"] == "head" else (second, first)


def environment(pod: Object) -> dict[str, object]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in pod["spec"]["containers"][0]["env"]}


def command(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["args"][0])


class TestRedis:
    """KubeRay's scenarios 22 and 23."""

    def test_the_finalizer_comes_before_everything_else(self) -> None:
        meta = {"finalizers": ["other"], "resourceVersion": "7"}
        cluster = raycluster(group(), meta=meta, gcsFaultToleranceOptions={"redisAddress": "redis:6379"})
        (patch,) = look(cluster).actions
        assert isinstance(patch, Patch)
        assert patch.patch == {"metadata": {"resourceVersion": "7", "finalizers": ["other", REDIS_FINALIZER]}}

    def test_the_head_is_told_where_and_workers_wait_for_it(self) -> None:
        head, worker = parts(with_redis())
        told = environment(head)
        assert told["RAY_REDIS_ADDRESS"] == "redis:6379"
        assert told["RAY_external_storage_namespace"] == "uid-demo"
        assert "RAY_REDIS_ADDRESS" not in environment(worker)
        assert environment(worker)["RAY_gcs_rpc_server_reconnect_timeout_s"] == "600"
        assert "redis-password" not in command(head)
        for pod in (head, worker):
            assert pod["metadata"]["annotations"] == {
                "ray.io/ft-enabled": "true",
                "ray.io/external-storage-namespace": "uid-demo",
            }

    def test_user_and_password_reach_ray_without_standing_in_its_command(self) -> None:
        options: dict[str, Any] = {"redisUsername": {"value": "ray"}, "redisPassword": {"valueFrom": SECRET_REF}}
        head, _ = parts(with_redis(externalStorageNamespace="mine", **options))
        told = environment(head)
        assert told["REDIS_USERNAME"] == "ray"
        assert told["REDIS_PASSWORD"] == SECRET_REF
        assert told["RAY_external_storage_namespace"] == "mine"
        assert '--redis-password="$REDIS_PASSWORD"' in command(head)
        assert '--redis-username="$REDIS_USERNAME"' in command(head)

    @pytest.mark.parametrize(
        ("flag", "known"), [("5241590000000000", "5241590000000000"), ("$REDIS_PASSWORD", "from the template")]
    )
    def test_the_older_way_by_annotations(self, flag: str, known: str) -> None:
        env = [{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}]
        if flag.startswith("$"):
            env.append({"name": "REDIS_PASSWORD", "value": known})
        ray = {**container("ray-head"), "env": env}
        head_group = {"rayStartParams": {"redis-password": flag}, "template": {"spec": {"containers": [ray]}}}
        annotations = {"ray.io/ft-enabled": "true", "ray.io/external-storage-namespace": "mine"}
        head, worker = parts(held(group(), meta={"annotations": annotations}, headGroupSpec=head_group))
        assert environment(head)["REDIS_PASSWORD"] == known
        assert environment(head)["RAY_external_storage_namespace"] == "mine"
        assert environment(worker)["RAY_gcs_rpc_server_reconnect_timeout_s"] == "600"
        assert f"--redis-password={flag}" in command(head)

    def test_a_cluster_without_it_has_nothing_of_it(self) -> None:
        head, worker = parts(raycluster(group()))
        for pod in (head, worker):
            assert "annotations" not in pod["metadata"]
            assert not {name for name in environment(pod) if "redis" in name.lower() or "reconnect" in name}


class TestCleanUp:
    """Its keys are removed from Redis once nobody writes them any more, and nothing holds it for ever."""

    def leave(self, *things: tuple[Kind, Object], ago_s: float = 10.0, **meta: Any) -> Reconciled:
        cluster = with_redis({"deletionTimestamp": timestamp(NOW - ago_s), **meta})
        return look(cluster, *things)

    def job(self, kind: str = "") -> tuple[Kind, Object]:
        (job,) = created(self.leave(), JOB)
        conditions = [{"type": kind, "status": "True"}] if kind else []
        return JOB, {**job, "status": {"conditions": conditions}}

    def finalizers(self, done: Reconciled) -> object:
        """Return which stay, None where that is not changed."""
        found: list[Any] = [one.patch for one in done.actions if isinstance(one, Patch)]
        return found[0]["metadata"]["finalizers"] if found else None

    def test_first_all_pods_go(self) -> None:
        things = [one for one in made(with_redis()) if one[0] == POD]
        done = self.leave(*things)
        assert len(deleted(done)) == len(things) == 2
        assert created(done, JOB) == []
        assert self.finalizers(done) is None

    def test_it_waits_for_a_head_that_is_leaving_but_not_for_workers(self) -> None:
        head, worker = (as_seen(pod, deletionTimestamp=timestamp(NOW)) for pod in parts(with_redis()))
        assert self.leave((POD, head)).actions == ()
        assert len(created(self.leave((POD, worker)), JOB)) == 1

    def test_then_a_job_removes_the_keys_as_the_head_would_have(self) -> None:
        (job,) = created(self.leave(), JOB)
        assert job["metadata"]["name"] == "demo-redis-cleanup"
        assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 300)
        pod = job["spec"]["template"]
        assert pod["metadata"]["labels"] == {"ray.io/cluster": "demo", "ray.io/node-type": "redis-cleanup"}
        assert pod["spec"]["restartPolicy"] == "Never"
        told = environment(pod)
        assert told["RAY_REDIS_ADDRESS"] == "redis:6379"
        assert told["RAY_external_storage_namespace"] == "uid-demo"
        assert pod["spec"]["containers"][0]["image"] == "rayproject/ray:2.60.0"

    def test_a_long_name_is_cut(self) -> None:
        name = "a-cluster-with-a-name-that-is-as-long-as-may-be-chars"
        meta = {"name": name, "deletionTimestamp": timestamp(NOW)}
        (job,) = created(look(with_redis(meta)), JOB)
        assert len(name) == 53
        assert len(job["metadata"]["name"]) <= 63
        assert job["metadata"]["name"].endswith("-redis-cleanup")

    def test_while_it_runs_there_is_no_second(self) -> None:
        done = self.leave(self.job())
        assert done.actions == ()
        assert done.again_s == 290.0

    def test_when_it_has_ended_the_cluster_goes(self) -> None:
        assert self.finalizers(self.leave(self.job("Complete"))) == []
        failed = self.leave(self.job("Failed"), finalizers=["other", REDIS_FINALIZER])
        assert self.finalizers(failed) == ["other"]
        assert [one.reason for one in failed.actions if isinstance(one, Emit)] == ["RedisCleanupFailed"]

    def test_nothing_holds_it_longer_than_its_timeout(self) -> None:
        things = [one for one in made(with_redis()) if one[0] == POD]
        done = self.leave(*things, ago_s=301)
        assert self.finalizers(done) == []
        assert [one.reason for one in done.actions if isinstance(one, Emit)] == ["RedisCleanupTimedOut"]
        patient = {"annotations": {"ray.io/gcs-ft-deletion-timeout": "900"}}
        assert self.finalizers(self.leave(*things, ago_s=301, **patient)) is None

    def test_a_namespace_that_is_being_deleted_is_not_held(self) -> None:
        text = "unable to create new content in namespace team because it is being terminated"
        cluster = with_redis({"deletionTimestamp": timestamp(NOW)})
        done = look(cluster, failures=(Failure("FailedCreateRedisCleanupJob", text, "Forbidden"),))
        assert self.finalizers(done) == []
        quota = look(cluster, failures=(Failure("FailedCreateRedisCleanupJob", "exceeded quota", "Forbidden"),))
        assert self.finalizers(quota) is None

    def test_without_redis_there_is_nothing_to_clean(self) -> None:
        cluster = held(group(), meta={"deletionTimestamp": timestamp(NOW)})
        assert self.finalizers(look(cluster)) == []

    def test_where_the_operator_is_told_not_to_it_does_not(self) -> None:
        settings = replace(SETTINGS, redis_cleanup=False)
        cluster = raycluster(gcsFaultToleranceOptions={"redisAddress": "redis:6379"})
        assert not any(isinstance(one, Patch) for one in look(cluster, settings=settings).actions)

    def test_the_script_is_python(self) -> None:
        names = {node.id for node in ast.walk(ast.parse(SCRIPT)) if isinstance(node, ast.Name)}
        assert "cleanup_redis_storage" in names


def test_a_cluster_that_its_autoscaler_deletes_waits_for_its_pods() -> None:
    meta = {"finalizers": [IDLE_FINALIZER], "deletionTimestamp": timestamp(NOW), "resourceVersion": "9"}
    things = [one for one in made(raycluster(group())) if one[0] == POD]
    waiting = look(raycluster(group(), meta=meta), *things)
    assert len(deleted(waiting)) == 2
    assert not any(isinstance(one, Patch) for one in waiting.actions)
    (patch,) = look(raycluster(group(), meta=meta)).actions
    assert isinstance(patch, Patch)
    assert patch.patch == {"metadata": {"resourceVersion": "9", "finalizers": []}}


class TestRocksDb:
    """KubeRay's scenario 24."""

    def test_the_head_gets_a_volume_of_its_own(self) -> None:
        cluster = raycluster(group(), gcsFaultToleranceOptions=ROCKSDB)
        (claim,) = created(look(cluster), VOLUME_CLAIM)
        assert claim["metadata"]["name"] == "demo-gcs-pvc"
        assert claim["metadata"]["ownerReferences"][0]["uid"] == "uid-demo"
        assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        head, worker = parts(cluster)
        told = environment(head)
        assert (told["RAY_gcs_storage"], told["RAY_gcs_storage_path"]) == ("rocksdb", "/data/gcs")
        assert not any("REDIS" in name for name in told)
        mounts = {one["mountPath"]: one["name"] for one in head["spec"]["containers"][0]["volumeMounts"]}
        volumes = {one["name"]: one for one in head["spec"]["volumes"]}
        assert volumes[mounts["/data/gcs"]]["persistentVolumeClaim"] == {"claimName": "demo-gcs-pvc"}
        assert "RAY_gcs_storage" not in environment(worker)
        assert environment(worker)["RAY_gcs_rpc_server_reconnect_timeout_s"] == "600"
        assert all(volume["name"] != "gcs-storage" for volume in worker["spec"]["volumes"])

    def test_one_of_the_users_is_only_mounted(self) -> None:
        storage = {"claimName": "mine", "subPath": "demo"}
        cluster = raycluster(group(), gcsFaultToleranceOptions={**ROCKSDB, "storage": storage})
        assert created(look(cluster), VOLUME_CLAIM) == []
        head, _ = parts(cluster)
        mount = next(one for one in head["spec"]["containers"][0]["volumeMounts"] if one["mountPath"] == "/data/gcs")
        assert mount["subPath"] == "demo"
        assert {"name": "gcs-storage", "persistentVolumeClaim": {"claimName": "mine"}} in head["spec"]["volumes"]

    def test_one_that_is_to_stay_has_no_owner_and_is_found_again(self) -> None:
        storage = {
            "deletionPolicy": "Retain",
            "size": "5Gi",
            "storageClassName": "fast",
            "accessModes": ["ReadWriteMany"],
        }
        cluster = raycluster(group(), gcsFaultToleranceOptions={**ROCKSDB, "storage": storage})
        (claim,) = created(look(cluster), VOLUME_CLAIM)
        assert "ownerReferences" not in claim["metadata"]
        assert claim["spec"]["storageClassName"] == "fast"
        again = look(cluster, related={VOLUME_CLAIM: (claim,)})
        assert created(again, VOLUME_CLAIM) == []
        assert not any(isinstance(one, Emit) for one in again.actions)

    def test_a_claim_that_differs_is_told_and_stays(self) -> None:
        (claim,) = created(look(raycluster(group(), gcsFaultToleranceOptions=ROCKSDB)), VOLUME_CLAIM)
        larger = raycluster(group(), gcsFaultToleranceOptions={**ROCKSDB, "storage": {"size": "2Gi"}})
        done = look(larger, (VOLUME_CLAIM, claim))
        (told,) = [one for one in done.actions if isinstance(one, Emit)]
        assert told.reason == "GcsStorageDiffers"
        assert "another size than" in told.message
        assert not any(isinstance(one, Create) and one.kind == VOLUME_CLAIM for one in done.actions)
