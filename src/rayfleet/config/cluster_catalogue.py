"""What a place knows about its machines fills what a file leaves out: resources, zones, markets and prices.

The file wins wherever it says something; what it says beside the catalogue's numbers is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from rayfleet.config.cluster_spec import Catalogue, TypeSetup
from rayfleet.config.cluster_types import NodeType
from rayfleet.config.document import Document
from rayfleet.config.problems import Problem
from rayfleet.config.spot_words import WITHOUT_LIMIT, Spot, with_spot, without_spot
from rayfleet.model import CPU, GPU, MEMORY, UNITS, Market, Offer, Pool, Resources

MEMORY_SHARE: Final = 0.7
"""What of a machine's memory Ray offers as `memory`, which is what catalogues tell; a file may mean all of it."""
GIB: Final = 2**30
REGION_KEYS: Final = ("region", "location")
"""What the `provider:` sections of clouds call the region."""


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of place as one file sets it up: its type, its catalogue, and its validated settings."""

    name: str
    catalogue: Catalogue
    settings: Any


@dataclass(frozen=True, slots=True)
class Filled:
    """A pool and its setup with everything that is known, and what there is to tell about it."""

    pool: Pool
    setup: TypeSetup
    notices: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()


def fill(document: Document, kind: NodeType, pool: Pool, setup: TypeSetup, place: Place) -> Filled:
    """Return a type's pool with the resources and offers of its machines."""
    try:
        return _fill(document, kind, pool, setup, place)
    except Exception as error:  # noqa: BLE001 - a provider's code reads what a user wrote: what stops it is the file's problem
        return Filled(pool, setup, problems=(_unreadable(document, kind, place, error),))


def _unreadable(document: Document, kind: NodeType, place: Place, error: Exception) -> Problem:
    """Return the problem of a node config that a catalogue does not get through."""
    meant = hasattr(error, "trouble")  # a provider's own error, which is a sentence for the user
    message = f"{error}" if meant else f"provider {place.name} cannot read it: {error}"
    hint = "" if meant else "is every value of the kind that the cloud wants there?"
    return document.problem((*kind.path, "node_config"), message, hint, of_key=True)


def _fill(document: Document, kind: NodeType, pool: Pool, setup: TypeSetup, place: Place) -> Filled:
    machine = place.catalogue.instance_type(place.settings, setup)
    known = place.catalogue.resources(place.settings, setup)
    given = pool.resources
    resources = given if known is None else Resources({**known, **_written(kind, given)})
    added = tuple(sorted(name for name in resources if name not in given))
    offers = _offers(kind, pool, setup, place)
    hosts = _hosts(setup, place)
    notices = [
        *_told_resources(document, kind, machine, known),
        *_told_prices(document, kind, setup, place),
        *_told_hosts(document, kind, machine, hosts),
        *_told_regions(document, kind, place),
        *_told_place(document, kind, setup, place),
    ]
    return Filled(
        _in_replicas(replace(pool, resources=resources, offers=offers), hosts),
        replace(setup, machine=machine, filled=added),
        tuple(notices),
    )


def _hosts(setup: TypeSetup, place: Place) -> int:
    """Return how many machines come and go together; only some catalogues have such kinds."""
    hosts = getattr(place.catalogue, "hosts", None)
    return hosts(place.settings, setup) if hosts else 1


def _told_place(document: Document, kind: NodeType, setup: TypeSetup, place: Place) -> Iterator[Problem]:
    """Pass on what a place has to tell about a node config; only some catalogues do."""
    remarks = getattr(place.catalogue, "remarks_on", None)
    for message in remarks(place.settings, setup) if remarks else ():
        yield document.problem((*kind.path, "node_config"), message, of_key=True)


def _in_replicas(pool: Pool, hosts: int) -> Pool:
    """Return a pool of replicas. Its file counts these, as Ray does; a Pool counts machines."""
    most = pool.max_workers
    return replace(
        pool,
        hosts_per_replica=hosts,
        min_workers=pool.min_workers * hosts,
        max_workers=None if most is None else most * hosts,
    )


