"""The generator of planning problems, the bound, and the checker: what they promise."""

from collections import Counter
from typing import Any

import pytest
from benchmarks.problems.bound import least_usd_per_hour
from benchmarks.problems.cases import STANDING, case
from benchmarks.problems.catalogue import GIB, catalogue, types_of
from benchmarks.problems.checker import faults, usd_per_hour
from benchmarks.problems.goals import WISHES
from benchmarks.problems.model import Case, Group, MachineType, Node, Shape, fits, meant
from benchmarks.problems.ours import snapshot_of
from benchmarks.problems.work import falling_counts, mixed, seeded, used_nodes

from rayfleet.model import UNITS


def test_there_are_fifty_types_with_prices() -> None:
    types = {each.name: each for each in catalogue()}
    assert len(types) == 50
    assert types["m5.xlarge"].resources == {"CPU": 4.0, "memory": float(int(16 * GIB * 0.7))}
    assert types["m5.xlarge"].usd_per_hour == 0.192
    assert types["r5.2xlarge"].resources["ssd"] == 2.0
    assert types["g5.12xlarge"].resources["accelerator_type:A10G"] == 1.0
    assert sum("GPU" in each.resources for each in types.values()) == 18
    assert len(types_of("t5")) == 5
    assert len({each.name for each in types_of("t500")}) == 500


@pytest.mark.parametrize("name", STANDING)
def test_a_case_is_what_its_name_says_has_a_goal_and_is_always_the_same(name: str) -> None:
    problem = case(name)
    case.cache_clear()
    assert problem == case(name)
    assert name in WISHES
    kind, *rest = name.split("_")
    if kind.startswith(("homog", "mix", "cpu", "sel")):
        assert sum(shape.count for shape in problem.shapes) == int(rest[0])
        assert len(problem.nodes) == int(next((part[2:] for part in rest if part.startswith("ex")), "0"))
        assert all(any(_takes(each, shape) for each in problem.types) for shape in problem.shapes)


def _takes(each: MachineType, shape: Shape) -> bool:
    return fits(shape.resources, each.resources) and meant(shape.selector, each.labels)


def test_mixed_work_is_distinct_and_has_every_sort() -> None:
    shapes = [tuple(sorted(shape.resources.items())) for shape in mixed(100, 10_000, 1)]
    assert len(set(shapes)) == 100
    sorts = Counter(next((n for n, _ in shape if n in {"GPU", "ssd"}), "CPU") for shape in shapes)
    assert sorts["GPU"] >= 10
    assert sorts["ssd"] >= 5
    assert sorts["CPU"] >= 50


@pytest.mark.parametrize("name", ["mix100_10000", "mix100_10000_t7", "odd_10_t50", "mix_10_t50"])
def test_an_unknown_case_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no such"):
        case(name)


def test_counts_fall_and_sum_up() -> None:
    counts = falling_counts(100, 1000)
    assert sum(counts) == 1000
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= 1


def test_a_case_becomes_a_snapshot_without_loss() -> None:
    problem = case("sel100_10000_t500")
    snapshot = snapshot_of(problem)
    assert [task.count for task in snapshot.demand.tasks] == [shape.count for shape in problem.shapes]
    assert sum(len(pool.offers) for pool in snapshot.policy.pools) == 500
    first, shape = snapshot.demand.tasks[0].shape, problem.shapes[0].resources
    assert {name: units / UNITS for name, units in first.items()} == pytest.approx(dict(shape))
    assert sum(bool(task.selectors) for task in snapshot.demand.tasks) == sum(bool(s.selector) for s in problem.shapes)


def test_used_machines_never_have_less_than_nothing() -> None:
    nodes = used_nodes(200, seeded("x"))
    assert all(0 <= amount <= node.type.resources[name] for node in nodes for name, amount in node.available.items())
    assert sum("GPU" in node.type.resources for node in nodes) in range(8, 40)


# ---- the bound ------------------------------------------------------------------------------------------

