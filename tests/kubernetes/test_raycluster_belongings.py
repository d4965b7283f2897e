"""What a RayCluster has beside pods, as a real API server takes it: storage, tokens, Ingress, network policies."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.kubernetes.operating import Desk, apply_crds, operator
from tests.kubernetes.test_operator import raycluster
from tests.kubernetes.waiting import eventually
from tests.unit.kube_operator.raycluster.clusters import group

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="module")
def running(
    plane: ControlPlane, kubelet: Background[StatusKubelet], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """An operator that runs while this file's tests do; its folder."""
    folder = tmp_path_factory.mktemp("operator")
    apply_crds(plane)
    with operator(plane, folder):
        eventually(lambda: "operator_ready" in (folder / "operator.log").read_text())
        yield folder


@pytest.fixture
def desk(plane: ControlPlane, running: Path, namespace: str) -> Desk:
    return Desk(plane, namespace)


def change(desk: Desk, patch: Any) -> None:
    desk.kubectl("patch", "raycluster", "demo", "--type=merge", "-p", json.dumps(patch))


def test_keys_in_redis_hold_a_deleted_cluster_until_its_job_or_its_time_is_over(desk: Desk) -> None:
    """KubeRay's scenario 22, but for Redis itself."""
    cluster = raycluster(group("small", 1), gcsFaultToleranceOptions={"redisAddress": "redis:6379"})
    cluster["metadata"]["annotations"] = {"ray.io/gcs-ft-deletion-timeout": "10"}
    desk.apply(cluster)
    desk.until_state("ready")
    finalizers = desk.get("raycluster", "demo")["metadata"]["finalizers"]
    assert finalizers == ["ray.io/gcs-ft-redis-cleanup-finalizer"]
    desk.kubectl("delete", "raycluster", "demo", "--wait=false")
    eventually(lambda: desk.names("jobs") == ["demo-redis-cleanup"])
    assert desk.names("rayclusters") == ["demo"]
    eventually(lambda: desk.names("rayclusters") == [])
    eventually(lambda: desk.names("jobs") == [])


def test_a_token_is_made_once_and_goes_with_its_cluster(desk: Desk) -> None:
    desk.apply(raycluster(group("small", 1), authOptions={"mode": "token"}))
    desk.until_state("ready")
    secret = desk.get("secret", "demo")
    assert len(base64.b64decode(secret["data"]["auth_token"])) >= 32
    desk.kubectl("delete", "raycluster", "demo", "--timeout=60s")
    eventually(lambda: "demo" not in desk.names("secrets"))


def test_a_volume_is_asked_for_and_goes_with_its_cluster(desk: Desk) -> None:
    """KubeRay's scenario 24, but for the volume itself."""
    storage = {"backend": "rocksdb", "storage": {"size": "2Gi", "storageClassName": "none"}}
    desk.apply(raycluster(gcsFaultToleranceOptions=storage))
    eventually(lambda: desk.names("persistentvolumeclaims") == ["demo-gcs-pvc"])
    head = eventually(lambda: desk.get("pods", "-l", "ray.io/node-type=head")["items"])[0]
    assert any((one.get("persistentVolumeClaim") or {}).get("claimName") for one in head["spec"]["volumes"])
    desk.kubectl("delete", "raycluster", "demo", "--timeout=60s")
    eventually(lambda: desk.names("persistentvolumeclaims") == [])


def test_ingress_and_policies_follow_the_spec(desk: Desk) -> None:
    cluster = raycluster(group("small", 1), networkPolicy={"mode": "DenyAll"})
    cluster["spec"]["headGroupSpec"] |= {"enableIngress": True, "ingressOptions": {"host": "one.example.com"}}
    desk.apply(cluster)
    desk.until_state("ready")
    assert desk.names("networkpolicies") == ["demo-head", "demo-small-worker"]
    change(
        desk,
        {
            "spec": {
                "networkPolicy": {"mode": "DenyAllIngress"},
                "headGroupSpec": {"ingressOptions": {"host": "two.example.com"}},
            }
        },
    )
    eventually(lambda: desk.get("ingress", "demo-head-ingress")["spec"]["rules"][0]["host"] == "two.example.com")
    eventually(lambda: desk.get("networkpolicy", "demo-head")["spec"]["policyTypes"] == ["Ingress"])
    change(desk, {"spec": {"networkPolicy": None, "headGroupSpec": {"enableIngress": False}}})
    eventually(lambda: desk.names("networkpolicies") == [] and desk.names("ingresses") == [])
    desk.until_state("ready")


def test_a_new_image_makes_all_pods_new(desk: Desk) -> None:
    """KubeRay's scenario 20."""
    desk.apply(raycluster(group("small", 1), upgradeStrategy={"type": "Recreate"}))
    desk.until_state("ready")
    before = set(desk.names("pods"))
    change(desk, {"spec": {"rayVersion": "2.60.1"}})
    eventually(lambda: len(desk.names("pods")) == 2 and not before & set(desk.names("pods")))


def test_what_is_wrong_is_told_in_status_and_events(desk: Desk) -> None:
    desk.apply(raycluster(group("small", 1, minReplicas=4, maxReplicas=2)))
    eventually(lambda: "maxReplicas" in desk.get("raycluster", "demo").get("status", {}).get("reason", ""))
    assert [one["reason"] for one in desk.get("events")["items"]] == ["InvalidRayClusterSpec"]
    assert desk.names("pods") == []


def test_a_namespace_goes_with_a_cluster_that_has_keys_in_redis(desk: Desk) -> None:
    desk.apply(raycluster(group("small", 1), gcsFaultToleranceOptions={"redisAddress": "redis:6379"}))
    desk.until_state("ready")
    desk.kubectl("delete", "namespace", desk.namespace, "--wait=false")
    eventually(lambda: desk.names("rayclusters") == [])


def test_certificates_are_made_and_name_every_pod_and_go_with_their_cluster(desk: Desk) -> None:
    """KubeRay's scenario 27, but for Ray itself."""
    desk.apply(raycluster(group("small", 2), group("other", 1), tlsOptions={"enabled": True}))
    desk.until_state("ready")
    pods = desk.get("pods")["items"]
    kinds = {"head": 1, "worker": 3}
    for kind, count in kinds.items():
        data = desk.get("secret", f"ray-{kind}-secret-demo")["data"]
        assert {"tls.crt", "tls.key", "ca.crt", "addresses"} == data.keys()
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(base64.b64decode(data["ca.crt"])))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = set(map(str, names.get_values_for_type(x509.IPAddress)))
        mine = [pod for pod in pods if pod["metadata"]["labels"]["ray.io/node-type"] == kind]
        assert len(mine) == count
        assert {pod["status"]["podIP"] for pod in mine} <= addresses
    assert len([name for name in desk.names("secrets") if name.startswith("demo-ca-secret-")]) == 1
    desk.kubectl("delete", "raycluster", "demo", "--timeout=60s")
    eventually(lambda: not [name for name in desk.names("secrets") if "-secret-" in name])
