"""Every kind of place for tests of cluster files: the installed ones, and lenient ones in place of those that are not.

A lenient cloud takes any keys and knows machines by rayfleet's own tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from rayfleet.config.cluster_form import PLACE_KEYS, TYPE_PLACE_KEYS
from rayfleet.config.spot_words import spot_of
from rayfleet.contracts import TypeConfig
from rayfleet.model import Market, Offer, Resources
from rayfleet.wire.catalogue.tables import price, ray_resources
from rayfleet.wiring import registry

PLACES = ("local", "aws", "gcp", "azure", "aliyun", "external")
CLOUDS = ("aws", "gcp", "azure", "aliyun")


class Lenient(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    uses: ClassVar[frozenset[str]] = frozenset({*PLACE_KEYS, *TYPE_PLACE_KEYS})

    region: str = ""
    location: str = ""
    availability_zone: str | None = None


@dataclass(frozen=True, slots=True)
class Tables:
    """A catalogue made of the tables alone, as a cloud's own would be. `default`: where a file names no machine."""

    cloud: str
    default: str

    def instance_type(self, settings: Lenient, config: TypeConfig) -> str:
        del settings
        node = config.node_config
        if "acceleratorType" in node or "acceleratorConfig" in node:
            return "tpu"
        parameters = node.get("azure_arm_parameters", {})
        named = (node.get("InstanceType"), node.get("machineType"), parameters.get("vmSize"))
        return config.instance_type or next(filter(None, named), self.default)

    def resources(self, settings: Lenient, config: TypeConfig) -> Resources | None:
        return ray_resources(self.cloud, self.instance_type(settings, config))

    def offers(self, settings: Lenient, config: TypeConfig) -> tuple[Offer, ...]:
        market = Market.SPOT if spot_of(config.node_config).wanted else Market.ON_DEMAND
        region = settings.region or settings.location
        known = price(self.cloud, region, self.instance_type(settings, config), market)
        zones = (
            [zone.strip() for zone in settings.availability_zone.split(",")] if settings.availability_zone else [None]
        )
        usd = known.usd_per_hour if known else None
        return tuple(Offer(usd, market, zone, region or None) for zone in zones)


@dataclass(frozen=True, slots=True)
class LenientKind:
    settings: type[Any] = Lenient
    catalogue: Tables | None = None


def lenient(name: str) -> LenientKind:
    defaults = {
        "aws": "m5.large", "gcp": "n1-standard-2", "azure": "Standard_D2s_v3", "aliyun": "ecs.n4.large",
    }  # fmt: skip
    return LenientKind(catalogue=Tables(name, defaults[name]) if name in CLOUDS else None)


def every_place() -> Mapping[str, Any]:
    """Return the registry with lenient kinds for what is not installed."""
    return {**{name: lenient(name) for name in PLACES}, **registry()}


LENIENT = {name: lenient(name) for name in PLACES}
"""Lenient kinds alone, whatever is installed."""
