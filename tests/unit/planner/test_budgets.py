"""Disruption budgets: how many machines leave voluntarily at a time, for which reasons, and when."""

from dataclasses import replace

import pytest
from tests.unit.planner.looking import kept, launched, leaving, planned

from rayfleet.model import (
    Claim,
    Disruption,
    DisruptionBudget,
    Drain,
    Order,
    OrderKind,
    Phase,
    ReasonCode,
    Window,
    reason,
)
from rayfleet.testing.snapshots import claim, pool, tasks

CPU1 = pool("cpu1", CPU=1)
GPU1 = pool("gpu1", GPU=1)
NINE_TO_FIVE = Window("0 9 * * MON-FRI", 8 * 3600)
MONDAY_8H = 1_767_571_200.0 + 8 * 3600  # Monday, 2026-01-05
BUDGET = ReasonCode.DISRUPTION_BUDGET


def idle(count: int, of: str = "cpu1") -> list[Claim]:
    return [claim(f"{of}-{n}", of, idle_s=100.0 + n) for n in range(count)]


def gone(count: int, *budgets: DisruptionBudget, now: float = 1000.0) -> int:
    return len(leaving(planned(CPU1, *idle(count), disruption_budgets=budgets, now=now)))


@pytest.mark.parametrize(
    ("nodes", "percent", "count", "leave"),
    [(3, False, 20, 3), (0, False, 20, 0), (10, True, 20, 2), (10, True, 21, 3), (1, True, 5, 1), (0, True, 5, 0),
     (100, True, 7, 7), (50, False, 7, 7)],
)  # fmt: skip
def test_a_number_or_a_share_rounded_up(nodes: int, percent: bool, count: int, leave: int) -> None:
    assert gone(count, DisruptionBudget(nodes, percent)) == leave


def test_the_longest_idle_go_first_and_the_others_say_why_they_stay() -> None:
    result = planned(CPU1, *idle(3), disruption_budgets=(DisruptionBudget(1),))
    assert (leaving(result), kept(result)) == (
        {"cpu1-2": ReasonCode.IDLE},
        {"cpu1-0": BUDGET, "cpu1-1": BUDGET},
    )
    assert result.kept[0].reason.text == "idle, but a disruption budget lets 1 leave at a time; 1 are leaving"


def test_of_several_budgets_all_hold() -> None:
    assert gone(20, DisruptionBudget(50, percent=True), DisruptionBudget(4), DisruptionBudget(9)) == 4


def test_a_budget_for_other_reasons_does_not_hold() -> None:
    assert gone(5, DisruptionBudget(0, reasons=(Disruption.DRIFTED, Disruption.EXPIRED))) == 5
    assert gone(5, DisruptionBudget(1, reasons=(Disruption.DRIFTED, Disruption.IDLE))) == 1


def test_a_budget_of_one_pool_counts_that_pool() -> None:
    budgets = (DisruptionBudget(1, pool="gpu1"),)
    result = planned(CPU1, GPU1, *idle(3), *idle(3, "gpu1"), disruption_budgets=budgets)
    assert sorted(leaving(result)) == ["cpu1-0", "cpu1-1", "cpu1-2", "gpu1-2"]


def test_what_is_leaving_voluntarily_counts_and_what_has_to_does_not() -> None:
    why = {
        "v": reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0),
        "o": reason(ReasonCode.ORDERED, by="me", why="test"),
    }
    away = [claim(name, "cpu1", Phase.DRAINING, drain=Drain(of, 999.0, 1300.0)) for name, of in why.items()]
    ended = reason(ReasonCode.DRAINED).because(why["v"])
    away.append(claim("r", "cpu1", Phase.RELEASING, ending=ended))
    assert len(leaving(planned(CPU1, *idle(5), *away, disruption_budgets=(DisruptionBudget(3),)))) == 1
    assert len(leaving(planned(CPU1, *idle(5), *away, disruption_budgets=(DisruptionBudget(2),)))) == 0


@pytest.mark.parametrize(
    ("hour", "leave"), [(0.0, 5), (0.99, 5), (1.0, 0), (8.99, 0), (9.0, 5), (25.0, 0), (5 * 24 + 1.0, 5)]
)
def test_a_window_is_open_from_its_firing_for_its_duration(hour: float, leave: int) -> None:
    """Nothing leaves from nine to five on working days; Saturdays are free."""
    assert gone(5, DisruptionBudget(0, window=NINE_TO_FIVE), now=MONDAY_8H + hour * 3600) == leave


def test_limits_orders_interruptions_and_cancellations_ask_no_budget() -> None:
    none = (DisruptionBudget(0),)
    assert len(leaving(planned(CPU1, *idle(3), max_workers=1, disruption_budgets=none))) == 2
    order = (Order("o", OrderKind.DRAIN, "cpu1-0", by="me"),)
    assert leaving(planned(CPU1, *idle(1), orders=order, disruption_budgets=none)) == {"cpu1-0": ReasonCode.ORDERED}
    soon = claim("m", "cpu1", interrupt_at=1100.0)
    assert leaving(planned(CPU1, soon, disruption_budgets=none)) == {"m": ReasonCode.INTERRUPTED}
    asked = claim("m", "cpu1", Phase.REQUESTED)
    assert leaving(planned(CPU1, asked, disruption_budgets=none)) == {"m": ReasonCode.UNNEEDED}


def test_a_replica_counts_with_all_its_hosts() -> None:
    tpu = pool("tpu", TPU=4, hosts_per_replica=4)
    two = [claim(f"t{n}", "tpu", hosts=4, idle_s=99.0) for n in range(2)]
    assert [len(leaving(planned(tpu, *two, disruption_budgets=(DisruptionBudget(n),)))) for n in (3, 4, 7, 8)] == [
        0, 1, 1, 2,
    ]  # fmt: skip


def test_a_setting_replaces_the_budgets() -> None:
    stop = (Order("o", OrderKind.SET, "disruption_budgets", "0", "me"),)
    assert leaving(planned(CPU1, *idle(3), disruption_budgets=(DisruptionBudget(2),), orders=stop)) == {}
    share = (replace(stop[0], value="40%"),)
    assert len(leaving(planned(CPU1, *idle(5), orders=share))) == 2
    wrong = planned(CPU1, *idle(3), orders=(replace(stop[0], value="many"),))
    assert (len(leaving(wrong)), wrong.findings[0].reason.code) == (3, ReasonCode.BAD_ORDER)


def test_the_downscaling_speed_is_the_mirror_of_the_upscaling_speed() -> None:
    """max(5, speed x READY) per pool; what leaves already counts, for whatever reason."""
    sizes = {(speed, n): len(leaving(planned(CPU1, *idle(n), downscaling_speed=speed))) for speed in (0.0, 0.5)
             for n in (3, 8, 20)}  # fmt: skip
    assert sizes == {(0.0, 3): 3, (0.0, 8): 5, (0.0, 20): 5, (0.5, 3): 3, (0.5, 8): 5, (0.5, 20): 10}
    away = [
        claim(f"o{n}", "cpu1", Phase.DRAINING, drain=Drain(reason(ReasonCode.SHUTDOWN), 999.0, 1300.0))
        for n in range(4)
    ]
    assert len(leaving(planned(CPU1, *idle(8), *away, downscaling_speed=0.0))) == 1
    assert launched(planned(CPU1, *idle(8), tasks(3, CPU=1), downscaling_speed=0.0)) == {}
