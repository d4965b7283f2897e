"""Sizes and prices, as providers ask for them. `cloud` is a provider's type: aws, gcp, azure, aliyun."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rayfleet.contracts import Fetched, Price
from rayfleet.model import Market, Resources
from rayfleet.wire.catalogue.files import changing, refreshed, table, write
from rayfleet.wire.catalogue.sizes import GIB, MachineType, azure_key, machine_type, origin

__all__ = ["MachineType", "keep", "machine_type", "origin", "price", "ray_resources", "shipped_day"]

MEMORY_SHARE: Final = 0.7
"""What of a machine's memory Ray offers as `memory`; the rest is for its object store."""


def ray_resources(cloud: str, name: str) -> Resources | None:
    """Return what Ray counts on such a machine: CPU, memory, GPU and the kind of GPU; None when it is not known."""
    kind = machine_type(cloud, name)
    if kind is None:
        return None
    amounts = {"CPU": kind.cpus, "memory": float(int(kind.memory_bytes * MEMORY_SHARE)), "GPU": float(kind.gpus)}
    if kind.accelerator:
        amounts[f"accelerator_type:{kind.accelerator}"] = 1.0
    if kind.neuron_cores:
        amounts |= {"neuron_cores": float(kind.neuron_cores), "accelerator_type:aws-neuron-core": 1.0}
    return Resources.of(amounts)


def price(cloud: str, region: str, name: str, market: Market) -> Price | None:
    """Return what such a machine costs there; None when no table knows.

    What was refreshed counts where it is newer than the table that comes with rayfleet.
    """
    built_in = _built_in(cloud, region, name, market)
    fresh = _refreshed(cloud, region, name, market)
    if fresh and built_in:
        return fresh if fresh.as_of >= built_in.as_of else built_in
    return fresh or built_in


def keep(cloud: str, fetched: Fetched) -> Path:
    """Add what a cloud has told to the user's cache, whole or not at all; return the file.

    Prices that it does not tell of stay as they are, each with its own day and source.

    Raises:
        OSError: the cache cannot be written; what was there stays.
    """
    told = [one for one in fetched.prices if 0 < one.usd_per_hour < math.inf]
    with changing(cloud):
        before = refreshed(cloud) or {"rows": {}}
        rows = {market: {name: dict(row) for name, row in names.items()} for market, names in before["rows"].items()}
        for one in told:
            names = rows.setdefault(str(one.market), {})
            row = names.setdefault(_key(cloud, one.name), {})
            row[one.region] = [one.usd_per_hour, fetched.as_of, fetched.source]
        return write(cloud, {"rows": rows})


def shipped_day(cloud: str) -> str:
    """Return the day of the newest prices that come with rayfleet; "" where there are none."""
    return max((str(part["as_of"]) for part in table(cloud)["prices"]), default="")


def _refreshed(cloud: str, region: str, name: str, market: Market) -> Price | None:
    found = refreshed(cloud)
    row = found["rows"].get(str(market), {}).get(_key(cloud, name), {}).get(region) if found else None
    return Price(float(row[0]), row[1], row[2], asked=True) if row else None


def _built_in(cloud: str, region: str, name: str, market: Market) -> Price | None:
    """Return what the newest part of the table says."""
    for part in table(cloud)["prices"]:
        if part["market"] != str(market):
            continue
        usd = part.get("rows", {}).get(_key(cloud, name), {}).get(region)
        if usd is None:
            usd = _by_rate(part.get("rates", {}), cloud, region, name)
        if usd is not None:
            return Price(usd, part["as_of"], part["source"])
    return None


def _by_rate(rates: Mapping[str, Any], cloud: str, region: str, name: str) -> float | None:
    """Return the price made of a family's rates: so much for each CPU and each GiB."""
    rate = rates.get(_family(cloud, name), {}).get(region)
    kind = machine_type(cloud, name) if rate else None
    if not rate or kind is None or (kind.gpus and cloud == "gcp"):
        return None
    cpus = kind.cpus if kind.billed_cpus is None else kind.billed_cpus
    return float(f"{rate[0] * cpus + rate[1] * kind.memory_bytes / GIB:.6g}")


def _key(cloud: str, name: str) -> str:
    return azure_key(name) if cloud == "azure" else name


def _family(cloud: str, name: str) -> str:
    if cloud == "azure":
        return re.sub(r"\d+", "#", azure_key(name), count=1)
    if cloud == "gcp":
        series = "n1" if name.startswith("custom-") else name.partition("-")[0]
        return f"{series}_custom" if "custom-" in name else series
    return name.partition(".")[0]
