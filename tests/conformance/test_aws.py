"""Provider `aws` keeps the contract, with boto3 against the emulator."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.unit.providers.aws.emulated import context

from rayfleet.contracts import Denied, Flaky, LaunchRequest, OutOfStock, Provider, ProviderError, QuotaReached
from rayfleet.model import Market, OfferKey
from rayfleet.providers.aws import PROVIDER
from rayfleet.testing.clouds.aws import REGION, AwsEmulator, Fault, aws_emulator
from rayfleet.testing.conformance import CLUSTER, Case, ProviderConformance, Trouble
from rayfleet.testing.standby_conformance import StandbyConformance

CODES: Mapping[type[ProviderError], tuple[str, int]] = {
    OutOfStock: ("InsufficientInstanceCapacity", 500),
    QuotaReached: ("VcpuLimitExceeded", 400),
    Denied: ("UnauthorizedOperation", 403),
    Flaky: ("RequestLimitExceeded", 503),
}


class AwsCase(Case):
    """An emulated account, and a folder for each cluster."""

    launching: tuple[str, ...] = ("RunInstances",)

    def __init__(self, emulator: AwsEmulator, folder: Path) -> None:
        self._emulator = emulator
        self._folder = folder

    @property
    def offer(self) -> OfferKey:
        return OfferKey(self.pool.name, "aws", REGION, "us-west-2b", Market.ON_DEMAND)

    def provider(self, cluster: str = CLUSTER) -> Provider:
        return PROVIDER.build(context(self._emulator, self._folder / cluster, cluster))

    def existing(self, cluster: str = CLUSTER) -> int:
        return sum(each.tags["rayfleet-cluster"] == cluster for each in self._emulator.account.living())

    async def pass_time(self) -> None:
        """Instances get on by being looked at."""
        await asyncio.sleep(0)

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        """Have the call carried out and its answer lost: what a controller that is killed leaves."""
        self._emulator.fault(Fault(self.launching[0], "InternalError", status=500, after=True))
        provider = self.provider()
        with pytest.raises(Flaky):
            await provider.launch(request)
        await provider.close()

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {error: partial(self._failing, *told) for error, told in CODES.items()}

    @contextmanager
    def _failing(self, code: str, status: int) -> Iterator[None]:
        faults = [Fault(action, code, status=status, times=1000) for action in self.launching]
        for fault in faults:
            self._emulator.fault(fault)
        try:
            yield
        finally:
            for fault in faults:
                fault.times = 0


class FleetCase(AwsCase):
    """The same, with offers that leave the zone open: launched by fleets."""

    launching = ("CreateFleet", "RunInstances")

    @property
    def offer(self) -> OfferKey:
        return OfferKey(self.pool.name, "aws", REGION, None, Market.ON_DEMAND)

    def provider(self, cluster: str = CLUSTER) -> Provider:
        return PROVIDER.build(context(self._emulator, self._folder / cluster, cluster, fleet=True))


class TestAws(StandbyConformance):
    """The whole suite."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Iterator[Case]:
        with aws_emulator() as emulator:
            yield AwsCase(emulator, tmp_path)


class TestAwsFleets(ProviderConformance):
    """The same for fleets; machines on standby are made by RunInstances."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Iterator[Case]:
        with aws_emulator() as emulator:
            yield FleetCase(emulator, tmp_path)
