"""Today's prices from the cloud, in dollars: DescribePrice for a machine on demand, DescribeSpotPriceHistory for spot.

The cloud answers in the account's currency, so `currency_per_usd` has to be right where that is not the dollar.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, Final

from rayfleet.contracts import Denied, Fetched, FetchedPrice, PriceQuestion
from rayfleet.model import Market
from rayfleet.providers.aliyun.client import EcsClient
from rayfleet.providers.aliyun.errors import ApiError, contract_error
from rayfleet.providers.aliyun.settings import Settings

DOLLAR: Final = "USD"
PAGES_MAX: Final = 50
_MACHINE: Final = "instancetype"
"""What the cloud calls the machine itself among the parts of a price; the others are disk, image and bandwidth."""
_NOT_THERE: Final = ("InvalidInstanceType", "InvalidResourceType", "PriceNotFound")
"""How it begins to say that it does not have a kind of machine there: the others are asked for all the same."""


async def fetch(settings: Settings, question: PriceQuestion) -> Fetched:
    """Return what the cloud asks for these types. A call for each type and market.

    Raises:
        ProviderError: the cloud does not tell, or may not; or its currency is another one, and no rate is known.
    """
    client = EcsClient(settings.model_copy(update={"region": question.region}))
    prices: list[FetchedPrice] = []
    for name in sorted(set(question.names)):
        for market in sorted(question.markets & {Market.ON_DEMAND, Market.SPOT}):
            try:
                ask = _spot if market is Market.SPOT else _on_demand
                found, currency = await ask(client, question.region, name)
            except ApiError as error:
                if error.code.startswith(_NOT_THERE):
                    continue
                raise contract_error(error) from error
            if found is not None:
                usd = found / _rate(settings, currency)
                prices.append(FetchedPrice(question.region, name, market, float(f"{usd:.6g}")))
    return Fetched("ECS DescribePrice and DescribeSpotPriceHistory", question.at[:10], prices)


def machine_price(price: Mapping[str, Any]) -> float | None:
    """Return what the machine alone costs an hour, without disk and bandwidth; where no parts are told, all. Pure."""
    parts = (price.get("DetailInfos") or {}).get("DetailInfo") or ()
    alone = [part for part in parts if str(part.get("Resource", "")).lower() == _MACHINE]
    told = (alone[0] if alone else price).get("TradePrice")
    return None if told is None else float(told)


def spot_price(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the median of the zones, each at its newest. Pure."""
    newest: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        zone = str(row.get("ZoneId"))
        if zone not in newest or str(newest[zone]["Timestamp"]) < str(row["Timestamp"]):
            newest[zone] = row
    return median(float(row["SpotPrice"]) for row in newest.values()) if newest else None


async def _on_demand(client: EcsClient, region: str, name: str) -> tuple[float | None, str]:
    what = {"ResourceType": "instance", "InstanceType": name, "PriceUnit": "Hour", "InstanceNetworkType": "vpc"}
    answer = await client.call("DescribePrice", RegionId=region, **what)
    price = (answer.get("PriceInfo") or {}).get("Price") or {}
    return machine_price(price), str(price.get("Currency") or DOLLAR)


async def _spot(client: EcsClient, region: str, name: str) -> tuple[float | None, str]:
    what = {"InstanceType": name, "NetworkType": "vpc", "OSType": "linux"}
    rows: list[Mapping[str, Any]] = []
    offset, currency = 0, DOLLAR
    for _ in range(PAGES_MAX):
        answer = await client.call("DescribeSpotPriceHistory", RegionId=region, Offset=offset or None, **what)
        currency = str(answer.get("Currency") or currency)
        page = (answer.get("SpotPrices") or {}).get("SpotPriceType") or ()
        rows += page
        more = int(answer.get("NextOffset") or 0)
        if not page or more <= offset:
            break
        offset = more
    return spot_price(rows), currency


def _rate(settings: Settings, currency: str) -> float:
    if currency == DOLLAR:
        return 1.0
    rate = settings.currency_per_usd
    if rate == 1.0:
        raise Denied(f"the cloud's prices are in {currency}: say currency_per_usd in the provider section")
    return rate
