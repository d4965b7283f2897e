"""The laptop of somebody with an account at a cloud, whose machines are real hosts."""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.e2e.remote.laptop import Laptop

from rayfleet.testing.clouds.aliyun import Ecs
from rayfleet.testing.clouds.aws import AwsEmulator
from rayfleet.testing.clouds.azure import SUBSCRIPTION, AzureEmulator
from rayfleet.testing.clouds.gcp import GcpEmulator
from rayfleet.testing.hosts.cloud import CloudMachines


@dataclass(frozen=True)
class There:
    """A machine as the cloud's emulator has it."""

    address: str
    head: bool
    user_data: bytes


@dataclass
class Cloud(Laptop, ABC):
    """A laptop with the file cloud.yaml. `kind`: the `node_config` of a kind of machine that the cloud has."""

    kind: ClassVar[dict[str, Any]]
    machines: CloudMachines

    @property
    @abstractmethod
    def section(self) -> dict[str, Any]:
        """Return the file's section `provider`."""

    @abstractmethod
    def living(self) -> list[There]:
        """Return what the emulator has."""

    @abstractmethod
    def launches(self) -> list[str]:
        """Return what tells apart all launches that the emulator has answered with machines: tokens, or names."""

    def write(self, **changes: Any) -> None:
        node = {"resources": {"CPU": 1}, "node_config": self.kind}
        config = {
            "cluster_name": "cloudy",
            "provider": {**self.section, "list_interval_s": 1},
            "auth": {"ssh_user": "root"},
            "idle_timeout_minutes": 0.1,
            "max_workers": 2,
            "head_node_type": "head",
            "available_node_types": {"head": node, "worker": {**node, "min_workers": 0, "max_workers": 2}},
            "setup_commands": ["echo set up > ~/set_up"],
        }
        (self.folder / "cloud.yaml").write_text(json.dumps({**config, **changes}), encoding="utf-8")

    def is_empty(self) -> bool:
        """Say whether the emulator has no machine, and no host runs anything."""
        self.machines.settle()
        return not self.living() and self.machines.running() == {}


@dataclass
class Aws(Cloud):
    """With keys in the environment; the head has its own, by its role."""

    emulator: AwsEmulator
    kind: ClassVar[dict[str, Any]] = {"InstanceType": "m5.large"}

    @property
    def environment(self) -> dict[str, str]:
        keys = {name.upper(): value for name, value in self.emulator.credentials.items()}
        return {**super().environment, **keys, "AWS_EC2_METADATA_DISABLED": "true"}

    @property
    def section(self) -> dict[str, Any]:
        return {"type": "aws", "region": "us-west-2", "endpoint_url": self.emulator.endpoint_url}

    def living(self) -> list[There]:
        return [
            There(each.private_address, each.tags["rayfleet-head"] == "yes", each.user_data)
            for each in self.emulator.account.living()
        ]

    def launches(self) -> list[str]:
        asked = self.emulator.calls("RunInstances", "CreateFleet")
        return [call.parameters["ClientToken"] for call in asked if not call.code]

    def is_empty(self) -> bool:
        return super().is_empty() and not self.emulator.launch_templates


@dataclass
class Aliyun(Cloud):
    """With keys in the file."""

    ecs: Ecs
    kind: ClassVar[dict[str, Any]] = {"InstanceType": "ecs.g7.large"}

    @property
    def section(self) -> dict[str, Any]:
        url = f"http://{self.ecs.endpoint}"
        keys = {"access_key": "testing", "access_key_secret": "testing"}
        where = {"region": self.ecs.region, "zone_id": "cn-hangzhou-b"}
        return {"type": "aliyun", **where, "endpoint": url, "metadata_endpoint": url, **keys}

    def living(self) -> list[There]:
        return [
            There(each.internal, each.tags["rayfleet-head"] == "yes", each.user_data.encode())
            for each in self.ecs.instances.values()
        ]

    def launches(self) -> list[str]:
        return [call.parameters["ClientToken"] for call in self.ecs.calls("RunInstances") if not call.code]


@dataclass
class Gcp(Cloud):
    """Without keys: none are sent to an emulator."""

    emulator: GcpEmulator
    kind: ClassVar[dict[str, Any]] = {"machineType": "n2-standard-2"}

    @property
    def section(self) -> dict[str, Any]:
        where = {"project_id": self.emulator.account.project, "availability_zone": "us-central1-a"}
        return {"type": "gcp", **where, "endpoint": self.emulator.endpoint}

    def living(self) -> list[There]:
        return [
            There(
                each.body["networkInterfaces"][0]["networkIP"],
                each.body["labels"].get("rayfleet-head") == "yes",
                each.metadata.get("startup-script", "").encode(),
            )
            for each in self.emulator.account.machines.values()
        ]

    def launches(self) -> list[str]:
        return self.emulator.account.launches


@dataclass
class Azure(Cloud):
    """The laptop's environment names the subscription; the head asks its metadata service for it."""

    emulator: AzureEmulator
    kind: ClassVar[dict[str, Any]] = {"azure_arm_parameters": {"vmSize": "Standard_D2s_v3"}}

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION}

    @property
    def section(self) -> dict[str, Any]:
        return {"type": "azure", "location": "westus2", "resource_group": "cloudy", "endpoint": self.emulator.url}

    def living(self) -> list[There]:
        return [
            There(each.address, each.tags["rayfleet-head"] == "yes", each.custom_data.encode())
            for each in self.emulator.living()
        ]

    def launches(self) -> list[str]:
        return [*self.emulator.made]
