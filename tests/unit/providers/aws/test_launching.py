"""What a launch asks of EC2: how many calls, with which parameters, and what it does when there is no room."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.providers.aws.emulated import ON_DEMAND, POOL, SPOT, context, provider, request, start_script

from rayfleet.contracts import Denied, Flaky, LaunchRequest, MachineState, OutOfStock, QuotaReached, TypeConfig
from rayfleet.model import Market, OfferKey
from rayfleet.providers.aws.provider import PART
from rayfleet.testing.clouds.aws import REGION, AwsEmulator, Fault

ZONES = ("us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d")


def zones(emulator: AwsEmulator) -> list[str]:
    return [instance.zone for instance in emulator.account.living()]


# ---- how many calls ----


async def test_a_new_clusters_head_takes_12_calls(emulator: AwsEmulator, tmp_path: Path) -> None:
    """In an account that has nothing yet, from the first listing to the address at which the head is reached."""
    aws = provider(context(emulator, tmp_path))
    assert await aws.list() == ()
    await aws.launch(request("b1", 1, head=True))
    machines = await aws.list()
    while machines[0].state is not MachineState.RUNNING:
        machines = await aws.list()
    assert machines[0].public_address == "127.77.0.1"
    assert machines[0].address == "127.78.0.1"
    assert [call.action for call in emulator.log] == [
        "DescribeInstances",
        "GetInstanceProfile",
        "CreateInstanceProfile",
        "CreateRole",
        "PutRolePolicy",
        "AddRoleToInstanceProfile",
        "DescribeSubnets",
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "RunInstances",
        "DescribeInstances",
        "DescribeInstances",
    ]


async def test_what_was_set_up_is_remembered(emulator: AwsEmulator, tmp_path: Path) -> None:
    """By this provider, and by the next controller."""
    first = provider(context(emulator, tmp_path))
    await first.launch(request("b1", 1, head=True))
    await first.launch(request("b2", 1))
    emulator.log.clear()
    await first.launch(request("b3", 1))
    await provider(context(emulator, tmp_path)).launch(request("b4", 1, head=True))
    assert [call.action for call in emulator.log] == ["RunInstances", "RunInstances"]


async def test_a_thousand_machines_take_few_calls(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1000))
    assert len(emulator.account.living()) == 1000
    assert len(emulator.calls("RunInstances")) == 1000 / PART
    assert len(emulator.log) <= 20
    emulator.log.clear()
    assert len(await aws.list()) == 1000
    assert [call.action for call in emulator.log] == ["DescribeInstances"]


async def test_a_listing_asks_once_for_each_page_and_once_for_notices(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1500, SPOT))
    await aws.list()
    emulator.log.clear()
    assert len(await aws.list()) == 1500
    assert [call.action for call in emulator.log] == 2 * ["DescribeInstances"] + ["DescribeSpotInstanceRequests"]


async def test_a_group_that_somebody_else_has_made_is_taken(emulator: AwsEmulator, tmp_path: Path) -> None:
    """Where one may not make groups oneself."""
    await provider(context(emulator, tmp_path / "admin")).launch(request("b1", 1))
    emulator.log.clear()
    emulator.fault(Fault("CreateSecurityGroup", "UnauthorizedOperation", status=403, times=9))
    await provider(context(emulator, tmp_path / "user")).launch(request("b2", 1))
    assert not emulator.calls("AuthorizeSecurityGroupIngress")
    with pytest.raises(Denied, match="UnauthorizedOperation"):
        await provider(context(emulator, tmp_path / "other", "other")).launch(request("b3", 1))


# ---- with which parameters ----

ALL: dict[str, Any] = {
    "InstanceType": "c5.2xlarge",
    "ImageId": "ami-0123456789abcdef0",
    "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 140, "VolumeType": "gp3"}}],
    "EbsOptimized": True,
    "Monitoring": {"Enabled": True},
    "CreditSpecification": {"CpuCredits": "standard"},
    "MetadataOptions": {"HttpTokens": "required"},
    "CpuOptions": {"CoreCount": 2, "ThreadsPerCore": 1},
}


async def test_the_pools_own_words_are_passed_on(emulator: AwsEmulator, tmp_path: Path) -> None:
    own = {"Key": "team", "Value": "ml"}
    volume = {"ResourceType": "volume", "Tags": [own]}
    tags = [{"ResourceType": "instance", "Tags": [own, {"Key": "Name", "Value": "mine"}]}, volume]
    node = {**ALL, "TagSpecifications": tags, "MinCount": 7, "MaxCount": 9}
    await provider(context(emulator, tmp_path, node_config=node)).launch(request("b1", 2))
    (call,) = emulator.calls("RunInstances")
    assert {key: call.parameters[key] for key in ALL} == ALL
    assert (call.parameters["MinCount"], call.parameters["MaxCount"]) == (1, 2)
    mine, rest = call.parameters["TagSpecifications"]
    assert rest == volume
    found = {tag["Key"]: tag["Value"] for tag in mine["Tags"]}
    assert (found["team"], found["Name"]) == ("ml", "mine")
    assert (found["rayfleet-cluster"], found["rayfleet-batch"], found["rayfleet-pool"]) == ("c", "b1", POOL.name)


async def test_defaults_fill_what_the_pool_leaves_out(emulator: AwsEmulator, tmp_path: Path) -> None:
    await provider(context(emulator, tmp_path)).launch(request("b1", 1))
    (call,) = emulator.calls("RunInstances")
    assert call.parameters["InstanceType"] == "m5.large"
    assert call.parameters["ImageId"].startswith("resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/")
    assert [each["Ebs"]["VolumeSize"] for each in call.parameters["BlockDeviceMappings"]] == [100]
    assert "KeyName" not in call.parameters
    assert "IamInstanceProfile" not in call.parameters
    assert b"ssh-ed25519 AAAA somebody" in emulator.account.living()[0].user_data


async def test_the_disk_of_an_image_of_ones_own_is_left_alone(emulator: AwsEmulator, tmp_path: Path) -> None:
    own = {"ImageId": "ami-0123456789abcdef0"}
    await provider(context(emulator, tmp_path, node_config=own)).launch(request("b1", 1))
    (call,) = emulator.calls("RunInstances")
    assert "BlockDeviceMappings" not in call.parameters


@pytest.mark.parametrize(
    ("kind", "image"),
    [
        ("g5.xlarge", "x86_64/base-oss-nvidia"),
        ("g5g.xlarge", "arm64/base-oss-nvidia"),
        ("m7g.large", "/arm64/hvm"),
        ("c6gd.medium", "/arm64/hvm"),
        ("m5.large", "/amd64/hvm"),
        ("m7gd.metal", "/arm64/hvm"),
    ],
)
async def test_the_default_image_fits_the_type(emulator: AwsEmulator, tmp_path: Path, kind: str, image: str) -> None:
    await provider(context(emulator, tmp_path, node_config={"InstanceType": kind})).launch(request("b1", 1))
    assert image in emulator.calls("RunInstances")[0].parameters["ImageId"]


async def test_the_sections_key_pair_is_for_logins_without_a_public_key(emulator: AwsEmulator, tmp_path: Path) -> None:
    """Ray makes a pair of that name; a key that is put there by user-data needs none."""
    made = context(emulator, tmp_path, key_pair={"key_name": "mine"})
    await provider(made).launch(request("b1", 1))
    assert "KeyName" not in emulator.calls("RunInstances")[0].parameters
    without = type(made)(made.cluster, tmp_path, made.settings, start_script)
    with pytest.raises(Denied, match=r"InvalidKeyPair\.NotFound"):
        await provider(without).launch(request("b2", 1))
    assert emulator.calls("RunInstances")[1].parameters["KeyName"] == "mine"


async def test_spot_is_the_offers_to_say(emulator: AwsEmulator, tmp_path: Path) -> None:
    """The pool's own options are kept; an on-demand offer beside it takes them out."""
    options = {"MaxPrice": "0.05", "InstanceInterruptionBehavior": "terminate"}
    node = {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}
    aws = provider(context(emulator, tmp_path, node_config=node))
    await aws.launch(request("b1", 1, SPOT))
    await aws.launch(request("b2", 1, ON_DEMAND))
    spot, on_demand = emulator.calls("RunInstances")
    assert spot.parameters["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "one-time", **options},
    }
    assert "InstanceMarketOptions" not in on_demand.parameters
    assert [each.market for each in emulator.account.living()] == ["spot", "on-demand"]


