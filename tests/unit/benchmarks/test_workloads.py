"""The generator of planning problems: what it promises, and that it always makes the same."""

from collections import Counter

import pytest
from benchmarks.parts.planner import CASES, snapshot_of
from benchmarks.workloads import (
    GIB,
    Case,
    MachineType,
    Shape,
    case,
    catalogue,
    falling_counts,
    fits,
    least_usd_per_hour,
)

from rayfleet.model import UNITS


def test_there_are_fifty_types_with_prices() -> None:
    types = {each.name: each for each in catalogue()}
    assert len(types) == 50
    assert types["m5.xlarge"].resources == {"CPU": 4.0, "memory": float(int(16 * GIB * 0.7))}
    assert types["m5.xlarge"].usd_per_hour == 0.192
    assert types["r5.2xlarge"].resources["ssd"] == 2.0
    assert types["g5.12xlarge"].resources["accelerator_type:A10G"] == 1.0
    assert sum("GPU" in each.resources for each in types.values()) == 18


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_what_its_name_says_and_always_the_same(name: str) -> None:
    kind, count, _ = name.split("_")
    problem = case(name)
    assert sum(shape.count for shape in problem.shapes) == int(count)
    assert len(problem.shapes) == (1 if kind == "homog" else int(kind.removeprefix("mix")))
    assert problem == case(name)


def test_mixed_work_is_distinct_fits_and_has_every_sort() -> None:
    problem = case("mix100_10000_t50")
    shapes = [tuple(sorted(shape.resources.items())) for shape in problem.shapes]
    assert len(set(shapes)) == 100
    assert all(any(fits(shape.resources, each) for each in problem.types) for shape in problem.shapes)
    sorts = Counter(next((n for n in ("GPU", "ssd") if n in shape.resources), "CPU") for shape in problem.shapes)
    assert sorts["GPU"] >= 10
    assert sorts["ssd"] >= 5
    assert sorts["CPU"] >= 50


@pytest.mark.parametrize("name", ["mix100_10000_t5", "odd_10_t50"])
def test_an_unknown_case_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        case(name)


def test_counts_fall_and_sum_up() -> None:
    counts = falling_counts(100, 1000)
    assert sum(counts) == 1000
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= 1


def test_the_bound_is_the_cheapest_price_of_what_is_wanted_most() -> None:
    types = (MachineType("a", {"CPU": 4.0, "memory": 10.0}, 1.0), MachineType("b", {"CPU": 2.0}, 0.4))
    assert least_usd_per_hour(Case("x", types, (Shape({"CPU": 1.0}, 10),))) == pytest.approx(2.0)
    assert least_usd_per_hour(Case("x", types, (Shape({"CPU": 1.0, "memory": 10.0}, 10),))) == pytest.approx(10.0)


def test_a_case_becomes_a_snapshot_without_loss() -> None:
    problem = case("mix100_1000_t50")
    snapshot = snapshot_of(problem)
    assert [task.count for task in snapshot.demand.tasks] == [shape.count for shape in problem.shapes]
    assert [pool.offers[0].usd_per_hour for pool in snapshot.policy.pools] == [t.usd_per_hour for t in problem.types]
    first, shape = snapshot.demand.tasks[0].shape, problem.shapes[0].resources
    assert {name: units / UNITS for name, units in first.items()} == pytest.approx(dict(shape))
