"""Offers that leave the zone open: one call over all zones, what it needs, and when RunInstances is asked instead."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.unit.providers.aws.emulated import ON_DEMAND, POOL, SPOT, context, provider, request, start_script

from rayfleet.contracts import Denied, Flaky, OutOfStock, QuotaReached, StandbyProvider, TypeConfig
from rayfleet.model import Market, OfferKey, StandbyMode
from rayfleet.providers.aws.client import Client
from rayfleet.providers.aws.fleet import CARRIED, FLEET_PART
from rayfleet.providers.aws.provider import AwsProvider
from rayfleet.testing.clouds.aws import REGION, AwsEmulator, Fault
from rayfleet.testing.clouds.aws.xml import operation

ZONES = ("us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d")


def at(emulator: AwsEmulator, folder: Path, node: Mapping[str, Any] | None = None, **settings: Any) -> StandbyProvider:
    return provider(context(emulator, folder, node_config=node, **{"fleet": True, **settings}))


def zones(emulator: AwsEmulator) -> list[str]:
    return [instance.zone for instance in emulator.account.living()]


# ---- what is asked ----


async def test_one_call_over_all_zones_and_a_template_that_is_made_once(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = at(emulator, tmp_path)
    await aws.launch(request("b1", 3))
    await aws.launch(request("b2", 2))
    await at(emulator, tmp_path).launch(request("b3", 1))
    assert [call.action for call in emulator.log][-4:] == ["CreateLaunchTemplate", *3 * ["CreateFleet"]]
    first = emulator.calls("CreateFleet")[0].parameters
    (config,) = first["LaunchTemplateConfigs"]
    assert [each["Priority"] for each in config["Overrides"]] == [0, 1, 2, 3]
    assert first["TargetCapacitySpecification"] == {"TotalTargetCapacity": 3, "DefaultTargetCapacityType": "on-demand"}
    assert first["OnDemandOptions"] == {"AllocationStrategy": "prioritized"}
    assert len({call.parameters["ClientToken"] for call in emulator.calls("CreateFleet")}) == 3
    assert [machine.batch for machine in await aws.list()] == [*3 * ["b1"], *2 * ["b2"], "b3"]
    assert all(b"start cpu1 worker" in each.user_data for each in emulator.account.living())


async def test_a_thousand_machines_take_six_calls(emulator: AwsEmulator, tmp_path: Path) -> None:
    await at(emulator, tmp_path).launch(request("b1", 2 * FLEET_PART))
    assert len(emulator.account.living()) == 1000
    assert [call.action for call in emulator.log] == [
        "DescribeSubnets",
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "CreateLaunchTemplate",
        "CreateFleet",
        "CreateFleet",
    ]


async def test_the_pools_own_words_are_in_the_template(emulator: AwsEmulator, tmp_path: Path) -> None:
    own = {"Key": "team", "Value": "ml"}
    node = {
        "InstanceType": "c5.2xlarge",
        "ImageId": "ami-0123456789abcdef0",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 140, "VolumeType": "gp3"}}],
        "MetadataOptions": {"HttpTokens": "required"},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [own]},
            {"ResourceType": "volume", "Tags": [own]},
        ],
    }
    await at(emulator, tmp_path, node).launch(request("b1", 1))
    (made,) = emulator.calls("CreateLaunchTemplate")
    data = made.parameters["LaunchTemplateData"]
    assert {key: data[key] for key in node if key != "TagSpecifications"} == {
        key: value for key, value in node.items() if key != "TagSpecifications"
    }
    (machine,) = emulator.account.living()
    assert (machine.type, machine.tags["team"], machine.tags["rayfleet-batch"]) == ("c5.2xlarge", "ml", "b1")
    asked = emulator.calls("CreateFleet")[0].parameters
    assert [each["ResourceType"] for each in asked["TagSpecifications"]] == ["instance", "volume"]


def test_all_that_a_template_carries_is_known_to_templates() -> None:
    known = operation("CreateLaunchTemplate").input_shape.members["LaunchTemplateData"].members
    assert CARRIED - set(known) == set()


async def test_spot_is_taken_where_it_lasts_up_to_the_maximum_price(emulator: AwsEmulator, tmp_path: Path) -> None:
    emulator.account.spot_usd.update({"us-west-2a": 0.09, "us-west-2b": 0.02})
    for zone, left in zip(ZONES, (9, 5, 2, 0), strict=True):
        emulator.account.stock[zone, "m5.large", "spot"] = left
    short = TypeConfig("m5.large", {}, 0.05)
    made = context(emulator, tmp_path, fleet=True)
    aws = provider(type(made)(made.cluster, tmp_path, made.settings, start_script, {POOL.name: short}))
    await aws.launch(request("b1", 6, SPOT))
    asked = emulator.calls("CreateFleet")[0].parameters
    assert asked["SpotOptions"] == {"AllocationStrategy": "price-capacity-optimized"}
    assert {each["MaxPrice"] for each in asked["LaunchTemplateConfigs"][0]["Overrides"]} == {"0.05"}
    assert zones(emulator) == [*5 * ["us-west-2b"], "us-west-2c"]
    assert {each.market for each in emulator.account.living()} == {"spot"}
    emulator.account.stock["us-west-2c", "m5.large", "spot"] = 0
    with pytest.raises(OutOfStock, match="SpotMaxPriceTooLow"):
        await aws.launch(request("b2", 1, SPOT))


# ---- when there is no room ----


async def test_no_stock_in_some_zones_is_made_up_for_by_others_in_the_same_call(
    emulator: AwsEmulator, tmp_path: Path
) -> None:
    for zone, left in zip(ZONES, (0, 2, 0, 9), strict=True):
        emulator.account.stock[zone, "m5.large", "on-demand"] = left
    await at(emulator, tmp_path).launch(request("b1", 5))
    assert zones(emulator) == [*2 * ["us-west-2b"], *3 * ["us-west-2d"]]
    assert len(emulator.calls("CreateFleet")) == 1


async def test_no_stock_anywhere_is_said_after_one_call_and_may_be_asked_again(
    emulator: AwsEmulator, tmp_path: Path
) -> None:
    """EC2 answers the same for the same token, also to a fleet that has made nothing: so the next time has another."""
    for zone in ZONES:
        emulator.account.stock[zone, "m5.large", "on-demand"] = 0
    aws = at(emulator, tmp_path)
    with pytest.raises(OutOfStock, match="InsufficientInstanceCapacity") as raised:
        await aws.launch(request("b1", 3))
    assert raised.value.scope == ON_DEMAND
    assert len(emulator.calls("CreateFleet")) == 1
    emulator.account.stock.clear()
    await at(emulator, tmp_path).launch(request("b1", 3))
    assert zones(emulator) == 3 * ["us-west-2a"]


async def test_a_part_of_a_fleet_is_a_success(emulator: AwsEmulator, tmp_path: Path) -> None:
    """Also when a later call of the batch finds nothing at all."""
    for zone in ZONES:
        emulator.account.stock[zone, "m5.large", "on-demand"] = FLEET_PART // 4 + 1
    aws = at(emulator, tmp_path)
    await aws.launch(request("b1", 3 * FLEET_PART))
    assert len(await aws.list()) == FLEET_PART + 4
    assert len(emulator.calls("CreateFleet")) == 3


async def test_a_quota_counts_more_than_stock(emulator: AwsEmulator, tmp_path: Path) -> None:
    """One zone has none, which would pass; the limit holds for all of them."""
    emulator.account.quota["on-demand"] = 0
    with pytest.raises(QuotaReached, match="VcpuLimitExceeded") as raised:
        await at(emulator, tmp_path).launch(request("b1", 1))
    assert raised.value.scope == ON_DEMAND


@pytest.mark.parametrize(
    ("code", "error"),
    [("RequestLimitExceeded", Flaky), ("InvalidAMIID.NotFound", Denied), ("InternalError", Flaky)],
)
async def test_codes_say_what_to_do(emulator: AwsEmulator, tmp_path: Path, code: str, error: type[Exception]) -> None:
    emulator.fault(Fault("CreateFleet", code))
    with pytest.raises(error, match=code):
        await at(emulator, tmp_path).launch(request("b1", 1))
    assert not emulator.calls("RunInstances")
    assert emulator.account.living() == []


# ---- never twice ----


async def test_a_lost_answer_makes_no_second_set(emulator: AwsEmulator, tmp_path: Path) -> None:
    emulator.fault(Fault("CreateFleet", "InternalError", status=500, after=True))
    with pytest.raises(Flaky):
        await at(emulator, tmp_path).launch(request("b1", 3))
    await at(emulator, tmp_path).launch(request("b1", 3))
    assert len(emulator.account.living()) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"Placement": {"Tenancy": "default"}}),  # by a fleet first, then it could not be one
        ({"Placement": {"Tenancy": "default"}}, {}),  # the other way round
        ({}, {"EbsOptimized": True}),
    ],
)
async def test_a_file_that_changes_after_a_lost_answer_makes_no_second_set(
    emulator: AwsEmulator, tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    for action in ("CreateFleet", "RunInstances"):
        emulator.fault(Fault(action, "InternalError", status=500, after=True))
    with pytest.raises(Flaky):
        await at(emulator, tmp_path, before).launch(request("b1", 2))
    emulator.faults.clear()
    await at(emulator, tmp_path, after).launch(request("b1", 2))
    assert len(emulator.account.living()) == 2


@pytest.mark.parametrize(("first", "then"), [(1, 4), (4, 1)])
async def test_subnets_that_come_or_go_after_a_lost_answer_make_no_second_set(
    emulator: AwsEmulator, tmp_path: Path, first: int, then: int
) -> None:
    """One subnet is asked for by RunInstances, several by a fleet: a batch stays with the way that it went."""
    await at(emulator, tmp_path).launch(request("warm-up", 1))
    (config,) = emulator.calls("CreateFleet")[0].parameters["LaunchTemplateConfigs"]
    subnets = [each["SubnetId"] for each in config["Overrides"]]
    asked = "CreateFleet" if first > 1 else "RunInstances"
    emulator.fault(Fault(asked, "InternalError", status=500, after=True))
    with pytest.raises(Flaky):
        await at(emulator, tmp_path, {"SubnetIds": subnets[:first]}).launch(request("b1", 2))
    await at(emulator, tmp_path, {"SubnetIds": subnets[:then]}).launch(request("b1", 2))
    assert len(zones(emulator)) == 1 + 2


# ---- RunInstances instead ----


@pytest.mark.parametrize(
    "node",
    [
        {"Placement": {"Tenancy": "default"}},
        {"InstanceMarketOptions": {"MarketType": "capacity-block"}},
        {"HibernationOptions": {"Configured": True}},
        {"TagSpecifications": [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "a", "Value": "b"}]}]},
        {"SubnetIds": "one"},
    ],
    ids=["placement", "another market", "hibernation", "tags", "one subnet"],
)
async def test_what_fleets_do_not_carry_is_launched_by_runinstances(
    emulator: AwsEmulator, tmp_path: Path, node: dict[str, Any]
) -> None:
    if node.get("SubnetIds") == "one":
        answer = await Client(context(emulator, tmp_path).settings).call("ec2", "describe_subnets", {})
        node = {"SubnetIds": [answer["Subnets"][0]["SubnetId"]]}
    await at(emulator, tmp_path, node).launch(request("b1", 1))
    assert (len(emulator.calls("RunInstances")), emulator.calls("CreateFleet", "CreateLaunchTemplate")) == (1, [])


async def test_launch_templates_of_ones_own_are_left_to_runinstances(emulator: AwsEmulator, tmp_path: Path) -> None:
    data = {"InstanceType": "c5.large", "ImageId": "ami-0123456789abcdef0"}
    mine = {"LaunchTemplateName": "mine", "LaunchTemplateData": data}
    await Client(context(emulator, tmp_path).settings).call("ec2", "create_launch_template", mine)
    await at(emulator, tmp_path, {"LaunchTemplate": {"LaunchTemplateName": "mine"}}).launch(request("b1", 1))
    assert [each.type for each in emulator.account.living()] == ["c5.large"]
    assert not emulator.calls("CreateFleet")


async def test_heads_standby_and_offers_of_one_zone_are_left_to_runinstances(
    emulator: AwsEmulator, tmp_path: Path
) -> None:
    aws = at(emulator, tmp_path)
    await aws.launch(request("b1", 1, head=True))
    await aws.launch(request("b2", 1, OfferKey(POOL.name, "aws", REGION, "us-west-2c", Market.ON_DEMAND)))
    await aws.prepare(request("b3", 1), StandbyMode.STOPPED)
    assert (len(emulator.calls("RunInstances")), emulator.calls("CreateFleet")) == (3, [])


@pytest.mark.parametrize("action", ["CreateFleet", "CreateLaunchTemplate"])
async def test_who_has_no_right_to_fleets_is_told_once_and_served_by_runinstances(
    emulator: AwsEmulator, tmp_path: Path, action: str
) -> None:
    emulator.fault(Fault(action, "UnauthorizedOperation", status=403, times=9))
    aws = at(emulator, tmp_path)
    with capture_logs() as logs:
        await aws.launch(request("b1", 2))
        await aws.launch(request("b2", 1))
    assert [each["event"] for each in logs if each["log_level"] == "warning"] == [
        "EC2 Fleet cannot be used, RunInstances is asked instead"
    ]
    assert len(emulator.account.living()) == 3
    assert len(emulator.calls(action)) == 1


async def test_who_has_no_right_at_all_hears_it_from_runinstances(emulator: AwsEmulator, tmp_path: Path) -> None:
    for action in ("CreateFleet", "RunInstances"):
        emulator.fault(Fault(action, "UnauthorizedOperation", status=403, times=9))
    with pytest.raises(Denied, match="UnauthorizedOperation"):
        await at(emulator, tmp_path).launch(request("b1", 1))


# ---- templates ----


async def test_a_template_of_the_past_goes_and_the_last_one_goes_with_the_cluster(
    emulator: AwsEmulator, tmp_path: Path
) -> None:
    await at(emulator, tmp_path).launch(request("b1", 1))
    (first,) = emulator.launch_templates
    await at(emulator, tmp_path, {"EbsOptimized": True}).launch(request("b2", 1))
    (second,) = emulator.launch_templates
    assert first != second
    other = provider(context(emulator, tmp_path / "other", "other", fleet=True))
    await other.launch(request("b1", 1))
    elsewhere = provider(context(emulator, tmp_path / "laptop", fleet=True))  # whoever ends it has not launched it
    assert isinstance(elsewhere, AwsProvider)
    assert await elsewhere.leftovers() == (second,)
    assert await elsewhere.tidy() == (second,)
    assert await elsewhere.tidy() == ()
    assert len(emulator.launch_templates) == 1, "that of the other cluster"


async def test_a_template_that_somebody_has_removed_is_made_again(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = at(emulator, tmp_path)
    assert isinstance(aws, AwsProvider)
    await aws.launch(request("b1", 1))
    await aws.tidy()
    with pytest.raises(Flaky, match="InvalidLaunchTemplate"):
        await aws.launch(request("b2", 1))
    await aws.launch(request("b2", 1))
    assert len(emulator.account.living()) == 2


async def test_a_template_that_exists_is_taken(emulator: AwsEmulator, tmp_path: Path) -> None:
    """A crash after it was made, or a folder that was lost."""
    await at(emulator, tmp_path / "first").launch(request("b1", 1))
    await at(emulator, tmp_path / "second").launch(request("b2", 1))
    assert len(emulator.launch_templates) == 1
    assert json.loads((tmp_path / "second" / "aws.json").read_text())["known"]
    assert len(emulator.account.living()) == 2
