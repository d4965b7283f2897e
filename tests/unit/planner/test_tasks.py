"""Tasks: onto what is free, then onto what starts, then onto the cheapest new machines.

Numbers in docstrings (D1-9) are explained in README.md beside this file.
"""

import pytest
from tests.unit.planner.looking import launched, placed, planned, unmet

from rayfleet.model import CAPACITY, EXISTING, Claim, Phase, ReasonCode, TaskDemand
from rayfleet.testing.snapshots import buffer, claim, offer, pool, requested, tasks

CPU1 = pool("cpu1", CPU=1)
CPU4 = pool("cpu4", CPU=4)


@pytest.mark.parametrize("phase", sorted(EXISTING | {Phase.FAILED}))
def test_only_claims_that_will_run_work_count_as_capacity(phase: Phase) -> None:
    """D1-1: leaving and failed ones do not."""
    result = planned(CPU1, claim("m1", "cpu1", phase), tasks(1, CPU=1))
    assert launched(result) == ({} if phase in CAPACITY else {"cpu1": 1})


def test_a_ready_machine_offers_what_its_node_reports_and_a_starting_one_what_its_pool_says() -> None:
    """D1-2: live totals and use, else the configuration."""
    ready = claim("m1", "cpu4", total={"CPU": 2}, used={"CPU": 1})
    starting = claim("m2", "cpu4", Phase.BOOTING)
    result = planned(CPU4, ready, starting, tasks(6, CPU=1))
    assert placed(result) == {"m1": 1, "m2": 4, "new:0": 1}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([tasks(1, CPU=1)], {"cpu1": 1}),
        ([tasks(3, CPU=1)], {"cpu1": 3}),
        ([claim("m1", "cpu1"), tasks(1, CPU=1)], {}),
        ([claim("m1", "cpu1", used={"CPU": 0.1}), tasks(1, CPU=1)], {"cpu1": 1}),
        ([claim("m1", "cpu1", Phase.REQUESTED), tasks(1, CPU=1)], {}),
    ],
    ids=["one", "three", "free", "partly used", "pending"],
)
def test_one_cpu_tasks_on_one_cpu_machines(parts: list[Claim | TaskDemand], expected: dict[str, int]) -> None:
    """D1-9."""
    assert launched(planned(CPU1, *parts)) == expected


def test_ready_machines_are_filled_before_starting_ones_and_those_before_new_ones() -> None:
    result = planned(CPU4, claim("m1", "cpu4", Phase.BOOTING), claim("m2", "cpu4"), tasks(9, CPU=1))
    assert placed(result) == {"m2": 4, "m1": 4, "new:0": 1}


def test_machines_in_use_are_filled_before_idle_ones() -> None:
    """What is idle stays idle, so that it can be given back."""
    result = planned(CPU4, claim("m1", "cpu4"), claim("m2", "cpu4", used={"CPU": 2}), tasks(2, CPU=1))
    assert placed(result) == {"m2": 2}


def test_every_node_has_one_of_each_implicit_resource() -> None:
    """D1-10, D1-22: capacity 1 per node, on new and on existing nodes."""
    wants = tasks(3, amounts={"node:__implicit_one": 1})
    assert launched(planned(CPU1, wants)) == {"cpu1": 3}
    assert launched(planned(CPU1, claim("m1", "cpu1"), wants)) == {"cpu1": 2}
    used = claim("m1", "cpu1", used={"node:__implicit_one": 1})
    assert launched(planned(CPU1, used, wants)) == {"cpu1": 3}


def test_a_node_resource_that_nobody_has_is_infeasible() -> None:
    result = planned(CPU1, tasks(1, amounts={"node:10.0.0.1": 0.01}))
    assert unmet(result) == [("tasks", 0, 1, ReasonCode.NO_POOL_FITS)]


def test_work_for_the_head_goes_to_the_head() -> None:
    head = claim("h", "head", head=True, total={"CPU": 1, "node:__internal_head__": 1})
    result = planned(CPU1, head, tasks(1, CPU=1, amounts={"node:__internal_head__": 0.001}))
    assert (launched(result), placed(result)) == ({}, {"h": 1})


