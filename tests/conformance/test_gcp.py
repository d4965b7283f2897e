"""Provider gcp keeps the contract, against an emulator that answers by Google's own description of the API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from rayfleet.contracts import (
    Denied,
    Flaky,
    LaunchRequest,
    Login,
    OutOfStock,
    Provider,
    ProviderContext,
    ProviderError,
    QuotaReached,
    StartScript,
    TypeConfig,
)
from rayfleet.model import Pool
from rayfleet.providers.gcp import PROVIDER, Settings
from rayfleet.testing.clouds.gcp import Fault, GcpEmulator
from rayfleet.testing.conformance import CLUSTER, Case, Trouble
from rayfleet.testing.standby_conformance import StandbyConformance

ONE, SEVERAL = "compute.instances.insert", "compute.instances.bulkInsert"
ANYWHERE = "compute.regionInstances.bulkInsert"


def start_script(pool: Pool, head: bool) -> StartScript:
    return StartScript(("start", pool.name, "head" if head else "worker"))


class GcpCase(Case):
    """An emulated project of its own. `where`: settings that say in which zones."""

    def __init__(self, cloud: GcpEmulator, folder: Path, **where: str) -> None:
        self.cloud = cloud
        self._folder = folder
        self._settings = Settings(
            project_id=cloud.account.project,
            endpoint=cloud.endpoint,
            retry_delay_s=0.0,
            poll_s=0.001,
            **(where or {"availability_zone": "us-central1-a"}),
        )

    def provider(self, cluster: str = CLUSTER) -> Provider:
        return PROVIDER.build(
            ProviderContext(
                cluster,
                self._folder / cluster,
                self._settings,
                start_script,
                {"cpu1": TypeConfig("n2-standard-2")},
                Login("ubuntu", public_key="ssh-ed25519 AAAA"),
            )
        )

    def existing(self, cluster: str = CLUSTER) -> int:
        return len(self.cloud.account.labelled("rayfleet-cluster", cluster))

    async def pass_time(self) -> None:
        """Machines get on by being looked at."""

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        """Google has made everything, and the answer never came: the worst moment."""
        self.cloud.faults += [Fault(action, done=True, times=3) for action in (SEVERAL, ANYWHERE)]
        provider = self.provider()
        with pytest.raises(Flaky):
            await provider.launch(request)
        await provider.close()
        self.cloud.faults.clear()
        self.cloud.account.requests.clear()  # Google remembers request ids for an hour only
        self.cloud.account.vanish(min(m.name for m in self.cloud.account.machines.values()))

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {
            OutOfStock: partial(self._failing, operation="ZONE_RESOURCE_POOL_EXHAUSTED"),
            QuotaReached: partial(self._failing, 403, "quotaExceeded", "Quota 'CPUS' exceeded."),
            Denied: partial(self._failing, 403, "forbidden"),
            Flaky: partial(self._failing, 403, "rateLimitExceeded"),
        }

    @contextmanager
    def _failing(
        self, status: int = 503, reason: str = "", message: str = "as told", operation: str = ""
    ) -> Iterator[None]:
        for action in (ONE, ANYWHERE):
            self.cloud.faults.append(Fault(action, status, reason, message, operation, times=9))
        yield
        self.cloud.faults.clear()


@pytest.fixture
def cloud() -> Iterator[GcpEmulator]:
    with GcpEmulator() as emulator:
        yield emulator


class TestInAZone(StandbyConformance):
    """The whole suite, in one zone."""

    @pytest.fixture
    def case(self, cloud: GcpEmulator, tmp_path: Path) -> Case:
        return GcpCase(cloud, tmp_path)


class TestAnywhereInARegion(StandbyConformance):
    """The whole suite, where Google chooses the zones."""

    @pytest.fixture
    def case(self, cloud: GcpEmulator, tmp_path: Path) -> Case:
        return GcpCase(cloud, tmp_path, region="us-central1")


class TestLateAnswers(StandbyConformance):
    """The whole suite, where new machines are not listed at once and operations take their time."""

    @pytest.fixture
    def case(self, cloud: GcpEmulator, tmp_path: Path) -> Case:
        cloud.account.operation_looks, cloud.account.hide_new = 3, 2
        return GcpCase(cloud, tmp_path)
