"""The pretend Ray does what the real one does, as far as the loop can see."""

import pytest

from rayfleet.contracts import DrainRefused, EngineDown, LaunchRequest, Node
from rayfleet.model import NodeFact, OfferKey, Pool, Resources
from rayfleet.testing.fake_engine import FakeEngine, node_of
from rayfleet.testing.fake_provider import FakePlace, ManualClock

CPU1 = Resources.of({"CPU": 1})
CPU4 = Pool("cpu4", Resources.of({"CPU": 4}))
HEAD = Pool("head", Resources.of({"memory": 1e9}))


class Scene:
    """A place with a clock that a test moves, and an engine on it."""

    def __init__(self, *, needs_head: bool = False) -> None:
        self.clock = ManualClock()
        self.place = FakePlace(self.clock, boot_s=2)
        pools = {pool.name: pool for pool in (CPU4, HEAD)}
        self.engine = FakeEngine(self.clock, pools, self.place.listed, join_s=1, needs_head=needs_head)

    def launch(self, *claims: str, pool: Pool = CPU4, head: bool = False) -> None:
        self.place.make(LaunchRequest(f"b-{claims[0]}", OfferKey(pool.name), pool, claims, head=head))

    async def nodes_after(self, seconds: float) -> dict[str, Node]:
        self.clock.advance(seconds)
        return {node.instance_id: node for node in (await self.engine.look()).nodes}


async def test_a_node_joins_after_its_machine_runs() -> None:
    scene = Scene()
    scene.launch("c1")
    assert await scene.nodes_after(2.0) == {}
    (node,) = (await scene.nodes_after(1.0)).values()
    assert (node.id, node.state, node.total) == (node_of("c1-1"), NodeFact.ALIVE, CPU4.resources)


async def test_work_waits_runs_and_ends() -> None:
    scene = Scene()
    scene.engine.submit(CPU1, count=5, run_s=10)
    assert [(task.count, task.age_s) for task in (await scene.engine.look()).demand.tasks] == [(5, 0.0)]
    scene.launch("c1")
    await scene.nodes_after(2)
    nodes = await scene.nodes_after(1)
    assert (nodes["c1-1"].available, nodes["c1-1"].idle_s) == (Resources(), 0.0)
    assert [task.count for task in (await scene.engine.look()).demand.tasks] == [1]
    await scene.nodes_after(10)
    nodes = await scene.nodes_after(10)
    assert (scene.engine.done, nodes["c1-1"].available) == (5, CPU4.resources)
    assert (await scene.nodes_after(7))["c1-1"].idle_s == 7.0


async def test_a_busy_node_refuses_an_idle_drain_and_leaves_a_forced_one_when_it_is_done() -> None:
    scene = Scene()
    scene.launch("c1")
    scene.engine.submit(CPU1, run_s=10)
    await scene.nodes_after(2)
    await scene.nodes_after(1)
    with pytest.raises(DrainRefused):
        await scene.engine.drain(node_of("c1-1"), 0.0, "idle", voluntary=True)
    await scene.engine.drain(node_of("c1-1"), 0.0, "order", voluntary=False)
    assert (await scene.nodes_after(0))["c1-1"].state is NodeFact.DRAINING
    assert (await scene.nodes_after(10))["c1-1"].state is NodeFact.DEAD


async def test_an_idle_node_leaves_at_once() -> None:
    scene = Scene()
    scene.launch("c1")
    await scene.nodes_after(2)
    await scene.nodes_after(1)
    await scene.engine.drain(node_of("c1-1"), 0.0, "idle", voluntary=True)
    assert (await scene.nodes_after(0))["c1-1"].state is NodeFact.DEAD


async def test_unknown_nodes_and_the_head_are_not_drained() -> None:
    scene = Scene()
    scene.launch("h1", pool=HEAD, head=True)
    await scene.nodes_after(2)
    await scene.nodes_after(1)
    for name in ("nobody", node_of("h1-1")):
        with pytest.raises(DrainRefused):
            await scene.engine.drain(name, 0.0, "order", voluntary=False)


async def test_work_of_a_killed_node_waits_again() -> None:
    scene = Scene()
    scene.launch("c1")
    scene.engine.submit(CPU1, run_s=10)
    await scene.nodes_after(2)
    await scene.nodes_after(1)
    scene.engine.kill_node("c1-1")
    assert (await scene.nodes_after(0))["c1-1"].state is NodeFact.DEAD
    assert [task.count for task in (await scene.engine.look()).demand.tasks] == [1]


async def test_a_machine_that_is_away_takes_its_node_with_it() -> None:
    scene = Scene()
    scene.launch("c1")
    await scene.nodes_after(2)
    await scene.nodes_after(1)
    scene.place.vanish("c1-1")
    assert (await scene.nodes_after(0))["c1-1"].state is NodeFact.DEAD


async def test_without_a_head_nobody_answers() -> None:
    scene = Scene(needs_head=True)
    with pytest.raises(EngineDown):
        await scene.engine.look()
    scene.launch("h1", pool=HEAD, head=True)
    with pytest.raises(EngineDown):
        await scene.nodes_after(2)
    assert (await scene.nodes_after(1))["h1-1"].head


async def test_an_outage() -> None:
    scene = Scene()
    scene.engine.down = True
    with pytest.raises(EngineDown):
        await scene.engine.look()
