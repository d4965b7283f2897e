"""Provider `local` over pretended hosts that a coordinator hands out: its real book and file, without HTTP."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance.local_case import LocalCase, start_script

from rayfleet.contracts import Flaky, LaunchRequest, Login, OutOfStock, ProviderContext, ProviderError
from rayfleet.launcher.coordinator.desk import Desk
from rayfleet.launcher.coordinator.store import Store
from rayfleet.providers.local import Settings
from rayfleet.providers.local.pooled import PooledHosts
from rayfleet.providers.local.provider import LocalProvider
from rayfleet.testing.conformance import CLUSTER, Trouble
from rayfleet.wire.coordinator.client import CoordinatorError
from rayfleet.wire.coordinator.terms import Adopt, PoolHost, Return, Take, in_time_of
from rayfleet.wire.ssh.opening import ClosableSsh


class Line:
    """The way from one cluster to the desk. `away`: nobody answers; `lost`: it is done, and the answer is lost."""

    name = "desk:8375"

    def __init__(self, case: "PoolCase") -> None:
        self.case = case
        self.away = self.lost = False

    async def hosts(self) -> tuple[PoolHost, ...]:
        return await self._over(self.case.desk.hosts)

    async def take(self, wish: Take) -> tuple[PoolHost, ...]:
        return await self._over(lambda: self.case.desk.take(wish))

    async def give_back(self, host: Return) -> tuple[PoolHost, ...]:
        return await self._over(lambda: self.case.desk.give_back(host))

    async def adopt(self, host: Adopt) -> tuple[PoolHost, ...]:
        return await self._over(lambda: self.case.desk.adopt(host))

    async def free(self, address: str) -> tuple[PoolHost, ...]:
        return await self._over(lambda: self.case.desk.free(address))

    async def close(self) -> None:
        pass

    async def _over(self, call: Callable[[], Awaitable[tuple[PoolHost, ...]]]) -> tuple[PoolHost, ...]:
        if self.away:
            raise CoordinatorError("the coordinator at desk:8375 does not answer")
        answer = in_time_of(await call(), -self.case.older_s)
        if self.lost:
            raise CoordinatorError("the coordinator at desk:8375 does not answer")
        return answer


class PoolCase(LocalCase):
    """A pool of pretended hosts. `older_s`: promises are shown as so much older than they are."""

    def __init__(self, folder: Path, count: int = 8, **settings: Any) -> None:
        super().__init__(folder, count)
        self.settings = Settings.model_validate({"coordinator_address": "desk:8375", **settings})
        self.store = Store(folder / "coordinator")
        self.store.folder.mkdir()
        self.older_s = 0.0
        self.restart([{"address": host.ssh.address} for host in self.hosts])
        self.line = Line(self)

    def restart(self, forms: list[dict[str, Any]] | None = None) -> None:
        """End the coordinator and start it again."""
        book = self.store.load()
        if forms:
            book = book.offering(forms)
            self.store.save(book)
        self.desk = Desk(self.store, book)

    def local(self, cluster: str = CLUSTER) -> LocalProvider:
        return self.line_of(cluster, self.line, self.ssh)

    def line_of(self, cluster: str, line: Line, ssh: ClosableSsh) -> LocalProvider:
        """Return a provider with a line and an SSH of its own."""
        context = ProviderContext(cluster, self.folder / cluster, self.settings, start_script, login=Login("me"))
        return LocalProvider(context, ssh, PooledHosts(cluster, line))

    def held(self, cluster: str = CLUSTER) -> list[str]:
        """Return the hosts that are a cluster's by the coordinator's file."""
        return [host.address for host in self.store.load().hosts if host.is_of(cluster)]

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        """All hosts are promised, one has its lease, and who asked is gone with all that it knew."""
        order = tuple(host.ssh.address for host in self.hosts)
        await self.desk.take(Take(CLUSTER, request.batch, len(request.claims), order, "abc123", "{}"))
        await super().interrupted_launch(request)

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {**super().troubles(), OutOfStock: self._all_promised, Flaky: self._nobody_home}

    @contextmanager
    def _all_promised(self) -> Iterator[None]:
        """Everything is another cluster's, by the books alone."""
        before = self.desk
        hosts = {host.address: host for host in self.store.load().hosts}
        book = self.store.load()
        others = book.take(Take("strangers", "b", len(hosts), tuple(hosts), "xyz", ""), 0.0)
        self.desk = Desk(self.store, others)
        yield
        self.desk = before

    @contextmanager
    def _nobody_home(self) -> Iterator[None]:
        self.line.away = True
        yield
        self.line.away = False
