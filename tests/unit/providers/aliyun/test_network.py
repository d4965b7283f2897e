"""VPC, vSwitch, security group, key pair and image: found, or made once."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.providers.aliyun.cloud import Cloud, cloud, request

import rayfleet.providers.aliyun
from rayfleet.contracts import Denied, Login, MachineState
from rayfleet.model import StandbyMode
from rayfleet.providers.aliyun.network import free_block

KEY = Login(user="root", public_key="ssh-ed25519 AAAA me")


@pytest.fixture
def there() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


async def test_everything_is_made_once_and_found_by_the_next_controller(there: Cloud) -> None:
    await there.provider().launch(request("b1"))
    await there.provider().launch(request("b2"))
    network = there.ecs.network
    assert (len(network.vpcs), len(network.vswitches), len(network.groups)) == (1, 1, 1)
    assert [len(rules) for rules in network.rules.values()] == [1]


async def test_two_controllers_at_once_make_one_network(there: Cloud) -> None:
    await asyncio.gather(there.provider().launch(request("b1")), there.provider().launch(request("b2")))
    network = there.ecs.network
    assert (len(network.vpcs), len(network.vswitches), len(network.groups)) == (1, 1, 1)
    assert len(there.ecs.instances) == 2


async def test_each_zone_has_a_vswitch_with_addresses_of_its_own(there: Cloud) -> None:
    provider = there.provider(cidr_block="172.16.0.0/24")
    for zone in ("cn-hangzhou-b", "cn-hangzhou-h"):
        await provider.launch(request(f"in-{zone}", zone=zone))
    blocks = {switch["ZoneId"]: switch["CidrBlock"] for switch in there.ecs.network.vswitches.values()}
    assert blocks == {"cn-hangzhou-b": "172.16.0.0/24", "cn-hangzhou-h": "172.16.16.0/20"}


async def test_a_network_of_the_users_is_used_as_it_is(there: Cloud) -> None:
    await there.provider().launch(request("b1"))
    ((switch, _),) = there.ecs.network.vswitches.items()
    (group,) = there.ecs.network.groups
    before = len(there.ecs.log)
    given = there.provider(zone_id=None, v_switch_id=switch, security_group_id=group)
    await given.launch(request("b2"))
    actions = [call.action for call in there.ecs.log[before:]]
    assert actions == ["DescribeImages", "DescribeVSwitches", "RunInstances"]
    with pytest.raises(Denied, match="cn-hangzhou-h"):
        await given.launch(request("b3", zone="cn-hangzhou-h"))


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ({"vpc_id": "vpc-no"}, "there is no VPC vpc-no"),
        ({"v_switch_id": "vsw-no"}, "there is no vSwitch vsw-no"),
        ({"zone_id": None}, r"provider\.zone_id is required"),
        ({"zone_id": "cn-nowhere-x"}, r"InvalidZoneId\.NotFound"),
        ({"security_group_id": "sg-no"}, r"InvalidSecurityGroupId\.NotFound"),
    ],
)
async def test_what_does_not_exist_is_the_users_to_mend(there: Cloud, word: dict[str, Any], text: str) -> None:
    with pytest.raises(Denied, match=text):
        await there.provider(**word).launch(request("b1"))


async def test_a_group_that_was_left_without_rules_gets_them(there: Cloud) -> None:
    await there.provider().launch(request("b1"))
    (group,) = there.ecs.network.groups
    there.ecs.network.rules[group].clear()
    await there.provider().launch(request("b2"))
    assert len(there.ecs.network.rules[group]) == 1


async def test_a_vswitch_that_was_removed_is_made_again(there: Cloud) -> None:
    provider = there.provider()
    await provider.launch(request("b1"))
    there.ecs.network.vswitches.clear()
    there.ecs.network.tokens.clear()
    with pytest.raises(Denied, match=r"InvalidVSwitchId\.NotFound"):
        await provider.launch(request("b2"))
    await provider.launch(request("b2"))
    assert len(there.ecs.instances) == 2


async def test_the_newest_image_is_taken_where_the_file_names_none(there: Cloud) -> None:
    await there.provider().launch(request("b1"))
    (made,) = there.ecs.instances.values()
    assert made.asked.image_id == "ubuntu_24_04_x64_20G_alibase_20260915.vhd"


async def test_a_key_pair_is_made_of_the_logins_key(there: Cloud) -> None:
    await there.provider(key_name="ray", login=KEY).launch(request("b1"))
    assert there.ecs.network.key_pairs == {"ray": KEY.public_key}
    await there.provider(key_name="ray").launch(request("b2"))
    with pytest.raises(Denied, match="no key pair other"):
        await there.provider(key_name="other").launch(request("b3"))


async def test_a_launch_template_brings_image_and_network(there: Cloud) -> None:
    await there.provider().launch(request("b1"))
    (made,) = there.ecs.instances.values()
    words = ("InstanceType", "ImageId", "VSwitchId", "SecurityGroupIds")
    there.ecs.templates["lt-1"] = {name: made.asked.to_map()[name] for name in words}
    before = len(there.ecs.log)
    await there.provider({"LaunchTemplateId": "lt-1"}).launch(request("b2", 2))
    assert [call.action for call in there.ecs.log[before:]] == ["RunInstances"]
    assert len(there.ecs.instances) == 3


async def test_a_parameter_that_the_cloud_does_not_have_is_named(there: Cloud) -> None:
    with pytest.raises(Denied, match="RunInstances knows no InstanceTyp"):
        await there.provider({"InstanceTyp": "ecs.g7.large"}).launch(request("b1"))


async def test_the_readme_lists_exactly_the_rights_that_are_used(there: Cloud) -> None:
    provider = there.provider(key_name="ray", login=KEY)
    await provider.launch(request("b1", 2))
    await provider.prepare(request("b2"), StandbyMode.STOPPED)
    while not (resting := [one.id for one in await provider.list() if one.state is MachineState.STANDBY]):
        pass
    await provider.start(replace(request("b3"), reuse=tuple(resting)))
    await there.provider(key_name="ray", login=KEY).launch(request("b4"))
    await provider.release(tuple(there.ecs.instances))
    readme = Path(rayfleet.providers.aliyun.__file__).with_name("README.md").read_text()
    block = re.findall(r"```json\n(.*?)```", readme, re.DOTALL)[0]
    listed = {action for statement in json.loads(block)["Statement"] for action in statement["Action"]}
    used = {call.action for call in there.ecs.log}
    assert {action for action in listed if action.startswith("ecs:")} == {f"ecs:{action}" for action in used}
    assert {action.removeprefix("vpc:") for action in listed if action.startswith("vpc:")} == {
        action for action in used if action.endswith(("Vpc", "Vpcs", "VSwitch", "VSwitches"))
    }


@pytest.mark.parametrize(
    ("taken", "wanted", "free"),
    [
        ((), None, "172.16.0.0/20"),
        ((), "172.16.9.0/24", "172.16.9.0/24"),
        (("172.16.0.0/24",), None, "172.16.16.0/20"),
        (("172.16.9.0/24",), "172.16.9.0/24", "172.16.16.0/20"),
    ],
)
def test_free_addresses(taken: tuple[str, ...], wanted: str | None, free: str) -> None:
    assert free_block("172.16.0.0/12", taken, wanted) == free


def test_a_vpc_can_be_full() -> None:
    with pytest.raises(Denied, match="no addresses left"):
        free_block("172.16.0.0/20", ["172.16.0.0/24"], None)
