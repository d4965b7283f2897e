"""How capacity and traffic go over from one cluster to the next: single steps, and what holds for all of them."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.kube_operator.rayservice.migration import (
    NOTHING,
    SETTLE_S,
    WHOLE,
    Pace,
    Ready,
    Share,
    Split,
    advance,
    due_s,
)

PACE = Pace(surge=30, step=20, interval_s=60)
ALL_WELL = Ready(routed=True, active=True, pending=True)
NOT_ACTIVE = Ready(routed=True, active=False, pending=True)
NEITHER = Ready(routed=True, active=False, pending=False)
Case = tuple[str, "Split", Ready, "Split"]
NOW = 1000.0


def split(active: tuple[int, int], pending: tuple[int, int], ago_s: float | None = None) -> Split:
    """Return a split of (capacity, traffic) each. `ago_s`: since when requests were moved."""
    return Split(Share(*active), Share(*pending), None if ago_s is None else NOW - ago_s)


FORWARD: list[Case] = [
    (
        "replicas come before requests",
        split((100, 100), (0, 0)),
        ALL_WELL,
        split((100, 100), (30, 0)),
    ),
    (
        "no replicas without a gateway",
        split((100, 100), (0, 0)),
        replace(ALL_WELL, routed=False),
        split((100, 100), (0, 0)),
    ),
    (
        "replicas do not wait for those before them",
        split((100, 100), (0, 0)),
        replace(ALL_WELL, pending=False),
        split((100, 100), (30, 0)),
    ),
    ("requests by the step", split((100, 100), (30, 0)), ALL_WELL, split((100, 80), (30, 20), 0)),
    ("never more requests than replicas", split((100, 80), (30, 20), 60), ALL_WELL, split((100, 70), (30, 30), 0)),
    ("not before the interval has passed", split((100, 80), (30, 20), 59), ALL_WELL, split((100, 80), (30, 20), 59)),
    (
        "not to a cluster that does not run all of it",
        split((100, 80), (30, 20), 99),
        replace(ALL_WELL, pending=False),
        split((100, 80), (30, 20), 99),
    ),
    ("what is too many goes", split((100, 70), (30, 30), 9), ALL_WELL, split((70, 70), (30, 30), 9)),
    ("once requests have settled", split((100, 70), (30, 30), 4), ALL_WELL, split((100, 70), (30, 30), 4)),
    ("then there is room for more", split((70, 70), (30, 30), 9), ALL_WELL, split((70, 70), (60, 30), 9)),
    ("never less replicas than requests", split((100, 90), (10, 10), 9), ALL_WELL, split((90, 90), (10, 10), 9)),
    ("the last surge is what is left", split((10, 10), (90, 90), 9), ALL_WELL, split((10, 10), (100, 90), 9)),
    ("the end", split((10, 0), (100, 100), 99), ALL_WELL, split((10, 0), (100, 100), 99)),
]
BACK: list[Case] = [
    ("nothing has begun", split((100, 100), (0, 0)), ALL_WELL, split((100, 100), (0, 0))),
    ("the first replicas go", split((100, 100), (30, 0)), ALL_WELL, split((100, 100), (0, 0))),
    ("requests by the step", split((70, 40), (60, 60), 60), ALL_WELL, split((70, 60), (60, 40), 0)),
    (
        "also from one that does not run",
        split((70, 40), (60, 60), 60),
        NEITHER,
        split((70, 60), (60, 40), 0),
    ),
    (
        "not to one that does not run",
        split((70, 40), (60, 60), 60),
        NOT_ACTIVE,
        split((70, 40), (60, 60), 60),
    ),
    ("what is too many goes", split((70, 70), (60, 30), 9), ALL_WELL, split((70, 70), (30, 30), 9)),
    ("then there is room", split((70, 70), (30, 30), 9), ALL_WELL, split((100, 70), (30, 30), 9)),
    (
        "also without a gateway",
        split((70, 70), (30, 30), 9),
        replace(ALL_WELL, routed=False),
        split((100, 70), (30, 30), 9),
    ),
]
LOST = Ready(routed=True, active=True, pending=False, lost=True)


@pytest.mark.parametrize("case", FORWARD, ids=lambda case: case[0])
def test_a_step_forward(case: Case) -> None:
    _, before, ready, after = case
    assert advance(before, PACE, ready, NOW) == after


@pytest.mark.parametrize("case", BACK, ids=lambda case: case[0])
def test_a_step_back(case: Case) -> None:
    _, before, ready, after = case
    assert advance(before, PACE, ready, NOW, back=True) == after


def test_from_one_that_is_lost_all_requests_go_at_once() -> None:
    assert advance(split((70, 40), (60, 60), 1), PACE, LOST, NOW, back=True) == split((70, 100), (60, 0), 0)


def test_time_is_waited_for_as_long_as_it_takes() -> None:
    begun = split((100, 80), (30, 20), 0)
    assert [due_s(begun, PACE, NOW + later_s) for later_s in (0, 1, SETTLE_S, 59, 60)] == [5, 4, 55, 1, None]
    assert due_s(split((100, 100), (0, 0)), PACE, NOW) is None


@dataclass(frozen=True)
class Minute:
    """A stretch of time, and how things are in it."""

    wait_s: float
    ready: Ready
    back: bool


minutes = st.lists(
    st.builds(
        Minute,
        wait_s=st.sampled_from((0.0, 1.0, 5.0, 30.0, 61.0)),
        ready=st.builds(Ready, routed=st.booleans(), active=st.booleans(), pending=st.booleans()),
        back=st.booleans(),
    ),
    max_size=60,
)
surges = st.integers(1, 100)
paces = surges.flatmap(
    lambda surge: st.builds(Pace, st.just(surge), st.integers(1, surge), st.sampled_from((1.0, 30.0, 60.0)))
)


@given(minutes, paces)
def test_what_holds_at_every_step(told: list[Minute], pace: Pace) -> None:
    """Whatever happens, and however often people change their minds."""
    now, at = NOW, Split()
    moves: list[float] = []
    for minute in told:
        now += minute.wait_s
        after = advance(at, pace, minute.ready, now, back=minute.back)
        assert after.active.traffic + after.pending.traffic == 100
        assert after.active.capacity + after.pending.capacity <= 100 + pace.surge
        assert all(0 <= share.traffic <= share.capacity <= 100 for share in (after.active, after.pending))
        moved = after.pending.traffic - at.pending.traffic
        grown = after.pending.capacity - at.pending.capacity
        shrunk = at.active.capacity - after.active.capacity
        assert (moved, grown, shrunk) <= (0, 0, 0) if minute.back else (moved, grown, shrunk) >= (0, 0, 0)
        assert [abs(change) > 0 for change in (moved, grown, shrunk)].count(True) <= 1
        assert abs(moved) <= pace.step
        assert max(abs(grown), abs(shrunk)) <= pace.surge
        if moved:
            assert not moves or now - moves[-1] >= pace.interval_s
            moves.append(now)
        at = after


@given(minutes, paces, st.booleans())
def test_when_all_is_well_it_comes_to_an_end(told: list[Minute], pace: Pace, back: bool) -> None:
    now, at = NOW, Split()
    for minute in told:
        now += minute.wait_s
        at = advance(at, pace, minute.ready, now, back=minute.back)
    for _ in range(100 // pace.step * 3 + 300 // pace.surge + 10):
        now += pace.interval_s + SETTLE_S
        at = advance(at, pace, ALL_WELL, now, back=back)
    if back:
        assert (at.active, at.pending) == (WHOLE, NOTHING)
    else:
        assert at.pending == WHOLE
        assert at.active.traffic == 0


@given(st.integers(0, 30), paces)
def test_what_was_lost_gives_everything_back_and_may_come_again(steps: int, pace: Pace) -> None:
    now, at = NOW, Split()
    for _ in range(steps):
        now += pace.interval_s + SETTLE_S
        at = advance(at, pace, ALL_WELL, now)
    for _ in range(400 // pace.surge + 10):
        now += pace.interval_s + SETTLE_S
        at = advance(at, pace, replace(LOST, lost=True), now, back=True)
        assert at.pending.traffic == 0
        assert at.active.traffic == 100
    assert (at.active, at.pending) == (WHOLE, NOTHING)
