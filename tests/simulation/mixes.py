"""Worlds full of faults, made from a seed: what the chaos tests run the production loop through."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from rayfleet.model import Market, Offer, OfferKey, Policy, Pool, Resources, TickReport, Timeouts
from rayfleet.simulator.chance import Spread, always
from rayfleet.simulator.generators import generated
from rayfleet.simulator.run import Ran, Setting, run
from rayfleet.simulator.scene import Scene, Stock
from rayfleet.simulator.trace import Trace, trace_of

REPEAT = "python -m pytest tests/simulation/test_chaos.py -q -m 'slow or not slow' -k 'seed{seed}]'"
"""What repeats a seed that failed."""

_TIMEOUTS = Timeouts(request_timeout_s=60, boot_timeout_s=150, backoff_first_s=10, backoff_max_s=120)


def chaotic_policy(chance: Random) -> Policy:
    """Return pools that can carry all work of `chaotic_trace`, whatever else is drawn."""
    spot = Offer(0.2, Market.SPOT, "a")
    cpu = Pool(
        "cpu8", Resources.of({"CPU": 8, "memory": 64e9}), offers=(spot, Offer(0.6, zone="a"), Offer(0.65, zone="b"))
    )
    gpu = Pool(
        "gpu4", Resources.of({"CPU": 32, "GPU": 4, "memory": 64e9}), offers=(Offer(4.0, zone="a"), Offer(4.4, zone="b"))
    )
    return Policy(
        pools=(cpu, gpu),
        max_workers=chance.choice((None, 40)),
        idle_timeout_s=chance.choice((20.0, 60.0)),
        upscaling_speed=chance.choice((None, 1.0)),
        downscaling_speed=chance.choice((None, 0.5)),
        timeouts=_TIMEOUTS,
    )


def chaotic_scene(chance: Random) -> Scene:
    """Return a world in which every kind of fault is drawn on or off."""

    def some(most: float) -> float:
        return chance.choice((0.0, chance.uniform(0, most)))

    stock = (
        [Stock(OfferKey("cpu8", market=Market.SPOT), chance.randrange(6), 0.0, 3000.0)] if chance.random() < 0.7 else []
    )
    stock += [Stock(OfferKey("", zone="a"), 3, 600.0, 1500.0)] if chance.random() < 0.5 else []
    return Scene(
        boot_s=chance.choice((always(20.0), Spread("lognormal", (30.0, 0.6)))),
        boot_failures=some(0.3),
        crashes_per_hour=some(2.0),
        spot_interruptions_per_hour=some(6.0),
        spot_notice_s=chance.choice((0.0, 30.0, 120.0)),
        detect_s=chance.choice((0.0, 15.0, 40.0)),
        api_s=chance.choice((always(0.1), Spread("exponential", (3.0,)))),
        api_errors=some(0.3),
        list_interval_s=chance.choice((1.0, 10.0)),
        list_delay_s=chance.choice((0.0, 8.0)),
        engine_outages_per_day=some(96.0),
        engine_outage_s=chance.choice((10.0, 90.0)),
        drains_refused=some(0.4),
        controller_restarts_per_day=some(240.0),
        run_time=chance.choice((always(1.0), Spread("lognormal", (1.0, 0.5)))),
        stock=tuple(stock),
    )


def chaotic_trace(chance: Random, hours: float) -> Trace:
    """Return tasks, bursts and placement groups that all fit somewhere."""
    seed = chance.randrange(10**6)
    words = (
        f"bursty:hours={hours},bursts={3 + 6 * hours:.0f},tasks=60,trickle=40,duration_s=90,row=20",
        f"training:hours={hours},gangs={4 + 4 * hours:.0f},bundles=4,duration_s=400",
    )
    return trace_of(f"chaos {seed}", (row for word in words for row in generated(word, seed).rows))


def chaos(seed: int, hours: float, reports: Callable[[TickReport], None] | None = None) -> Ran:
    """Run one mix. `reports`: is told of every tick."""
    chance = Random(f"chaos {seed}")
    policy, scene, trace = chaotic_policy(chance), chaotic_scene(chance), chaotic_trace(chance, hours)
    return run(Setting(f"seed {seed}", policy, trace, scene, seed, checked=True, reports=reports))


def wrong_with(ran: Ran) -> list[str]:
    """Return what must never be, however much goes wrong: empty when all is well."""
    found = list(ran.problems)
    if ran.counts.doubled:
        found.append(f"{ran.counts.doubled} machines were launched for claims that had one already")
    if ran.machines_left or ran.claims_left:
        found.append(f"{ran.machines_left} machines and {ran.claims_left} claims are left over")
    if ran.left:
        found.append(f"{ran.left} of {ran.setting.trace.tasks} tasks were never done")
    if ran.tally.failed_ticks:
        found.append(f"{ran.tally.failed_ticks} ticks failed")
    return found
