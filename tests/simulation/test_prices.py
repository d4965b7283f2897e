"""Prices while a cluster runs, on virtual time: they reach the next plan, and machines stay."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayfleet.config import ClusterSpec, load
from rayfleet.contracts import Denied, Fetched, FetchedPrice, Flaky, PriceQuestion
from rayfleet.launcher.controller import PRICES_AGAIN_S
from rayfleet.launcher.price_watch import PriceWatch
from rayfleet.launcher.repricing import repriced
from rayfleet.loop.watch import kept_up
from rayfleet.model import DisruptionBudget, Market, Offer, Phase, Policy, Pool, Resources
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.testing.world import World
from rayfleet.wire.catalogue import tables
from rayfleet.wiring import registry

FILE = """\
cluster_name: c
max_workers: 4
provider: {type: aws, region: moonwest}
head_node_type: h
available_node_types:
  h: {node_config: {InstanceType: m5.large}}
  w: {node_config: {InstanceType: m5.large, InstanceMarketOptions: {MarketType: spot}}, max_workers: 4}
"""
HOUR_S = 3600.0


class Cloud:
    """Tells prices, which it may change or refuse, and keeps what it was asked."""

    def __init__(self) -> None:
        self.usd = {Market.ON_DEMAND: 0.1, Market.SPOT: 0.04}
        self.fails: Exception | None = None
        self.fails_for: Market | None = None
        self.asked: list[tuple[float, Market]] = []

    async def prices(self, settings: Any, question: PriceQuestion) -> Fetched:
        (market,) = question.markets
        self.asked.append((asyncio.get_running_loop().time(), market))
        if self.fails and self.fails_for in (None, market):
            raise self.fails
        rows = [FetchedPrice(question.region, name, market, self.usd[market]) for name in question.names]
        return Fetched("the moon", question.at[:10], rows)

    def hours(self, market: Market) -> list[float]:
        return [round(at / HOUR_S, 1) for at, which in self.asked if which is market]


class Target:
    """What plans are made from."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def spec(text: str = FILE) -> ClusterSpec:
    return load(text, registry(), "c.yaml")


def watched(cloud: Cloud, hours: float, text: str = FILE, mends_h: float | None = None) -> Policy:
    """Watch prices for so long, as a controller does; return the policy in the end. `mends_h`: then nothing fails."""
    target = Target(spec(text).policy)

    async def read() -> ClusterSpec:
        return spec(text)

    async def story() -> None:
        kind = replace(registry()["aws"], prices=cloud.prices)
        watch = PriceWatch(kind, read, target, VirtualClock())
        running = asyncio.create_task(kept_up(watch.run, PRICES_AGAIN_S))
        if mends_h is not None:
            await asyncio.sleep(mends_h * HOUR_S)
            cloud.fails = None
        await asyncio.sleep((hours - (mends_h or 0.0)) * HOUR_S)
        assert not running.done()
        running.cancel()

    run_virtual(story())
    return target.policy


def offered(policy: Policy) -> list[float | None]:
    pools = (*policy.pools, *((policy.head,) if policy.head else ()))
    return [offer.usd_per_hour for pool in pools for offer in pool.offers]


def test_prices_reach_the_policy_while_it_runs() -> None:
    """Nobody knows any on the moon before; spot is asked for about every hour, on demand once a day."""
    cloud = Cloud()
    assert offered(spec().policy) == [None, None]
    assert offered(watched(cloud, 12.0)) == [0.04, 0.1]
    assert 10 <= len(cloud.hours(Market.SPOT)) <= 12
    assert cloud.hours(Market.ON_DEMAND) == [0.0]


def test_a_cloud_that_fails_is_asked_again_after_an_hour_and_one_that_refuses_after_a_day() -> None:
    for error, least, most in ((Flaky("no answer"), 10, 12), (Denied("may not"), 1, 1)):
        cloud = Cloud()
        cloud.fails = error
        assert offered(watched(cloud, 12.0)) == [None, None]
        for market in (Market.SPOT, Market.ON_DEMAND):
            assert least <= len(cloud.hours(market)) <= most


def test_an_answer_that_nobody_expected_is_asked_for_again_an_hour_later() -> None:
    cloud = Cloud()
    cloud.fails = KeyError("PriceList")
    assert offered(watched(cloud, 0.9)) == [None, None]
    assert len(cloud.asked) == 1
    assert offered(watched(cloud, 2.0, mends_h=0.9)) == [0.04, 0.1]


