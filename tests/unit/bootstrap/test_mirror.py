"""Files that running machines get again, where something goes wrong with one of the machines."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.unit.bootstrap.clusters import head_recipe
from tests.unit.bootstrap.hosts import FolderSsh, Host

from rayfleet.bootstrap.mirror import Mirror
from rayfleet.contracts import Login, Machine, MachineState
from rayfleet.model import OfferKey
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.ssh.session import Target


def test_a_mistake_about_one_machine_sends_nobody_twice_to_another(tmp_path: Path) -> None:
    """What another look has begun with a slow host goes on; the next one waits for it."""
    slow = Host.at(tmp_path / "slow")
    slow.slow_s = 30.0
    machines = [Machine(name, OfferKey("cpu"), "b1", MachineState.RUNNING, address=name) for name in ("bad", "slow")]
    source = tmp_path / "source"
    source.write_text("one")

    def target(machine: Machine) -> Target:
        if machine.id == "bad":
            raise ZeroDivisionError
        return Target(machine.address, Login("me"))

    async def story() -> None:
        recipe = head_recipe(f"file_mounts: {{'~/there': '{source}'}}\n")
        mirror = Mirror(FolderSsh({"slow": slow}), target, lambda _: recipe)
        mirror.seen(machines)
        await asyncio.sleep(600.0)
        await mirror.close()

    run_virtual(story())
    assert (slow.lines("there"), slow.most_at_once) == (["one"], 1)
