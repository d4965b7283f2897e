"""What a place knows of its machines fills what a file leaves out, and the file wins where it says something."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.config.clouds import LENIENT, Lenient, LenientKind, Tables

from rayfleet.config import ClusterSpec, check, show
from rayfleet.config.spot_words import Spot, spot_of, with_spot, without_spot
from rayfleet.contracts import Denied, TypeConfig
from rayfleet.model import Market, Offer, Pool

GIB = 2**30
SHARE = 0.7


def read(text: str) -> tuple[ClusterSpec, list[str]]:
    checked = check(text, LENIENT, "c.yaml")
    assert checked.problems == ()
    assert checked.spec is not None
    return checked.spec, [str(notice) for notice in checked.notices]


def aws(worker: str, *, head: str = "node_config: {InstanceType: m5.large}", more: str = "") -> str:
    return f"""\
cluster_name: c
{more}
provider: {{type: aws, region: us-east-1, availability_zone: "us-east-1a,us-east-1b"}}
head_node_type: h
available_node_types:
  h: {{{head}}}
  w: {{{worker}}}
"""


def worker_of(text: str) -> Pool:
    (pool,) = read(text)[0].policy.pools
    return pool


def test_a_type_without_resources_gets_those_of_its_machine() -> None:
    spec, notices = read(aws("node_config: {InstanceType: p3.2xlarge}"))
    (pool,) = spec.policy.pools
    amounts = pool.resources.amounts()
    assert (amounts["CPU"], amounts["GPU"], amounts["accelerator_type:V100"]) == (8, 1, 1)
    assert amounts["memory"] == int(61 * GIB * SHARE)
    assert spec.types["w"].machine == "p3.2xlarge"
    assert spec.policy.head is not None
    assert spec.policy.head.resources.amounts()["CPU"] == 2
    assert notices == [
        "c.yaml:6:3: available_node_types.h: no resources: m5.large has {CPU: 2, memory: 5.6Gi}",
        "c.yaml:7:3: available_node_types.w: no resources: p3.2xlarge has {CPU: 8, GPU: 1, memory: 42.7Gi}",
    ]


def test_the_file_wins_and_both_numbers_are_told() -> None:
    spec, notices = read(aws("node_config: {InstanceType: g5.12xlarge}, resources: {CPU: 64, GPU: 4, memory: 900Gi}"))
    amounts = spec.policy.pools[0].resources.amounts()
    assert (amounts["CPU"], amounts["GPU"], amounts["memory"]) == (64, 4, 900 * GIB)
    assert amounts["accelerator_type:A10G"] == 1
    assert spec.types["w"].filled == ("accelerator_type:A10G",)
    place = "available_node_types.w.resources"
    assert [one for one in notices if ".w" in one] == [
        f"c.yaml:7:66: {place}.CPU: 64 is not what g5.12xlarge has, 48: 64 counts",
        f"c.yaml:7:86: {place}.memory: 900Gi is more than g5.12xlarge has, 192Gi: 900Gi counts",
    ]


def test_zero_is_a_decision() -> None:
    spec, notices = read(aws("node_config: {InstanceType: p3.2xlarge}, resources: {CPU: 0, GPU: 0}"))
    amounts = spec.policy.pools[0].resources.amounts()
    assert "CPU" not in amounts
    assert "GPU" not in amounts
    assert "memory" in amounts
    assert not [one for one in notices if ".w" in one]


def test_all_of_the_memory_is_no_mistake() -> None:
    _, notices = read(aws("node_config: {InstanceType: m5.large}, resources: {CPU: 2, memory: 8Gi}"))
    assert not [one for one in notices if ".w" in one]


def test_a_machine_that_nobody_knows() -> None:
    spec, notices = read(aws("node_config: {InstanceType: m99.huge}"))
    assert not spec.policy.pools[0].resources
    assert (
        "c.yaml:7:3: available_node_types.w: nothing is known about m99.huge "
        "(give the type resources: {CPU: ...}, or work is never placed on it)"
    ) in notices


def test_a_missing_machine_is_the_places_default() -> None:
    spec, _ = read(aws("resources: {CPU: 2}"))
    assert spec.types["w"].machine == "m5.large"


def test_what_a_catalogue_cannot_read_is_the_files_problem() -> None:
    checked = check(aws("node_config: {azure_arm_parameters: 5}"), LENIENT, "c.yaml")
    assert [str(problem) for problem in checked.problems] == [
        (
            "c.yaml:7:7: available_node_types.w.node_config: provider aws cannot read it: 'int' object has no "
            "attribute 'get' (is every value of the kind that the cloud wants there?)"
        )
    ]
    assert checked.spec is None


def test_what_a_provider_refuses_is_told_in_its_words() -> None:
    class Refuses(Tables):
        def offers(self, settings: Lenient, config: TypeConfig) -> tuple[Offer, ...]:
            raise Denied("no such machines on Sundays")

    places = {"aws": LenientKind(catalogue=Refuses("aws", "m5.large"))}
    checked = check(aws("node_config: {}"), places, "c.yaml")
    assert [problem.message for problem in checked.problems] == ["no such machines on Sundays"] * 2


def test_offers_are_the_places_zones_with_prices() -> None:
    spec, _ = read(aws("node_config: {InstanceType: m5.large}"))
    expected = tuple(Offer(0.096, Market.ON_DEMAND, zone, "us-east-1") for zone in ("us-east-1a", "us-east-1b"))
    assert spec.policy.pools[0].offers == expected
    assert spec.policy.head is not None
    assert spec.policy.head.offers == expected


@pytest.mark.parametrize(
    ("options", "usd"),
    [
        ("{MarketType: spot}", 0.04366),
        ("{MarketType: spot, SpotOptions: {MaxPrice: '0.05'}}", 0.04366),
        ("{MarketType: spot, SpotOptions: {MaxPrice: 0.02}}", 0.02),
    ],
)
def test_spot_never_costs_more_than_the_file_allows(options: str, usd: float) -> None:
    pool = worker_of(aws(f"node_config: {{InstanceType: m5.large, InstanceMarketOptions: {options}}}"))
    assert {(one.market, one.usd_per_hour) for one in pool.offers} == {(Market.SPOT, usd)}


def test_a_maximum_below_the_known_price_is_told() -> None:
    options = "{MarketType: spot, SpotOptions: {MaxPrice: 0.02}}"
    _, notices = read(aws(f"node_config: {{InstanceType: m5.large, InstanceMarketOptions: {options}}}"))
    assert (
        "c.yaml:7:3: available_node_types.w: spot machines cost 0.04366 USD/h by the table, the file allows 0.02: "
        "it may get none (allow more, or add an offer on_demand to fall back on)"
    ) in notices


def test_own_offers_get_prices_they_lack() -> None:
    rows = (
        "[{market: spot, max_usd_per_hour: 0.06}, {market: on_demand, zone: us-east-1b}, "
        "{market: on_demand, region: us-west-2}, {market: on_demand, zone: us-east-1c}, {region: mars}, "
        "{usd_per_hour: 7}]"
    )
    spec, _ = read(aws(f"node_config: {{InstanceType: m5.large}}, offers: {rows}"))
    pool = spec.policy.pools[0]
    assert [one.usd_per_hour for one in pool.offers] == [0.04366, 0.096, 0.096, 0.096, None, 7]
    assert spec.types["w"].spot_max_usd_per_hour == 0.06


def test_what_is_bought_otherwise_knows_its_price_on_demand() -> None:
    spot = worker_of(aws("node_config: {InstanceType: m5.large, InstanceMarketOptions: {MarketType: spot}}"))
    assert {one.on_demand_usd_per_hour for one in spot.offers} == {0.096}
    rows = (
        "[{market: reserved, usd_per_hour: 0.05}, {market: on_demand}, {market: spot, region: mars, usd_per_hour: 1}]"
    )
    mixed = worker_of(aws(f"node_config: {{InstanceType: m5.large}}, offers: {rows}"))
    assert [one.on_demand_usd_per_hour for one in mixed.offers] == [0.096, None, None]


def test_an_offer_in_another_region_is_told() -> None:
    rows = "[{region: us-east-1}, {region: us-west-2}, {zone: us-east-1c}]"
    _, notices = read(aws(f"node_config: {{InstanceType: m5.large}}, resources: {{CPU: 2}}, offers: {rows}"))
    (told,) = [notice for notice in notices if "region" in notice]
    assert told.endswith(
        "offers[1].region: us-west-2 is not the cluster's region, us-east-1: nothing can be launched there"
    )


def test_minimums_above_rays_unwritten_maximum_are_told() -> None:
    worker = "node_config: {InstanceType: m5.large}, resources: {CPU: 2}, min_workers: 3"
    told = "at most 2 workers, as in Ray, although the types want 3 at least"
    assert any(told in notice for notice in read(aws(worker))[1])
    assert not any(told in notice for notice in read(aws(worker, more="max_workers: 5"))[1])


def test_a_spot_offer_without_known_price_counts_as_its_maximum() -> None:
    rows = "[{market: spot, max_usd_per_hour: 0.06, region: eu-west-1}, {market: spot, region: eu-west-1}]"
    pool = worker_of(aws(f"node_config: {{InstanceType: m5.large}}, offers: {rows}"))
    assert [one.usd_per_hour for one in pool.offers] == [0.06, 0.06]


def test_the_short_dialect() -> None:
    text = """\
