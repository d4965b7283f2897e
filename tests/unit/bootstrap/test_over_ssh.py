"""Machines become nodes over SSH: on virtual time, with hosts in which the commands really run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.unit.bootstrap.clusters import HALF, MARKED, head_recipe, worker_recipe
from tests.unit.bootstrap.hosts import FolderSsh, Host

from rayfleet.bootstrap.again import Again
from rayfleet.bootstrap.mirror import Mirror
from rayfleet.bootstrap.over_ssh import NEWS_S, Bootstrapped, How
from rayfleet.bootstrap.steps import Recipe
from rayfleet.bootstrap.visit import Limits, Progressed
from rayfleet.contracts import Flaky, LaunchRequest, Login, Machine, MachineState, Provider
from rayfleet.model import OfferKey, Pool, Resources, StandbyMode
from rayfleet.testing.fake_provider import FakePlace, FakeProvider
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.wire.ssh.session import HostKeyChanged, Session, Target

LIMITS = Limits(answer_s=120.0, at_once=4)
CPU_POOL = Pool("cpu", Resources.of({"CPU": 4}))
SETUP = (
    "setup_commands: ['echo setup >> ~/order', 'A_KEY=x7x; cat ~/secret 2>/dev/null; exit $(cat ~/code || echo 0)']\n"
)


@dataclass
class Scene:
    """A place with some machines, their hosts, and what was told of them."""

    folder: Path
    place: FakePlace
    ssh: FolderSsh
    recipe: Recipe = field(default_factory=lambda: worker_recipe(SETUP))
    told: list[Progressed] = field(default_factory=list)
    again: Again = Again.CHANGED
    limits: Limits = LIMITS

    def hosts(self) -> list[Host]:
        return list(self.ssh.hosts.values())

    async def launch(self, count: int, by: Provider | None = None) -> None:
        claims = tuple(f"m{number}" for number in range(count))
        provider = by or FakeProvider(self.place)
        await provider.launch(LaunchRequest("b1", OfferKey("cpu"), CPU_POOL, claims))
        for machine in self.place.listed():
            if machine.address not in self.ssh.hosts:
                self.ssh.hosts[machine.address] = Host.at(self.folder / machine.id)

    def provider(
        self,
        inner: Provider | None = None,
        skip: Callable[[Machine], bool] | None = None,
        nodes: Callable[[tuple[Machine, ...]], None] | None = None,
    ) -> Bootstrapped:
        how = How(
            ssh=self.ssh,
            target=lambda machine: Target(machine.address, Login("me"), machine.id),
            recipe=lambda _: self.recipe,
            progress=self.told.append,
            again=self.again,
            limits=self.limits,
        )
        how = replace(how, skip=skip) if skip else how
        how = replace(how, nodes=nodes) if nodes else how
        return Bootstrapped(inner or FakeProvider(self.place), how)


async def settle(provider: Provider, running: int | None = None) -> tuple[Machine, ...]:
    """List every second until no machine is on its way, or so many run; return the last listing."""
    for _ in range(3600):
        machines = await provider.list()
        if MachineState.STARTING not in {machine.state for machine in machines}:
            return machines
        if running is not None and states(machines).count("running") >= running:
            return machines
        await asyncio.sleep(1.0)
    raise AssertionError(await provider.list())


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Scene], Awaitable[None]]], Scene]:
    """Return who runs a story on virtual time and returns its scene."""

    def run(story: Callable[[Scene], Awaitable[None]]) -> Scene:
        async def main() -> Scene:
            scene = Scene(tmp_path, FakePlace(VirtualClock()), FolderSsh({}))
            await story(scene)
            return scene

        return run_virtual(main())

    return run


Play = Callable[[Callable[[Scene], Awaitable[None]]], Scene]


def states(machines: tuple[Machine, ...]) -> list[str]:
    return [machine.state.value for machine in machines]


def test_machines_are_starting_until_their_nodes_have_started(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(3)
        provider = scene.provider()
        assert states(await provider.list()) == ["starting"] * 3
        assert states(await settle(provider)) == ["running"] * 3
        await provider.close()

    scene = play(story)
    for host in scene.hosts():
        assert host.lines("order") == ["setup"]
        assert host.ray_starts() == [f"start --here id={host.home.name} head=h"]
        assert host.sessions == 0
        assert host.most_at_once == 1
    first = [told for told in scene.told if told.machine_id == "m0-1"]
    assert [(told.number, told.of) for told in first[-2:]] == [(7, 8), (8, 8)]
    assert first[-1].step == "ready"


def test_one_of_ten_fails_and_only_it_with_the_command_and_its_last_lines(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(10)
        sick = scene.ssh.hosts["m3-4.fake"].home
        (sick / "code").write_text("9")
        (sick / "secret").write_text("".join(f"line {number} https://x7x@h\n" for number in range(80)))
        provider = scene.provider()
        machines = await settle(provider)
        assert [machine.id for machine in machines if machine.state is MachineState.FAILED] == ["m3-4"]
        message = machines[3].message.splitlines()
        assert "m3-4 (m3-4.fake) ended with 9, 3 times: A_KEY=...; cat ~/secret" in message[0]
        assert message[1:] == [f"line {number} https://...@h" for number in range(30, 80)]
        assert (scene.told[-1].failed, "x7x" in repr(scene.told)) == (machines[3].message, False)
        await provider.close()

    scene = play(story)
    assert [len(host.ray_starts()) for host in scene.hosts()] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]


def test_what_a_failed_start_has_left_is_ended_before_the_next(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.recipe = worker_recipe(start=MARKED)
        await scene.launch(1)
        scene.hosts()[0].program("ray", HALF)
        provider = scene.provider()
        assert states(await settle(provider)) == ["running"]
        await provider.close()

    assert [host.ray_starts() for host in play(story).hosts()] == [["start again"]]


def test_a_host_that_never_answers_fails_and_holds_up_nobody(play: Play) -> None:
    async def story(scene: Scene) -> None:
        provider = scene.provider()
        await scene.launch(10, provider)
        for name in ("m0-1", "m1-2", "m2-3", "m3-4", "m4-5"):  # more than are worked on at once
            scene.ssh.hosts[f"{name}.fake"].down = True
        begin = asyncio.get_running_loop().time()
        await settle(provider, running=5)
        assert asyncio.get_running_loop().time() - begin < 5.0
        machines = await settle(provider)
        assert states(machines) == ["failed"] * 5 + ["running"] * 5
        assert machines[0].message == ("m0-1 (m0-1.fake) does not let us in after 120 s: m0-1.fake does not answer")
        await provider.close()

    play(story)


def test_a_key_that_comes_during_the_boot_is_waited_for(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)
        scene.hosts()[0].refuses = 3
        provider = scene.provider()
        assert states(await settle(provider)) == ["running"]
        await provider.close()

    play(story)


def test_another_host_at_the_address_fails_at_once(play: Play) -> None:
    class Changed(FolderSsh):
        async def connect(self, target: Target, timeout_s: float = 10.0) -> Session:  # type: ignore[override]
            raise HostKeyChanged(f"the key of {target.address} has changed")

    async def story(scene: Scene) -> None:
        scene.ssh = Changed(scene.ssh.hosts)
        provider = scene.provider()
        await scene.launch(1, provider)
        (machine,) = await settle(provider)
        assert machine.message == "m0-1 (m0-1.fake): the key of m0-1.fake has changed"
        await provider.close()

    play(story)


def test_a_lost_connection_goes_on_where_it_was(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)
        scene.hosts()[0].cut = "secret"
        provider = scene.provider()
        assert states(await settle(provider)) == ["running"]
        await provider.close()

    (host,) = play(story).hosts()
    assert host.lines("order") == ["setup"]  # what was done before the loss is not done again
    assert len(host.ray_starts()) == 1
    assert sum("secret" in command for command in host.ran) == 2


def test_a_node_that_was_there_before_is_not_given_up_because_nobody_gets_in(play: Play) -> None:
    """A controller that starts again must not have machines replaced whose nodes are at work."""

    async def story(scene: Scene) -> None:
        await scene.launch(1)
        first = scene.provider()
        await settle(first)
        await first.close()
        scene.hosts()[0].down = True
        second = scene.provider()
        for _ in range(200):
            await second.list()
            await asyncio.sleep(10.0)
        (machine,) = await second.list()
        assert (machine.state, machine.message) == (
            MachineState.STARTING,
            "waits for SSH: m0-1.fake does not answer",
        )
        scene.hosts()[0].down = False
        assert states(await settle(second)) == ["running"]
        await second.close()

    (host,) = play(story).hosts()
    assert len(host.ray_starts()) == 1


def test_one_that_is_lost_again_and_again_fails(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)
        host = scene.hosts()[0]
        provider = scene.provider()
        for _ in range(LIMITS.losses):
            host.cut = "setup >>"
            while host.cut:
                await provider.list()
                await asyncio.sleep(0.1)
        (machine,) = await settle(provider)
        assert machine.message == (
            "m0-1 (m0-1.fake) was lost 5 times during 'setup echo setup >> ~/order': the connection broke"
        )
        await provider.close()

    play(story)


def test_a_controller_that_starts_again_in_the_middle_finishes_what_is_left(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(2)
        first = scene.provider()
        while not all("setup" in host.lines("order") for host in scene.hosts()):
            await first.list()
            await asyncio.sleep(0.05)
        await first.close()
        assert not any(host.ray_starts() for host in scene.hosts())
        second = scene.provider()
        assert states(await settle(second)) == ["running"] * 2
        await second.close()
        third = scene.provider()  # and one that finds all done looks, and leaves it alone
        before = [len(host.ran) for host in scene.hosts()]
        assert states(await settle(third)) == ["running"] * 2
        assert [len(host.ran) - known for host, known in zip(scene.hosts(), before, strict=True)] == [1, 1]
        await third.close()

    scene = play(story)
    assert [len(host.ray_starts()) for host in scene.hosts()] == [1, 1]
    assert [host.most_at_once for host in scene.hosts()] == [1, 1]


def test_who_waits_for_a_machine_is_told_soon_and_a_place_that_fails_is_not_asked_more(play: Play) -> None:
    """The end of its set-up makes a listing worth it at once; one that says nothing does not make more of them."""

    async def story(scene: Scene) -> None:
        await scene.launch(1)
        inner = FakeProvider(scene.place, list_interval_s=10.0)
        provider = scene.provider(inner)
        await provider.list()
        assert provider.list_interval_s == 10.0
        await asyncio.sleep(60)
        assert provider.list_interval_s == NEWS_S
        inner.fail("list", Flaky("no answer"))
        with pytest.raises(Flaky):
            await provider.list()
        assert provider.list_interval_s == 10.0
        (machine,) = await provider.list()
        assert (machine.state, provider.list_interval_s) == (MachineState.RUNNING, 10.0)
        await provider.close()

    play(story)


def test_a_machine_that_goes_in_the_middle_takes_its_work_along(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(2)
        provider = scene.provider()
        while not scene.ssh.hosts["m0-1.fake"].lines("order"):
            await provider.list()
            await asyncio.sleep(0.005)
        scene.place.vanish("m0-1")
        machines = await settle(provider)
        assert [(machine.id, machine.state) for machine in machines] == [("m1-2", MachineState.RUNNING)]
        await asyncio.sleep(60)
        await provider.close()

    scene = play(story)
    assert [len(host.ray_starts()) for host in scene.hosts()] == [0, 1]
    assert [host.sessions for host in scene.hosts()] == [0, 0]


def test_what_is_released_is_not_worked_on_any_more_even_if_a_listing_is_late(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)

        class Late(FakeProvider):
            async def release(self, machine_ids: tuple[str, ...]) -> None:
                pass  # accepted, and seen much later

        provider = scene.provider(Late(scene.place))
        scene.hosts()[0].slow_s = 1.0
        await provider.list()
        await asyncio.sleep(3.0)
        assert scene.hosts()[0].running == 1
        await provider.release(("m0-1",))
        for _ in range(60):
            await provider.list()
            await asyncio.sleep(1.0)
        assert states(await provider.list()) == ["running"]
        await provider.close()

    (host,) = play(story).hosts()
    assert not host.ray_starts()


def test_two_wrappers_in_a_row_set_up_once(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(2)
        provider = scene.provider(scene.provider())
        assert states(await settle(provider)) == ["running"] * 2
        await provider.close()

    scene = play(story)
    assert [len(host.ray_starts()) for host in scene.hosts()] == [1, 1]
    assert [host.lines("order") for host in scene.hosts()] == [["setup"]] * 2
    assert [host.most_at_once for host in scene.hosts()] == [1, 1]


def test_one_that_boots_again_is_started_again_without_its_setup(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)
        provider = scene.provider()
        await settle(provider)
        scene.hosts()[0].reboot()
        machine = scene.place.machines["m0-1"]
        scene.place.machines["m0-1"] = replace(machine, running_at=VirtualClock().now() + 30)
        assert states(await provider.list()) == ["starting"]
        assert states(await settle(provider)) == ["running"]
        await provider.close()

    (host,) = play(story).hosts()
    assert (len(host.ray_starts()), host.lines("order")) == (2, ["setup"])


@pytest.mark.parametrize(
    ("again", "changed", "setups", "starts"),
    [
        (Again.CHANGED, False, 1, 1),
        (Again.CHANGED, True, 2, 2),
        (Again.SETUP, True, 2, 1),
        (Again.SETUP, False, 1, 1),
        (Again.START, False, 1, 2),
        (Again.START, True, 1, 2),
    ],
)
def test_what_is_done_again_on_a_node_that_runs(
    play: Play, again: Again, changed: bool, setups: int, starts: int
) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)
        first = scene.provider()
        await settle(first)
        await first.close()
        scene.again = again
        if changed:
            scene.recipe = worker_recipe(SETUP + "worker_setup_commands: ['true']\n")
        second = scene.provider()
        await settle(second)
        await settle(second)
        await second.close()
        scene.again = Again.CHANGED  # whoever comes next finds nothing to do, unless something was left out
        third = scene.provider()
        await settle(third)
        await third.close()

    (host,) = play(story).hosts()
    left = again is Again.START and changed
    assert (len(host.lines("order")), len(host.ray_starts())) == (setups + left, starts + left)


def test_heads_of_others_are_listed_as_they_are(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)
        provider = scene.provider(skip=lambda machine: machine.id == "m0-1")
        assert states(await provider.list()) == ["running"]
        await provider.close()

    assert play(story).ssh.targets == []


def test_files_are_copied_and_a_missing_one_is_told(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(2)
        (scene.folder / "data/in").mkdir(parents=True)
        (scene.folder / "data/in/x").write_text("x")
        missing = "~/no/such/file"
        scene.recipe = head_recipe(f"file_mounts: {{'~/there': '{scene.folder}/data'}}\n")
        provider = scene.provider()
        assert states(await settle(provider)) == ["running"] * 2
        await provider.close()
        assert [host.lines("there/in/x") for host in scene.hosts()] == [["x"], ["x"]]
        scene.recipe = worker_recipe(f"file_mounts: {{'{missing}': none}}\ncluster_synced_files: [/none/either]\n")
        again = scene.provider()
        machines = await settle(again)
        assert states(machines) == ["failed"] * 2
        assert machines[0].message.endswith(f"there is no {missing} to copy from")
        await again.close()

    play(story)


def test_files_are_brought_again_to_a_machine_that_was_set_up_before(play: Play) -> None:
    """What they contain has changed, perhaps; nothing is set up or started again for it."""

    async def story(scene: Scene) -> None:
        await scene.launch(1)
        source = scene.folder / "source"
        for again, text in ((Again.CHANGED, "one"), (Again.CHANGED, "two"), (Again.START, "three")):
            source.write_text(text)
            scene.again = again
            scene.recipe = head_recipe(f"{SETUP}file_mounts: {{'~/there': '{source}'}}\n")
            provider = scene.provider()
            await settle(provider)
            await provider.close()

    (host,) = play(story).hosts()
    assert host.lines("there") == ["two"]  # who wants only the start commands gets only those
    assert (len(host.lines("order")), len(host.ray_starts())) == (1, 2)


@pytest.mark.parametrize("trouble", ["missing", "lost", "out of reach"])
def test_a_node_stays_one_when_its_files_cannot_be_brought_again(play: Play, trouble: str) -> None:
    """A controller that starts again must not release machines at work for want of a file."""

    async def story(scene: Scene) -> None:
        await scene.launch(1)
        (host,) = scene.hosts()
        source = scene.folder / "source"
        source.write_text("one")
        scene.recipe = head_recipe(f"{SETUP}file_mounts: {{'~/there': '{source}'}}\n")
        first = scene.provider()
        await settle(first)
        await first.close()
        scene.told.clear()
        source.write_text("two")
        if trouble == "missing":
            source.unlink()
        else:
            host.losing = 1 if trouble == "out of reach" else LIMITS.losses
            host.down_when_lost = trouble == "out of reach"
        second = scene.provider()
        assert states(await settle(second)) == ["running"]
        await second.close()
        assert scene.told[-1].step == "ready"
        assert not [told.failed for told in scene.told if told.failed]

    (host,) = play(story).hosts()
    assert host.lines("there") == ["one"]
    assert (len(host.lines("order")), len(host.ray_starts())) == (1, 1)


def test_files_that_change_are_brought_to_nodes_that_run(play: Play) -> None:
    """To all of them, also to one that did not answer at first; and to none that is gone."""

    async def story(scene: Scene) -> None:
        await scene.launch(2)
        source = scene.folder / "source"
        source.mkdir()
        (source / "file").write_text("one")
        scene.recipe = head_recipe(f"{SETUP}file_mounts: {{'~/there': '{source}'}}\n")
        mirror = Mirror(
            scene.ssh, lambda machine: Target(machine.address, Login("me")), lambda _: scene.recipe, interval_s=10.0
        )
        provider = scene.provider(nodes=mirror.seen)
        await settle(provider)
        first, second = scene.hosts()
        second.down = True
        (source / "file").write_text("another")
        await asyncio.sleep(120.0)
        assert (first.lines("there/file"), second.lines("there/file")) == (["another"], ["one"])
        second.down = False
        await asyncio.sleep(120.0)
        assert second.lines("there/file") == ["another"]
        sessions = second.sessions
        await asyncio.sleep(120.0)
        assert second.sessions == sessions  # nothing has changed
        mirror.seen(())
        (source / "file").write_text("a third")
        await asyncio.sleep(120.0)
        assert first.lines("there/file") == ["another"]
        await mirror.close()
        await provider.close()

    for host in play(story).hosts():
        assert (len(host.lines("order")), len(host.ray_starts())) == (1, 1)


def test_into_a_container_everything_goes_through_it(play: Play, tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)
        host = scene.hosts()[0]
        host.program("docker", (Path(__file__).parent / "docker.sh").read_text(), "sbin")
        scene.recipe = worker_recipe("docker: {image: i}\nsetup_commands: ['echo $IN > ~/where']\n")
        provider = scene.provider()
        assert states(await settle(provider)) == ["running"]
        await provider.close()
        assert host.lines("where") == ["box"]
        token = host.home / ".rayfleet/demo/ray-token"
        assert (token.read_text(), token.stat().st_mode & 0o777) == ("secret-token", 0o600)

    (host,) = play(story).hosts()
    assert not any("secret-token" in command for command in host.ran)
    assert len(host.ray_starts()) == 1


def test_machines_on_standby_are_set_up_when_they_are_started(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.place.stop_s = 5.0
        provider = scene.provider()
        request = LaunchRequest("b1", OfferKey("cpu"), CPU_POOL, ("m0",))
        await provider.prepare(request, StandbyMode.STOPPED)
        (machine,) = await provider.list()
        scene.ssh.hosts[machine.address] = host = Host.at(scene.folder / machine.id)
        await asyncio.sleep(20)
        assert states(await provider.list()) == ["standby"]
        await provider.start(replace(request, batch="b2", reuse=(machine.id,)))
        assert states(await settle(provider)) == ["running"]
        assert len(host.ray_starts()) == 1
        await provider.stop((machine.id,), StandbyMode.STOPPED)
        await provider.list()
        await asyncio.sleep(20)
        assert states(await provider.list()) == ["standby"]
        host.reboot()
        await provider.start(replace(request, batch="b3", reuse=(machine.id,)))
        assert states(await settle(provider)) == ["running"]
        assert (len(host.ray_starts()), host.lines("order")) == (2, ["setup"])
        await provider.close()

    play(story)


def test_a_mistake_in_a_recipe_fails_the_machine_and_not_the_listing(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(1)
        provider = scene.provider()
        del scene.recipe
        (machine,) = await settle(provider)
        assert machine.message.startswith("the set-up of m0-1 ended in AttributeError")
        await provider.close()

    play(story)


def test_hosts_with_one_home_for_all_know_each_their_own_past(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.launch(2)
        first, second = scene.hosts()
        shared = second.home = first.home
        provider = scene.provider()
        assert states(await settle(provider)) == ["running"] * 2
        await provider.close()
        again = scene.provider()
        assert states(await settle(again)) == ["running"] * 2
        await again.close()
        marks = [file.name for file in shared.glob(".rayfleet/demo/node.*")]
        assert sorted(marks) == ["node.m0-1", "node.m1-2"]

    assert len(play(story).hosts()[0].ray_starts()) == 2
