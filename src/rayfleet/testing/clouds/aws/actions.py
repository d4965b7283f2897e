"""EC2's actions on instances: parameters as boto3 has them in, an answer as boto3 will have it out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from rayfleet.testing.clouds.aws.fleet import Fleet
from rayfleet.testing.clouds.aws.instances import STATE_CODES, Account, AwsError, Instance
from rayfleet.testing.clouds.aws.surroundings import Surroundings
from rayfleet.testing.clouds.aws.xml import operation

_PAGE: Final = 1000
_USER_DATA_BYTES: Final = 16384
ELSEWHERE: Final = ("RequestSpotInstances", "RequestSpotFleet", "ModifyInstanceAttribute")
"""Actions that would make or change instances of moto's, which nobody would see: refused."""


@dataclass(slots=True)
class Actions:
    """The actions. `at` is the time of the request, as its client has it."""

    account: Account
    around: Surroundings
    tokens: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        """Say whether instances are meant."""
        return name in _ACTIONS or name in ELSEWHERE

    def do(self, name: str, given: dict[str, Any], at: str) -> dict[str, Any]:
        """Carry out one action.

        Raises:
            AwsError: as the cloud would.
        """
        if name in ELSEWHERE:
            raise AwsError("NotEmulated", f"this emulator has no {name}", 501)
        if given.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        return _ACTIONS[name](self, given, at)

    def run(self, given: dict[str, Any], at: str) -> dict[str, Any]:
        """RunInstances: at least MinCount, at most MaxCount, once for each ClientToken."""
        ids = self._before(given)
        if ids is not None:
            made = [self.account.instances[each] for each in ids]
        else:
            made = self._make(given, at)
            self._keep(given, [each.id for each in made])
        return {"ReservationId": self.account.new_id("r"), "OwnerId": "123456789012", "Instances": _rows(made)}

    def _before(self, given: dict[str, Any]) -> Any:
        """Return what the same request came to under its token, None when it was never made.

        Raises:
            AwsError: it was another request.
        """
        before, result = self.tokens.get(given.get("ClientToken", ""), (None, None))
        if before is not None and before != _asked(given):
            text = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            raise AwsError("IdempotentParameterMismatch", text)
        return result

    def _keep(self, given: dict[str, Any], result: object) -> None:
        if given.get("ClientToken"):
            self.tokens[given["ClientToken"]] = (_asked(given), result)

    def fleet(self, given: dict[str, Any], at: str) -> dict[str, Any]:
        """CreateFleet of type instant: one configuration, over its overrides, until all are there or none is left."""
        before = self._before(given)
        if before is not None:
            return dict(before)
        wanted = Fleet.of(given)
        instances: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for each in wanted.places(self.account, self.around):
            left = wanted.count - sum(len(group["InstanceIds"]) for group in instances)
            if not left:
                break
            launched = {"LaunchTemplateAndOverrides": {"Overrides": each}, "Lifecycle": wanted.market}
            try:
                if wanted.market == "spot":
                    self.account.check_price(self.around.zone(each), each)
                made = self._make({**wanted.order(each), "MinCount": 1, "MaxCount": left}, at)
            except AwsError as error:
                errors.append({**launched, "ErrorCode": error.code, "ErrorMessage": str(error)})
            else:
                ids = [instance.id for instance in made]
                instances.append({**launched, "InstanceIds": ids, "InstanceType": made[0].type})
        result = {"FleetId": self.account.new_id("fleet"), "Instances": instances, "Errors": errors}
        self._keep(given, result)
        return result

    def _make(self, given: dict[str, Any], at: str) -> list[Instance]:
        order = self.around.resolved(given)
        kind = order.get("InstanceType", "m1.small")
        if kind not in operation("RunInstances").input_shape.members["InstanceType"].enum:
            raise AwsError("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
        user_data = base64.b64decode(str(order.get("UserData", "") or ""))
        if len(user_data) > _USER_DATA_BYTES:
            raise AwsError("InvalidParameterValue", "User data is limited to 16384 bytes")
        subnet = self.around.subnet(order)
        market = "spot" if order.get("InstanceMarketOptions", {}).get("MarketType") == "spot" else "on-demand"
        least, most = int(order["MinCount"]), int(order["MaxCount"])
        number = self.account.room(subnet.availability_zone, kind, market, least, most)
        tags = {
            each["Key"]: each.get("Value", "")
            for group in order.get("TagSpecifications", [])
            if group.get("ResourceType") == "instance"
            for each in group["Tags"]
        }
        made = []
        for _ in range(number):
            private, public = next(self.account.addresses)
            instance = Instance(
                id=self.account.new_id("i"),
                type=kind,
                image=order["ImageId"],
                zone=subnet.availability_zone,
                subnet=subnet.id,
                vpc=subnet.vpc_id,
                market=market,
                private_address=private,
                public_address=public if self.around.is_public(order, subnet) else "",
                launched_at=at,
                request=given,
                user_data=user_data,
                tags=dict(tags),
                spot_request=self.account.new_id("sir") if market == "spot" else "",
            )
            self.account.add(instance)
            made.append(instance)
        return made

    def describe(self, given: dict[str, Any], at: str) -> dict[str, Any]:
        """DescribeInstances, with filters and pages; each instance then moves on."""
        ids = given.get("InstanceIds", [])
        found = self.account.named(ids) if ids else list(self.account.instances.values())
        found = [each for each in found if _passes(each, given.get("Filters", []))]
        shown = [each for each in found if each.looks >= self.account.hidden_looks or each.state != "pending"]
        page, rest = _page(shown, given)
        rows = _rows(page)
        self.account.look([*page, *(each for each in found if each not in shown)] if ids or rest else found)
        return {
            "Reservations": [{"ReservationId": f"r-{row['InstanceId'][2:]}", "Instances": [row]} for row in rows],
            "NextToken": rest,
        }

    def terminate(self, given: dict[str, Any], at: str) -> dict[str, Any]:
        """TerminateInstances; those that are gone already are left as they are."""
        return {"TerminatingInstances": self._changed(given, self.account.end)}

    def stop(self, given: dict[str, Any], at: str) -> dict[str, Any]:
        """StopInstances: all or none."""
        for instance in self.account.named(given["InstanceIds"]):
            if instance.state in ("pending", "shutting-down", "terminated"):
                self.account.stop(instance)
        return {"StoppingInstances": self._changed(given, self.account.stop)}

    def start(self, given: dict[str, Any], at: str) -> dict[str, Any]:
        """StartInstances: all or none."""
        for instance in self.account.named(given["InstanceIds"]):
            if instance.state in ("stopping", "shutting-down", "terminated"):
                self.account.start(instance)
        return {"StartingInstances": self._changed(given, self.account.start)}

    def _changed(self, given: dict[str, Any], change: Callable[[Instance], None]) -> list[dict[str, Any]]:
        changes = []
        for instance in self.account.named(given["InstanceIds"]):
            before = instance.state
            change(instance)
            states = {"PreviousState": _state(before), "CurrentState": _state(instance.state)}
            changes.append({"InstanceId": instance.id, **states})
        return changes

    def tag(self, given: dict[str, Any], at: str) -> dict[str, Any]:
        """CreateTags on instances."""
        for instance in self.account.named(given["Resources"]):
            instance.tags.update({each["Key"]: each.get("Value", "") for each in given["Tags"]})
        return {}

    def describe_spot(self, given: dict[str, Any], at: str) -> dict[str, Any]:
        """DescribeSpotInstanceRequests, by status."""
        wanted = {each["Name"]: each["Values"] for each in given.get("Filters", [])}
        unknown = set(wanted) - {"status-code", "instance-id"}
        if unknown:
            raise AwsError("InvalidParameterValue", f"this emulator does not filter spot requests by {unknown}")
        spot = [
            each
            for each in self.account.instances.values()
            if each.spot_request
            and each.spot_status in wanted.get("status-code", [each.spot_status])
            and each.id in wanted.get("instance-id", [each.id])
        ]
        page, rest = _page(spot, given)
        return {"SpotInstanceRequests": [_spot_row(each) for each in page], "NextToken": rest}


_ACTIONS: Final[Mapping[str, Callable[[Actions, dict[str, Any], str], dict[str, Any]]]] = {
    "RunInstances": Actions.run,
    "CreateFleet": Actions.fleet,
    "DescribeInstances": Actions.describe,
    "TerminateInstances": Actions.terminate,
    "StopInstances": Actions.stop,
    "StartInstances": Actions.start,
    "CreateTags": Actions.tag,
    "DescribeSpotInstanceRequests": Actions.describe_spot,
}


def _asked(given: Mapping[str, Any]) -> str:
    """Return what tells one request from another, whatever its token is."""
    return json.dumps({k: v for k, v in given.items() if k != "ClientToken"}, sort_keys=True, default=repr)


def _page(found: list[Any], given: Mapping[str, Any]) -> tuple[list[Any], str | None]:
    first, most = int(given.get("NextToken") or 0), int(given.get("MaxResults") or _PAGE)
    last = first + min(most, _PAGE)
    return found[first:last], str(last) if last < len(found) else None


def _passes(instance: Instance, filters: list[dict[str, Any]]) -> bool:
    for each in filters:
        name = each["Name"]
        if name.startswith("tag:"):
            value = instance.tags.get(name[4:])
        elif name in ("instance-state-name", "availability-zone", "client-token", "instance-id", "vpc-id"):
            value = {
                "instance-state-name": instance.state,
                "availability-zone": instance.zone,
                "client-token": instance.request.get("ClientToken", ""),
                "instance-id": instance.id,
                "vpc-id": instance.vpc,
            }[name]
        else:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        if value is None or not any(fnmatchcase(value, wanted) for wanted in each["Values"]):
            return False
    return True


def _state(name: str) -> dict[str, Any]:
    return {"Code": STATE_CODES[name], "Name": name}


def _rows(instances: list[Instance]) -> list[dict[str, Any]]:
    return [_row(each) for each in instances]


def _row(instance: Instance) -> dict[str, Any]:
    """Return an instance as the cloud shows it: addresses and networks only while it has them."""
    code, text = instance.reason
    public = instance.public_address if instance.state == "running" else ""
    row: dict[str, Any] = {
        "InstanceId": instance.id,
        "ImageId": instance.image,
        "InstanceType": instance.type,
        "State": _state(instance.state),
        "LaunchTime": instance.launched_at,
        "Placement": {"AvailabilityZone": instance.zone, "Tenancy": "default"},
        "Architecture": "x86_64",
        "KeyName": instance.request.get("KeyName"),
        "ClientToken": instance.request.get("ClientToken"),
        "SecurityGroups": [{"GroupId": each} for each in instance.request.get("SecurityGroupIds", [])],
        "Tags": [{"Key": key, "Value": value} for key, value in instance.tags.items()],
        "PublicDnsName": "",
        "StateReason": {"Code": code, "Message": f"{code}: {text}"} if code else None,
        "InstanceLifecycle": "spot" if instance.spot_request else None,
        "SpotInstanceRequestId": instance.spot_request or None,
    }
    if instance.exists:
        row |= {"SubnetId": instance.subnet, "VpcId": instance.vpc, "PrivateIpAddress": instance.private_address}
    return row | {"PublicIpAddress": public} if public else row


def _spot_row(instance: Instance) -> dict[str, Any]:
    status = {"Code": instance.spot_status, "UpdateTime": instance.spot_changed_at or instance.launched_at}
    return {
        "SpotInstanceRequestId": instance.spot_request,
        "InstanceId": instance.id,
        "State": "active" if instance.exists else "closed",
        "Status": status,
    }
