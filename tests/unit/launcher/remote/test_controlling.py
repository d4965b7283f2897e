"""A head whose Ray is started now gets its controller beside that: with a pretended place and SSH, on virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.unit.launcher.remote import test_up_and_down
from tests.unit.launcher.remote.test_up_and_down import Cloud

from rayfleet.bootstrap.again import Again
from rayfleet.bootstrap.over_ssh import Bootstrapped, How
from rayfleet.bootstrap.steps import Recipe, Run
from rayfleet.contracts import Login, Provider
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.remote.reconcile import HEADS_MAX, HeadFailed
from rayfleet.launcher.remote.site import Site
from rayfleet.testing.fake_ssh import Asked, FakeHost
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.ssh.session import Ran, Target

START = "ray start --head"
RECIPE = Recipe("one", (Run("setup", "setup"),), (Run("token", "token"), Run(START, "start 1 of 1", starts=True)))
COMMANDS_MAX = 14


class Rack(Cloud):
    """One whose heads are set up by a recipe, over the same SSH."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.add(self.head)

    def add(self, host: FakeHost) -> None:
        """Have a host tell when it has booted, without which nothing is done on it."""
        host.answers["echo boot="] = "boot=today/1"

    def make(self, site: Site, again: Again | None, progress: Progress) -> Provider:
        how = How(
            ssh=self.ssh,
            target=lambda machine: Target(machine.address, Login("me"), machine.id),
            recipe=lambda _: RECIPE,
            skip=lambda machine: not machine.head,
            before_start=site.before_start,
        )
        return Bootstrapped(super().make(site, again, progress), how)

    def number(self, part: str) -> int:
        """Return which of the head's commands was the first with that text."""
        return next(number for number, command in enumerate(self.head.commands) if part in command)


rack_state = test_up_and_down.cloud


@pytest.fixture
def rack(rack_state: Cloud, tmp_path: Path) -> Rack:
    """Return it."""
    return Rack(tmp_path)


async def until_asked(host: FakeHost, part: str) -> bool:
    """Wait until a command with that text is asked for; False when it is not within a minute."""
    for _ in range(600):
        if any(part in command for command in host.commands):
            return True
        await asyncio.sleep(0.1)
    return False


def test_rayfleet_comes_before_ray_and_the_controller_starts_beside_it(rack: Rack) -> None:
    async def ray_start(_asked: Asked) -> Ran:
        return Ran(0 if await until_asked(rack.head, "head-start") else 1, ())

    rack.head.answers[START] = ray_start
    assert run_virtual(rack.up()).workers == 2
    assert rack.number("setup") < rack.number("pip install") < rack.number(START)
    once = [command for command in rack.head.commands if "head-start" in command or "pip install" in command]
    assert len(once) == 2
    assert rack.head.open_sessions == 0


def test_what_fails_beside_it_is_done_again_when_the_head_is_ready(rack: Rack) -> None:
    codes = [1, 0]
    rack.head.answers["pip install"] = lambda _: codes.pop(0)
    run_virtual(rack.up())
    assert codes == []
    assert rack.number("pip install") < rack.number(START) < rack.number("head-start")
    assert rack.head.open_sessions == 0


def test_nothing_is_begun_beside_a_head_that_runs(rack: Rack) -> None:
    """Its Ray is not started: what has changed is brought when it is found ready, as ever."""

    async def story() -> None:
        await rack.up()
        batch = rack.place.machines["head-1-1"].batch
        mark = (f"setup={RECIPE.setup_digest}", f"start={RECIPE.start_digest}@today/1", f"batch={batch}")
        rack.head.answers["echo boot="] = "\n".join(("boot=today/1", *mark))
        rack.head.asked.clear()
        await rack.up()

    run_virtual(story())
    assert not any(START in command for command in rack.head.commands)
    assert sum("head-start" in command for command in rack.head.commands) == 1


def test_a_head_that_is_given_back_is_left_alone_first(rack: Rack) -> None:
    """Its Ray does not start. A controller that came onto it later would belong to nobody."""
    hosts = [rack.head, *(rack.ssh.add(f"head-{n}-{n}.fake") for n in range(2, HEADS_MAX + 1))]
    for host in hosts:
        rack.add(host)
        host.answers |= {START: 1, "head-start": FakeHost.hang()}
    with pytest.raises(HeadFailed, match="heads were tried in vain"):
        run_virtual(rack.up())
    assert [host.open_sessions for host in hosts] == [0] * HEADS_MAX
    assert [sum("head-start" in command for command in host.commands) for host in hosts] == [1] * HEADS_MAX
    assert rack.place.existing() == ()


async def killed(run: Callable[[], Coroutine[Any, Any, Any]], rack: Rack, at: int) -> None:
    """Run something that is killed at its command number `at` on the head."""
    answers = rack.head.answers

    async def answer(asked: Asked) -> Any:
        if len(rack.head.asked) > at:
            await asyncio.Event().wait()
        return next((value for key, value in answers.items() if key in asked.command), "")

    rack.head.asked.clear()
    rack.head.answers = {"": answer}
    running = asyncio.create_task(run())
    await asyncio.wait({running}, timeout=100)
    running.cancel()
    await asyncio.wait({running})
    rack.head.answers = answers


@pytest.mark.parametrize("at", range(COMMANDS_MAX))
def test_killed_at_a_command_on_the_head_then_up_or_down_again(rack: Rack, at: int) -> None:
    async def story() -> None:
        await killed(rack.up, rack, at)
        await rack.up()
        assert len(rack.place.machines) == 1
        rack.add_workers()
        await killed(rack.down, rack, at)
        await rack.down()
        assert rack.place.existing() == ()
        assert len(rack.place.machines) == 3

    run_virtual(story())
