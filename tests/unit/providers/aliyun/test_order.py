"""A pool's words in the file -> what the cloud is asked for; the section's words -> settings."""

from typing import Any

import pytest
from pydantic import ValidationError

from rayfleet.contracts import Denied, TypeConfig
from rayfleet.model import Market
from rayfleet.providers.aliyun import Settings
from rayfleet.providers.aliyun.order import parameters

RAYS_SECTION: dict[str, Any] = {
    "region": "cn-hangzhou",
    "zone_id": "cn-hangzhou-b",
    "cidr_block": "172.16.0.0/24",
    "cache_stopped_nodes": True,
    "access_key": None,
    "access_key_secret": None,
    "key_name": "ray",
    "security_group_rule": [
        {"port_range": "22/22", "source_cidr_ip": "0.0.0.0/0", "ip_protocol": "tcp"},
        {"port_range": "8265/8265", "source_cidr_ip": "0.0.0.0/0", "ip_protocol": "tcp"},
    ],
}
RAYS_WORKER: dict[str, Any] = {
    "InstanceType": "ecs.n4.2xlarge",
    "ImageId": "ubuntu_20_04_x64_20G_alibase_20210420.vhd",
    "InstanceMarketOptions": {"MarketType": "spot"},
    "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 100}}],
}


def asked(words: dict[str, Any], market: Market | None = None, price: float | None = None) -> dict[str, Any]:
    return parameters(TypeConfig(None, words, price), market, 7.0, internal=False)


def test_rays_own_section_is_taken() -> None:
    settings = Settings.model_validate(RAYS_SECTION)
    assert (settings.zone_id, settings.key_name) == (("cn-hangzhou-b",), "ray")
    assert [rule.port_range for rule in settings.security_group_rule] == ["22/22", "8265/8265"]


def test_what_rays_code_adds_to_the_section_is_taken() -> None:
    word = {"vpc_id": "vpc-1", "v_switch_id": "vsw-1", "security_group_id": "sg-1"}
    settings = Settings.model_validate({**RAYS_SECTION, **word})
    assert (settings.vpc_id, settings.v_switch_id, settings.security_group_id) == ("vpc-1", ("vsw-1",), ("sg-1",))


def test_other_words_for_region_and_zone() -> None:
    settings = Settings.model_validate({"location": "us-west-1", "availability_zone": "us-west-1a, us-west-1b"})
    assert (settings.region, settings.zone_id) == ("us-west-1", ("us-west-1a", "us-west-1b"))


def test_an_unknown_key_is_refused_and_keys_are_never_shown() -> None:
    word = {**RAYS_SECTION, "access_key": "LTAI-visible", "access_key_secret": "very-secret"}
    shown = repr(Settings.model_validate(word)) + str(Settings.model_validate(word).model_dump(mode="json"))
    assert "LTAI" not in shown
    assert "very-secret" not in shown
    with pytest.raises(ValidationError, match="zone_ids") as raised:
        Settings.model_validate({**word, "zone_ids": "x"})
    assert "very-secret" not in str(raised.value)


def test_rays_own_worker_is_a_spot_machine_with_a_larger_disk() -> None:
    said = asked(RAYS_WORKER)
    assert said["SpotStrategy"] == "SpotAsPriceGo"
    assert said["SystemDisk"] == {"Size": "100"}
    assert not {"InstanceMarketOptions", "BlockDeviceMappings"} & set(said)


@pytest.mark.parametrize(
    ("words", "market", "price", "wanted"),
    [
        ({}, None, None, {"SpotStrategy": "NoSpot"}),
        ({}, Market.SPOT, None, {"SpotStrategy": "SpotAsPriceGo"}),
        ({}, Market.SPOT, 0.25, {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": 1.75}),
        ({}, None, 0.25, {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": 1.75}),
        (
            {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": "0.4"},
            None,
            None,
            {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": 0.4},
        ),
        ({"SpotStrategy": "SpotAsPriceGo"}, None, None, {"SpotStrategy": "SpotAsPriceGo"}),
        (
            {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": 0.4},
            Market.ON_DEMAND,
            None,
            {"SpotStrategy": "NoSpot"},
        ),
    ],
)
def test_the_offers_market_decides_and_then_the_words(
    words: dict[str, Any], market: Market | None, price: float | None, wanted: dict[str, Any]
) -> None:
    said = asked(words, market, price)
    assert {name: value for name, value in said.items() if name.startswith("Spot")} == wanted


def test_parts_of_the_system_disk_by_their_long_names() -> None:
    said = asked({"SystemDiskCategory": "cloud_essd", "SystemDisk.Size": 60, "SystemDisk": {"PerformanceLevel": "PL1"}})
    assert said["SystemDisk"] == {"Category": "cloud_essd", "Size": "60", "PerformanceLevel": "PL1"}


def test_further_devices_are_data_disks() -> None:
    devices = [{"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 500, "VolumeType": "cloud_essd"}}]
    disks = asked({"BlockDeviceMappings": devices})["DataDisk"]
    assert disks == [{"Size": 500, "Category": "cloud_essd", "Device": "/dev/xvdb"}]


def test_a_disk_of_another_cloud_is_refused() -> None:
    with pytest.raises(Denied, match="gp3"):
        asked({"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeType": "gp3"}}]})


def test_what_is_rayfleets_to_say_is_refused() -> None:
    with pytest.raises(Denied, match="Amount, UserData"):
        asked({"UserData": "x", "Amount": 3})


def test_a_key_that_is_written_as_a_number_is_not_shown_either() -> None:
    settings = Settings.model_validate({"region": "r", "access_key": 12345678, "access_key_secret": 87654321})
    assert settings.access_key_secret is not None
    assert settings.access_key_secret.get_secret_value() == "87654321"
    assert "8765" not in repr(settings)


def test_a_launch_template_goes_without_our_defaults() -> None:
    said = asked({"LaunchTemplateId": "lt-1", "SystemDiskSize": 60})
    assert said == {"LaunchTemplateId": "lt-1", "SystemDisk": {"Size": "60"}}


def test_defaults() -> None:
    said = asked({})
    assert said["InstanceType"] == "ecs.g7.xlarge"
    assert (said["InternetMaxBandwidthOut"], said["InternetChargeType"]) == (5, "PayByTraffic")
    inside = parameters(TypeConfig(), None, 1.0, internal=True)
    assert inside["InternetMaxBandwidthOut"] == 0
    assert "InternetChargeType" not in inside
