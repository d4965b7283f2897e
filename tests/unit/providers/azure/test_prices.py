"""Azure's price list, from answers of the form that it has."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rayfleet.contracts import Denied, Flaky, PriceQuestion
from rayfleet.model import Market
from rayfleet.providers.azure import PROVIDER, Settings
from rayfleet.providers.azure.prices import ask, fetch
from rayfleet.wire.catalogue.tables import keep, price


def row(sku: str, usd: float, words: str = "", **more: Any) -> dict[str, Any]:
    """Return a row of the list."""
    known = {
        "currencyCode": "USD", "retailPrice": usd, "armRegionName": "westus2", "meterName": f"meter{words}",
        "productName": "Virtual Machines Dsv5 Series", "skuName": f"sku{words}", "unitOfMeasure": "1 Hour",
        "type": "Consumption", "armSkuName": sku,
    }  # fmt: skip
    return known | more


ROWS = [
    row("Standard_D2s_v5", 0.096), row("Standard_D2s_v5", 0.02, " Spot"), row("Standard_D2s_v5", 0.01, " Low Priority"),
    row("Standard_D2s_v5", 0.15, productName="Virtual Machines Dsv5 Series Windows"), row("Standard_D2s_v5", 0.12),
    row("Standard_D4s_v5", 0.192), row("Standard_D4s_v5", 900, type="Reservation"), row("", 0.5),
    row("Standard_D8s_v5", 0.4, unitOfMeasure="1/Month"), row("Standard_D8s_v5", 0.35, currencyCode="EUR"),
]  # fmt: skip


class PriceList(ThreadingHTTPServer):
    """Hands out `pages` one after the other."""

    pages: list[Any]
    asked: list[str]

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}/api/retail/prices"


class _Handler(BaseHTTPRequestHandler):
    server: PriceList

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.server.asked.append(query.get("$filter", [""])[0])
        number = int(query.get("page", ["0"])[0])
        more = number + 1 < len(self.server.pages)
        page = self.server.pages[number]
        if isinstance(page, list):
            page = {"Items": page, "NextPageLink": f"{self.server.url}?page={number + 1}" if more else None}
        self.send_response_only(200)
        self.send_header("Date", "Mon, 23 Nov 2026 02:00:00 GMT")
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())


@pytest.fixture
def listed() -> Iterator[PriceList]:
    with PriceList(("127.0.0.1", 0), _Handler) as server:
        server.asked, server.pages = [], [ROWS[:4], ROWS[4:]]
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_region_is_read_page_by_page(listed: PriceList) -> None:
    found = fetch("westus2", endpoint=listed.url)
    assert {(one.name, one.market): one.usd_per_hour for one in found.prices} == {
        ("Standard_D2s_v5", Market.ON_DEMAND): 0.096,
        ("Standard_D2s_v5", Market.SPOT): 0.02,
        ("Standard_D4s_v5", Market.ON_DEMAND): 0.192,
    }
    assert found.as_of == "2026-11-23"
    assert "armRegionName eq 'westus2'" in listed.asked[0]
    assert len(listed.asked) == 2


async def test_only_the_sizes_and_markets_that_are_wanted_are_asked_for(listed: PriceList) -> None:
    question = PriceQuestion("westus2", ("Standard_D4s_v5", "Standard_D2s_v5"), frozenset({Market.SPOT}), "")
    found = await ask(Settings(location="westus2", resource_group="g"), question, listed.url)
    assert [(one.name, one.market) for one in found.prices] == [("Standard_D2s_v5", Market.SPOT)]
    assert listed.asked[0].endswith("and (armSkuName eq 'Standard_D2s_v5' or armSkuName eq 'Standard_D4s_v5')")


async def test_another_cloud_than_the_public_one_is_not_asked_for() -> None:
    settings = Settings(location="westus2", resource_group="g", endpoint="https://management.example.com")
    assert PROVIDER.prices is not None
    with pytest.raises(Denied, match="public cloud"):
        await PROVIDER.prices(settings, PriceQuestion("westus2", ("Standard_D2s_v5",), frozenset(Market), ""))


def test_what_was_refreshed_is_what_offers_cost(
    listed: PriceList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep("azure", fetch("westus2", endpoint=listed.url))
    found = price("azure", "westus2", "Standard_D2s_v5", Market.SPOT)
    assert found is not None
    assert (found.usd_per_hour, found.as_of) == (0.02, "2026-11-23")
    assert "prices.azure.com" in found.source


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ([], "no such machines in 'westus2'"),
        ("words", "something else"),
        ({"Items": ROWS, "NextPageLink": "http://example.com/more"}, "elsewhere: example.com"),
    ],
)
def test_what_is_no_price_list_changes_nothing(listed: PriceList, page: Any, said: str) -> None:
    listed.pages = [page]
    with pytest.raises(Flaky, match=said):
        fetch("westus2", endpoint=listed.url)


def test_nobody_answers() -> None:
    with pytest.raises(Flaky, match="does not answer"):
        fetch("westus2", endpoint="http://127.0.0.1:9/prices")
