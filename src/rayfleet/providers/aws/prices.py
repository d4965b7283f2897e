"""Today's prices from the cloud: on demand from the price list, spot from the history of spot prices.

Rights: `rights.PRICES`, which `rights.prices_policy` writes down.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Any, Final

from rayfleet.contracts import Fetched, FetchedPrice, PriceQuestion
from rayfleet.model import Market
from rayfleet.providers.aws.client import Client
from rayfleet.providers.aws.settings import Settings

PRICING_REGION: Final = "us-east-1"
"""One of the few that have the price list's API; it knows the prices of all."""
_PLAIN: Final = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
_LINUX: Final = "Linux/UNIX"


async def fetch(settings: Settings, question: PriceQuestion) -> Fetched:
    """Return what the cloud asks for these types; spot prices are those that hold at that moment.

    Raises:
        ProviderError: the cloud does not tell, or may not.
    """
    types, region = sorted(set(question.names)), question.region
    ec2 = Client(settings.model_copy(update={"region": region}))
    pricing = Client(settings.model_copy(update={"region": PRICING_REGION}))
    prices: list[FetchedPrice] = []
    try:
        if Market.ON_DEMAND in question.markets:
            products = [each for name in types for each in await _products(pricing, region, name)]
            prices += on_demand(region, products)
        if Market.SPOT in question.markets and types:
            prices += spot(region, await _history(ec2, types, question.at))
    finally:
        ec2.close()
        pricing.close()
    return Fetched("AWS price list and spot price history", question.at[:10], prices)


def on_demand(region: str, products: Iterable[str]) -> Iterator[FetchedPrice]:
    """Read what GetProducts returns: each product is a JSON text of its own. Pure."""
    for text in products:
        product = json.loads(text)
        rates = [
            float(dimension["pricePerUnit"]["USD"])
            for term in product["terms"].get("OnDemand", {}).values()
            for dimension in term["priceDimensions"].values()
            if dimension["unit"] == "Hrs" and "USD" in dimension["pricePerUnit"]
        ]
        if rates and max(rates) > 0:  # products that are free are parts of others
            yield FetchedPrice(region, product["product"]["attributes"]["instanceType"], Market.ON_DEMAND, max(rates))


def spot(region: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[FetchedPrice]:
    """Read what DescribeSpotPriceHistory returns: the median of a region's zones, each at its newest. Pure."""
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        key = row["InstanceType"], row["AvailabilityZone"]
        if key not in newest or newest[key]["Timestamp"] < row["Timestamp"]:
            newest[key] = row
    for name in sorted({name for name, _zone in newest}):
        prices = [float(row["SpotPrice"]) for (its_name, _zone), row in newest.items() if its_name == name]
        yield FetchedPrice(region, name, Market.SPOT, median(prices))


async def _products(client: Client, region: str, name: str) -> list[str]:
    wanted = {**_PLAIN, "regionCode": region, "instanceType": name}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    parameters: dict[str, Any] = {"ServiceCode": "AmazonEC2", "Filters": filters}
    found: list[str] = []
    while True:
        answer = await client.call("pricing", "get_products", parameters)
        found += answer["PriceList"]
        if not answer.get("NextToken"):
            return found
        parameters["NextToken"] = answer["NextToken"]


async def _history(client: Client, names: list[str], at: str) -> list[dict[str, Any]]:
    parameters: dict[str, Any] = {
        "InstanceTypes": names,
        "ProductDescriptions": [_LINUX],
        "StartTime": at,
        "EndTime": at,
    }
    found: list[dict[str, Any]] = []
    while True:
        answer = await client.call("ec2", "describe_spot_price_history", parameters)
        found += answer["SpotPriceHistory"]
        if not answer.get("NextToken"):
            return found
        parameters["NextToken"] = answer["NextToken"]
