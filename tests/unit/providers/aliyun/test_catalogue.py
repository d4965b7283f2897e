"""Sizes and prices by the words of a file."""

from typing import Any

import pytest

from rayfleet.contracts import Price, TypeConfig
from rayfleet.model import Market, Offer, Resources
from rayfleet.providers.aliyun import PROVIDER, Settings
from rayfleet.providers.aliyun.catalogue import AliyunCatalogue
from rayfleet.wire.catalogue.tables import MachineType

GIB = 2**30
SETTINGS = Settings(region="cn-hangzhou", zone_id=("cn-hangzhou-b", "cn-hangzhou-h"))


def types(cloud: str, name: str) -> MachineType | None:
    table = {"ecs.g7.xlarge": MachineType(4, 16 * GIB), "ecs.gn6i-c4g1.xlarge": MachineType(4, 15 * GIB, 1, "T4")}
    return table.get(name) if cloud == "aliyun" else None


def prices(cloud: str, region: str, name: str, market: Market) -> Price | None:
    if (cloud, region, name) != ("aliyun", "cn-hangzhou", "ecs.g7.xlarge"):
        return None
    return Price(0.05 if market is Market.SPOT else 0.2, "2026-11-01", "a table")


CATALOGUE = AliyunCatalogue(types, prices)


def words(**node_config: Any) -> TypeConfig:
    return TypeConfig(node_config=node_config)


def test_the_kind_of_machine_is_the_files_or_the_default() -> None:
    assert CATALOGUE.instance_type(SETTINGS, TypeConfig()) == "ecs.g7.xlarge"
    assert CATALOGUE.instance_type(SETTINGS, TypeConfig("ecs.c7.large")) == "ecs.c7.large"
    assert CATALOGUE.instance_type(SETTINGS, words(InstanceType="ecs.n4.large")) == "ecs.n4.large"


def test_resources_are_what_ray_counts() -> None:
    assert CATALOGUE.resources(SETTINGS, TypeConfig()) == Resources.of({"CPU": 4, "memory": int(16 * GIB * 0.7)})
    gpus = CATALOGUE.resources(SETTINGS, words(InstanceType="ecs.gn6i-c4g1.xlarge"))
    assert gpus is not None
    assert gpus.amounts()["GPU"] == gpus.amounts()["accelerator_type:T4"] == 1
    assert CATALOGUE.resources(SETTINGS, words(InstanceType="ecs.unknown")) is None


@pytest.mark.parametrize(
    ("config", "usd", "market", "zones"),
    [
        (TypeConfig(), 0.2, Market.ON_DEMAND, ["cn-hangzhou-b", "cn-hangzhou-h"]),
        (words(SpotStrategy="SpotAsPriceGo"), 0.05, Market.SPOT, ["cn-hangzhou-b", "cn-hangzhou-h"]),
        (words(InstanceMarketOptions={"MarketType": "spot"}), 0.05, Market.SPOT, ["cn-hangzhou-b", "cn-hangzhou-h"]),
        (words(ZoneId="cn-hangzhou-i"), 0.2, Market.ON_DEMAND, ["cn-hangzhou-i"]),
        (words(VSwitchId="vsw-1"), 0.2, Market.ON_DEMAND, [None]),
        (words(InstanceType="ecs.n4.large"), None, Market.ON_DEMAND, ["cn-hangzhou-b", "cn-hangzhou-h"]),
    ],
)
def test_offers_are_the_zones_of_the_file_with_their_price(
    config: TypeConfig, usd: float | None, market: Market, zones: list[str | None]
) -> None:
    wanted = [Offer(usd, market, zone, "cn-hangzhou", "aliyun") for zone in zones]
    assert list(CATALOGUE.offers(SETTINGS, config)) == wanted


def test_the_kind_says_what_it_is() -> None:
    assert (PROVIDER.name, PROVIDER.remote, PROVIDER.keeps_hosts) == ("aliyun", True, False)
    assert isinstance(PROVIDER.catalogue, AliyunCatalogue)
