"""The `provider:` section, the catalogue, and what is said when boto3 is missing."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from rayfleet.contracts import TypeConfig
from rayfleet.model import CPU, GPU, Market
from rayfleet.providers.aws import PROVIDER, Settings


@pytest.mark.parametrize(
    "section",
    [
        {"region": "us-west-2", "availability_zone": "us-west-2a,us-west-2b", "cache_stopped_nodes": False},
        {"region": "us-east-1", "key_pair": {"key_name": "mine"}, "use_internal_ips": True},
        {"region": "us-west-2", "security_group": {"GroupName": "ray", "IpPermissions": [{"FromPort": 443}]}},
        {"region": "us-west-2", "cloudwatch": {"agent": {"config": "agent.json"}, "dashboard": {"name": "d"}}},
        {"region": "us-west-2", "disable_node_updaters": True},
        {"aws_credentials": {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_session_token": "c"}},
    ],
)
def test_every_key_of_rays_own_section_is_accepted(section: dict[str, Any]) -> None:
    assert Settings.model_validate(section).model_dump(exclude_unset=True).keys() == section.keys()


def test_what_is_misspelt_is_refused() -> None:
    with pytest.raises(ValidationError, match="zone"):
        Settings.model_validate({"zone": "us-west-2"})


def test_keys_are_not_printed() -> None:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "hush", "aws_session_token": "psst"}
    shown = repr(Settings.model_validate({"aws_credentials": keys}))
    assert "hush" not in shown
    assert "psst" not in shown


def test_zones_are_a_list_too() -> None:
    assert Settings.model_validate({"availability_zone": ["a", "b"]}).zones == ("a", "b")


# ---- the catalogue ----


def test_offers_are_the_zones_in_their_order_with_a_price() -> None:
    assert PROVIDER.catalogue is not None
    settings = Settings(region="us-west-2", availability_zone="us-west-2b,us-west-2a")
    offers = PROVIDER.catalogue.offers(settings, TypeConfig(node_config={"InstanceType": "m5.large"}))
    assert [(offer.zone, offer.region, offer.market) for offer in offers] == [
        ("us-west-2b", "us-west-2", Market.ON_DEMAND),
        ("us-west-2a", "us-west-2", Market.ON_DEMAND),
    ]
    assert all(offer.usd_per_hour is not None and 0.05 < offer.usd_per_hour < 0.2 for offer in offers)


@pytest.mark.parametrize(
    "config",
    [
        TypeConfig(node_config={"InstanceMarketOptions": {"MarketType": "spot"}}),
        TypeConfig("m5.large", {}, 0.05),
    ],
)
def test_spot_is_a_market_of_its_own(config: TypeConfig) -> None:
    assert PROVIDER.catalogue is not None
    (offer,) = PROVIDER.catalogue.offers(Settings(), config)
    assert (offer.market, offer.zone) == (Market.SPOT, None)


def test_a_pool_may_have_one_zone_of_its_own() -> None:
    assert PROVIDER.catalogue is not None
    config = TypeConfig(node_config={"Placement": {"AvailabilityZone": "us-west-2c"}})
    (offer,) = PROVIDER.catalogue.offers(Settings(availability_zone="us-west-2a"), config)
    assert offer.zone == "us-west-2c"


def test_resources_are_what_ray_counts() -> None:
    assert PROVIDER.catalogue is not None
    known = PROVIDER.catalogue.resources(Settings(), TypeConfig(node_config={"InstanceType": "p3.8xlarge"}))
    assert known is not None
    amounts = known.amounts()
    assert (amounts[CPU], amounts[GPU], amounts["accelerator_type:V100"]) == (32, 4, 1)
    assert PROVIDER.catalogue.resources(Settings(), TypeConfig("x99.huge")) is None


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (TypeConfig(), "m5.large"),
        (TypeConfig("c5.large", {"InstanceType": "m5.large"}), "c5.large"),
        (TypeConfig(node_config={"LaunchTemplate": {"LaunchTemplateName": "mine"}}), "launch template mine"),
    ],
)
def test_the_type_is_the_one_that_is_named(config: TypeConfig, kind: str) -> None:
    assert PROVIDER.catalogue is not None
    assert PROVIDER.catalogue.instance_type(Settings(), config) == kind


# ---- without boto3 ----

WITHOUT = """
import sys
from pathlib import Path
sys.modules["boto3"] = None
from rayfleet.contracts import Denied, ProviderContext, StartScript
from rayfleet.providers.aws import PROVIDER, Settings
try:
    PROVIDER.build(ProviderContext("c", Path("/nowhere"), Settings(), lambda pool, head: StartScript(())))
except Denied as error:
    print(error)
"""


def test_a_missing_boto3_is_said_with_what_installs_it() -> None:
    """The section and the catalogue work without it."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=100, check=True)
    assert 'pip install "rayfleet[aws]"' in done.stdout


def test_reading_a_configuration_does_not_load_boto3() -> None:
    script = "import sys, rayfleet.providers.aws as aws; aws.PROVIDER; print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "False"


def test_location_is_the_short_dialects_word_for_the_region() -> None:
    assert Settings.model_validate({"location": "eu-west-1"}).region == "eu-west-1"
    with pytest.raises(ValidationError, match="location"):
        Settings.model_validate({"location": "eu-west-1", "region": "eu-west-2"})
