"""What to ask the cloud for: a pool's words in the file -> parameters of RunInstances. Pure.

`node_config` has the API's own names (`InstanceType`, `SystemDisk: {Category, Size}`, `SpotStrategy` ...), some of them
also without the dot (`SystemDiskCategory`), and what Ray's example has from EC2 (`BlockDeviceMappings`,
`InstanceMarketOptions`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rayfleet.contracts import Denied, LaunchRequest, TypeConfig
from rayfleet.model import Market

INSTANCE_TYPE: Final = "ecs.g7.xlarge"
"""Where a file names none: 4 CPUs, 16 GiB. As of 2026-11."""
IMAGE_BEGINNING: Final = "ubuntu_24_04_"
"""Where a file names no image: the cloud's newest of these that fits the machine. As of 2026-11."""
BANDWIDTH_MBIT: Final = 5
"""To the internet, paid by traffic, where a file does not say; 0: no public address."""
BATCH_MAX: Final = 100
"""Machines of one call."""
PRICE_DIGITS: Final = 3

_ROOT_DEVICES: Final = ("/dev/sda1", "/dev/sda", "/dev/vda", "/dev/xvda")
_OURS: Final = ("Amount", "MinAmount", "ClientToken", "RegionId", "UserData", "DryRun")
"""Parameters that no file may set: they are how machines are counted, found again and started."""
_OTHERS: Final = ("BlockDeviceMappings", "InstanceMarketOptions", "VSwitchIds", "ZoneId")


def instance_type(config: TypeConfig) -> str:
    """Return the kind of machine that a file names, or the default."""
    return str(config.node_config.get("InstanceType") or config.instance_type or INSTANCE_TYPE)


def wants_spot(config: TypeConfig) -> bool:
    """Say whether the pool's words ask for spot machines."""
    words = config.node_config
    if str(words.get("SpotStrategy") or "NoSpot") != "NoSpot":
        return True
    market = words.get("InstanceMarketOptions") or {}
    return config.spot_max_usd_per_hour is not None or market.get("MarketType") == "spot"


def parameters(config: TypeConfig, market: Market | None, currency_per_usd: float, *, internal: bool) -> dict[str, Any]:
    """Return what is asked of one machine of the pool, without network, tags and start.

    Raises:
        Denied: the file asks for something that cannot be.
    """
    words = {name: value for name, value in config.node_config.items() if value is not None}
    ours = [name for name in _OURS if name in words]
    if ours:
        raise Denied(f"node_config may not set {', '.join(ours)}: rayfleet does")
    asked = {name: value for name, value in _plain(words).items() if name not in _OTHERS}
    if not has_template(asked):
        asked["InstanceType"] = instance_type(config)
        asked.setdefault("InstanceChargeType", "PostPaid")
        asked.setdefault("InternetMaxBandwidthOut", 0 if internal else BANDWIDTH_MBIT)
    elif config.instance_type:
        asked["InstanceType"] = config.instance_type
    if asked.get("InternetMaxBandwidthOut"):
        asked.setdefault("InternetChargeType", "PayByTraffic")
    _disks(asked, words.get("BlockDeviceMappings") or ())
    return asked | _spot(config, asked, market, currency_per_usd)


def has_template(asked: Mapping[str, Any]) -> bool:
    """Say whether a launch template says what the file does not, so that there are no defaults of ours."""
    return bool(asked.get("LaunchTemplateId") or asked.get("LaunchTemplateName"))


def tokens(cluster: str, region: str, request: LaunchRequest) -> Iterator[tuple[str, int]]:
    """Yield a client token and a number of machines for every call that the request takes.

    The token follows from cluster and batch, so that the same batch again is the same call to the cloud. The region is
    part of it because a cluster of that name may exist in another one.
    """
    left, number = len(request.claims) * request.hosts, 0
    while left > 0:
        word = "\0".join((cluster, region, request.batch, str(number)))
        yield hashlib.sha256(word.encode()).hexdigest(), min(left, BATCH_MAX)
        left, number = left - BATCH_MAX, number + 1


def _plain(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words as the API has them: `SystemDiskSize` is `SystemDisk: {Size}`, one group is a list of one."""
    asked: dict[str, Any] = {}
    for name, value in words.items():
        part = name.removeprefix("SystemDisk").removeprefix(".")
        if name.startswith("SystemDisk") and part:
            asked.setdefault("SystemDisk", {})[part] = value
        elif name == "SystemDisk":
            asked["SystemDisk"] = {**value, **asked.get("SystemDisk", {})}
        elif name == "SecurityGroupId":
            asked["SecurityGroupIds"] = [value]
        else:
            asked[name] = value
    return asked


def _disks(asked: dict[str, Any], mappings: Any) -> None:
    """Add the disks that are written as for EC2: the root device is the system disk, others are data disks."""
    for mapping in mappings:
        disk = mapping.get("Ebs") or {}
        size, kind = disk.get("VolumeSize"), disk.get("VolumeType")
        if kind is not None and not str(kind).startswith("cloud"):
            raise Denied(f"BlockDeviceMappings: there is no VolumeType {kind} here; cloud_essd and cloud_auto are some")
        said = {name: value for name, value in (("Size", size), ("Category", kind)) if value is not None}
        if mapping.get("DeviceName") in (*_ROOT_DEVICES, None):
            asked["SystemDisk"] = {**said, **asked.get("SystemDisk", {})}
        else:
            asked["DataDisk"] = [*asked.get("DataDisk", []), {**said, "Device": mapping["DeviceName"]}]
    if "Size" in asked.get("SystemDisk", {}):
        asked["SystemDisk"]["Size"] = str(asked["SystemDisk"]["Size"])


def _spot(config: TypeConfig, asked: dict[str, Any], market: Market | None, currency_per_usd: float) -> dict[str, Any]:
    """Return how it is paid. The offer's market decides; where it has none, the file's words do."""
    limit, strategy = asked.pop("SpotPriceLimit", None), asked.pop("SpotStrategy", None)
    if market not in (Market.SPOT, None) or (market is None and not wants_spot(config)):
        return {} if market is None and has_template(asked) else {"SpotStrategy": "NoSpot"}
    if config.spot_max_usd_per_hour is not None:
        limit = round(config.spot_max_usd_per_hour * currency_per_usd, PRICE_DIGITS)
    if limit is None or strategy == "SpotAsPriceGo":
        return {"SpotStrategy": "SpotAsPriceGo"}
    return {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": float(limit)}
