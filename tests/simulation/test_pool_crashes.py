"""Two clusters share three hosts of a coordinator; who launches or gives back is killed at any step, and begins again.

What is looked at is on the hosts and in the coordinator's file: no host is ever at two clusters, no batch gets more
than it asked for, and when both clusters are gone nothing is left, at neither place.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.pool_case import Line, PoolCase

from rayfleet.contracts import ProviderError
from rayfleet.providers.local import lease as leases
from rayfleet.providers.local.provider import UNUSED_S, LocalProvider
from rayfleet.wire.coordinator.terms import PoolHost
from rayfleet.wire.ssh.session import Ran, Session, Target

T = TypeVar("T")


class Killed(Exception):
    """The process is no more."""


class Life:
    """The life of one process: so many steps, each before or after something happens outside it; None: for ever."""

    def __init__(self, steps: int | None = None) -> None:
        self.left = steps
        self.ended = False

    async def through(self, call: Awaitable[T]) -> T:
        """Do something outside, unless the process ends before it; it may end before it hears of it."""
        try:
            self._step()
        except Killed:
            if asyncio.iscoroutine(call):
                call.close()
            raise
        result = await call
        self._step()
        return result

    def _step(self) -> None:
        if self.left == 0 or self.ended:
            self.ended = True
            raise Killed
        if self.left is not None:
            self.left -= 1


class MortalSession:
    """A login of a process that may end."""

    def __init__(self, session: Any, life: Life) -> None:
        self._session, self._life = session, life

    async def run(self, command: str, **rest: Any) -> Ran:
        ran: Ran = await self._life.through(self._session.run(command, **rest))
        return ran

    async def close(self) -> None:
        await self._session.close()


class MortalSsh:
    """SSH of a process that may end."""

    def __init__(self, ssh: Any, life: Life) -> None:
        self._ssh, self._life = ssh, life

    async def connect(self, target: Target, timeout_s: float = 10.0) -> Session:
        session: Any = MortalSession(await self._life.through(self._ssh.connect(target, timeout_s)), self._life)
        found: Session = session
        return found

    async def close(self) -> None:
        pass


class MortalLine(Line):
    """The way to the coordinator, of a process that may end."""

    def __init__(self, case: PoolCase, life: Life) -> None:
        super().__init__(case)
        self._life = life

    async def _over(self, call: Callable[[], Awaitable[tuple[PoolHost, ...]]]) -> tuple[PoolHost, ...]:
        self.away, self.lost = self.case.line.away, self.case.line.lost
        return await self._life.through(super()._over(call))


class World:
    """The pool, and what the clusters' own ledgers would have: batches that were begun."""

    def __init__(self, folder: Path) -> None:
        self.case = PoolCase(folder, 3)

    def process(self, cluster: str, life: Life) -> LocalProvider:
        """Start a process of a cluster."""
        ssh: Any = MortalSsh(self.case.ssh, life)
        return self.case.line_of(cluster, MortalLine(self.case, life), ssh)

    async def launch(self, cluster: str, batch: str, count: int, life: Life | None = None) -> None:
        """Launch, or launch again, in a new process that may end in the middle of it."""
        request = self.case.request(f"{cluster}-{batch}", *(f"c{number}" for number in range(count)))
        await self._do(self.process(cluster, life or Life()).launch(request))
        self.check({f"{cluster}-{batch}": count})

    async def give_back(self, cluster: str, count: int = 99, life: Life | None = None) -> None:
        """Release the first machines that are listed, in a new process that may end in the middle of it."""
        provider = self.process(cluster, life or Life())

        async def listed_and_released() -> None:
            machines = await provider.list()
            await provider.release(tuple(machine.id for machine in machines[:count]))
            await provider.list()

        await self._do(listed_and_released())
        self.check()

    async def down(self, cluster: str) -> None:
        """End a cluster when all is well again."""
        self.case.older_s = UNUSED_S
        provider = self.process(cluster, Life())
        for _ in range(5):
            await provider.release(tuple(machine.id for machine in await provider.list()))
        assert await provider.list() == ()
        self.case.older_s = 0.0

    def forget(self, cluster: str) -> None:
        """Remove what a cluster's processes have written down."""
        (self.case.folder / cluster / "hosts.json").unlink(missing_ok=True)

    async def _do(self, call: Awaitable[None]) -> None:
        try:
            await call
        except (Killed, ProviderError):
            for _ in range(20):  # what it has begun beside that hears of its end, too
                await asyncio.sleep(0)

    def check(self, at_most: Mapping[str, int] | None = None) -> None:
        """What must hold at any moment."""
        book = {host.address: host.grant for host in self.case.store.load().hosts}
        assert len(book) == 3
        found: dict[str, int] = {}
        for host in self.case.hosts:
            lease = leases.parse(host.lease)
            if lease is not None:
                grant = book[host.ssh.address]
                assert grant is not None, f"{host.ssh.address} has a lease of {lease.cluster}, and is on offer"
                assert grant.cluster == lease.cluster
                found[lease.batch] = found.get(lease.batch, 0) + 1
        assert all(found.get(batch, 0) <= most for batch, most in (at_most or {}).items())

    def assert_empty(self) -> None:
        """Nothing is left."""
        assert [host.lease for host in self.case.hosts] == [""] * 3
        assert [host.grant for host in self.case.store.load().hosts] == [None] * 3


