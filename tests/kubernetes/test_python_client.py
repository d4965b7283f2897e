"""A RayCluster from Python, with Kubernetes' official client: made, watched, scaled, read, deleted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import apply_crds, operator
from tests.kubernetes.waiting import eventually
from tests.unit.kube_operator.raycluster.clusters import container, group

from kubernetes import client, config
from kubernetes import watch as watching
from rayfleet.testing.kubernetes.access import kubeconfig
from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

pytestmark = pytest.mark.kubernetes

RAYCLUSTERS: dict[str, Any] = {"group": "ray.io", "version": "v1", "plural": "rayclusters"}

JSON_PATCH = "application/json-patch+json"


@pytest.fixture(scope="module")
def connection(
    plane: ControlPlane, kubelet: Background[StatusKubelet], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The client, by the kubeconfig that a user has, while an operator runs."""
    folder: Path = tmp_path_factory.mktemp("python")
    (folder / "config").write_text(kubeconfig(plane.access))
    apply_crds(plane)
    connect: Any = config.new_client_from_config
    with operator(plane, folder), connect(str(folder / "config")) as opened:
        yield opened


def raycluster() -> Any:
    head = {"rayStartParams": {}, "template": {"spec": {"containers": [container("ray-head", cpu="1", memory="1Gi")]}}}
    spec = {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": [group("small", 1)]}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "demo"}, "spec": spec}


def test_a_raycluster_by_the_official_client(connection: Any, namespace: str) -> None:
    resources: Any = client.CustomObjectsApi(connection)
    pods: Any = client.CoreV1Api(connection)
    where: dict[str, Any] = {**RAYCLUSTERS, "namespace": namespace}
    resources.create_namespaced_custom_object(**where, body=raycluster())

    seen = []
    watch: Any = watching.Watch  # neither it nor the configuration is typed
    following = watch().stream(resources.list_namespaced_custom_object, **where, timeout_seconds=60)
    for event in following:
        seen.append((event["object"].get("status") or {}).get("state"))
        if seen[-1] == "ready":
            break
    assert seen[-1] == "ready", seen

    def workers() -> list[str]:
        chosen = "ray.io/cluster=demo,ray.io/node-type=worker"
        found = pods.list_namespaced_pod(namespace, label_selector=chosen).items
        return [pod.metadata.name for pod in found if pod.metadata.deletion_timestamp is None]

    scaled = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 3}]
    resources.patch_namespaced_custom_object(**where, name="demo", body=scaled, _content_type=JSON_PATCH)
    eventually(lambda: len(workers()) == 3)

    def counted() -> bool:
        status = resources.get_namespaced_custom_object_status(**where, name="demo")["status"]
        return bool(status["readyWorkerReplicas"] == 3)

    eventually(counted)

    resources.delete_namespaced_custom_object(**where, name="demo", propagation_policy="Foreground")
    eventually(lambda: not workers() and not resources.list_namespaced_custom_object(**where)["items"])


def test_what_the_schema_forbids_is_refused_with_its_place(connection: Any, namespace: str) -> None:
    wrong = raycluster()
    wrong["spec"]["workerGroupSpecs"][0]["replicas"] = "many"
    with pytest.raises(client.ApiException) as refused:
        client.CustomObjectsApi(connection).create_namespaced_custom_object(
            **RAYCLUSTERS, namespace=namespace, body=wrong
        )
    assert refused.value.status == 422
    assert "spec.workerGroupSpecs.replicas" in json.loads(refused.value.body or "")["message"]
