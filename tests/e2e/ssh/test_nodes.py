"""Real hosts become real nodes over SSH: a head on one, a worker on another, work on it from a shell of the head's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet import wiring
from rayfleet.bootstrap.steps import Put
from rayfleet.bootstrap.visit import Progressed
from rayfleet.config import load
from rayfleet.contracts import EngineDown, EngineView, LaunchRequest, Machine, MachineState, Provider
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.testing.hosts import Host, Hosts
from rayfleet.wire.ssh.session import Files

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.timeout(300)]

FILE = """
cluster_name: demo
provider: {{type: local, head_ip: {head}, worker_ips: [{worker}]}}
setup_commands: ["echo 'export PATH={programs}:$PATH' >> ~/.bashrc"]
available_node_types:
  head: {{resources: {{CPU: 0}}, node_config: {{}}}}
  cpu: {{resources: {{CPU: 2}}, labels: {{tier: batch}}, max_workers: 1, node_config: {{}}}}
head_node_type: head
head_start_ray_commands:
  - ray stop
  - test -e ~/data/x && ray start --head --port=6379 --autoscaling-config=~/x.yaml --include-dashboard=false {small}
worker_start_ray_commands:
  - ray stop
  - ray start --address=$RAY_HEAD_IP:6379 {small}
"""


@asynccontextmanager
async def cluster(site: Hosts, folder: Path) -> AsyncIterator[tuple[Provider, RayEngine, list[Progressed]]]:
    head, worker = site.hosts
    small = "--object-store-memory=80000000"
    programs = Path(sys.executable).parent
    text = FILE.format(head=head.address, worker=worker.address, programs=programs, small=small)
    spec = load(text, wiring.registry(), "demo.yaml")
    ray = wiring.remote_settings(spec, folder / "cluster", head.address)
    ray.save()
    (folder / "data").mkdir()
    (folder / "data/x").write_text("x")
    told: list[Progressed] = []
    data = Put(Files(str(folder / "data"), "~/data"), "data")
    elsewhere = wiring.Elsewhere(
        adds=lambda: replace(wiring.node_extra(spec, ray), before_start=(data,)),
        login=site.login,
        known_hosts=folder / "known_hosts",
        progress=told.append,
    )
    provider = wiring.provider_for(spec, folder / "cluster", ray, elsewhere)
    engine = RayEngine(ray, remote=wiring.engine_remote(spec))
    assert spec.policy.head is not None
    pools = ((spec.policy.head, True), (spec.policy.pools[0], False))
    try:
        for pool, is_head in pools:
            request = LaunchRequest(f"b-{pool.name}", pool.offers[0].key(pool.name), pool, (pool.name,), head=is_head)
            await provider.launch(request)
            await settle(provider)
        yield provider, engine, told
    finally:
        await engine.close()
        await provider.release(tuple(machine.id for machine in await provider.list()))
        await provider.close()


async def settle(provider: Provider) -> tuple[Machine, ...]:
    while True:
        machines = await provider.list()
        if MachineState.STARTING not in {machine.state for machine in machines}:
            assert {machine.state for machine in machines} == {MachineState.RUNNING}, machines
            return machines
        await asyncio.sleep(0.2)


async def nodes(engine: RayEngine, count: int) -> EngineView:
    while True:
        try:
            view = await engine.look()
        except EngineDown:
            view = None
        if view is not None and len(view.nodes) == count:
            return view
        await asyncio.sleep(0.2)


def processes(host: Host) -> list[str]:
    return [line for line in host.run(["ps", "-eo", "args"]).stdout.splitlines() if "ray" in line]


async def test_a_head_and_a_worker(site: Hosts, tmp_path: Path) -> None:
    async with cluster(site, tmp_path) as (provider, engine, told):
        machines = await provider.list()
        view = await nodes(engine, 2)
        worker = next(node for node in view.nodes if not node.head)
        assert {node.instance_id for node in view.nodes} == {machine.id for machine in machines}
        assert worker.labels["tier"] == "batch"
        assert worker.total.amounts()["CPU"] == 2
        assert worker.address == site.hosts[1].address
        head = site.hosts[0]
        assert not [line for line in processes(head) if "monitor.py" in line and "log_monitor" not in line]
        work = "import ray; ray.init(); print(ray.get(ray.remote(lambda: 6 * 7).remote()))"
        shell = f'. ~/.rayfleet/demo/client.sh; {sys.executable} -c "{work}"'
        ran = await asyncio.to_thread(head.run, ["env", f"HOME={head.home}", "bash", "-c", shell])
        assert "42" in ran.stdout, ran
        assert told[-1].step == "ready"
    for host in site.hosts:
        assert not [line for line in processes(host) if "raylet" in line or "gcs_server" in line]
