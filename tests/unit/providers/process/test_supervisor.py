"""The supervisor on a pretend computer: queue, retries, endings and recovery, step by step."""

import signal
from pathlib import Path

import pytest

from rayfleet.contracts import Denied, Flaky, LaunchRequest, Machine, MachineState, StartScript
from rayfleet.model import CPU, FrozenMap, OfferKey, Pool, Resources
from rayfleet.providers.process.host import RootNotOursError
from rayfleet.providers.process.identity import MACHINES_FOLDER
from rayfleet.providers.process.registry import ENDED_FOLDER, Registry
from rayfleet.providers.process.settings import Settings
from rayfleet.providers.process.supervisor import DISK_RETRY_S, FORGET_EVERY, POLL_S, Site, Supervisor
from rayfleet.testing.fake_host import FakeHost
from rayfleet.testing.fake_provider import ManualClock

POOL = Pool("cpu1", Resources.of({CPU: 1}))
SCRIPT = StartScript(("node",), FrozenMap({"COLOUR": "red"}))
RULES = Settings(start_attempts=3, start_window_s=30, retry_delay_s=1, grace_s=5)


class World:
    """One cluster on a pretend computer."""

    def __init__(self, folder: Path, starts_max: int = 2, rules: Settings = RULES) -> None:
        self.clock = ManualClock()
        self.host = FakeHost(self.clock)
        self.folder = folder
        self._site = Site("c", Path("/machines"), rules, starts_max)
        self.supervisor = self.restarted()

    def restarted(self) -> Supervisor:
        """Begin anew from files and processes, as a new controller does."""
        self.supervisor = Supervisor(self._site, Registry(self.folder), self.host)
        self.supervisor.open()
        return self.supervisor

    def ask(self, *claims: str, batch: str = "b1", hosts: int = 1, head: bool = False) -> None:
        request = LaunchRequest(batch, OfferKey("cpu1"), POOL, claims, hosts, head)
        self.supervisor.add(request, SCRIPT)

    def machines(self) -> tuple[Machine, ...]:
        return self.supervisor.listing()[0]

    def one(self) -> Machine:
        (machine,) = self.machines()
        return machine

    def states(self) -> list[str]:
        return [machine.state.value for machine in self.machines()]

    def step(self, after_s: float = 0.0) -> float | None:
        self.clock.advance(after_s)
        return self.supervisor.step()

    def running_machine(self) -> str:
        """Return the id of a machine whose node has joined."""
        self.ask("c1")
        self.step()
        machine_id = self.one().id
        self.host.join(machine_id)
        self.step(POLL_S)
        assert self.one().state is MachineState.RUNNING
        return machine_id


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def files(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / MACHINES_FOLDER).glob("*.json"))


# ---- starting ----------------------------------------------------------------------------------------------


def test_a_machine_gets_its_command_its_variables_and_a_directory(world: World) -> None:
    world.ask("c1")
    world.step()
    (spawn,) = world.host.spawned
    machine_id = world.one().id
    assert spawn.argv == ("node",)
    assert spawn.env == {"COLOUR": "red", "RAYFLEET_CLUSTER": "c", "RAYFLEET_MACHINE_ID": machine_id}
    assert spawn.directory.parent == Path("/machines")
    assert spawn.log == world.folder / "logs" / f"{machine_id}.log"


def test_ids_come_from_claims_and_hosts_and_sort_like_them(world: World) -> None:
    world.ask("c10", "c1", "c2")
    world.ask("r1", batch="b2", hosts=2)
    assert [machine.id.rpartition("-")[0] for machine in world.machines()] == ["c1", "c10", "c2", "r1.0", "r1.1"]


