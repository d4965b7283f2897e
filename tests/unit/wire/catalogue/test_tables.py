"""Sizes and prices of machines: what comes with rayfleet, and what was refreshed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet.contracts import Fetched, FetchedPrice, Price
from rayfleet.model import Market, Resources
from rayfleet.wire.catalogue.files import CLOUDS, table
from rayfleet.wire.catalogue.tables import (
    keep,
    machine_type,
    origin,
    price,
    ray_resources,
)

GIB = 2**30
ON_DEMAND, SPOT = Market.ON_DEMAND, Market.SPOT


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("cloud", "name", "cpus", "gib", "gpus", "accelerator"),
    [
        ("aws", "m5.large", 2, 8, 0, ""),
        ("aws", "p3.2xlarge", 8, 61, 1, "V100"),
        ("aws", "g5.12xlarge", 48, 192, 4, "A10G"),
        ("gcp", "n1-standard-2", 2, 7.5, 0, ""),
        ("gcp", "n2-custom-4-8192", 4, 8, 0, ""),
        ("gcp", "custom-6-20480", 6, 20, 0, ""),
        ("gcp", "zones/us-west1-a/machineTypes/e2-highmem-8", 8, 64, 0, ""),
        ("gcp", "g2-standard-24", 24, 96, 2, "L4"),
        ("azure", "Standard_D2s_v3", 2, 8, 0, ""),
        ("azure", "Standard_DS3_v2", 4, 14, 0, ""),
        ("azure", "Standard_E4ads_v5", 4, 32, 0, ""),
        ("azure", "Standard_E4-2s_v3", 2, 32, 0, ""),
        ("azure", "Standard_NC24ads_A100_v4", 24, 220, 1, "A100"),
        ("aliyun", "ecs.n4.large", 2, 4, 0, ""),
        ("aliyun", "ecs.g7.2xlarge", 8, 32, 0, ""),
        ("aliyun", "ecs.c6e.xlarge", 4, 8, 0, ""),
        ("aliyun", "ecs.r7.large", 2, 16, 0, ""),
        ("aliyun", "ecs.t6-c1m2.large", 2, 4, 0, ""),
        ("aliyun", "ecs.gn6v-c8g1.16xlarge", 64, 256, 8, "V100"),
    ],
)
def test_size(cloud: str, name: str, cpus: float, gib: float, gpus: int, accelerator: str) -> None:
    kind = machine_type(cloud, name)
    assert kind is not None
    assert (kind.cpus, kind.memory_bytes / GIB, kind.gpus, kind.accelerator) == (cpus, gib, gpus, accelerator)


@pytest.mark.parametrize(
    ("cloud", "name"),
    [
        ("aws", "m5.small"),
        ("gcp", "n1-standard"),
        ("gcp", "z9-standard-4"),
        ("azure", "Standard_Q8_v9"),
        ("aliyun", "ecs.g7.huge"),
        ("aliyun", "ecs.gn9-c8g1.2xlarge"),
        ("aliyun", "g7.large"),
        ("elsewhere", "m5.large"),
    ],
)
def test_a_name_that_no_rule_knows_is_not_guessed(cloud: str, name: str) -> None:
    assert machine_type(cloud, name) is None
    assert ray_resources(cloud, name) is None


def test_what_ray_counts() -> None:
    assert ray_resources("aws", "m5.large") == Resources.of({"CPU": 2, "memory": int(8 * GIB * 0.7)})
    gpus = ray_resources("aws", "g5.12xlarge")
    assert gpus is not None
    assert gpus.amounts() | {"memory": 0} == {"CPU": 48, "memory": 0, "GPU": 4, "accelerator_type:A10G": 1}
    neuron = ray_resources("aws", "trn1.32xlarge")
    assert neuron is not None
    assert neuron.amounts()["neuron_cores"] == 32


@pytest.mark.parametrize(
    ("cloud", "region", "name", "market", "usd"),
    [
        ("aws", "us-east-1", "m5.large", ON_DEMAND, 0.096),
        ("aws", "us-east-1", "m5.large", SPOT, 0.04366),
        ("aws", "us-west-2", "m5.4xlarge", ON_DEMAND, 0.768),
        ("aws", "us-west-2", "p3.2xlarge", ON_DEMAND, 3.06),
        ("aws", "eu-west-1", "t3.micro", ON_DEMAND, 0.0114),
        ("gcp", "us-west1", "n1-standard-2", ON_DEMAND, 0.095),
        ("gcp", "us-central1", "e2-medium", ON_DEMAND, 0.0335),
        ("gcp", "us-central1", "n2-standard-2", SPOT, 0.0235),
        ("azure", "westus2", "Standard_D2s_v3", ON_DEMAND, 0.096),
        ("azure", "eastus", "Standard_NC6s_v3", ON_DEMAND, 3.06),
        ("azure", "eastus", "Standard_E4-2s_v3", ON_DEMAND, 0.252),
    ],
)
def test_price_that_comes_with_rayfleet(cloud: str, region: str, name: str, market: Market, usd: float) -> None:
    found = price(cloud, region, name, market)
    assert found is not None
    assert found.usd_per_hour == pytest.approx(usd, rel=0.001)
    assert found.as_of.startswith("202")
    assert found.source


def test_no_price_is_none() -> None:
    assert price("aws", "mars-1", "m5.large", ON_DEMAND) is None
    assert price("aliyun", "cn-beijing", "ecs.n4.large", ON_DEMAND) is None
    assert price("gcp", "us-central1", "n1-standard-2", Market.RESERVED) is None


def test_two_sources_agree_where_both_know_a_price() -> None:
    """The rates made of the older source give what the newer says, but for two types whose price was cut since."""
    newer, *_, older = [part for part in table("aws")["prices"] if part["market"] == "on_demand"]
    differ = {
        name
        for name, prices in newer["rows"].items()
        for region, usd in prices.items()
        if (rate := older["rates"].get(name.partition(".")[0], {}).get(region))
        and (kind := machine_type("aws", name))
        and rate[1] * kind.memory_bytes / GIB != pytest.approx(usd, rel=0.005)
    }
    assert differ <= {"p4d.24xlarge", "p5.48xlarge"}


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _numbers(one)
    elif isinstance(value, list):
        yield max(value)
    else:
        assert isinstance(value, float | int)
        yield value


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_price_has_a_source_and_a_day_and_is_above_zero(cloud: str) -> None:
    for part in table(cloud)["prices"]:
        assert part["source"]
        assert len(part["as_of"]) == len("2026-01-01")
        found = list(_numbers(part.get("rows", {}))) + list(_numbers(part.get("rates", {})))
        assert found
        assert min(found) > 0


def test_every_priced_type_of_newer_tables_has_a_size() -> None:
    for cloud in CLOUDS:
        for part in table(cloud)["prices"]:
            if part["source"].startswith("cloudprice"):
                assert [name for name in part["rows"] if machine_type(cloud, name) is None] == []


def test_origin_of_sizes() -> None:
    assert "moto" in origin("aws").source
    assert "rule" in origin("aliyun").source


def _fetched(as_of: str, usd: float) -> Fetched:
    return Fetched("Amazon", as_of, [FetchedPrice("us-east-1", "m5.large", ON_DEMAND, usd)])


def test_refreshed_price_counts_when_it_is_newer() -> None:
    file = keep("aws", _fetched("2099-01-01", 0.2))
    found = price("aws", "us-east-1", "m5.large", ON_DEMAND)
    assert found is not None
    assert (found.usd_per_hour, found.as_of, found.source) == (0.2, "2099-01-01", "Amazon")
    other = price("aws", "us-east-1", "m5.xlarge", ON_DEMAND)
    assert other is not None
    assert other.usd_per_hour == 0.192
    assert {one.name for one in file.parent.iterdir()} == {"aws.json", "aws.lock"}


def test_refreshed_price_that_is_older_than_the_table_does_not_count() -> None:
    keep("aws", _fetched("2024-01-01", 0.2))
    found = price("aws", "us-east-1", "m5.large", ON_DEMAND)
    assert found is not None
    assert found.usd_per_hour == 0.096


def test_prices_that_are_not_told_again_stay_with_their_day() -> None:
    keep("aws", _fetched("2099-01-01", 0.2))
    keep("aws", Fetched("Amazon", "2099-02-01", [FetchedPrice("us-east-1", "m5.large", SPOT, 0.05)]))
    keep("aws", Fetched("Amazon", "2099-03-01", [FetchedPrice("us-west-2", "m5.large", ON_DEMAND, 0.3)]))
    where = (("us-east-1", ON_DEMAND), ("us-east-1", SPOT), ("us-west-2", ON_DEMAND))
    found = [price("aws", region, "m5.large", market) for region, market in where]
    assert [(each.usd_per_hour, each.as_of, each.asked) for each in found if each] == [
        (0.2, "2099-01-01", True),
        (0.05, "2099-02-01", True),
        (0.3, "2099-03-01", True),
    ]


def test_an_answer_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    keep("aws", _fetched("2099-01-01", 0.2))

    def broken() -> Iterator[FetchedPrice]:
        yield FetchedPrice("us-east-1", "m5.large", ON_DEMAND, 0.3)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        keep("aws", Fetched("Amazon", "2099-02-01", broken()))
    found = price("aws", "us-east-1", "m5.large", ON_DEMAND)
    assert found is not None
    assert found.usd_per_hour == 0.2
    (tmp_path / "rayfleet" / "prices" / "aws.json").write_text("{half", encoding="utf-8")
    found = price("aws", "us-east-1", "m5.large", ON_DEMAND)
    assert found is not None
    assert (found.usd_per_hour, found.asked) == (0.096, False)


def test_what_is_no_price_is_not_kept() -> None:
    rows = [FetchedPrice("us-east-1", "m5.large", ON_DEMAND, usd) for usd in (0.0, -1.0, float("nan"), float("inf"))]
    keep("aws", Fetched("Amazon", "2099-02-01", rows))
    found = price("aws", "us-east-1", "m5.large", ON_DEMAND)
    assert found is not None
    assert found.usd_per_hour == 0.096


def test_refreshed_names_are_found_however_they_are_written() -> None:
    row = FetchedPrice("moonwest", "Standard_D4as_v5", SPOT, 0.03)
    keep("azure", Fetched("Microsoft", "2099-01-01", [row]))
    found = price("azure", "moonwest", "standard_d4as_v5", SPOT)
    assert found is not None
    assert found.usd_per_hour == 0.03


def test_refreshes_of_the_past_are_not_held_in_memory() -> None:
    """Else a file with the time of the first would be taken for it."""

    def written(number: int, at_ns: int) -> Price | None:
        os.utime(keep("aws", _fetched("2099-01-01", number)), ns=(at_ns, at_ns))
        return price("aws", "us-east-1", "m5.large", ON_DEMAND)

    for number in range(1, 31):
        found = written(number, number * 1000)
        assert found is not None
        assert found.usd_per_hour == number
    found = written(99, 1000)
    assert found is not None
    assert found.usd_per_hour == 99
