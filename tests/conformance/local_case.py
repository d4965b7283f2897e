"""Provider `local` over pretended hosts, for its tests: nothing there takes time."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rayfleet.contracts import (
    Denied,
    Flaky,
    LaunchRequest,
    Login,
    OutOfStock,
    Provider,
    ProviderContext,
    ProviderError,
    StartScript,
)
from rayfleet.model import Pool
from rayfleet.providers.local import Settings
from rayfleet.providers.local import lease as leases
from rayfleet.providers.local.provider import LocalProvider
from rayfleet.testing.conformance import CLUSTER, Case, Trouble
from rayfleet.testing.fake_leases import LeasedHost, leasable
from rayfleet.testing.fake_ssh import FakeSsh

HELD = '{"id": "x-1", "cluster": "strangers", "batch": "b", "place": "c/0", "offer": ["p", null, null, null, null], '
HELD += '"head": false, "since": 1.0, "boot": "b"}'


def start_script(pool: Pool, head: bool) -> StartScript:
    """Return nothing to do: somebody else starts what runs."""
    return StartScript(())


class LocalCase(Case):
    """Eight pretended hosts."""

    def __init__(self, folder: Path, count: int = 8, **settings: Any) -> None:
        self.folder = folder
        self.ssh = FakeSsh()
        self.hosts: list[LeasedHost] = [leasable(self.ssh.add(f"10.0.0.{n}")) for n in range(1, count + 1)]
        addresses = [host.ssh.address for host in self.hosts]
        self.settings = Settings.model_validate({"worker_ips": addresses, **settings})

    def provider(self, cluster: str = CLUSTER) -> Provider:
        return self.local(cluster)

    def local(self, cluster: str = CLUSTER) -> LocalProvider:
        """Return the provider by its own type."""
        context = ProviderContext(cluster, self.folder / cluster, self.settings, start_script, login=Login("me"))
        return LocalProvider(context, self.ssh)

    def existing(self, cluster: str = CLUSTER) -> int:
        found = [leases.parse(host.lease) for host in self.hosts]
        return sum(lease is not None and lease.cluster == cluster for lease in found)

    async def pass_time(self) -> None:
        await asyncio.sleep(0)

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        """The first lease is taken, and nobody has written down that it was."""
        first = LaunchRequest(request.batch, request.offer, request.pool, request.claims[:1])
        provider = self.provider()
        await provider.launch(first)
        await provider.close()  # the kernel would close its connections, too
        for file in self.folder.rglob("hosts.json"):
            file.unlink()

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {OutOfStock: self._all_held, Denied: self._all_full, Flaky: self._nobody_answers}

    @contextmanager
    def _all_held(self) -> Iterator[None]:
        free = [host for host in self.hosts if not host.lease]
        for host in free:
            host.lease = HELD
        yield
        for host in free:
            host.lease = ""

    @contextmanager
    def _all_full(self) -> Iterator[None]:
        for host in self.hosts:
            host.facts["disk"] = "/tmp 1000"
        yield
        for host in self.hosts:
            del host.facts["disk"]

    @contextmanager
    def _nobody_answers(self) -> Iterator[None]:
        for host in self.hosts:
            host.ssh.down = True
        yield
        for host in self.hosts:
            host.ssh.down = False