def test_no_more_boot_at_once_than_allowed_and_the_head_is_first(world: World) -> None:
    world.ask("c1", "c2", "c3")
    world.ask("head", batch="b2", head=True)
    world.step()
    assert [spawn.env["RAYFLEET_MACHINE_ID"].rpartition("-")[0] for spawn in world.host.spawned] == ["head", "c1"]
    assert world.states() == ["starting"] * 4
    assert [machine.message for machine in world.machines()] == ["", "queued", "queued", ""]
    world.host.join(world.machines()[-1].id)
    world.step(POLL_S)
    assert len(world.host.spawned) == 3


def test_a_start_that_says_nothing_gives_its_place_up_after_the_window(world: World) -> None:
    world.ask("c1", "c2", "c3")
    world.step()
    world.step(RULES.start_window_s - 1)
    assert len(world.host.spawned) == 2
    world.step(1)
    assert world.states() == ["running", "running", "starting"]


def test_a_failed_start_is_repeated_later_each_time_then_given_up_with_its_last_words(world: World) -> None:
    world.ask("c1")
    machine_id = world.one().id
    world.host.logs[f"{machine_id}.log"] = "no port | giving up"
    for attempt, pause_s in [(1, 1.0), (2, 2.0)]:
        world.step()
        assert len(world.host.spawned) == attempt
        world.host.exit(machine_id, code=7)
        assert world.step(POLL_S) == pause_s
        assert world.one().state is MachineState.STARTING
        world.clock.advance(pause_s)
    world.step()
    world.host.exit(machine_id, code=7)
    assert world.step(POLL_S) is None
    assert world.one().state is MachineState.FAILED
    assert world.one().message == ("exited with code 7 before its node joined (attempt 3 of 3): no port | giving up")
    assert world.one().id == machine_id


def test_a_failed_start_frees_its_place_for_the_next(world: World) -> None:
    world.ask("c1", "c2", "c3")
    world.step()
    world.host.exit(world.machines()[0].id, code=1)
    world.step(POLL_S)
    assert [spawn.env["RAYFLEET_MACHINE_ID"][:2] for spawn in world.host.spawned] == ["c1", "c2", "c3"]


def test_what_a_failed_start_left_running_is_ended_before_the_next_attempt(world: World) -> None:
    world.ask("c1")
    world.step()
    machine_id = world.one().id
    child = world.host.add_child(machine_id)
    child.immortal = True
    world.host.exit(machine_id, code=1)
    world.step(POLL_S)
    world.step(1)
    assert len(world.host.spawned) == 1
    child.exit_code = -9
    world.step(POLL_S)
    assert len(world.host.spawned) == 2


def test_a_command_that_does_not_exist_fails_at_once(world: World) -> None:
    world.host.spawn_errors = [FileNotFoundError(2, "No such file or directory", "node")]
    world.ask("c1")
    world.step()
    assert world.one().state is MachineState.FAILED
    assert world.one().message == "cannot run node: No such file or directory"


def test_a_computer_that_cannot_start_processes_now_is_asked_again(world: World) -> None:
    world.host.spawn_errors = [BlockingIOError(11, "Resource temporarily unavailable")]
    world.ask("c1")
    assert world.step() == pytest.approx(RULES.retry_delay_s)
    world.step(RULES.retry_delay_s)
    assert len(world.host.spawned) == 1


def test_a_folder_that_is_not_ours_is_denied_and_other_trouble_with_it_is_flaky(world: World) -> None:
    world.host.prepare_error = RootNotOursError("/machines is not a directory of this user")
    with pytest.raises(Denied, match="not a directory of this user"):
        world.ask("c1")
    world.host.prepare_error = OSError(28, "No space left on device")
    with pytest.raises(Flaky, match="No space left"):
        world.ask("c1")
    assert world.machines() == ()


def test_a_batch_that_cannot_be_written_down_is_taken_back_whole(world: World) -> None:
    new_file = world.folder / MACHINES_FOLDER / ".new"
    new_file.symlink_to("/dev/full")
    with pytest.raises(Flaky, match="No space left on device"):
        world.ask("c1", "c2")
    new_file.unlink(missing_ok=True)
    assert world.machines() == ()
    assert files(world.folder) == []
    world.ask("c1", "c2")
    assert len(world.machines()) == 2


