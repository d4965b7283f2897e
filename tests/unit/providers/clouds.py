"""The emulated clouds as one: what can go wrong at any of them, and what is there, for stories that all pass."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from rayfleet.contracts import Login, Provider, ProviderContext, ProviderKind, StartScript, TypeConfig
from rayfleet.model import CPU, Pool, Resources
from rayfleet.providers import aliyun, aws, azure, gcp
from rayfleet.testing.clouds import aliyun_front
from rayfleet.testing.clouds import aws as aws_emulator
from rayfleet.testing.clouds import azure as azure_emulator
from rayfleet.testing.clouds import gcp as gcp_emulator
from rayfleet.testing.clouds.aliyun import Ecs

POOL = Pool("workers", Resources.of({CPU: 2}), min_workers=3)
LOGIN = Login("ubuntu", public_key="ssh-ed25519 AAAA me")
FOREVER = 10**6


def start(pool: Pool, head: bool) -> StartScript:
    """Return a start script; nothing runs it."""
    return StartScript(("begin", pool.name))


class Cloud(ABC):
    """One emulated cloud. `zones`: two of them; `per_launch`: so many calls may ask for the machines of one launch."""

    kind: ClassVar[ProviderKind]
    node: ClassVar[Mapping[str, Any]]
    region: ClassVar[str]
    zones: ClassVar[tuple[str, str]]
    per_launch = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        return self.kind.name

    def provider(self) -> Provider:
        """Return the provider of a new controller, which knows only what is on disk."""
        settings = self.kind.settings(**self.section)
        types = {POOL.name: TypeConfig(node_config=self.node)}
        return self.kind.build(ProviderContext("world", self._folder, settings, start, types, LOGIN))

    @property
    @abstractmethod
    def section(self) -> dict[str, Any]:
        """Return the section `provider`, without its type."""

    @abstractmethod
    def there(self) -> dict[str, str]:
        """Return the machines that exist, by id, with the zone of each."""

    @abstractmethod
    def made(self) -> int:
        """Return how many machines there ever were."""

    @abstractmethod
    def calls(self) -> int:
        """Return how many calls there were."""

    @abstractmethod
    def launches(self) -> int:
        """Return how many of them asked for machines."""

    @abstractmethod
    def sold_out(self, zone: str = "") -> None:
        """Have no machine in a zone, or in any."""

    @abstractmethod
    def quota(self) -> None:
        """Allow no machine."""

    @abstractmethod
    def storm(self) -> None:
        """Refuse every call, for there were too many."""

    @abstractmethod
    def lose_answers(self, count: int) -> None:
        """Carry the next launches out and answer none of them."""

    @abstractmethod
    def one_less(self) -> None:
        """Have one machine less in the first zone than is asked for next."""

    @abstractmethod
    def hide_new(self, looks: int) -> None:
        """Have new machines be missing in so many listings."""

    @abstractmethod
    def vanish(self, machine_id: str) -> None:
        """Have a machine be gone, as if it had never been."""

    @abstractmethod
    def heal(self) -> None:
        """Have nothing go wrong any more."""


class Aws(Cloud):
    """EC2."""

    kind = aws.PROVIDER
    node: ClassVar[Mapping[str, Any]] = {"InstanceType": "m5.large", "ImageId": "ami-0123456789abcdef0"}
    region = aws_emulator.REGION
    zones = (f"{region}a", f"{region}b")

    def __init__(self, folder: Path, emulator: aws_emulator.AwsEmulator) -> None:
        super().__init__(folder)
        self._emulator = emulator
        self._made: list[str] = []
        emulator.account.on_launch = lambda each: self._made.append(each.id)

    @property
    def section(self) -> dict[str, Any]:
        emulator = self._emulator
        keys = {"aws_credentials": emulator.credentials}
        return {"region": self.region, "endpoint_url": emulator.endpoint_url, **keys}

    def there(self) -> dict[str, str]:
        return {each.id: each.zone for each in self._emulator.account.living()}

    def made(self) -> int:
        return len(self._made)

    def calls(self) -> int:
        return len(self._emulator.log)

    def launches(self) -> int:
        return len(self._emulator.calls("RunInstances"))

    def sold_out(self, zone: str = "") -> None:
        stock = dict.fromkeys([zone] if zone else self.zones, 0)
        self._emulator.account.stock.update({(zone, "m5.large", "on-demand"): left for zone, left in stock.items()})

    def quota(self) -> None:
        self._emulator.account.quota["on-demand"] = 0

    def storm(self) -> None:
        for action in ("RunInstances", "DescribeInstances", "DescribeSubnets", "DescribeSecurityGroups"):
            self._emulator.fault(aws_emulator.Fault(action, "RequestLimitExceeded", 503, FOREVER))

    def lose_answers(self, count: int) -> None:
        self._emulator.fault(aws_emulator.Fault("RunInstances", "InternalError", 500, count, after=True))

    def one_less(self) -> None:
        self._emulator.account.stock[self.zones[0], "m5.large", "on-demand"] = 2

    def hide_new(self, looks: int) -> None:
        self._emulator.account.hidden_looks = looks

    def vanish(self, machine_id: str) -> None:
        del self._emulator.account.instances[machine_id]

    def heal(self) -> None:
        self._emulator.faults.clear()
        self._emulator.account.stock.clear()
        self._emulator.account.quota.clear()


class Gcp(Cloud):
    """Compute Engine."""

    kind = gcp.PROVIDER
    node: ClassVar[Mapping[str, Any]] = {"machineType": "n2-standard-2"}
    region = "us-central1"
    zones = ("us-central1-a", "us-central1-b")

    def __init__(self, folder: Path, emulator: gcp_emulator.GcpEmulator) -> None:
        super().__init__(folder)
        self._emulator = emulator

    @property
    def section(self) -> dict[str, Any]:
        where = {"project_id": "test-project", "availability_zone": self.zones[0]}
        return {**where, "endpoint": self._emulator.endpoint, "poll_s": 0.001}

    def there(self) -> dict[str, str]:
        return {each.name: each.zone for each in self._emulator.account.machines.values() if not each.deleting}

    def made(self) -> int:
        return self._emulator.account.ever_made

    def calls(self) -> int:
        return self._emulator.calls.total()

    def launches(self) -> int:
        return sum(self._emulator.calls[f"compute.instances.{name}"] for name in ("insert", "bulkInsert"))

    def sold_out(self, zone: str = "") -> None:
        self._fail(operation="ZONE_RESOURCE_POOL_EXHAUSTED", zone=zone)

    def quota(self) -> None:
        self._fail(status=403, reason="quotaExceeded", message="Quota 'CPUS' exceeded. Limit: 2.0")

    def storm(self) -> None:
        self._emulator.faults.append(gcp_emulator.Fault("*", 403, "rateLimitExceeded", times=FOREVER))

    def lose_answers(self, count: int) -> None:
        self._fail(times=count, status=503, done=True)

    def one_less(self) -> None:
        stock = "ZONE_RESOURCE_POOL_EXHAUSTED"
        self._emulator.faults.append(gcp_emulator.Fault("compute.instances.bulkInsert", operation=stock, made=2))

    def hide_new(self, looks: int) -> None:
        self._emulator.account.hide_new = looks

    def vanish(self, machine_id: str) -> None:
        self._emulator.account.vanish(machine_id)

    def heal(self) -> None:
        self._emulator.faults.clear()

    def _fail(self, **fault: Any) -> None:
        for name in ("insert", "bulkInsert"):
            known = {"times": FOREVER, **fault}
            self._emulator.faults.append(gcp_emulator.Fault(f"compute.instances.{name}", **known))


class Azure(Cloud):
    """Virtual machines of a resource group."""

    kind = azure.PROVIDER
    node: ClassVar[Mapping[str, Any]] = {"azure_arm_parameters": {"vmSize": "Standard_D2s_v5"}}
    region = "westus2"
    zones = ("1", "2")
    per_launch = 3

    def __init__(self, folder: Path, emulator: azure_emulator.AzureEmulator) -> None:
        super().__init__(folder)
        self._emulator = emulator

    @property
    def section(self) -> dict[str, Any]:
        where = {"location": self.region, "resource_group": "ray", "subscription_id": azure_emulator.SUBSCRIPTION}
        return {**where, "endpoint": self._emulator.url, "poll_interval_s": 0.001}

    def there(self) -> dict[str, str]:
        found = self._emulator.resources("virtualMachines")
        return {
            each["name"]: each["zones"][0] for each in found if each["properties"]["provisioningState"] != "Deleting"
        }

    def made(self) -> int:
        return len(self._emulator.made)

    def calls(self) -> int:
        return len(self._emulator.log)

    def launches(self) -> int:
        return self._emulator.calls()["PUT virtualmachines"]

    def sold_out(self, zone: str = "") -> None:
        self._emulator.fail(azure_emulator.Fault("SkuNotAvailable", zone=zone, times=-1))

    def quota(self) -> None:
        message = "exceeding approved standardDSv5Family Cores quota"
        self._emulator.fail(azure_emulator.Fault("OperationNotAllowed", message=message, times=-1))

    def storm(self) -> None:
        # It does not say how long to wait: who asks has to know it.
        many = azure_emulator.Fault("TooManyRequests", 429, method="", kind="", times=-1, retry_after_s=0)
        self._emulator.fail(many)

    def lose_answers(self, count: int) -> None:
        self._emulator.fail(azure_emulator.Fault(lost=True, times=count))

    def one_less(self) -> None:
        self._emulator.fail(azure_emulator.Fault("SkuNotAvailable", zone=self.zones[0]))

    def hide_new(self, looks: int) -> None:
        self._emulator.hide_new(looks)

    def vanish(self, machine_id: str) -> None:
        self._emulator.vanish(machine_id)

    def heal(self) -> None:
        self._emulator.heal()


class Aliyun(Cloud):
    """ECS."""

    kind = aliyun.PROVIDER
    node: ClassVar[Mapping[str, Any]] = {"InstanceType": "ecs.g7.large"}
    region = "cn-hangzhou"
    zones = ("cn-hangzhou-b", "cn-hangzhou-h")

    def __init__(self, folder: Path, ecs: Ecs) -> None:
        super().__init__(folder)
        self._ecs = ecs
        self._made: list[str] = []
        ecs.on_launch = lambda each: self._made.append(each.id)

    @property
    def section(self) -> dict[str, Any]:
        keys = {"access_key": "key", "access_key_secret": "hush"}
        where = {"region": self.region, "zone_id": self.zones[0]}
        return {**where, "endpoint": f"http://{self._ecs.endpoint}", **keys}

    def there(self) -> dict[str, str]:
        return {each.id: each.zone for each in self._ecs.instances.values()}

    def made(self) -> int:
        return len(self._made)

    def calls(self) -> int:
        return len(self._ecs.log)

    def launches(self) -> int:
        return len(self._ecs.calls("RunInstances"))

    def sold_out(self, zone: str = "") -> None:
        self._ecs.stock.update(dict.fromkeys([zone] if zone else self.zones, 0))

    def quota(self) -> None:
        self._ecs.quota = 0

    def storm(self) -> None:
        self._ecs.faults.append(aliyun_front.Fault("*", "Throttling.User", status=400, times=FOREVER))

    def lose_answers(self, count: int) -> None:
        self._ecs.faults.append(
            aliyun_front.Fault("RunInstances", "InternalError", status=500, after=True, times=count)
        )

    def one_less(self) -> None:
        self._ecs.stock[self.zones[0]] = 2

    def hide_new(self, looks: int) -> None:
        self._ecs.unseen_looks = looks

    def vanish(self, machine_id: str) -> None:
        self._ecs.forced({"id": machine_id, "gone": True})

    def heal(self) -> None:
        self._ecs.faults.clear()
        self._ecs.stock.clear()
        self._ecs.quota = 10_000


@contextmanager
def cloud(name: str, folder: Path) -> Iterator[Cloud]:
    """Give an emulated cloud of one's own."""
    kinds: dict[str, tuple[Callable[[], AbstractContextManager[Any]], Callable[[Path, Any], Cloud]]] = {
        "aws": (aws_emulator.aws_emulator, Aws),
        "gcp": (gcp_emulator.GcpEmulator, Gcp),
        "azure": (azure_emulator.AzureEmulator, Azure),
        "aliyun": (Ecs, Aliyun),
    }
    emulator, made = kinds[name]
    with emulator() as running:
        yield made(folder, running)


def zones(there: Cloud) -> Counter[str]:
    """Return in which zones machines are."""
    return Counter(there.there().values())
