"""Prices of today from Azure's public price list (Retail Prices).

The list needs no login. It is asked for virtual machines in one region, page by page.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from rayfleet.contracts import Denied, Fetched, FetchedPrice, Flaky, PriceQuestion
from rayfleet.model import Market
from rayfleet.providers.azure.settings import Settings

ENDPOINT: Final = "https://prices.azure.com/api/retail/prices"
_PAGES_MAX: Final = 1000
_TIMEOUT_S: Final = 30.0


async def ask(settings: Settings, question: PriceQuestion, endpoint: str = ENDPOINT) -> Fetched:
    """Return what a region's machines of these sizes cost. No rights are needed.

    Raises:
        Denied: the section is of another cloud than the public one, whose prices the list does not have.
        Flaky: see `fetch`.
    """
    if getattr(settings, "endpoint", None):
        raise Denied("Azure's price list has the prices of the public cloud, and the file has an endpoint of its own")
    found = await asyncio.to_thread(fetch, question.region, question.names, endpoint)
    return Fetched(found.source, found.as_of, [one for one in found.prices if one.market in question.markets])


def fetch(region: str, names: Iterable[str] = (), endpoint: str = ENDPOINT) -> Fetched:
    """Return the prices of a region's machines with Linux, by the hour, on demand and spot. Waits for the answers.

    `names`: of these sizes only, as Azure writes them; none: of all.

    Raises:
        Flaky: no answer, or one that is no price list.
    """
    query = f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}' and priceType eq 'Consumption'"
    if sizes := " or ".join(f"armSkuName eq '{name}'" for name in sorted(set(names))):
        query += f" and ({sizes})"
    url: str | None = f"{endpoint}?{urllib.parse.urlencode({'$filter': query})}"
    found: list[FetchedPrice] = []
    day = ""
    for _ in range(_PAGES_MAX):
        if url is None:
            break
        page, day = _page(url)
        found += prices(page.get("Items") or ())
        url = _next(page, endpoint)
    if not found:
        raise Flaky(f"Azure's price list has no such machines in {region!r}")
    return Fetched(ENDPOINT, day, _cheapest(found))


def prices(items: Iterable[Mapping[str, Any]]) -> Iterator[FetchedPrice]:
    """Yield what rows of the list say of machines that we could ask for."""
    for item in items:
        words = f"{item.get('productName', '')} {item.get('skuName', '')} {item.get('meterName', '')}"
        other = any(
            word in words for word in ("Windows", "Low Priority", "CloudServices", "Cloud Services", "Dedicated")
        )
        name, usd = item.get("armSkuName"), float(item.get("retailPrice") or 0)
        wrong = item.get("unitOfMeasure") != "1 Hour" or item.get("type") != "Consumption" or not name or not usd
        if other or wrong or item.get("currencyCode") != "USD":
            continue
        market = Market.SPOT if "Spot" in words else Market.ON_DEMAND
        yield FetchedPrice(str(item["armRegionName"]), str(name), market, usd)


def _cheapest(found: Iterable[FetchedPrice]) -> tuple[FetchedPrice, ...]:
    """Return one price for each machine: the list has a second row where one was ever priced by another meter."""
    best: dict[tuple[str, str, Market], FetchedPrice] = {}
    for one in found:
        key = (one.region, one.name, one.market)
        if key not in best or one.usd_per_hour < best[key].usd_per_hour:
            best[key] = one
    return tuple(best.values())


def _page(url: str) -> tuple[dict[str, Any], str]:
    """Return a page, and the day on which it was true: the answer's own."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the list's own address
            body = json.loads(answer.read())
            day = parsedate_to_datetime(answer.headers["Date"]).date().isoformat()
    except (OSError, ValueError, TypeError) as error:
        raise Flaky(f"Azure's price list does not answer: {error}") from error
    if not isinstance(body, dict):
        raise Flaky("Azure's price list answers with something else")
    return body, day


def _next(page: Mapping[str, Any], endpoint: str) -> str | None:
    """Return where the list goes on; only at the same place."""
    url = page.get("NextPageLink")
    if not url:
        return None
    here, there = urlsplit(endpoint), urlsplit(str(url))
    if (here.scheme, here.hostname) != (there.scheme, there.hostname):
        raise Flaky(f"Azure's price list goes on elsewhere: {there.hostname}")
    return str(url)
