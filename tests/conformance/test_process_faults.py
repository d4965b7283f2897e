"""What goes wrong around real processes: killed controllers, reused pids, full disks, commands that do not exist."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance.controller import Moment, killed_controller
from tests.conformance.machines import JOINS, NODE, QUICK, Fleet, fleet, request, shell

from rayfleet.contracts import Denied, Flaky, Machine, MachineState, Provider, StartScript
from rayfleet.providers.process import Settings, leftovers, procfs
from rayfleet.providers.process.identity import CLUSTER_TAG, MACHINE_ID, MACHINES_FOLDER, cluster_root, cluster_tag
from rayfleet.providers.process.procfs import ProcessKey

PATIENCE_STEPS = 500


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path) as made:
        yield made


async def until(provider: Provider, what: Callable[[tuple[Machine, ...]], bool]) -> tuple[Machine, ...]:
    """List until `what` holds."""
    listed: tuple[Machine, ...] = ()
    for _ in range(PATIENCE_STEPS):
        listed = await provider.list()
        if what(listed):
            return listed
        await asyncio.sleep(0.02)
    raise AssertionError(f"did not happen; listed at last: {listed}")


def all_in(state: MachineState, count: int = 1) -> Callable[[tuple[Machine, ...]], bool]:
    return lambda listed: len(listed) == count and {machine.state for machine in listed} == {state}


def wait_until_dead(child: ProcessKey) -> None:
    """Wait for a child that was killed, and leave asking how it ended to the provider."""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


async def give_back(provider: Provider) -> None:
    """Release everything and wait until it is gone."""
    await provider.release(tuple(machine.id for machine in await provider.list()))
    await until(provider, lambda listed: not listed)
    await provider.close()


# ---- a controller that is killed -------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["recorded", "before_spawn", "after_spawn"])
async def test_a_killed_controller_leaves_nothing_out_and_nothing_twice(machines: Fleet, when: Moment) -> None:
    asked = request("b1", "c1", "c2", "c3")
    killed_controller(machines, "c", asked, when)
    ran = {process.key for process in machines.processes() if process.leader}
    assert len(ran) == (1 if when == "after_spawn" else 0)
    provider = machines.provider()
    assert [machine.batch for machine in await provider.list()] == ["b1"] * 3
    await provider.launch(asked)
    listed = await until(provider, all_in(MachineState.RUNNING, 3))
    leaders = {process.key: process.machine_id for process in machines.processes() if process.leader}
    assert sorted(leaders.values()) == [machine.id for machine in listed]
    assert ran <= leaders.keys(), "the process that ran already is the one that is used"
    await give_back(provider)


async def test_machines_and_their_logs_outlive_the_controller(machines: Fleet) -> None:
    machines.script = shell('echo "hello from $RAYFLEET_MACHINE_ID"; ' + NODE)
    killed_controller(machines, "c", request("b1", "c1"), "after_spawn")
    (leader,) = [process for process in machines.processes() if process.leader]
    found = procfs.stat(leader.key.pid)
    assert found is not None
    assert found.session == leader.key.pid
    provider = machines.provider()
    (machine,) = await until(provider, all_in(MachineState.RUNNING))
    assert (machines.folder / "c" / "logs" / f"{machine.id}.log").read_text() == f"hello from {machine.id}\n"
    await give_back(provider)


# ---- whose process is it? ----------------------------------------------------------------------------------------


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that is nobody's machine."""
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


async def test_a_reused_pid_is_never_signalled(machines: Fleet, stranger: subprocess.Popen[bytes]) -> None:
    """The registry names a pid that is somebody else's by now: same number, another start time."""
    provider = machines.provider()
    await provider.launch(request("b1", "c1"))
    (machine,) = await until(provider, all_in(MachineState.RUNNING))
    await provider.close()
    path = machines.state_dir("c") / MACHINES_FOLDER / f"{machine.id}.json"
    saved = json.loads(path.read_text())
    found = procfs.stat(stranger.pid)
    assert found is not None
    # The machine had it a tick before: the two here may have been started within the same one.
    saved["process"] = {"pid": stranger.pid, "started": found.key.started - 1}
    path.write_text(json.dumps(saved))
    again = machines.provider()
    await give_back(again)
    assert stranger.poll() is None


def test_only_the_very_process_is_signalled(stranger: subprocess.Popen[bytes]) -> None:
    found = procfs.stat(stranger.pid)
    assert found is not None
    assert not procfs.send_signal(ProcessKey(stranger.pid, found.key.started + 1), signal.SIGKILL)
    assert procfs.is_alive(found.key)
    assert procfs.send_signal(found.key, signal.SIGKILL)
    stranger.wait()
    assert not procfs.is_alive(found.key)
    assert not procfs.send_signal(found.key, signal.SIGKILL)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    found = procfs.stat(child.pid)
    assert found is not None
    assert not procfs.is_alive(found.key)
    child.wait()