def test_one_market_that_fails_does_not_keep_the_other_from_being_asked_for() -> None:
    cloud = Cloud()
    cloud.fails_for = Market.ON_DEMAND
    cloud.fails = Denied("may not")
    assert offered(watched(cloud, 3.0)) == [0.04, None]


def test_a_file_that_does_not_want_it_asks_nobody_and_still_takes_what_others_asked() -> None:
    cloud = Cloud()
    assert offered(watched(cloud, 48.0, FILE + "refresh_prices: false\n")) == [None, None]
    assert cloud.asked == []
    rows = [FetchedPrice("moonwest", "m5.large", Market.SPOT, 0.03)]
    target = Target(spec().policy)

    async def story() -> None:
        async def read() -> ClusterSpec:
            return spec(FILE + "refresh_prices: false\n")

        kind = replace(registry()["aws"], prices=cloud.prices)
        running = asyncio.create_task(PriceWatch(kind, read, target, VirtualClock()).run())
        await asyncio.sleep(100)
        tables.keep("aws", Fetched("somebody", "2099-01-01", rows))
        await asyncio.sleep(100)
        running.cancel()

    run_virtual(story())
    assert offered(target.policy) == [0.03, None]
    assert cloud.asked == []


# ---- machines ------------------------------------------------------------------------------------------

BUDGET = (DisruptionBudget(100, percent=True),)


def zoned(near: float, far: float) -> Policy:
    """Return a policy with one pool in two zones, whose machines may be replaced."""
    offers = (Offer(near, Market.SPOT, "near"), Offer(far, Market.SPOT, "far"))
    pool = Pool("w", Resources.of({"CPU": 4}), max_workers=20, offers=offers, restartable=True)
    return Policy(
        pools=(pool,),
        idle_timeout_s=60.0,
        consolidation_threshold=0.5,
        consolidate_after_s=60.0,
        disruption_budgets=BUDGET,
    )


def launched(policy: Policy, course: list[tuple[float, float]]) -> tuple[list[str], set[str]]:
    """Run ten machines full of work while prices take a course, a step every two minutes.

    Return the zone of each launch and the prices that plans were made with.
    """
    world = World(policy)
    used = set()

    async def story() -> None:
        world.engine.submit(Resources.of({"CPU": 3}), count=10, run_s=100_000.0)
        async with world.controller() as reconciler:
            await world.until(lambda: sum(claim.phase is Phase.READY for claim in world.claims) == 10)
            for near, far in course:
                reconciler.policy = repriced(reconciler.policy, zoned(near, far))
                used.add(str([offer.usd_per_hour for offer in reconciler.policy.pools[0].offers]))
                await asyncio.sleep(120)

    run_virtual(story())
    calls = [call.request for call in world.provider.calls if call.request is not None and call.verb == "launch"]
    return [request.offer.zone or "" for request in calls for _ in request.claims], used


def test_prices_that_swing_by_a_cent_move_nothing() -> None:
    """The dearer zone becomes the cheaper one and back, again and again, by one per cent."""
    course = [(0.100, 0.1005), (0.101, 0.1000)] * 4
    launches, used = launched(zoned(0.1, 0.1005), course)
    assert launches == ["near"] * 10
    assert len(used) == 1


def test_a_far_move_changes_plans_and_not_the_machines_that_run() -> None:
    """A fifth cheaper next door is no reason to end work, even where machines may be consolidated; nor is a rise."""
    course = [(0.1, 0.08), (0.13, 0.08), (0.1, 0.1), (0.08, 0.1), (0.1, 0.08)]
    launches, used = launched(zoned(0.1, 0.1), course)
    assert launches == ["near"] * 10
    assert len(used) > 3


def test_the_next_launch_goes_where_it_is_cheaper_now() -> None:
    world = World(replace(zoned(0.1, 0.12), consolidation_threshold=None))

    async def story() -> None:
        world.engine.submit(Resources.of({"CPU": 3}), count=2, run_s=100_000.0)
        async with world.controller() as reconciler:
            await world.until(lambda: sum(claim.phase is Phase.READY for claim in world.claims) == 2)
            reconciler.policy = repriced(reconciler.policy, zoned(0.1, 0.07))
            world.engine.submit(Resources.of({"CPU": 3}), count=2, run_s=100_000.0)
            await world.until(lambda: sum(claim.phase is Phase.READY for claim in world.claims) == 4)

    run_virtual(story())
    assert sorted(claim.offer.zone or "" for claim in world.claims) == ["far", "far", "near", "near"]
