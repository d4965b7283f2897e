"""What Google is asked for, from what users write in Google's words: Ray's own examples and their variations."""

from typing import Any

import pytest

from rayfleet.contracts import Denied, TypeConfig
from rayfleet.model import Market
from rayfleet.providers.gcp.bodies import BULK_FIELDS, DEFAULT_TYPE, Wanted, blueprint, machine_type
from rayfleet.testing.clouds.gcp.discovery import api

PLAIN = Wanted({"rayfleet-cluster": "c"}, {})


def body(config: dict[str, Any], market: Market | None = None, **more: Any) -> dict[str, Any]:
    wanted = Wanted({"rayfleet-cluster": "c"}, more.pop("metadata", {}), market, **more)
    return blueprint(TypeConfig(node_config=config), wanted).named("p", "us-west1-a", "m1")


def test_types_are_named_with_the_zone_for_one_machine_and_without_for_several() -> None:
    config = {
        "machineType": "projects/p/zones/us-west1-b/machineTypes/n1-standard-2",
        "disks": [{"boot": True, "initializeParams": {"diskType": "pd-ssd", "diskSizeGb": 50}}],
        "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}],
    }
    one = body(config)
    assert one["machineType"] == "zones/us-west1-a/machineTypes/n1-standard-2"
    assert one["disks"][0]["initializeParams"]["diskType"] == "zones/us-west1-a/diskTypes/pd-ssd"
    accelerator = "projects/p/zones/us-west1-a/acceleratorTypes/nvidia-tesla-t4"
    assert one["guestAccelerators"][0]["acceleratorType"] == accelerator
    several = blueprint(TypeConfig(node_config=config), PLAIN).bulk(("m1", "m2"))
    properties = several["instanceProperties"]
    assert properties["machineType"] == "n1-standard-2"
    assert properties["disks"][0]["initializeParams"]["diskType"] == "pd-ssd"
    assert properties["guestAccelerators"][0]["acceleratorType"] == "nvidia-tesla-t4"
    assert (several["count"], several["minCount"]) == ("2", "1")
    assert not list(api("compute.v1").wrong("BulkInsertInstanceResource", several))
    assert not list(api("compute.v1").wrong("Instance", one))


def test_the_users_own_mapping_is_left_as_it_is() -> None:
    config = {"machineType": "n1-standard-2", "labels": {"team": "a"}, "tags": {"items": ["web"]}}
    asked = body(config, subnetwork="s")
    assert config == {"machineType": "n1-standard-2", "labels": {"team": "a"}, "tags": {"items": ["web"]}}
    assert asked["labels"] == {"team": "a", "rayfleet-cluster": "c"}
    assert asked["tags"] == {"items": ["rayfleet", "web"]}
    assert body(config)["tags"] == {"items": ["web"]}  # in a network of the user's own


def test_what_several_machines_may_have_is_what_google_says() -> None:
    assert set(api("compute.v1").schemas["InstanceProperties"]["properties"]) == BULK_FIELDS
    assert blueprint(TypeConfig("n2-standard-4"), PLAIN).fits_bulk
    assert not blueprint(TypeConfig(node_config={"hostname": "a.b.c"}), PLAIN).fits_bulk


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (TypeConfig(), DEFAULT_TYPE),
        (TypeConfig("e2-medium"), "e2-medium"),
        (TypeConfig("e2-medium", {"machineType": "n1-standard-2"}), "n1-standard-2"),
        (TypeConfig(node_config={"sourceInstanceTemplate": "global/instanceTemplates/t"}), ""),
    ],
)
def test_the_machine_type(config: TypeConfig, expected: str) -> None:
    assert machine_type(config) == expected


def test_a_template_says_what_is_not_said() -> None:
    asked = blueprint(TypeConfig(node_config={"sourceInstanceTemplate": "global/instanceTemplates/t"}), PLAIN)
    assert asked.template == "global/instanceTemplates/t"
    assert not {"machineType", "disks", "networkInterfaces", "sourceInstanceTemplate"} & set(asked.body)
    assert asked.bulk(("a", "b"))["sourceInstanceTemplate"] == "global/instanceTemplates/t"


@pytest.mark.parametrize(("kind", "image"), [("n2-standard-4", "amd64"), ("c4a-standard-4", "arm64")])
def test_the_default_image_fits_the_processor(kind: str, image: str) -> None:
    disk = body({"machineType": kind})["disks"][0]
    assert disk["boot"]
    assert disk["autoDelete"]
    assert disk["initializeParams"]["sourceImage"].endswith(image)


