"""What instances cost in the emulated account: the price list, and the history of spot prices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rayfleet.testing.clouds.aws.instances import AwsError

_PAGE: Final = 1
"""Rows of one answer: so few that every client has to turn pages."""
_NEEDED: Final = ("operatingSystem", "tenancy", "preInstalledSw", "capacitystatus", "regionCode", "instanceType")


@dataclass(slots=True)
class Prices:
    """USD an hour. `on_demand` by (region, type); `spot` by (zone, type), each with the moment that it began."""

    on_demand: dict[tuple[str, str], float] = field(default_factory=dict)
    spot: dict[tuple[str, str], list[tuple[str, float]]] = field(default_factory=dict)

    def products(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Answer GetProducts: each product is a JSON text of its own, after one that is not billed by the hour."""
        wanted = {each["Field"]: each["Value"] for each in given.get("Filters", [])}
        if missing := [name for name in _NEEDED if name not in wanted]:
            raise AwsError("NotEmulated", f"this emulator has only prices that are asked for by {missing}", 501)
        name, region = wanted["instanceType"], wanted["regionCode"]
        usd = self.on_demand.get((region, name))
        listed = [] if usd is None else [_product(name, 0.5, "Quantity"), _product(name, usd, "Hrs")]
        page, rest = _page(listed, given)
        return {"FormatVersion": "aws_v1", "PriceList": page} | ({"NextToken": rest} if rest else {})

    def history(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Answer DescribeSpotPriceHistory."""
        rows = [
            {
                "InstanceType": name,
                "AvailabilityZone": zone,
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{usd:f}",
                "Timestamp": at,
            }
            for (zone, name), moments in self.spot.items()
            for at, usd in moments
            if name in given.get("InstanceTypes", [name])
        ]
        page, rest = _page(rows, given)
        return {"SpotPriceHistory": page, "NextToken": rest or ""}


def _product(name: str, usd: float, unit: str) -> str:
    dimension = {"unit": unit, "pricePerUnit": {"USD": f"{usd:.10f}"}}
    terms = {"OnDemand": {"term": {"priceDimensions": {"term.dimension": dimension}}}}
    return json.dumps({"product": {"attributes": {"instanceType": name}}, "terms": terms})


def _page(rows: list[Any], given: Mapping[str, Any]) -> tuple[list[Any], str]:
    first = int(given.get("NextToken") or 0)
    last = first + _PAGE
    return rows[first:last], str(last) if last < len(rows) else ""
