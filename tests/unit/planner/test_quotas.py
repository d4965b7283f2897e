"""Quotas by label, and fair shares where limits leave no room for everybody; exact counts."""

from collections import Counter
from dataclasses import replace

import pytest
from tests.unit.planner.looking import launched, placed, planned, unmet

from rayfleet.model import FrozenMap, Gang, Order, OrderKind, Phase, Plan, Quota, ReasonCode, Resources, TaskDemand
from rayfleet.planner import plan
from rayfleet.planner.orders import effective_policy
from rayfleet.testing.snapshots import claim, gang, pool, selectors, snapshot, tasks

CPU4 = pool("cpu4", 1.0, CPU=4)


def quota(value: str, weight: float = 1.0, **amounts: float) -> Quota:
    return Quota("team", value, FrozenMap({n: round(a * 10_000) for n, a in amounts.items()}), weight)


def of(team: str, count: int, **shape: float) -> TaskDemand:
    return replace(tasks(count, amounts=shape or {"CPU": 1}), labels=FrozenMap({"team": team}))


def gang_of(team: str, *shapes: dict[str, float], count: int = 1) -> Gang:
    return replace(gang("PACK", *shapes, count=count), labels=FrozenMap({"team": team}))


def served(result: Plan) -> dict[int, int]:
    """Return how many pieces of each row of tasks have a place."""
    counts: Counter[int] = Counter()
    for placement in result.placements:
        if placement.kind.value == "tasks":
            counts[placement.index] += placement.count
    return dict(counts)


# ---- quotas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "pieces"), [(0, 0), (3, 4), (8, 8), (100, 20)])
def test_machines_are_launched_for_as_much_as_the_quota_allows(most: int, pieces: int) -> None:
    """What room is left on the last of them is used all the same."""
    result = planned(CPU4, of("a", 20), quotas=(quota("a", CPU=most),))
    assert sum(served(result).values()) == pieces
    left = 20 - pieces
    assert unmet(result) == ([("tasks", 0, left, ReasonCode.QUOTA)] if left else [])


def test_the_reason_names_owner_resource_and_numbers() -> None:
    result = planned(CPU4, of("a", 20), quotas=(quota("a", CPU=8, GPU=1),))
    assert result.unmet[0].reason.text == "team=a uses 8 CPU, 8 are its quota"


def test_work_of_others_is_not_held_back() -> None:
    result = planned(CPU4, of("a", 20), of("b", 20), tasks(20, CPU=1), quotas=(quota("a", CPU=4),))
    assert served(result) == {0: 4, 1: 20, 2: 20}


def test_a_quota_of_one_resource_leaves_work_without_it_alone() -> None:
    gpu = pool("gpu", 5.0, CPU=8, GPU=2)
    result = planned(CPU4, gpu, of("a", 4, GPU=1), of("a", 8), quotas=(quota("a", GPU=2),))
    assert served(result) == {0: 2, 1: 8}


def test_what_is_in_use_on_machines_with_the_label_counts() -> None:
    mine = pool("mine", 1.0, CPU=4, labels={"team": "a"})
    busy = claim("m1", "mine", used={"CPU": 3})
    wanted = replace(tasks(9, {"team": "a"}, CPU=1))
    result = planned(mine, busy, wanted, quotas=(quota("a", CPU=8),))
    # One fits beside the three in use; then 4 of the 8 are left.
    assert (placed(result), unmet(result)) == ({"m1": 1, "new:0": 4}, [("tasks", 0, 4, ReasonCode.QUOTA)])


def test_what_the_snapshot_says_of_use_goes_before_what_labels_say() -> None:
    told = FrozenMap({"team=a": Resources.of({"CPU": 6})})
    result = planned(CPU4, of("a", 9), quotas=(quota("a", CPU=8),), usage=told)
    assert served(result) == {0: 4}


def test_room_that_exists_is_used_whatever_the_quota_and_counts() -> None:
    free = [claim("m1", "cpu4"), claim("m2", "cpu4", Phase.BOOTING)]
    result = planned(CPU4, *free, of("a", 12), quotas=(quota("a", CPU=4),))
    assert (placed(result), launched(result)) == ({"m1": 4, "m2": 4}, {})
    assert unmet(result) == [("tasks", 0, 4, ReasonCode.QUOTA)]


