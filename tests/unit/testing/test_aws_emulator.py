"""The EC2 emulator, seen through boto3: what a client may rely on in tests."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rayfleet.testing.clouds.aws import REGION, AwsEmulator, Fault, Instance, aws_emulator

IMAGE = "ami-0123456789abcdef0"
ONE = {"ImageId": IMAGE, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}


@pytest.fixture
def emulator() -> Iterator[AwsEmulator]:
    with aws_emulator() as running:
        yield running


@pytest.fixture
def ec2(emulator: AwsEmulator) -> Any:
    retries = Config(retries={"total_max_attempts": 1})
    url = emulator.endpoint_url
    return boto3.client("ec2", region_name=REGION, endpoint_url=url, config=retries, **emulator.credentials)


def failed(call: Any, **parameters: Any) -> tuple[str, int]:
    """Make a call that must fail; return its code and HTTP status."""
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    response = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def post(emulator: AwsEmulator, path: str, told: dict[str, Any]) -> None:
    body = json.dumps(told).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{emulator.endpoint_url}{path}", body), timeout=60) as answer:
        assert answer.status == 200


def test_as_many_as_asked_for_are_made(ec2: Any) -> None:
    assert len(ec2.run_instances(**{**ONE, "MaxCount": 3})["Instances"]) == 3


def test_a_token_gives_the_same_instances_again(ec2: Any) -> None:
    first = ec2.run_instances(**ONE, ClientToken="a")["Instances"][0]["InstanceId"]
    assert ec2.run_instances(**ONE, ClientToken="a")["Instances"][0]["InstanceId"] == first
    assert failed(ec2.run_instances, **{**ONE, "MaxCount": 2}, ClientToken="a") == ("IdempotentParameterMismatch", 400)
    assert ec2.run_instances(**ONE, ClientToken="b")["Instances"][0]["InstanceId"] != first


def test_instances_move_on_as_they_are_looked_at(ec2: Any) -> None:
    (made,) = ec2.run_instances(**ONE)["Instances"]

    def look() -> str:
        (group,) = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"]
        return str(group["Instances"][0]["State"]["Name"])

    assert [look(), look()] == ["pending", "running"]
    ec2.stop_instances(InstanceIds=[made["InstanceId"]])
    assert [look(), look()] == ["stopping", "stopped"]
    ec2.start_instances(InstanceIds=[made["InstanceId"]])
    assert failed(ec2.stop_instances, InstanceIds=[made["InstanceId"]]) == ("IncorrectInstanceState", 400)
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    assert [look(), look(), look()] == ["shutting-down", "terminated", "terminated"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ImageId": "ami-nothing"}, "InvalidAMIID.Malformed"),
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "x99.huge"}, "InvalidParameterValue"),
        ({"SubnetId": "subnet-0"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-0"]}, "InvalidGroup.NotFound"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"LaunchTemplate": {"LaunchTemplateName": "nothing"}}, "InvalidLaunchTemplateId.NotFound"),
        ({"UserData": "x" * 20000}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_does_not_exist_is_refused(ec2: Any, emulator: AwsEmulator, wrong: dict[str, Any], code: str) -> None:
    assert failed(ec2.run_instances, **{**ONE, **wrong})[0] == code
    assert emulator.account.living() == []


def test_what_would_make_unseen_instances_is_refused(ec2: Any) -> None:
    asked = {"LaunchTemplateConfigs": [], "TargetCapacitySpecification": {"TotalTargetCapacity": 1}}
    assert failed(ec2.create_fleet, **asked) == ("NotEmulated", 501)


def test_a_key_pair_that_exists_is_taken(ec2: Any) -> None:
    ec2.create_key_pair(KeyName="mine")
    assert ec2.run_instances(**ONE, KeyName="mine")["Instances"][0]["KeyName"] == "mine"


def test_stock_is_used_up_and_a_part_is_given(ec2: Any, emulator: AwsEmulator) -> None:
    emulator.account.stock["us-west-2a", "m5.large", "on-demand"] = 2
    assert len(ec2.run_instances(**{**ONE, "MaxCount": 5})["Instances"]) == 2
    assert failed(ec2.run_instances, **ONE) == ("InsufficientInstanceCapacity", 500)


def test_spot_instances_have_requests(ec2: Any, emulator: AwsEmulator) -> None:
    made = ec2.run_instances(**ONE, InstanceMarketOptions={"MarketType": "spot"})["Instances"][0]
    assert made["InstanceLifecycle"] == "spot"
    emulator.interrupt(emulator.account.living()[0], "2026-11-23T01:00:00.000Z")
    (found,) = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert (found["SpotInstanceRequestId"], found["Status"]["Code"]) == (
        made["SpotInstanceRequestId"],
        "marked-for-termination",
    )


def test_faults_are_for_certain_parameters_and_times(ec2: Any, emulator: AwsEmulator) -> None:
    """From this process, and by HTTP from another one; the log says what came of each call."""
    emulator.fault(Fault("RunInstances", "VcpuLimitExceeded", parameters={"InstanceType": "c5.large"}))
    post(emulator, "/_fault", {"action": "DescribeInstances", "code": "RequestLimitExceeded", "status": 503})
    ec2.run_instances(**ONE)
    assert failed(ec2.run_instances, **{**ONE, "InstanceType": "c5.large"}) == ("VcpuLimitExceeded", 400)
    ec2.run_instances(**{**ONE, "InstanceType": "c5.large"})
    assert failed(ec2.describe_instances) == ("RequestLimitExceeded", 503)
    with urllib.request.urlopen(f"{emulator.endpoint_url}/_log", timeout=60) as answer:
        log = json.load(answer)
    assert [(call["action"], call["status"], call["code"]) for call in log] == [
        ("RunInstances", 200, ""),
        ("RunInstances", 400, "VcpuLimitExceeded"),
        ("RunInstances", 200, ""),
        ("DescribeInstances", 503, "RequestLimitExceeded"),
    ]


def test_a_state_can_be_forced_with_its_reason(ec2: Any, emulator: AwsEmulator) -> None:
    (made,) = ec2.run_instances(**ONE)["Instances"]
    told = {
        "id": made["InstanceId"],
        "state": "terminated",
        "code": "Server.SpotInstanceTermination",
        "message": "gone",
    }
    post(emulator, "/_instance", told)
    (group,) = ec2.describe_instances()["Reservations"]
    assert group["Instances"][0]["State"]["Name"] == "terminated"
    assert group["Instances"][0]["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_real_hosts_can_stand_for_instances(ec2: Any, emulator: AwsEmulator) -> None:
    """Whoever has them gives their addresses, and reads what each is to run."""
    started: list[Instance] = []
    emulator.account.addresses = iter([("10.9.0.2", "10.9.0.2")])
    emulator.account.on_launch = started.append
    ec2.run_instances(**ONE, UserData="#!/bin/sh\necho hello\n")
    assert [(each.public_address, each.user_data) for each in started] == [("10.9.0.2", b"#!/bin/sh\necho hello\n")]
    states: list[str] = []
    emulator.account.on_state = lambda instance: states.append(instance.state)
    ec2.terminate_instances(InstanceIds=[started[0].id])
    assert states == ["shutting-down"]


def test_listings_have_pages_and_filters(ec2: Any) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "mine", "Value": "yes"}]}]
    ec2.run_instances(**{**ONE, "MaxCount": 12}, TagSpecifications=tags)
    ec2.run_instances(**ONE)
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag:mine", "Values": ["y*"]}], PaginationConfig={"PageSize": 5}
    )
    assert [len(page["Reservations"]) for page in pages] == [5, 5, 2]
    assert failed(ec2.describe_instances, Filters=[{"Name": "nothing", "Values": ["x"]}])[0] == "InvalidParameterValue"
