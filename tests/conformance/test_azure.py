"""Provider `azure` keeps the contract, through Azure's own clients, against the emulator."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.unit.providers.azure.cases import built

from rayfleet.contracts import Denied, Flaky, LaunchRequest, OutOfStock, Provider, ProviderError, QuotaReached
from rayfleet.testing.clouds.azure import AzureEmulator, Fault
from rayfleet.testing.conformance import CLUSTER, Case, Trouble
from rayfleet.testing.standby_conformance import StandbyConformance

FAULTS: Mapping[type[ProviderError], Fault] = {
    OutOfStock: Fault("SkuNotAvailable"),
    QuotaReached: Fault("OperationNotAllowed", message="exceeding approved standardDSv5Family Cores quota"),
    Denied: Fault("AuthorizationFailed", 403),
    Flaky: Fault("InternalExecutionError", 500),
}


class AzureCase(Case):
    """A resource group in a fresh emulator."""

    def __init__(self, emulator: AzureEmulator, folder: Path) -> None:
        self._emulator = emulator
        self._folder = folder

    def provider(self, cluster: str = CLUSTER) -> Provider:
        return built(self._emulator, self._folder / cluster, cluster)

    def existing(self, cluster: str = CLUSTER) -> int:
        """Count machines; whatever belongs to one that does not exist counts, too."""
        kinds = ("virtualMachines", "networkInterfaces", "publicIPAddresses", "disks")
        found = [one for kind in kinds for one in self._emulator.resources(kind)]
        mine = [one for one in found if one["tags"]["rayfleet-cluster"] == cluster]
        return len({one["tags"].get("rayfleet-machine") or one["name"].removesuffix("-os") for one in mine})

    async def pass_time(self) -> None:
        """Machines get on by being looked at."""
        await asyncio.sleep(0)

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        """One machine made but not written down, the next without its machine yet."""
        self._emulator.fail(Fault(lost=True))
        self._emulator.fail(Fault(cut=True))
        first = LaunchRequest(request.batch, request.offer, request.pool, request.claims[:2])
        provider = self.provider()
        with pytest.raises(Flaky):
            await provider.launch(first)
        await provider.close()

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {error: partial(self._failing, fault) for error, fault in FAULTS.items()}

    @contextmanager
    def _failing(self, fault: Fault) -> Iterator[None]:
        self._emulator.fail(replace(fault))  # one of its own: a fault counts down
        yield


class TestAzure(StandbyConformance):
    """The whole suite."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Iterator[Case]:
        with AzureEmulator(page_size=2, polls=1) as emulator:
            yield AzureCase(emulator, tmp_path)
