"""What machines stand on: subnets, a security group, the head's role. Found or made once, then remembered.

Every step may be done by several at once, and again: who comes second is told that it exists, and goes on with that.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from rayfleet.contracts import Denied, Flaky, ProviderError
from rayfleet.providers.aws.client import Client
from rayfleet.providers.aws.memory import Memory
from rayfleet.providers.aws.order import Ground
from rayfleet.providers.aws.rights import head_policy
from rayfleet.providers.aws.settings import Settings

PROFILE: Final = "rayfleet-head"
_TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
_ADVICE: Final = (
    ": it has to be reached from elsewhere, so a subnet has to give public addresses (MapPublicIpOnLaunch), "
    "or set provider.use_internal_ips"
)
_SSH: Final = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


class Surveyor:
    """Finds or makes the ground of pools."""

    def __init__(self, client: Client, memory: Memory, settings: Settings, cluster: str) -> None:
        """Take the client and where to remember; no call is made."""
        self._client = client
        self._memory = memory
        self._settings = settings
        self._cluster = cluster
        self._lock = asyncio.Lock()

    async def ground(self, node: Mapping[str, Any], *, head: bool) -> Ground:
        """Return where machines of a pool with this `node_config` are put.

        Raises:
            Denied: there is no subnet of the kind that is wanted, or a call is not allowed.
            Flaky: ask again; what is done already is not done twice.
        """
        async with self._lock:
            template = await self._template(node.get("LaunchTemplate"))
            known = {**template, **node}
            profile = "" if not head or "IamInstanceProfile" in known else await self._once(self._profile, "profile")
            if "NetworkInterfaces" in known:
                _check_interfaces(known["NetworkInterfaces"])
                return Ground((), (), template, profile)
            given = list(known.get("SecurityGroupIds") or ())
            names = known.get("SecurityGroups")
            vpc = await self._once(self._vpc_of, "vpc", given) if given else None
            wanted = list(known.get("SubnetIds") or ([known["SubnetId"]] if "SubnetId" in known else ()))
            settings = self._settings
            key = ("subnets", wanted, settings.zones, vpc, settings.use_internal_ips)
            subnets = await self._once(lambda *_: self._subnets(wanted, vpc), *key)
            groups = given if given or names else [await self._once(self._group, "group", subnets["vpc"])]
            private = [subnet for subnet, _, public in subnets["subnets"] if not public]
            if head and private and not settings.use_internal_ips:
                raise Denied(f"subnet {private[0]} gives the head no public address{_ADVICE}")
            found = tuple((subnet, zone) for subnet, zone, _ in subnets["subnets"])
            return Ground(found, () if given else tuple(groups or ()), template, profile)

    async def _once(self, make: Callable[..., Awaitable[Any]], name: str, *key: Any) -> Any:
        """Return what is remembered, else make it and remember."""
        region, endpoint = self._settings.region, self._settings.endpoint_url
        known = self._memory.known(region, endpoint, name, *key)
        if known is None:
            known = await make(*key)
            self._memory.keep(known, region, endpoint, name, *key)
        return known

    # ---- what is only looked up ----

    async def _template(self, named: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return what a launch template says, so that nothing of it is overridden by a default of ours."""
        if not named:
            return {}
        # Not remembered: `$Latest` is another one tomorrow, and a call for each launch is cheap.
        wanted = {key: value for key, value in named.items() if key != "Version"}
        version = str(named.get("Version", "$Default"))
        answer = await self._client.call("ec2", "describe_launch_template_versions", {**wanted, "Versions": [version]})
        versions = answer["LaunchTemplateVersions"]
        if len(versions) != 1:
            raise Denied(f"launch template {dict(named)} has {len(versions)} versions of that name, not one")
        data: dict[str, Any] = versions[0]["LaunchTemplateData"]
        if "UserData" in data:
            data["UserData"] = base64.b64decode(data["UserData"]).decode()
        return data

    async def _vpc_of(self, groups: list[str]) -> str:
        """Return the network of security groups."""
        answer = await self._client.call("ec2", "describe_security_groups", {"GroupIds": groups})
        vpcs = {group["VpcId"] for group in answer["SecurityGroups"]}
        if len(vpcs) != 1:
            raise Denied(f"security groups {', '.join(groups)} are in {len(vpcs)} networks; they have to share one")
        return str(vpcs.pop())

    async def _subnets(self, wanted: list[str], vpc: str | None) -> dict[str, Any]:
        """Return subnets of one network in the order in which they are tried."""
        parameters: dict[str, Any] = {"SubnetIds": wanted} if wanted else {}
        filters = {"vpc-id": [vpc] if vpc else [], "availability-zone": list(self._settings.zones), "state": []}
        given = [{"Name": name, "Values": values} for name, values in filters.items() if values]
        if given:
            parameters["Filters"] = given
        answer = await self._client.call("ec2", "describe_subnets", parameters)
        return self._chosen(answer["Subnets"], wanted)

    def _chosen(self, rows: list[dict[str, Any]], wanted: list[str]) -> dict[str, Any]:
        usable = [
            row
            for row in rows
            if row["State"] == "available" and (row["MapPublicIpOnLaunch"] or self._settings.use_internal_ips or wanted)
        ]
        missing = set(wanted) - {row["SubnetId"] for row in usable}
        zones = self._settings.zones
        if missing or not usable:
            where = f"zone {', '.join(zones)}" if zones else f"region {self._settings.region}"
            which = f"subnet {', '.join(sorted(missing))} is not available" if missing else "there is no usable subnet"
            advice = "" if missing or self._settings.use_internal_ips else _ADVICE
            raise Denied(f"{which} in {where}{advice}")
        usable.sort(key=lambda row: (*_rank(zones, row), row["SubnetId"]))
        network = min(usable, key=lambda row: not row.get("DefaultForAz"))["VpcId"]
        mine = [
            (row["SubnetId"], row["AvailabilityZone"], row["MapPublicIpOnLaunch"])
            for row in usable
            if row["VpcId"] == network
        ]
        if wanted and len(mine) < len(wanted):
            raise Denied(f"subnets {', '.join(wanted)} are in several networks; they have to share one")
        return {"vpc": network, "subnets": mine}

    # ---- what is made ----

    async def _group(self, vpc: str) -> str:
        """Return the cluster's security group: SSH from anywhere, everything within, and the file's own rules."""
        asked = self._settings.security_group
        name = asked.GroupName or f"rayfleet-{self._cluster}"
        row = await self._made_group(name, vpc)
        if not row.get("IpPermissions"):
            group = row["GroupId"]
            within = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
            rules = [within, _SSH, *asked.IpPermissions]
            parameters = {"GroupId": group, "IpPermissions": rules}
            code = "InvalidPermission.Duplicate"
            await self._tolerant(
                "ec2", "authorize_security_group_ingress", parameters, code, new="InvalidGroup.NotFound"
            )
        return str(row["GroupId"])

    async def _group_named(self, name: str, vpc: str) -> dict[str, Any] | None:
        filters = [{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
        answer = await self._client.call("ec2", "describe_security_groups", {"Filters": filters})
        found: dict[str, Any] | None = next(iter(answer["SecurityGroups"]), None)
        return found

    async def _made_group(self, name: str, vpc: str) -> dict[str, Any]:
        tags = [{"Key": "rayfleet-cluster", "Value": self._cluster}]
        parameters = {
            "GroupName": name,
            "VpcId": vpc,
            "Description": f"Machines of rayfleet cluster {self._cluster}",
            "TagSpecifications": [{"ResourceType": "security-group", "Tags": tags}],
        }
        try:  # to make it first is one call less: a new cluster does not have it yet
            return await self._client.call("ec2", "create_security_group", parameters)
        except Denied:  # it exists, or we may not make one but somebody has made it for us
            row = await self._group_named(name, vpc)
            if row is None:
                raise
            return row

    async def _profile(self) -> str:
        """Return the head's instance profile, with a role that may do what the controller does."""
        name = {"InstanceProfileName": PROFILE}
        found = await self._tolerant("iam", "get_instance_profile", name, "NoSuchEntity")
        if found and found["InstanceProfile"]["Roles"]:
            return PROFILE
        if not found:
            await self._tolerant("iam", "create_instance_profile", name, "EntityAlreadyExists")
        trust = {"RoleName": PROFILE, "AssumeRolePolicyDocument": json.dumps(_TRUST)}
        await self._tolerant("iam", "create_role", trust, "EntityAlreadyExists")
        policy = {"RoleName": PROFILE, "PolicyName": PROFILE, "PolicyDocument": json.dumps(head_policy())}
        await self._tolerant("iam", "put_role_policy", policy, "", new="NoSuchEntity")
        both = {**name, "RoleName": PROFILE}
        await self._tolerant("iam", "add_role_to_instance_profile", both, "LimitExceeded", new="NoSuchEntity")
        return PROFILE

    async def _tolerant(
        self, service: str, method: str, parameters: dict[str, Any], code: str, new: str = ""
    ) -> dict[str, Any] | None:
        """Make a call; None when it ended in the code by which the cloud says that there is nothing to be done.

        `new`: the code of a thing that was made a moment ago and is not known everywhere yet: Flaky.
        """
        try:
            return await self._client.call(service, method, parameters)
        except ProviderError as error:
            found = str(error).partition(":")[0]
            if found == code:
                return None
            if found == new:
                raise Flaky(str(error)) from error
            raise


def _rank(zones: tuple[str, ...], row: Mapping[str, Any]) -> tuple[int, str]:
    zone = row["AvailabilityZone"]
    return zones.index(zone) if zone in zones else len(zones), zone


def _check_interfaces(interfaces: list[Mapping[str, Any]]) -> None:
    for each in interfaces:
        if "NetworkInterfaceId" not in each and not (each.get("SubnetId") and each.get("Groups")):
            raise Denied("every entry of NetworkInterfaces needs SubnetId and Groups, or a NetworkInterfaceId")
