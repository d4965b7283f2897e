"""Sizes, markets, zones and prices of machines that files name in Google's words or in the short dialect."""

from typing import Any

import pytest

from rayfleet.config import check
from rayfleet.contracts import TypeConfig
from rayfleet.model import CPU, GPU, MEMORY, Market, Offer
from rayfleet.providers.gcp import PROVIDER, Settings
from rayfleet.providers.gcp.catalogue import CATALOGUE

GIB = 2**30
WEST = Settings(region="us-west1", availability_zone="us-west1-a,us-west1-b")
T4 = [{"acceleratorType": "projects/p/zones/z/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 2}]


def test_the_kind_has_it() -> None:
    assert PROVIDER.catalogue is CATALOGUE
    assert PROVIDER.remote


@pytest.mark.parametrize(
    ("config", "amounts"),
    [
        (TypeConfig("n1-standard-4"), {CPU: 4, MEMORY: int(15 * GIB * 0.7)}),
        (TypeConfig(node_config={"machineType": "n1-standard-4"}), {CPU: 4, MEMORY: int(15 * GIB * 0.7)}),
        (TypeConfig("n1-custom-4-8192"), {CPU: 4, MEMORY: int(8 * GIB * 0.7)}),
        (TypeConfig("custom-6-20480"), {CPU: 6, MEMORY: int(20 * GIB * 0.7)}),
        (TypeConfig("e2-custom-8-16384-ext"), {CPU: 8, MEMORY: int(16 * GIB * 0.7)}),
        (
            TypeConfig("n1-standard-2", {"guestAccelerators": T4}),
            {CPU: 2, MEMORY: int(7.5 * GIB * 0.7), GPU: 2, "accelerator_type:T4": 1},
        ),
        (
            TypeConfig("g2-standard-4"),
            {CPU: 4, MEMORY: int(16 * GIB * 0.7), GPU: 1, "accelerator_type:L4": 1},
        ),
    ],
)
def test_what_a_machine_has(config: TypeConfig, amounts: dict[str, float]) -> None:
    found = CATALOGUE.resources(WEST, config)
    assert found is not None
    assert found.amounts() == amounts


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (TypeConfig("z9-unheard-of"), "z9-unheard-of"),
        (TypeConfig(node_config={"acceleratorType": "v2-8", "runtimeVersion": "x"}), "v2-8"),
        (TypeConfig(node_config={"acceleratorConfig": {"type": "V4", "topology": "2x2x1"}}), "V4 2x2x1"),
        (TypeConfig(node_config={"sourceInstanceTemplate": "global/instanceTemplates/worker"}), "worker"),
    ],
)
def test_what_no_table_knows_is_not_guessed(config: TypeConfig, name: str) -> None:
    assert CATALOGUE.resources(WEST, config) is None
    assert CATALOGUE.instance_type(WEST, config) == name
    assert {offer.usd_per_hour for offer in CATALOGUE.offers(WEST, config)} == {None}


def test_an_offer_for_each_zone() -> None:
    zones = [
        (offer.zone, offer.region, offer.provider) for offer in CATALOGUE.offers(WEST, TypeConfig("n1-standard-2"))
    ]
    assert zones == [("us-west1-a", "us-west1", "gcp"), ("us-west1-b", "us-west1", "gcp")]
    (anywhere,) = CATALOGUE.offers(Settings(region="us-west1"), TypeConfig())
    assert (anywhere.zone, anywhere.region) == (None, "us-west1")
    assert CATALOGUE.offers(Settings(), TypeConfig("z9-unheard-of")) == (Offer(provider="gcp"),)


@pytest.mark.parametrize(
    ("config", "limit", "market"),
    [
        ({}, None, Market.ON_DEMAND),
        ({"scheduling": [{"preemptible": True}]}, None, Market.SPOT),
        ({"scheduling": {"provisioningModel": "SPOT"}}, None, Market.SPOT),
        ({}, 0.2, Market.SPOT),
    ],
)
def test_the_market(config: dict[str, Any], limit: float | None, market: Market) -> None:
    offers = CATALOGUE.offers(WEST, TypeConfig("n1-standard-2", config, limit))
    assert {offer.market for offer in offers} == {market}


def test_prices_are_the_tables() -> None:
    (first, _) = CATALOGUE.offers(WEST, TypeConfig("n1-standard-2"))
    assert first.usd_per_hour == pytest.approx(0.095, rel=0.01)
    with_gpus = CATALOGUE.offers(WEST, TypeConfig("n1-standard-2", {"guestAccelerators": T4}))
    assert {offer.usd_per_hour for offer in with_gpus} == {None}


@pytest.mark.parametrize(
    ("limits", "least", "most", "total"),
    [("min_workers: 1, max_workers: 2", 2, 4, 6), ("min_workers: 0", 0, None, 8)],
)
def test_slices_of_several_hosts_are_replicas_of_so_many_machines(
    limits: str, least: int, most: int | None, total: int
) -> None:
    """A file counts slices, as Ray does; a pool and the cluster's limit count machines."""
    text = f"""\
cluster_name: c
max_workers: 4
provider: {{type: gcp, region: us-central2, availability_zone: us-central2-b}}
head_node_type: h
available_node_types:
  h: {{resources: {{}}, node_config: {{machineType: n1-standard-4}}}}
  w: {{resources: {{TPU: 4}}, {limits}, node_config: {{acceleratorType: v4-16, runtimeVersion: tpu-vm-v4-base}}}}
"""
    checked = check(text, {"gcp": PROVIDER}, "c.yaml")
    assert checked.spec is not None
    (pool,) = checked.spec.policy.pools
    assert (pool.hosts_per_replica, pool.min_workers, pool.max_workers) == (2, least, most)
    assert checked.spec.policy.max_workers == total
    assert checked.spec.policy.head is not None
    assert checked.spec.policy.head.hosts_per_replica == 1
    assert any("v4-16 has 2 hosts" in str(notice) for notice in checked.notices)


def test_a_slice_that_nobody_can_read_is_the_files_problem() -> None:
    text = """\
provider: {type: gcp, region: us-central2}
head_node_type: h
available_node_types:
  h: {resources: {}, node_config: {machineType: n1-standard-4}}
  w: {resources: {TPU: 4}, node_config: {acceleratorType: huge}}
"""
    assert "acceleratorType must be such as v4-8" in str(check(text, {"gcp": PROVIDER}, "c.yaml").problems)


def test_a_maximum_price_that_google_does_not_take_is_told_and_not_reckoned_with() -> None:
    text = """\
provider: {type: gcp, location: us-central1}
head_node_type: {name: head, instance_type: n1-standard-2}
worker_node_types: [{name: w, instance_type: n1-standard-4, max_workers: 1, use_spot: true, spot_price: 0.001}]
"""
    checked = check(text, {"gcp": PROVIDER}, "c.yaml")
    assert checked.spec is not None
    (offer,) = checked.spec.policy.pools[0].offers
    assert (offer.region, offer.market) == ("us-central1", Market.SPOT)
    assert offer.usd_per_hour is not None
    assert offer.usd_per_hour > 0.03
    assert any("takes no maximum price: 0.001" in str(notice) for notice in checked.notices)
