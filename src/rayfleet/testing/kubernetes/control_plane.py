"""A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

    with ControlPlane(programs) as plane:
        print(plane.kubectl("get", "namespaces"))

Everything that it writes is in one temporary folder, which is gone after `stop`, as its processes are.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rayfleet.testing.kubernetes import servers
from rayfleet.testing.kubernetes.access import Access, kubeconfig
from rayfleet.testing.kubernetes.certificates import Certificates, make_certificates
from rayfleet.testing.kubernetes.daemon import Daemon, PlaneDown
from rayfleet.testing.kubernetes.servers import Layout, PlaneOptions

START_TIMEOUT_S = 90.0
COMMAND_TIMEOUT_S = 60.0
API_SERVER_GRACE_S = 5.0
READY = "/readyz"
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"  # without it no pod is admitted
PORTS = range(20_000, 32_000)  # below what the kernel gives to outgoing connections, which could take them again


class CommandFailed(Exception):
    """A client's program ended with an error; the text is what it said."""


class ControlPlane:
    """One control plane. Start and stop it in a thread that lives as long as it does: its servers end with that one."""

    def __init__(self, programs: Path, options: PlaneOptions | None = None) -> None:
        self.programs = programs
        self.options = options or PlaneOptions()
        self.folder = Path()
        self._daemons: dict[str, Daemon] = {}
        self._access: Access | None = None

    @property
    def access(self) -> Access:
        """The administrator's: address, authority and token. PlaneDown: it is not started."""
        if self._access is None:
            raise PlaneDown("the control plane is not started")
        return self._access

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which `kubectl` and `helm` are the plane's own, talk to it, and leave nothing at home."""
        home = self.folder / "home"
        path = f"{self.programs}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig), "HOME": str(home)}

    def pids(self) -> Mapping[str, int]:
        """Return the process ids of the servers that run, by name."""
        return {name: daemon.pid for name, daemon in self._daemons.items() if daemon.pid is not None}

    def start(self) -> None:
        """Start all servers; return when the API server is ready and namespace `default` can take pods."""
        self.folder = Path(tempfile.mkdtemp(prefix="rayfleet-plane-"))
        try:
            self._prepare()
            self._start("etcd", "kube-apiserver")
            self._wait_for(READY)
            # These two give up after ten seconds without an API server.
            self._start("kube-controller-manager", "kube-scheduler")
            self._wait_for(ACCOUNT)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every server and remove the folder; nothing happens where it is not started."""
        for daemon in reversed(self._daemons.values()):
            daemon.end()
        self._daemons = {}
        self._access = None
        if self.folder != Path():
            shutil.rmtree(self.folder)
            self.folder = Path()

    def stop_api_server(self, *, crash: bool = False) -> None:
        """End the API server alone: politely, or as a power cut would."""
        self._daemons["kube-apiserver"].end(grace_s=0.0 if crash else API_SERVER_GRACE_S)

    def start_api_server(self) -> None:
        """Start it again, at the same address and with what etcd has kept."""
        self._start("kube-apiserver")
        self._wait_for(READY)

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        """Run kubectl as administrator and return what it printed. CommandFailed: it ended with an error."""
        return self.command("kubectl", *argv, stdin=stdin)

    def helm(self, *argv: str) -> str:
        """Run helm as administrator and return what it printed. CommandFailed: it ended with an error."""
        return self.command("helm", *argv)

    def command(self, *argv: str, stdin: str = "") -> str:
        """Run a client's program in `environment` and return what it printed. CommandFailed: it ended with an error."""
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise CommandFailed(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def get(self, path: str) -> Any:
        """GET a path of the API as administrator; JSON decoded, other text as it is. OSError: no answer, or refused."""
        request = urllib.request.Request(
            self.access.url + path, headers={"Authorization": f"Bearer {self.access.token}"}
        )
        try:
            with urllib.request.urlopen(request, context=self.access.tls(), timeout=10) as answer:
                body = answer.read().decode()
                return json.loads(body) if answer.headers.get_content_type() == "application/json" else body
        except urllib.error.HTTPError as refusal:
            with refusal:  # it holds the connection
                raise ConnectionRefusedError(f"{path}: {refusal}") from None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> None:
        ports = free_ports(3)
        layout = Layout(self.programs, self.folder, *ports)
        (self.folder / "home").mkdir()
        certificates = make_certificates(self.folder, (*servers.SERVER_HOSTS, *self.options.pod_hosts))
        self._access = Access(f"https://127.0.0.1:{layout.api_port}", certificates.ca, secrets.token_hex(16))
        layout.tokens.write_text(f"{self._access.token},admin,admin,system:masters\n", encoding="utf-8")
        layout.kubeconfig.write_text(kubeconfig(self._access), encoding="utf-8")
        layout.kubeconfig.chmod(0o600)  # helm complains of anything else
        self._daemons = self._all_daemons(layout, certificates)

    def _all_daemons(self, layout: Layout, certificates: Certificates) -> dict[str, Daemon]:
        lines = {
            "etcd": servers.etcd(layout),
            "kube-apiserver": servers.api_server(layout, certificates, self.options),
            "kube-controller-manager": servers.controller_manager(layout, certificates, self.options),
            "kube-scheduler": servers.scheduler(layout, self.options),
        }
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder / "home")}
        return {name: Daemon(name, argv, self.folder / f"{name}.log", environment) for name, argv in lines.items()}

    def _start(self, *names: str) -> None:
        for name in names:
            self._daemons[name].start()

    def _wait_for(self, path: str) -> None:
        """Wait until the API answers this; PlaneDown with the last lines of whoever ended, or of the API server."""
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            for daemon in self._daemons.values():
                daemon.check()
            try:
                self.get(path)
                return
            except OSError as problem:
                if time.monotonic() > end:
                    words = self._daemons["kube-apiserver"].last_words()
                    raise PlaneDown(f"{path}: {problem} after {START_TIMEOUT_S:g} s:\n{words}") from problem
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Return that many loopback ports on which nobody listens.

    Each process looks from a place of its own, so that two planes that start at once seldom meet.
    """
    found: list[int] = []
    first = os.getpid() * 37 % len(PORTS)
    for offset in range(len(PORTS)):
        port = PORTS[(first + offset) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise PlaneDown(f"no free port between {PORTS.start} and {PORTS.stop}")
