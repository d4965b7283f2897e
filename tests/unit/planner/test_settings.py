"""Settings as orders carry them: how they are read, refused and told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rayfleet.model import FrozenMap, Order, OrderKind, PendingThreshold, Policy, Quota, Schedule, Window
from rayfleet.planner import plan
from rayfleet.planner.orders import POOL_FIELDS, effective_policy
from rayfleet.planner.settings import BadOrder, number, part_text, whole, with_part
from rayfleet.testing.snapshots import buffer, claim, pool, snapshot

CPU1 = pool("cpu1", CPU=1)
RUSH = Schedule("night", Window("0 23 * * *", 3600.0), buffers=(buffer(percent=12.5, CPU=1, name="rush"),))
SET_ALL = Policy(
    pools=(CPU1,),
    buffers=(buffer(3, CPU=1), buffer(2, percent=50, CPU=1, name="both")),
    schedules=(RUSH,),
    scale_up_pending_threshold=PendingThreshold(10, 30.0),
    scale_up_utilization=FrozenMap({"CPU": 0.8}),
    max_resources=FrozenMap({"GPU": 165_000}),
    quotas=(Quota("team", "a"), Quota("team", "b", FrozenMap({"GPU": 40_000}))),
)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("buffer:spare", "3"),
        ("buffer:rush", "12.5%"),
        ("buffer:both", "2"),
        ("scale_up_pending_threshold", "10,30s"),
        ("scale_up_utilization:CPU", "0.8"),
        ("scale_up_utilization:GPU", "null"),
        ("max_resources:GPU", "16.5"),
        ("max_resources:CPU", "null"),
        ("quota:b:GPU", "4"),
        ("quota:b:CPU", "null"),
        ("quota:a:GPU", "null"),
        ("max_workers", None),
        ("buffer", None),
        ("scale_up_pending_threshold:x", None),
    ],
)
def test_every_part_is_told_as_it_is_set(target: str, text: str | None) -> None:
    assert part_text(SET_ALL, target) == text
    assert part_text(Policy(), "scale_up_pending_threshold") == "null"
    if text is not None and target != "buffer:both":  # of count and percentage an order gives one
        assert with_part(SET_ALL, target, text) == SET_ALL


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("buffer:x", "there is no buffer 'x'; there is spare, both, rush"),
        ("quota:x:GPU", "there is no quota of 'x'; there is a, b"),
    ],
)
def test_a_part_that_is_not_there_is_refused_with_what_is(target: str, why: str) -> None:
    for asked in (lambda: part_text(SET_ALL, target), lambda: with_part(SET_ALL, target, "1")):
        with pytest.raises(BadOrder, match=f"^{why}$"):
            asked()
    with pytest.raises(BadOrder, match=r"there is none$"):
        part_text(Policy(), "buffer:x")


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (whole, "0", 0),
        (whole, "100000", 100_000),
        (whole, "100001", None),
        (whole, "-1", None),
        (number, "0", 0.0),
        (number, "1e9", 1e9),
        (number, "-0.1", None),
        (number, "inf", None),
        (number, "nan", None),
    ],
)
def test_numbers_have_bounds(read: Callable[[str], float], text: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(BadOrder):
            read(text)
    else:
        assert read(text) == value


@pytest.mark.parametrize(
    ("target", "least", "most", "beyond"),
    [
        ("scale_up_utilization:CPU", "0.01", "1", ("0.009", "1.001")),
        ("buffer:spare", "0%", "10000%", ("-1%", "10000.1%")),
    ],
)
def test_bounds_of_parts_belong_to_them(target: str, least: str, most: str, beyond: tuple[str, str]) -> None:
    assert [with_part(SET_ALL, target, text) is None for text in (least, most)] == [False, False]
    for text in beyond:
        with pytest.raises(BadOrder):
            with_part(SET_ALL, target, text)


def test_what_is_long_is_cut_where_it_is_quoted() -> None:
    with pytest.raises(BadOrder, match=f"^buffer:spare cannot be '{'x' * 40}'; it is a number of pieces"):
        with_part(SET_ALL, "buffer:spare", "x" * 50)
    with pytest.raises(BadOrder, match=f"^{'9' * 20} is not a number of machines from 0 to 100,000$"):
        whole("9" * 30)


# ---- fields of the policy and of pools -------------------------------------------------------------------------------


def after(target: str, value: str) -> Any:
    """Return a field of the cluster or of pool `cpu1` after SET; the finding's text where that is refused."""
    of = snapshot(CPU1, orders=(Order("o", OrderKind.SET, target, value),))
    findings = plan(of).findings
    if findings:
        return findings[0].reason.details["why"]
    policy = effective_policy(of)
    return getattr(policy.pools[0] if "." in target else policy, target.rpartition(".")[2])


