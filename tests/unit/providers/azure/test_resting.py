"""Machines that wait: what they are started with, who cannot wait, and what a machine does at each boot."""

import base64
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.unit.providers.azure.cases import POOL, built, names, request

from rayfleet.contracts import Denied, LaunchRequest, MachineState, OutOfStock
from rayfleet.model import Market, StandbyMode
from rayfleet.providers.azure.clients import METADATA_VARIABLE
from rayfleet.providers.azure.resting import EVERY_BOOT, OWN_NAME
from rayfleet.testing.clouds.azure import AzureEmulator, Fault, Launched

STOPPED = StandbyMode.STOPPED


def reuse(batch: str, *machine_ids: str) -> LaunchRequest:
    """Return a request that starts machines."""
    known = request(batch, "c9")
    return LaunchRequest(known.batch, known.offer, POOL, known.claims, len(machine_ids), reuse=machine_ids)


async def test_what_is_prepared_starts_nothing_and_what_is_started_runs_the_script_of_now(tmp_path: Path) -> None:
    boots: list[Launched] = []
    gone: list[str] = []
    with AzureEmulator(on_launch=boots.append, on_gone=gone.append) as emulator:
        provider = built(emulator, tmp_path)
        await provider.prepare(request("b1", "c1"), STOPPED)
        (machine,) = names(emulator)
        assert gone == [machine]
        await provider.list()
        await provider.list()
        assert [one.state for one in await provider.list()] == [MachineState.STANDBY]
        await provider.start(reuse("b2", machine))
        prepared, started = boots
        assert "start-ray" not in prepared.custom_data
        assert prepared.custom_data.startswith("#!/bin/bash\n")  # or cloud-init would not run it
        assert "0-rayfleet" in prepared.custom_data
        assert "start-ray cpu1 worker" in started.custom_data
        assert "/metadata/instance/compute/name" in started.custom_data
        await provider.prepare(request("b1", "c1"), STOPPED)
        assert gone == [machine]
        await provider.close()


@pytest.mark.parametrize("market", [Market.SPOT, None])
async def test_spot_machines_cannot_wait(tmp_path: Path, market: Market | None) -> None:
    with AzureEmulator() as emulator:
        provider = built(emulator, tmp_path, node={"priority": "Spot"})
        with pytest.raises(Denied, match="spot machines cannot wait"):
            await provider.prepare(request("b1", "c1", market=market), STOPPED)
        await provider.launch(request("b2", "c2", market=market))
        assert "0-rayfleet" not in str(emulator.resources("virtualMachines"))
        with pytest.raises(Denied, match="is a spot machine"):
            await provider.stop(tuple(names(emulator)), STOPPED)
        assert emulator.calls()["POST virtualmachines/deallocate"] == 0
        await provider.close()


async def test_nobody_waits_where_states_cannot_be_seen(tmp_path: Path) -> None:
    """They would look as if they ran."""
    with AzureEmulator() as emulator:
        emulator.fail(Fault("AuthorizationFailed", 403, method="GET", name="0/providers/Microsoft.Compute", times=-1))
        provider = built(emulator, tmp_path)
        await provider.launch(request("b1", "c1"))
        (machine,) = await provider.list()
        with pytest.raises(Denied, match="states may not be listed"):
            await provider.stop((machine.id,), STOPPED)
        await provider.close()


async def test_no_room_for_one_that_waits(tmp_path: Path) -> None:
    """It waits on, and the same batch starts it later."""
    with AzureEmulator() as emulator:
        provider = built(emulator, tmp_path)
        await provider.launch(request("b1", "c1"))
        machine = names(emulator)[0]
        await provider.stop((machine,), STOPPED)
        await provider.list()
        emulator.fail(Fault("AllocationFailed", method="POST", name="/start"))
        with pytest.raises(OutOfStock, match="AllocationFailed"):
            await provider.start(reuse("b2", machine))
        assert [one.state for one in await provider.list()] == [MachineState.STANDBY]
        await provider.start(reuse("b2", machine))
        await provider.list()
        assert [one.state for one in await provider.list()] == [MachineState.RUNNING]
        await provider.close()


class Metadata(ThreadingHTTPServer):
    """A machine's metadata service. `user_data`: what it is to run now."""

    user_data = b""


class _Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_GET(self) -> None:
        found = b"ray-1" if "/compute/name?" in self.path else base64.b64encode(self.server.user_data)
        self.send_response_only(200 if self.headers.get("Metadata") == "true" else 400)
        self.end_headers()
        self.wfile.write(found)


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with Metadata(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_every_boot_runs_what_is_to_run_now(metadata: Metadata, tmp_path: Path) -> None:
    """And not what ran at the boot before; where nothing was said since, that is run."""
    scripts = tmp_path / "cloud/scripts/per-boot"

    def shell(code: str) -> str:
        environment = {**os.environ, METADATA_VARIABLE: f"http://127.0.0.1:{metadata.server_address[1]}"}
        moved = code.replace("/var/lib", str(tmp_path))
        return subprocess.run(["bash", "-c", moved], env=environment, text=True, capture_output=True, check=True).stdout

    shell(EVERY_BOOT)
    (scripts / "rayfleet").write_text("echo before")
    assert shell(str(scripts / "0-rayfleet")) == ""
    assert (scripts / "rayfleet").exists()
    metadata.user_data = b"echo now\n"
    assert shell(str(scripts / "0-rayfleet")) == "now\n"
    assert not (scripts / "rayfleet").exists()
    assert shell(OWN_NAME) == "ray-1"