def more_machines(pools: Iterable[Pool], max_workers: int) -> int:
    """Return by how much a cluster's maximum, which a file gives in replicas, is more in machines."""
    return sum((pool.hosts_per_replica - 1) * min(_replicas_max(pool, max_workers), max_workers) for pool in pools)


def _replicas_max(pool: Pool, otherwise: int) -> int:
    return otherwise if pool.max_workers is None else pool.max_workers // pool.hosts_per_replica


def _told_regions(document: Document, kind: NodeType, place: Place) -> Iterator[Problem]:
    """Name offers in another region than the cluster's: providers have one region, and refuse to launch elsewhere."""
    own = next((found for key in REGION_KEYS if (found := getattr(place.settings, key, None))), None)
    for n, offer in enumerate(kind.form.offers or ()):
        if own and offer.region not in (None, own):
            message = f"{offer.region} is not the cluster's region, {own}: nothing can be launched there"
            yield document.problem((*kind.path, "offers", n, "region"), message)


def _told_hosts(document: Document, kind: NodeType, machine: str, hosts: int) -> Iterator[Problem]:
    if hosts > 1:
        message = f"{machine} has {hosts} hosts, which come and go together: the file's numbers count them as one"
        yield document.problem(kind.path, message, of_key=True)


def added_head(pool: Pool, setup: TypeSetup, place: Place) -> Filled:
    """Return the head that a file does not have: the machine of its first worker, without CPUs of its own."""
    machine = place.catalogue.instance_type(place.settings, setup)
    offers = place.catalogue.offers(place.settings, setup)
    return Filled(replace(pool, offers=offers or pool.offers), replace(setup, machine=machine))


def _written(kind: NodeType, given: Resources) -> dict[str, int]:
    """Return what the file says, zeros included: `GPU: 0` takes the GPUs away."""
    zeros = {name: 0 for name, amount in (kind.form.resources or {}).items() if not amount}
    return {**given, **zeros}


def _told_resources(document: Document, kind: NodeType, machine: str, known: Resources | None) -> Iterator[Problem]:
    written = kind.form.resources or {}
    if known is None:
        if not written:
            hint = "give the type resources: {CPU: ...}, or work is never placed on it"
            yield document.problem(kind.path, f"nothing is known about {machine}", hint, of_key=True)
        return
    if not written:
        yield document.problem(kind.path, f"no resources: {machine} has {sizes(known)}", of_key=True)
    for name in (CPU, GPU):
        own, real = written.get(name), known.get(name, 0) / UNITS
        if own and own != real:  # 0 is a decision, not a mistake
            message = f"{own:g} is not what {machine} has, {real:g}: {own:g} counts"
            yield document.problem((*kind.path, "resources", name), message)
    own, whole = written.get(MEMORY), known.get(MEMORY, 0) / UNITS / MEMORY_SHARE
    if own and own > whole + 1:
        message = f"{_gib(own)} is more than {machine} has, {_gib(whole)}: {_gib(own)} counts"
        yield document.problem((*kind.path, "resources", MEMORY), message)


def sizes(resources: Resources) -> str:
    """Return resources for people: memory in GiB, and nobody has to count digits."""
    parts = [
        f"{name}: {_gib(amount) if name.endswith('memory') else f'{amount:g}'}"
        for name, amount in sorted(resources.amounts().items())
        if ":" not in name
    ]
    return "{" + ", ".join(parts) + "}"


def _gib(amount: float) -> str:
    return f"{amount / GIB:.4g}Gi"


def _offers(kind: NodeType, pool: Pool, setup: TypeSetup, place: Place) -> tuple[Offer, ...]:
    return tuple(_compared(offer, setup, place) for offer in _own_offers(kind, pool, setup, place))


def _compared(offer: Offer, setup: TypeSetup, place: Place) -> Offer:
    """Return an offer that is not bought on demand, with what its machine would cost so."""
    if offer.market is Market.ON_DEMAND:
        return offer
    plain = replace(offer, market=Market.ON_DEMAND, usd_per_hour=None)
    return replace(offer, on_demand_usd_per_hour=_priced(plain, setup, place).usd_per_hour)