def test_the_capacity_of_the_head_counts() -> None:
    head = claim("h", "head", head=True, total={"CPU": 2})
    assert launched(planned(CPU1, head, tasks(3, CPU=1))) == {"cpu1": 1}


def test_demand_never_breaks_the_cluster_maximum() -> None:
    """D1-11, D4-97."""
    result = planned(CPU1, claim("m1", "cpu1"), tasks(10, CPU=1), requested(10, CPU=1), max_workers=4)
    assert launched(result) == {"cpu1": 3}
    assert unmet(result) == [
        ("requested", 0, 6, ReasonCode.MAX_WORKERS),
        ("tasks", 0, 6, ReasonCode.MAX_WORKERS),
    ]


@pytest.mark.parametrize("flip", [False, True])
def test_unlike_tasks_share_machines_in_any_order(flip: bool) -> None:
    """D1-12: three of one CPU and one of CPU and GPU fit on two machines."""
    mixed = pool("mixed", CPU=2, GPU=1)
    wants = [tasks(3, CPU=1), tasks(1, CPU=1, GPU=1)]
    result = planned(mixed, *(reversed(wants) if flip else wants), max_workers=2)
    assert (launched(result), unmet(result)) == ({"mixed": 2}, [])


def test_fragments_do_not_add_up() -> None:
    """D1-12: two halves on two machines are no whole."""
    half = [claim(f"m{n}", "cpu1", used={"CPU": 0.5}) for n in (1, 2)]
    result = planned(CPU1, *half, tasks(1, CPU=1), max_workers=2)
    assert unmet(result) == [("tasks", 0, 1, ReasonCode.MAX_WORKERS)]


def test_of_unpriced_machines_the_smallest_that_fits_is_taken() -> None:
    """D1-13 (Ray: fewest wasted kinds, then utilisation): small before large, plain before special."""
    pools = [pool("big", CPU=64), pool("small", CPU=2), pool("special", CPU=2, custom=1, GPU=1)]
    assert launched(planned(*pools, tasks(1, CPU=1))) == {"small": 1}


def test_a_machine_that_serves_both_needs_beats_two_machines() -> None:
    """D1-14 with prices: the sum decides."""
    pools = [pool("multi", 1.2, CPU=2, GPU=1), pool("gpu", 1.0, GPU=1), pool("cpu", 0.3, CPU=2)]
    assert launched(planned(*pools, tasks(1, CPU=1, GPU=1))) == {"multi": 1}
    assert launched(planned(*pools, tasks(1, GPU=1), tasks(2, CPU=1))) == {"multi": 1}


AWS_P2 = [
    pool("p2.xlarge", 0.9, CPU=4, GPU=1),
    pool("p2.8xlarge", 7.2, CPU=32, GPU=8),
    pool("p2.16xlarge", 14.4, CPU=64, GPU=16),
]
AWS_M4 = [
    pool("m4.large", 0.1, CPU=2),
    pool("m4.4xlarge", 0.8, CPU=16),
    pool("m4.16xlarge", 3.2, CPU=64),
]


@pytest.mark.parametrize(
    ("wants", "expected"),
    [
        (tasks(1, GPU=8), {"p2.8xlarge": 1}),
        (tasks(4, GPU=1), {"p2.xlarge": 4}),
        (tasks(6, GPU=1), {"p2.xlarge": 6}),
        (tasks(100, CPU=1), {"m4.16xlarge": 1, "m4.4xlarge": 2, "m4.large": 2}),
        (tasks(16, GPU=1), {"p2.16xlarge": 1}),
    ],
    ids=["8 GPU", "4x1 GPU", "6x1 GPU", "100x1 CPU", "16x1 GPU"],
)
def test_the_table_of_machines_at_cloud_prices(wants: TaskDemand, expected: dict[str, int]) -> None:
    """D1-25, D4-95: at equal price per GPU the fewest machines without waste.

    Ray takes one p2.8xlarge for 6x1 GPU (utilisation); six p2.xlarge are 25 % cheaper.
    """
    assert launched(planned(*AWS_P2, *AWS_M4, wants)) == expected


