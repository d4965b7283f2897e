"""Ray's own commands and clients on a cluster of ours, from a shell with the client's environment."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.engine.real_cluster import OLDEST, RealCluster, eventually, node_where, pool, said_by

from rayfleet.contracts import EngineDown, JobStatus, JobsUnavailable
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.jobs import RayJobs
from rayfleet.model import FrozenMap, Pool

Drive = Callable[[str], subprocess.Popen[str]]
Start = Callable[[str, Pool], subprocess.Popen[str]]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.mark.parametrize("address", ["", "'auto'", "'{gcs}'", "'{client}'"])
async def test_every_way_to_connect(cluster: RealCluster, engine: RayEngine, address: str) -> None:
    settings = cluster.settings
    where = address.format(gcs=settings.gcs_address, client=settings.client_address)
    shown = cluster.run(sys.executable, "-c", f"import ray; ray.init({where}); print(ray.cluster_resources())")
    assert "node:__internal_head__" in shown


async def test_without_the_token_nobody_gets_in(cluster: RealCluster, engine: RayEngine, tmp_path: Path) -> None:
    stranger = replace(cluster.settings, folder=str(tmp_path))
    with pytest.raises(EngineDown, match="token cannot be read"):
        await RayEngine(stranger).look()
    stranger.token_path.write_text("0" * 64)
    ray = RayEngine(stranger)
    with pytest.raises(EngineDown, match="refuses the cluster's token"):
        await ray.look()
    await ray.close()
    with pytest.raises(JobsUnavailable):
        await RayJobs(stranger).list()
    environment = {name: value for name, value in cluster.environment().items() if not name.startswith("RAY_AUTH")}
    code = "import ray; ray.init(); print(ray.cluster_resources())"
    done = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env={**environment, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    shown, _ = await asyncio.wait_for(done.communicate(), 60)
    assert done.returncode != 0
    assert "uthentication" in shown.decode()


async def test_rays_commands(cluster: RealCluster, engine: RayEngine, drive: Drive, start: Start) -> None:
    start("worker-of-commands", pool("small", CPU=1))
    driver = drive(
        """
@ray.remote(num_cpus=1)
class Counter:
    def ready(self): return "held"
kept = Counter.options(name="counted").remote()
say(ray.get(kept.ready.remote()))
time.sleep(600)
"""
    )
    assert said_by(driver) == "held"
    await node_where(engine, "worker-of-commands", lambda node: bool(node.activity))
    assert "1.0/1.0 CPU" in cluster.run("ray", "status")
    assert "Counter" in cluster.run("ray", "list", "actors")
    assert "Counter" in cluster.run("ray", "summary", "actors")
    assert "Counter.ready" in cluster.run("ray", "summary", "tasks")
    assert "Aggregate object store stats" in cluster.run("ray", "memory", "--stats-only")


@pytest.mark.xfail(OLDEST, reason="its `ray logs` sends no token", strict=True)
async def test_rays_logs_command(cluster: RealCluster, engine: RayEngine) -> None:
    assert "gcs_server.out" in cluster.run("ray", "logs", "cluster")


async def test_a_job_from_submission_to_its_last_line(cluster: RealCluster, engine: RayEngine) -> None:
    jobs = RayJobs(cluster.settings)
    entrypoint = (
        """python -c "import ray, time; ray.init(); print('first', flush=True); time.sleep(1); print('last')" """
    )
    job = await jobs.submit(entrypoint, {}, FrozenMap({"who": "test"}))
    text = "".join([chunk async for chunk in jobs.follow(job)])
    assert text.index("first") < text.index("last")
    assert (await jobs.get(job)).status is JobStatus.SUCCEEDED
    assert (await jobs.list())[0].id == job


async def test_a_job_brings_its_folder_and_can_fail(cluster: RealCluster, engine: RayEngine, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print('from the folder')\nraise SystemExit(3)\n")
    jobs = RayJobs(cluster.settings)
    before = [name for name in os.environ if name.startswith(("RAY_AUTH", "RAY_ADDRESS", "RAY_API"))]
    job = await jobs.submit("python script.py", {"working_dir": str(tmp_path)}, FrozenMap())
    after = [name for name in os.environ if name.startswith(("RAY_AUTH", "RAY_ADDRESS", "RAY_API"))]
    assert after == before, "the caller's environment is its own"
    text = "".join([chunk async for chunk in jobs.follow(job)])
    assert "from the folder" in text
    ended = await jobs.get(job)
    assert ended.status is JobStatus.FAILED
    assert "3" in ended.message


async def test_a_job_can_be_stopped(cluster: RealCluster, engine: RayEngine) -> None:
    jobs = RayJobs(cluster.settings)
    job = await jobs.submit("sleep 600", {}, FrozenMap())
    await eventually(lambda: jobs.get(job), lambda found: found.status is JobStatus.RUNNING)
    await jobs.stop(job)
    await eventually(lambda: jobs.get(job), lambda found: found.status is JobStatus.STOPPED)


async def test_rays_own_job_command(cluster: RealCluster, engine: RayEngine) -> None:
    shown = cluster.run("ray", "job", "submit", "--", "python", "-c", "print(6 * 7)")
    assert "42" in shown
    assert "succeeded" in shown


async def test_an_unknown_job_is_said_to_be_unknown(cluster: RealCluster, engine: RayEngine) -> None:
    with pytest.raises(JobsUnavailable, match="does not exist"):
        await RayJobs(cluster.settings).get("nobody")


async def test_the_session_can_be_found_by_its_usual_name(cluster: RealCluster, engine: RayEngine) -> None:
    session = Path(json.loads(cluster.settings.head_path.read_text(encoding="utf-8"))["logs_dir"]).parent
    latest = session.with_name("session_latest")
    assert latest.resolve() == session.resolve()
    assert (latest / "logs" / "gcs_server.out").exists()
