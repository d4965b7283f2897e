"""From an order to one CreateFleet call of type instant over several subnets, and from its answer to an error. Pure.

An offer that leaves the zone open means every zone. RunInstances takes one subnet, so it is asked zone by zone; a fleet
looks at all of them in one call. Of what else fleets can do nothing is used: type and market are the planner's choice.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.contracts import Denied, Flaky, OutOfStock, ProviderError, QuotaReached
from rayfleet.providers.aws.errors import said, without_permission
from rayfleet.providers.aws.order import CLUSTER_TAG, Order

FLEET_PART: Final = 500
"""Machines of one CreateFleet call."""

CARRIED: Final = frozenset({
    "BlockDeviceMappings", "CpuOptions", "CreditSpecification", "DisableApiTermination", "EbsOptimized",
    "EnclaveOptions", "IamInstanceProfile", "ImageId", "InstanceInitiatedShutdownBehavior", "InstanceType", "KeyName",
    "LicenseSpecifications", "MaintenanceOptions", "MetadataOptions", "Monitoring", "PrivateDnsNameOptions",
    "SecurityGroupIds", "UserData",
})  # fmt: skip
"""What our launch templates say as RunInstances would be told. Others bind machines to a place, or are unusual."""

_OF_THE_CALL: Final = frozenset({"MinCount", "MaxCount", "ClientToken", "TagSpecifications", "InstanceMarketOptions"})
_TAGGED_BY_FLEETS: Final = frozenset({"instance", "volume", "network-interface"})
_SPOT_WORDS: Final = frozenset({"MaxPrice", "SpotInstanceType", "InstanceInterruptionBehavior"})
_GRAVEST_FIRST: Final = (QuotaReached, Denied, Flaky, OutOfStock)


@dataclass(frozen=True, slots=True)
class Template:
    """A launch template: its name says what is in it, so that it is made once for all launches that are alike."""

    name: str
    data: Mapping[str, Any]
    cluster: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of CreateLaunchTemplate."""
        tags = [{"Key": CLUSTER_TAG, "Value": self.cluster}]
        return {
            "LaunchTemplateName": self.name,
            "LaunchTemplateData": dict(self.data),
            "TagSpecifications": [{"ResourceType": "launch-template", "Tags": tags}],
        }


def why_not(order: Order) -> str:
    """Return what a fleet cannot carry of an order, "" when it can carry everything."""
    if order.request.head:
        return "a head"
    if order.waits:
        return "standby"
    asked = order.parameters(None, 1, "")
    foreign = sorted(asked.keys() - CARRIED - _OF_THE_CALL)
    options: Mapping[str, Any] = asked.get("InstanceMarketOptions") or {}
    spot: Mapping[str, Any] = options.get("SpotOptions") or {}
    if options.get("MarketType", "spot") != "spot" or spot.get("SpotInstanceType", "one-time") != "one-time":
        foreign.append("InstanceMarketOptions")
    if spot.get("InstanceInterruptionBehavior", "terminate") != "terminate" or spot.keys() - _SPOT_WORDS:
        foreign.append("SpotOptions")
    foreign += [f"tags of {kind}" for kind in _tagged(asked) if kind not in _TAGGED_BY_FLEETS]
    return ", ".join(foreign)


def template_of(order: Order) -> Template:
    """Return the template that an order needs; `why_not` has nothing to say against it."""
    asked = order.parameters(None, 1, "")
    data = {key: value for key, value in asked.items() if key in CARRIED}
    if "UserData" in data:  # a template wants it encoded; for RunInstances boto3 does that
        own = data["UserData"]
        data["UserData"] = base64.b64encode(own if isinstance(own, bytes) else own.encode()).decode()
    digest = hashlib.sha256(json.dumps([order.cluster, data], sort_keys=True).encode()).hexdigest()[:20]
    return Template(f"rayfleet-{digest}", data, order.cluster)


def parameters(order: Order, template: Template, subnets: Iterable[str], count: int, token: str) -> dict[str, Any]:
    """Return the parameters of CreateFleet. On-demand, the first subnet with room; spot, where it is likely to last."""
    asked = order.parameters(None, count, token)
    options: Mapping[str, Any] | None = asked.get("InstanceMarketOptions")
    price = ((options or {}).get("SpotOptions") or {}).get("MaxPrice")
    limit = {"MaxPrice": price} if price is not None else {}
    kind = "spot" if options else "on-demand"
    overrides = [
        {"SubnetId": each, **(limit if options else {"Priority": float(number)})} for number, each in enumerate(subnets)
    ]
    spec = {"LaunchTemplateName": template.name, "Version": "1"}
    return {
        "Type": "instant",
        "ClientToken": token,
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": spec, "Overrides": overrides}],
        "TargetCapacitySpecification": {"TotalTargetCapacity": count, "DefaultTargetCapacityType": kind},
        "TagSpecifications": asked["TagSpecifications"],
        **(
            {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized"}}
            if options
            else {"OnDemandOptions": {"AllocationStrategy": "prioritized"}}
        ),
    }


def made(answer: Mapping[str, Any]) -> int:
    """Return how many instances an answer names."""
    return sum(len(each.get("InstanceIds", ())) for each in answer.get("Instances", ()))


def failure(answer: Mapping[str, Any], order: Order) -> ProviderError:
    """Return why a fleet has made nothing: one zone may be out of stock, another not ours to use."""
    errors = [said(str(each.get("ErrorCode", "")), each.get("ErrorMessage", ""), order.request.offer)
              for each in answer.get("Errors", ())]  # fmt: skip
    if not errors:
        return OutOfStock("UnfulfillableCapacity: the fleet has made no instance", scope=order.request.offer)
    return min(errors, key=lambda error: _GRAVEST_FIRST.index(type(error)) if type(error) in _GRAVEST_FIRST else 0)


def is_not_for_us(error: ProviderError) -> bool:
    """Say whether fleets as such are refused, so that RunInstances should be asked instead."""
    return isinstance(error, Denied) and without_permission(str(error).partition(":")[0])


def _tagged(asked: Mapping[str, Any]) -> list[str]:
    return [each.get("ResourceType", "") for each in asked["TagSpecifications"]]
