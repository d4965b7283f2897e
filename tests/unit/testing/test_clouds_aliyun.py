"""The pretended Alibaba Cloud, spoken to by hand and by the cloud's own client library."""

import asyncio
import base64
import json
import subprocess
import urllib.parse
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from rayfleet.providers.aliyun import Settings
from rayfleet.providers.aliyun.client import EcsClient
from rayfleet.providers.aliyun.errors import ApiError
from rayfleet.providers.aliyun.start import asking
from rayfleet.testing.clouds.aliyun import Addresses, Ecs
from rayfleet.testing.clouds.aliyun_state import Instance


@pytest.fixture
def ecs() -> Iterator[Ecs]:
    with Ecs() as made:
        yield made


def by_hand(
    ecs: Ecs, path: str, body: object = None, *, action: str = "", method: str = "POST", plain: bool = False
) -> tuple[int, Any]:
    connection = HTTPConnection(ecs.endpoint, timeout=60)
    try:
        connection.request(method, path, json.dumps(body), {"x-acs-action": action})
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, text if plain else json.loads(text)
    finally:
        connection.close()


def client(ecs: Ecs) -> EcsClient:
    keys = {"access_key": "key", "access_key_secret": "hush"}
    return EcsClient(Settings.model_validate({"region": ecs.region, "endpoint": f"http://{ecs.endpoint}", **keys}))


async def placed(ecs: Ecs) -> dict[str, Any]:
    """Make a network; return what RunInstances needs."""
    made = client(ecs)
    vpc = (await made.call("CreateVpc", RegionId=ecs.region))["VpcId"]
    await made.call("DescribeVpcs", RegionId=ecs.region)
    where = {"RegionId": ecs.region, "VpcId": vpc}
    switch = await made.call("CreateVSwitch", **where, ZoneId="cn-hangzhou-b", CidrBlock="172.16.0.0/20")
    group = await made.call("CreateSecurityGroup", **where)
    image = "ubuntu_20_04_x64_20G_alibase_20210420.vhd"
    network = {"VSwitchId": switch["VSwitchId"], "SecurityGroupIds": [group["SecurityGroupId"]]}
    return {"RegionId": ecs.region, "InstanceType": "ecs.g7.large", "ImageId": image, **network}


@pytest.mark.parametrize(
    ("action", "query", "code"),
    [
        ("RunInstances", {"Quantity": "1"}, "UnsupportedParameter"),
        ("RunInstances", {"Tag.1.Kex": "a"}, "UnsupportedParameter"),
        ("RunInstances", {"Amount": "many"}, "InvalidParameter"),
        ("RunInstancez", {}, "InvalidAction.NotFound"),
        ("DescribeRegions", {}, "InvalidAction.NotFound"),
        ("DescribeInstances", {"RegionId": "elsewhere"}, "InvalidRegionId.NotFound"),
        ("DescribeInstances", {"MaxResults": "101"}, "InvalidParameter"),
    ],
)
def test_what_the_library_does_not_have_is_refused(ecs: Ecs, action: str, query: dict[str, str], code: str) -> None:
    status, body = by_hand(ecs, f"/?{urllib.parse.urlencode(query)}", action=action)
    assert status >= 400
    assert body["Code"] == code
    assert ecs.log[-1].code == code


async def test_faults_the_log_and_machines_by_hand(ecs: Ecs) -> None:
    asked = await placed(ecs)
    await client(ecs).call("RunInstances", **asked, Amount=2)
    first, second = ecs.instances
    by_hand(ecs, "/_fault", {"action": "DescribeInstances", "code": "ServiceUnavailable", "status": 503})
    with pytest.raises(ApiError, match="ServiceUnavailable: as told"):
        await client(ecs).call("DescribeInstances", RegionId=ecs.region)
    by_hand(ecs, "/_instance", {"id": first, "locked": "Recycling"})
    by_hand(ecs, "/_instance", {"id": second, "gone": True})
    rows = (await client(ecs).call("DescribeInstances", RegionId=ecs.region))["Instances"]["Instance"]
    assert [row["OperationLocks"]["LockReason"][0]["LockReason"] for row in rows] == ["Recycling"]
    _, log = by_hand(ecs, "/_log", method="GET")
    assert [(call["action"], call["code"]) for call in log["calls"]][-3:] == [
        ("RunInstances", ""),
        ("DescribeInstances", "ServiceUnavailable"),
        ("DescribeInstances", ""),
    ]


