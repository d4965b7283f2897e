"""Two clusters share three real hosts: a real coordinator, started as people start it, and providers as wired."""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.e2e.remote.laptop import Laptop

from rayfleet.contracts import Flaky, LaunchRequest, MachineState, OutOfStock, Provider, ProviderContext, StartScript
from rayfleet.model import CPU, OfferKey, Pool, Resources
from rayfleet.providers.local import PROVIDER, Settings
from rayfleet.providers.local import lease as leases
from rayfleet.testing.hosts import Hosts, needs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

POOL = Pool("p", Resources.of({CPU: 1}))


@dataclass
class Desk:
    """The coordinator on the machine that all hosts are around; it listens beyond loopback, so that it has a token."""

    site: Hosts
    folder: Path
    port: int = 0
    child: "subprocess.Popen[str] | None" = field(default=None)

    @property
    def address(self) -> str:
        return f"{self.site.gateway}:{self.port}"

    @property
    def token(self) -> Path:
        return self.folder / "token"

    def start(self, *words: str) -> None:
        command = [sys.executable, "-m", "rayfleet", "coordinator", *words, "--state", str(self.folder)]
        self.child = subprocess.Popen([*command, "--listen", self.address], stdout=subprocess.PIPE, text=True)
        assert self.child.stdout is not None
        self.port = int(self.child.stdout.readline().rpartition(":")[2])
        assert self.child.stdout.readline()

    def kill(self) -> None:
        """As `kill -9` does."""
        if self.child is not None and self.child.stdout is not None:
            self.child.kill()
            self.child.wait()
            self.child.stdout.close()

    def hosts(self) -> list[str | None]:
        """Return whose each host is, as people are told."""
        ran = subprocess.run(
            [sys.executable, "-m", "rayfleet", "coordinator", "hosts", "--json",
             "--address", self.address, "--token-file", str(self.token)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert self.token.read_text(encoding="utf-8") not in ran.stdout + ran.stderr
        return [row["cluster"] for row in json.loads(ran.stdout)["hosts"]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Return three running hosts, where the other files of this folder have two."""
    lacking = needs()
    if lacking:
        pytest.fail(f"hosts for tests need {lacking}")
    with Hosts(3, tmp_path_factory.mktemp("hosts")) as running:
        yield running


@pytest.fixture
def desk(site: Hosts, tmp_path: Path) -> Iterator[Desk]:
    found = Desk(site, tmp_path / "admin")
    found.start("--ips", ",".join(host.address for host in site.hosts))
    yield found
    found.kill()
    for host in site.hosts:
        host.run(["rm", "-f", leases.PATH])


@asynccontextmanager
async def cluster(desk: Desk, folder: Path, name: str) -> AsyncIterator[Provider]:
    """Give the provider of a cluster whose file names the coordinator."""
    told = {"coordinator_address": desk.address, "coordinator_token_file": str(desk.token), "grace_s": 1}
    settings = Settings.model_validate({**told, "connect_timeout_s": 2})
    provider = PROVIDER.build(
        ProviderContext(name, folder / name, settings, lambda _pool, _head: StartScript(()), login=desk.site.login)
    )
    try:
        yield provider
    finally:
        await provider.close()


def request(batch: str, *claims: str, head: bool = False) -> LaunchRequest:
    return LaunchRequest(batch, OfferKey(POOL.name), POOL, claims, head=head)


def leased(desk: Desk) -> list[str]:
    """Return whose lease is on each host."""
    found = [leases.parse(host.run(["cat", leases.PATH]).stdout) for host in desk.site.hosts]
    return [lease.cluster if lease else "" for lease in found]


async def down(provider: Provider) -> None:
    await provider.release(tuple(machine.id for machine in await provider.list()))
    assert await provider.list() == ()


async def test_the_second_gets_the_rest_and_then_what_the_first_gives_back(desk: Desk, tmp_path: Path) -> None:
    async with cluster(desk, tmp_path, "team-a") as first, cluster(desk, tmp_path, "team-b") as second:
        await first.launch(request("ah", "h", head=True))
        await first.launch(request("a1", "w"))
        await second.launch(request("bh", "h", head=True))
        assert desk.hosts() == leased(desk) == ["team-a", "team-a", "team-b"]
        with pytest.raises(OutOfStock, match="3 hosts: team-a holds 2, team-b holds 1"):
            await second.launch(request("b1", "w1", "w2"))
        await down(first)
        assert desk.hosts() == [None, None, "team-b"]
        await second.launch(request("b2", "w1", "w2"))
        assert desk.hosts() == leased(desk) == ["team-b"] * 3
        await down(second)
        assert (desk.hosts(), leased(desk)) == ([None] * 3, [""] * 3)


async def test_a_coordinator_that_is_killed_knows_all_when_it_is_back(desk: Desk, tmp_path: Path) -> None:
    """Meanwhile machines that are known stay listed, and who knows nothing concludes nothing."""
    async with cluster(desk, tmp_path, "team-a") as first:
        await first.launch(request("a1", "w1", "w2"))
        before = await first.list()
        desk.kill()
        assert await first.list() == before
        with pytest.raises(Flaky, match="does not answer"):
            await first.launch(request("a2", "w3"))
        async with cluster(desk, tmp_path, "team-a") as again:
            with pytest.raises(Flaky, match="does not answer"):
                await again.list()
        with contextlib.suppress(Flaky):
            await first.release((before[0].id,))
        assert leased(desk) == ["", "team-a", ""]
        desk.start()
        assert desk.hosts() == ["team-a", "team-a", None]
        assert [machine.id for machine in await first.list()] == [before[1].id]
        assert desk.hosts() == [None, "team-a", None]


async def test_a_host_that_is_cut_off_stays_its_clusters(desk: Desk, tmp_path: Path) -> None:
    async with cluster(desk, tmp_path, "team-a") as first, cluster(desk, tmp_path, "team-b") as second:
        await first.launch(request("a1", "w1", "w2"))
        gone = desk.site.hosts[0]
        gone.cut_off()
        try:
            lost, _ = await first.list()
            await first.release((lost.id,))
            assert [machine.state for machine in await first.list()] == [MachineState.STOPPING, MachineState.RUNNING]
            await second.launch(request("b1", "w1", "w2"))
            assert desk.hosts() == ["team-a", "team-a", "team-b"]
        finally:
            gone.reconnect()
        assert len(await first.list()) == 1
        assert desk.hosts() == [None, "team-a", "team-b"]


@pytest.mark.timeout(400)
def test_up_takes_a_head_of_the_pool_and_down_gives_it_back_though_up_was_killed(desk: Desk, tmp_path: Path) -> None:
    """The commands themselves, until the set-up of the head, which never ends here: no Ray is needed for that."""
    laptop = Laptop(tmp_path, "mine")
    config = {
        "cluster_name": "mine",
        "provider": {
            "type": "local",
            "coordinator_address": desk.address,
            "coordinator_token_file": str(desk.token),
            "grace_s": 1,
        },
        "auth": {"ssh_user": desk.site.login.user, "ssh_private_key": desk.site.login.private_key},
        "max_workers": 2,
        "setup_commands": ["sleep 1000"],
    }
    (tmp_path / "pool.yaml").write_text(json.dumps(config), encoding="utf-8")
    up = laptop.begin("up", "pool.yaml")
    head = desk.site.hosts[0]
    laptop.wait(lambda: head.run(["pgrep", "-f", "sleep 1000"]).stdout)
    up.kill()
    up.wait()
    assert (desk.hosts(), leased(desk)) == (["mine", None, None], ["mine", "", ""])
    ended = json.loads(laptop.rayfleet("down", "pool.yaml", "--json").stdout)
    assert ended["ok"]
    assert (desk.hosts(), leased(desk)) == ([None] * 3, [""] * 3)
    assert head.run(["pgrep", "-f", "sleep 1000"]).stdout == ""
    assert "nothing is left over" in laptop.rayfleet("gc").stdout
