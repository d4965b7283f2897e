"""Provider `aws` on the emulator, for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayfleet.contracts import LaunchRequest, Login, ProviderContext, StandbyProvider, StartScript, TypeConfig
from rayfleet.model import CPU, FrozenMap, Market, OfferKey, Pool, Resources
from rayfleet.providers.aws import Settings
from rayfleet.providers.aws.client import Client
from rayfleet.providers.aws.provider import AwsProvider
from rayfleet.testing.clouds.aws import REGION, AwsEmulator

POOL = Pool("cpu1", Resources.of({CPU: 1}))
ON_DEMAND = OfferKey(POOL.name, "aws", REGION, None, Market.ON_DEMAND)
SPOT = OfferKey(POOL.name, "aws", REGION, None, Market.SPOT)
LOGIN = Login("ubuntu", public_key="ssh-ed25519 AAAA somebody")


def start_script(pool: Pool, head: bool) -> StartScript:
    """Return what the emulator's machines are given and never run."""
    return StartScript(("start", pool.name, "head" if head else "worker"), FrozenMap({"RAY_X": "1"}))


def context(
    emulator: AwsEmulator,
    folder: Path,
    cluster: str = "c",
    node_config: Mapping[str, Any] | None = None,
    **settings: Any,
) -> ProviderContext:
    """Return what a provider of the emulator is built from; the pool is as `node_config` says. Fleets: where asked."""
    made = Settings(
        region=REGION,
        endpoint_url=emulator.endpoint_url,
        **{"aws_credentials": emulator.credentials, "fleet": False, **settings},
    )
    types = {POOL.name: TypeConfig(node_config=node_config)} if node_config is not None else {}
    return ProviderContext(cluster, folder, made, start_script, types, LOGIN)


def provider(made: ProviderContext) -> StandbyProvider:
    """Return a provider."""
    return AwsProvider(made, Client(made.settings))


def request(batch: str, count: int, offer: OfferKey = ON_DEMAND, *, head: bool = False) -> LaunchRequest:
    """Return a request for so many machines."""
    return LaunchRequest(batch, offer, POOL, tuple(f"c{n}" for n in range(count)), head=head)
