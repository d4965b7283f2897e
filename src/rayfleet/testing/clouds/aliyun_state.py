"""What there is at the pretended Alibaba Cloud, and what its network calls do.

Machines get on by being looked at, as often as `looks_to_run` says: no time passes here.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rayfleet.testing.clouds.aliyun_wire import Refused

REGION = "cn-hangzhou"
ZONES = ("cn-hangzhou-b", "cn-hangzhou-h", "cn-hangzhou-i")
TYPES: dict[str, tuple[int, float, int]] = {
    "ecs.n4.large": (2, 4.0, 0),
    "ecs.n4.2xlarge": (8, 16.0, 0),
    "ecs.g7.large": (2, 8.0, 0),
    "ecs.g7.xlarge": (4, 16.0, 0),
    "ecs.gn6i-c4g1.xlarge": (4, 15.0, 1),
}
"""CPUs, GiB of memory and GPUs by type."""
IMAGES: dict[str, str] = {
    "ubuntu_24_04_x64_20G_alibase_20240812.vhd": "2024-08-13T01:00:00Z",
    "ubuntu_24_04_x64_20G_alibase_20260915.vhd": "2026-09-16T01:00:00Z",
    "ubuntu_18_04_64_20G_alibase_20190624.vhd": "2019-06-25T01:00:00Z",
    "ubuntu_20_04_x64_20G_alibase_20210420.vhd": "2021-04-21T01:00:00Z",
}
"""When each was made."""
PAGE_MAX = 100


@dataclass(slots=True)
class Instance:
    """A machine. `looks`: how often it was described; `public` "" without bandwidth to the internet."""

    id: str
    zone: str
    instance_type: str
    tags: dict[str, str]
    user_data: str
    asked: Any
    status: str = "Pending"
    internal: str = ""
    public: str = ""
    locked: str = ""
    looks: int = 0
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()))


@dataclass(slots=True)
class Network:
    """A VPC, a vSwitch or a security group: `fields` as answers have them, by id."""

    vpcs: dict[str, dict[str, Any]] = field(default_factory=dict)
    vswitches: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    key_pairs: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def create_vpc(self, asked: Any) -> dict[str, Any]:
        """Make a VPC, Pending until it is looked at."""
        made = self._made("vpc", asked.client_token)
        cidr = asked.cidr_block or "172.16.0.0/12"
        fields = {"VpcId": made, "VpcName": asked.vpc_name or "", "CidrBlock": cidr, "Status": "Pending"}
        self.vpcs.setdefault(made, fields)
        return {"VpcId": made, "RouteTableId": f"vtb-{made}", "VRouterId": f"vrt-{made}"}

    def describe_vpcs(self, asked: Any) -> dict[str, Any]:
        """List VPCs, one or all; each is Available from its second listing on."""
        found = [vpc for vpc in self.vpcs.values() if asked.vpc_id in (None, vpc["VpcId"])]
        return _page("Vpcs", "Vpc", _then_available(found), asked)

    def create_v_switch(self, asked: Any) -> dict[str, Any]:
        """Make a vSwitch in a zone of a VPC that is Available."""
        vpc = self.vpcs.get(asked.vpc_id)
        if vpc is None:
            raise Refused("InvalidVpcId.NotFound", "the VPC does not exist", 404)
        if vpc["Status"] != "Available":
            raise Refused("IncorrectVpcStatus", "the VPC is not available yet")
        if asked.zone_id not in ZONES:
            raise Refused("InvalidZoneId.NotFound", "the zone does not exist", 404)
        made = self._made("vsw", asked.client_token)
        others = [v for v in self.vswitches.values() if v["VpcId"] == asked.vpc_id and v["VSwitchId"] != made]
        if any(other["CidrBlock"] == asked.cidr_block for other in others):
            raise Refused("InvalidCidrBlock.Overlapped", "overlaps with another vSwitch")
        fields = {"VSwitchId": made, "VpcId": asked.vpc_id, "ZoneId": asked.zone_id, "CidrBlock": asked.cidr_block}
        more = {"VSwitchName": asked.v_switch_name or "", "Status": "Pending", "AvailableIpAddressCount": 4000}
        self.vswitches.setdefault(made, {**fields, **more})
        return {"VSwitchId": made}

    def describe_v_switches(self, asked: Any) -> dict[str, Any]:
        """List the vSwitches of a VPC or a zone, or one."""
        wanted = {"VSwitchId": asked.v_switch_id, "VpcId": asked.vpc_id, "ZoneId": asked.zone_id}
        found = [v for v in self.vswitches.values() if all(x in (None, v[name]) for name, x in wanted.items())]
        return _page("VSwitches", "VSwitch", _then_available(found), asked)

    def create_security_group(self, asked: Any) -> dict[str, Any]:
        """Make a security group without rules."""
        if asked.vpc_id not in self.vpcs:
            raise Refused("InvalidVpcId.NotFound", "the VPC does not exist", 404)
        made = self._made("sg", asked.client_token)
        name = asked.security_group_name or ""
        self.groups.setdefault(made, {"SecurityGroupId": made, "SecurityGroupName": name, "VpcId": asked.vpc_id})
        self.rules.setdefault(made, [])
        return {"SecurityGroupId": made}

    def describe_security_groups(self, asked: Any) -> dict[str, Any]:
        """List the security groups of a VPC, of a name, or all."""
        wanted = {"VpcId": asked.vpc_id, "SecurityGroupName": asked.security_group_name}
        found = [g for g in self.groups.values() if all(x in (None, g[name]) for name, x in wanted.items())]
        return _page("SecurityGroups", "SecurityGroup", found, asked)

    def describe_security_group_attribute(self, asked: Any) -> dict[str, Any]:
        """Return the rules of a group."""
        self._group(asked.security_group_id)
        rules = self.rules[asked.security_group_id]
        return {"SecurityGroupId": asked.security_group_id, "Permissions": {"Permission": rules}}

    def authorize_security_group(self, asked: Any) -> dict[str, Any]:
        """Add rules to a group, all or none; one that is there already changes nothing."""
        self._group(asked.security_group_id)
        for rule in asked.permissions or ():
            known = {"IpProtocol": rule.ip_protocol, "PortRange": rule.port_range, "SourceCidrIp": rule.source_cidr_ip}
            if not all(known.values()):
                raise Refused("MissingParameter", "a rule needs protocol, ports and source")
            if known not in self.rules[asked.security_group_id]:
                self.rules[asked.security_group_id].append(known)
        return {}

    def import_key_pair(self, asked: Any) -> dict[str, Any]:
        """Keep a public key under a name that is free."""
        if asked.key_pair_name in self.key_pairs:
            raise Refused("KeyPair.AlreadyExist", "there is a key pair of that name")
        self.key_pairs[asked.key_pair_name] = asked.public_key_body
        return {"KeyPairName": asked.key_pair_name}

    def describe_key_pairs(self, asked: Any) -> dict[str, Any]:
        """List the key pairs of a name, or all."""
        found = [{"KeyPairName": name} for name in self.key_pairs if asked.key_pair_name in (None, name)]
        return _page("KeyPairs", "KeyPair", found, asked)

    def _made(self, word: str, token: str | None) -> str:
        """Return a new id, or that of the first call with the same client token."""
        new = f"{word}-{next(self._numbers):08d}"
        return self.tokens.setdefault(f"{word}/{token}", new) if token else new

    def _group(self, group_id: str) -> None:
        if group_id not in self.groups:
            raise Refused("InvalidSecurityGroupId.NotFound", "the security group does not exist", 404)


def describe_images(asked: Any) -> dict[str, Any]:
    """List the public images, in no order, or one."""
    found = [
        {"ImageId": name, "ImageName": name, "CreationTime": made, "Status": "Available", "ImageOwnerAlias": "system"}
        for name, made in IMAGES.items()
        if asked.image_id in (None, name)
    ]
    return _page("Images", "Image", found, asked)


def describe_instance_types(asked: Any) -> dict[str, Any]:
    """Say what the asked types have, or all."""
    rows = [
        {"InstanceTypeId": name, "CpuCoreCount": cpus, "MemorySize": memory, "GPUAmount": gpus}
        for name, (cpus, memory, gpus) in TYPES.items()
        if not asked.instance_types or name in asked.instance_types
    ]
    return {"InstanceTypes": {"InstanceType": rows}}


def described(instance: Instance, region: str) -> dict[str, Any]:
    """Return a machine as DescribeInstances has it."""
    asked = instance.asked
    locks = [{"LockReason": instance.locked}] if instance.locked else []
    return {
        "InstanceId": instance.id,
        "Status": instance.status,
        "RegionId": region,
        "ZoneId": instance.zone,
        "InstanceType": instance.instance_type,
        "CreationTime": instance.created,
        "SpotStrategy": asked.spot_strategy or "NoSpot",
        "Tags": {"Tag": [{"TagKey": key, "TagValue": value} for key, value in instance.tags.items()]},
        "VpcAttributes": {
            "VSwitchId": asked.v_switch_id,
            "PrivateIpAddress": {"IpAddress": [instance.internal] if instance.internal else []},
        },
        "PublicIpAddress": {"IpAddress": [instance.public] if instance.public else []},
        "OperationLocks": {"LockReason": locks},
    }


def _then_available(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seen = [dict(fields) for fields in found]
    for fields in found:
        fields["Status"] = "Available"
    return seen


def _page(outer: str, inner: str, found: Iterable[dict[str, Any]], asked: Any) -> dict[str, Any]:
    """Return one page of rows, with the total count."""
    rows, number, size = list(found), asked.page_number or 1, asked.page_size or 10
    if size > PAGE_MAX:
        raise Refused("InvalidParameter", f"PageSize is {PAGE_MAX} at most")
    shown = rows[(number - 1) * size : number * size]
    return {outer: {inner: shown}, "TotalCount": len(rows), "PageNumber": number, "PageSize": size}
