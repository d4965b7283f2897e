"""`request_resources`: the cluster's total capacity, used or not, has to hold it."""

from dataclasses import replace

from tests.unit.planner.looking import kept, launched, leaving, planned, sound_plan, unmet

from rayfleet.model import Phase, ReasonCode
from rayfleet.testing.snapshots import Demanded, claim, gang, pool, requested, snapshot, tasks

GPU4 = pool("gpu4", CPU=16, GPU=4)
CPU1 = pool("cpu1", CPU=1)


def test_machines_of_the_minimum_satisfy_it() -> None:
    """D1-15: nothing extra."""
    assert launched(planned(pool("cpu2", CPU=2, min_workers=2), requested(4, CPU=1))) == {"cpu2": 2}


def test_it_launches_what_is_missing_as_far_as_limits_allow() -> None:
    """D1-15. Ray serves a request whole or not at all; here it is met as far as the limits allow."""
    cpu1 = pool("cpu1", CPU=1, max_workers=3)
    result = planned(cpu1, requested(5, CPU=1))
    assert (launched(result), unmet(result)) == ({"cpu1": 3}, [("requested", 0, 2, ReasonCode.POOL_MAX_WORKERS)])


def test_total_capacity_counts_not_free_capacity() -> None:
    """D4-100: two full machines hold 4 x 4 GPU? No: 2 x 4; 7 need two more."""
    full = [claim(f"m{n}", "gpu4", used={"GPU": 4, "CPU": 16}) for n in (1, 2)]
    assert launched(planned(GPU4, *full, requested(2, GPU=4))) == {}
    assert launched(planned(GPU4, *full, requested(4, GPU=4))) == {"gpu4": 2}


def test_without_a_fitting_pool_nothing_breaks() -> None:
    """D4-99."""
    result = planned(CPU1, requested(1, GPU=1))
    assert unmet(result) == [("requested", 0, 1, ReasonCode.NO_POOL_FITS)]


def test_tasks_and_requests_are_combined_by_maximum() -> None:
    """D4-108: not by sum."""
    assert launched(planned(CPU1, requested(5, CPU=1), tasks(3, CPU=1))) == {"cpu1": 5}
    assert launched(planned(CPU1, requested(3, CPU=1), tasks(5, CPU=1))) == {"cpu1": 5}


def test_minimums_and_requests_are_combined_by_maximum() -> None:
    """D4-107, D4-108."""
    assert launched(planned(pool("cpu1", CPU=1, min_workers=4), requested(3, CPU=1))) == {"cpu1": 4}


def test_tasks_come_on_top_of_busy_machines_that_satisfy_a_request() -> None:
    """The request is content with a busy machine, the task is not."""
    busy = claim("m1", "cpu1", used={"CPU": 1})
    assert launched(planned(CPU1, busy, requested(1, CPU=1), tasks(1, CPU=1))) == {"cpu1": 1}


def test_the_head_counts() -> None:
    """D4-107."""
    head = claim("h", "head", head=True, total={"CPU": 2}, used={"CPU": 2})
    assert launched(planned(CPU1, head, requested(3, CPU=1))) == {"cpu1": 1}


def test_starting_machines_count() -> None:
    assert launched(planned(CPU1, claim("m1", "cpu1", Phase.BOOTING), requested(2, CPU=1))) == {"cpu1": 1}


def test_what_it_needs_is_kept_however_idle() -> None:
    """D4-108, D1-17: kept while requested; the rest goes."""
    idle = [claim(f"m{n}", "cpu1", idle_s=1000.0) for n in (1, 2, 3)]
    result = planned(CPU1, *idle, requested(2, CPU=1))
    assert (kept(result), leaving(result)) == (
        {"m1": ReasonCode.NEEDED, "m2": ReasonCode.NEEDED},
        {"m3": ReasonCode.IDLE},
    )


def test_busy_machines_serve_it_first_so_that_idle_ones_may_go() -> None:
    machines = [claim("m1", "cpu1", idle_s=1000.0), claim("m2", "cpu1", used={"CPU": 1})]
    assert leaving(planned(CPU1, *machines, requested(1, CPU=1))) == {"m1": ReasonCode.IDLE}


SMALL, GPU8 = pool("small", 1.0, CPU=1), pool("gpu8", 5.0, CPU=8, GPU=1)


def test_machines_for_tasks_satisfy_a_request_too() -> None:
    """The task needs the GPU machine anyway, whose 8 CPUs are the 8 requested: not eight small ones beside it."""
    result = planned(SMALL, GPU8, requested(8, CPU=1), tasks(1, GPU=1))
    assert (launched(result), unmet(result)) == ({"gpu8": 1}, [])
    assert launched(planned(SMALL, GPU8, requested(10, CPU=1), tasks(1, GPU=1))) == {"gpu8": 1, "small": 2}


def test_tasks_fill_machines_that_are_requested() -> None:
    result = planned(SMALL, GPU8, requested(1, GPU=1), tasks(8, CPU=1))
    assert (launched(result), unmet(result)) == ({"gpu8": 1}, [])


def test_requests_tasks_and_gangs_are_met_by_the_cheapest_machines_for_all_of_them() -> None:
    """Two machines of 8 hold the gang; each request of 4 fits on them too, and the tasks fill what the gang leaves."""
    cpu8, cpu4 = pool("cpu8", 4.0, CPU=8), pool("cpu4", 1.9, CPU=4)
    wants: list[Demanded] = [gang("STRICT_SPREAD", {"CPU": 6}, {"CPU": 6}), requested(4, CPU=4), tasks(4, CPU=1)]
    result = planned(cpu8, cpu4, *wants)
    assert (launched(result), unmet(result)) == ({"cpu8": 2}, [])


def test_a_request_is_met_before_tasks_where_a_limit_leaves_too_little() -> None:
    """As before: the request has its turn first."""
    cpu2 = pool("cpu2", 1.0, CPU=2, max_workers=1)
    result = planned(cpu2, requested(2, CPU=2), tasks(2, CPU=1))
    assert (launched(result), [entry[:3] for entry in unmet(result)]) == ({"cpu2": 1}, [("requested", 0, 1)])


def test_while_requested_machines_are_on_their_way_nothing_changes() -> None:
    wants: list[Demanded] = [requested(10, CPU=1), tasks(1, GPU=1), tasks(7, CPU=1)]
    before = snapshot(SMALL, GPU8, *wants)
    made = sound_plan(before)
    again = sound_plan(replace(before, claims=made.claims, serial=made.serial, now=before.now + 3))
    assert (again.launches, again.releases, again.unmet) == ((), (), ())