@pytest.mark.parametrize(
    ("alternatives", "held"),
    [
        ([{"team": "a"}], True),
        ([{"team": "in(a)"}], True),
        ([{"team": "in(a,b)"}], False),
        ([{"team": "!a"}], False),
        ([{"tier": "x"}, {"team": "a"}], False),  # the first counts
    ],
)
def test_selectors_say_whose_work_it_is_when_they_ask_for_exactly_that(
    alternatives: list[dict[str, str]], *, held: bool
) -> None:
    labels = {"team": "a" if alternatives != [{"team": "!a"}] else "c", "tier": "x"}
    one = pool("one", 1.0, CPU=4, labels=labels)
    wanted = TaskDemand(Resources.of({"CPU": 1}), 3, selectors(*alternatives))
    result = planned(one, wanted, quotas=(quota("a", CPU=0),))
    assert bool(result.unmet) is held


def test_labels_go_before_selectors() -> None:
    one = pool("one", 1.0, CPU=4, labels={"team": "a"})
    wanted = replace(tasks(3, {"team": "a"}, CPU=1), labels=FrozenMap({"team": "b"}))
    assert served(planned(one, wanted, quotas=(quota("a", CPU=0), quota("b", CPU=2)))) == {0: 3}


def test_gangs_are_launched_whole_within_the_quota() -> None:
    result = planned(CPU4, gang_of("a", {"CPU": 2}, {"CPU": 2}, count=5), quotas=(quota("a", CPU=9),))
    assert launched(result) == {"cpu4": 2}
    assert unmet(result) == [("gang", 0, 3, ReasonCode.QUOTA)]
    free = [claim(f"m{n}", "cpu4") for n in range(3)]
    here = planned(CPU4, *free, gang_of("a", {"CPU": 2}, {"CPU": 2}, count=5), quotas=(quota("a", CPU=9),))
    assert (launched(here), unmet(here)) == ({}, [("gang", 0, 2, ReasonCode.QUOTA)])


def test_gangs_and_tasks_share_a_quota() -> None:
    result = planned(CPU4, gang_of("a", {"CPU": 4}), of("a", 9), quotas=(quota("a", CPU=6),))
    assert (served(result), unmet(result)) == ({0: 4}, [("tasks", 0, 5, ReasonCode.QUOTA)])


def test_a_limit_that_is_tighter_is_named_instead() -> None:
    result = planned(CPU4, of("a", 20), quotas=(quota("a", CPU=12),), max_workers=1)
    assert [u.reason.code for u in result.unmet] == [ReasonCode.MAX_WORKERS]


# ---- fair shares -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "machines", "pieces"),
    [
        ((1, 1), 6, {0: 12, 1: 12}),
        ((2, 1), 6, {0: 16, 1: 8}),
        ((1, 2), 6, {0: 8, 1: 16}),
        ((5, 1), 6, {0: 20, 1: 4}),
        ((1, 1), 1, {0: 4}),
    ],
)
def test_owners_take_turns_by_weight_when_machines_are_few(
    weights: tuple[float, float], machines: int, pieces: dict[int, int]
) -> None:
    quotas = (quota("a", weights[0]), quota("b", weights[1]))
    result = planned(CPU4, of("a", 100), of("b", 100), quotas=quotas, max_workers=machines)
    assert served(result) == pieces
    assert launched(result) == {"cpu4": machines}


def test_who_needs_less_than_its_share_leaves_it_to_the_others() -> None:
    quotas = (quota("a"), quota("b"))
    result = planned(CPU4, of("a", 100), of("b", 4), quotas=quotas, max_workers=6)
    assert served(result) == {0: 20, 1: 4}


def test_use_from_before_counts_in_the_share() -> None:
    told = FrozenMap({"team=a": Resources.of({"CPU": 16})})
    result = planned(CPU4, of("a", 100), of("b", 100), quotas=(quota("a"), quota("b")), usage=told, max_workers=6)
    assert served(result) == {0: 4, 1: 20}


def test_work_without_a_quota_is_an_owner_of_weight_one() -> None:
    result = planned(CPU4, of("a", 100), tasks(100, CPU=1), quotas=(quota("a", 2),), max_workers=6)
    assert served(result) == {0: 16, 1: 8}


def test_the_reason_says_which_limit_and_that_there_were_turns() -> None:
    result = planned(CPU4, of("a", 9), of("b", 9), quotas=(quota("a", 2), quota("b")), max_workers=2)
    assert result.unmet[0].reason.text == ("the cluster is at its maximum of 2; team=a has had its turns (weight 2)")