def _own_offers(kind: NodeType, pool: Pool, setup: TypeSetup, place: Place) -> tuple[Offer, ...]:
    if kind.form.offers is not None:
        return tuple(_capped(_priced(offer, setup, place), setup, place) for offer in pool.offers)
    market = pool.offers[0].market
    found = place.catalogue.offers(place.settings, _bought(setup, place, market))
    # A place that has no word for spot offers everything on demand: then the market is the file's, and no price known.
    mine = [one if one.market is market else replace(one, market=market, usd_per_hour=None) for one in found]
    return tuple(_capped(one, setup, place) for one in mine) or pool.offers


def _bought(setup: TypeSetup, place: Place, market: Market) -> TypeSetup:
    """Return the setup of a type as it would be if all of its machines were bought on `market`."""
    limit = setup.spot_max_usd_per_hour
    if market is Market.SPOT:
        return replace(setup, node_config=with_spot(place.name, setup.node_config, limit))
    return replace(setup, node_config=without_spot(setup.node_config), spot_max_usd_per_hour=None)


def _priced(offer: Offer, setup: TypeSetup, place: Place) -> Offer:
    """Return an offer of the file with the catalogue's price, where the file has none."""
    if offer.usd_per_hour is not None or offer.provider not in (None, place.name):
        return offer
    settings = _in_region(place.settings, offer.region)
    found = [
        known
        for known in place.catalogue.offers(settings, _bought(setup, place, offer.market))
        if known.usd_per_hour is not None and known.market is offer.market and offer.region in (None, known.region)
    ]
    # A zone that the provider's section does not name costs what its region's others do.
    near = [known for known in found if offer.zone in (None, known.zone)] or found
    prices = [known.usd_per_hour for known in near if known.usd_per_hour is not None]
    return replace(offer, usd_per_hour=min(prices)) if prices else offer


def _in_region(settings: Any, region: str | None) -> Any:
    """Return the settings as they would be in another region: any zones of theirs are not there."""
    for key in REGION_KEYS:
        if region is not None and getattr(settings, key, region) != region:
            zones = {"availability_zone": None} if hasattr(settings, "availability_zone") else {}
            return settings.model_copy(update={key: region, **zones})
    return settings


def _capped(offer: Offer, setup: TypeSetup, place: Place) -> Offer:
    """Return an offer that never costs more than the file allows; without a price that is what is reckoned with."""
    limit = setup.spot_max_usd_per_hour
    if offer.market is not Market.SPOT or limit is None or place.name in WITHOUT_LIMIT:
        return offer
    return replace(offer, usd_per_hour=limit if offer.usd_per_hour is None else min(limit, offer.usd_per_hour))


def _told_prices(document: Document, kind: NodeType, setup: TypeSetup, place: Place) -> Iterator[Problem]:
    limit = setup.spot_max_usd_per_hour
    if limit is None:
        return
    if place.name in WITHOUT_LIMIT:
        message = f"provider {place.name} takes no maximum price: {limit:g} USD/h for a spot machine has no effect"
        yield document.problem(kind.path, message, "max_usd_per_hour limits what the cluster costs", of_key=True)
    known = place.catalogue.offers(place.settings, _bought(setup, place, Market.SPOT))
    prices = [offer.usd_per_hour for offer in known if offer.market is Market.SPOT and offer.usd_per_hour is not None]
    if prices and min(prices) > limit:
        message = f"spot machines cost {min(prices):g} USD/h by the table, the file allows {limit:g}: it may get none"
        hint = "allow more, or add an offer on_demand to fall back on"
        yield document.problem(kind.path, message, hint, of_key=True)


def spot_from_offers(kind: NodeType) -> Spot:
    """Return the maximum that a type's own spot offers name; the highest, as it is one for all."""
    rows = [row for row in kind.form.offers or () if row.market is Market.SPOT]
    limits = [row.max_usd_per_hour for row in rows if row.max_usd_per_hour is not None]
    return Spot(bool(rows), max(limits) if limits else None)
