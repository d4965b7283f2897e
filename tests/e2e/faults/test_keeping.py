"""What keeps a node and what does not: objects in memory, on disk and copied, actors without CPUs, blocked workers.

A witness, a node of the same pool that nothing keeps, leaves first: only then does it mean something that the other
stays.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.faults import site as sites
from tests.e2e.faults.site import Site, Status, workers

from rayfleet.providers.process.identity import cluster_root, cluster_tag, machine_directory

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(300)]

POOLS = {
    "plain": "resources: {CPU: 1, plain: 1, object_store_memory: 100e6}, max_workers: 3",
    "gpu": "resources: {CPU: 4, GPU: 1, object_store_memory: 100e6}, max_workers: 1",
    "tpu": "resources: {CPU: 1, TPU: 4, object_store_memory: 100e6}, max_workers: 1",
}
HOLD = """
@ray.remote(num_cpus=1, resources={"plain": 1})
class Holder:
    def where(self): return where()
"""
"""An actor that fills a node of pool plain."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("keeping")
    with sites.site(folder, sites.config("keeping", POOLS, max_workers=4)) as made:
        yield made


@pytest.fixture
def empty(clean: Site) -> Site:
    """Return the cluster without workers."""
    clean.until(lambda s: not workers(s, None, None))
    for path in clean.folder.glob("*.go"):
        path.unlink()
    return clean


def go(site: Site, word: str) -> None:
    """Let a program go on that waits for this word."""
    (site.folder / f"{word}.go").touch()


def node_ids(status: Status) -> set[str]:
    return {machine["node_id"] for machine in workers(status)}


def outlives(site: Site, keeper: str, witness: str) -> Status:
    """Wait until the witness is gone; the keeper must be there and in use."""
    status = site.until(lambda s: witness not in node_ids(s))
    (kept,) = [machine for machine in workers(status) if machine["node_id"] == keeper]
    assert kept["idle_s"] == 0
    assert kept["reason"]["code"] == "busy"
    return status


def leaves(site: Site, node: str) -> None:
    """Wait until a node has left because it was idle."""
    (machine,) = [machine for machine in site.machines(None, None) if machine["node_id"] == node]
    site.until(lambda s: machine["id"] not in {m["id"] for m in workers(s, None, None)})
    (gone,) = [event for event in site.events() if event.kind == "gone" and event.subject == machine["id"]]
    assert "idle for" in gone.text


OBJECTS = """
@ray.remote(num_cpus=1, resources={"plain": 1})
class Maker:
    def where(self): return where()
    def make(self, size): return bytes(size)
    def take(self, thing): return len(thing)
maker, witness = Maker.remote(), Maker.remote()
tell(maker=ray.get(maker.where.remote()), witness=ray.get(witness.where.remote()))
"""


def test_an_object_keeps_its_node_and_its_copies_do_not(empty: Site) -> None:
    """The witness holds a copy, for a task has read it there."""
    driver = empty.driver(
        OBJECTS
        + """
thing = maker.make.remote(20_000_000)
tell(copied=ray.get(witness.take.remote(thing)))
ray.kill(maker); ray.kill(witness)
await_file("forget.go")
del thing
await_file("end.go")
"""
    )
    nodes = driver.says()
    assert driver.says() == {"copied": 20_000_000}
    (kept,) = workers(outlives(empty, nodes["maker"], nodes["witness"]))
    assert kept["used"]["object_store_memory"] >= 20_000_000
    go(empty, "forget")
    leaves(empty, nodes["maker"])
    go(empty, "end")
    driver.finish()


def test_an_object_that_was_moved_to_disk_keeps_its_node(empty: Site) -> None:
    """Four objects are more than its memory holds; the oldest, which was moved, is all that stays."""
    driver = empty.driver(
        OBJECTS
        + """
things = []
for _ in range(4):
    things.append(maker.make.remote(40_000_000)); ray.wait(things[-1:], fetch_local=False)
del things[1:]
ray.kill(maker); ray.kill(witness)
tell(made=len(things))
await_file("forget.go")
things.clear()
await_file("end.go")
"""
    )
    nodes = driver.says()
    assert driver.says() == {"made": 1}
    keeper = next(m for m in empty.machines() if m["node_id"] == nodes["maker"])
    outlives(empty, nodes["maker"], nodes["witness"])
    assert [path.stat().st_size >= 40_000_000 for path in spilled(empty, keeper["machine_id"])] == [True]
    go(empty, "forget")
    leaves(empty, nodes["maker"])
    go(empty, "end")
    driver.finish()


