"""Machines that do not become nodes, under the whole controller: given up, given back and replaced, and no other is."""

from dataclasses import replace
from pathlib import Path

from tests.unit.bootstrap.clusters import worker_recipe
from tests.unit.bootstrap.hosts import FolderSsh, Host

from rayfleet.bootstrap.over_ssh import Bootstrapped, How
from rayfleet.bootstrap.visit import Limits
from rayfleet.contracts import Login, Machine
from rayfleet.model import Policy, Pool, Resources
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World
from rayfleet.wire.ssh.session import Target

TEN = Pool("cpu", Resources.of({"CPU": 4}), min_workers=10)


class Hosts(dict[str, Host]):
    """A host at every address that is asked for. The fourth is `sick`: it never gets through its set-up."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.sick = ""

    def get(self, address: str, default: Host | None = None) -> Host | None:  # type: ignore[override]  # of one type
        if address not in self:
            self[address] = Host.at(self._folder / address)
            if len(self) == 4:
                self.sick = address
                self[address].program("wheel", "echo no wheel; exit 9")
            else:
                self[address].program("wheel", "true")
        return self[address]


def test_one_of_ten_whose_set_up_fails_is_replaced(tmp_path: Path) -> None:
    async def story() -> None:
        world, hosts = World(Policy(pools=(TEN,))), Hosts(tmp_path)
        how = How(
            ssh=FolderSsh(hosts),
            target=lambda machine: Target(machine.address, Login("me"), machine.id),
            recipe=lambda _: worker_recipe("setup_commands: [wheel]\n"),
            limits=Limits(at_once=10),
        )
        world.parts = replace(world.parts, providers={"fake": Bootstrapped(world.provider, how)}, standby={})

        def nodes() -> tuple[Machine, ...]:
            started = {address for address, host in hosts.items() if host.ray_starts()}
            return tuple(machine for machine in world.place.listed() if machine.address in started)

        world.engine.machines = nodes
        async with world.controller():
            await world.until(lambda: len(nodes()) == TEN.min_workers)
            await world.until(lambda: len(world.place.existing()) == TEN.min_workers)
        assert len(world.place.machines) == TEN.min_workers + 1
        assert hosts.sick not in {machine.address for machine in nodes()}
        assert [len(host.ray_starts()) for address, host in hosts.items() if address != hosts.sick] == [1] * 10

    run_virtual(story())