async def test_the_short_dialects_price_limit_is_the_maximum_price(emulator: AwsEmulator, tmp_path: Path) -> None:
    made = context(emulator, tmp_path)
    short = TypeConfig("m5.xlarge", {}, 0.07)
    aws = provider(type(made)(made.cluster, tmp_path, made.settings, start_script, {POOL.name: short}))
    await aws.launch(request("b1", 1, SPOT))
    (call,) = emulator.calls("RunInstances")
    assert call.parameters["InstanceType"] == "m5.xlarge"
    assert call.parameters["InstanceMarketOptions"]["SpotOptions"]["MaxPrice"] == "0.07"


async def test_the_offers_zone_is_where_it_is_launched(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1, OfferKey(POOL.name, "aws", REGION, "us-west-2c", Market.ON_DEMAND)))
    assert zones(emulator) == ["us-west-2c"]
    with pytest.raises(Denied, match="none of the usable subnets is in zone us-west-2z"):
        await aws.launch(request("b2", 1, OfferKey(POOL.name, "aws", REGION, "us-west-2z", Market.ON_DEMAND)))
    with pytest.raises(Denied, match="region is us-west-2, not eu-west-1"):
        await aws.launch(request("b3", 1, OfferKey(POOL.name, "aws", "eu-west-1", None, Market.ON_DEMAND)))


