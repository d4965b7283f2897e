"""Prices as the cloud tells them end in the table that offers are priced by."""

import json
from pathlib import Path

import pytest

from rayfleet.contracts import Denied, Fetched, Flaky, PriceQuestion, TypeConfig
from rayfleet.model import Market
from rayfleet.providers.aws import PROVIDER, Settings
from rayfleet.providers.aws.rights import PRICES, prices_policy
from rayfleet.testing.clouds.aws import AwsEmulator, Fault
from rayfleet.wire.catalogue import tables

AT = "2099-11-23T02:00:00Z"
BOTH = frozenset({Market.ON_DEMAND, Market.SPOT})
README = Path(__file__).parents[4] / "src" / "rayfleet" / "providers" / "aws" / "README.md"


async def fetched(emulator: AwsEmulator, *names: str, markets: frozenset[Market] = BOTH) -> Fetched:
    assert PROVIDER.prices is not None
    return await PROVIDER.prices(settings(emulator), PriceQuestion("us-west-2", names, markets, AT))


def settings(emulator: AwsEmulator) -> Settings:
    return Settings.model_validate({"endpoint_url": emulator.endpoint_url, "aws_credentials": emulator.credentials})


@pytest.fixture(autouse=True)
def _priced(emulator: AwsEmulator) -> None:
    emulator.prices.on_demand = {("us-west-2", "m5.large"): 0.101, ("eu-west-1", "m5.large"): 0.2}
    emulator.prices.spot = {
        ("us-west-2a", "m5.large"): [("2026-11-22T00:00:00.000Z", 0.03), ("2026-11-23T00:00:00.000Z", 0.04)],
        ("us-west-2b", "m5.large"): [("2026-11-23T01:00:00.000Z", 0.06)],
        ("us-west-2a", "c5.large"): [("2026-11-23T00:00:00.000Z", 0.9)],
    }


async def test_what_the_cloud_tells_is_what_offers_cost(
    emulator: AwsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On demand: what is billed by the hour. Spot: the median of the zones, each at its newest."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tables.keep("aws", await fetched(emulator, "m5.large", "m5.huge"))
    on_demand = tables.price("aws", "us-west-2", "m5.large", Market.ON_DEMAND)
    assert on_demand is not None
    assert (on_demand.usd_per_hour, on_demand.as_of, on_demand.asked) == (0.101, "2099-11-23", True)
    assert PROVIDER.catalogue is not None
    node = {"InstanceType": "m5.large", "InstanceMarketOptions": {"MarketType": "spot"}}
    (spot,) = PROVIDER.catalogue.offers(settings(emulator), TypeConfig(node_config=node))
    assert spot.usd_per_hour == pytest.approx(0.05)


async def test_only_the_markets_that_are_wanted_are_asked_for(emulator: AwsEmulator) -> None:
    found = await fetched(emulator, "m5.large", markets=frozenset({Market.SPOT}))
    assert [each.market for each in found.prices] == [Market.SPOT]
    assert {call.action for call in emulator.log} == {"DescribeSpotPriceHistory"}


async def test_the_policy_names_exactly_the_calls_that_are_made(emulator: AwsEmulator) -> None:
    await fetched(emulator, "m5.large")
    called = {f"{call.service}:{call.action}" for call in emulator.log}
    assert called == set(PRICES) == set(prices_policy()["Statement"][0]["Action"])
    shown = README.read_text(encoding="utf-8").split("```json\n")[2].partition("```")[0]
    assert json.loads(shown) == prices_policy()


@pytest.mark.parametrize(
    ("action", "code", "kind"),
    [
        ("GetProducts", "AccessDeniedException", Denied),
        ("DescribeSpotPriceHistory", "UnauthorizedOperation", Denied),
        ("DescribeSpotPriceHistory", "RequestLimitExceeded", Flaky),
    ],
)
async def test_a_refusal_is_said_with_its_code(
    emulator: AwsEmulator, action: str, code: str, kind: type[Exception]
) -> None:
    emulator.fault(Fault(action, code))
    with pytest.raises(kind, match=code):
        await fetched(emulator, "m5.large")
