"""A provider whose machines are set up over SSH keeps the contract as it did before, also when wrapped twice."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import pytest
from tests.unit.bootstrap.clusters import worker_recipe

from rayfleet.bootstrap.offered import Offered
from rayfleet.bootstrap.over_ssh import Bootstrapped, How
from rayfleet.contracts import Denied, Flaky, LaunchRequest, Login, OutOfStock, Provider, ProviderError, QuotaReached
from rayfleet.model import StandbyMode
from rayfleet.testing.conformance import CLUSTER, Case, Trouble
from rayfleet.testing.fake_provider import FakePlace, FakeProvider, ManualClock
from rayfleet.testing.standby_conformance import StandbyConformance
from rayfleet.wire.ssh.session import Files, Line, Ran, Session, Target

TURNS = 100
"""So often tasks may go on while a second passes."""


class Willing:
    """Hosts on which everything works at once: Ssh and Session in one."""

    async def connect(self, target: Target, timeout_s: float = 10.0) -> Session:
        del target, timeout_s
        return self

    async def run(
        self,
        command: str,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float | None = None,
        on_line: Line | None = None,
    ) -> Ran:
        del command, env, stdin, timeout_s, on_line
        return Ran(0, ("boot=1",))

    async def write(self, path: str, content: bytes, mode: int = 0o600) -> None:
        del path, content, mode

    async def push(self, files: Files) -> None:
        raise AssertionError(files)

    async def pull(self, files: Files) -> None:
        raise AssertionError(files)

    async def close(self) -> None:
        pass


class BootstrappedCase(Case):
    """Fake places by cluster; their providers with wrappers."""

    def __init__(self, boot_s: float, wrappers: int) -> None:
        self.clock = ManualClock()
        self._boot_s = boot_s
        self._wrappers = wrappers
        self._places: dict[str, FakePlace] = {}
        self._last: FakeProvider | None = None

    def place(self, cluster: str) -> FakePlace:
        return self._places.setdefault(cluster, FakePlace(self.clock, boot_s=self._boot_s, stop_s=self._boot_s))

    def provider(self, cluster: str = CLUSTER) -> Provider:
        self._last = FakeProvider(self.place(cluster))
        wrapped: Provider = Offered(self._last)
        recipe = worker_recipe("setup_commands: ['true']\n")
        how = How(Willing(), lambda machine: Target(machine.address, Login("me"), machine.id), lambda _: recipe)
        for _ in range(self._wrappers):
            wrapped = Bootstrapped(wrapped, how)
        return wrapped

    def existing(self, cluster: str = CLUSTER) -> int:
        return len(self.place(cluster).existing())

    async def pass_time(self) -> None:
        self.clock.advance(1)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        provider = FakeProvider(self.place(CLUSTER))
        provider.fail("launch", Flaky("cut off"), after=1)
        with pytest.raises(Flaky, match="cut off"):
            await provider.launch(request)

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {error: partial(self._trouble, error) for error in (OutOfStock, QuotaReached, Denied, Flaky)}

    @contextmanager
    def _trouble(self, error: type[ProviderError]) -> Iterator[None]:
        assert self._last is not None
        self._last.fail("launch", error("as scripted"))
        yield


@pytest.mark.parametrize(("boot_s", "wrappers"), [(0.0, 1), (3.0, 1), (1.0, 2)])
class TestBootstrapped(StandbyConformance):
    """The whole suite."""

    @pytest.fixture
    def case(self, boot_s: float, wrappers: int) -> Case:
        """Return a fresh case."""
        return BootstrappedCase(boot_s, wrappers)

    @pytest.fixture(params=list(StandbyMode))
    def mode(self, request: pytest.FixtureRequest) -> StandbyMode:
        """Return each way of waiting."""
        mode: StandbyMode = request.param
        return mode
