"""The charts in a real cluster: installed with helm, with the operator under the very account that its chart makes.

The operator runs here as a process with that account's token; whatever its roles lack the API server refuses.
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import apply_crds
from tests.kubernetes.waiting import eventually
from tests.unit.deploy.cases import CLUSTERS, of_kind

from rayfleet.testing.kubernetes.access import Access, kubeconfig
from rayfleet.testing.kubernetes.control_plane import CommandFailed, ControlPlane

pytestmark = pytest.mark.kubernetes

CHARTS = Path(__file__).parents[2] / "deploy" / "helm"
LOGS = CHARTS.parent / "logs"
OPERATOR, CLUSTER = str(CHARTS / "rayfleet-operator"), str(CHARTS / "ray-cluster")
REFUSED = ("forbidden", "Forbidden", "cannot_follow", "reconcile_failed", "event_lost")


def objects(plane: ControlPlane, namespace: str, kinds: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(plane.kubectl("-n", namespace, "get", kinds, "-o", "json"))["items"]
    return found


def names(plane: ControlPlane, namespace: str, kinds: str, selector: str = "") -> list[str]:
    """Return kind/name of what there is."""
    chosen = ("-l", selector) if selector else ()
    return plane.kubectl("-n", namespace, "get", kinds, "-o", "name", *chosen).split()


def covers(given: Any, wanted: Any) -> bool:
    """Say whether everything that is wanted is there; the API server adds defaults."""
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(covers(given.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(given, list) and len(given) == len(wanted) and all(map(covers, given, wanted))
    return bool(given == wanted)


def token_of(plane: ControlPlane, namespace: str, account: str) -> str:
    """Return the token of a service account."""
    request = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    answer = json.loads(plane.kubectl("create", "--raw", path, "-f", "-", stdin=request))
    return str(answer["status"]["token"])


@contextmanager
def operator(plane: ControlPlane, namespace: str, release: str, folder: Path) -> Iterator[Path]:
    """Run what the chart's Deployment would, as its account; yield its log. It listens on any free port."""
    (deployed,) = objects(plane, namespace, "deployments")
    container = deployed["spec"]["template"]["spec"]["containers"][0]
    token = token_of(plane, namespace, deployed["spec"]["template"]["spec"]["serviceAccountName"])
    (folder / "config").write_text(kubeconfig(Access(plane.access.url, plane.access.ca, token)), encoding="utf-8")
    arguments = ["--listen=127.0.0.1:0" if one.startswith("--listen") else one for one in container["args"]]
    given = {one["name"]: one.get("value", namespace) for one in container["env"]}
    environment = {**os.environ, **given, "KUBECONFIG": str(folder / "config")}
    log = folder / f"{release}.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", "rayfleet", *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield log
        finally:
            running.terminate()
            running.wait(timeout=30)


def asked(log: Path, path: str) -> str:
    """Return what the operator answers."""
    (port,) = re.findall(r"event='listening' port=(\d+)", log.read_text(encoding="utf-8"))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read(), "utf-8")


def assert_nothing_was_refused(log: Path) -> None:
    text = log.read_text(encoding="utf-8")
    assert "operator_ready" in text
    assert [line for line in text.splitlines() if any(word in line for word in REFUSED)] == []


def definitions_there(plane: ControlPlane) -> list[str]:
    return [name for name in names(plane, "default", "crd") if name.endswith(".ray.io")]


@pytest.fixture
def no_definitions(plane: ControlPlane) -> None:
    """Take the CustomResourceDefinitions of tests before away, so that the chart has to bring them."""
    for name in definitions_there(plane):
        plane.kubectl("delete", name)


@pytest.mark.usefixtures("kubelet", "no_definitions")
@pytest.mark.parametrize("watching", ["everywhere", "one namespace"])
def test_from_install_to_uninstall(plane: ControlPlane, namespace: str, tmp_path: Path, watching: str) -> None:
    """With the rights of the chart's roles, and none else, clusters come, scale, are suspended and go."""
    own = ("--set", "singleNamespaceInstall=true") if watching == "one namespace" else ()
    plane.helm("install", "op", OPERATOR, "-n", namespace, *own)
    assert names(plane, namespace, "clusterroles", "app.kubernetes.io/instance=op") == (
        [] if own else ["clusterrole.rbac.authorization.k8s.io/op-rayfleet-operator"]
    )
    with operator(plane, namespace, "op", tmp_path) as log:
        said = plane.helm("install", "first", CLUSTER, "-n", namespace)
        assert f"kubectl get rayclusters.ray.io first -n {namespace}" in said

        def status() -> dict[str, Any]:
            (cluster,) = objects(plane, namespace, "rayclusters")
            told: dict[str, Any] = cluster.get("status", {})
            return told

        eventually(lambda: status().get("state") == "ready")
        head, *others = plane.kubectl("-n", namespace, "get", "rayclusters.ray.io").splitlines()
        assert head.split("  ")[0] == "NAME"
        assert [column in head for column in ("DESIRED WORKERS", "AVAILABLE WORKERS", "STATUS", "AGE")] == 4 * [True]
        assert others[0].split()[:4] == ["first", "1", "1", "ready"]
        assert len(names(plane, namespace, "roles,rolebindings,serviceaccounts", "ray.io/cluster=first")) == 3
        assert names(plane, namespace, "services", "ray.io/cluster=first") == ["service/first-head-svc"]
        assert asked(log, "/readyz") == "ok\n"
        labels = f'name="first",namespace="{namespace}"'
        assert re.search(rf"kuberay_cluster_condition_provisioned{{.*{labels}.*}} 1.0", asked(log, "/metrics"))
        plane.kubectl("-n", namespace, "patch", "raycluster", "first", "--type=merge", '-p={"spec":{"suspend":true}}')
        eventually(lambda: status().get("state") == "suspended")
        assert names(plane, namespace, "pods", "ray.io/cluster=first") == []
        plane.helm("uninstall", "first", "-n", namespace)
        everything = "rayclusters,pods,services,roles,rolebindings,serviceaccounts"
        eventually(lambda: names(plane, namespace, everything, "ray.io/cluster") == [])
        assert_nothing_was_refused(log)
    plane.helm("uninstall", "op", "-n", namespace)
    everything = "deployments,poddisruptionbudgets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
    assert names(plane, namespace, everything, "app.kubernetes.io/instance=op") == []
    assert len(definitions_there(plane)) == 4, "what people have of these must not go with the operator"