cluster_name: c
provider: {type: aws, region: us-east-1}
head_node_type: {instance_type: m5.large}
worker_node_types:
  - {name: w, instance_type: m5.xlarge, max_workers: 3, use_spot: true, spot_price: 0.1}
"""
    spec, notices = read(text)
    (pool,) = spec.policy.pools
    assert pool.resources.amounts()["CPU"] == 4
    assert pool.offers == (Offer(0.07044, Market.SPOT, None, "us-east-1", on_demand_usd_per_hour=0.192),)
    assert spec.types["w"].machine == "m5.xlarge"
    assert len(notices) == 2


def test_a_legacy_file() -> None:
    text = """\
cluster_name: c
min_workers: 1
max_workers: 2
provider: {type: aws, region: us-west-2}
head_node: {InstanceType: m5.large}
worker_nodes: {InstanceType: m5.xlarge}
"""
    spec, _ = read(text)
    (pool,) = spec.policy.pools
    assert (pool.name, pool.resources.amounts()["CPU"], pool.min_workers, pool.max_workers) == ("worker", 4, 1, 2)
    assert pool.offers == (Offer(0.192, Market.ON_DEMAND, None, "us-west-2"),)


def test_an_added_head_is_the_first_workers_machine_without_cpus() -> None:
    text = """\
