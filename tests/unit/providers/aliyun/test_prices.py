"""Prices as the cloud tells them, in its currency, are dollars in the table that offers are priced by."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.providers.aliyun.cloud import Cloud, cloud

import rayfleet.providers.aliyun
from rayfleet.contracts import Denied, Fetched, Flaky, PriceQuestion, TypeConfig
from rayfleet.model import Market
from rayfleet.providers.aliyun import PROVIDER
from rayfleet.testing.clouds.aliyun_front import Fault
from rayfleet.wire.catalogue import tables

BOTH = frozenset({Market.ON_DEMAND, Market.SPOT})
LARGE = "ecs.g7.large"


@pytest.fixture
def there() -> Iterator[Cloud]:
    with cloud() as running:
        running.ecs.prices.on_demand = {LARGE: 0.72}
        running.ecs.prices.spot = {
            (LARGE, "cn-hangzhou-b"): [0.5, 0.144],
            (LARGE, "cn-hangzhou-h"): [0.216],
            (LARGE, "cn-hangzhou-i"): [0.288],
        }
        yield running


async def fetched(there: Cloud, *names: str, **settings: object) -> Fetched:
    assert PROVIDER.prices is not None
    question = PriceQuestion("cn-hangzhou", names, BOTH, "2099-11-23T02:00:00Z")
    return await PROVIDER.prices(there.settings(**settings), question)


async def test_what_the_cloud_tells_is_what_offers_cost(
    there: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the disk; spot is the median of the zones, each at its newest; a type that is not there is left out."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tables.keep("aliyun", await fetched(there, LARGE, "ecs.g99.large", currency_per_usd=7.2))
    assert PROVIDER.catalogue is not None
    for words, usd in (({}, 0.1), ({"SpotStrategy": "SpotAsPriceGo"}, 0.03)):
        config = TypeConfig(node_config={"InstanceType": LARGE, **words})
        (offer,) = PROVIDER.catalogue.offers(there.settings(), config)
        assert offer.usd_per_hour == pytest.approx(usd)


async def test_dollars_need_no_rate(there: Cloud) -> None:
    there.ecs.prices.currency = "USD"
    assert [each.usd_per_hour for each in (await fetched(there, LARGE)).prices] == [0.72, 0.216]


async def test_another_currency_without_a_rate_is_refused(there: Cloud) -> None:
    with pytest.raises(Denied, match="in CNY: say currency_per_usd"):
        await fetched(there, LARGE)


@pytest.mark.parametrize(("code", "kind"), [("Forbidden.RAM", Denied), ("Throttling.User", Flaky)])
async def test_a_refusal_is_said_with_its_code(there: Cloud, code: str, kind: type[Exception]) -> None:
    there.ecs.faults.append(Fault("DescribeSpotPriceHistory", code))
    with pytest.raises(kind, match=code):
        await fetched(there, LARGE, currency_per_usd=7.2)


async def test_the_readme_lists_exactly_the_rights_that_are_used(there: Cloud) -> None:
    await fetched(there, LARGE, currency_per_usd=7.2)
    readme = Path(rayfleet.providers.aliyun.__file__).with_name("README.md").read_text()
    block = re.findall(r"```json\n(.*?)```", readme, re.DOTALL)[1]
    (statement,) = json.loads(block)["Statement"]
    assert set(statement["Action"]) == {f"ecs:{call.action}" for call in there.ecs.log}