def test_names_with_spaces_and_brackets_do_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "60"])
    try:
        found = procfs.stat(child.pid)
        assert found is not None
        assert found.parent == os.getpid()
    finally:
        child.kill()
        child.wait()


async def test_everything_that_a_machine_started_ends_with_it(machines: Fleet) -> None:
    """Other groups, other sessions, orphans, deaf to SIGTERM, or without any environment."""
    machines.script = shell(
        "trap '' TERM; setsid sleep 300 & (setsid sleep 301 &) ; sh -c \"trap '' TERM; sleep 302; true\" & "
        "env -i sleep 303 & " + JOINS + "while :; do wait; done"
    )
    provider = machines.provider()
    await provider.launch(request("b1", "c1"))
    await until(provider, all_in(MachineState.RUNNING))
    wanted = {"sleep 300", "sleep 301", "sleep 302", "sleep 303"}
    await until(provider, lambda _: wanted <= {process.command for process in machines.processes()})
    await give_back(provider)
    assert machines.processes() == ()


WAITS = "echo; read -r _"
"""A shell that waits. Its environment can be read once it has said a line, and not from the moment it is started."""


def waiting(env: dict[str, str], script: str = WAITS) -> subprocess.Popen[bytes]:
    """Start a shell, and wait until it says a line."""
    child = subprocess.Popen(["sh", "-c", script], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"\n"
    return child


def test_a_cluster_inside_a_machine_is_another_cluster() -> None:
    """A task may start a cluster of its own; ending the outer one's machine leaves the inner tag alone."""
    outer, inner = f"outer{os.getpid()}:1", f"inner{os.getpid()}:1"
    children = [waiting({**os.environ, CLUSTER_TAG: tag, MACHINE_ID: "c1"}) for tag in (outer, inner)]
    try:
        assert [process.key.pid for process in leftovers.find(outer)] == [children[0].pid]
        assert [process.key.pid for process in leftovers.find(inner)] == [children[1].pid]
        assert leftovers.find(outer[:-1]) == ()
    finally:
        for child in children:
            child.kill()
            child.communicate()


def test_a_process_that_has_lost_its_machines_name_is_its_ancestors() -> None:
    """As Ray's agents do when their title is written over a part of their environment; a machine `?` is nobody's."""
    tag = f"titled{os.getpid()}:1"
    tagged = {**os.environ, CLUSTER_TAG: tag}
    whole = waiting({**tagged, MACHINE_ID: "head-1"}, f"env -u {MACHINE_ID} sh -c '{WAITS}'; true")
    stray = waiting(tagged)
    found: tuple[leftovers.Leftover, ...] = ()
    try:
        found = leftovers.find(tag)
        assert sorted(process.machine_id for process in found) == [leftovers.UNNAMED, "head-1", "head-1"]
        assert {process.machine_id for process in found if process.key.pid == stray.pid} == {leftovers.UNNAMED}
    finally:
        for process in found:
            procfs.send_signal(process.key, signal.SIGKILL)
        for child in (whole, stray):
            child.kill()
            child.communicate()


def test_who_looks_is_never_among_the_leftovers() -> None:
    """`rayfleet down` typed in a shell on the head carries the head's tag itself."""
    tag = f"mine{os.getpid()}:1"
    code = f"from rayfleet.providers.process import leftovers; print(len(leftovers.find('{tag}')))"
    env = {**os.environ, CLUSTER_TAG: tag, MACHINE_ID: "head"}
    script = f'"{Path(sys.executable)}" -c "{code}"; true'
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


# ---- starts that fail --------------------------------------------------------------------------------------------


async def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    made = Fleet(tmp_path, StartScript(("/no/such/raylet", "--fast")))
    provider = made.provider()
    await provider.launch(request("b1", "c1"))
    (machine,) = await until(provider, all_in(MachineState.FAILED))
    assert machine.message == "cannot run /no/such/raylet: No such file or directory"
    await give_back(provider)


async def test_a_start_that_fails_is_repeated_and_says_why(tmp_path: Path) -> None:
    with fleet(tmp_path, 'echo "try $RAYFLEET_MACHINE_ID"; echo "port taken" >&2; exit 4') as made:
        provider = made.provider()
        await provider.launch(request("b1", "c1"))
        (machine,) = await until(provider, all_in(MachineState.FAILED))
        tries = f"try {machine.id} | port taken"
        assert machine.message == f"exited with code 4 before its node joined (attempt 2 of 2): {tries}"  # said once
        await give_back(provider)


async def test_a_start_that_works_the_second_time_is_a_start(tmp_path: Path) -> None:
    script = f'test -e "{tmp_path}/once" || {{ touch "{tmp_path}/once"; exit 1; }}; ' + NODE
    with fleet(tmp_path / "state", script) as made:
        provider = made.provider()
        await provider.launch(request("b1", "c1"))
        (machine,) = await until(provider, all_in(MachineState.RUNNING))
        assert machine.message == ""
        await give_back(provider)


async def test_only_so_many_boot_at_once(tmp_path: Path) -> None:
    """No node ever says that it has joined, so the third waits for a place."""
    settings = QUICK.model_copy(update={"max_concurrent_starts": 2})
    with fleet(tmp_path, "sleep 300", settings) as made:
        provider = made.provider()
        await provider.launch(request("b1", "c1", "c2", "c3"))
        # A process can be seen a moment before the listing knows that it has been started.
        listed = await until(provider, lambda found: [machine.message for machine in found] == ["", "", "queued"])
        assert {machine.state for machine in listed} == {MachineState.STARTING}
        assert len(made.machine_ids()) == 2
        await provider.release((listed[0].id,))
        await until(provider, lambda _: listed[2].id in made.machine_ids())
        await give_back(provider)


async def test_a_machine_that_died_is_failed_in_the_first_listing_after(machines: Fleet) -> None:
    provider = machines.provider()
    await provider.launch(request("b1", "c1"))
    await until(provider, all_in(MachineState.RUNNING))
    (leader,) = [process for process in machines.processes() if process.leader]
    procfs.send_signal(leader.key, signal.SIGKILL)
    wait_until_dead(leader.key)
    (machine,) = await provider.list()
    assert (machine.state, machine.message) == (MachineState.FAILED, "was ended by SIGKILL")
    await give_back(provider)


async def test_a_machine_that_will_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"grace_s": 0.2})
    with fleet(tmp_path, "trap '' TERM; " + JOINS + "while :; do sleep 1; done", settings) as made:
        provider = made.provider()
        await provider.launch(request("b1", "c1"))
        listed = await until(provider, all_in(MachineState.RUNNING))
        await provider.release((listed[0].id,))
        assert [machine.state for machine in await provider.list()] == [MachineState.STOPPING]
        await until(provider, lambda machines: not machines)
        await provider.close()


