"""Pods that really run: their files, variables, network, probes, restarts, logs and exec are those of a cluster."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes.real_pods import NEEDS_ROOT, NODE, Desk, disk, forwarded, sh
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import CommandFailed, ControlPlane
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

pytestmark = [
    pytest.mark.kubernetes,
    NEEDS_ROOT,
]

ASKS_THE_API = """
import ssl, sys, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
token, namespace = (open(folder + name).read() for name in ("token", "namespace"))
request = urllib.request.Request(
    f"https://kubernetes.default.svc/api/v1/namespaces/{namespace}/pods", headers={"Authorization": f"Bearer {token}"}
)
try:
    code = urllib.request.urlopen(request, context=ssl.create_default_context(cafile=folder + "ca.crt")).status
except urllib.error.HTTPError as refusal:
    code = refusal.code
print("answer", code)
"""


SAYS_BYE = "trap 'echo bye >/told/bye; exit 0' TERM; touch /told/up; sleep 600 & wait"


@pytest.fixture(scope="module")
def machine(plane: ControlPlane) -> Iterator[ProcessKubelet]:
    """This machine as a node, for pods that select it."""
    with Background(ProcessKubelet(plane.access, [NODE], heartbeat_s=5)) as kubelet:
        yield kubelet.it
    plane.kubectl("delete", "node", "machine")


@pytest.fixture
def desk(plane: ControlPlane, machine: ProcessKubelet, namespace: str) -> Desk:
    return Desk(plane, namespace)


def test_a_container_has_the_variables_and_files_that_its_pod_asks_for(desk: Desk) -> None:
    desk.kubectl("create", "configmap", "settings", "--from-literal=colour=blue", "--from-literal=size=9")
    desk.kubectl("create", "secret", "generic", "keys", "--from-literal=password=xyzzy")
    variables = [
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
        {"name": "BOTH", "value": "$(ME)/$(APP)/$(NONE)/$$(ME)"},
    ]
    script = """
        echo "$ME $IP $APP $CPUS $PASSWORD $BOTH $size"
        cat /etc/settings/colour; hostname; cat /home/ray/samples/size
    """
    told = sh(
        script,
        env=variables,
        envFrom=[{"configMapRef": {"name": "settings"}}],
        resources={"limits": {"cpu": "1500m"}},
        volumeMounts=[
            {"name": "settings", "mountPath": "/etc/settings"},
            {"name": "settings", "mountPath": "/home/ray/samples"},
        ],
    )
    desk.run("told", told, restartPolicy="Never", volumes=[{"name": "settings", "configMap": {"name": "settings"}}])
    eventually(lambda: desk.status("told")["phase"] == "Succeeded")
    ip = desk.status("told")["podIP"]
    assert desk.logs("told") == f"told {ip} told 2 xyzzy told/told/$(NONE)/$(ME) 9\nbluetold\n9"
    assert not Path("/home/ray/samples").exists(), "what a container writes is its own"


def test_pods_find_each_other_by_service(desk: Desk) -> None:
    server = sh(
        "echo hello >index.html && exec python3 -u -m http.server 8000",
        workingDir="/srv",
        ports=[{"name": "http", "containerPort": 8000}],
        readinessProbe={"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
    )
    desk.run("web", server)
    desk.kubectl("expose", "pod", "web", "--port=8000", "--cluster-ip=None")
    desk.ready("web")
    asks = "import urllib.request as u; print(u.urlopen('http://web:8000').read().decode(), end='')"
    script = f'until grep -q "\\sweb\\s" /etc/hosts; do sleep 0.1; done; python3 -c "{asks}"'
    desk.run("client", sh(script), restartPolicy="Never")
    eventually(lambda: desk.status("client")["phase"] == "Succeeded")
    assert desk.logs("client") == "hello\n"
    assert "GET /" in desk.logs("web")


def test_the_api_server_is_reached_from_inside_and_obeys_rbac(desk: Desk) -> None:
    container = {"command": ["python3", "-c", ASKS_THE_API]}
    desk.run("stranger", container, restartPolicy="Never")
    eventually(lambda: desk.status("stranger")["phase"] == "Succeeded")
    assert desk.logs("stranger") == "answer 403\n"
    desk.kubectl("create", "role", "reads", "--verb=list", "--resource=pods")
    account = f"--serviceaccount={desk.namespace}:default"
    desk.kubectl("create", "rolebinding", "reads", "--role=reads", account)
    desk.run("reader", container, restartPolicy="Never")
    eventually(lambda: desk.status("reader")["phase"] == "Succeeded")
    assert desk.logs("reader") == "answer 200\n"


def test_exec_runs_inside_and_tells_how_it_ended(desk: Desk) -> None:
    desk.run("box", sh("touch /inside; sleep 600"))
    desk.ready("box")
    assert desk.kubectl("exec", "box", "--", "sh", "-c", "ls /inside; hostname; ps -o pid= -C sleep") != ""
    assert desk.kubectl("exec", "box", "--", "ls", "/inside") == "/inside\n"
    assert desk.kubectl("exec", "-i", "box", "--", "tr", "a-z", "A-Z", stdin="shout") == "SHOUT"
    with pytest.raises(CommandFailed, match=r"exit code 3"):
        desk.kubectl("exec", "box", "--", "sh", "-c", "exit 3")
    assert not Path("/inside").exists()


ECHO = """
import socketserver, threading

class Shout(socketserver.BaseRequestHandler):
    def handle(self):
        while said := self.request.recv(9):
            self.request.sendall(said.upper())