def test_a_disk_that_fills_up_before_the_start_holds_it_back(world: World) -> None:
    world.ask("c1")
    new_file = world.folder / MACHINES_FOLDER / ".new"
    new_file.symlink_to("/dev/full")
    assert world.step() == pytest.approx(DISK_RETRY_S)
    assert world.host.spawned == []
    assert "waits for the disk" in world.one().message
    new_file.unlink()
    world.step(DISK_RETRY_S)
    assert len(world.host.spawned) == 1


# ---- ending ------------------------------------------------------------------------------------------------


def test_release_asks_waits_and_takes_everything_away(world: World) -> None:
    machine_id = world.running_machine()
    world.supervisor.stop((machine_id,))
    assert world.one().state is MachineState.STOPPING
    world.step()
    world.step(POLL_S)
    assert world.host.signals == [(machine_id, signal.SIGTERM)]
    assert world.machines() == ()
    assert world.host.directories == set()
    assert files(world.folder) == []


def test_a_machine_that_hangs_is_killed_after_its_grace_with_its_children(world: World) -> None:
    world.host.obedient = False
    machine_id = world.running_machine()
    world.host.add_child(machine_id)
    world.supervisor.stop((machine_id,))
    world.step()
    world.step(RULES.grace_s - 1)
    assert world.host.alive(machine_id) == 2
    world.step(1)
    assert world.host.alive(machine_id) == 0
    world.step(POLL_S)
    assert world.machines() == ()


def test_a_clock_that_is_set_back_saves_no_machine_that_hangs(world: World) -> None:
    world.host.obedient = False
    machine_id = world.running_machine()
    world.supervisor.stop((machine_id,))
    world.step()
    world.step(-3600.0)
    world.step(POLL_S)
    assert world.machines() == ()
    assert world.host.signals == [(machine_id, signal.SIGTERM), (machine_id, signal.SIGKILL)]


def test_children_that_outlive_their_machine_are_killed_without_waiting(world: World) -> None:
    machine_id = world.running_machine()
    world.host.add_child(machine_id)
    world.supervisor.stop((machine_id,))
    world.step()
    world.step(POLL_S)
    assert world.host.signals == [(machine_id, signal.SIGTERM), (machine_id, signal.SIGKILL)]


def test_a_machine_is_listed_as_long_as_any_process_of_it_lives(world: World) -> None:
    machine_id = world.running_machine()
    child = world.host.add_child(machine_id)
    child.immortal = True
    world.supervisor.stop((machine_id,))
    for _ in range(5):
        assert world.step(10) == POLL_S
        assert world.one().state is MachineState.STOPPING
    child.exit_code = -9
    assert world.step(POLL_S) is None
    assert world.machines() == ()


def test_a_queued_machine_is_dropped_without_ever_being_started(world: World) -> None:
    world.ask("c1", "c2", "c3")
    world.step()
    queued = world.machines()[-1].id
    world.supervisor.stop((queued,))
    world.step()
    assert queued not in {machine.id for machine in world.machines()}
    assert len(world.host.spawned) == 2
    assert world.host.signals == []


def test_releasing_twice_asks_once(world: World) -> None:
    world.host.obedient = False
    machine_id = world.running_machine()
    for _ in range(3):
        world.supervisor.stop((machine_id, "unknown"))
        world.step()
    assert world.host.signals == [(machine_id, signal.SIGTERM)]


def test_a_node_that_leaves_by_itself_is_gone_with_its_directory(world: World) -> None:
    machine_id = world.running_machine()
    world.host.exit(machine_id, code=0)
    world.step()
    assert world.one().state is MachineState.STOPPING
    world.step(POLL_S)
    assert world.machines() == ()
    assert world.host.directories == set()


