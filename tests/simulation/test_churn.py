"""Machines are launched about as often as the work grows; consolidation comes to rest on work that does not change."""

from collections import Counter
from dataclasses import replace

from rayfleet.model import DisruptionBudget, OfferKey, Policy, ReasonCode, Resources
from rayfleet.simulator.generators import generated
from rayfleet.simulator.run import Ran, Setting, run
from rayfleet.simulator.scene import Scene, Stock
from rayfleet.simulator.trace import Trace, Work, trace_of
from rayfleet.testing.snapshots import pool

CPU8 = pool("cpu8", 0.4, CPU=8, memory=32e9, restartable=True)
CPU32 = pool("cpu32", 1.0, CPU=32, memory=128e9, restartable=True)
CALM = Policy(pools=(CPU8,), idle_timeout_s=300.0)
CALM_WORLD = Scene()
DAY = "diurnal:hours=8,peak=80"


def ran(policy: Policy, trace: Trace, scene: Scene = CALM_WORLD) -> Ran:
    """Simulate with every plan checked."""
    result = run(Setting("own", policy, trace, scene, checked=True))
    assert (result.problems, result.left) == ((), 0)
    return result


def usd(result: Ran) -> float:
    return sum(result.tally.usd.values())


def test_load_that_comes_and_goes_launches_each_machine_about_once() -> None:
    """Cancelling at once what is on its way launches several times as many, for a few per cent of the cost."""
    trace = generated(DAY, 0)
    calm, hasty = ran(CALM, trace), ran(replace(CALM, keep_starting_share=0.0), trace)
    launches, most = len(calm.tally.spans), calm.tally.level("machines").peak
    assert launches <= 2 * most
    assert len(hasty.tally.spans) >= 2 * launches
    assert usd(calm) <= 1.1 * usd(hasty)
    assert calm.tally.wait_sum_s < hasty.tally.wait_sum_s


def test_one_machine_takes_the_place_of_several_once_and_then_all_is_quiet() -> None:
    """Four machines of 8 CPUs are launched while none of 32 is to be had; when there is, their work moves there."""
    trace = trace_of("steady", [Work(0.0, Resources.of({"CPU": 5}), 40_000.0, 4)])
    policy = replace(
        CALM,
        pools=(CPU8, CPU32),
        consolidation_threshold=0.3,
        disruption_budgets=(DisruptionBudget(100, percent=True),),
    )
    scene = Scene(stock=(Stock(OfferKey("cpu32"), machines=0, until_s=600.0),))
    result = ran(policy, trace, scene)
    assert Counter(span.pool for span in result.tally.spans) == {"cpu8": 4, "cpu32": 1}
    assert result.tally.launch_reasons[ReasonCode.REPLACEMENT] == 1
    assert result.tally.release_reasons[ReasonCode.UNDERUSED] == 4
    left_s = max(span.ended_s for span in result.tally.spans if span.pool == "cpu8")
    assert left_s < 3600.0
