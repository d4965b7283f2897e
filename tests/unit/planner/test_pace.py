"""`downscaling_speed` holds for everything that leaves voluntarily, whatever the reason."""

from typing import Any

import pytest
from tests.unit.planner.looking import kept, leaving, planned

from rayfleet.model import Claim, DisruptionBudget, Drain, Order, OrderKind, Phase, ReasonCode, reason
from rayfleet.testing.snapshots import claim, offer, pool, requested, tasks

EASY = (DisruptionBudget(100, percent=True),)
CPU1 = pool("p", 1.0, CPU=1, restartable=True)


def many(count: int = 12, **fields: Any) -> list[Claim]:
    return [claim(f"m{n}", "p", since=0.0, created=0.0, **fields) for n in range(count)]


CASES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "idle": ([CPU1, *many(idle_s=99.0)], {}),
    "outdated": ([CPU1, *many(24, idle_s=1.0, drifted=True)], {}),
    "outdated, as a budget says": ([CPU1, *many(idle_s=1.0, drifted=True)], {"disruption_budgets": EASY}),
    "age": ([CPU1, *many(idle_s=1.0)], {"max_age_s": 10.0, "disruption_budgets": EASY}),
    "makes room": (
        [CPU1, pool("g", GPU=1), *many(idle_s=5.0), tasks(12, GPU=1)], {"max_workers": 12}
    ),
    "consolidated": (
        [pool("p", 1.0, CPU=4, restartable=True), *many(24, used={"CPU": 1})],
        {"consolidation_threshold": 0.1, "disruption_budgets": EASY},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "fields"), CASES.values(), ids=CASES)
def test_five_leave_at_a_time_whatever_the_reason(parts: list[Any], fields: dict[str, Any]) -> None:
    fast, slow = planned(*parts, **fields), planned(*parts, **fields, downscaling_speed=0.0)
    assert len(leaving(fast)) > 5
    assert len(leaving(slow)) == 5
    assert set(leaving(slow).values()) == set(leaving(fast).values())


def test_machines_that_are_about_to_be_replaced_count() -> None:
    dear = pool("p", CPU=1, restartable=True, offers=(offer(1.0), offer(0.3, spot=True)))
    result = planned(
        dear, *many(used={"CPU": 1}), consolidation_threshold=0.1, disruption_budgets=EASY, downscaling_speed=0.0
    )
    assert sum(code is ReasonCode.REPLACING for code in kept(result).values()) == 5


def test_what_has_to_leave_asks_nobody_but_counts() -> None:
    why = reason(ReasonCode.ORDERED, by="me", why="test")
    away = [claim(f"a{n}", "p", Phase.DRAINING, drain=Drain(why, 990.0, 1100.0)) for n in range(3)]
    assert len(leaving(planned(CPU1, *many(idle_s=99.0), *away, downscaling_speed=0.0))) == 2
    orders = tuple(Order(f"o{n}", OrderKind.DRAIN, f"m{n}") for n in range(12))
    assert len(leaving(planned(CPU1, *many(used={"CPU": 1}), orders=orders, downscaling_speed=0.0))) == 12


def test_a_replica_is_never_too_large_to_leave() -> None:
    wide = pool("p", CPU=1, hosts_per_replica=8)
    replicas = [claim(f"r{n}", "p", hosts=8, idle_s=99.0) for n in range(3)]
    assert len(leaving(planned(wide, *replicas, downscaling_speed=0.0))) == 1


def test_requested_machines_are_replaced_at_that_pace() -> None:
    result = planned(CPU1, *many(24, idle_s=1.0, drifted=True), requested(24, CPU=1), downscaling_speed=0.0)
    assert sum(code is ReasonCode.REPLACING for code in kept(result).values()) == 5


def test_an_exchange_holds_it_too() -> None:
    """Twelve machines would give way to an idle one: five at a time do."""
    big = pool("big", 2.0, CPU=64)
    idle = claim("b", "big", idle_s=1.0)
    parts: list[Any] = [pool("p", 1.0, CPU=4, restartable=True), big, *many(used={"CPU": 3}), idle]
    fields: dict[str, Any] = {"consolidation_threshold": 0.1, "disruption_budgets": EASY}
    assert len(leaving(planned(*parts, **fields))) == 12
    assert len(leaving(planned(*parts, **fields, downscaling_speed=0.0))) == 5
