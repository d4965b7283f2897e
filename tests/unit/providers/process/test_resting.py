"""Machines of provider `process` on standby, on a pretend computer: what ends, what is kept, what starts again."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.providers.process.test_supervisor import POOL, SCRIPT, World, files

from rayfleet.contracts import LaunchRequest, MachineState, StartScript
from rayfleet.model import OfferKey, Standby
from rayfleet.providers.process.record import Record, Stage
from rayfleet.providers.process.supervisor import POLL_S

KEPT = replace(POOL, standby=Standby(1))
OTHER = StartScript(("node", "again"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def kept_machine(world: World) -> str:
    """Return the id of a machine at work whose pool keeps some on standby."""
    world.supervisor.add(LaunchRequest("b1", OfferKey("cpu1"), KEPT, ("c1",)), SCRIPT)
    world.step()
    machine_id = world.one().id
    world.host.join(machine_id)
    world.step(POLL_S)
    assert world.one().state is MachineState.RUNNING
    return machine_id


def started(world: World, machine_id: str, batch: str = "b2") -> bool:
    request = LaunchRequest(batch, OfferKey("cpu1"), KEPT, ("c2",), reuse=(machine_id,))
    return world.supervisor.start(request, OTHER)


def test_one_whose_node_has_left_in_order_rests_where_machines_are_kept(world: World) -> None:
    machine_id = kept_machine(world)
    world.host.exit(machine_id, code=0)
    world.step()
    world.step(POLL_S)
    assert (world.one().id, world.one().state) == (machine_id, MachineState.STANDBY)
    assert world.host.processes() == ()


def test_elsewhere_it_is_gone(world: World) -> None:
    machine_id = world.running_machine()
    world.host.exit(machine_id, code=0)
    world.step()
    world.step(POLL_S)
    assert world.machines() == ()


def test_one_that_is_stopped_ends_with_all_its_processes_and_rests(world: World) -> None:
    machine_id = kept_machine(world)
    world.supervisor.rest((machine_id,))
    assert world.one().state is MachineState.STOPPING
    world.step()
    world.step(POLL_S)
    assert world.one().state is MachineState.STANDBY
    assert world.host.processes() == ()
    assert files(world.folder) == [machine_id]
    assert world.step() is None


def test_it_starts_again_under_its_id_with_the_new_script(world: World) -> None:
    machine_id = kept_machine(world)
    world.supervisor.rest((machine_id,))
    world.step()
    world.step(POLL_S)
    assert started(world, machine_id)
    world.step(POLL_S)
    assert world.one().state is MachineState.STARTING
    assert world.host.spawned[-1].argv == OTHER.argv
    world.host.join(machine_id)
    world.step(POLL_S)
    assert (world.one().id, world.one().state) == (machine_id, MachineState.RUNNING)


def test_a_batch_starts_it_once(world: World) -> None:
    machine_id = kept_machine(world)
    for batch, spawned in (("b2", 2), ("b2", 2), ("b3", 3)):
        world.supervisor.rest((machine_id,))
        world.step()
        world.step(POLL_S)
        assert started(world, machine_id, batch)
        world.step(POLL_S)
        assert len(world.host.spawned) == spawned
    assert not started(world, "never-heard-of")


def test_a_new_controller_finds_it_at_rest_also_after_a_restart_of_the_computer(world: World) -> None:
    machine_id = kept_machine(world)
    world.supervisor.rest((machine_id,))
    world.step()
    world.step(POLL_S)
    world.host.boot = "boot-2"
    world.restarted()
    assert world.one().state is MachineState.STANDBY
    assert started(world, machine_id)
    world.step(POLL_S)
    assert world.one().state is MachineState.STARTING


def test_a_new_controller_goes_on_with_a_stop(world: World) -> None:
    machine_id = kept_machine(world)
    world.supervisor.rest((machine_id,))
    world.restarted()
    world.step()
    world.step(POLL_S)
    assert world.one().state is MachineState.STANDBY


def test_release_ends_it_at_rest_and_on_its_way_there(world: World) -> None:
    machine_id = kept_machine(world)
    world.supervisor.rest((machine_id,))
    world.supervisor.stop((machine_id,))
    world.step()
    world.step(POLL_S)
    assert world.machines() == ()
    assert not started(world, machine_id)


def test_machines_that_are_made_to_wait_run_nothing(world: World) -> None:
    request = LaunchRequest("b1", OfferKey("cpu1"), KEPT, ("c1", "c2"))
    for _ in range(2):
        world.supervisor.add(request, SCRIPT, Stage.RESTING)
    world.step()
    assert world.states() == ["standby", "standby"]
    assert world.host.spawned == []


def test_a_record_of_before_standby_is_read(world: World) -> None:
    world.ask("c1")
    text = next((world.folder / "machines").glob("*.json")).read_text(encoding="utf-8")
    for key in ("keeps", "rests"):
        text = text.replace(f'"{key}": false,', "")
    text = text.replace(',\n "started_for": ""', "")
    record = Record.from_json(text)
    assert (record.keeps, record.rests, record.started_for) == (False, False, "")
    assert '"keeps"' not in text
