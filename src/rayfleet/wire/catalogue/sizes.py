"""What a kind of machine has: Amazon's from a table, the others' by the rules that their names are made by.

The rules are the clouds' documented ones: a name holds the family, which stands for so much memory for each CPU, and
the number of CPUs. Families with GPUs follow no rule and are listed. A name that no rule knows is None, never a guess.
Both were written down by hand from what the clouds publish, not asked of any API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from rayfleet.wire.catalogue.files import table

GIB: Final = 2**30
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class MachineType:
    """One kind of machine. `cpus` are logical; `accelerator`: Ray's name of it ("A10G"), "" without `gpus`.

    `billed_cpus`: what a price by the CPU counts, which for machines that share a core is a part of it.
    """

    cpus: float
    memory_bytes: int
    gpus: int = 0
    accelerator: str = ""
    neuron_cores: int = 0
    billed_cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who says how large a machine is. `as_of`: the day that it was looked up."""

    source: str
    as_of: str


@cache
def machine_type(cloud: str, name: str) -> MachineType | None:
    """Return what a kind of machine has; None when neither table nor rule knows it. `cloud`: a provider's type."""
    rule = RULES.get(cloud)
    return rule(name) if rule else None


def origin(cloud: str) -> Origin:
    """Return where sizes of this cloud's machines are from."""
    sizes = table(cloud).get("sizes")
    return (
        Origin(sizes["source"], sizes["as_of"]) if sizes else Origin("the rule that its names are made by", RULES_DAY)
    )


def _aws(name: str) -> MachineType | None:
    row: list[Any] | None = table("aws")["sizes"]["rows"].get(name)
    if row is None:
        return None
    cpus, mebibytes, *more = row  # with GPUs: how many, which; with Neuron cores: these too
    return MachineType(cpus, mebibytes * MIB, *more)


def _made(cpus: float, gib: float, gpus: int = 0, accelerator: str = "") -> MachineType:
    return MachineType(cpus, round(gib * GIB), gpus, accelerator)


# ---- Google ----------------------------------------------------------------------------------------------------------