def test_disks_that_are_made_for_a_machine_go_with_it() -> None:
    fresh = {"initializeParams": {"diskSizeGb": 50}}
    disks = [{"boot": True, **fresh}, {"autoDelete": False, **fresh}, {"source": "zones/z/disks/mine"}]
    assert [disk.get("autoDelete") for disk in body({"disks": disks})["disks"]] == [True, False, None]


RAYS_LIST = [{"preemptible": True}, {"onHostMaintenance": "TERMINATE"}]


@pytest.mark.parametrize(
    ("scheduling", "market", "expected"),
    [
        (None, None, None),
        (RAYS_LIST, None, {"preemptible": True, "automaticRestart": False, "onHostMaintenance": "TERMINATE"}),
        (RAYS_LIST, Market.ON_DEMAND, None),
        (
            None,
            Market.SPOT,
            {
                "provisioningModel": "SPOT",
                "instanceTerminationAction": "DELETE",
                "automaticRestart": False,
                "onHostMaintenance": "TERMINATE",
            },
        ),
        (
            {"provisioningModel": "SPOT", "instanceTerminationAction": "STOP", "automaticRestart": True},
            Market.SPOT,
            {
                "provisioningModel": "SPOT",
                "instanceTerminationAction": "STOP",
                "automaticRestart": False,
                "onHostMaintenance": "TERMINATE",
            },
        ),
        ({"minNodeCpus": 2, "provisioningModel": "SPOT"}, Market.ON_DEMAND, {"minNodeCpus": 2}),
        ({"onHostMaintenance": "MIGRATE"}, None, {"onHostMaintenance": "MIGRATE"}),
    ],
)
def test_the_market_decides_about_scheduling(scheduling: Any, market: Market | None, expected: Any) -> None:
    config = {"machineType": "n1-standard-2", **({"scheduling": scheduling} if scheduling else {})}
    assert body(config, market).get("scheduling") == expected


def test_machines_with_gpus_do_not_migrate() -> None:
    gpus = [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}]
    assert body({"guestAccelerators": gpus})["scheduling"] == {"onHostMaintenance": "TERMINATE"}


def test_the_network_is_the_users_where_there_is_one() -> None:
    assert body({}, subnetwork="s")["networkInterfaces"][0]["subnetwork"] == "s"
    mine = [{"subnetwork": "mine"}]
    assert body({"networkInterfaces": mine}, subnetwork="s")["networkInterfaces"] == mine


def test_the_account_is_the_users_where_there_is_one() -> None:
    assert body({}, service_account="default")["serviceAccounts"][0]["email"] == "default"
    assert "serviceAccounts" not in body({})
    mine = [{"email": "a@b", "scopes": []}]
    assert body({"serviceAccounts": mine}, service_account="default")["serviceAccounts"] == mine


def items(asked: dict[str, Any]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in asked["metadata"]["items"]}


def test_metadata_of_both_counts() -> None:
    theirs = {
        "items": [
            {"key": "install-nvidia-driver", "value": "True"},
            {"key": "ssh-keys", "value": "bob:ssh-rsa B\n"},
            {"key": "startup-script", "value": "echo theirs"},
        ]
    }
    ours = {"ssh-keys": "me:ssh-rsa A", "startup-script": "#!/bin/bash\necho ours\n"}
    found = items(body({"metadata": theirs}, metadata=ours))
    assert found["install-nvidia-driver"] == "True"
    assert found["ssh-keys"].splitlines() == ["bob:ssh-rsa B", "me:ssh-rsa A"]
    assert found["startup-script"].index("echo theirs") < found["startup-script"].index("echo ours")


def test_a_script_of_the_users_ends_without_ending_ours() -> None:
    import subprocess

    theirs = {"items": [{"key": "startup-script", "value": "#!/bin/sh\necho theirs\nexit 3\n"}]}
    script = items(body({"metadata": theirs}, metadata={"startup-script": "#!/bin/bash\necho ours\n"}))[
        "startup-script"
    ]
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["theirs", "ours"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"scheduling": "spot"}, "node_config.scheduling must be a mapping"),
        ({"labels": ["a"]}, "node_config.labels must be a mapping"),
        ({"metadata": {"items": {"a": "b"}}}, "must be a list"),
    ],
)
def test_what_google_could_not_understand_is_denied_in_words(config: dict[str, Any], said: str) -> None:
    with pytest.raises(Denied, match=said):
        body(config)
