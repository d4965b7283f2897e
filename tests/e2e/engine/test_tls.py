"""A real head and worker that speak TLS with the operator's certificates, and our engine that speaks it with them."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.engine.real_cluster import eventually, said_by

from rayfleet.contracts import EngineDown
from rayfleet.engines.ray.drivers import RayDrivers
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.settings import Ports, RaySettings, TlsFiles, free_ports, own_address
from rayfleet.kube_operator.reconciling import Certify
from rayfleet.kube_operator.runtime.certificates import certified
from rayfleet.loop.clock import SystemClock
from rayfleet.model import NodeFact
from rayfleet.wire.kube.objects import Object

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

YEAR_S = 365 * 86400.0
PROGRAM = """
import ray
ray.init(logging_level="error")
@ray.remote(num_cpus=1)
def answer(): return ray.get_runtime_context().get_node_id() != "" and 42
print("SAID", ray.get(answer.remote()), flush=True)
"""


def issued(name: str, issuer: Object | None, *addresses: str) -> Object:
    """Return a Secret as the operator makes it."""
    now = SystemClock().now()
    action = Certify({}, name, now + YEAR_S, issuer=issuer, names=("localhost",), addresses=addresses)
    return {"metadata": {"name": name}, "data": certified(action, now)}


def laid_out(secret: Object, folder: Path) -> TlsFiles:
    folder.mkdir(parents=True)
    for name, text in secret["data"].items():
        (folder / name).write_bytes(base64.b64decode(text))
    return TlsFiles(str(folder / "tls.crt"), str(folder / "tls.key"), str(folder / "ca.crt"))


class Encrypted:
    """A head and a worker, each in a session of its own; ended by their ids."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Sockets have short paths only.
        self.temp = Path(tempfile.mkdtemp(prefix="rftls", dir="/tmp"))
        self.address = own_address()
        self.gcs, self.client, self.dashboard = free_ports(3)
        authority = issued("authority", None)
        self.files = laid_out(issued("head", authority, "127.0.0.1", self.address), root / "head")
        self.stranger = laid_out(issued("stranger", issued("another", None), "127.0.0.1"), root / "stranger")
        self.started: list[subprocess.Popen[str]] = []

    def environment(self) -> dict[str, str]:
        variables = {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": self.files.certificate,
            "RAY_TLS_SERVER_KEY": self.files.key,
            "RAY_TLS_CA_CERT": self.files.authority,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ADDRESS": f"{self.address}:{self.gcs}",
            "RAY_enable_autoscaler_v2": "1",
        }
        return {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | variables

    def run(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            env=self.environment(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def start_head(self) -> None:
        ray = str(Path(sys.executable).with_name("ray"))
        self.run(
            ray, "start", "--head", "--block", "--no-monitor", "--num-cpus=1", "--object-store-memory=80000000",
            f"--node-ip-address={self.address}", f"--port={self.gcs}", f"--ray-client-server-port={self.client}",
            f"--dashboard-port={self.dashboard}", f"--temp-dir={self.temp}", "--include-dashboard=false",
            "--disable-usage-stats",
        )  # fmt: skip

    def settings(self, files: TlsFiles | None) -> RaySettings:
        ports = Ports(self.gcs, self.client, self.dashboard)
        return RaySettings("tls", str(self.root), self.address, ports, token_auth=False, tls=files)

    def close(self) -> None:
        for process in reversed(self.started):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout:
                process.stdout.close()
        shutil.rmtree(self.temp, ignore_errors=True)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    cluster = Encrypted(tmp_path_factory.mktemp("tls"))
    cluster.start_head()
    yield cluster
    cluster.close()


@pytest.fixture
async def engine(encrypted: Encrypted) -> AsyncIterator[RayEngine]:
    ray = RayEngine(encrypted.settings(encrypted.files))
    await eventually(ray.look, lambda view: any(node.state is NodeFact.ALIVE for node in view.nodes))
    yield ray
    await ray.close()


async def test_our_engine_sees_a_head_that_speaks_tls(engine: RayEngine, encrypted: Encrypted) -> None:
    view = await engine.look()
    assert [node.head for node in view.nodes] == [True]
    drivers = RayDrivers(encrypted.settings(encrypted.files))
    assert not (await drivers.look()).attached
    await drivers.close()


async def test_work_runs_over_it(engine: RayEngine, encrypted: Encrypted) -> None:
    program = encrypted.run(sys.executable, "-c", PROGRAM)
    assert await asyncio.to_thread(said_by, program) == "42"


@pytest.mark.parametrize("plain", [True, False], ids=["without certificate", "with a stranger's"])
async def test_nobody_else_is_let_in(engine: RayEngine, encrypted: Encrypted, plain: bool) -> None:
    other = RayEngine(encrypted.settings(None if plain else encrypted.stranger))
    with pytest.raises(EngineDown):
        await other.look()
    await other.close()
