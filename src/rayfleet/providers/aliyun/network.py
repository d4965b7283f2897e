"""Where machines are put: VPC, vSwitch, security group and key pair, found or made once and remembered.

Everything that is made has a fixed name and a client token, so that two controllers make it once. It costs nothing, and
stays when the cluster goes: other clusters use it.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from rayfleet.contracts import Denied, Login
from rayfleet.providers.aliyun.client import EcsClient
from rayfleet.providers.aliyun.errors import ApiError
from rayfleet.providers.aliyun.order import IMAGE_BEGINNING
from rayfleet.providers.aliyun.settings import Settings

NAME: Final = "rayfleet"
VPC_BLOCK: Final = "172.16.0.0/12"
PREFIX: Final = 20
"""Of a vSwitch that is made: about 4,000 machines."""
PAGE: Final = 50
LOOKS: Final = 15
"""A VPC or vSwitch that was made is available within seconds; so often it is looked for."""


class Network:
    """What is known of the account's network."""

    def __init__(self, client: EcsClient, settings: Settings, cluster: str, login: Login, pause_s: float) -> None:
        """Know nothing yet. `pause_s`: between two looks at something that is being made."""
        self._client = client
        self._settings = settings
        self._cluster = cluster
        self._login = login
        self._pause_s = pause_s
        self._lock = asyncio.Lock()
        self.forget()

    def forget(self) -> None:
        """Look everything up anew next time: something of it may have been removed."""
        self._switches: dict[str, dict[str, Any]] = {}
        self._groups: tuple[str, ...] = ()
        self._vpc = ""
        self._made_vpc = ""
        self._images: dict[str, str] = {}
        self._keys: set[str] = set()

    async def switch(self, zone: str | None) -> str:
        """Return the vSwitch for a zone; None: the first of the file."""
        async with self._lock:
            wanted = zone or next(iter(self._settings.zone_id), "")
            if self._settings.v_switch_id:
                return await self._given_switch(wanted)
            if not wanted:
                raise Denied("provider.zone_id is required, such as cn-hangzhou-b, where no v_switch_id is given")
            if wanted not in self._switches:
                self._switches[wanted] = await self._zone_switch(wanted)
            return str(self._switches[wanted]["VSwitchId"])

    async def groups(self) -> tuple[str, ...]:
        """Return the security groups."""
        async with self._lock:
            if not self._groups:
                self._groups = self._settings.security_group_id or (await self._own_group(),)
            return self._groups

    async def image(self, instance_type: str) -> str:
        """Return the newest default image that a kind of machine can start."""
        async with self._lock:
            if instance_type not in self._images:
                self._images[instance_type] = await self._newest(instance_type)
            return self._images[instance_type]

    async def key_pair(self, name: str) -> None:
        """Make a key pair of that name of the login's public key, unless there is one."""
        async with self._lock:
            if name not in self._keys:
                await self._import_key(name)
                self._keys.add(name)

    async def _given_switch(self, zone: str) -> str:
        for switch_id in self._settings.v_switch_id:
            if switch_id not in self._switches:
                rows = await self._rows("DescribeVSwitches", "VSwitches", "VSwitch", VSwitchId=switch_id)
                if not rows:
                    raise Denied(f"InvalidVSwitchId.NotFound: there is no vSwitch {switch_id}")
                self._switches[switch_id] = rows[0]
            if zone in ("", self._switches[switch_id]["ZoneId"]):
                return switch_id
        raise Denied(f"none of v_switch_id {', '.join(self._settings.v_switch_id)} is in zone {zone}")

    async def _zone_switch(self, zone: str) -> dict[str, Any]:
        """Return our vSwitch of a zone, or any of the user's VPC; make one where there is none."""
        vpc = await self._vpc_row()
        new = vpc["VpcId"] == self._made_vpc and not self._switches
        rows = [] if new else await self._rows("DescribeVSwitches", "VSwitches", "VSwitch", VpcId=vpc["VpcId"])
        here = [row for row in rows if row["ZoneId"] == zone]
        if here:
            return min(here, key=lambda row: (not str(row.get("VSwitchName")).startswith(NAME), row["VSwitchId"]))
        taken = [row["CidrBlock"] for row in rows]
        block = free_block(vpc.get("CidrBlock") or VPC_BLOCK, taken, self._settings.cidr_block)
        made = await self._client.call(
            "CreateVSwitch",
            RegionId=self._settings.region,
            VpcId=vpc["VpcId"],
            ZoneId=zone,
            CidrBlock=block,
            VSwitchName=f"{NAME}-{zone}",
            ClientToken=_token("vswitch", vpc["VpcId"], zone, block),
        )
        return await self._available("DescribeVSwitches", "VSwitches", "VSwitch", VSwitchId=made["VSwitchId"])

    async def _vpc_row(self) -> dict[str, Any]:
        settings = self._settings
        if settings.vpc_id:
            rows = await self._rows("DescribeVpcs", "Vpcs", "Vpc", VpcId=settings.vpc_id)
            if not rows:
                raise Denied(f"InvalidVpcId.NotFound: there is no VPC {settings.vpc_id}")
            self._vpc = settings.vpc_id
            return rows[0]
        rows = [row for row in await self._rows("DescribeVpcs", "Vpcs", "Vpc") if row.get("VpcName") == NAME]
        if rows:
            row = min(rows, key=lambda vpc: str(vpc["VpcId"]))
            self._vpc = row["VpcId"]
            if row.get("Status") == "Available":
                return row
        else:
            made = await self._client.call(
                "CreateVpc",
                RegionId=settings.region,
                CidrBlock=VPC_BLOCK,
                VpcName=NAME,
                ClientToken=_token("vpc", settings.region),
            )
            row = {"VpcId": made["VpcId"]}
            self._vpc = self._made_vpc = row["VpcId"]
        return await self._available("DescribeVpcs", "Vpcs", "Vpc", VpcId=row["VpcId"])

    async def _own_group(self) -> str:
        """Return the cluster's group; one that was left without rules is given them."""
        name = f"{NAME}-{self._cluster}"
        vpc = self._vpc or next((s["VpcId"] for s in self._switches.values()), "") or (await self._vpc_row())["VpcId"]
        asked = {"VpcId": vpc, "SecurityGroupName": name}
        new = vpc == self._made_vpc
        rows = [] if new else await self._rows("DescribeSecurityGroups", "SecurityGroups", "SecurityGroup", **asked)
        region = self._settings.region
        if rows:
            group = min(str(row["SecurityGroupId"]) for row in rows)
            known = await self._client.call("DescribeSecurityGroupAttribute", RegionId=region, SecurityGroupId=group)
            if (known.get("Permissions") or {}).get("Permission"):
                return group
        else:
            token = _token("group", vpc, name)
            made = await self._client.call(
                "CreateSecurityGroup", RegionId=region, VpcId=vpc, SecurityGroupName=name, ClientToken=token
            )
            group = str(made["SecurityGroupId"])
        rules = [
            {"IpProtocol": rule.ip_protocol, "PortRange": rule.port_range, "SourceCidrIp": rule.source_cidr_ip}
            for rule in self._settings.security_group_rule
        ]
        if rules:
            await self._client.call("AuthorizeSecurityGroup", RegionId=region, SecurityGroupId=group, Permissions=rules)
        return group

    async def _newest(self, instance_type: str) -> str:
        asked = {"ImageOwnerAlias": "system", "OSType": "linux", "InstanceType": instance_type}
        rows = await self._rows("DescribeImages", "Images", "Image", **asked)
        ours = [row for row in rows if str(row["ImageId"]).startswith(IMAGE_BEGINNING)]
        if not ours:
            raise Denied(
                f"there is no image {IMAGE_BEGINNING}... for {instance_type} in {self._settings.region}: "
                "name one as ImageId in node_config"
            )
        return str(max(ours, key=lambda row: (row.get("CreationTime") or "", row["ImageId"]))["ImageId"])

    async def _import_key(self, name: str) -> None:
        region = self._settings.region
        rows = await self._rows("DescribeKeyPairs", "KeyPairs", "KeyPair", KeyPairName=name)
        if rows:
            return
        if not self._login.public_key:
            raise Denied(f"there is no key pair {name}, and no public key in auth to make it of")
        try:
            await self._client.call(
                "ImportKeyPair", RegionId=region, KeyPairName=name, PublicKeyBody=self._login.public_key
            )
        except ApiError as error:
            if error.code != "KeyPair.AlreadyExist":  # another controller was quicker
                raise

    async def _available(self, action: str, outer: str, inner: str, **asked: str) -> dict[str, Any]:
        """Return the row of what was made, once it can be used."""
        for _ in range(LOOKS):
            rows = await self._rows(action, outer, inner, **asked)
            if rows and rows[0].get("Status") == "Available":
                return rows[0]
            await asyncio.sleep(self._pause_s)
        raise ApiError("IncorrectVpcStatus", f"{', '.join(asked.values())} is still being made")

    async def _rows(self, action: str, outer: str, inner: str, **asked: str) -> list[dict[str, Any]]:
        return [row async for row in self._pages(action, outer, inner, asked)]

    async def _pages(self, action: str, outer: str, inner: str, asked: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        seen, number = 0, 1
        while True:
            body = await self._client.call(
                action, RegionId=self._settings.region, PageNumber=number, PageSize=PAGE, **asked
            )
            rows = (body.get(outer) or {}).get(inner) or []
            for row in rows:
                yield row
            seen, number = seen + len(rows), number + 1
            if not rows or seen >= (body.get("TotalCount") or 0):
                return


def free_block(vpc: str, taken: Iterable[str], wanted: str | None) -> str:
    """Return addresses for a new vSwitch that nobody has: those that are wanted, or the next in the VPC.

    Raises:
        Denied: the VPC has none left.
    """
    others = [ipaddress.ip_network(block, strict=False) for block in taken]
    whole = ipaddress.IPv4Network(vpc, strict=False)
    choices = [ipaddress.ip_network(wanted, strict=False)] if wanted else []
    for block in (*choices, *whole.subnets(new_prefix=max(PREFIX, whole.prefixlen))):
        if not any(block.overlaps(other) for other in others):
            return str(block)
    raise Denied(f"the VPC has no addresses left for another vSwitch in {vpc}")


def _token(*words: str) -> str:
    return hashlib.sha256("\0".join((NAME, *words)).encode()).hexdigest()
