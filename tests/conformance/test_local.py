"""Provider `local` passes the conformance suite over pretended hosts, and over real ones from end to end."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conformance.local_case import HELD, LocalCase, start_script
from tests.conformance.pool_case import PoolCase

from rayfleet.contracts import Denied, Flaky, OutOfStock, ProviderContext, ProviderError
from rayfleet.providers.local import Settings
from rayfleet.providers.local import lease as leases
from rayfleet.providers.local.provider import LocalProvider
from rayfleet.testing.conformance import CLUSTER, Case, ProviderConformance, Trouble
from rayfleet.testing.hosts import Hosts, needs
from rayfleet.wire.ssh.client import AsyncSsh


class TestLocal(ProviderConformance):
    """The whole suite."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Case:
        return LocalCase(tmp_path)


class TestPooled(ProviderConformance):
    """The whole suite, with hosts that a coordinator hands out; at the end it has all of them back."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Iterator[Case]:
        case = PoolCase(tmp_path)
        yield case
        assert case.held() == []


# ---- real hosts ------------------------------------------------------------------------------------------------------


class HostsCase(LocalCase):
    """Eight real hosts, which are empty at first."""

    def __init__(self, folder: Path, site: Hosts) -> None:
        super().__init__(folder)
        self.site = site
        addresses = [host.address for host in site.hosts]
        self.settings = Settings(worker_ips=tuple(addresses), connect_timeout_s=2, grace_s=1)

    def local(self, cluster: str = CLUSTER) -> LocalProvider:
        context = ProviderContext(cluster, self.folder / cluster, self.settings, start_script, login=self.site.login)
        return LocalProvider(context, AsyncSsh())

    def existing(self, cluster: str = CLUSTER) -> int:
        found = [leases.parse(path.read_text()) for path in self._files() if path.exists()]
        return sum(lease is not None and lease.cluster == cluster for lease in found)

    def _files(self) -> list[Path]:
        return [host.path(leases.PATH) for host in self.site.hosts]

    async def pass_time(self) -> None:
        await asyncio.sleep(0.02)

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {OutOfStock: self._all_leased, Denied: self._tmp_full, Flaky: self._cut_off}

    @contextmanager
    def _all_leased(self) -> Iterator[None]:
        free = [host for host in self.site.hosts if host.run(["test", "-e", leases.PATH]).returncode]
        for host in free:
            host.run(["sh", "-c", f"echo '{HELD}' > {leases.PATH}"])
        yield
        for host in free:
            host.run(["rm", leases.PATH])

    @contextmanager
    def _tmp_full(self) -> Iterator[None]:
        for host in self.site.hosts:
            host.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/tmp"])
        yield
        for host in self.site.hosts:
            host.run(["umount", "/tmp"])

    @contextmanager
    def _cut_off(self) -> Iterator[None]:
        for host in self.site.hosts:
            host.cut_off()
        yield
        for host in self.site.hosts:
            host.reconnect()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Return running hosts. Where they cannot be, this fails: `make test-e2e` installs what they need."""
    lacking = needs()
    if lacking:
        pytest.fail(f"hosts for tests need {lacking}")
    with Hosts(8, tmp_path_factory.mktemp("hosts")) as running:
        yield running


@pytest.mark.e2e
class TestLocalHosts(ProviderConformance):
    """The whole suite, over SSH."""

    @pytest.fixture
    def case(self, tmp_path: Path, site: Hosts) -> Case:
        return HostsCase(tmp_path, site)