# ---- when there is no room ----


async def test_no_stock_in_one_zone_is_the_next_zones_chance(emulator: AwsEmulator, tmp_path: Path) -> None:
    for zone in ZONES[:2]:
        emulator.account.stock[zone, "m5.large", "on-demand"] = 0
    await provider(context(emulator, tmp_path)).launch(request("b1", 3))
    assert zones(emulator) == 3 * ["us-west-2c"]
    assert len(emulator.calls("RunInstances")) == 3


async def test_no_stock_anywhere_is_said_after_one_call_for_each_zone(emulator: AwsEmulator, tmp_path: Path) -> None:
    for zone in ZONES:
        emulator.account.stock[zone, "m5.large", "on-demand"] = 0
    aws = provider(context(emulator, tmp_path))
    with pytest.raises(OutOfStock, match="InsufficientInstanceCapacity") as raised:
        await aws.launch(request("b1", 3))
    assert raised.value.scope == ON_DEMAND
    assert len(emulator.calls("RunInstances")) == len(ZONES)
    emulator.account.stock.clear()
    await aws.launch(request("b1", 3))
    assert zones(emulator) == 3 * ["us-west-2a"]


async def test_a_part_of_a_fleet_is_a_success(emulator: AwsEmulator, tmp_path: Path) -> None:
    """Also when a later call of the batch finds nothing at all."""
    for zone in ZONES[1:]:
        emulator.account.stock[zone, "m5.large", "on-demand"] = 0
    emulator.account.stock["us-west-2a", "m5.large", "on-demand"] = PART + 3
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 3 * PART))
    assert len(await aws.list()) == PART + 3


async def test_a_full_quota_holds_for_all_zones_of_the_market(emulator: AwsEmulator, tmp_path: Path) -> None:
    emulator.account.quota.update({"on-demand": 0, "spot": 0})
    aws = provider(context(emulator, tmp_path))
    zone = OfferKey(POOL.name, "aws", REGION, "us-west-2a", Market.ON_DEMAND)
    with pytest.raises(QuotaReached, match="VcpuLimitExceeded") as raised:
        await aws.launch(request("b1", 1, zone))
    assert raised.value.scope == ON_DEMAND
    with pytest.raises(QuotaReached, match="MaxSpotInstanceCountExceeded") as raised:
        await aws.launch(request("b2", 1, SPOT))
    assert raised.value.scope == OfferKey("", "aws", REGION, None, Market.SPOT)
    assert len(emulator.calls("RunInstances")) == 2