A = MachineType("a", {"CPU": 4.0, "memory": 10.0}, 1.0, {"kind": "a"}, "a")
B = MachineType("b", {"CPU": 2.0}, 0.4, {"kind": "b"}, "b")


@pytest.mark.parametrize(
    ("shapes", "groups", "nodes", "expected"),
    [
        ((Shape({"CPU": 1.0}, 10),), (), (), 2.0),
        ((Shape({"CPU": 1.0, "memory": 10.0}, 10),), (), (), 10.0),
        ((Shape({"CPU": 1.0}, 10, (("kind", True, ("a",)),)),), (), (), 2.5),
        ((Shape({"CPU": 3.0}, 4),), (), (), 4.0),  # two never share four CPUs
        ((Shape({"CPU": 1.0}, 10),), (), (Node("n", B, {"CPU": 2.0}),), 1.6),
        ((), (Group("STRICT_PACK", ({"CPU": 1.0}, {"CPU": 2.0}), 2),), (), 2.0),
        ((), (Group("PACK", ({"CPU": 1.0}, {"CPU": 2.0}), 2),), (), 1.2),
        ((), (), (), 0.0),
    ],
)
def test_the_bound_of_small_problems(shapes: Any, groups: Any, nodes: Any, expected: float) -> None:
    assert least_usd_per_hour(Case("x", (A, B), shapes, groups, nodes)) == pytest.approx(expected)


# ---- the checker ------------------------------------------------------------------------------------------

SMALL = Case("x", (A, B), (Shape({"CPU": 1.0}, 3, (("kind", True, ("a",)),)),), nodes=(Node("n", A, {"CPU": 1.0}),))


def told(**changes: Any) -> dict[str, Any]:
    """Return a sound plan for SMALL, changed."""
    sound = {
        "launch": [{"pool": "a", "zone": None, "market": "on_demand", "count": 1}],
        "placements": [
            {"on": "n", "kind": "tasks", "index": 0, "bundle": None, "count": 1},
            {"on": "new:0", "kind": "tasks", "index": 0, "bundle": None, "count": 2},
        ],
        "unmet": [],
    }
    return sound | changes


def placed(on: str, count: int) -> dict[str, Any]:
    return {"on": on, "kind": "tasks", "index": 0, "bundle": None, "count": count}


def test_a_sound_plan_has_no_faults() -> None:
    assert faults(SMALL, told()) == []
    assert usd_per_hour(SMALL, told()) == 1.0


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"placements": [placed("n", 2), placed("new:0", 1)]}, "gets 2.0 CPU of 1.0"),
        ({"placements": [placed("new:0", 2)]}, "2 of 3"),
        ({"placements": [placed("new:7", 3)]}, "no machine"),
        ({"launch": [{"pool": "b", "zone": None, "market": "on_demand", "count": 1}]}, "does not mean"),
        ({"unmet": [{"kind": "tasks", "index": 0, "count": 1}]}, "4 of 3"),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, Any], word: str) -> None:
    assert word in " ".join(faults(SMALL, told(**changes)))


@pytest.mark.parametrize(
    ("strategy", "on", "wrong"),
    [
        ("STRICT_SPREAD", ("new:0", "new:0"), True),
        ("STRICT_SPREAD", ("new:0", "new:1"), False),
        ("STRICT_PACK", ("new:0", "new:1"), True),
        ("STRICT_PACK", ("new:0", "new:0"), False),
    ],
)
def test_strict_groups_are_apart_or_together(strategy: str, on: tuple[str, str], wrong: bool) -> None:
    problem = Case("x", (A,), groups=(Group(strategy, ({"CPU": 1.0}, {"CPU": 2.0}), 1),))
    placements = [
        {"on": where, "kind": "gang", "index": 0, "bundle": bundle, "count": 1} for bundle, where in enumerate(on)
    ]
    launch = [{"pool": "a", "zone": None, "market": "on_demand", "count": 2}]
    assert bool(faults(problem, {"launch": launch, "placements": placements, "unmet": []})) is wrong
