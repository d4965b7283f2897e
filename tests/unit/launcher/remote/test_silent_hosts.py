"""`down` of hosts of one's own: what it says of those that do not answer, and what becomes of them. On virtual time."""

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.conformance.local_case import LocalCase, start_script

from rayfleet.cli.ending import tell_end
from rayfleet.contracts import Flaky, LaunchRequest, Login, ProviderContext
from rayfleet.launcher import home as homes
from rayfleet.launcher.down import Ended
from rayfleet.launcher.errors import OutOfReach
from rayfleet.launcher.remote import head
from rayfleet.launcher.remote import where as notes
from rayfleet.launcher.remote.down import Ending, down
from rayfleet.launcher.remote.parts import SILENT_S
from rayfleet.launcher.spec import Wanted, wanted
from rayfleet.model import OfferKey, Pool, Resources
from rayfleet.providers.local.hosts import OwnHosts
from rayfleet.providers.local.provider import LocalProvider
from rayfleet.providers.local.settings import HostForm
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.ssh.session import Ran

CPU1 = Resources.of({"CPU": 1})
WORKERS = ["10.0.0.2", "10.0.0.3"]


class Rack:
    """A head and two workers, each with a lease; the laptop has only seen the head's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.case = LocalCase(folder, 3, head_ip="10.0.0.1", worker_ips=WORKERS)
        self.head, self.first, self.second = self.case.hosts
        self.head.ssh.answers["head-stop"] = lambda _asked: self.stopped()
        asyncio.run(self._take())

    @property
    def wanted(self) -> Wanted:
        config = {
            "cluster_name": "one",
            "provider": {"type": "local", "head_ip": "10.0.0.1", "worker_ips": WORKERS},
            "auth": {"ssh_user": "me"},
            "head_node_type": "head",
            "available_node_types": {"head": {"resources": {}}, "w": {"resources": {"CPU": 1}, "max_workers": 4}},
        }
        return wanted(json.dumps(config), "one.yaml")

    def provider(self, where: str) -> LocalProvider:
        """Return the provider of one of the two computers that have it."""
        context = ProviderContext("one", self.folder / where, self.case.settings, start_script, login=Login("me"))
        return LocalProvider(context, self.case.ssh)

    async def _take(self) -> None:
        pool = Pool("head", Resources())
        laptop = self.provider("laptop")
        await laptop.launch(LaunchRequest("h1", OfferKey("head"), pool, ("head-1",), head=True))
        await laptop.list()
        pool = Pool("w", CPU1)
        await self.provider("head").launch(LaunchRequest("w1", OfferKey("w"), pool, ("w-1", "w-2")))

    async def stopped(self) -> Ran:
        """Do on the head what its command does."""
        told = await head.give_back(homes.find("one"), lambda *_: self.provider("head"))
        return Ran(0, (json.dumps({"stopped": True, **told}),))

    def note_head(self) -> None:
        """Leave the note that `up` would have left."""
        home = homes.create("one")
        home.write(home.config, self.wanted.text)
        notes.save(home, notes.Where("local", "10.0.0.1-aaaaaa", "10.0.0.1", "10.0.0.1"))

    def down(self, *, give_up: bool = False) -> Ended:
        doing = Ending(lambda _step: None, 600.0, give_up)
        return run_virtual(down(self.wanted, doing, lambda _site: self.provider("laptop"), self.case.ssh))

    @property
    def leased(self) -> list[str]:
        return [host.ssh.address for host in self.case.hosts if host.lease]


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rack]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    found = Rack(tmp_path)
    found.note_head()
    yield found
    for each in set(root.handlers) - set(handlers):
        each.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def is_up() -> bool:
    return homes.find("one").is_up


def silent(ended: Ended) -> list[tuple[str, str, bool]]:
    return [(host.address, host.pool, host.head) for host in ended.unreachable]


def test_all_answer(rack: Rack) -> None:
    """The workers are given back from the head, the head from here; each is counted once."""
    ended = rack.down()
    assert (ended.released, silent(ended), rack.leased) == (3, [], [])
    assert ended.as_json()["ok"]
    assert not is_up()


def test_workers_that_only_the_head_reaches_are_given_back(rack: Rack, tmp_path: Path) -> None:
    """What is a wire to the head is none to the laptop: nothing is there, and the head has seen that."""
    told: list[str] = []

    async def from_head() -> Ran:
        ran = await rack.stopped()
        for host in (rack.first, rack.second):
            host.ssh.down = True
        told.append(ran.text)
        return ran

    rack.head.ssh.answers["head-stop"] = lambda _asked: from_head()
    ended = rack.down()
    assert told
    assert (ended.released, silent(ended), rack.leased) == (3, [], [])
    assert not is_up()


def test_a_worker_out_of_reach_is_named_and_down_again_ends_it(rack: Rack) -> None:
    """The laptop has never seen its lease; the head has. Nobody waits for the 5 minutes of the controller."""
    rack.first.ssh.down = True
    ended = rack.down()
    assert silent(ended) == [("10.0.0.2", "w", False)]
    assert (ended.released, rack.leased, ended.as_json()["ok"]) == (2, ["10.0.0.2"], False)
    assert is_up()
    still = rack.down()
    assert (silent(still), is_up()) == ([("10.0.0.2", "w", False)], True)
    rack.first.ssh.down = False
    last = rack.down()
    assert (silent(last), rack.leased, last.as_json()["ok"], is_up()) == ([], [], True, False)
    assert rack.first.ended == ["one"]


def test_what_was_free_when_it_answered_last_keeps_nobody_up(rack: Rack) -> None:
    """Also when the laptop remembers it otherwise: the head has seen it later."""

    async def story() -> None:
        await rack.provider("laptop").list()
        worker = rack.provider("head")
        await worker.release(tuple(machine.id for machine in await worker.list() if machine.address == "10.0.0.2"))

    asyncio.run(story())
    rack.first.ssh.down = True
    ended = rack.down()
    assert (silent(ended), rack.leased, is_up()) == ([], [], False)


def test_a_head_out_of_reach_takes_what_it_knew_along(rack: Rack) -> None:
    """Whatever else does not answer may have been taken by it."""
    rack.head.ssh.down = rack.second.ssh.down = True
    ended = rack.down()
    assert silent(ended) == [("10.0.0.1", "head", True), ("10.0.0.3", "", False)]
    assert (rack.leased, is_up()) == (["10.0.0.1", "10.0.0.3"], True)
    rack.head.ssh.down = rack.second.ssh.down = False
    assert (rack.down().unreachable, rack.leased, is_up()) == ((), [], False)


def test_given_up_it_is_down_and_the_host_keeps_its_lease(rack: Rack, capsys: pytest.CaptureFixture[str]) -> None:
    rack.first.ssh.down = True
    ended = rack.down(give_up=True)
    assert (rack.leased, is_up()) == (["10.0.0.2"], False)
    tell_end(ended, as_json=False, gave_up=True)
    told = capsys.readouterr()
    assert told.out.startswith("cluster one is down: 2 machines given back")
    assert "given up, and what runs there runs on" in told.err
    assert "10.0.0.2: 10.0.0.2-" in told.err


def test_it_is_told_so(rack: Rack, capsys: pytest.CaptureFixture[str]) -> None:
    from typer import Exit

    rack.first.ssh.down = True
    ended = rack.down()
    with pytest.raises(Exit) as raised:
        tell_end(ended, as_json=False)
    told = capsys.readouterr()
    assert raised.value.exit_code == 1
    assert told.out.startswith("cluster one is not down yet: 2 machines given back")
    assert "of pool w may still run there (10.0.0.2 does not answer)" in told.err
    assert "rayfleet down one --give-up" in told.err
    with pytest.raises(Exit):
        tell_end(ended, as_json=True)
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [host["address"] for host in answer["unreachable"]] == ["10.0.0.2"]
    assert (answer["ok"], answer["left_behind"]) == (False, [])


@pytest.mark.parametrize("refused", [False, True], ids=["silent", "refused"])
def test_where_no_host_answers_it_says_how_to_give_them_up(rack: Rack, refused: bool) -> None:
    for host in rack.case.hosts:
        host.ssh.down, host.ssh.refuses = not refused, refused
    with pytest.raises(OutOfReach, match="no host answers") as told:
        rack.down()
    assert "rayfleet down one --give-up" in told.value.hint
    assert is_up()
    ended = rack.down(give_up=True)
    assert [host.address for host in ended.unreachable] == ["10.0.0.1", *WORKERS]
    assert ended.unreachable[0].head
    assert (ended.released, len(rack.leased), is_up()) == (0, 3, False)


def test_hosts_that_are_silent_for_a_moment_are_not_given_up(rack: Rack) -> None:
    for host in rack.case.hosts:
        host.ssh.down = True

    async def story() -> Ended:
        doing = Ending(lambda _step: None, 600.0, give_up=True)
        ending = asyncio.create_task(down(rack.wanted, doing, lambda _site: rack.provider("laptop"), rack.case.ssh))
        await asyncio.sleep(SILENT_S / 2)
        for host in rack.case.hosts:
            host.ssh.down = False
        return await ending

    assert (run_virtual(story()).unreachable, rack.leased, is_up()) == ((), [], False)


def test_a_coordinator_that_is_gone_is_given_up_with_what_it_lent(rack: Rack) -> None:
    class Gone(OwnHosts):
        async def ours(self, known: Iterable[str]) -> tuple[HostForm, ...]:
            raise Flaky(f"no coordinator answers, and {len(tuple(known))} hosts were ours")

    def provider(_site: object) -> LocalProvider:
        context = ProviderContext("one", rack.folder / "laptop", rack.case.settings, start_script, login=Login("me"))
        return LocalProvider(context, rack.case.ssh, Gone(rack.case.settings))

    def end(*, give_up: bool) -> Ended:
        doing = Ending(lambda _step: None, 600.0, give_up)
        return run_virtual(down(rack.wanted, doing, provider, rack.case.ssh))

    with pytest.raises(OutOfReach, match="no coordinator answers") as told:
        end(give_up=False)
    assert "--give-up" in told.value.hint
    assert is_up()
    assert silent(end(give_up=True)) == [("10.0.0.1", "head", True)]
    assert not is_up()
