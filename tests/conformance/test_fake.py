"""The fake provider keeps the contract, with slow machines and late listings."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import pytest

from rayfleet.contracts import Denied, Flaky, LaunchRequest, OutOfStock, Provider, ProviderError, QuotaReached
from rayfleet.model import StandbyMode
from rayfleet.testing.conformance import CLUSTER, Case, Trouble
from rayfleet.testing.fake_provider import FakePlace, FakeProvider, ManualClock
from rayfleet.testing.standby_conformance import StandbyConformance


class FakeCase(Case):
    """Fake places by cluster, and the last provider made for each."""

    def __init__(self, boot_s: float, listing_delay_s: float) -> None:
        self.clock = ManualClock()
        self._delays = (boot_s, listing_delay_s)
        self._places: dict[str, FakePlace] = {}
        self._last: FakeProvider | None = None

    def place(self, cluster: str) -> FakePlace:
        boot_s, listing_delay_s = self._delays
        new = FakePlace(self.clock, boot_s=boot_s, stop_s=boot_s, listing_delay_s=listing_delay_s)
        return self._places.setdefault(cluster, new)

    def provider(self, cluster: str = CLUSTER) -> Provider:
        self._last = FakeProvider(self.place(cluster))
        return self._last

    def existing(self, cluster: str = CLUSTER) -> int:
        return len(self.place(cluster).existing())

    async def pass_time(self) -> None:
        self.clock.advance(1)

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


@pytest.mark.parametrize(("boot_s", "listing_delay_s"), [(0.0, 0.0), (3.0, 0.0), (2.0, 1.0)])
class TestFake(StandbyConformance):
    """The whole suite, at once and with delays."""

    @pytest.fixture
    def case(self, boot_s: float, listing_delay_s: float) -> Case:
        return FakeCase(boot_s, listing_delay_s)

    @pytest.fixture(params=list(StandbyMode))
    def mode(self, request: pytest.FixtureRequest) -> StandbyMode:
        mode: StandbyMode = request.param
        return mode
