"""The small parts of provider `process`: names, records, settings, the catalogue."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from rayfleet.contracts import StartScript
from rayfleet.model import CPU, MEMORY, OBJECT_STORE, FrozenMap, Market, OfferKey, Pool, Resources
from rayfleet.providers.process import PROVIDER, Settings
from rayfleet.providers.process.catalogue import (
    MEMORY_SHARE,
    Computer,
    default_head,
    default_max_workers,
    default_pools,
    this_computer,
)
from rayfleet.providers.process.identity import cluster_root, cluster_tag, machine_directory
from rayfleet.providers.process.procfs import ProcessKey
from rayfleet.providers.process.record import Record, Stage
from rayfleet.providers.process.registry import Registry
from rayfleet.providers.process.remarks import large_stores
from rayfleet.providers.process.settings import ROOT_CHARACTERS_MAX

UNIX_SOCKET_PATH_MAX = 107
RAY_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
GIB = 2**30


def record(machine_id: str = "c1-ab12", batch: str = "b1") -> Record:
    return Record(
        id=machine_id,
        slot=(batch, "c1", 0),
        offer=OfferKey("cpu1", "process", market=Market.SPOT),
        script=StartScript(("sh", "-c", "true"), FrozenMap({"A": "ü\n"})),
        head=True,
        queued_at=12.5,
        stage=Stage.RUNNING,
        process=ProcessKey(42, 4711),
        boot="b",
        kill_at=3.0,
    )


def test_a_record_survives_its_file() -> None:
    assert Record.from_json(record().to_json()) == record()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"slot": 1}', record().to_json()[:-20]])
def test_a_damaged_record_is_named_and_does_not_hide_the_others(tmp_path: Path, text: str) -> None:
    registry = Registry(tmp_path)
    registry.load()
    registry.save(record())
    (tmp_path / "machines" / "bad.json").write_text(text)
    held = registry.load()
    assert held.machines == (record(),)
    assert held.unreadable == ("bad",)


def test_records_are_for_this_user_only(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.load()
    registry.save(record())
    (path,) = (tmp_path / "machines").glob("*.json")
    assert path.stat().st_mode & 0o077 == 0


def test_an_end_that_was_cut_off_in_the_middle_is_finished(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.load()
    registry.end(record())
    registry.save(record())
    held = registry.load()
    assert held.machines == ()
    assert held.ended == {("b1", "c1", 0)}
    assert list((tmp_path / "machines").glob("*.json")) == []


def test_only_so_many_ended_machines_are_remembered_with_their_logs(tmp_path: Path) -> None:
    registry = Registry(tmp_path, ended_kept=10)
    registry.load()
    for number in range(15):
        registry.end(record(f"c{number}", f"b{number}"))
        os.utime(tmp_path / "machines" / "ended" / f"c{number}", (number, number))
        registry.log(f"c{number}").touch()
    held = registry.load()
    assert held.ended == {(f"b{number}", "c1", 0) for number in range(5, 15)}
    assert sorted(path.stem for path in registry.logs.iterdir()) == sorted(f"c{number}" for number in range(5, 15))


def test_a_slash_in_an_id_leads_nowhere(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.load()
    registry.save(record("../../etc/c1"))
    assert [machine.id for machine in registry.load().machines] == ["../../etc/c1"]
    assert machine_directory(tmp_path, "../c1").parent == tmp_path


def test_clusters_of_one_name_in_two_places_differ(tmp_path: Path) -> None:
    tags = {cluster_tag("c", tmp_path / "a"), cluster_tag("c", tmp_path / "b"), cluster_tag("d", tmp_path / "a")}
    assert len(tags) == 3
    assert len({cluster_root(None, tag) for tag in tags}) == 3


@pytest.mark.parametrize("machine_id", ["c1-ab12", "a-very-long-claim-name-17.3-ab12"])
@pytest.mark.parametrize("root", ["/" + "r" * (ROOT_CHARACTERS_MAX - 1), f"/tmp/rayfleet-{2**32 - 1}"])
def test_rays_sockets_fit_below_a_machines_directory(tmp_path: Path, root: str, machine_id: str) -> None:
    assert Settings(root=Path(root)).root == Path(root)
    directory = machine_directory(cluster_root(Path(root), cluster_tag("c", tmp_path)), machine_id)
    assert len(f"{directory}{RAY_SOCKET}") <= UNIX_SOCKET_PATH_MAX


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grace": 5}, "Extra inputs are not permitted"),
        ({"max_concurrent_starts": 0}, "greater than or equal to 1"),
        ({"start_attempts": 0}, "greater than or equal to 1"),
        ({"grace_s": -1}, "greater than or equal to 0"),
        ({"root": "relative"}, "must be an absolute path"),
        ({"root": "/" + "x" * 50}, "must be at most"),
    ],
)
def test_settings_say_what_is_wrong(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(settings)


def test_the_entry_is_light() -> None:
    """Checking a configuration must not load the supervisor or anything of Ray."""
    code = "import sys, rayfleet.providers.process; print([m for m in sys.modules if 'supervisor' in m or m == 'ray'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert PROVIDER.name == "process"
    assert PROVIDER.settings() == Settings()


# ---- catalogue -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("computer", [Computer(1, 2 * GIB), Computer(2, 24 * GIB), Computer(64, 512 * GIB)])
def test_default_pools_fit_into_the_computers_memory(computer: Computer) -> None:
    pools = default_pools(computer)
    assert [(pool.name, pool.resources.amounts()[CPU]) for pool in pools] == [("cpu1", 1), ("cpu2", 2), ("cpu4", 4)]
    most = default_max_workers(computer)
    assert {pool.max_workers for pool in pools} == {most}
    largest = max(pool.resources.amounts()[MEMORY] for pool in pools)
    assert largest * most <= computer.memory_bytes * MEMORY_SHARE
    assert most >= 1


def test_two_cores_carry_more_logical_cpus_than_a_demo_needs() -> None:
    assert default_max_workers(Computer(2, 24 * GIB)) == 12


def test_the_head_has_no_cpus() -> None:
    assert CPU not in default_head(Computer(2, 24 * GIB)).resources


@pytest.mark.parametrize(
    ("store", "memory", "shared", "text"),
    [
        (9, 8, 4, "is 9.0 GiB, but /dev/shm on this machine holds 4.0 GiB: objects will lie on disk, which is slow"),
        (5, 8, 0, "is 5.0 GiB, but /dev/shm on this machine holds 0.0 GiB: objects will lie on disk, which is slow"),
        (2048, 8, 4096, "is 2,048.0 GiB, but this machine has 8.0 GiB of memory"),
        (4, 8, 4, None),
        (0, 8, 0, None),
    ],
)
def test_an_object_store_beyond_this_machine_is_told_with_both_figures(
    store: int, memory: int, shared: int, text: str | None
) -> None:
    pools = (Pool("p", Resources.of({OBJECT_STORE: store * GIB})), Pool("silent", Resources.of({CPU: 1})))
    found = list(large_stores(pools, memory * GIB, shared * GIB))
    assert found == ([("p", OBJECT_STORE, text)] if text else [])


@pytest.mark.parametrize(
    ("cpu", "memory", "cores", "gib"),
    [("max 100000", "max", None, None), ("150000 100000", str(2 * GIB), 1, 2), ("50000 100000", "max", 1, None)],
)
def test_a_containers_limits_count(tmp_path: Path, cpu: str, memory: str, cores: int | None, gib: int | None) -> None:
    (tmp_path / "cpu.max").write_text(cpu)
    (tmp_path / "memory.max").write_text(memory)
    bare = this_computer(tmp_path / "no-cgroup")
    found = this_computer(tmp_path)
    assert found.cores == (bare.cores if cores is None else min(bare.cores, cores))
    assert found.memory_bytes == (bare.memory_bytes if gib is None else min(bare.memory_bytes, gib * GIB))