@pytest.mark.parametrize("status", [503, 500, 400])
async def test_a_throttled_call_is_made_once(emulator: AwsEmulator, tmp_path: Path, status: int) -> None:
    """Whoever asked has the back-off; three attempts for each would make the storm worse."""
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b0", 1))
    emulator.log.clear()
    for action in ("RunInstances", "DescribeInstances", "TerminateInstances"):
        emulator.fault(Fault(action, "RequestLimitExceeded", status=status, times=100))
    for _ in range(3):
        with pytest.raises(Flaky, match="RequestLimitExceeded"):
            await aws.launch(request("b1", 1))
    with pytest.raises(Flaky):
        await aws.list()
    with pytest.raises(Flaky):
        await aws.release(("i-00000000000000001",))
    assert len(emulator.log) == 5


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("UnauthorizedOperation", Denied),
        ("AuthFailure", Denied),
        ("InvalidAMIID.NotFound", Denied),
        ("InvalidKeyPair.NotFound", Denied),
        ("OptInRequired", Denied),
        ("Unsupported", OutOfStock),
        ("SpotMaxPriceTooLow", OutOfStock),
        ("InsufficientFreeAddressesInSubnet", OutOfStock),
        ("ReservationCapacityExceeded", OutOfStock),
        ("VolumeTypeNotAvailableInZone", OutOfStock),
        ("InstanceLimitExceeded", QuotaReached),
        ("SomethingNobodyHasSeen", Flaky),
    ],
)
async def test_codes_say_what_to_do(emulator: AwsEmulator, tmp_path: Path, code: str, error: type[Exception]) -> None:
    emulator.fault(Fault("RunInstances", code, times=9))
    with pytest.raises(error, match=code) as raised:
        await provider(context(emulator, tmp_path)).launch(request("b1", 1))
    assert type(raised.value) is error
    assert emulator.account.living() == []


# ---- never twice ----


async def test_a_repetition_goes_on_where_the_crash_was(emulator: AwsEmulator, tmp_path: Path) -> None:
    """The first zone has stock again by then: asked once more there, it would give a second set."""
    emulator.account.stock["us-west-2a", "m5.large", "on-demand"] = 0
    aws = provider(context(emulator, tmp_path))
    lost = Fault("RunInstances", "InternalError", status=500, after=True)
    await aws.launch(request("warm-up", 1))
    ids = emulator.calls("RunInstances")[-1].parameters["SubnetId"]
    lost.parameters = {"SubnetId": ids}
    emulator.fault(lost)
    with pytest.raises(Flaky):
        await aws.launch(request("b1", 2))
    emulator.account.stock.clear()
    await provider(context(emulator, tmp_path)).launch(request("b1", 2))
    assert zones(emulator) == 3 * ["us-west-2b"]


async def test_a_changed_file_does_not_make_a_second_set(emulator: AwsEmulator, tmp_path: Path) -> None:
    """EC2 refuses the token then; the first set stands."""
    await provider(context(emulator, tmp_path)).launch(request("b1", 1))
    await provider(context(emulator, tmp_path, node_config={"EbsOptimized": True})).launch(request("b1", 1))
    assert emulator.log[-1].code == "IdempotentParameterMismatch"
    assert len(emulator.account.living()) == 1


async def test_a_batch_whose_machines_are_gone_is_not_asked_for_again(emulator: AwsEmulator, tmp_path: Path) -> None:
    """EC2 says so of a token it knows; what is missing is seen in the listing, and comes under another batch."""
    emulator.fault(Fault("RunInstances", "IdempotentInstanceTerminated", times=9))
    aws = provider(context(emulator, tmp_path))
    await aws.launch(request("b1", 1))
    assert await aws.list() == ()
    assert len(emulator.calls("RunInstances")) == 1


async def test_another_life_of_the_cluster_has_other_tokens(emulator: AwsEmulator, tmp_path: Path) -> None:
    """EC2 remembers tokens for a day: the old ones would bring back instances that are gone."""
    await provider(context(emulator, tmp_path / "before")).launch(request("b1", 1))
    await provider(context(emulator, tmp_path / "after")).launch(request("b1", 1))
    assert len(emulator.account.living()) == 2


# ---- the ground ----


async def test_two_clusters_that_set_up_at_once_do_not_disturb_each_other(
    emulator: AwsEmulator, tmp_path: Path
) -> None:
    """They share the head's role; two controllers of one name even share the security group."""
    some = [provider(context(emulator, tmp_path / f"{n}", f"c{n % 2}")) for n in range(4)]
    await asyncio.gather(*(aws.launch(request("b1", 1, head=True)) for aws in some))
    groups = {call.parameters["SecurityGroupIds"][0] for call in emulator.calls("RunInstances")}
    assert len(groups) == 2
    assert len(emulator.account.living()) == 4