async def test_client_tokens_answer_again_or_refuse(ecs: Ecs) -> None:
    asked = {**await placed(ecs), "ClientToken": "t", "Amount": 2}
    first = await client(ecs).call("RunInstances", **asked)
    again = await client(ecs).call("RunInstances", **asked)
    assert first["InstanceIdSets"] == again["InstanceIdSets"]
    with pytest.raises(ApiError, match="IdempotentParameterMismatch"):
        await client(ecs).call("RunInstances", **{**asked, "Amount": 3})
    assert len(ecs.instances) == 2


async def test_pages_by_token_and_by_number_have_every_machine_once(ecs: Ecs) -> None:
    asked = await placed(ecs)
    await client(ecs).call("RunInstances", **asked, Amount=7)
    found, token = [], None
    for _ in range(4):
        page = await client(ecs).call("DescribeInstances", RegionId=ecs.region, MaxResults=2, NextToken=token)
        found += [row["InstanceId"] for row in page["Instances"]["Instance"]]
        token = page.get("NextToken")
    assert token is None
    numbered = [
        row["InstanceId"]
        for number in (1, 2, 3)
        for row in (await client(ecs).call("DescribeInstances", RegionId=ecs.region, PageNumber=number, PageSize=3))[
            "Instances"
        ]["Instance"]
    ]
    assert found == numbered == list(ecs.instances)


async def test_machines_can_be_real_hosts() -> None:
    seen: list[str] = []

    def host(instance: Instance) -> Addresses:
        seen.append(instance.user_data)
        return Addresses("127.0.0.5", "127.0.0.6")

    with Ecs(on_launch=host) as ecs:
        data = base64.b64encode(b"#!/bin/bash\n").decode()
        await client(ecs).call("RunInstances", **await placed(ecs), UserData=data)
        assert seen == ["#!/bin/bash\n"]
        (row,) = (await client(ecs).call("DescribeInstances", RegionId=ecs.region))["Instances"]["Instance"]
    assert row["VpcAttributes"]["PrivateIpAddress"]["IpAddress"] == ["127.0.0.5"]
    assert row["PublicIpAddress"]["IpAddress"] == ["127.0.0.6"]


async def test_machines_are_told_who_they_are() -> None:
    """By the very commands that user-data has."""
    with Ecs(on_launch=lambda _: Addresses("127.0.0.5")) as ecs:
        data = base64.b64encode(b"#!/bin/bash\n").decode()
        await client(ecs).call("RunInstances", **await placed(ecs), UserData=data)
        (made,) = ecs.instances
        curl = 'curl() { command curl --interface 127.0.0.5 "$@"; }; '
        for what, told in (("meta-data/instance-id", made), ("user-data", "#!/bin/bash\n")):
            command = ["bash", "-c", curl + asking(f"http://{ecs.endpoint}", what)]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
            assert done.stdout == told
        elsewhere, _ = by_hand(ecs, "/latest/api/tokens", method="GET", plain=True)
        assert elsewhere == 404


async def test_a_template_says_what_the_request_does_not(ecs: Ecs) -> None:
    words = await placed(ecs)
    ecs.templates["lt-1"] = {name: value for name, value in words.items() if name != "RegionId"}
    await client(ecs).call("RunInstances", RegionId=ecs.region, LaunchTemplateId="lt-1")
    assert [one.instance_type for one in ecs.instances.values()] == ["ecs.g7.large"]
    with pytest.raises(ApiError, match="InvalidLaunchTemplateId"):
        await client(ecs).call("RunInstances", RegionId=ecs.region, LaunchTemplateId="lt-2")


async def test_sizes_of_kinds_of_machines(ecs: Ecs) -> None:
    body = await client(ecs).call("DescribeInstanceTypes", InstanceTypes=["ecs.gn6i-c4g1.xlarge"])
    (row,) = body["InstanceTypes"]["InstanceType"]
    assert (row["CpuCoreCount"], row["MemorySize"], row["GPUAmount"]) == (4, 15.0, 1)