STEPS = range(40)
"""More than a launch of two hosts or their release takes; `test_steps_suffice` holds them to that."""


@pytest.mark.parametrize("steps", STEPS)
async def test_a_launch_is_killed_and_begun_again(tmp_path: Path, steps: int) -> None:
    world = World(tmp_path)
    await world.launch("a", "1", 2, Life(steps))
    await world.launch("b", "1", 3)
    held = len(world.case.held("a")), len(world.case.held("b"))
    assert sum(held) == 3
    await world.launch("a", "1", 2)
    assert world.case.existing("a") == len(world.case.held("a")) == held[0]
    await world.down("a")
    await world.launch("b", "1", 3)
    assert world.case.existing("b") == 3
    await world.down("b")
    world.assert_empty()


@pytest.mark.parametrize("steps", STEPS)
async def test_a_launch_is_killed_and_its_cluster_is_ended(tmp_path: Path, steps: int) -> None:
    world = World(tmp_path)
    await world.launch("a", "1", 2, Life(steps))
    world.forget("a")  # as on another computer
    await world.down("a")
    world.assert_empty()


@pytest.mark.parametrize("steps", STEPS)
async def test_giving_back_is_killed_and_asked_for_again(tmp_path: Path, steps: int) -> None:
    world = World(tmp_path)
    await world.launch("a", "1", 3)
    await world.give_back("a", life=Life(steps))
    await world.launch("b", "1", 3)
    assert world.case.existing("a") + world.case.existing("b") <= 3
    await world.down("a")
    await world.launch("b", "1", 3)
    assert world.case.existing("b") == 3
    await world.down("b")
    world.assert_empty()


async def test_steps_suffice(tmp_path: Path) -> None:
    """A process with the most steps that are tried is not killed."""
    life = Life(max(STEPS))
    world = World(tmp_path)
    await world.launch("a", "1", 2, life)
    assert not life.ended
    life = Life(max(STEPS))
    await world.give_back("a", life=life)
    assert not life.ended


# ---- anything, in any order ------------------------------------------------------------------------------------------

CLUSTERS = st.sampled_from(["a", "b"])
LIVES = st.one_of(st.none(), st.integers(0, 30))
EVENTS = st.one_of(
    st.tuples(st.just("launch"), CLUSTERS, st.sampled_from(["1", "2"]), LIVES),
    st.tuples(st.just("give back"), CLUSTERS, st.integers(1, 2), LIVES),
    st.tuples(
        st.sampled_from(["away", "lost", "well", "restart", "later", "at once"]), st.none(), st.none(), st.none()
    ),
    st.tuples(st.sampled_from(["host down", "host up"]), st.none(), st.integers(0, 2), st.none()),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS, max_size=12))
def test_whatever_happens_no_host_is_at_two_clusters(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[Any, ...]]
) -> None:
    """Two launches at a time, a coordinator that is away or whose answers are lost, hosts that do not answer."""
    asyncio.run(_live(World(tmp_path_factory.mktemp("world")), events))


async def _live(world: World, events: list[tuple[Any, ...]]) -> None:
    for what, cluster, which, steps in events:
        await _happen(world, what, cluster, which, Life(steps))
        world.check({f"{name}-{batch}": 2 for name in "ab" for batch in "12"})
    world.case.line.away = world.case.line.lost = False
    for host in world.case.hosts:
        host.ssh.down = False
    await asyncio.gather(world.launch("a", "9", 3), world.launch("b", "9", 3))
    await world.down("a")
    await world.down("b")
    world.assert_empty()


async def _happen(world: World, what: str, cluster: str, which: Any, life: Life) -> None:
    match what:
        case "launch":
            await world.launch(cluster, which, 2, life)
        case "give back":
            await world.give_back(cluster, which, life)
        case "host down" | "host up":
            world.case.hosts[which].ssh.down = what == "host down"
        case "restart":
            world.case.restart()
        case "later" | "at once":  # whether promises have been left alone for long
            world.case.older_s = UNUSED_S if what == "later" else 0.0
        case _:
            world.case.line.away, world.case.line.lost = what == "away", what == "lost"
