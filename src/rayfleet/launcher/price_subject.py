"""What `rayfleet prices` is about: the offers of a cluster, or kinds of machines of a cloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rayfleet.config import ClusterSpec
from rayfleet.contracts import ProviderKind
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import LauncherError, did_you_mean
from rayfleet.launcher.known import choose
from rayfleet.launcher.price_asking import MARKETS, Wanted, wanted_of
from rayfleet.launcher.prices import PriceRow, price_rows, row_of
from rayfleet.launcher.spec import resolve, stored
from rayfleet.model import Market
from rayfleet.wiring import registry


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is asked for which prices, and how they are looked up. `cluster`: its name, "" for none."""

    kind: ProviderKind
    settings: Any
    wanted: tuple[Wanted, ...]
    rows: Callable[[], tuple[PriceRow, ...]]
    cluster: str = ""


def of_cluster(word: str | None, market: str = "") -> Subject:
    """Return the offers of a cluster or of a cluster's file. `market`: only these, "": all.

    Raises:
        ConfigInvalid: with every problem of the file.
        LauncherError: there is no such file, cluster or market.
    """
    markets = _markets(market)

    def spec() -> ClusterSpec:
        return resolve(word).spec if word is not None and homes.is_config(word) else stored(choose(word))

    def rows() -> tuple[PriceRow, ...]:
        return tuple(row for row in price_rows(spec()) if not market or row.offer.market in markets)

    found = spec()
    wanted = wanted_of(found, markets & MARKETS)
    return Subject(registry()[found.provider], found.provider_settings, wanted, rows, found.name)


def of_cloud(cloud: str, region: str, machines: Sequence[str], market: str = "") -> Subject:
    """Return kinds of machines of a cloud in a region.

    Raises:
        LauncherError: there is no such cloud or market, or it is not said which machines where.
    """
    kinds = {name: kind for name, kind in registry().items() if kind.remote and kind.catalogue and not kind.keeps_hosts}
    if cloud not in kinds:
        hint = did_you_mean(cloud, sorted(kinds))
        raise LauncherError(f"there are no prices of a cloud {cloud!r}", hint)
    if not region or not machines:
        hint = f"for example --cloud {cloud} --region REGION --type MACHINE"
        raise LauncherError("--cloud needs a --region and at least one --type", hint)
    markets = sorted(_markets(market) & MARKETS)
    wanted = tuple(Wanted(region, machine, each) for machine in machines for each in markets)

    def rows() -> tuple[PriceRow, ...]:
        return tuple(row_of(cloud, one.region, one.machine, one.market) for one in wanted)

    kind = kinds[cloud]
    # Keys and addresses are those of the environment: what else a section has says nothing about prices.
    return Subject(kind, kind.settings.model_construct(), wanted, rows)


def _markets(word: str) -> frozenset[Market]:
    names = {str(market): market for market in Market}
    if word and word not in names:
        raise LauncherError(f"there is no market {word!r}", f"one of {', '.join(names)}")
    return frozenset({names[word]}) if word else frozenset(Market)
