"""Whoever wants to do something on machines before their nodes start, with hosts in which the commands really run."""

from __future__ import annotations

import asyncio

from tests.unit.bootstrap import test_over_ssh
from tests.unit.bootstrap.hosts import Host
from tests.unit.bootstrap.test_over_ssh import Play, Scene, settle

from rayfleet.bootstrap.over_ssh import Bootstrapped, How
from rayfleet.contracts import Login, Machine
from rayfleet.testing.fake_provider import FakeProvider
from rayfleet.wire.ssh.session import Target

play = test_over_ssh.play


def test_it_is_waited_for_once_on_each_machine_when_all_else_is_done(play: Play) -> None:
    """Not on one whose node runs already."""
    asked: list[str] = []

    async def story(scene: Scene) -> None:
        async def before(machine: Machine) -> None:
            host: Host = scene.ssh.hosts[machine.address]
            assert host.lines("order") == ["setup"]
            await asyncio.sleep(30.0)
            assert host.ray_starts() == []
            asked.append(machine.id)

        how = How(
            ssh=scene.ssh,
            target=lambda machine: Target(machine.address, Login("me"), machine.id),
            recipe=lambda _: scene.recipe,
            limits=scene.limits,
            before_start=before,
        )
        await scene.launch(2)
        for _ in range(2):
            provider = Bootstrapped(FakeProvider(scene.place), how)
            await settle(provider)
            await provider.close()

    assert [len(host.ray_starts()) for host in play(story).hosts()] == [1, 1]
    assert sorted(asked) == ["m0-1", "m1-2"]