def test_quotas_hold_while_owners_take_turns() -> None:
    quotas = (quota("a", 9, CPU=8), quota("b"))
    result = planned(CPU4, of("a", 100), of("b", 100), quotas=quotas, max_workers=6)
    assert served(result) == {0: 8, 1: 16}


def test_without_a_binding_limit_weights_change_nothing() -> None:
    parts = (CPU4, pool("cpu16", 3.9, CPU=16), of("a", 30), of("b", 13, CPU=2), tasks(3, CPU=0.5))
    weighed = plan(snapshot(*parts, quotas=(quota("a", 3), quota("b"))))
    assert launched(weighed) == launched(plan(snapshot(*parts)))
    assert weighed.unmet == ()


def test_the_effort_does_not_grow_with_the_count() -> None:
    """64 turns for each owner and shape, or so: otherwise this would take minutes."""
    quotas = (quota("a", 2), quota("b"))
    result = planned(CPU4, of("a", 100_000), of("b", 100_000), quotas=quotas, max_workers=30_000)
    counts = served(result)
    assert sum(counts.values()) == 120_000
    assert abs(counts[0] - 80_000) <= 100_000 / 64 + 4


def test_a_quota_is_changed_at_run_time() -> None:
    orders = (Order("o", OrderKind.SET, "quota:a:CPU", "5"), Order("p", OrderKind.SET, "quota:b:CPU", "1"))
    made = snapshot(CPU4, quotas=(quota("a", CPU=1),), orders=orders)
    assert effective_policy(made).quotas == (quota("a", CPU=5),)
    assert [f.reason.text for f in plan(made).findings] == [
        "order p cannot be carried out: there is no quota of 'b'; there is a"
    ]


def test_a_gang_without_labels_belongs_to_whom_its_first_bundle_asks_for() -> None:
    mine = pool("mine", 1.0, CPU=4, labels={"team": "a"})
    wanted = gang("PACK", {"CPU": 4}, count=2, labels=({"team": "a"},))
    result = planned(mine, wanted, quotas=(quota("a", CPU=4),))
    assert (launched(result), unmet(result)) == ({"mine": 1}, [("gang", 0, 1, ReasonCode.QUOTA)])


def test_bundles_that_have_a_place_already_need_no_more_of_the_quota() -> None:
    half = replace(gang_of("a", {"CPU": 4}, {"CPU": 4}), placed=FrozenMap({"0": "m1"}))
    result = planned(CPU4, claim("m1", "cpu4", used={"CPU": 4}), half, quotas=(quota("a", CPU=4),))
    assert (launched(result), unmet(result)) == ({"cpu4": 1}, [])


def test_the_reason_names_the_resource_that_is_used_up() -> None:
    gpu = pool("gpu", 5.0, CPU=8, GPU=4, x=1)
    quotas = (quota("a", CPU=2, GPU=1),)
    result = planned(gpu, of("a", 2, CPU=1, GPU=1, x=0.1), quotas=quotas)
    assert result.unmet == () or result.unmet[0].reason.details["resource"] == "GPU"
    alone = planned(gpu, of("a", 1, CPU=2, GPU=2, x=0.1), quotas=quotas)
    assert alone.unmet[0].reason.details == {"owner": "team=a", "resource": "GPU", "used": 0, "most": 1}


def test_use_is_counted_to_the_last_unit() -> None:
    mine = pool("mine", 1.0, CPU=4, labels={"team": "a"})
    full = claim("m1", "mine", used={"CPU": 4})
    result = planned(mine, full, tasks(9, {"team": "a"}, CPU=4), quotas=(quota("a", CPU=8),))
    assert (launched(result), unmet(result)) == ({"mine": 1}, [("tasks", 0, 8, ReasonCode.QUOTA)])


def test_rows_of_one_shape_share_what_the_quota_leaves_the_first_one_first() -> None:
    result = planned(CPU4, of("a", 3), of("a", 9), quotas=(quota("a", CPU=4),))
    assert (served(result), launched(result)) == ({0: 3, 1: 1}, {"cpu4": 1})


def test_where_the_quota_is_what_ends_it_nobody_had_turns() -> None:
    result = planned(CPU4, of("a", 20), quotas=(quota("a", CPU=4),), max_workers=1)
    assert [(u.count, u.reason.code, u.reason.chain) for u in result.unmet] == [(16, ReasonCode.MAX_WORKERS, ())]


def test_a_gang_without_bundles_has_no_owner_and_asks_for_nothing() -> None:
    assert planned(CPU4, gang("PACK"), quotas=(quota("a", CPU=1),)).actions == ()