@pytest.mark.parametrize(
    ("target", "value", "expected"),
    [
        ("cpu1.restartable", " TRUE ", True),
        ("cpu1.restartable", "false", False),
        ("cpu1.restartable", "perhaps, perhaps not!", "perhaps, perhaps not is neither true nor false"),
        ("cpu1.priority", "-3", -3),
        ("cpu1.max_age_s", "60", 60.0),
        ("cpu1.idle_timeout_s", "null", None),
        ("max_workers", " None ", None),
        ("max_age_s", "~", None),
        ("idle_timeout_s", "null", "idle_timeout_s needs a number"),
        ("cpu1.min_workers", "", "min_workers needs a number"),
        ("cpu1.restartable", "null", "restartable needs a number"),
        ("consolidate_after_s", "null", "consolidate_after_s needs a number"),
        ("disruption_budgets", "null", "disruption_budgets needs a number"),
        ("cpu2.max_workers", "1", "there is no pool 'cpu2'; pools are cpu1"),
        (
            "cpu1.resources",
            "1",
            f"'resources' cannot be set; what can: {', '.join(POOL_FIELDS)}",
        ),
    ],
)
def test_what_set_makes_of_a_field(target: str, value: str, expected: object) -> None:
    assert after(target, value) == expected


def test_pools_that_could_be_meant_are_named() -> None:
    def why(*pools: Any) -> object:
        return plan(snapshot(*pools, orders=(Order("o", OrderKind.SCALE, "x", "1"),))).findings[0].reason.details["why"]

    assert why(CPU1, replace(CPU1, name="cpu2")) == "there is no pool 'x'; pools are cpu1, cpu2"
    assert why() == "there is no pool 'x'; pools are none"


def test_whoever_gives_no_name_is_somebody() -> None:
    scaled = plan(snapshot(CPU1, orders=(Order("o", OrderKind.SCALE, "cpu1", "1"),)))
    assert scaled.launches[0].reason.text == "somebody ordered cpu1 to 1"
    drained = plan(snapshot(CPU1, claim("m", "cpu1"), orders=(Order("o", OrderKind.DRAIN, "m"),)))
    assert drained.drains[0].reason.text == "somebody ordered it: drain"


@pytest.mark.parametrize(
    ("target", "value", "why"),
    [
        ("max_workers", "many", "'many' is no whole number"),
        ("max_workers", "1.5", "'1.5' is no whole number"),
        ("cpu1.priority", "first", "'first' is no whole number"),
        ("max_usd_per_hour", "much", "'much' is no number"),
        ("max_usd_per_hour", "x" * 30, f"'{'x' * 20}' is no number"),
    ],
)
def test_what_is_no_number_is_refused_in_the_words_of_its_kind(target: str, value: str, why: str) -> None:
    made = plan(snapshot(pool("cpu1", CPU=1), orders=(Order("o", OrderKind.SET, target, value),)))
    assert [finding.reason.text for finding in made.findings if why in finding.reason.text] != []
