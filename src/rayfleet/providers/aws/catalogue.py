"""What is known of EC2's machines without asking: sizes, zones, markets and prices, from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rayfleet.contracts import TypeConfig
from rayfleet.model import Market, Offer, Resources
from rayfleet.providers.aws.order import DEFAULT_TYPE
from rayfleet.providers.aws.settings import Settings
from rayfleet.wire.catalogue.tables import price, ray_resources

CLOUD: Final = "aws"


class AwsCatalogue:
    """The catalogue of provider `aws`."""

    def instance_type(self, settings: Settings, config: TypeConfig) -> str:  # noqa: ARG002 - the same in all regions
        """Return the type that is named; what a launch template says is not known here, so its name stands for it."""
        named = config.instance_type or config.node_config.get("InstanceType")
        template: Mapping[str, Any] = config.node_config.get("LaunchTemplate") or {}
        if not named and template:
            return f"launch template {template.get('LaunchTemplateName') or template.get('LaunchTemplateId')}"
        return str(named or DEFAULT_TYPE)

    def resources(self, settings: Settings, config: TypeConfig) -> Resources | None:
        """Return CPUs, GPUs with their accelerator, and the memory that is left for tasks."""
        return ray_resources(CLOUD, self.instance_type(settings, config))

    def offers(self, settings: Settings, config: TypeConfig) -> tuple[Offer, ...]:
        """Return one offer for each zone that the pool, else the section, names, in that order."""
        market = market_of(config)
        known = price(CLOUD, settings.region, self.instance_type(settings, config), market)
        usd = known.usd_per_hour if known else None
        own = (config.node_config.get("Placement") or {}).get("AvailabilityZone")
        zones = (str(own),) if own else settings.zones or (None,)
        return tuple(Offer(usd, market, zone, settings.region, CLOUD) for zone in zones)


def market_of(config: TypeConfig) -> Market:
    """Return the market that a pool's words ask for."""
    options: Mapping[str, Any] = config.node_config.get("InstanceMarketOptions") or {}
    spot = options.get("MarketType") == "spot" or config.spot_max_usd_per_hour is not None
    return Market.SPOT if spot else Market.ON_DEMAND