def test_machines_with_gpus_are_not_for_other_work() -> None:
    """D1-23, D1-25, D4-93: even when they are the cheapest ..."""
    pools = [pool("gpu", 0.1, CPU=8, GPU=1), pool("cpu", 1.0, CPU=8, max_workers=2)]
    assert launched(planned(*pools, tasks(16, CPU=1))) == {"cpu": 2}


def test_machines_with_gpus_take_other_work_when_nothing_else_can() -> None:
    """D1-25, D4-95: ... unless the others are at their maximum, or too small."""
    pools = [pool("gpu", 0.1, CPU=8, GPU=1), pool("cpu", 1.0, CPU=8, max_workers=2)]
    assert launched(planned(*pools, tasks(17, CPU=1))) == {"cpu": 2, "gpu": 1}
    assert launched(planned(pool("gpu", CPU=8, GPU=1), pool("cpu", CPU=1), tasks(1, CPU=2))) == {"gpu": 1}


def test_other_work_fills_up_a_machine_that_a_gpu_task_needs() -> None:
    pools = [pool("gpu", 3.0, CPU=8, GPU=1), pool("cpu", 1.0, CPU=8)]
    assert launched(planned(*pools, tasks(1, GPU=1), tasks(8, CPU=1))) == {"gpu": 1}


@pytest.mark.parametrize("where", ["existing", "new"])
def test_work_that_needs_nothing_needs_one_machine(where: str) -> None:
    """D1-23, D4-93: zero resources do not divide by zero and do not launch by count."""
    existing = [claim("m1", "cpu1", used={"CPU": 1})] if where == "existing" else []
    result = planned(CPU1, *existing, tasks(50))
    assert launched(result) == ({} if existing else {"cpu1": 1})
    assert unmet(result) == []


def test_a_head_alone_runs_work_that_needs_nothing() -> None:
    assert launched(planned(CPU1, claim("h", "head", head=True, total={}), tasks(5))) == {}


def test_object_store_is_ignored_when_choosing_a_pool_that_does_not_name_it() -> None:
    """D4-101."""
    result = planned(CPU1, tasks(1, CPU=1, object_store_memory=1e9))
    assert launched(result) == {"cpu1": 1}


def test_object_store_of_a_pool_that_names_it_counts() -> None:
    """D4-101."""
    named = pool("named", CPU=1, object_store_memory=1e6)
    assert unmet(planned(named, tasks(1, CPU=1, object_store_memory=1e9)))[0][3] is ReasonCode.NO_POOL_FITS


def test_minimums_serve_demand_and_what_limits_cut_is_left_over() -> None:
    """D1-26, D4-96, D4-97."""
    mins = pool("cpu2", CPU=2, min_workers=2, max_workers=3)
    assert launched(planned(mins, tasks(4, CPU=1))) == {"cpu2": 2}
    result = planned(mins, tasks(7, CPU=1))
    assert (launched(result), unmet(result)) == ({"cpu2": 3}, [("tasks", 0, 1, ReasonCode.POOL_MAX_WORKERS)])


def test_equal_tasks_are_planned_as_one_however_many() -> None:
    """D1-33, D1-35, D4-102: a thousand equal tasks on one machine of two CPUs."""
    result = planned(pool("cpu2", CPU=2, max_workers=1), tasks(1000, CPU=1))
    assert unmet(result) == [("tasks", 0, 998, ReasonCode.POOL_MAX_WORKERS)]


def test_equal_shapes_of_several_entries_are_served_in_their_order() -> None:
    result = planned(pool("cpu2", CPU=2, max_workers=1), tasks(1, CPU=1), tasks(3, CPU=1))
    assert unmet(result) == [("tasks", 1, 2, ReasonCode.POOL_MAX_WORKERS)]


def test_the_cheapest_offer_of_a_pool_is_taken() -> None:
    two = pool("cpu1", CPU=1, offers=(offer(1.0, "a"), offer(0.3, "b", spot=True)))
    result = planned(two, tasks(2, CPU=1))
    assert [(launch.offer.zone, launch.count) for launch in result.launches] == [("b", 2)]