@pytest.mark.parametrize(("code", "message"), [(3, "exited with code 3: bye"), (-9, "was ended by SIGKILL: bye")])
def test_a_node_that_dies_is_listed_as_failed_until_it_is_released(world: World, code: int, message: str) -> None:
    machine_id = world.running_machine()
    world.host.add_child(machine_id)
    world.host.logs[f"{machine_id}.log"] = "bye"
    world.host.exit(machine_id, code=code)
    assert world.supervisor.listing()[1], "the next listing must not call it running"
    world.step()
    assert (world.one().state, world.one().message) == (MachineState.FAILED, message)
    assert world.host.alive(machine_id) == 0
    world.supervisor.stop((machine_id,))
    world.step(POLL_S)
    assert world.machines() == ()


@pytest.mark.parametrize("released", [True, False])
def test_a_program_with_another_users_rights_keeps_nothing_else_alive(world: World, released: bool) -> None:
    machine_id = world.running_machine()
    world.host.add_child(machine_id).untouchable = True
    world.host.add_child(machine_id)
    world.host.exit(machine_id, code=1)
    if released:
        world.supervisor.stop((machine_id,))
    assert world.step() == DISK_RETRY_S
    assert world.host.alive(machine_id) == 1
    world.host.table.popitem()
    world.host.table.popitem()
    world.step(DISK_RETRY_S)
    assert world.states() == ([] if released else ["failed"])


def test_what_an_attempt_left_and_cannot_be_ended_holds_up_no_other_machine(world: World) -> None:
    world.ask("c1", "c2")
    world.step()
    first, second = (machine.id for machine in world.machines())
    world.host.join(second)
    child = world.host.add_child(first)
    child.untouchable = True
    world.host.exit(first, code=1)
    world.step(POLL_S)
    assert world.step(RULES.retry_delay_s) == DISK_RETRY_S
    assert world.states() == ["starting", "running"]
    child.exit_code = 0
    world.step(DISK_RETRY_S)
    assert len(world.host.spawned) == 3


def test_a_directory_that_cannot_be_removed_is_tried_again_without_haste(world: World) -> None:
    machine_id = world.running_machine()
    world.host.remove_error = OSError(16, "Device or resource busy")
    world.supervisor.stop((machine_id,))
    world.step()
    assert world.step(POLL_S) == DISK_RETRY_S
    assert world.one().state is MachineState.STOPPING
    world.host.remove_error = None
    world.step(POLL_S)
    assert world.machines() == ()


def test_a_controller_that_lives_long_keeps_the_newest_of_what_is_gone_only(world: World) -> None:
    registry = Registry(world.folder, ended_kept=3)
    world.supervisor = Supervisor(Site("c", Path("/machines"), RULES, 2), registry, world.host)
    world.supervisor.open()
    for number in range(FORGET_EVERY):
        world.ask("c1", batch=f"b{number}")
        (machine,) = world.machines()
        registry.log(machine.id).touch()
        world.supervisor.stop((machine.id,))
        world.step()
    assert world.machines() == ()
    assert len(list((world.folder / MACHINES_FOLDER / ENDED_FOLDER).iterdir())) == 3
    assert len(list(registry.logs.iterdir())) == 3
    world.ask("c1", batch=f"b{FORGET_EVERY - 1}")
    assert world.machines() == ()


def test_machines_end_also_when_the_disk_is_full(world: World) -> None:
    machine_id = world.running_machine()
    new_file = world.folder / MACHINES_FOLDER / ".new"
    new_file.symlink_to("/dev/full")
    world.supervisor.stop((machine_id,))
    world.step()
    world.step(POLL_S)
    assert world.machines() == ()
    assert files(world.folder) == []


def test_nothing_is_looked_for_while_all_machines_run(world: World) -> None:
    world.running_machine()
    searches = world.host.searches
    assert world.step() is None
    world.supervisor.listing()
    assert world.host.searches == searches


