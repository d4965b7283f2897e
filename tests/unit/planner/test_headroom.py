"""Idle machines stay as room to spare while their pool would be fuller than wanted without them."""

import pytest
from tests.unit.planner.looking import kept, leaving, planned

from rayfleet.model import ReasonCode
from rayfleet.testing.snapshots import claim, pool

CPU4 = pool("cpu4", CPU=4, memory=16e9)
USED = [claim(f"u{n}", "cpu4", used={"CPU": 3}) for n in range(2)]  # 6 CPUs
IDLE = [claim(f"i{n}", "cpu4", idle_s=100.0 + n) for n in range(4)]


@pytest.mark.parametrize(
    ("share", "leave"),
    [(None, 4), (1.0, 4), (0.75, 4), (0.74, 3), (0.5, 3), (0.4, 2), (0.3, 1), (0.25, 0), (0.0, 0)],
)
def test_as_many_leave_as_the_share_allows(share: float | None, leave: int) -> None:
    """6 CPUs in use of 8, 12, 16, 20, 24."""
    result = planned(CPU4, *USED, *IDLE, scale_down_utilization=share)
    assert len(leaving(result)) == leave
    stay = {name for name, code in kept(result).items() if code is ReasonCode.SCALE_DOWN_UTILIZATION}
    assert len(stay) == 4 - leave


def test_a_pool_without_work_shrinks_to_nothing() -> None:
    assert len(leaving(planned(CPU4, *IDLE, scale_down_utilization=0.0))) == 4


def test_every_pool_counts_for_itself_and_the_fullest_resource_decides() -> None:
    other = pool("other", CPU=4)
    busy = claim("o", "other", used={"CPU": 4})
    assert len(leaving(planned(CPU4, other, busy, *IDLE, scale_down_utilization=0.1))) == 4
    full = claim("u", "cpu4", used={"CPU": 1, "memory": 16e9})
    result = planned(CPU4, full, IDLE[0], scale_down_utilization=0.5)
    assert result.kept[1].reason.text == "without it 100% of cpu4 would be in use, more than 50%"


def test_what_has_to_leave_leaves() -> None:
    result = planned(CPU4, *USED, *IDLE, scale_down_utilization=0.0, max_workers=2)
    assert list(leaving(result).values()) == [ReasonCode.OVER_MAX] * 4


def test_consolidation_leaves_room_to_spare() -> None:
    shared = pool("cpu4", 1.0, CPU=4, restartable=True)
    have = [claim(name, "cpu4", since=0.0, used={"CPU": 1}) for name in ("a", "b")]
    for share, leave in ((0.5, 1), (0.49, 0)):
        result = planned(shared, *have, consolidation_threshold=0.5, scale_down_utilization=share)
        assert len(leaving(result)) == leave


def test_without_any_machine_left_all_of_it_would_be_in_use() -> None:
    result = planned(CPU4, claim("u", "cpu4", used={"CPU": 4}), IDLE[0], scale_down_utilization=0.5)
    (held,) = [k.reason for k in result.kept if k.reason.code is ReasonCode.SCALE_DOWN_UTILIZATION]
    assert held.details == {"pool": "cpu4", "utilization": 1.0, "scale_down_utilization": 0.5}
    small = claim("u", "cpu4", total={"CPU": 2}, used={"CPU": 2}), claim("i", "cpu4", idle_s=100.0)
    more = claim("v", "cpu4", total={"CPU": 1}, used={"CPU": 4})
    (over,) = [k.reason for k in planned(CPU4, *small, more, scale_down_utilization=0.5).kept if k.host == "i"]
    assert over.details["utilization"] == 1.0
