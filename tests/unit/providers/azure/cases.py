"""Providers on an emulator of Azure, for tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rayfleet.contracts import LaunchRequest, Login, ProviderContext, StartScript, TypeConfig
from rayfleet.model import CPU, Market, OfferKey, Pool, Resources
from rayfleet.providers.azure import Settings
from rayfleet.providers.azure.provider import AzureProvider
from rayfleet.testing.clouds.azure import AzureEmulator

GROUP = "ray-group"
LOCATION = "westus2"
POOL = Pool("cpu1", Resources.of({CPU: 1}))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample someone"


def start_script(pool: Pool, head: bool) -> StartScript:
    """Return what machines would run."""
    return StartScript(("start-ray", pool.name, "head" if head else "worker"))


def settings(emulator: AzureEmulator | None = None, **more: Any) -> Settings:
    """Return settings for an emulator."""
    known: dict[str, Any] = {"location": LOCATION, "resource_group": GROUP, "poll_interval_s": 0.001}
    if emulator is not None:
        known |= {"endpoint": emulator.url, "subscription_id": "00000000-0000-0000-0000-000000000000"}
    return Settings(**(known | more))


def context(
    emulator: AzureEmulator, folder: Path, cluster: str = "c", *, node: Mapping[str, Any] | None = None, **more: Any
) -> ProviderContext:
    """Return what a provider is built from. `node`: azure_arm_parameters; `more`: of the provider section."""
    types = {POOL.name: TypeConfig(node_config={"azure_arm_parameters": dict(node or {})})}
    login = Login(user="ray", public_key=KEY)
    return ProviderContext(cluster, folder, settings(emulator, **more), start_script, types, login)


def built(
    emulator: AzureEmulator,
    folder: Path,
    cluster: str = "c",
    *,
    node: Mapping[str, Any] | None = None,
    clock: Callable[[], float] | None = None,
    **more: Any,
) -> AzureProvider:
    """Return a provider."""
    made_from = context(emulator, folder, cluster, node=node, **more)
    return AzureProvider(made_from, clock) if clock else AzureProvider(made_from)


def request(
    batch: str, *claims: str, zone: str | None = None, market: Market | None = None, head: bool = False
) -> LaunchRequest:
    """Return a request for machines of the pool."""
    offer = OfferKey(POOL.name, "azure", LOCATION, zone, market)
    return LaunchRequest(batch, offer, POOL, claims, head=head)


def names(emulator: AzureEmulator, kind: str = "virtualMachines") -> list[str]:
    """Return the names of what there is of a kind."""
    return [str(one["name"]) for one in emulator.resources(kind)]
