"""What machines cost at the pretended Alibaba Cloud: DescribePrice and DescribeSpotPriceHistory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rayfleet.testing.clouds.aliyun_state import TYPES, ZONES
from rayfleet.testing.clouds.aliyun_wire import Refused

DISK = 0.05
PAGE = 2
"""Rows of one answer: few, so that clients have to turn pages."""


@dataclass(slots=True)
class Prices:
    """Prices an hour in `currency`, by type; of spot, newest last, by type and zone. Others follow from the CPUs."""

    currency: str = "CNY"
    on_demand: dict[str, float] = field(default_factory=dict)
    spot: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def describe(self, asked: Any) -> dict[str, Any]:
        """Answer DescribePrice of a machine: it and its disk."""
        if asked.resource_type != "instance" or asked.price_unit not in (None, "Hour"):
            raise Refused("InvalidParameter", "only machines by the hour are pretended here")
        machine = self.on_demand.get(asked.instance_type, _by_size(asked.instance_type))
        parts = [{"Resource": "instanceType", "TradePrice": machine}, {"Resource": "systemDisk", "TradePrice": DISK}]
        whole = {"Currency": self.currency, "TradePrice": machine + DISK, "DetailInfos": {"DetailInfo": parts}}
        return {"PriceInfo": {"Price": whole}}

    def history(self, asked: Any) -> dict[str, Any]:
        """Answer DescribeSpotPriceHistory of the last hours, in pages."""
        usual = _by_size(asked.instance_type) / 4
        rows = [
            {"InstanceType": asked.instance_type, "ZoneId": zone, "SpotPrice": price, "Timestamp": _hour(number)}
            for zone in ZONES
            for number, price in enumerate(self.spot.get((asked.instance_type, zone), [usual]))
        ]
        first = asked.offset or 0
        after = first + PAGE if first + PAGE < len(rows) else 0
        listed = {"SpotPriceType": rows[first : first + PAGE]}
        return {"Currency": self.currency, "NextOffset": after, "SpotPrices": listed}


def _by_size(name: str) -> float:
    if name not in TYPES:
        raise Refused("InvalidInstanceType.NotFound", "the type does not exist", 404)
    return TYPES[name][0] * 0.25


def _hour(number: int) -> str:
    return f"2026-11-23T{number:02}:00:00Z"