# ---- a new controller ----------------------------------------------------------------------------------------


def test_running_machines_are_found_again(world: World) -> None:
    machine_id = world.running_machine()
    world.restarted()
    world.step()
    assert (world.one().id, world.one().state) == (machine_id, MachineState.RUNNING)
    assert len(world.host.spawned) == 1


def test_a_start_whose_process_was_never_saved_is_met_by_its_tag(world: World) -> None:
    world.ask("c1")
    new_file = world.folder / MACHINES_FOLDER / ".new"
    machine_id = world.one().id
    before = (world.folder / MACHINES_FOLDER / f"{machine_id}.json").read_text()
    world.step()
    saved = world.folder / MACHINES_FOLDER / f"{machine_id}.json"
    saved.write_text(
        before.replace('"stage": "queued"', '"stage": "starting"').replace('"boot": ""', '"boot": "boot-1"')
    )
    assert not new_file.exists()
    world.restarted()
    world.host.join(machine_id)
    world.step()
    assert world.one().state is MachineState.RUNNING
    assert len(world.host.spawned) == 1


def test_a_start_that_never_came_about_is_made_up_for(world: World) -> None:
    world.ask("c1")
    machine_id = world.one().id
    saved = world.folder / MACHINES_FOLDER / f"{machine_id}.json"
    text = (
        saved.read_text().replace('"stage": "queued"', '"stage": "starting"').replace('"boot": ""', '"boot": "boot-1"')
    )
    saved.write_text(text.replace('"attempt": 0', '"attempt": 1'))
    world.restarted()
    world.step()
    assert world.one().id == machine_id
    assert len(world.host.spawned) == 1


def test_a_release_goes_on(world: World) -> None:
    world.host.obedient = False
    machine_id = world.running_machine()
    world.supervisor.stop((machine_id,))
    world.step()
    world.restarted()
    assert world.one().state is MachineState.STOPPING
    world.step(RULES.grace_s)
    world.step(POLL_S)
    assert world.machines() == ()


def test_what_died_meanwhile_is_failed_for_nobody_knows_how_it_ended(world: World) -> None:
    machine_id = world.running_machine()
    world.host.table.clear()
    world.restarted()
    world.step()
    assert world.one().state is MachineState.FAILED
    assert world.one().message == "ended while no controller ran"
    assert world.one().id == machine_id


def test_after_a_reboot_no_pid_means_anything(world: World) -> None:
    world.running_machine()
    world.host.boot = "boot-2"
    stranger = world.host.leader(world.one().id)
    stranger.machine_id = "of somebody else"
    world.restarted()
    world.step()
    own = [machine for machine in world.machines() if machine.offer.pool]
    assert [(machine.state, machine.message) for machine in own] == [
        (MachineState.FAILED, "this computer was restarted")
    ]
    world.supervisor.stop((own[0].id,))
    world.step()
    assert stranger.exit_code is None


def test_a_machine_whose_record_is_damaged_can_still_be_listed_and_released(world: World) -> None:
    machine_id = world.running_machine()
    (world.folder / MACHINES_FOLDER / f"{machine_id}.json").write_text("{ not json")
    world.restarted()
    assert world.one().state is MachineState.FAILED
    assert world.one().message == "its record is lost; it can only be ended"
    world.supervisor.stop((machine_id,))
    world.step()
    world.step(POLL_S)
    assert world.machines() == ()
    assert world.host.alive(machine_id) == 0
    assert files(world.folder) == []


def test_a_batch_is_never_made_twice_across_restarts(world: World) -> None:
    machine_id = world.running_machine()
    world.restarted()
    world.ask("c1")
    assert world.one().id == machine_id
    world.supervisor.stop((machine_id,))
    world.step()
    world.step(POLL_S)
    world.restarted()
    world.ask("c1")
    assert world.machines() == ()
    world.ask("c1", batch="b2")
    assert world.one().id != machine_id
