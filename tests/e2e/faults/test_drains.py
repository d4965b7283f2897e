"""Machines that are drained by order: what runs may finish until the deadline, and nothing is lost after it."""

from collections.abc import Iterator

import pytest
from tests.e2e.faults import site as sites
from tests.e2e.faults.site import Site, workers

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(300)]

DEADLINE_S = 5
PREEMPTED, IDLE = 3, 4  # NodeDeathInfo.Reason of Ray
POOLS = {
    "pair": "resources: {CPU: 3, pair: 3, object_store_memory: 100e6}, max_workers: 3",
    "single": "resources: {CPU: 1, single: 1, object_store_memory: 100e6}, max_workers: 3",
}
FALSE_ALARMS = ("missed too many heartbeats", "removed node", "Traceback", "WorkerCrashedError", "NodeDiedError")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    text = sites.config("drains", POOLS, timeouts=f"drain_timeout_s: {DEADLINE_S}")
    with sites.site(tmp_path_factory.mktemp("drains"), text) as made:
        yield made


def test_a_machine_ends_at_its_deadline_and_its_task_and_actor_go_on_elsewhere(clean: Site) -> None:
    """From the order on no task, actor or group starts on it, though it has room for all of them."""
    driver = clean.driver(
        """
@ray.remote(num_cpus=1, resources={"pair": 1}, max_retries=1)
def work():
    note("worked"); await_file("enough"); return where()
@ray.remote(num_cpus=1, resources={"pair": 1}, max_restarts=1, max_task_retries=1)
class Keeper:
    def where(self): return where()
@ray.remote(num_cpus=0.25, resources={"pair": 0.25}, max_retries=0)
def quick(): return where()
task, keeper = work.remote(), Keeper.remote()
tell(keeper=ray.get(keeper.where.remote()))
await_file("drained")
late = Keeper.options(num_cpus=0.25, resources={"pair": 0.25}).remote()
group = ray.util.placement_group([{"CPU": 0.25, "pair": 0.25}] * 2, strategy="STRICT_PACK")
asked_at, tasks = time.time(), [quick.remote() for _ in range(3)]
group.wait(600)
placed = ray.util.placement_group_table(group)["bundles_to_node_id"].values()
tell(asked_at=asked_at, new=[*ray.get(tasks), ray.get(late.where.remote()), *placed])
tell(task=ray.get(task), keeper=ray.get(keeper.where.remote()))
tell(**{node["NodeID"]: [node["DeathReason"], node["DeathReasonMessage"]] for node in ray.nodes()})
"""
    )
    first = driver.says()["keeper"]
    sites.wait_for(lambda: driver.noted("worked"))
    assert driver.noted("worked") == [first]
    old = clean.one("pair")
    assert old["node_id"] == first
    assert clean.type("drain", clean.name, old["id"], "--why", "its disk is dying").stdout
    (clean.folder / "drained").touch()
    late = driver.says()
    assert len(late["new"]) == 3 + 1 + 2
    assert first not in late["new"]
    clean.until(lambda s: old["id"] not in {m["id"] for m in workers(s, None, None)})
    (clean.folder / "enough").touch()
    told = driver.says()
    assert told["task"] != first
    assert told["keeper"] != first
    clean.until(lambda s: {told["task"], told["keeper"]} <= {m["node_id"] for m in workers(s, None, None)})
    assert driver.noted("worked") == [first, told["task"]]
    lines = {e.kind: e for e in clean.events() if e.subject == old["id"] and e.kind in ("drain", "release")}
    assert "its disk is dying" in lines["drain"].text
    assert "its drain deadline has passed" in lines["release"].text
    assert late["asked_at"] < lines["release"].at
    assert DEADLINE_S - 0.5 < lines["release"].at - lines["drain"].at < DEADLINE_S + 10
    assert [p for p in clean.processes() if p.machine_id == old["machine_id"]] == []
    reason, words = driver.says()[first]
    assert (reason, words.endswith("ordered it: its disk is dying")) == (PREEMPTED, True), "an end that Ray expected"
    driver.finish()


def test_a_drain_lets_running_work_finish_and_fails_nothing_that_waits(clean: Site) -> None:
    """None of these tasks may be tried twice, and no driver reads of a death."""
    driver = clean.driver(
        """
@ray.remote(num_cpus=1, resources={"single": 1}, max_retries=0)
def work(number):
    note("turn"); time.sleep(0.5); return where()
tell(nodes=ray.get([work.remote(number) for number in range(12)]))
"""
    )
    sites.wait_for(lambda: driver.noted("turn"))
    leaves = next(m for m in clean.status()["machines"] if m["node_id"] == driver.noted("turn")[0])
    clean.type("drain", clean.name, leaves["id"])
    nodes = driver.says()["nodes"]
    assert len(nodes) == len(driver.noted("turn")) == 12
    assert leaves["node_id"] in nodes
    assert len(set(nodes)) > 1
    output = driver.finish()
    assert [word for word in FALSE_ALARMS if word in output] == []
    clean.until(lambda s: not workers(s, None, None))
    (release,) = [e for e in clean.events() if e.subject == leaves["id"] and e.kind == "release"]
    assert "its node has left" in release.text


def test_nodes_that_leave_for_being_idle_are_no_news_to_a_driver(clean: Site) -> None:
    driver = clean.driver(
        """
@ray.remote(num_cpus=1, resources={"single": 1})
def work(): return where()
nodes = set(ray.get([work.remote() for _ in range(2)]))
tell(nodes=len(nodes))
await_file("idle")
tell(again=ray.get(work.remote()))
tell(ends=[[node["DeathReason"], node["DeathReasonMessage"]] for node in ray.nodes() if node["NodeID"] in nodes])
"""
    )
    nodes = driver.says()["nodes"]
    clean.until(lambda s: not workers(s, None, None))
    (clean.folder / "idle").touch()
    assert driver.says()["again"]
    ends = driver.says()["ends"]
    assert [(reason, "idle for" in words) for reason, words in ends] == [(IDLE, True)] * nodes
    output = driver.finish()
    assert [word for word in (*FALSE_ALARMS, "died", "dead") if word in output] == []
    assert "(autoscaler" in output, "what is told in its place"
    assert "Removing 1 nodes of type single (idle)." in output or "Removing 2 nodes of type single (idle)." in output