cluster_name: c
provider: {type: aws, region: us-east-1}
available_node_types:
  w: {node_config: {InstanceType: m5.large}}
"""
    spec, _ = read(text)
    assert spec.policy.head is not None
    assert (spec.policy.head.name, spec.policy.head.resources.amounts()) == ("head", {})
    assert spec.policy.head.offers[0].usd_per_hour == 0.096
    assert spec.types["head"].machine == "m5.large"


def test_a_file_that_only_names_a_cloud_has_a_head_and_workers_of_the_default_machine() -> None:
    """Ray's smallest example. Ray buys the workers as spot; a file that wants that says so."""
    spec, notices = read("cluster_name: c\nmax_workers: 1\nprovider: {type: aws, region: us-east-1}\n")
    assert spec.policy.head is not None
    assert spec.policy.head.name == "ray.head.default"
    (pool,) = spec.policy.pools
    assert (pool.name, pool.min_workers, pool.max_workers, spec.policy.max_workers) == (
        "ray.worker.default",
        0,
        None,
        1,
    )
    assert pool.resources.amounts()["CPU"] == 2
    assert (pool.offers[0].market, pool.offers[0].usd_per_hour) == (Market.ON_DEMAND, 0.096)
    assert all("default: no resources: m5.large has" in notice for notice in notices)
    assert len(notices) == 2


def test_show_tells_what_was_filled_in() -> None:
    spec, _ = read(aws("node_config: {InstanceType: m5.large}, resources: {CPU: 2}"))
    shown = show(spec)
    assert shown["types"]["w"]["machine"] == "m5.large"
    assert shown["types"]["w"]["filled"] == ["memory"]
    assert shown["policy"]["head"]["offers"][0]["usd_per_hour"] == 0.096


@pytest.mark.parametrize(
    "section",
    [
        "aws_credentials: {aws_access_key_id: Hush, aws_secret_access_key: Hush, aws_session_token: Hush}",
        "gcp_credentials: {type: service_account, credentials: Hush}",
        "access_key: Hush, access_key_secret: Hush",
        "api_key: Hush, deep: [{adminPassword: Hush}]",
    ],
)
def test_show_keeps_secrets_to_itself(section: str) -> None:
    node = "node_config: {KeyName: k, MetadataOptions: {HttpTokens: required}, adminPassword: Hush}"
    spec, _ = read(aws(node).replace("type: aws,", f"type: aws, {section},"))
    shown = show(spec)
    assert "Hush" not in str(shown)
    assert "..." in str(shown["provider"])
    assert shown["types"]["w"]["node_config"] == {
        "KeyName": "k",
        "MetadataOptions": {"HttpTokens": "required"},
        "adminPassword": "...",
    }


WORDS: dict[str, tuple[dict[str, Any], float | None]] = {
    "aws": ({"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.5"}}}, 0.5),
    "gcp": ({"scheduling": {"onHostMaintenance": "TERMINATE", "provisioningModel": "SPOT"}}, None),
    "azure": ({"azure_arm_parameters": {"priority": "Spot", "billingProfile": {"maxPrice": 0.5}}}, 0.5),
    "aliyun": ({"SpotStrategy": "SpotAsPriceGo"}, None),
}


@pytest.mark.parametrize("place", WORDS)
def test_each_clouds_own_word_for_spot(place: str) -> None:
    node, limit = WORDS[place]
    assert spot_of(node) == Spot(wanted=True, max_usd_per_hour=limit)
    plain = without_spot(node)
    assert not spot_of(plain).wanted
    assert with_spot(place, plain, limit) == node
    assert spot_of(with_spot(place, {}, None)) == Spot(wanted=True)


@pytest.mark.parametrize(
    ("node", "limit"),
    [
        ({"scheduling": [{"preemptible": True}]}, None),
        ({"schedulingConfig": {"preemptible": True}}, None),
        ({"azure_arm_parameters": {"priority": "spot", "billingProfile": {"maxPrice": -1}}}, None),
        ({"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": 0.5}, None),
        ({"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "much"}}}, None),
    ],
)
def test_rays_examples_words(node: dict[str, object], limit: float | None) -> None:
    assert spot_of(node) == Spot(wanted=True, max_usd_per_hour=limit)
