"""A cloud is asked for prices: what a cluster needs to know, the asking, and what it changed in the user's cache."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rayfleet.config import ClusterSpec
from rayfleet.contracts import Denied, Price, PriceQuestion, ProviderError, ProviderKind
from rayfleet.launcher.prices import FILE, price_rows, region_of
from rayfleet.model import Market
from rayfleet.wire.catalogue.tables import keep, price, shipped_day

MARKETS: Final = frozenset({Market.ON_DEMAND, Market.SPOT})
"""Those that clouds have prices of; what is reserved costs what was agreed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One price that is to be asked for."""

    region: str
    machine: str
    market: Market


@dataclass(frozen=True, slots=True)
class Moved:
    """A price that the cloud has told. `before`: what was known; None: nothing."""

    wanted: Wanted
    before: Price | None
    after: Price

    @property
    def differs(self) -> bool:
        """Say whether it is another one than before."""
        return self.before is None or self.before.usd_per_hour != self.after.usd_per_hour

    def __str__(self) -> str:
        one, after = self.wanted, self.after.usd_per_hour
        where = f"{one.machine} {one.region} {one.market}"
        if self.before is None:
            return f"{where}: {after:g} USD/h, was not known"
        before = self.before.usd_per_hour
        return f"{where}: {before:g} -> {after:g} USD/h ({(after - before) / before:+.1%})"

    def as_json(self) -> dict[str, Any]:
        """Return it in the public format."""
        return {
            "region": self.wanted.region,
            "machine": self.wanted.machine,
            "market": str(self.wanted.market),
            "before_usd_per_hour": self.before.usd_per_hour if self.before else None,
            "usd_per_hour": self.after.usd_per_hour,
            "as_of": self.after.as_of,
        }


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of asking. `silent`: what the cloud told nothing of; `troubles`: why, where it refused."""

    told: tuple[Moved, ...]
    silent: tuple[Wanted, ...]
    troubles: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return it for people."""
        moved = [str(one) for one in self.told if one.differs]
        same = len(self.told) - len(moved)
        summary = f"{len(moved)} changed, {same} as before" if self.told else "the cloud told no price"
        silent = [f"the cloud tells nothing of {one.machine} {one.region} {one.market}" for one in self.silent]
        return [summary, *(f"  {line}" for line in (*moved, *silent))]

    def as_json(self) -> dict[str, Any]:
        """Return it in the public format."""
        silent = [{"region": one.region, "machine": one.machine, "market": str(one.market)} for one in self.silent]
        return {"told": [one.as_json() for one in self.told], "silent": silent, "troubles": list(self.troubles)}


def wanted_of(spec: ClusterSpec, markets: Collection[Market] = MARKETS) -> tuple[Wanted, ...]:
    """Return the prices that a cluster's offers need and its file does not give. Pure but for the tables.

    A launch template, which stands for a machine that is not named, has no price.
    """
    rows = [row for row in price_rows(spec) if row.origin != FILE and row.machine and " " not in row.machine]
    found = (
        Wanted(row.offer.region or region_of(spec.provider_settings), row.machine, row.offer.market)
        for row in rows
        if row.offer.market in markets
    )
    return tuple(dict.fromkeys(found))


async def ask(kind: ProviderKind, settings: Any, wanted: Iterable[Wanted], now: float) -> Answered:
    """Ask for prices and keep what is told. `now`: seconds since the epoch.

    Each market is asked for by itself: a right for one may be missing.

    Raises:
        ProviderError: the cloud tells nothing, may not, or there is nobody to ask; what was known stays.
        OSError: the cache cannot be written.
    """
    if kind.prices is None:
        raise Denied(_nobody(kind.name))
    wanted = tuple(wanted)
    before = {one: price(kind.name, one.region, one.machine, one.market) for one in wanted}
    days: dict[tuple[str, Market], str] = {}
    errors: list[ProviderError] = []
    for question in _questions(wanted, now):
        try:
            fetched = await kind.prices(settings, question)
        except ProviderError as error:
            errors.append(error)
            continue
        await asyncio.to_thread(keep, kind.name, fetched)  # it waits for others that write
        days |= {(question.region, market): fetched.as_of for market in question.markets}
    if errors and not days:
        raise errors[0]
    told, silent = [], []
    for one in wanted:
        since, after = days.get((one.region, one.market)), price(kind.name, one.region, one.machine, one.market)
        if since and after is not None and after.asked and after.as_of >= since:
            told.append(Moved(one, before[one], after))
        else:
            silent.append(one)
    return Answered(tuple(told), tuple(silent), tuple(dict.fromkeys(str(error) for error in errors)))


def _questions(wanted: Iterable[Wanted], now: float) -> list[PriceQuestion]:
    """Return one question for each region and market: most clouds ask for the two at different doors."""
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    names: dict[tuple[str, Market], list[str]] = {}
    for one in wanted:
        names.setdefault((one.region, one.market), []).append(one.machine)
    return [PriceQuestion(region, tuple(each), frozenset({market}), at) for (region, market), each in names.items()]


def _nobody(provider: str) -> str:
    since = shipped_day(provider)
    if since:
        return f"provider {provider} cannot be asked for prices: they are those that came with rayfleet, of {since}"
    return f"provider {provider} cannot be asked for prices: they are those that the file gives, in `offers`"