# ---- folders -----------------------------------------------------------------------------------------------------


async def test_directories_are_private_and_gone_at_the_end(machines: Fleet) -> None:
    provider = machines.provider()
    await provider.launch(request("b1", "c1"))
    await until(provider, all_in(MachineState.RUNNING))
    root = cluster_root(None, cluster_tag("c", machines.state_dir("c")))
    (directory,) = root.iterdir()
    assert (root.stat().st_mode & 0o777, directory.stat().st_mode & 0o777) == (0o700, 0o700)
    await give_back(provider)
    assert not root.exists()


async def test_a_registry_that_cannot_be_read_is_flaky(tmp_path: Path) -> None:
    made = Fleet(tmp_path, shell(NODE))
    made.state_dir("c").mkdir()
    (made.state_dir("c") / MACHINES_FOLDER).write_text("not a folder")
    provider = made.provider()
    for call in (provider.list, lambda: provider.launch(request("b1", "c1")), lambda: provider.release(("c1",))):
        with pytest.raises(Flaky, match="the list of machines cannot be read"):
            await call()
    await provider.close()


@pytest.fixture
def open_root() -> Iterator[Path]:
    """Give a folder with a short name that everybody can write to."""
    root = Path(f"/tmp/rf{os.getpid()}")
    root.mkdir()
    root.chmod(0o777)
    try:
        yield root
    finally:
        root.rmdir()


async def test_a_root_that_others_can_write_is_denied(tmp_path: Path, open_root: Path) -> None:
    made = Fleet(tmp_path, shell(NODE), Settings(root=open_root))
    provider = made.provider()
    with pytest.raises(Denied, match="can be written by others"):
        await provider.launch(request("b1", "c1"))
    assert await provider.list() == ()
    await provider.close()


async def test_listing_a_hundred_machines_costs_little(tmp_path: Path) -> None:
    """The cost per listing in CPU time of this thread: 5 ms is allowed, twice that fails."""
    settings = QUICK.model_copy(update={"max_concurrent_starts": 100})
    with fleet(tmp_path, JOINS + "exec sleep 300", settings) as made:
        provider = made.provider()
        await provider.launch(request("b1", *(f"c{number}" for number in range(100))))
        await until(provider, all_in(MachineState.RUNNING, 100))
        begun = time.thread_time()
        for _ in range(20):
            await provider.list()
        assert (time.thread_time() - begun) / 20 <= 0.010
        await give_back(provider)
