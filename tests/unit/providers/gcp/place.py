"""A provider at an emulated project, and requests for it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rayfleet.contracts import LaunchRequest, Login, Machine, Provider, ProviderContext, StartScript, TypeConfig
from rayfleet.model import CPU, Market, OfferKey, Pool, Resources
from rayfleet.providers.gcp import PROVIDER, Settings
from rayfleet.testing.clouds.gcp import GcpEmulator
from rayfleet.testing.clouds.gcp.account import Virtual

CLUSTER = "demo"
POOL = Pool("workers", Resources.of({CPU: 4}))
ZONE = "us-central1-a"
TYPE = {"machineType": "n2-standard-4"}
LOGIN = Login("ubuntu", public_key="ssh-ed25519 AAAA me")


def settings(cloud: GcpEmulator, **more: Any) -> Settings:
    """Return settings for an emulator, with no waiting."""
    where = {} if {"region", "availability_zone"} & set(more) else {"availability_zone": ZONE}
    said = {"project_id": "test-project", "endpoint": cloud.endpoint, "retry_delay_s": 0.0, "poll_s": 0.001}
    return Settings(**{**said, **where, **more})


def at(
    cloud: GcpEmulator, folder: Path, config: Mapping[str, Any] | None = None, cluster: str = CLUSTER, **more: Any
) -> Provider:
    """Return a provider whose only pool has that `node_config`."""
    types = {POOL.name: TypeConfig(node_config=config or TYPE)}
    return PROVIDER.build(ProviderContext(cluster, folder, settings(cloud, **more), start, types, LOGIN))


def start(pool: Pool, head: bool) -> StartScript:
    """Return a start script; nothing runs it."""
    return StartScript(("begin", pool.name))


def wanted(
    batch: str = "b1",
    count: int = 1,
    *,
    zone: str | None = None,
    market: Market | None = None,
    head: bool = False,
    hosts: int = 1,
) -> LaunchRequest:
    """Return a request for so many machines, or replicas of several `hosts`."""
    claims = tuple(f"workers-{number}" for number in range(count))
    return LaunchRequest(batch, OfferKey(POOL.name, "gcp", None, zone, market), POOL, claims, hosts, head)


def made(cloud: GcpEmulator) -> list[Virtual]:
    """Return what is really there, by name."""
    return sorted(cloud.account.machines.values(), key=lambda machine: machine.name)


async def listed(
    provider: Provider, what: Callable[[tuple[Machine, ...]], bool], looks: int = 50
) -> tuple[Machine, ...]:
    """List until `what` holds; every listing lets machines get on."""
    for _ in range(looks):
        machines = await provider.list()
        if what(machines):
            return machines
    raise AssertionError("it did not happen")
