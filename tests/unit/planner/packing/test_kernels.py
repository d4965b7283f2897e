"""The kernel in C and the one in Python give the same numbers, always."""

import pytest
from benchmarks.problems.cases import case
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.planner.packing.problems import WITH_TASKS, problem_of_case, problems, same, smaller

from rayfleet.planner.packing import kernel, slow, solve
from rayfleet.planner.packing.call import Way
from rayfleet.planner.packing.problem import Problem
from rayfleet.planner.packing.solution import Packer, merit
from rayfleet.planner.packing.starts import paid

needs_c = pytest.mark.skipif(kernel.NAME != "C", reason="the kernel in C was not built: nothing to compare")


@needs_c
@pytest.mark.parametrize("name", WITH_TASKS)
@pytest.mark.parametrize("mode", range(4))
def test_both_kernels_agree_on_the_standing_set(name: str, mode: int) -> None:
    problem = problem_of_case(smaller(case(name)))
    worth = problem.worth
    for any_variant in (False, True):
        way = Way(mode, any_variant)
        quick = kernel.in_c(problem, worth, way, problem.counts, problem.room)
        assert same(quick, slow.start(problem, worth, way, problem.counts, problem.room))
        assert quick.launches.size or not any_variant


@needs_c
@pytest.mark.parametrize("name", WITH_TASKS)
def test_both_kernels_lead_to_the_same_packing(name: str) -> None:
    """All of it: starts, the best mix of their patterns, and parts packed anew."""
    problem = problem_of_case(smaller(case(name)))
    quick, other = (solve(Packer(problem, each), effort=1) for each in (kernel.in_c, slow.start))
    assert same((quick.variant, quick.copies, quick.counts), (other.variant, other.copies, other.counts))
    assert same(quick.fillings, other.fillings)


@needs_c
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(problems(), st.integers(0, 3), st.booleans())
def test_both_kernels_agree_on_random_problems(problem: Problem | None, mode: int, any_variant: bool) -> None:
    """With limits, replicas of several hosts, and the worths that a first start has paid."""
    if problem is None:
        return
    way, worth = Way(mode, any_variant), problem.worth
    for _ in range(2):
        quick = kernel.in_c(problem, worth, way, problem.counts, problem.room)
        assert same(quick, slow.start(problem, worth, way, problem.counts, problem.room))
        found = Packer(problem, kernel.in_c, (any_variant,)).pack(worth, mode, problem.counts, problem.room)
        worth = paid(problem, found, worth)


def test_a_start_leaves_its_arguments_alone() -> None:
    problem = problem_of_case(smaller(case("mix100_1000_t50")))
    counts, room = problem.counts.copy(), problem.room.copy()
    found = Packer(problem, kernel.quickest()).pack(problem.worth, 2, problem.counts, problem.room)
    assert merit(problem, found)[0] == 0
    assert (problem.counts == counts).all()
    assert (problem.room == room).all()


@needs_c
def test_more_launches_than_the_first_arrays_hold() -> None:
    problem = problem_of_case(case("mix1000_10000_t50"))
    start = kernel.in_c(problem, problem.worth, Way(0, any_variant=True), problem.counts, problem.room)
    assert len(start.launches) > 256
    assert not start.left.any()


@pytest.mark.parametrize("library", ["/nowhere/at/all.so", "libc.so.6"])
def test_a_library_that_is_not_ours_is_not_used(library: str) -> None:
    assert kernel.loaded(library) is None
