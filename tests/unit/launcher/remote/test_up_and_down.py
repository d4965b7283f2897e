"""The whole of `up` and `down`, with a pretended place and pretended SSH, on virtual time; killed at each command."""

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from rayfleet.bootstrap.again import Again
from rayfleet.contracts import Denied, Flaky, LaunchRequest, Provider, ProviderError
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import AlreadyControlled, LauncherError, NotRunning, OutOfReach, TookTooLong
from rayfleet.launcher.listing import listing
from rayfleet.launcher.progress import Progress, Step, unseen
from rayfleet.launcher.remote import gc
from rayfleet.launcher.remote import where as notes
from rayfleet.launcher.remote.deliver import StepFailed
from rayfleet.launcher.remote.down import Ending, down, rest
from rayfleet.launcher.remote.reconcile import HeadFailed
from rayfleet.launcher.remote.site import Site
from rayfleet.launcher.remote.up import Doing, up
from rayfleet.launcher.spec import Wanted, wanted
from rayfleet.loop.clock import SystemClock
from rayfleet.model import Pool, Resources
from rayfleet.testing.fake_provider import FakePlace, FakeProvider
from rayfleet.testing.fake_ssh import Answer, Asked, FakeHost, FakeSsh
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.ssh.session import Ran, SshError

STATE: dict[str, Any] = {"controlled": True, "step": None, "workers": 2, "overrides": [], "said": []}
COMMANDS_MAX = 8
LOOKS = 6
"""So often a listing is tried."""