async def test_a_group_that_somebody_has_removed_is_made_anew(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    emulator.fault(Fault("RunInstances", "InvalidGroup.NotFound"))
    with pytest.raises(Flaky, match=r"InvalidGroup\.NotFound"):
        await aws.launch(request("b1", 1))
    emulator.log.clear()
    await aws.launch(request("b1", 1))
    assert [call.action for call in emulator.log] == [
        "DescribeSubnets",
        "CreateSecurityGroup",
        "DescribeSecurityGroups",
        "RunInstances",
    ]


async def test_the_security_group_lets_in_ssh_the_cluster_and_the_files_own_rules(
    emulator: AwsEmulator, tmp_path: Path
) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 8265, "ToPort": 8265, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    group = {"GroupName": "mine", "IpPermissions": [rule]}
    await provider(context(emulator, tmp_path, security_group=group)).launch(request("b1", 1))
    assert emulator.calls("CreateSecurityGroup")[0].parameters["GroupName"] == "mine"
    asked = emulator.calls("AuthorizeSecurityGroupIngress")[0].parameters
    within, ssh, own = asked["IpPermissions"]
    assert within["UserIdGroupPairs"] == [{"GroupId": asked["GroupId"]}]
    assert (ssh["FromPort"], own) == (22, rule)


async def test_the_pools_own_network_is_not_touched(emulator: AwsEmulator, tmp_path: Path) -> None:
    """Groups, subnets and profile of its own: only looked at."""
    first = provider(context(emulator, tmp_path / "first"))
    await first.launch(request("b1", 1, head=True))
    made = emulator.calls("RunInstances")[0].parameters
    node = {
        "SecurityGroupIds": made["SecurityGroupIds"],
        "SubnetIds": [made["SubnetId"]],
        "IamInstanceProfile": {"Name": "rayfleet-head"},
    }
    emulator.log.clear()
    await provider(context(emulator, tmp_path / "own", "own", node_config=node)).launch(request("b1", 1, head=True))
    assert [call.action for call in emulator.log] == ["DescribeSecurityGroups", "DescribeSubnets", "RunInstances"]
    asked = emulator.log[-1].parameters
    assert (asked["SubnetId"], asked["SecurityGroupIds"]) == (made["SubnetId"], made["SecurityGroupIds"])


async def test_zones_of_the_section_are_the_order(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path, availability_zone="us-west-2d, us-west-2b"))
    emulator.account.stock["us-west-2d", "m5.large", "on-demand"] = 1
    await aws.launch(request("b1", 1))
    await aws.launch(request("b2", 1))
    assert zones(emulator) == ["us-west-2d", "us-west-2b"]


async def test_no_usable_subnet_is_said_with_what_helps(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path, availability_zone="us-west-2z"))
    with pytest.raises(Denied, match=r"no usable subnet in zone us-west-2z.*use_internal_ips"):
        await aws.launch(request("b1", 1))


async def test_a_head_is_not_put_where_nobody_reaches_it(emulator: AwsEmulator, tmp_path: Path) -> None:
    """A worker may be: it is reached from the head."""
    aws = provider(context(emulator, tmp_path / "first"))
    await aws.launch(request("b1", 1))
    subnet = emulator.calls("RunInstances")[0].parameters["SubnetId"]
    change = {"SubnetId": subnet, "MapPublicIpOnLaunch": {"Value": False}}
    await aws_client(aws).call("ec2", "modify_subnet_attribute", change)
    private = provider(context(emulator, tmp_path / "own", node_config={"SubnetIds": [subnet]}))
    with pytest.raises(Denied, match=f"{subnet} gives the head no public address.*use_internal_ips"):
        await private.launch(request("b2", 1, head=True))
    await private.launch(request("b3", 1))
    internal = context(emulator, tmp_path / "in", node_config={"SubnetIds": [subnet]}, use_internal_ips=True)
    await provider(internal).launch(request("b4", 1, head=True))
    assert {each.subnet for each in emulator.account.living()} == {subnet}


async def test_a_profile_of_the_pools_own_that_is_not_there_is_told(emulator: AwsEmulator, tmp_path: Path) -> None:
    """Asking again does not help there."""
    node = {"IamInstanceProfile": {"Name": "nobody"}}
    with pytest.raises(Denied, match="iamInstanceProfile"):
        await provider(context(emulator, tmp_path, node_config=node)).launch(request("b1", 1, head=True))