socketserver.ThreadingTCPServer(("", 7000), Shout).serve_forever()
"""


def test_ports_are_forwarded_both_ways_and_each_connection_ends_for_itself(desk: Desk) -> None:
    probe = {"tcpSocket": {"port": 7000}, "periodSeconds": 1}
    desk.run("shouts", {"command": ["python3", "-c", ECHO], "readinessProbe": probe})
    desk.ready("shouts")
    with forwarded(desk.plane, desk.namespace, "pod/shouts", 7000) as address:
        for _ in range(2):
            with connected(address) as one, connected(address) as two:
                one.sendall(b"first")
                two.sendall(b"second " * 10_000)
                assert one.recv(9) == b"FIRST"
                one.shutdown(socket.SHUT_WR)
                assert one.recv(9) == b""
                two.shutdown(socket.SHUT_WR)
                assert b"".join(iter(lambda: two.recv(65_536), b"")) == b"SECOND " * 10_000
    with forwarded(desk.plane, desk.namespace, "pod/shouts", 7001) as address, connected(address) as nobody:
        assert nobody.recv(9) == b"", "nobody listens there"


def connected(address: str) -> socket.socket:
    """Connect to HOST:PORT."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), 30)


def test_a_claim_is_the_folder_of_its_disk_and_outlives_pods(desk: Desk, tmp_path: Path) -> None:
    name = f"disk-{desk.namespace}"
    request = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "kept"}}
    wanted = [disk(name, tmp_path), {**claim, "spec": {**request, "storageClassName": name}}]
    desk.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted}))
    volumes = [{"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}}]
    mounted = [{"name": "kept", "mountPath": "/kept"}]
    for number in (1, 2):
        script = sh("echo again >>/kept/file; wc -l </kept/file", volumeMounts=mounted)
        desk.run(f"writes-{number}", script, volumes=volumes, restartPolicy="Never")
        eventually(lambda number=number: desk.status(f"writes-{number}")["phase"] == "Succeeded")  # type: ignore[misc]
        assert desk.logs(f"writes-{number}").strip() == str(number)
    assert (tmp_path / "file").read_text() == "again\nagain\n"
    desk.plane.kubectl("delete", "persistentvolume", name, "--wait=false")


def test_init_containers_run_first_and_share_volumes(desk: Desk) -> None:
    shared = [{"name": "shared", "mountPath": "/shared"}]
    first = {"name": "first", "image": "none", **sh("sleep 0.5; echo made >/shared/file", volumeMounts=shared)}
    spec = {"initContainers": [first], "volumes": [{"name": "shared", "emptyDir": {}}], "restartPolicy": "Never"}
    desk.run("two", sh("cat /shared/file", volumeMounts=shared), **spec)
    eventually(lambda: desk.status("two")["phase"] == "Succeeded")
    assert desk.logs("two") == "made\n"
    assert desk.status("two")["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"


def test_what_exits_is_restarted_or_has_failed_as_its_policy_says(desk: Desk) -> None:
    desk.run("again", sh("sleep 0.2; exit 4"))
    desk.run("once", sh("exit 4"), sh("exit 0"), restartPolicy="Never")
    eventually(lambda: desk.status("again")["containerStatuses"][0]["restartCount"] >= 2)
    last = desk.status("again")["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (4, "Error")
    eventually(lambda: desk.status("once")["phase"] == "Failed")
    codes = [each["state"]["terminated"]["exitCode"] for each in desk.status("once")["containerStatuses"]]
    assert codes == [4, 0]


def test_readiness_follows_its_probe_and_liveness_ends_what_hangs(desk: Desk) -> None:
    probe = {"exec": {"command": ["test", "-e", "/ok"]}, "periodSeconds": 1, "failureThreshold": 1}
    desk.run("probed", sh("sleep 600", readinessProbe=probe))
    eventually(lambda: desk.status("probed")["phase"] == "Running")
    assert not desk.status("probed")["containerStatuses"][0]["ready"]
    desk.kubectl("exec", "probed", "--", "touch", "/ok")
    desk.ready("probed")
    desk.kubectl("exec", "probed", "--", "rm", "/ok")
    desk.kubectl("wait", "--for=condition=Ready=False", "pod/probed", "--timeout=60s")

    hangs = sh("touch /ok; sleep 2; rm /ok; sleep 600", livenessProbe=probe)
    desk.run("hangs", hangs)
    eventually(lambda: desk.status("hangs")["containerStatuses"][0]["restartCount"] >= 1)


def test_a_deleted_pod_may_say_good_bye_until_its_grace_is_over(desk: Desk, tmp_path: Path) -> None:
    told = {"volumes": [{"name": "told", "hostPath": {"path": str(tmp_path)}}]}
    seen = [{"name": "told", "mountPath": "/told"}]
    desk.run(
        "polite",
        sh("trap 'echo bye >/told/bye; exit 0' TERM; touch /told/up; sleep 600 & wait", volumeMounts=seen),
        **told,
    )
    desk.run("deaf", sh("trap '' TERM; while true; do sleep 1; done"))
    eventually((tmp_path / "up").exists)
    desk.ready("deaf")
    desk.kubectl("delete", "pod", "polite", "deaf", "--timeout=40s")
    assert (tmp_path / "bye").read_text() == "bye\n"


def test_logs_can_be_followed_and_cut(desk: Desk) -> None:
    desk.run("talks", sh("for n in 1 2 3 4; do echo line $n; sleep 0.3; done"), restartPolicy="Never")
    eventually(lambda: desk.status("talks")["phase"] != "Pending")
    assert desk.logs("talks", "-f").splitlines() == ["line 1", "line 2", "line 3", "line 4"]
    assert desk.logs("talks", "--tail=1") == "line 4\n"
