"""The control plane that the tests of Kubernetes stand on: that it is a real one, and that nothing of it stays."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kubernetes import manifests
from tests.kubernetes.waiting import eventually

from rayfleet.providers.process import procfs
from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import CommandFailed, ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

pytestmark = pytest.mark.kubernetes

SERVERS = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

STARTS_ONE = """
import json, sys, time
from pathlib import Path
from rayfleet.testing.kubernetes.control_plane import ControlPlane
plane = ControlPlane(Path(sys.argv[1]))
plane.start()
print(json.dumps(plane.pids()), flush=True)
time.sleep(600)
"""


def alive(pids: dict[str, int]) -> list[str]:
    """Name the servers that still run."""
    stats = {name: procfs.stat(pid) for name, pid in pids.items()}
    return [name for name, stat in stats.items() if stat is not None and stat.alive]


def port(plane: ControlPlane) -> int:
    return int(plane.access.url.rpartition(":")[2])


# ---- its life --------------------------------------------------------------------------------------------------------


def test_it_starts_and_stops_and_leaves_nothing_behind(programs: Path) -> None:
    plane = ControlPlane(programs)
    plane.start()
    pids, folder, api_port = dict(plane.pids()), plane.folder, port(plane)
    try:
        assert pids.keys() == SERVERS
        assert sorted(alive(pids)) == sorted(SERVERS)
        assert plane.get("/version")["gitVersion"] == "v1.20.2"
    finally:
        plane.stop()
    assert alive(pids) == []
    assert not folder.exists()
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", api_port)) != 0


def test_its_servers_end_with_whoever_started_them(programs: Path, tmp_path: Path) -> None:
    """Even when that is killed and can clean nothing up."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, programs],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with starter:
        assert starter.stdout
        pids = json.loads(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    assert pids.keys() == SERVERS
    eventually(lambda: not alive(pids), within_s=10)


@pytest.mark.parametrize("crash", [False, True])
def test_a_restart_of_the_api_server_keeps_what_it_knows(
    plane: ControlPlane, kubelet: Background[StatusKubelet], namespace: str, crash: bool
) -> None:
    """And controllers, scheduler and kubelets find their way back to it."""
    plane.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifests.deployment("before", 1))
    plane.stop_api_server(crash=crash)
    with pytest.raises(CommandFailed, match=r"refused"):
        plane.kubectl("get", "nodes")
    plane.start_api_server()
    plane.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifests.deployment("after", 2))
    for name in ("before", "after"):
        plane.kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=50s")


# ---- what makes it a real one ----------------------------------------------------------------------------------------


def test_rbac_lets_nobody_do_what_no_role_allows(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl("-n", namespace, "create", "serviceaccount", "reader")
    reader = f"--as=system:serviceaccount:{namespace}:reader"
    with pytest.raises(CommandFailed, match=r"Forbidden.*cannot list resource .pods"):
        plane.kubectl("-n", namespace, "get", "pods", reader)
    plane.kubectl("-n", namespace, "create", "role", "reads", "--verb=list", "--resource=pods")
    binding = ("--role=reads", f"--serviceaccount={namespace}:reader")
    plane.kubectl("-n", namespace, "create", "rolebinding", "reads", *binding)
    eventually(lambda: plane.kubectl("-n", namespace, "get", "pods", "-o", "json", reader))
    with pytest.raises(CommandFailed, match=r"Forbidden"):
        plane.kubectl("-n", namespace, "get", "secrets", reader)


def test_a_quota_refuses_what_is_over_it(plane: ControlPlane, namespace: str) -> None:
    plane.kubectl("-n", namespace, "create", "quota", "small", "--hard=pods=1")
    eventually(lambda: plane.kubectl("-n", namespace, "get", "quota", "small", "-o", "jsonpath={.status.hard.pods}"))
    plane.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifests.pod("first"))
    with pytest.raises(CommandFailed, match=r"exceeded quota: small, requested: pods=1, used: pods=1"):
        plane.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifests.pod("second"))


def test_custom_resources_have_defaults_validation_and_a_status_of_their_own(
    plane: ControlPlane, namespace: str
) -> None:
    plane.kubectl("apply", "-f", "-", stdin=manifests.custom_resource())
    plane.kubectl("wait", "--for=condition=Established", "crd/trees.test.rayfleet.io", "--timeout=30s")
    tree = {"apiVersion": "test.rayfleet.io/v1", "kind": "Tree", "metadata": {"name": "oak"}}
    ours = ("-n", namespace)
    eventually(lambda: plane.kubectl(*ours, "apply", "-f", "-", stdin=json.dumps({**tree, "status": {"state": "?"}})))
    made = json.loads(plane.kubectl(*ours, "get", "tree", "oak", "-o", "json"))
    assert made["spec"] == {"height": 7, "name": ""}
    assert "status" not in made

    patch = '{"status": {"state": "ready"}, "spec": {"height": 9}}'
    plane.kubectl(*ours, "patch", "tree", "oak", "--type=merge", "--subresource=status", "-p", patch)
    told = json.loads(plane.kubectl(*ours, "get", "tree", "oak", "-o", "json"))
    assert (told["status"], told["spec"]["height"]) == ({"state": "ready"}, 7)
    assert told["metadata"]["generation"] == 1

    with pytest.raises(CommandFailed, match=r"spec\.height.*greater than or equal to 1"):
        plane.kubectl(*ours, "patch", "tree", "oak", "--type=merge", "-p", '{"spec": {"height": 0}}')


def test_helm_talks_to_it(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """It installs, lists and removes a chart of one ConfigMap."""
    chart = tmp_path / "tiny"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 1.2.3\n")
    (chart / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-map}\ndata: {a: '{{ .Values.a }}'}\n"
    )
    assert json.loads(plane.helm("list", "-n", namespace, "-o", "json")) == []
    plane.helm("install", "first", str(chart), "-n", namespace, "--set", "a=b")
    (release,) = json.loads(plane.helm("list", "-n", namespace, "-o", "json"))
    assert (release["name"], release["chart"], release["status"]) == ("first", "tiny-1.2.3", "deployed")
    assert plane.kubectl("-n", namespace, "get", "configmap", "first-map", "-o", "jsonpath={.data.a}") == "b"
    plane.helm("uninstall", "first", "-n", namespace)
    assert "first-map" not in plane.kubectl("-n", namespace, "get", "configmaps", "-o", "name")
