"""Provider `external` keeps the contract with classes that keep tags, that lose them, and that have newer methods."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.unit.providers.external.classes import PLACES, NodeLaunchException, Place

from rayfleet.contracts import (
    Denied,
    Flaky,
    LaunchRequest,
    OutOfStock,
    Provider,
    ProviderContext,
    ProviderError,
    QuotaReached,
    StartScript,
)
from rayfleet.model import Pool
from rayfleet.providers.external import PROVIDER, Settings
from rayfleet.testing.conformance import CLUSTER, Case, ProviderConformance, Trouble

_FRESH = itertools.count()
RAISED: Mapping[type[ProviderError], Exception] = {
    OutOfStock: NodeLaunchException("InsufficientInstanceCapacity", "none left"),
    QuotaReached: RuntimeError("quota of the project is used up"),
    Denied: PermissionError("no"),
    Flaky: ConnectionError("reset"),
}


def start_script(pool: Pool, head: bool) -> StartScript:
    """Return nothing: such machines are prepared over SSH."""
    return StartScript(())


class ExternalCase(Case):
    """A place of its own behind one of the classes."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        module = f"tests.unit.providers.external.classes.{name}"
        self._settings = Settings.model_validate({"module": module, "place": f"conformance-{next(_FRESH)}"})

    @property
    def place(self) -> Place:
        return PLACES.setdefault(self._settings.section["place"], Place())

    def provider(self, cluster: str = CLUSTER) -> Provider:
        return PROVIDER.build(ProviderContext(cluster, self._folder / cluster, self._settings, start_script))

    def existing(self, cluster: str = CLUSTER) -> int:
        return len(self.place.nodes.get(cluster, {}))

    async def pass_time(self) -> None:
        """Nodes get on by being looked at."""

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        self.place.failing_after.append(ConnectionError("the answer was lost"))
        with pytest.raises(Flaky, match="the answer was lost"):
            await self.provider().launch(request)
        lost = next(iter(self.place.nodes[CLUSTER]))
        del self.place.nodes[CLUSTER][lost]

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {kind: partial(self._failing, error) for kind, error in RAISED.items()}

    @contextmanager
    def _failing(self, error: Exception) -> Iterator[None]:
        self.place.failing.append(error)
        yield


@pytest.mark.parametrize("name", ["Telling", "Silent", "Newer"])
class TestExternal(ProviderConformance):
    """The whole suite."""

    @pytest.fixture
    def case(self, tmp_path: Path, name: str) -> Case:
        return ExternalCase(tmp_path, name)
