"""Killed with kill -9: a raylet in mid-run, the GCS, and the controller while it makes the cluster grow."""

import os
import signal
from collections.abc import Iterator

import pytest
from tests.e2e.faults import site as sites
from tests.e2e.faults.site import Site, wait_for, workers

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

POOLS = {
    "three": "resources: {CPU: 3, box: 3, object_store_memory: 100e6}, max_workers: 3",
    "extra": "resources: {CPU: 1, extra: 1, object_store_memory: 100e6}, max_workers: 3",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.site(tmp_path_factory.mktemp("killed"), sites.config("killed", POOLS)) as made:
        yield made


def test_a_raylet_that_is_killed_costs_no_task_no_actor_and_no_object(clean: Site) -> None:
    """All three were on its node; each goes on at another, and the node is replaced."""
    driver = clean.driver(
        """
@ray.remote(num_cpus=1, resources={"box": 1}, max_retries=1)
def work():
    note("worked"); await_file("go"); return where()

@ray.remote(num_cpus=1, resources={"box": 1}, max_restarts=1, max_task_retries=1)
class Keeper:
    def where(self): return where()

@ray.remote(num_cpus=1, resources={"box": 1}, max_retries=1)
def make():
    note("made"); return bytes(5_000_000)

task, keeper, thing = work.remote(), Keeper.remote(), make.remote()
ray.wait([thing], fetch_local=False)
tell(keeper=ray.get(keeper.where.remote()))
tell(task=ray.get(task), keeper=ray.get(keeper.where.remote()), thing=len(ray.get(thing)))
"""
    )
    first = driver.says()["keeper"]
    wait_for(lambda: driver.noted("worked"))
    assert (driver.noted("worked"), driver.noted("made")) == ([first], [first])
    old = clean.one("three")
    assert old["node_id"] == first

    os.kill(clean.process(old["machine_id"], "raylet"), signal.SIGKILL)

    replaced = clean.until(lambda s: [m for m in workers(s, "three") if m["id"] != old["id"]])
    (new,) = workers(replaced, "three")
    wait_for(lambda: len(driver.noted("worked")) == 2)
    (clean.folder / "go").touch()
    second = new["node_id"]
    assert driver.says() == {"task": second, "keeper": second, "thing": 5_000_000}
    assert driver.noted("worked") == [first, second], "the task was retried"
    assert driver.noted("made") == [first, second], "the object was made again"
    gone = [event for event in clean.events() if event.kind == "gone" and event.subject == old["id"]]
    assert [event.code for event in gone] in (["node_died"], ["machine_failed"])  # whoever is heard first
    assert [p for p in clean.processes() if p.machine_id == old["machine_id"]] == []


def test_a_gcs_that_is_killed_takes_nothing_with_it(clean: Site) -> None:
    """A detached actor, a running driver and every node go on; then the cluster grows and shrinks as before."""
    maker = clean.driver(
        """
@ray.remote(num_cpus=1, resources={"box": 1})
class Survivor:
    def where(self): return where()
kept = Survivor.options(name="survivor", namespace="faults", lifetime="detached").remote()
tell(where=ray.get(kept.where.remote()))
"""
    )
    home = maker.says()["where"]
    maker.finish()
    witness = clean.driver(
        """
kept = ray.get_actor("survivor", namespace="faults")
for turn in range(10_000):
    if os.path.exists("grow"): break
    tell(turn=turn, where=ray.get(kept.where.remote())); time.sleep(0.1)
@ray.remote(num_cpus=1, resources={"extra": 1})
def far(): return where()
tell(far=ray.get(far.remote()))
ray.kill(kept)
"""
    )
    assert witness.says() == {"turn": 0, "where": home}
    old = {m["id"]: m["node_id"] for m in workers(clean.until(lambda s: s["engine_up"]))}
    assert home in old.values()
    head = next(m for m in clean.status()["machines"] if m["head"])

    os.kill(clean.process(head["machine_id"], "gcs_server"), signal.SIGKILL)
    clean.until(lambda s: not s["engine_up"])
    after = clean.until(lambda s: s["engine_up"])

    assert {m["id"]: m["node_id"] for m in workers(after)}.items() <= old.items()
    assert home in [m["node_id"] for m in workers(after)]
    (clean.folder / "grow").touch()
    assert {"far": clean.one("extra")["node_id"]} == said_last(witness)
    witness.finish()
    clean.until(lambda s: not workers(s, None, None))
    assert {e.code for e in clean.events() if e.kind == "gone" and e.subject in old} <= {"idle", "drained"}


def said_last(witness: sites.Driver) -> dict[str, object]:
    """Return the first thing it says that is not its turn."""
    while "turn" in (said := witness.says()):
        pass
    return said


def test_a_controller_that_is_killed_while_it_grows_doubles_and_loses_nothing(clean: Site) -> None:
    """Between the provider's call and the next tick: `up` takes over, and the work finishes on as many as it needs."""
    driver = clean.driver(
        """
@ray.remote(num_cpus=1, resources={"extra": 1}, max_retries=0)
def far():
    await_file("enough"); return where()
tell(nodes=len(set(ray.get([far.remote() for _ in range(3)]))))
"""
    )
    grown = clean.until(lambda s: len(workers(s, "extra", None)) == 3 and len(workers(s, "extra")) < 3)
    clean.kill_controller()
    assert "has no controller" in clean.type("list").stdout or "gone" in clean.status()["warning"]
    clean.type("up", clean.name)
    ready = clean.until(lambda s: len(workers(s, "extra")) == 3)
    names = {m["id"] for m in workers(grown, "extra", None)}
    assert {m["id"] for m in workers(ready, "extra", None)} == names
    (clean.folder / "enough").touch()
    assert driver.says() == {"nodes": 3}
    driver.finish()
    machines = {p.machine_id for p in clean.processes()}
    assert len(machines) <= 4, "three workers and the head"
    clean.until(lambda s: not workers(s, None, None))
