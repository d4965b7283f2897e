"""`suspend` and `resume` of a cluster elsewhere, with a pretended place and SSH, on virtual time; killed anywhere."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.unit.launcher.remote.test_up_and_down import STATE
from tests.unit.launcher.remote.test_up_and_down import Cloud as Hosts

from rayfleet.bootstrap.again import Again
from rayfleet.contracts import Denied, Flaky, LaunchRequest, Machine, MachineState, OutOfStock, Provider, ProviderError
from rayfleet.launcher import home as homes
from rayfleet.launcher import suspension
from rayfleet.launcher.errors import AlreadyControlled, NotRunning, TookTooLong
from rayfleet.launcher.listing import listing
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.remote.deliver import StepFailed
from rayfleet.launcher.remote.reconcile import HeadFailed
from rayfleet.launcher.remote.site import Site
from rayfleet.launcher.remote.suspend import CannotRest, suspend
from rayfleet.launcher.remote.where import head_of
from rayfleet.launcher.spec import Wanted, wanted
from rayfleet.launcher.suspend import Rests
from rayfleet.launcher.suspension import Stage
from rayfleet.loop.clock import SystemClock
from rayfleet.model import StandbyMode
from rayfleet.testing.fake_provider import FakeProvider, Verb
from rayfleet.testing.fake_ssh import Asked, FakeHost
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.ssh.session import Ran

CALLS_MAX = 60
NO_ROOM = "no capacity in its zone"
BEGAN = SystemClock().now()
"""The loop's own clock is real, and only its order matters here."""