async def test_other_markets_are_left_alone(emulator: AwsEmulator, tmp_path: Path) -> None:
    node = {"InstanceMarketOptions": {"MarketType": "capacity-block"}}
    await provider(context(emulator, tmp_path, node_config=node)).launch(request("b1", 1, ON_DEMAND))
    assert emulator.log[-1].parameters["InstanceMarketOptions"] == {"MarketType": "capacity-block"}


async def test_a_template_is_not_overridden_by_defaults(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path, node_config={"LaunchTemplate": {"LaunchTemplateName": "mine"}}))
    data = {"InstanceType": "c5.large", "ImageId": "ami-0123456789abcdef0"}
    client = aws_client(aws)
    await client.call("ec2", "create_launch_template", {"LaunchTemplateName": "mine", "LaunchTemplateData": data})
    await aws.launch(request("b1", 1))
    assert [(each.type, each.image) for each in emulator.account.living()] == [("c5.large", "ami-0123456789abcdef0")]
    (call,) = emulator.calls("RunInstances")
    assert not {"ImageId", "InstanceType"} & set(call.parameters)


def aws_client(aws: Any) -> Any:
    """Return the provider's client, to make what a user has made before."""
    return aws._client  # noqa: SLF001 - a second client would take a second


async def test_interfaces_of_the_pools_own_replace_subnet_and_groups(emulator: AwsEmulator, tmp_path: Path) -> None:
    first = provider(context(emulator, tmp_path / "first"))
    await first.launch(request("b1", 1))
    made = emulator.calls("RunInstances")[0].parameters
    card = {
        "DeviceIndex": 0,
        "SubnetId": made["SubnetId"],
        "Groups": made["SecurityGroupIds"],
        "AssociatePublicIpAddress": False,
    }
    node = {"NetworkInterfaces": [card]}
    await provider(context(emulator, tmp_path / "own", node_config=node)).launch(request("b2", 1))
    asked = emulator.log[-1].parameters
    assert asked["NetworkInterfaces"] == [card]
    assert not {"SubnetId", "SecurityGroupIds"} & set(asked)
    bad = context(emulator, tmp_path / "bad", node_config={"NetworkInterfaces": [{"DeviceIndex": 0}]})
    with pytest.raises(Denied, match="SubnetId and Groups"):
        await provider(bad).launch(request("b3", 1))


async def test_a_new_role_that_is_not_known_everywhere_yet_is_asked_for_again(
    emulator: AwsEmulator, tmp_path: Path
) -> None:
    """Instead of sleeping for a quarter of a minute: the call says so, and the same batch comes again."""
    message = (
        "Value (rayfleet-head) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    )
    emulator.fault(Fault("RunInstances", "InvalidParameterValue", message=message))
    aws = provider(context(emulator, tmp_path))
    with pytest.raises(Flaky, match="InvalidParameterValue"):
        await aws.launch(request("b1", 1, head=True))
    await aws.launch(request("b1", 1, head=True))
    assert len(emulator.account.living()) == 1
    assert len(emulator.calls("CreateRole")) == 1


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("AuthorizeSecurityGroupIngress", "InvalidGroup.NotFound"),
        ("PutRolePolicy", "NoSuchEntity"),
        ("AddRoleToInstanceProfile", "NoSuchEntity"),
        ("AddRoleToInstanceProfile", "ServiceUnavailable"),
        ("CreateInstanceProfile", "Throttling"),
    ],
)
async def test_a_setup_that_was_cut_off_is_completed_by_the_next(
    emulator: AwsEmulator, tmp_path: Path, action: str, code: str
) -> None:
    """At each step: also where the cloud does not know yet what it has made a moment ago."""
    emulator.fault(Fault(action, code))
    aws = provider(context(emulator, tmp_path))
    with pytest.raises(Flaky, match=code):
        await aws.launch(request("b1", 1, head=True))
    assert emulator.account.living() == []
    await aws.launch(request("b1", 1, head=True))
    assert len(emulator.account.living()) == 1
    assert [call.code for call in emulator.calls("AuthorizeSecurityGroupIngress", "AddRoleToInstanceProfile")][-1] == ""


async def test_hosts_of_a_replica_are_counted(emulator: AwsEmulator, tmp_path: Path) -> None:
    aws = provider(context(emulator, tmp_path))
    await aws.launch(LaunchRequest("b1", ON_DEMAND, POOL, ("c1", "c2"), hosts=4))
    assert len(await aws.list()) == 8
