"""A real Ray node on provider `process` that is drained, stopped, and started again as the same machine."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.process.test_real_nodes import HEAD, WORKER, RealFleet, eventually

from rayfleet.contracts import LaunchRequest, MachineState
from rayfleet.model import NodeFact, OfferKey, Standby, StandbyMode
from rayfleet.providers.process import procfs
from rayfleet.providers.process.provider import ProcessProvider

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(240)]

KEPT = replace(WORKER, standby=Standby(1))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[RealFleet]:
    made = RealFleet(tmp_path)
    yield made
    left = [(process.machine_id, process.command) for process in made.processes()]
    for process in made.processes():
        procfs.send_signal(process.key, signal.SIGKILL)
    assert not left


async def test_a_machine_is_stopped_and_works_again_under_its_id(fleet: RealFleet) -> None:
    """Its node leaves in order, so the machine rests; started again, it is another node with the same instance id."""
    provider = fleet.provider
    assert isinstance(provider, ProcessProvider)
    try:
        await fleet.launch("b0", HEAD, "head", head=True)
        await fleet.joined("b0")
        await fleet.launch("b1", KEPT, "w1")
        machine, first = await fleet.joined("b1")
        await fleet.engine.drain(first.id, 0.0, "idle", voluntary=True)
        at_rest = await eventually(lambda: fleet.machine("b1"), lambda m: m is None or m.state is MachineState.STANDBY)
        assert at_rest is not None
        await provider.stop((machine.id,), StandbyMode.STOPPED)
        assert {process.machine_id for process in fleet.processes()} == {(await fleet.machine("b0") or machine).id}

        offer = OfferKey(KEPT.name)
        await provider.start(LaunchRequest("b2", offer, KEPT, ("w2",), reuse=(machine.id,)))
        again, second = await fleet.joined("b1")
        assert again.id == machine.id
        assert second.id != first.id
        assert second.state is NodeFact.ALIVE
        answer = fleet.driver(
            "import ray; ray.init(logging_level='error')\n"
            "print(ray.get(ray.remote(num_cpus=1)(lambda: ray.get_runtime_context().get_node_id()).remote()))"
        )
        assert answer == second.id
    finally:
        await fleet.give_back()
        await fleet.provider.close()
        await fleet.engine.close()
