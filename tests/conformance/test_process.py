"""Provider `process` keeps the contract, with real processes that play nodes."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conformance.controller import killed_controller
from tests.conformance.machines import Fleet, fleet

from rayfleet.contracts import Flaky, LaunchRequest, Provider, ProviderError
from rayfleet.providers.process.identity import MACHINES_FOLDER
from rayfleet.testing.conformance import CLUSTER, Case, Trouble
from rayfleet.testing.standby_conformance import StandbyConformance


class ProcessCase(Case):
    """Clusters of real processes."""

    def __init__(self, machines: Fleet) -> None:
        self._fleet = machines

    def provider(self, cluster: str = CLUSTER) -> Provider:
        return self._fleet.provider(cluster)

    def existing(self, cluster: str = CLUSTER) -> int:
        return len(self._fleet.machine_ids(cluster))

    async def pass_time(self) -> None:
        await asyncio.sleep(0.02)

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        killed_controller(self._fleet, CLUSTER, request, when="recorded")

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {Flaky: self._full_disk}

    @contextmanager
    def _full_disk(self) -> Iterator[None]:
        """Have every write to the registry end in the kernel's own ENOSPC."""
        new_file = self._fleet.state_dir(CLUSTER) / MACHINES_FOLDER / ".new"
        new_file.unlink(missing_ok=True)
        new_file.symlink_to("/dev/full")
        try:
            yield
        finally:
            new_file.unlink(missing_ok=True)


class TestProcess(StandbyConformance):
    """The whole suite."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> Iterator[Case]:
        with fleet(tmp_path) as machines:
            yield ProcessCase(machines)
