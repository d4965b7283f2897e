"""What giving up a machine, or having another in its place, saves; and who is asked first; exact figures."""

from typing import Any

import pytest
from tests.unit.planner.looking import kept, launched, leaving, planned

from rayfleet.model import Claim, Drain, Phase, ReasonCode, reason
from rayfleet.testing.snapshots import claim, offer, pool, tasks

ON: dict[str, Any] = {"consolidation_threshold": 0.5}
CPU4 = pool("cpu4", 1.0, CPU=4, restartable=True)


def running(name: str, cpus: float, of: str = "cpu4", **fields: Any) -> Claim:
    return claim(name, of, used={"CPU": cpus}, **{"since": 0.0, **fields})


def test_a_cheaper_offer_saves_for_every_host_of_a_replica() -> None:
    pair = pool("pair", CPU=4, hosts_per_replica=2, restartable=True, offers=(offer(1.0), offer(0.25, spot=True)))
    result = planned(pair, running("r", 1, "pair", hosts=2), **ON)
    assert launched(result) == {"pair": 2}
    (why,) = {k.reason.chain[0] for k in result.kept}
    assert (why.code, why.details["usd_per_hour"]) == (ReasonCode.CHEAPER, 1.5)
    assert why.details["score"] == pytest.approx(1.5 / (1.5 + 0.25 * 2.0))


def test_a_machine_that_is_given_up_saves_its_price() -> None:
    result = planned(CPU4, running("a", 3), running("b", 1), **ON)
    (drain,) = result.drains
    assert (drain.claim, drain.reason.details["usd_per_hour"]) == ("b", 1.0)
    assert drain.reason.details["score"] == pytest.approx(1.0 / 1.25)


def test_idle_machines_follow_the_idle_rules_and_are_not_consolidated() -> None:
    have = running("a", 4), claim("i", "cpu4", since=0.0, idle_s=5.0)
    result = planned(CPU4, *have, consolidation_threshold=0.9)
    assert (leaving(result), kept(result)["i"]) == ({}, ReasonCode.NOT_IDLE_YET)


def test_the_least_used_is_tried_first_then_the_dearest_then_the_oldest() -> None:
    dear = pool("dear", 2.0, CPU=4, restartable=True)
    assert list(leaving(planned(CPU4, running("a", 2), running("b", 1), running("c", 2), **ON))) == ["b"]
    assert list(leaving(planned(CPU4, dear, running("a", 2), running("d", 2, "dear"), **ON))) == ["d"]
    aged = [running("a", 2, created=100.0), running("b", 2, created=50.0)]
    assert list(leaving(planned(CPU4, *aged, **ON))) == ["b"]


def test_where_money_leaves_no_room_for_a_replacement_what_is_too_old_goes_first() -> None:
    old = running("m", 1, created=0.0)
    tight = planned(CPU4, old, max_age_s=900.0, max_usd_per_hour=1.5)
    assert (launched(tight), leaving(tight)) == ({}, {"m": ReasonCode.EXPIRED})
    room = planned(CPU4, old, max_age_s=900.0, max_usd_per_hour=2.0)
    assert (launched(room), leaving(room)) == ({"cpu4": 1}, {})


def test_what_leaves_says_why_for_as_long_as_it_is_there() -> None:
    why = reason(ReasonCode.ORDERED, by="me", why="test")
    away = [
        claim("d", "cpu4", Phase.DRAINING, drain=Drain(why, 999.0, 1300.0)),
        claim("r", "cpu4", Phase.RELEASING, ending=why),
        claim("x", "cpu4", Phase.RELEASING),
    ]
    result = planned(CPU4, *away)
    assert [(k.host, k.reason.code, k.reason.chain) for k in result.kept] == [
        ("d", ReasonCode.LEAVING, (why,)),
        ("r", ReasonCode.LEAVING, (why,)),
        ("x", ReasonCode.LEAVING, ()),
    ]
    cancelled = planned(CPU4, claim("m", "cpu4", Phase.REQUESTED)).claims[0].ending
    assert cancelled is not None
    assert cancelled.code is ReasonCode.UNNEEDED


def test_what_stays_though_nothing_is_asked_of_it_says_so() -> None:
    have = [claim("h", "cpu4", head=True), claim("f", "cpu4", foreign=True), claim("m", "cpu4", idle_s=5.0)]
    assert kept(planned(CPU4, *have, tasks(0, CPU=1))) == {
        "h": ReasonCode.IS_HEAD,
        "f": ReasonCode.NEEDED,
        "m": ReasonCode.NOT_IDLE_YET,
    }


# ---- replicas are let go whole ---------------------------------------------------------------------------------------

QUAD = pool("quad", 1.0, CPU=4, hosts_per_replica=4, restartable=True)


def test_a_replica_that_is_most_of_its_pool_is_replaced_for_its_age_all_the_same_one_at_a_time() -> None:
    two = [running(f"q{n}", 4, "quad", hosts=4, created=float(n)) for n in range(2)]
    result = planned(QUAD, *two, max_age_s=900.0)
    assert (launched(result), kept(result)["q0.0"], kept(result)["q1.0"]) == (
        {"quad": 4}, ReasonCode.REPLACING, ReasonCode.BUSY,
    )  # fmt: skip


def test_an_outdated_replica_that_is_all_of_its_pool_is_replaced_when_it_is_idle() -> None:
    one = claim("q0", "quad", hosts=4, drifted=True, idle_s=99.0)
    assert leaving(planned(QUAD, one)) == {"q0": ReasonCode.DRIFTED}
    three = [claim(f"q{n}", "quad", hosts=4, drifted=True, idle_s=99.0 - n) for n in range(3)]
    assert leaving(planned(QUAD, *three)) == {"q0": ReasonCode.DRIFTED}


@pytest.mark.parametrize(("after_s", "gone"), [(500.0, ["b"]), (501.0, [])])
def test_a_machine_is_left_alone_until_it_has_been_up_for_so_long(after_s: float, gone: list[str]) -> None:
    have = running("a", 3), running("b", 1, since=500.0)
    assert list(leaving(planned(CPU4, *have, consolidate_after_s=after_s, **ON))) == gone
