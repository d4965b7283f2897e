"""Real nodes: how they join, work, leave and die, as the engine tells it and does it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.engine.real_cluster import (
    OLDEST,
    PATIENCE_S,
    RealCluster,
    eventually,
    line_of,
    node_where,
    pool,
    said_by,
    view_where,
)

from rayfleet.contracts import DrainRefused, EngineError, EngineView, Node
from rayfleet.engines.ray import node_main, notice_watch
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.model import Bundle, NodeFact, Pool, Resources, Strategy

Drive = Callable[[str], subprocess.Popen[str]]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

Start = Callable[[str, Pool], subprocess.Popen[str]]

HOLD_ONE_CPU = """
@ray.remote(num_cpus=1)
class Holder:
    def ready(self): return "held"
kept = Holder.remote()
say(ray.get(kept.ready.remote()))
time.sleep(600)
"""


def runs(pid: int) -> bool:
    """Say whether a process is there and not merely waiting for its parent to take leave of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_idle(node: Node) -> bool:
    return node.state is NodeFact.ALIVE and node.idle_s > 0


def is_busy(node: Node) -> bool:
    return node.state is NodeFact.ALIVE and bool(node.activity) and not node.available.get("CPU", 0)


def raylet_of(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return int(children.split()[0])


async def test_a_node_offers_what_its_pool_says(cluster: RealCluster, engine: RayEngine, start: Start) -> None:
    asked_at = time.monotonic()
    start("wide", pool("wide", {"zone": "a", "tier": "batch"}, CPU=2, GPU=1, memory=10**9, gold=3))
    node = await node_where(engine, "wide")
    print("node joined after", round(time.monotonic() - asked_at, 3))
    amounts = node.total.amounts()
    address = f"node:{node.address}"
    store = cluster.settings.object_store_bytes
    assert amounts == {"CPU": 2, "GPU": 1, "memory": 10**9, "gold": 3, "object_store_memory": store, address: 1}
    assert node.pool == "wide"
    assert {"zone": "a", "tier": "batch", "ray.io/node-group": "wide"}.items() <= node.labels.items()
    assert node.labels["ray.io/node-id"] == node.id
    assert not node.head
    assert (cluster.directory("wide") / "started").exists()


async def test_each_node_has_an_address_of_its_own(engine: RayEngine, start: Start) -> None:
    for machine in ("one", "other"):
        start(machine, pool("small", CPU=1))
    nodes = [await node_where(engine, machine) for machine in ("one", "other", "head")]
    assert len({node.address for node in nodes}) == 3


async def test_the_head_has_no_cpu_and_says_that_it_is_the_head(engine: RayEngine) -> None:
    head = await node_where(engine, "head")
    assert head.head
    assert head.total.get("CPU", 0) == 0
    assert head.pool == "head"


async def test_work_keeps_a_node_from_being_idle_and_from_an_idle_drain(
    cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start
) -> None:
    process = start("worker", pool("small", CPU=1))
    await node_where(engine, "worker", is_idle)
    driver = drive(HOLD_ONE_CPU)
    assert said_by(driver) == "held"
    node = await node_where(engine, "worker", is_busy)
    assert node.idle_s == 0
    with pytest.raises(DrainRefused, match="no longer idle"):
        await engine.drain(node.id, time.time() + 30, "idle", voluntary=True)
    cluster.end(driver)
    node = await node_where(engine, "worker", is_idle)
    await engine.drain(node.id, time.time() + 30, "idle", voluntary=True)
    await node_where(engine, "worker", lambda node: node.state is NodeFact.DEAD)
    assert process.wait(timeout=PATIENCE_S) == 0, "drained: its command ends with 0"
    await engine.drain(node.id, time.time() + 30, "again", voluntary=True)  # already dead: done


async def test_an_object_keeps_its_node(cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start) -> None:
    start("store", pool("small", CPU=1))
    driver = drive(
        """
@ray.remote(num_cpus=1)
def make(): return bytes(5_000_000)
kept = make.remote()
ray.wait([kept], fetch_local=False)
say("made")
time.sleep(600)
"""
    )
    assert said_by(driver) == "made"

    def holds_only_the_object(node: Node) -> bool:
        used = node.total - node.available
        return node.idle_s == 0 and used.get("CPU", 0) == 0 and used.get("object_store_memory", 0) > 0

    node = await node_where(engine, "store", holds_only_the_object)
    with pytest.raises(DrainRefused):
        await engine.drain(node.id, time.time() + 30, "idle", voluntary=True)
    cluster.end(driver)
    await node_where(engine, "store", is_idle)


async def test_a_drain_by_force_is_accepted_when_busy_and_shown_at_once(
    cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start
) -> None:
    start("spot", pool("small", CPU=1))
    driver = drive(HOLD_ONE_CPU)
    assert said_by(driver) == "held"
    node = await node_where(engine, "spot", is_busy)
    with pytest.raises(EngineError, match="ABORTED: Draining deadline must be non-negative, received -1000"):
        await engine.drain(node.id, -1, "interrupted", voluntary=False)
    assert (await node_where(engine, "spot")).state is NodeFact.ALIVE
    # Ray takes a deadline that has passed, for it holds nobody to one.
    await engine.drain(node.id, time.time() - 30, "interrupted", voluntary=False)
    view = await engine.look()
    assert next(found.state for found in view.nodes if found.id == node.id) is NodeFact.DRAINING
    cluster.end(driver)
    await node_where(engine, "spot", lambda node: node.state is NodeFact.DEAD)


async def test_a_machine_with_a_notice_drains_its_own_node_and_tells_by_when(
    cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start, tmp_path: Path
) -> None:
    """The very program that a spot machine gets, with a place that says so."""
    start("noticed", pool("small", CPU=1))
    assert said_by(drive(HOLD_ONE_CPU)) == "held"
    node = await node_where(engine, "noticed", is_busy)
    place = tmp_path / "notice.py"
    place.write_text("def left_s(ask, url):\n    return 300.0 if url == 'http://place' else None\n")
    watch = ("env", "RAY_CLOUD_INSTANCE_ID=noticed", sys.executable, notice_watch.__file__, str(place), "http://place")
    said = await asyncio.to_thread(cluster.run, *watch, cluster.settings.gcs_address)
    assert any(line.endswith(" drained") for line in said.splitlines()), said  # Ray itself says things, too
    leaving = await node_where(engine, "noticed", lambda found: found.leaves_at is not None)
    assert leaving.state is NodeFact.DRAINING
    assert leaving.leaves_at is not None
    assert leaving.leaves_at - time.time() == pytest.approx(300, abs=60)
    others = [each.leaves_at for each in (await engine.look()).nodes if each.id != node.id]
    assert others == [None] * len(others)


async def test_a_notice_after_a_recommendation_brings_the_end_forward(
    cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start, tmp_path: Path
) -> None:
    """A place that first advises to leave within half an hour, and then takes the machine back in five minutes."""
    start("advised", pool("small", CPU=1))
    assert said_by(drive(HOLD_ONE_CPU)) == "held"
    await node_where(engine, "advised", is_busy)
    place, told = tmp_path / "notice.py", tmp_path / "told"
    place.write_text(
        f"import os\ndef left_s(ask, url):\n    return 300.0 if os.path.exists({str(told)!r}) else 1800.0\n"
    )
    watch = ("env", "RAY_CLOUD_INSTANCE_ID=advised", sys.executable, notice_watch.__file__, str(place), "http://place")
    watching = asyncio.create_task(asyncio.to_thread(cluster.run, *watch, cluster.settings.gcs_address))
    leaving = await node_where(engine, "advised", lambda found: found.leaves_at is not None)
    assert leaving.leaves_at is not None
    assert leaving.leaves_at - time.time() == pytest.approx(1800, abs=60)
    assert not watching.done()
    told.touch()
    said = await watching
    assert said.count(" drained\n") + said.endswith(" drained") == 2, said
    if OLDEST:  # its GCS goes on telling others the first deadline of a node that is drained once more
        return
    sooner = leaving.leaves_at - 600
    await node_where(engine, "advised", lambda found: found.leaves_at is not None and found.leaves_at < sooner)


async def test_nothing_new_starts_on_a_node_that_is_to_leave(
    cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start, tmp_path: Path
) -> None:
    """It has room for a task, an actor, and a part of a group: all of them wait, and go to nodes that come later."""
    start("leaving", pool("box", CPU=3, box=3))
    driver = drive(
        f"""
import json, os
def where(): return ray.get_runtime_context().get_node_id()
box = dict(num_cpus=1, resources={{"box": 1}})
work = ray.remote(**box)(where)
@ray.remote(**box)
class Holder:
    def where(self): return where()
first = Holder.remote()
say(ray.get(first.where.remote()))
while not os.path.exists({str(tmp_path / "drained")!r}): time.sleep(0.02)
group = ray.util.placement_group([{{"CPU": 1, "box": 1}}] * 2, strategy="STRICT_SPREAD")
task, second = work.remote(), Holder.remote()
group.wait(600)
bundles = ray.util.placement_group_table(group)["bundles_to_node_id"]
say(json.dumps([*bundles.values(), ray.get(task), ray.get(second.where.remote())]))
time.sleep(600)
"""
    )
    leaving = said_by(driver)
    assert (await node_where(engine, "leaving", lambda node: node.available.amounts().get("box") == 2)).id == leaving
    await engine.drain(leaving, time.time() + 600, "interrupted", voluntary=False)
    (tmp_path / "drained").touch()
    one = Resources.of({"CPU": 1, "box": 1})
    await view_where(
        engine,
        lambda view: (
            [(task.shape, task.count) for task in view.demand.tasks] == [(one, 2)]
            and [(gang.strategy, gang.bundles, dict(gang.placed)) for gang in view.demand.gangs]
            == [(Strategy.STRICT_SPREAD, (Bundle(one), Bundle(one)), {})]
        ),
    )
    for machine in ("later", "latest"):
        start(machine, pool("box", CPU=2, box=2))
    later = {(await node_where(engine, machine)).id for machine in ("later", "latest")}
    *bundles, task, actor = json.loads(said_by(driver))
    assert set(bundles) == later
    assert {task, actor} <= later
    assert (await node_where(engine, "leaving")).state is NodeFact.DRAINING


async def test_neither_the_head_nor_a_stranger_is_drained(engine: RayEngine) -> None:
    head = await node_where(engine, "head")
    for voluntary in (True, False):
        with pytest.raises(DrainRefused, match="head"):
            await engine.drain(head.id, time.time() + 30, "no", voluntary=voluntary)
        with pytest.raises(DrainRefused, match="no node"):
            await engine.drain("ab" * 28, time.time() + 30, "no", voluntary=voluntary)
    assert (await node_where(engine, "head")).state is NodeFact.ALIVE


async def test_of_a_group_that_lost_a_node_only_the_missing_bundle_waits(
    cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start
) -> None:
    start("stays", pool("small", CPU=1))
    leaves = start("leaves", pool("small", CPU=1))
    driver = drive(
        """
group = ray.util.placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
group.wait(600)
say("placed")
time.sleep(600)
"""
    )
    assert said_by(driver) == "placed"
    node = await node_where(engine, "stays", lambda node: not node.available.get("CPU", 0))
    assert not any("_group_" in name for name in (*node.total, *node.available))
    cluster.end(leaves)
    view = await view_where(engine, lambda view: bool(view.demand.gangs))
    (gang,) = view.demand.gangs
    assert gang.strategy is Strategy.STRICT_SPREAD
    assert gang.bundles == (Bundle(Resources.of({"CPU": 1})), Bundle(Resources()))
    assert dict(gang.placed) == {"1": "stays"}
    cluster.end(driver)


async def test_drivers_see_what_tasks_on_other_nodes_print(
    cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start
) -> None:
    start("talks", pool("talks", CPU=1, talks=1))
    driver = drive(
        """
@ray.remote(num_cpus=1, resources={"talks": 1})
def speak(): print("a word from the task")
ray.get(speak.remote())
time.sleep(600)
"""
    )
    assert line_of(driver, "a word from the task")
    cluster.end(driver)


async def test_sigterm_ends_a_whole_node_and_ray_knows_at_once(
    cluster: RealCluster, drive: Drive, engine: RayEngine, start: Start
) -> None:
    """Also a program that user code has put into a session of its own, where no signal to a group would reach it."""
    process = start("busy", pool("busy", CPU=1, busy=1))
    driver = drive(
        """
import subprocess
@ray.remote(num_cpus=1, resources={"busy": 1})
class Wanderer:
    def go(self): return subprocess.Popen(["sleep", "600"], start_new_session=True).pid
kept = Wanderer.remote()
say(ray.get(kept.go.remote()))
time.sleep(600)
"""
    )
    wanderer = int(said_by(driver))
    raylet = raylet_of(process)
    process.send_signal(signal.SIGTERM)
    ended_at = time.monotonic()
    process.wait(timeout=PATIENCE_S)
    assert time.monotonic() - ended_at < 5
    assert not runs(raylet)
    assert not runs(wanderer)
    await node_where(engine, "busy", lambda node: node.state is NodeFact.DEAD)
    cluster.end(driver)


@pytest.mark.parametrize("victim", ["raylet", "agent"])
async def test_a_node_that_dies_says_why_and_ends_with_an_error(
    cluster: RealCluster, engine: RayEngine, start: Start, victim: str
) -> None:
    machine = f"dies-by-{victim}"
    process = start(machine, pool("small", CPU=1))
    await node_where(engine, machine)
    raylet = raylet_of(process)
    if victim == "agent":
        agents = Path(f"/proc/{raylet}/task/{raylet}/children")

        async def first_agent() -> list[str]:
            return [pid for task in agents.parent.parent.iterdir() for pid in (task / "children").read_text().split()]

        os.kill(int((await eventually(first_agent, bool))[0]), signal.SIGKILL)
    else:
        os.kill(raylet, signal.SIGKILL)
    killed_at = time.monotonic()
    assert process.wait(timeout=PATIENCE_S) == 1
    await node_where(engine, machine, lambda node: node.state is NodeFact.DEAD)
    print("dead after", round(time.monotonic() - killed_at, 2))
    assert time.monotonic() - killed_at < 10, "Ray alone needs 14 s to notice a kill -9"
    assert "without having been drained" in cluster.output(machine)
    if victim == "agent":
        assert "agent" in cluster.output(machine)


async def test_a_long_or_blank_directory_gets_a_short_one_for_its_sockets(
    cluster: RealCluster, engine: RayEngine, start: Start
) -> None:
    machine = "a long name with blanks " + "x" * 60
    process = start(machine, pool("small", CPU=1))
    await node_where(engine, machine)
    short = (cluster.directory(machine) / "ray").readlink()
    assert short.exists()
    cluster.end(process)
    assert not short.exists()


async def test_no_socket_of_the_head_is_longer_than_the_longest(cluster: RealCluster, engine: RayEngine) -> None:
    await engine.look()
    session = Path(json.loads(cluster.settings.head_path.read_text())["session_dir"])
    sockets = {path.name for path in (session / "sockets").iterdir()}
    assert {"plasma_store", "dash_MetricsHead"} <= sockets
    assert max(map(len, sockets)) <= len(Path(node_main.LONGEST_SOCKET).name)


def test_the_token_is_nowhere_in_command_lines(cluster: RealCluster) -> None:
    token = cluster.settings.token()
    assert len(token) >= 32
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                assert token not in (entry / "cmdline").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
    assert token not in json.dumps(cluster.environment())
    assert cluster.settings.token_path.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(OLDEST, reason="Ray 2.52 cannot resize a node that runs")
async def test_a_node_offers_more_when_its_pod_has_grown(engine: RayEngine, start: Start) -> None:
    start("grows", pool("grows", CPU=1, memory=10**9))
    node = await node_where(engine, "grows")
    await engine.resize(node.id, Resources.of({"CPU": 3, "memory": 2 * 10**9}))
    grown = await eventually(engine.look, lambda view: _total(view, node.id).get("CPU") == 3)
    assert _total(grown, node.id)["memory"] == 2 * 10**9
    with pytest.raises(EngineError):
        await engine.resize("00" * 28, Resources.of({"CPU": 3}))


def _total(view: EngineView, node_id: str) -> dict[str, float]:
    return next(node.total.amounts() for node in view.nodes if node.id == node_id)
