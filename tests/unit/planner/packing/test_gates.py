"""Hard gates on the standing set: sound plans, nothing unmet, a price within its goal of a bound that none can beat.

Prices are deterministic, so they can be asserted; times cannot, and are the benchmark's.
"""

from dataclasses import replace

import pytest
from benchmarks.problems.bound import least_usd_per_hour
from benchmarks.problems.cases import STANDING, case
from benchmarks.problems.checker import faults, usd_per_hour
from benchmarks.problems.goals import THOROUGH, WISHES
from benchmarks.problems.ours import snapshot_of
from benchmarks.problems.peers import run

from rayfleet.config.plan_out import plan_to_json
from rayfleet.model import Phase
from rayfleet.planner import plan
from rayfleet.planner.invariants import check

QUICK = [name for name in STANDING if name != "mix1000_10000_t50"]
SOON = ["homog_1000_t50", "mix10_1000_t50", "gang_strictpack8gpu_x20", "mix10_1000_t50_ex100"]
"""Cases that Ray plans within two seconds."""
LATER = [name for name in STANDING if name not in SOON]
MOST_S = 60.0
LONG = ["mix100_100000_t50", "mix1000_10000_t50"]
"""Cases of which two plans take a second and more."""


def price(name: str, effort: int = 0) -> float:
    """Plan a case; return its price, after the plan has been checked."""
    problem = case(name)
    snapshot = snapshot_of(problem, effort)
    made = plan(snapshot)
    told = plan_to_json(made, placements=True)
    assert faults(problem, told) == []
    assert told["unmet"] == []
    if len(made.claims) < 3000:
        assert check(snapshot, made) == ()
    return usd_per_hour(problem, told)


@pytest.mark.parametrize("name", QUICK)
def test_every_plan_is_sound_and_within_its_goal(name: str) -> None:
    bound = least_usd_per_hour(case(name))
    assert price(name) <= bound * WISHES[name].ratio + 1e-9
    assert price(name) >= bound * (1 - 1e-6), "no plan is cheaper than the bound"


@pytest.mark.parametrize("name", [name for name in STANDING if name not in LONG])
def test_while_the_machines_are_on_their_way_the_next_plan_changes_nothing(name: str) -> None:
    """However tightly things were packed: the same packing is found again."""
    nothing_changes(name)


@pytest.mark.parametrize("name", ["gang_mixed_x40_tasks2000", "mix100_1000_t50_s2", "sel100_1000_t50"])
def test_nor_does_it_when_some_machines_have_just_joined(name: str) -> None:
    """Ray has not told yet what runs on them: the work still waits, as far as is known."""
    snapshot = snapshot_of(case(name))
    made = plan(snapshot)
    now = snapshot.now + 3
    up = [replace(claim, phase=Phase.READY, since=now - 1) for claim in made.claims[::2]]
    after = replace(snapshot, claims=(*up, *made.claims[1::2]), serial=made.serial, now=now)
    again = plan(after)
    assert (again.launches, again.releases, again.unmet) == ((), (), ())


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_nor_does_it_where_that_takes_long(name: str) -> None:
    nothing_changes(name)


def nothing_changes(name: str) -> None:
    """Plan a case, and once more with the machines of that plan on their way."""
    snapshot = snapshot_of(case(name))
    made = plan(snapshot)
    after = replace(snapshot, claims=tuple(made.claims), serial=made.serial, now=snapshot.now + 3)
    again = plan(after)
    assert (again.launches, again.releases, again.unmet) == ((), (), ())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, wish in WISHES.items() if wish.thorough])
def test_effort_reaches_the_tighter_goal(name: str) -> None:
    bound = least_usd_per_hour(case(name))
    assert price(name, THOROUGH) <= bound * (WISHES[name].thorough or 1.0)


@pytest.mark.slow
def test_a_thousand_shapes() -> None:
    name = "mix1000_10000_t50"
    assert price(name) <= least_usd_per_hour(case(name)) * WISHES[name].ratio


@pytest.mark.parametrize("name", SOON)
def test_never_dearer_than_rays_own_planner(name: str) -> None:
    against_ray(name)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", LATER)
def test_never_dearer_than_rays_own_planner_where_that_takes_long(name: str) -> None:
    against_ray(name)


def against_ray(name: str) -> None:
    """Plan a case with Ray's planner too, unless that takes more than a minute."""
    theirs = run("v2", name, MOST_S)
    if theirs is not None and not theirs.unmet:
        assert price(name) <= theirs.usd_per_hour + 1e-6


@pytest.mark.parametrize("name", ["mix10_1000_t50", "mix100_1000_t5", "cpu100_1000_t50"])
def test_more_effort_is_never_dearer(name: str) -> None:
    prices = [round(price(name, effort), 9) for effort in (0, 1, 10, 30)]  # sums carry rounding errors
    assert prices == sorted(prices, reverse=True)