def test_the_cheapest_mix_of_pools_is_taken() -> None:
    """D1-32 (Ray: availability scores): price decides; equal prices: less waste, fewer machines, file order."""
    pools = [pool("dear", 1.0, CPU=4), pool("cheap", 0.9, CPU=4), pool("tiny", 0.3, CPU=1)]
    assert launched(planned(*pools, tasks(9, CPU=1))) == {"cheap": 2, "tiny": 1}
    equal = [pool("one", 1.0, CPU=4), pool("two", 1.0, CPU=4)]
    assert launched(planned(*equal, tasks(4, CPU=1))) == {"one": 1}


def test_priority_is_above_price() -> None:
    pools = [pool("cheap", 0.1, CPU=4), pool("owned", 9.0, CPU=4, priority=1, max_workers=1)]
    assert launched(planned(*pools, tasks(8, CPU=1))) == {"owned": 1, "cheap": 1}


def test_bigger_machines_serve_more_below_a_maximum() -> None:
    """When the cheapest machines would use a maximum up, fewer bigger ones are taken."""
    pools = [pool("small", 0.1, CPU=1), pool("big", 2.0, CPU=16)]
    result = planned(*pools, tasks(32, CPU=1), max_workers=2)
    assert (launched(result), unmet(result)) == ({"big": 2}, [])


def test_nothing_fits_names_every_pool_and_what_it_lacks() -> None:
    result = planned(CPU1, pool("cpu4", CPU=4), tasks(2, CPU=8))
    assert unmet(result) == [("tasks", 0, 2, ReasonCode.NO_POOL_FITS)]
    verdicts = {verdict.pool: verdict.reason.text for verdict in result.unmet[0].pools}
    assert verdicts == {"cpu1": "has 1 CPU, 8 are needed", "cpu4": "has 4 CPU, 8 are needed"}


def test_an_object_store_that_real_nodes_do_not_have_is_not_launched_for_again_and_again() -> None:
    """A pool that does not say how much it has may have plenty, until one of its nodes tells."""
    wants = tasks(1, CPU=1, object_store_memory=5e9)
    plain = pool("p", CPU=1)
    assert launched(planned(plain, wants)) == {"p": 1}
    small = claim("p-1", "p", total={"CPU": 1, "object_store_memory": 1e9})
    result = planned(plain, small, wants)
    assert (launched(result), unmet(result)) == ({}, [("tasks", 0, 1, ReasonCode.NO_POOL_FITS)])
    assert [v.reason.text for v in result.unmet[0].pools] == [
        "has 1000000000 object_store_memory, 5000000000 are needed"
    ]
    large = claim("p-2", "p", total={"CPU": 1, "object_store_memory": 9e9}, used={"CPU": 1})
    assert launched(planned(plain, small, large, wants)) == {"p": 1}
    assert launched(planned(pool("p", CPU=1, object_store_memory=6e9), small, wants)) == {"p": 1}


def test_tasks_that_need_nothing_go_onto_what_others_launch() -> None:
    pools = [pool("small", 1.0, CPU=1), pool("big", 5.0, CPU=16)]
    result = planned(*pools, tasks(3), tasks(1, CPU=16))
    assert (launched(result), placed(result)) == ({"big": 1}, {"new:0": 4})
    kept_free = planned(*pools, tasks(3), buffers=(buffer(1, CPU=16),))
    assert launched(kept_free) == {"big": 1}


def test_tasks_that_need_nothing_take_the_cheapest_machine_when_there_is_none() -> None:
    pools = [pool("small", 1.0, CPU=1), pool("big", 5.0, CPU=16)]
    assert launched(planned(*pools, tasks(3))) == {"small": 1}
    assert launched(planned(*pools, claim("m1", "big", used={"CPU": 16}), tasks(3))) == {}


def test_work_that_needs_an_accelerator_is_placed_before_work_that_would_fill_its_machine() -> None:
    gpu, cpu = pool("gpu", 10.0, CPU=8, GPU=1, max_workers=1), pool("cpu4", 1.0, CPU=4)
    for wanted in ((tasks(8, CPU=1), tasks(1, CPU=8, GPU=1)), (tasks(1, CPU=8, GPU=1), tasks(8, CPU=1))):
        result = planned(gpu, cpu, claim("g1", "gpu"), *wanted)
        assert (launched(result), unmet(result)) == ({"cpu4": 2}, [])
