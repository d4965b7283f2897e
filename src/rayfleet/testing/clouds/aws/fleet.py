"""What is asked of CreateFleet, as far as the emulator knows it: instant fleets of one configuration and market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayfleet.testing.clouds.aws.instances import Account, AwsError
from rayfleet.testing.clouds.aws.surroundings import Surroundings

_PLENTY = 10**9


@dataclass(frozen=True, slots=True)
class Fleet:
    """One request. `market`: as an instance has it; `overrides`: of its only launch template."""

    count: int
    market: str
    template: Mapping[str, Any]
    overrides: tuple[dict[str, Any], ...]
    tags: tuple[dict[str, Any], ...]
    strategy: str

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Fleet:
        """Read a request.

        Raises:
            AwsError: it asks for something that this emulator does not know, or that no fleet may ask.
        """
        if given.get("Type") != "instant":
            raise AwsError("NotEmulated", f"this emulator has no fleets of type {given.get('Type')}", 501)
        (config,) = given["LaunchTemplateConfigs"]
        wanted = given["TargetCapacitySpecification"]
        market = wanted.get("DefaultTargetCapacityType", "on-demand")
        if market not in ("spot", "on-demand"):
            raise AwsError("InvalidParameterValue", f"there is no capacity of type {market}")
        tags = tuple(given.get("TagSpecifications", ()))
        strange = [each for each in tags if each.get("ResourceType") not in _TAGGED]
        if strange:
            raise AwsError("InvalidParameterValue", f"an instant fleet does not tag {strange[0].get('ResourceType')}")
        options = given.get("SpotOptions" if market == "spot" else "OnDemandOptions", {})
        return cls(
            int(wanted["TotalTargetCapacity"]),
            market,
            config["LaunchTemplateSpecification"],
            tuple(config.get("Overrides") or ({},)),
            tags,
            options.get("AllocationStrategy", "lowest-price"),
        )

    def places(self, account: Account, around: Surroundings) -> list[dict[str, Any]]:
        """Return the overrides in the order in which they are tried: by priority, or the largest stock first."""
        if self.strategy == "prioritized":
            return sorted(self.overrides, key=lambda each: float(each.get("Priority", _PLENTY)))
        kind = around.resolved({"LaunchTemplate": self.template}).get("InstanceType", "")
        stock = {
            each["SubnetId"]: account.stock.get((around.zone(each), kind, self.market), _PLENTY)
            for each in self.overrides
        }
        return sorted(self.overrides, key=lambda each: -stock[each["SubnetId"]])

    def order(self, override: Mapping[str, Any]) -> dict[str, Any]:
        """Return what RunInstances would be told."""
        own = {key: value for key, value in override.items() if key not in ("MaxPrice", "Priority")}
        spot = {"InstanceMarketOptions": {"MarketType": "spot"}} if self.market == "spot" else {}
        return {"LaunchTemplate": dict(self.template), "TagSpecifications": list(self.tags), **own, **spot}


_TAGGED = ("fleet", "instance", "volume", "network-interface")