class Mortal(FakeProvider):
    """A provider whose user dies at a call: before it is made, or when it was, so that the answer is lost."""

    def __init__(self, cloud: "Cloud", after: bool) -> None:
        super().__init__(cloud.place, name="aws")
        self._cloud = cloud
        self._after = after

    async def _dies(self) -> None:
        self._cloud.calls_left -= 1
        if self._cloud.calls_left <= 0:
            self._cloud.dead.set()
            await asyncio.Event().wait()

    async def _call(self, verb: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        if not self._after:
            await self._dies()
        answer = await verb()
        if self._after:
            await self._dies()
        return answer

    async def tidy(self) -> tuple[str, ...]:
        """Remove nothing: nothing was made for launches."""
        return ()

    async def list(self) -> tuple[Machine, ...]:
        found: tuple[Machine, ...] = await self._call(super().list)
        return found

    async def launch(self, request: LaunchRequest) -> None:
        await self._call(lambda: super(Mortal, self).launch(request))

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        await self._call(lambda: super(Mortal, self).release(machine_ids))

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:
        await self._call(lambda: super(Mortal, self).stop(machine_ids, mode))

    async def start(self, request: LaunchRequest) -> None:
        await self._call(lambda: super(Mortal, self).start(request))
        if self._cloud.falls:
            self._cloud.falls -= 1
            machines = self._cloud.place.machines
            machines |= {name: replace(machines[name], rests_at=0.0, message=NO_ROOM) for name in request.reuse}


class StoryClock:
    """The clock of the place: the story's own, also when that is over."""

    def __init__(self) -> None:
        self._at = 0.0

    def now(self) -> float:
        with suppress(RuntimeError):  # nobody's story
            self._at = asyncio.get_running_loop().time()
        return BEGAN + self._at


class Cloud(Hosts):
    """A cloud whose machines can be stopped. `calls_left`: so many calls until whoever makes them dies.

    `falls`: so many starts are accepted and not done.
    """

    market = "on_demand"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.place.clock = StoryClock()
        self.place.stop_s = 2.0
        self.place.start_s = 2.0
        self.calls_left = 10**9
        self.dead = asyncio.Event()
        self.falls = 0
        self.after = False
        self.verb_faults: list[tuple[Verb, ProviderError]] = []

    @property
    def wanted(self) -> Wanted:
        node = {"node_config": {"InstanceType": "m5.large"}}
        head = {**node, "offers": [{"market": self.market}]}
        config = {
            "cluster_name": "one",
            "provider": {"type": "aws", "region": "us-west-2"},
            "auth": {"ssh_user": "me", "ssh_private_key": str(self.key)},
            "head_node_type": "head",
            "available_node_types": {"head": head, "w": {**node, "max_workers": 4}},
        }
        return wanted(json.dumps(config), "one.yaml")

    def provider(self) -> FakeProvider:
        self.providers.append(Mortal(self, self.after))
        for verb, error in self.verb_faults:
            self.providers[-1].fail(verb, error)
        self.verb_faults.clear()
        return self.providers[-1]

    def make(self, _site: Site, again: Again | None, _progress: Progress) -> Provider:
        self.again.append(again)
        return self.provider()

    async def suspend(self) -> Rests:
        return await suspend(self.wanted, self.progress, 600.0, self.bare, self.ssh)

    async def killed(self, run: Callable[[], Coroutine[Any, Any, Any]], calls: int, *, after: bool) -> bool:
        """Run something that is killed at a call; say whether it was, and not over before."""
        self.calls_left, self.after, self.dead = calls, after, asyncio.Event()
        running = asyncio.create_task(run())
        dead = asyncio.create_task(self.dead.wait())
        await asyncio.wait({running, dead}, return_when=asyncio.FIRST_COMPLETED)
        killed = not running.done()
        for task in (running, dead):
            task.cancel()
        await asyncio.wait({running, dead})
        self.calls_left = 10**9
        return killed

    def states(self) -> dict[str, MachineState]:
        """Return how each machine is that exists."""
        now = self.place.clock.now()
        return {machine.id: machine.state(now) for machine in self.place.existing()}

    def count(self, verb: Verb) -> int:
        """Return how often a call was made, by anybody."""
        return sum(each.count(verb) for each in self.providers)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Return it; the commands send this process's log to a file, which is taken back."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Cloud(tmp_path)
    for each in set(root.handlers) - set(handlers):
        each.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def stage() -> Stage | None:
    found = suspension.load(homes.find("one"))
    return found.stage if found else None


def test_the_workers_go_and_the_head_is_stopped(cloud: Cloud) -> None:
    """Its controller is asked to stop before anything else is done."""

    async def story() -> Rests:
        await cloud.up()
        cloud.add_workers()
        return await cloud.suspend()

    rests = run_virtual(story())
    assert (rests.released, rests.head, rests.left_behind) == (2, "head-1-1", ())
    assert cloud.states() == {"head-1-1": MachineState.STANDBY}
    assert any("head-stop one" in command for command in cloud.head.commands)
    assert stage() is Stage.SUSPENDED
    assert rests.as_json()["since"] == rests.since > 0


def test_it_is_listed_and_its_head_is_asked_nothing(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        await cloud.suspend()

    run_virtual(story())
    (entry,) = listing()
    assert entry.state == "suspended"
    assert entry.suspended.startswith("suspended since 2")
    with pytest.raises(NotRunning, match="one is suspended since"):
        head_of(homes.find("one"))


def test_resumed_the_same_head_works(cloud: Cloud) -> None:
    """`up` is what resumes it; the head is not set up as a new one, and none is made."""

    async def story() -> Any:
        await cloud.up()
        await cloud.suspend()
        return await cloud.up()

    standing = run_virtual(story())
    assert standing.workers == 2
    assert cloud.states() == {"head-1-1": MachineState.RUNNING}
    assert len(cloud.place.machines) == 1
    assert (cloud.count("launch"), cloud.count("start")) == (1, 1)
    assert stage() is None
    assert listing()[0].state == "up"


def test_suspended_again_since_the_first_time(cloud: Cloud) -> None:
    async def story() -> tuple[Rests, Rests]:
        await cloud.up()
        first = await cloud.suspend()
        await asyncio.sleep(100)
        return first, await cloud.suspend()

    first, again = run_virtual(story())
    assert again.since == first.since
    assert again.released == 0
    assert cloud.count("stop") == 1


def test_resumed_and_suspended_many_times_it_is_one_machine(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        for _ in range(3):
            await cloud.suspend()
            await cloud.up()

    run_virtual(story())
    assert cloud.states() == {"head-1-1": MachineState.RUNNING}
    assert len(cloud.place.machines) == 1


def test_down_of_what_is_suspended_gives_the_stopped_head_back(cloud: Cloud) -> None:
    """Nobody tries to log in to it before."""

    async def story() -> Any:
        await cloud.up()
        await cloud.suspend()
        cloud.head.asked.clear()
        return await cloud.down()

    assert run_virtual(story()).released == 1
    assert cloud.states() == {}
    assert cloud.head.commands == []
    assert not homes.find("one").is_suspended
    assert listing()[0].state == "down"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_call_of_suspend_then_suspend_again(tmp_path: Path, cloud: Cloud, after: bool) -> None:
    async def story(calls: int, cloud: Cloud) -> bool:
        await cloud.up()
        cloud.add_workers()
        killed = await cloud.killed(cloud.suspend, calls, after=after)
        if killed:
            assert stage() in (None, Stage.SUSPENDING), f"killed at call {calls}"
        await cloud.suspend()
        assert cloud.states() == {"head-1-1": MachineState.STANDBY}, f"killed at call {calls}"
        assert len(cloud.place.machines) == 3
        assert stage() is Stage.SUSPENDED
        await cloud.down()
        assert cloud.states() == {}, f"killed at call {calls}"
        return killed

    _each_call(tmp_path, story, least=4)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_call_of_suspend_then_resume_or_down(tmp_path: Path, cloud: Cloud, after: bool) -> None:
    """Half of a suspension is taken back by `up`, and ended by `down`."""

    async def story(calls: int, cloud: Cloud) -> bool:
        await cloud.up()
        cloud.add_workers()
        killed = await cloud.killed(cloud.suspend, calls, after=after)
        if calls % 2:
            await cloud.up()
            heads = {machine.id for machine in cloud.place.existing() if machine.head}
            assert heads == {"head-1-1"}, f"killed at call {calls}"
            assert cloud.states()["head-1-1"] is MachineState.RUNNING
        await cloud.down()
        assert cloud.states() == {}, f"killed at call {calls}"
        assert len(cloud.place.machines) == 3
        assert not homes.find("one").is_suspended
        return killed

    _each_call(tmp_path, story, least=4)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_call_of_resume_then_resume_or_down_or_suspend(tmp_path: Path, cloud: Cloud, after: bool) -> None:
    async def story(calls: int, cloud: Cloud) -> bool:
        await cloud.up()
        await cloud.suspend()
        killed = await cloud.killed(cloud.up, calls, after=after)
        if killed:
            assert stage() is Stage.RESUMING, f"killed at call {calls}"
        if calls % 3 == 1:
            await cloud.up()
            assert cloud.states() == {"head-1-1": MachineState.RUNNING}, f"killed at call {calls}"
        elif calls % 3 == 2:
            await cloud.suspend()
            assert cloud.states() == {"head-1-1": MachineState.STANDBY}, f"killed at call {calls}"
        assert len(cloud.place.machines) == 1
        await cloud.down()
        assert cloud.states() == {}, f"killed at call {calls}"
        return killed

    _each_call(tmp_path, story, least=4)


def _each_call(tmp_path: Path, story: Callable[[int, Cloud], Coroutine[Any, Any, bool]], least: int) -> None:
    """Run a story killed at its first call, its second and so on, until one is over before."""
    for calls in range(1, CALLS_MAX):
        folder = tmp_path / str(calls)
        folder.mkdir()
        fresh = Cloud(folder)
        killed = run_virtual(story(calls, fresh))
        homes.remove(homes.find("one"))
        if not killed:
            assert calls > least
            return
    pytest.fail(f"not over after {CALLS_MAX} calls")


def test_a_head_that_cannot_be_asked_is_stopped_before_the_workers_go(cloud: Cloud) -> None:
    """Its controller may live, and would launch again what is given back."""

    async def story() -> None:
        await cloud.up()
        cloud.add_workers()
        cloud.head.down = True
        await cloud.suspend()

    run_virtual(story())
    verbs = [call.verb for each in cloud.providers for call in each.calls if call.verb in ("stop", "release")]
    assert verbs[0] == "stop"
    assert cloud.states() == {"head-1-1": MachineState.STANDBY}


def test_a_spot_head_is_not_touched(cloud: Cloud) -> None:
    cloud.market = "spot"

    async def story() -> None:
        await cloud.up()
        cloud.add_workers()
        with pytest.raises(CannotRest, match="head-1-1 is a spot machine") as told:
            await cloud.suspend()
        assert "rayfleet down one gives everything back" in told.value.hint

    run_virtual(story())
    assert set(cloud.states().values()) == {MachineState.RUNNING}
    assert len(cloud.states()) == 3
    assert stage() is None
    assert not any("head-stop" in command for command in cloud.head.commands)


def test_a_place_that_refuses_to_stop_the_head_is_told_and_resume_goes_on(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        cloud.verb_faults.append(("stop", Denied("UnsupportedOperation: not this one")))
        with pytest.raises(CannotRest, match="not this one"):
            await cloud.suspend()
        assert stage() is Stage.SUSPENDING
        await cloud.up()

    run_virtual(story())
    assert cloud.states() == {"head-1-1": MachineState.RUNNING}
    assert stage() is None


def test_a_place_that_falters_is_asked_again(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        cloud.verb_faults.append(("stop", Flaky("throttled")))
        await cloud.suspend()
        cloud.verb_faults.append(("start", OutOfStock("no m5.large left")))
        await cloud.up()

    run_virtual(story())
    assert cloud.states() == {"head-1-1": MachineState.RUNNING}
    assert any("no m5.large left" in text for text in cloud.told)


def test_a_head_that_may_not_be_started_is_told(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        await cloud.suspend()
        cloud.verb_faults.append(("start", Denied("no ec2:StartInstances for you")))
        with pytest.raises(HeadFailed, match="StartInstances") as told:
            await cloud.up()
        assert "rayfleet resume one" in told.value.hint

    run_virtual(story())
    assert cloud.states() == {"head-1-1": MachineState.STANDBY}
    assert stage() is Stage.RESUMING


def test_a_head_that_somebody_stopped_is_started_by_up(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        cloud.place.rest("head-1-1")
        await asyncio.sleep(10)
        await cloud.up()

    run_virtual(story())
    assert cloud.states() == {"head-1-1": MachineState.RUNNING}
    assert len(cloud.place.machines) == 1


@pytest.mark.parametrize("kind", [Cloud, Hosts])
def test_while_somebody_else_is_at_it_nothing_is_begun(tmp_path: Path, cloud: Cloud, kind: type[Hosts]) -> None:
    place = kind(tmp_path)
    assert cloud.place.existing() == ()

    async def story() -> None:
        place.head.answers["head-state"] = FakeHost.hang()
        rising = asyncio.create_task(place.up())
        await asyncio.sleep(60)
        with pytest.raises(AlreadyControlled):
            await suspend(place.wanted, place.progress, 600.0, place.bare, place.ssh)
        rising.cancel()
        await asyncio.wait({rising})

    run_virtual(story())
    assert len(place.place.existing()) == 1
    assert stage() is None


def test_what_is_down_has_nothing_to_suspend(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        await cloud.down()
        with pytest.raises(NotRunning, match="nothing to suspend"):
            await cloud.suspend()

    run_virtual(story())
    assert not homes.find("one").is_suspended


def test_hosts_that_somebody_owns_are_given_back_with_the_head(
    tmp_path: Path,
    cloud: Cloud,  # whose fixture has set the folder of all clusters
) -> None:
    """They are free for others; `up` asks for them again."""
    hosts = Hosts(tmp_path)
    assert cloud.place.existing() == ()

    async def story() -> None:
        await hosts.up()
        hosts.add_workers()
        rests = await suspend(hosts.wanted, hosts.progress, 600.0, hosts.bare, hosts.ssh)
        assert (rests.released, rests.head) == (3, "")
        assert hosts.place.existing() == ()
        assert listing()[0].state == "suspended"
        hosts.ssh.add("head-4-4.fake").answers |= hosts.head.answers
        await hosts.up()
        assert len(hosts.place.existing()) == 1
        assert listing()[0].state == "up"

    run_virtual(story())


def test_another_head_that_is_listed_does_not_keep_ours_from_being_stopped(cloud: Cloud) -> None:
    """The one that works is stopped, and is the one that resume starts, whatever else there is."""

    async def story() -> None:
        await cloud.up()
        other = replace(cloud.place.machines["head-1-1"], id="head-0-0", rests_at=0.0)
        cloud.place.machines = {other.id: other, **cloud.place.machines}
        await cloud.suspend()
        assert set(cloud.states().values()) == {MachineState.STANDBY}
        await cloud.up()
        assert cloud.states() == {"head-0-0": MachineState.STANDBY, "head-1-1": MachineState.RUNNING}

    run_virtual(story())


def test_resuming_has_one_time_for_all(cloud: Cloud) -> None:
    """What starting the head has taken, its set-up has no more."""

    async def story() -> None:
        await cloud.up()
        await cloud.suspend()
        cloud.verb_faults.extend([("start", OutOfStock("no m5.large left"))] * 40)
        cloud.place.start_s = 10_000.0
        began = asyncio.get_running_loop().time()
        with pytest.raises(TookTooLong):
            await cloud.up()
        assert asyncio.get_running_loop().time() - began <= 621.0

    run_virtual(story())


def test_the_note_stays_until_the_controller_is_brought(cloud: Cloud) -> None:
    """And no longer: while minimums are waited for, one may look and ask."""
    stages: list[Stage | None] = []

    def seen(_asked: Asked) -> str:
        stages.append(stage())
        return json.dumps(STATE)

    async def story() -> None:
        await cloud.up()
        await cloud.suspend()
        cloud.head.answers["head-start"] = Ran(2, ("no room",))
        with pytest.raises(StepFailed):
            await cloud.up()
        assert stage() is Stage.RESUMING
        cloud.head.answers |= {"head-start": "{}", "head-state": seen}
        await cloud.up()

    run_virtual(story())
    assert stages == [None]


def test_a_head_that_falls_back_is_started_again(cloud: Cloud) -> None:
    """The place has accepted its start, and has not done it: the same call would be taken for done."""
    cloud.falls = 2

    async def story() -> None:
        await cloud.up()
        await cloud.suspend()
        await cloud.up()

    run_virtual(story())
    assert (cloud.falls, cloud.count("start")) == (0, 3)
    assert cloud.states() == {"head-1-1": MachineState.RUNNING}
    assert f"head head-1-1: {NO_ROOM}" in cloud.told
