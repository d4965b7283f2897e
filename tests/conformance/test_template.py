"""The template keeps the contract: what is copied from it starts from something that works."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

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
from rayfleet.providers._template import PROVIDER, Settings
from rayfleet.providers._template.place import Place, place_at
from rayfleet.providers._template.provider import CLUSTER_TAG
from rayfleet.testing.conformance import CLUSTER, Case, Trouble
from rayfleet.testing.standby_conformance import StandbyConformance

_FRESH = itertools.count()
CODES: Mapping[str, type[ProviderError]] = {
    "InsufficientCapacity": OutOfStock,
    "LimitExceeded": QuotaReached,
    "Forbidden": Denied,
    "Throttled": Flaky,
}


def start_script(pool: Pool, head: bool) -> StartScript:
    """Return what the place delivers without ever running it."""
    return StartScript(("start", pool.name, "head" if head else "worker"))


class TemplateCase(Case):
    """An account of its own at the in-memory place."""

    def __init__(self) -> None:
        self._settings = Settings(endpoint=f"conformance-{next(_FRESH)}")

    @property
    def place(self) -> Place:
        return place_at(self._settings.endpoint)

    def provider(self, cluster: str = CLUSTER) -> Provider:
        return PROVIDER.build(ProviderContext(cluster, Path("/nowhere"), self._settings, start_script))

    def existing(self, cluster: str = CLUSTER) -> int:
        return sum(server.tags[CLUSTER_TAG] == cluster for server in self.place.servers.values())

    async def pass_time(self) -> None:
        """Servers get on by being looked at."""

    async def interrupted_launch(self, request: LaunchRequest) -> None:
        first = LaunchRequest(request.batch, request.offer, request.pool, request.claims[:1])
        await self.provider().launch(first)

    def troubles(self) -> Mapping[type[ProviderError], Trouble]:
        return {error: partial(self._failing, code) for code, error in CODES.items()}

    @contextmanager
    def _failing(self, code: str) -> Iterator[None]:
        self.place.failing.append(code)
        yield


class TestTemplate(StandbyConformance):
    """The whole suite."""

    @pytest.fixture
    def case(self) -> Case:
        return TemplateCase()


async def test_a_part_of_what_was_asked_for_is_a_success() -> None:
    case = TemplateCase()
    case.place.stock[case.pool.name] = 2
    provider = case.provider()
    await provider.launch(case.request("b1", "c1", "c2", "c3"))
    assert len(await provider.list()) == 2
    with pytest.raises(OutOfStock) as raised:
        await provider.launch(case.request("b2", "c4"))
    assert raised.value.scope == case.offer