def spilled(site: Site, machine_id: str) -> list[Path]:
    """Return the files with objects that a machine has moved to disk."""
    root = cluster_root(None, cluster_tag(site.name, site.home.path))
    return list(machine_directory(root, machine_id).glob("**/ray_spilled_objects_*/*"))


def test_an_actor_that_needs_no_cpu_gets_a_node_and_keeps_it(empty: Site) -> None:
    """Ray's default actor takes no CPU while it lives, and one to be placed. The node is of no GPU, neither."""
    driver = empty.driver(
        HOLD
        + """
@ray.remote
class Default:
    def where(self): return where()
witness = Holder.remote()
tell(witness=ray.get(witness.where.remote()))
kept = Default.remote()
second = Holder.remote()
tell(kept=ray.get(kept.where.remote()), second=ray.get(second.where.remote()))
ray.kill(witness); ray.kill(second)
await_file("forget.go")
tell(still=ray.get(kept.where.remote()))
ray.kill(kept)
await_file("end.go")
"""
    )
    witness = driver.says()["witness"]
    nodes = driver.says()
    assert {m["pool"] for m in empty.machines()} == {"plain"}
    others = {witness, nodes["second"]} - {nodes["kept"]}
    status = empty.until(lambda s: not others & node_ids(s))
    assert node_ids(status) == {nodes["kept"]}
    go(empty, "forget")
    assert driver.says() == {"still": nodes["kept"]}
    leaves(empty, nodes["kept"])
    go(empty, "end")
    driver.finish()


def test_a_worker_that_waits_for_another_keeps_its_node(empty: Site) -> None:
    """It is blocked in `get`, so that its CPU is free; its task may not be tried again."""
    driver = empty.driver(
        HOLD
        + """
@ray.remote(num_cpus=1)
def inner(): note("inner"); await_file("forget.go"); return where()
@ray.remote(num_cpus=1, resources={"plain": 1}, max_retries=0)
def outer():
    note("outer"); return where(), ray.get(inner.options(resources={"plain": 1}).remote())
waits = outer.remote()
await_file("inner")
witness = Holder.remote()
tell(witness=ray.get(witness.where.remote()))
ray.kill(witness)
outer, inner = ray.get(waits)
tell(outer=outer, inner=inner)
"""
    )
    witness = driver.says()["witness"]
    status = empty.until(lambda s: witness not in node_ids(s))
    ((outer,), (inner,)) = driver.noted("outer"), driver.noted("inner")
    assert node_ids(status) == {outer, inner}
    go(empty, "forget")
    assert driver.says() == {"outer": outer, "inner": inner}
    driver.finish()


def test_a_machine_with_a_gpu_comes_for_other_work_only_when_nothing_else_can(empty: Site) -> None:
    driver = empty.driver(
        """
@ray.remote(num_cpus=1)
def small(): return where()
@ray.remote(num_cpus=4)
def big(): return where()
tell(small=ray.get(small.remote()))
await_file("big.go")
tell(big=ray.get(big.remote()))
"""
    )
    assert empty.one("plain")["node_id"] == driver.says()["small"]
    assert len(empty.machines(None, None)) == 1
    go(empty, "big")
    assert empty.one("gpu")["node_id"] == driver.says()["big"]
    driver.finish()


def test_machines_with_a_gpu_or_a_tpu_come_for_the_work_that_needs_one(empty: Site) -> None:
    driver = empty.driver(
        """
@ray.remote(num_cpus=1)
def work(): await_file("end.go"); return where()
gpu, tpu = work.options(num_gpus=1).remote(), work.options(resources={"TPU": 4}).remote()
tell(gpu=ray.get(gpu), tpu=ray.get(tpu))
"""
    )
    status = empty.until(lambda s: {m["pool"] for m in workers(s)} == {"gpu", "tpu"})
    assert len(workers(status, None, None)) == 2
    came = {m["pool"]: m["node_id"] for m in workers(status)}
    go(empty, "end")
    assert driver.says() == came
    driver.finish()