_GCP_RATIOS: Final[Mapping[str, Mapping[str, float]]] = {
    "n1": {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9},
    "n2": {"standard": 4, "highmem": 8, "highcpu": 1},
    "n2d": {"standard": 4, "highmem": 8, "highcpu": 1},
    "n4": {"standard": 4, "highmem": 8, "highcpu": 2},
    "e2": {"standard": 4, "highmem": 8, "highcpu": 1},
    "c2": {"standard": 4},
    "c2d": {"standard": 4, "highmem": 8, "highcpu": 2},
    "c3": {"standard": 4, "highmem": 8, "highcpu": 2},
    "c3d": {"standard": 4, "highmem": 8, "highcpu": 2},
    "t2d": {"standard": 4},
    "t2a": {"standard": 4},
}
"""GiB for each CPU."""
_GCP_SHARED: Final = {
    "e2-micro": MachineType(2, GIB, billed_cpus=0.25),
    "e2-small": MachineType(2, 2 * GIB, billed_cpus=0.5),
    "e2-medium": MachineType(2, 4 * GIB, billed_cpus=1),
    "f1-micro": MachineType(1, round(0.6 * GIB), billed_cpus=1),
    "g1-small": MachineType(1, round(1.7 * GIB), billed_cpus=1),
}
_GCP_LISTED: Final = {
    **{f"a2-highgpu-{n}g": _made(12 * n, 85 * n, n, "A100") for n in (1, 2, 4, 8)},
    "a2-megagpu-16g": _made(96, 1360, 16, "A100"),
    **{f"a2-ultragpu-{n}g": _made(12 * n, 170 * n, n, "A100") for n in (1, 2, 4, 8)},
    **{f"a3-highgpu-{n}g": _made(26 * n, 234 * n, n, "H100") for n in (1, 2, 4, 8)},
    "a3-megagpu-8g": _made(208, 1872, 8, "H100"),
    "a3-ultragpu-8g": _made(224, 2944, 8, "H200"),
    **{f"g2-standard-{n}": _made(n, 4 * n, 1, "L4") for n in (4, 8, 12, 16, 32)},
    **{f"g2-standard-{n}": _made(n, 4 * n, n // 12, "L4") for n in (24, 48, 96)},
    "m1-ultramem-40": _made(40, 961),
    "m1-ultramem-80": _made(80, 1922),
    "m1-ultramem-160": _made(160, 3844),
    "m1-megamem-96": _made(96, 1433.6),
}


def _gcp(name: str) -> MachineType | None:
    name = name.rpartition("/")[2]
    if listed := _GCP_SHARED.get(name) or _GCP_LISTED.get(name):
        return listed
    if custom := re.fullmatch(r"(?:([a-z]\d[a-z]?)-)?custom-(\d+)-(\d+)(?:-ext)?", name):
        return MachineType(int(custom[2]), int(custom[3]) * MIB)
    plain = re.fullmatch(r"([a-z]\d[a-z]?)-(standard|highmem|highcpu)-(\d+)(?:-lssd)?", name)
    ratio = _GCP_RATIOS.get(plain[1], {}).get(plain[2]) if plain else None
    return _made(int(plain[3]), ratio * int(plain[3])) if plain and ratio else None


# ---- Microsoft -------------------------------------------------------------------------------------------------------

_AZURE_RATIOS: Final = (
    (r"d\d+[ap]?l[a-z]*v\d", 2.0),
    (r"d\d+[abdeps]*v[3-9]", 4.0),
    (r"dc\d+[a-z]*v[2-9]", 4.0),
    (r"ec?\d+[abdeips]*v[3-9]", 8.0),
    (r"f\d+s?(v2)?", 2.0),
    (r"f\d+a[a-z]*s?v\d", 4.0),
    (r"l\d+a?sv[2-9]", 8.0),
    (r"b\d+a?sv2", 4.0),
)
"""GiB for each CPU, by a pattern of the name without "Standard", dashes and underscores."""
_AZURE_LISTED: Final = {
    "b1ls": _made(1, 0.5), "b1s": _made(1, 1), "b1ms": _made(1, 2), "b2s": _made(2, 4), "b2ms": _made(2, 8),
    "b4ms": _made(4, 16), "b8ms": _made(8, 32), "b12ms": _made(12, 48), "b16ms": _made(16, 64), "b20ms": _made(20, 80),
    "d1v2": _made(1, 3.5), "d2v2": _made(2, 7), "d3v2": _made(4, 14), "d4v2": _made(8, 28), "d5v2": _made(16, 56),
    "d11v2": _made(2, 14), "d12v2": _made(4, 28), "d13v2": _made(8, 56), "d14v2": _made(16, 112),
    "d15v2": _made(20, 140),
    "e64v3": _made(64, 432), "e64sv3": _made(64, 432), "e64v4": _made(64, 504), "e64sv4": _made(64, 504),
    "e96v5": _made(96, 672), "e96sv5": _made(96, 672), "e96dsv5": _made(96, 672), "e96asv4": _made(96, 672),
    "e96asv5": _made(96, 672), "e104isv5": _made(104, 672), "e104idsv5": _made(104, 672),
    "nc6": _made(6, 56, 1, "K80"), "nc12": _made(12, 112, 2, "K80"), "nc24": _made(24, 224, 4, "K80"),
    "nc6sv3": _made(6, 112, 1, "V100"), "nc12sv3": _made(12, 224, 2, "V100"), "nc24sv3": _made(24, 448, 4, "V100"),
    "nc24rsv3": _made(24, 448, 4, "V100"), "nd40rsv2": _made(40, 672, 8, "V100"),
    "nc4ast4v3": _made(4, 28, 1, "T4"), "nc8ast4v3": _made(8, 56, 1, "T4"), "nc16ast4v3": _made(16, 110, 1, "T4"),
    "nc64ast4v3": _made(64, 440, 4, "T4"),
    "nv6": _made(6, 56, 1, "M60"), "nv12": _made(12, 112, 2, "M60"), "nv24": _made(24, 224, 4, "M60"),
    "nv6adsa10v5": _made(6, 55, 1, "A10"), "nv12adsa10v5": _made(12, 110, 1, "A10"),
    "nv18adsa10v5": _made(18, 220, 1, "A10"), "nv36adsa10v5": _made(36, 440, 1, "A10"),
    "nv72adsa10v5": _made(72, 880, 2, "A10"),
    "nc24adsa100v4": _made(24, 220, 1, "A100"), "nc48adsa100v4": _made(48, 440, 2, "A100"),
    "nc96adsa100v4": _made(96, 880, 4, "A100"),
    "nd96asrv4": _made(96, 900, 8, "A100"), "nd96amsra100v4": _made(96, 1900, 8, "A100"),
    "nc40adsh100v5": _made(40, 320, 1, "H100"), "nc80adish100v5": _made(80, 640, 2, "H100"),
    "nd96isrh100v5": _made(96, 1900, 8, "H100"), "nd96isrh200v5": _made(96, 1850, 8, "H200"),
}  # fmt: skip


_CONSTRAINED: Final = re.compile(r"(\d+)-(\d+)")
"""In `Standard_E4-2s_v3`: the machine of an E4s_v3, of whose CPUs two are used."""


def azure_key(name: str) -> str:
    """Return a size's name as the table of prices has it: `Standard_D2s_v3` is `standardd2sv3`."""
    whole = _CONSTRAINED.sub(r"\1", name.lower())  # with fewer CPUs it costs the same
    plain = re.sub("[^a-z0-9]", "", whole)
    return plain if plain.startswith(("standard", "basic")) else f"standard{plain}"


def _azure(name: str) -> MachineType | None:
    if fewer := _CONSTRAINED.search(name):
        whole = _azure(_CONSTRAINED.sub(r"\1", name))
        return whole and replace(whole, cpus=int(fewer[2]), billed_cpus=whole.cpus)
    short = azure_key(name).removeprefix("standard")
    old = re.sub(r"^ds(\d+v2)$", r"d\1", short)  # DS3_v2 is D3_v2 with faster disks
    if listed := _AZURE_LISTED.get(old):
        return listed
    number = re.match(r"[a-z]+(\d+)", short)
    ratio = next((gib for pattern, gib in _AZURE_RATIOS if re.fullmatch(pattern, short)), None)
    return _made(int(number[1]), ratio * int(number[1])) if number and ratio else None


# ---- Alibaba ---------------------------------------------------------------------------------------------------------

_ALIYUN_RATIOS: Final = (
    (r"(g|hfg|sn2ne|sn2|mn4|ebmg|g\d+[a-z]*)", 4.0),
    (r"(r|hfr|se1ne|se1|e4|re\d*[a-z]*)", 8.0),
    (r"(c|hfc|sn1ne|sn1|n4|ic)", 2.0),
)
"""GiB for each CPU, by a pattern of the family's name without its generation."""
_ALIYUN_GPUS: Final = {
    "gn6i": ("T4", {"c4g1": 15, "c8g1": 31, "c16g1": 62, "c24g1": 93, "c40g1": 155, "c24g1x2": 186, "c24g1x4": 372}),
    "gn6v": ("V100", {"c8g1": 32}),
    "gn6e": ("V100", {"c12g1": 92}),
    "gn7i": ("A10", {"c8g1": 30, "c16g1": 60, "c32g1": 188}),
    "gn7": ("A100", {"c12g1": 94}),
}
"""GiB of a machine with one GPU, by family and shape."""


def _aliyun(name: str) -> MachineType | None:
    parts = re.fullmatch(r"ecs\.([^.-]+)(?:-([^.]+))?\.([^.]+)", name)
    if not parts:
        return None
    family, shape, cpus = parts[1], parts[2] or "", _aliyun_cpus(parts[3])
    if family in _ALIYUN_GPUS:
        return _aliyun_gpu(family, shape, cpus)
    if told := re.fullmatch(r"c(\d+)m(\d+)", shape):  # the family says how many GiB for how many CPUs
        return _made(cpus, cpus * int(told[2]) / int(told[1])) if cpus else None
    plain = family if family in ("sn1", "sn2", "se1", "n4", "mn4", "e4") else re.sub(r"\d+[a-z]*$", "", family)
    for pattern, gib in _ALIYUN_RATIOS:
        if cpus and not shape and (re.fullmatch(pattern, family) or re.fullmatch(pattern, plain)):
            return _made(cpus, gib * cpus)
    return None


def _aliyun_cpus(size: str) -> int | None:
    if size in ("small", "medium"):
        return 1 if size == "small" else None  # medium has 1 or 2, as the family likes
    if size == "large":
        return 2
    number = re.fullmatch(r"(\d*)xlarge", size)
    return 4 * int(number[1] or 1) if number else None


def _aliyun_gpu(family: str, shape: str, cpus: int | None) -> MachineType | None:
    accelerator, shapes = _ALIYUN_GPUS[family]
    told = re.fullmatch(r"c(\d+)g(\d+)", shape)
    if not told or not cpus or shape not in shapes or cpus % int(told[1]):
        return None
    times = cpus // int(told[1])
    return _made(cpus, shapes[shape] * times, int(told[2]) * times, accelerator)


RULES_DAY: Final = "2026-11-23"
"""The day that the rules below and above were written down."""
RULES: Final[Mapping[str, Callable[[str], MachineType | None]]] = {
    "aws": _aws,
    "gcp": _gcp,
    "azure": _azure,
    "aliyun": _aliyun,
}
