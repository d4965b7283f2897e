"""What is known of the cloud's machines without asking it, from the tables that come with rayfleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rayfleet.contracts import Price, TypeConfig
from rayfleet.model import CPU, GPU, MEMORY, Market, Offer, Resources
from rayfleet.providers.aliyun.order import instance_type, wants_spot
from rayfleet.wire.catalogue import tables

CLOUD: Final = "aliyun"
FOR_TASKS: Final = 0.7
"""Share of a machine's memory that Ray counts as `memory`; it keeps the rest for objects."""

Types = Callable[[str, str], tables.MachineType | None]
Prices = Callable[[str, str, str, Market], Price | None]


class AliyunCatalogue:
    """Sizes and prices by the names that files have. `types` and `prices` are the tables."""

    def __init__(self, types: Types = tables.machine_type, prices: Prices = tables.price) -> None:
        """Take the tables."""
        self._types = types
        self._prices = prices

    def instance_type(self, settings: Any, config: TypeConfig) -> str:  # noqa: ARG002 - the same everywhere
        """Return the kind of machine that the file names, or the default."""
        return instance_type(config)

    def resources(self, settings: Any, config: TypeConfig) -> Resources | None:  # noqa: ARG002 - the same everywhere
        """Return what Ray would count on such a machine."""
        known = self._types(CLOUD, instance_type(config))
        if known is None:
            return None
        amounts = {CPU: known.cpus, MEMORY: int(known.memory_bytes * FOR_TASKS), GPU: float(known.gpus)}
        if known.gpus and known.accelerator:
            amounts[f"accelerator_type:{known.accelerator}"] = 1.0
        return Resources.of(amounts)

    def offers(self, settings: Any, config: TypeConfig) -> tuple[Offer, ...]:
        """Return an offer for each zone of the file, in its order; one without zone where the vSwitch decides."""
        market = Market.SPOT if wants_spot(config) else Market.ON_DEMAND
        price = self._prices(CLOUD, settings.region, instance_type(config), market)
        zone = config.node_config.get("ZoneId")
        zones = (None,) if config.node_config.get("VSwitchId") else (zone,) if zone else settings.zone_id or (None,)
        usd = price.usd_per_hour if price is not None else None
        return tuple(
            Offer(usd_per_hour=usd, market=market, zone=zone, region=settings.region, provider=CLOUD) for zone in zones
        )