def test_the_api_server_takes_every_cluster_that_the_chart_makes(plane: ControlPlane, namespace: str) -> None:
    """By our CustomResourceDefinitions; it drops nothing of them."""
    apply_crds(plane)
    for case in CLUSTERS:
        (wanted,) = of_kind(case.golden.read_text(encoding="utf-8"), "RayCluster")
        wanted["metadata"]["namespace"] = namespace

        trial = ("create", "--dry-run=server", "--validate=false", "-o", "json", "-f", "-")
        taken = json.loads(plane.kubectl(*trial, stdin=json.dumps(wanted)))
        assert covers(taken["spec"], wanted["spec"]), case.name


def test_the_account_of_one_namespace_may_do_nothing_elsewhere(plane: ControlPlane, namespace: str) -> None:
    plane.helm("install", "op", OPERATOR, "-n", namespace, "--set", "singleNamespaceInstall=true")

    def may(verb: str, resource: str, where: str) -> bool:
        account = f"system:serviceaccount:{namespace}:op-rayfleet-operator"
        try:
            return plane.kubectl("auth", "can-i", verb, resource, "-n", where, f"--as={account}").strip() == "yes"
        except CommandFailed:
            return False  # how kubectl says no

    try:
        assert may("create", "pods", namespace)
        assert may("patch", "leases", namespace)
        assert not may("create", "pods", "default")
        assert not may("list", "rayclusters", "default")
        for resource in ("deployments", "nodes", "persistentvolumes"):
            assert not may("get", resource, namespace)
        assert not may("escalate", "roles", namespace)
    finally:
        plane.helm("uninstall", "op", "-n", namespace)


def test_plain_manifests_are_applied_and_deleted(plane: ControlPlane, tmp_path: Path) -> None:
    """Through kustomize; this API server is too old for policy/v1, so an overlay says so."""
    base = os.path.relpath(CHARTS.parent / "kubernetes", tmp_path)
    older = '[{"op": "replace", "path": "/apiVersion", "value": "policy/v1beta1"}]'
    overlay = {
        "resources": [base],
        "patches": [{"target": {"kind": "PodDisruptionBudget"}, "patch": older}],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(overlay), encoding="utf-8")
    plane.kubectl("apply", "-k", str(tmp_path))
    made = names(plane, "rayfleet-system", "deployments,serviceaccounts,poddisruptionbudgets", "app.kubernetes.io/name")
    assert len(made) == 3
    plane.kubectl("delete", "-k", str(tmp_path), "--wait=false")
    eventually(lambda: not names(plane, "rayfleet-system", "deployments") and not definitions_there(plane))


def test_logs_are_collected_by_whoever_may_read_labels_and_no_more(plane: ControlPlane, namespace: str) -> None:
    """The API server takes the manifests as they are, and the collector's account can do its work."""
    plane.kubectl("apply", "-f", str(LOGS / "kubernetes" / "daemonset.yaml"))
    try:
        (made,) = objects(plane, "rayfleet-logs", "daemonsets")
        assert made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        account = "--as=system:serviceaccount:rayfleet-logs:rayfleet-logs"
        assert plane.kubectl("auth", "can-i", "get", "pods", "-n", namespace, account).strip() == "yes"
        with pytest.raises(CommandFailed, match="no"):
            plane.kubectl("auth", "can-i", "list", "secrets", "-n", namespace, account)
        files = [f"--from-file={LOGS / name}" for name in ("fluent-bit.yaml", "output.yaml")]
        plane.kubectl("create", "configmap", "rayfleet-logs", "-n", namespace, *files)
        (given,) = (
            one for one in objects(plane, namespace, "configmaps") if one["metadata"]["name"] == "rayfleet-logs"
        )
        assert given["data"].keys() == {"fluent-bit.yaml", "output.yaml"}
    finally:
        plane.kubectl("delete", "--wait=false", "-f", str(LOGS / "kubernetes" / "daemonset.yaml"))
