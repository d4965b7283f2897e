"""A controller's prices, from the cloud's API over HTTP to the policy that it plans with."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet.contracts import Price
from rayfleet.launcher import home as homes
from rayfleet.launcher.controller import Controller, Task
from rayfleet.launcher.home import Home
from rayfleet.launcher.price_watch import Intervals
from rayfleet.launcher.spec import assemble, stored
from rayfleet.model import Market
from rayfleet.testing.clouds.aws import AwsEmulator, Fault, aws_emulator
from rayfleet.wire.catalogue.tables import price
from rayfleet.wiring import remote_settings

LIMIT_S = 100.0  # of a test that hangs
AT_ONCE = Intervals(look_s=0.01, first_s=0.0, flaky_s=0.0, denied_s=0.0)


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsEmulator]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with aws_emulator() as running:
        running.prices.spot = {("us-west-2a", "m5.large"): [("2026-11-23T00:00:00.000Z", 0.0333)]}
        running.prices.on_demand = {("us-west-2", "m5.large"): 0.2}
        yield running


def home_of(emulator: AwsEmulator) -> Home:
    """Return a cluster that is up, as its controller finds it."""
    spot = {"InstanceType": "m5.large", "InstanceMarketOptions": {"MarketType": "spot"}}
    file = {
        "cluster_name": "c",
        "max_workers": 4,
        "provider": {"type": "aws", "endpoint_url": emulator.endpoint_url, "aws_credentials": emulator.credentials},
        "head_node_type": "h",
        "available_node_types": {
            "h": {"node_config": {"InstanceType": "m5.large"}},
            "w": {"node_config": spot, "max_workers": 4},
        },
    }
    home = homes.create("c")
    home.write(home.config, json.dumps(file))
    remote_settings(stored(home), home.path, "127.0.0.1").save()
    return home


async def until_priced(home: Home) -> tuple[float | None, float | None]:
    """Keep prices until both are known; return those of head and worker."""
    assembly = assemble(home)
    controller = Controller(assembly, Task("c", foreground=False, owner=None))
    controller.keep_prices(home, AT_ONCE)
    try:
        async with asyncio.timeout(LIMIT_S):
            while True:
                policy = assembly.reconciler.policy
                assert policy.head is not None
                found = policy.head.offers[0].usd_per_hour, policy.pools[0].offers[0].usd_per_hour
                if found[0] == 0.2 and found[1] is not None:
                    return found
                await asyncio.sleep(0.01)
    finally:
        controller.close()
        await assembly.close()


async def test_what_the_cloud_says_is_what_plans_are_made_with(emulator: AwsEmulator) -> None:
    assert await until_priced(home_of(emulator)) == (0.2, 0.0333)
    kept: Price | None = price("aws", "us-west-2", "m5.large", Market.SPOT)
    assert kept is not None
    assert kept.asked


async def test_refusals_and_faults_are_survived(emulator: AwsEmulator) -> None:
    for action, code in (("GetProducts", "AccessDeniedException"), ("DescribeSpotPriceHistory", "InternalError")):
        emulator.fault(Fault(action, code, status=500 if code == "InternalError" else 400, times=3))
    assert await until_priced(home_of(emulator)) == (0.2, 0.0333)
    assert [call.code for call in emulator.calls("GetProducts")][:4] == ["AccessDeniedException"] * 3 + [""]
