"""What is known of Azure's machines without asking: sizes and prices from tables, zones and market from the file."""

from __future__ import annotations

from typing import Final

from rayfleet.contracts import TypeConfig
from rayfleet.model import Market, Offer, Resources
from rayfleet.providers.azure.node_config import (
    DEFAULT_SIZE,
    ArmParameters,
    arm_parameters,
    notices,
    raw_parameters,
)
from rayfleet.providers.azure.settings import Settings, zones_of
from rayfleet.wire.catalogue.tables import price, ray_resources


class AzureCatalogue:
    """`rayfleet.contracts.Catalogue` for Azure."""

    def instance_type(self, settings: Settings, config: TypeConfig) -> str:  # noqa: ARG002 - the contract's
        """Return the machine's size, such as Standard_D4s_v5."""
        return config.instance_type or str(raw_parameters(config).get("vmSize") or DEFAULT_SIZE)

    def resources(self, settings: Settings, config: TypeConfig) -> Resources | None:
        """Return what Ray counts on it."""
        return ray_resources("azure", self.instance_type(settings, config))

    def offers(self, settings: Settings, config: TypeConfig) -> tuple[Offer, ...]:
        """Return an offer for each zone, in the market that the file names.

        Raises:
            Denied: the node config says something that is not understood.
        """
        parameters = arm_parameters(config)
        market = Market.SPOT if parameters.spot else Market.ON_DEMAND
        found = price("azure", settings.location, self.instance_type(settings, config), market)
        usd = found.usd_per_hour if found else None
        zones: tuple[str | None, ...] = zones_for(settings, parameters) or (None,)
        return tuple(Offer(usd, market, zone, settings.location, "azure") for zone in zones)

    def remarks_on(self, settings: Settings, config: TypeConfig) -> tuple[str, ...]:  # noqa: ARG002 - as above
        """Return what the node config says that has no effect."""
        return tuple(notices(config))


def zones_for(settings: Settings, parameters: ArmParameters) -> tuple[str, ...]:
    """Return the zones of a node type: its own, else those of the provider section; none: anywhere."""
    if parameters.zones:
        return parameters.zones
    if parameters.availability_zone is not None:
        return zones_of(parameters.availability_zone)
    return zones_of(settings.availability_zone)


CATALOGUE: Final = AzureCatalogue()
