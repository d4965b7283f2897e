"""Machines that cannot start, machines that never join, and work that no machine can ever hold."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.faults import site as sites
from tests.e2e.faults.site import PATIENCE_S, Site, Status, workers

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

BOOT_TIMEOUT_S = 8
POOLS = {
    "good": "resources: {CPU: 1, object_store_memory: 100e6}, max_workers: 2",
    "slow": "resources: {CPU: 1, slow: 1, object_store_memory: 100e6}, max_workers: 1",
}
IMPATIENT = f"boot_timeout_s: {BOOT_TIMEOUT_S}, flaky_first_s: 2"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a cluster that was given all the time for its head, and has little patience with workers."""
    folder = tmp_path_factory.mktemp("machines")
    with sites.site(folder, sites.config("machines", POOLS)) as made:
        made.type("up", made.write(sites.config("machines", POOLS, timeouts=IMPATIENT)))
        yield made


def test_machines_that_cannot_start_are_given_up_with_their_last_words_and_come_when_they_can(clean: Site) -> None:
    """What the head wrote down for those who join it is away: every start fails, until it is back."""
    note, away = clean.home.path / "head.json", clean.home.path / "away.json"
    note.rename(away)
    try:
        driver = clean.driver(
            """
@ray.remote(num_cpus=1, resources={"slow": 1})
def patient(): return where()
tell(at=ray.get(patient.remote()))
"""
        )
        failed = clean.until(lambda s: backing_off(s, "slow"))
        shown = clean.text()
        told = clean.type("why", "slow").stdout
    finally:
        away.rename(note)
    (backoff,) = backing_off(failed, "slow")
    assert backoff["message"] == (
        "launch failed: exited with code 1 before its node joined (attempt 3 of 3): "
        f"rayfleet node: the node cannot start: [Errno 2] No such file or directory: '{note}'"
    )
    assert backoff["message"] in told
    assert f"slow: Flaky ({backoff['message']})" in shown
    assert {"at": clean.one("slow")["node_id"]} == driver.says()
    assert not backing_off(clean.status(), "slow"), "a machine has come: its pool is asked again at once"
    driver.finish()
    clean.until(lambda s: not workers(s, None, None))
    assert {p.machine_id for p in clean.processes()} == {m["machine_id"] for m in clean.status()["machines"]}


def test_a_machine_that_never_joins_is_ended_replaced_and_its_pool_backs_off(clean: Site) -> None:
    before = children(clean.controller)
    driver = clean.driver(
        """
@ray.remote(num_cpus=1, resources={"slow": 1})
def late(): return where()
tell(late=ray.get(late.remote()))
"""
    )
    stopped = stop_first_child(clean.controller, before)
    (hangs,) = workers(clean.until(lambda s: workers(s, "slow", "BOOTING")), "slow", "BOOTING")
    clean.until(lambda s: backing_off(s, "slow"))
    (release,) = [e for e in clean.events() if e.kind == "release" and e.subject == hangs["id"]]
    assert (release.code, f"did not join within {BOOT_TIMEOUT_S} s" in release.text) == ("boot_timeout", True)
    new = clean.one("slow")
    assert new["id"] != hangs["id"]
    assert driver.says() == {"late": new["node_id"]}
    driver.finish()
    sites.wait_for(lambda: not Path(f"/proc/{stopped}").exists())


def test_work_that_no_pool_can_hold_is_named_with_every_pool_while_other_work_goes_on(clean: Site) -> None:
    driver = clean.driver(
        """
@ray.remote(num_cpus=64)
def impossible(): pass
@ray.remote(num_cpus=1, resources={"nosuch": 1})
class Impossible: pass
@ray.remote(num_cpus=1)
def fine(): return where()
waits, actor = impossible.remote(), Impossible.remote()
tell(fine=ray.get(fine.remote()))
await_file("seen")
ray.cancel(waits); ray.kill(actor)
await_file("over")
"""
    )
    assert driver.says()["fine"], "what fits is done all the same"
    seen = clean.until(has_both)
    for shape, kind in (({"CPU": 64}, "CPU"), ({"CPU": 1, "nosuch": 1}, "nosuch")):
        (unmet,) = [u for u in seen["unmet"] if u["shape"] == shape]
        assert (unmet["count"], unmet["reason"]["code"]) == (1, "no_pool_fits")
        verdicts = {v["pool"]: v["reason"] for v in unmet["pools"]}
        assert set(verdicts) == set(POOLS)
        assert {v["code"] for v in verdicts.values()} == {"too_small"}
        assert all(kind in v["text"] for v in verdicts.values())
        told = clean.type("why", json.dumps(shape)).stdout
        assert all(f"  {pool} (" in told for pool in POOLS), told
    for subject in ("{CPU: 64}", "{CPU: 1, nosuch: 1}"):
        driver.printed("(autoscaler", "No available node types can fulfill resource request", subject)
    (clean.folder / "seen").touch()
    clean.until(lambda s: not s["unmet"])
    (clean.folder / "over").touch()
    driver.finish()


def backing_off(status: Status, pool: str) -> list[Status]:
    """Return the back-offs of a pool."""
    return [backoff for backoff in status["backoffs"] if backoff["pool"] == pool]


def has_both(status: Status) -> bool:
    shapes = [unmet["shape"] for unmet in status["unmet"]]
    return {"CPU": 64} in shapes and {"CPU": 1, "nosuch": 1} in shapes


def children(pid: int) -> set[int]:
    """Return the children of all threads of a process."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found |= {int(child) for child in (task / "children").read_text().split()}
        except FileNotFoundError:  # a thread that has just ended
            continue
    return found


def stop_first_child(parent: int, before: set[int]) -> int:
    """Stop the next program that `parent` starts, while its interpreter is still loading, and return its id.

    Not before it is another program than its parent, which waits until then.
    """
    deadline = time.monotonic() + PATIENCE_S
    own = Path(f"/proc/{parent}/cmdline").read_bytes()
    while not (new := [pid for pid in children(parent) - before if Path(f"/proc/{pid}/cmdline").read_bytes() != own]):
        assert time.monotonic() < deadline, "nothing was started"
        time.sleep(0.001)
    (child,) = new
    os.kill(child, signal.SIGSTOP)
    return child