class Cloud:
    """A place whose first machine is the head, and the SSH that reaches it."""

    def __init__(self, folder: Path) -> None:
        self.place = FakePlace(SystemClock())
        self.providers: list[FakeProvider] = []
        self.ssh = FakeSsh()
        self.head: FakeHost = self.ssh.add("head-1-1.fake")
        self.head.answers |= {"head-start": "{}", "head-state": json.dumps(STATE), "head-stop": "{}"}
        self.key = folder / "id"
        self.key.write_text("PRIVATE", encoding="utf-8")
        self.key.with_suffix(".pub").write_text("ssh-ed25519 AAAA", encoding="utf-8")
        self.told: list[str] = []
        self.again: list[Again | None] = []
        self.hosts: list[dict[str, Any]] = []
        self.host_keys = "first"
        self.head_start: list[str] = []
        self.bare_faults: list[ProviderError] = []
        self.faults: list[ProviderError] = []

    @property
    def wanted(self) -> Wanted:
        place = {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"], "hosts": self.hosts}
        config = {
            "cluster_name": "one",
            "provider": place | {"host_keys": self.host_keys},
            "auth": {"ssh_user": "me", "ssh_private_key": str(self.key)},
            "head_start_ray_commands": self.head_start,
            "head_node_type": "head",
            "available_node_types": {"head": {"resources": {}}, "w": {"resources": {"CPU": 1}, "max_workers": 4}},
        }
        return wanted(json.dumps(config), "one.yaml")

    def provider(self) -> FakeProvider:
        self.providers.append(FakeProvider(self.place, name="local"))
        return self.providers[-1]

    def make(self, _site: Site, again: Again | None, _progress: Progress) -> Provider:
        self.again.append(again)
        provider = self.provider()
        for fault in self.faults:
            provider.fail("list", fault)
        return provider

    def bare(self, _site: Site) -> Provider:
        provider = self.provider()
        for fault in self.bare_faults:
            provider.fail("list", fault)
        return provider

    def progress(self, step: Step) -> None:
        self.told.append(step.text)

    async def up(self, again: Again | None = None) -> Any:
        return await up(self.wanted, Doing(self.progress, 600.0, again), self.make, self.ssh)

    async def down(self) -> Any:
        return await down(self.wanted, Ending(self.progress, 600.0), self.bare, self.ssh)

    def add_workers(self) -> None:
        pool = Pool("w", Resources.of({"CPU": 1}))
        self.place.make(LaunchRequest("w1", pool.offers[0].key("w"), pool, ("w-1", "w-2")))


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Return it; `up` and `down` send this process's log to a file, which is taken back."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Cloud(tmp_path)
    for each in set(root.handlers) - set(handlers):
        each.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_up(cloud: Cloud) -> None:
    """The head gets rayfleet, the configuration, the key; then its controller is started and asked."""
    standing = run_virtual(cloud.up())
    assert (standing.cluster, standing.workers) == ("one", 2)
    assert standing.client == "ray://head-1-1.fake:10001"
    where = notes.head_of(homes.find("one"))
    assert (where.machine, where.address, where.login.user) == ("head-1-1", "head-1-1.fake", "me")
    assert any("head-start one" in command for command in cloud.head.commands)
    assert {asked.env["RAYFLEET_MACHINE_ID"] for asked in cloud.head.asked} == {"head-1-1"}
    assert all("PRIVATE" not in command for command in cloud.head.commands)
    assert [asked.stdin for asked in cloud.head.asked if "ssh-key" in asked.command] != [""]
    assert "head head-1-1: starting the controller" in cloud.told


def test_the_controller_there_writes_lines_as_they_were_asked_for_here(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYFLEET_LOG_FORMAT", "json")
    run_virtual(cloud.up())
    (started,) = (asked for asked in cloud.head.asked if "head-start one" in asked.command)
    assert started.env["RAYFLEET_LOG_FORMAT"] == "json"


def test_a_head_with_a_user_and_port_of_its_own(cloud: Cloud) -> None:
    cloud.hosts = [{"address": "head-1-1.fake", "ssh_user": "she", "ssh_port": 2222}]

    async def story() -> None:
        await cloud.up()
        where = notes.head_of(homes.find("one"))
        assert (where.login.user, where.login.port) == ("she", 2222)
        await cloud.down()

    run_virtual(story())
    assert {(target.login.user, target.login.port) for target in cloud.head.logins} == {("she", 2222)}


@pytest.mark.parametrize(("line", "told"), [("ray stop; ray start --head", False), ("./start.sh", True)])
def test_a_ray_start_that_cannot_be_read_is_told(cloud: Cloud, line: str, told: bool) -> None:
    cloud.head_start = [line]
    run_virtual(cloud.up())
    assert any("no `ray start` can be read in it" in text for text in cloud.told) is told


@pytest.mark.parametrize(("rule", "own_file"), [("first", True), ("known", False)])
def test_whose_known_hosts_decide(cloud: Cloud, rule: str, own_file: bool) -> None:
    cloud.host_keys = rule
    run_virtual(cloud.up())
    assert {target.known_hosts is not None for target in cloud.head.logins} == {own_file}
    assert bool(notes.head_of(homes.find("one")).known_hosts) is own_file


def test_up_again_launches_nothing(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        await cloud.up(Again.SETUP)

    run_virtual(story())
    assert len(cloud.place.machines) == 1
    assert cloud.again == [None, Again.SETUP]


def test_a_command_that_fails_on_the_head_is_told_whole_and_the_head_stays(cloud: Cloud) -> None:
    cloud.head.answers = {"head-start": Ran(2, ("first line", "last line"))}
    with pytest.raises(StepFailed, match=r"(?s)starting the controller, on the head head-1-1 .*first line\nlast line"):
        run_virtual(cloud.up())
    assert len(cloud.place.existing()) == 1


def test_a_controller_that_dies_is_told(cloud: Cloud) -> None:
    cloud.head.answers["head-state"] = json.dumps({**STATE, "controlled": False})
    with pytest.raises(LauncherError, match="on its head, is gone"):
        run_virtual(cloud.up())


def test_minimums_are_waited_for(cloud: Cloud) -> None:
    waits = [["workers of w", 1, 2], ["workers of w", 1, 2], None]

    def answer(_asked: Asked) -> str:
        return json.dumps({**STATE, "step": waits.pop(0)})

    cloud.head.answers["head-state"] = answer
    run_virtual(cloud.up())
    assert waits == []
    assert "workers of w: 1 of 2" in cloud.told


def test_hosts_that_could_not_be_taken_are_told_with_the_reason(cloud: Cloud) -> None:
    """Also when there are others instead, so that nothing is waited for."""
    why = "10.0.0.2: /tmp has 0.0 GiB free, less than 1"
    cloud.head.answers["head-state"] = json.dumps({**STATE, "passed_over": {"10.0.0.2": why}})
    run_virtual(cloud.up())
    assert f"host 10.0.0.2: passed over: {why}" in cloud.told


@pytest.mark.parametrize("slow", ["pip install", "head-state"])
def test_the_time_for_all_holds_for_the_steps_on_the_head_too(cloud: Cloud, slow: str) -> None:
    async def never(_asked: Asked) -> Ran:
        await asyncio.sleep(3600.0)
        return Ran(0, ())

    cloud.head.answers[slow] = never
    waited = {"pip install": "installing rayfleet", "head-state": "the head does not answer"}[slow]

    async def story() -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TookTooLong, match=waited) as told:
            await cloud.up()
        assert asyncio.get_running_loop().time() - began <= 621.0
        assert "rayfleet up one goes on" in told.value.hint

    run_virtual(story())


def test_up_says_what_it_waits_for_when_it_waits_in_vain(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        cloud.faults = [Flaky("no host answers: no way to it")] * 2000
        await cloud.up()

    with pytest.raises(TookTooLong, match="no host answers: no way to it"):
        run_virtual(story())
    assert any("no host answers: no way to it" in text for text in cloud.told)


@pytest.mark.parametrize(("again", "no_restart"), [(None, False), (Again.SETUP, True)])
def test_no_restart_holds_for_the_workers_too(cloud: Cloud, again: Again | None, no_restart: bool) -> None:
    run_virtual(cloud.up(again))
    (config,) = [asked.stdin for asked in cloud.head.asked if "cluster.yaml" in asked.command]
    assert json.loads(base64.b64decode(config)).get("no_restart", False) is no_restart


def test_down_stops_the_controller_before_it_gives_anything_back(cloud: Cloud) -> None:
    async def story() -> Any:
        await cloud.up()
        cloud.add_workers()
        return await cloud.down()

    ended = run_virtual(story())
    assert (ended.released, ended.left_behind) == (3, ())
    assert cloud.place.existing() == ()
    assert any("head-stop one" in command for command in cloud.head.commands)
    home = homes.find("one")
    assert not home.is_up
    assert not home.remote.exists()
    assert not (home.path / "ray-token").exists()


def test_a_head_out_of_reach_goes_first(cloud: Cloud) -> None:
    """Its controller may live on: nobody may launch again what is given back."""

    async def story() -> None:
        await cloud.up()
        cloud.add_workers()
        cloud.head.down = True
        await cloud.down()

    run_virtual(story())
    released = [call.machine_ids for each in cloud.providers for call in each.calls if call.verb == "release"]
    assert released[0] == ("head-1-1",)
    assert cloud.place.existing() == ()


def test_a_place_that_falters_once_does_not_leave_the_controller_alive(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        cloud.bare_faults.append(Flaky("throttled"))
        await cloud.down()

    run_virtual(story())
    assert any("head-stop one" in command for command in cloud.head.commands)
    assert cloud.place.existing() == ()


def test_a_damaged_note_keeps_neither_up_nor_down_from_working(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        home = homes.find("one")
        home.write(home.remote, "{half")
        await cloud.up()
        assert notes.head_of(home).machine == "head-1-1"
        home.write(home.remote, '{"kind": "local", "login": {}, "newer": 1}')
        await cloud.down()

    run_virtual(story())
    assert len(cloud.place.machines) == 1
    assert cloud.place.existing() == ()


def test_down_of_what_was_never_up_here_looks_all_the_same(cloud: Cloud) -> None:
    cloud.add_workers()
    assert run_virtual(cloud.down()).released == 2
    assert cloud.place.existing() == ()


def test_only_the_workers_go(cloud: Cloud) -> None:
    """The head is asked to see to it; nothing is given back from here."""
    cloud.head.answers["head-rest"] = json.dumps({"pools": ["w"]})

    async def story() -> int:
        await cloud.up()
        return await rest(cloud.wanted, cloud.progress, keep_min_workers=True, ssh=cloud.ssh)

    assert run_virtual(story()) == 1
    assert any("head-rest --keep-min-workers one" in command for command in cloud.head.commands)
    assert len(cloud.place.existing()) == 1
    assert homes.find("one").is_elsewhere


def test_up_and_down_do_not_meet(cloud: Cloud) -> None:
    async def story() -> None:
        cloud.head.answers["head-state"] = FakeHost.hang()
        rising = asyncio.create_task(cloud.up())
        await asyncio.sleep(60)
        assert any("head-state" in command for command in cloud.head.commands)
        with pytest.raises(AlreadyControlled):
            await cloud.down()
        rising.cancel()
        await asyncio.wait({rising})

    run_virtual(story())
    assert len(cloud.place.existing()) == 1


def dying(host: FakeHost, at: int) -> Answer:
    """Answer so many commands, and never another one: as if who asks were killed while it waits."""

    async def answer(asked: Asked) -> Ran | str:
        if len(host.asked) > at:
            await asyncio.Event().wait()
        return next((value for key, value in ANSWERS.items() if key in asked.command), "")

    return answer


ANSWERS = {"head-start": "{}", "head-state": json.dumps(STATE), "head-stop": "{}"}


async def killed(run: Callable[[], Coroutine[Any, Any, Any]], cloud: Cloud, at: int) -> None:
    """Run something that is killed at its command number `at` on the head."""
    before, cloud.head.answers = cloud.head.answers, {}
    cloud.head.asked.clear()
    cloud.head.otherwise = dying(cloud.head, at)
    running = asyncio.create_task(run())
    await asyncio.wait({running}, timeout=100)
    running.cancel()
    await asyncio.wait({running})
    cloud.head.answers, cloud.head.otherwise = before, None


@pytest.mark.parametrize("at", range(COMMANDS_MAX))
def test_killed_at_a_command_on_the_head_then_up_or_down_again(cloud: Cloud, at: int) -> None:
    """One head was ever made, and `down` finds all that there is."""

    async def story() -> None:
        await killed(cloud.up, cloud, at)
        await cloud.up()
        assert len(cloud.place.machines) == 1
        cloud.add_workers()
        await killed(cloud.down, cloud, at)
        await cloud.down()
        assert cloud.place.existing() == ()
        assert len(cloud.place.machines) == 3

    run_virtual(story())


def test_orphans_are_found_and_only_removed_when_asked(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        assert await gc.find(cloud.bare) == ()
        await cloud.down()
        cloud.add_workers()
        (found,) = await gc.find(cloud.bare)
        assert (found.cluster, found.machines) == ("one", ("w-1-2", "w-2-3"))
        assert len(cloud.place.existing()) == 2
        assert await gc.remove((found,), unseen, 600.0, cloud.bare) == ()
        assert await gc.find(cloud.bare) == ()
        assert cloud.place.existing() == ()

    run_virtual(story())


class Tidy(FakeProvider):
    """At a place where launches need something that no machine takes with it."""

    def __init__(self, place: FakePlace, left: set[str], faults: list[ProviderError]) -> None:
        super().__init__(place, name="aws")
        self.left = left
        self.faults = faults

    async def leftovers(self) -> tuple[str, ...]:
        if self.faults:
            raise self.faults.pop()
        return tuple(sorted(self.left))

    async def tidy(self) -> tuple[str, ...]:
        names = await self.leftovers()
        self.left.clear()
        return names


class AtAws(Cloud):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.left = {"template-1", "template-2"}
        self.faults: list[ProviderError] = []

    @property
    def wanted(self) -> Wanted:
        config = {
            "cluster_name": "one",
            "provider": {"type": "aws", "region": "us-west-2"},
            "auth": {"ssh_user": "me", "ssh_private_key": str(self.key)},
            "head_node_type": "head",
            "available_node_types": {"head": {}, "w": {"resources": {"CPU": 1}, "max_workers": 4}},
        }
        return wanted(json.dumps(config), "one.yaml")

    def provider(self) -> FakeProvider:
        self.providers.append(Tidy(self.place, self.left, self.faults))
        return self.providers[-1]


def test_down_removes_what_was_made_for_launches_once_all_machines_are_gone(cloud: Cloud, tmp_path: Path) -> None:
    async def story(at: AtAws) -> None:
        await at.up()
        at.add_workers()
        await at.down()
        assert (at.place.existing(), at.left) == ((), set())
        assert "removed: template-1, template-2" in at.told

    run_virtual(story(AtAws(tmp_path)))


def test_down_ends_a_cluster_also_where_it_may_not_remove_that_and_gc_finds_it(cloud: Cloud, tmp_path: Path) -> None:
    async def story(at: AtAws) -> None:
        await at.up()
        at.faults.append(Denied("UnauthorizedOperation: no"))
        await at.down()
        assert at.place.existing() == ()
        assert [text for text in at.told if "UnauthorizedOperation" in text]
        (found,) = await gc.find(at.bare)
        assert (found.machines, found.leftovers, found.is_nobodys) == ((), ("template-1", "template-2"), True)
        assert await gc.remove((found,), unseen, 600.0, at.bare) == ()
        assert at.left == set()
        assert await gc.find(at.bare) == ()
        at.faults.append(Denied("UnauthorizedOperation: no"))
        assert await gc.find(at.bare) == ()

    run_virtual(story(AtAws(tmp_path)))


def test_a_cluster_that_another_computer_runs_is_no_orphan(cloud: Cloud) -> None:
    """Down here, and its head is listed: nothing is given back, and it is said what to do."""

    async def story() -> None:
        await cloud.up()
        cloud.add_workers()
        homes.find("one").remote.unlink()
        homes.find("one").forget_ray()
        (found,) = await gc.find(cloud.bare)
        assert (found.head, found.advice) == ("head-1-1", "its head is head-1-1: rayfleet up or down one")
        assert await gc.remove((found,), unseen, 600.0, cloud.bare) == (found,)
        assert len(cloud.place.existing()) == 3

    run_virtual(story())


def test_it_is_listed_with_its_head(cloud: Cloud) -> None:
    run_virtual(cloud.up())
    (entry,) = listing()
    assert (entry.state, entry.address, entry.controller) == ("up", "head-1-1.fake", "its head, head-1-1")
    run_virtual(cloud.down())
    (entry,) = listing()
    assert entry.state == "down"


def test_without_a_head_nothing_can_be_asked(cloud: Cloud) -> None:
    home = homes.create("one")
    with pytest.raises(NotRunning):
        notes.head_of(home)
    home.write(home.remote, "{half")
    with pytest.raises(NotRunning, match="cannot be read"):
        notes.load(home)


def test_a_head_that_somebody_else_launched_is_not_given_up(cloud: Cloud) -> None:
    """It cannot be set up from here, say for want of the key: the cluster on it goes on."""

    async def story() -> None:
        await cloud.up()
        cloud.place.break_down("head-1-1", "no key")
        homes.find("one").ledger.unlink()
        with pytest.raises(HeadFailed, match=r"(?s)could not be brought up to date.*no key"):
            await cloud.up()

    run_virtual(story())
    assert [machine.id for machine in cloud.place.existing()] == ["head-1-1"]


def test_a_head_of_ours_that_never_worked_is_given_up(cloud: Cloud) -> None:
    async def story() -> None:
        cloud.place.boot_s = 1000.0
        rising = asyncio.create_task(cloud.up())
        await asyncio.sleep(5)
        rising.cancel()
        await asyncio.wait({rising})
        cloud.place.boot_s = 0.0
        (first,) = cloud.place.existing()
        cloud.place.break_down(first.id, "no disk")
        cloud.ssh.add("head-2-2.fake").answers |= cloud.head.answers
        await cloud.up()

    run_virtual(story())
    assert [machine.id for machine in cloud.place.existing()] == ["head-2-2"]


def test_a_head_that_somebody_stopped_is_told_at_once(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        cloud.place.rest("head-1-1")
        began = asyncio.get_running_loop().time()
        with pytest.raises(HeadFailed, match="head-1-1 is stopped"):
            await cloud.up()
        assert asyncio.get_running_loop().time() - began < 30

    run_virtual(story())
    assert len(cloud.place.existing()) == 1


def test_a_head_that_does_not_let_us_in(cloud: Cloud) -> None:
    cloud.head.refuses = True
    with pytest.raises(SshError, match="does not let"):
        run_virtual(cloud.up())
    assert len(cloud.place.existing()) == 1


def test_down_of_what_cannot_be_listed_ends_nothing_behind_a_controller_s_back(cloud: Cloud) -> None:
    """A head that is not seen may have one that launches on."""

    async def story() -> None:
        await cloud.up()
        cloud.add_workers()
        cloud.bare_faults.extend([Flaky("no way to the place")] * LOOKS)
        with pytest.raises(OutOfReach, match="no way to the place") as told:
            await cloud.down()
        assert told.value.hint.startswith("when that answers again: rayfleet down one")
        assert len(cloud.place.existing()) == 3
        cloud.bare_faults.clear()
        await cloud.down()

    run_virtual(story())
    assert any("head-stop one" in command for command in cloud.head.commands)
    assert cloud.place.existing() == ()
