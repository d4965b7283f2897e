"""The `provider:` section: every key that Ray has, and our own."""

from typing import Any

import pytest
from pydantic import ValidationError

from rayfleet.contracts import Denied
from rayfleet.providers.gcp import Settings
from rayfleet.providers.gcp.client import Compute


@pytest.mark.parametrize(
    "section",
    [
        {"region": "us-west1", "availability_zone": "us-west1-a", "project_id": None},
        {"region": "us-central1", "availability_zone": "us-central1-a", "project_id": "my-project"},
        {"_has_tpus": True, "use_internal_ips": True, "cache_stopped_nodes": False, "disable_node_updaters": True},
        {"gcp_credentials": {"type": "credentials_token", "credentials": "t"}, "security_group": {}},
    ],
)
def test_what_ray_takes_is_taken(section: dict[str, Any]) -> None:
    assert Settings(**section).model_fields_set


@pytest.mark.parametrize(
    "section",
    [
        {"regions": "us-west1"},
        {"availability_zone": "us-west1-a,us-east1-b"},
        {"gcp_credentials": {"type": "password", "credentials": "t"}},
        {"list_interval_s": 0},
    ],
)
def test_mistakes_are_found(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**section)


def test_zones_say_the_region() -> None:
    settings = Settings(availability_zone="us-west1-a, us-west1-b")
    assert (settings.zones, settings.where) == (("us-west1-a", "us-west1-b"), "us-west1")
    assert (Settings(region="us-west1").zones, Settings(region="us-west1").where) == ((), "us-west1")
    assert Settings().where == ""


def test_a_credential_is_never_shown() -> None:
    settings = Settings(gcp_credentials={"type": "credentials_token", "credentials": "very-secret"})
    assert "very-secret" not in repr(settings)


@pytest.mark.parametrize("text", ["not json", "{}", '{"type": "service_account"}'])
def test_a_key_file_that_is_none_is_denied_in_words(text: str) -> None:
    settings = Settings(gcp_credentials={"type": "service_account", "credentials": text})
    with pytest.raises(Denied, match="is not a service account's key file"):
        _ = Compute(settings).project


def test_nobody_goes_to_an_endpoint_with_credentials() -> None:
    token = {"type": "credentials_token", "credentials": "t"}
    settings = Settings(endpoint="http://127.0.0.1:1", gcp_credentials=token)
    with pytest.raises(Denied, match="project_id is not set"):
        _ = Compute(settings).project
