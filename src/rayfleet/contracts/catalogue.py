"""What is known of a place's machines without asking it: sizes, zones, markets and prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rayfleet.model import Market, Offer, Resources


@dataclass(frozen=True, slots=True)
class TypeConfig:
    """What a configuration says, in the place's own words, about the machines of one pool.

    `instance_type` is the short dialect's key; Ray's own files name it inside `node_config`.
    `spot_max_usd_per_hour`: the most that a spot machine may cost, None: no limit.
    """

    instance_type: str | None = None
    node_config: Mapping[str, Any] = field(default_factory=dict)
    spot_max_usd_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What one machine costs. `as_of`: the day that it was true, ISO 8601. `source`: who said so.

    `asked`: the cloud was asked for it by this user; else it came with rayfleet.
    """

    usd_per_hour: float
    as_of: str
    source: str
    asked: bool = False


@dataclass(frozen=True, slots=True)
class PriceQuestion:
    """What a cloud is asked for: prices of kinds of machines (`names`) in a region. `at`: the moment, ISO 8601, UTC."""

    region: str
    names: tuple[str, ...]
    markets: frozenset[Market]
    at: str


@dataclass(frozen=True, slots=True)
class FetchedPrice:
    """One price as a cloud has told it. `name`: the kind of machine."""

    region: str
    name: str
    market: Market
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a cloud has told. `as_of`: the day, ISO 8601. It may be more than was asked for, or less."""

    source: str
    as_of: str
    prices: Iterable[FetchedPrice]


class Catalogue(Protocol):
    """Answers from tables that come with rayfleet, or from a file that was refreshed lately; never from the network.

    `settings` is a validated instance of the kind's `settings` model.
    """

    def instance_type(self, settings: Any, config: TypeConfig) -> str:
        """Return the name of the kind of machine; the place's dated default where the configuration names none."""
        ...

    def resources(self, settings: Any, config: TypeConfig) -> Resources | None:
        """Return what Ray would count on such a machine: CPU, memory (bytes), GPU; None when the type is not known."""
        ...

    def offers(self, settings: Any, config: TypeConfig) -> tuple[Offer, ...]:
        """Return the ways of getting one that the configuration allows: its zones and market, priced where known.

        The first is the one to be preferred at equal price. Never empty.
        """
        ...
