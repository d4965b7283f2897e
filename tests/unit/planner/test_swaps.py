"""Of idle machines the cheap ones get the work, so that the dear ones may leave."""

from tests.unit.planner.looking import launched, leaving, placed, planned

from rayfleet.model import Market, OfferKey, ReasonCode
from rayfleet.testing.snapshots import claim, gang, offer, pool, requested, tasks

CPU4 = pool("cpu4", CPU=4, offers=(offer(1.0), offer(0.2, spot=True)))
DEAR, CHEAP = (OfferKey("cpu4", market=market) for market in (Market.ON_DEMAND, Market.SPOT))


def test_the_dear_machine_goes_idle_and_leaves() -> None:
    """Both fit equally well, and the dear one is the older."""
    there = [claim("m1", DEAR, idle_s=1000.0), claim("m2", CHEAP, idle_s=1000.0)]
    for wants in (tasks(1, CPU=4), gang("STRICT_PACK", {"CPU": 4}), requested(1, CPU=4)):
        result = planned(CPU4, *there, wants)
        assert (launched(result), placed(result), leaving(result)) == ({}, {"m2": 1}, {"m1": ReasonCode.IDLE})


def test_the_tightest_fit_gives_way_to_the_price() -> None:
    big = pool("big", 0.5, CPU=16)
    result = planned(CPU4, big, claim("m1", DEAR, idle_s=1000.0), claim("m2", "big", idle_s=1000.0), tasks(3, CPU=1))
    assert (placed(result), leaving(result)) == ({"m2": 3}, {"m1": ReasonCode.IDLE})


def test_work_moves_as_a_whole_or_not_at_all() -> None:
    """Two dear machines and a cheap one: one moves. What does not fit does not move."""
    there = [claim("m1", DEAR, idle_s=1000.0), claim("m2", DEAR, idle_s=1000.0), claim("m3", CHEAP, idle_s=1000.0)]
    assert placed(planned(CPU4, *there, tasks(2, CPU=3))) == {"m3": 1, "m2": 1}
    small = pool("small", 0.1, CPU=2)
    there = [claim("m1", DEAR, idle_s=1000.0), claim("m2", "small", idle_s=1000.0)]
    assert placed(planned(CPU4, small, *there, tasks(1, CPU=3))) == {"m1": 1}


def test_machines_in_use_keep_their_work_and_get_more() -> None:
    there = [claim("m1", DEAR, used={"CPU": 1}), claim("m2", CHEAP, idle_s=1000.0)]
    assert placed(planned(CPU4, *there, tasks(1, CPU=3))) == {"m1": 1}


def test_labels_that_are_asked_for_are_kept() -> None:
    there = [claim("m1", DEAR, labels={"disk": "ssd"}, idle_s=1000.0), claim("m2", CHEAP, idle_s=1000.0)]
    assert placed(planned(CPU4, *there, tasks(1, {"disk": "ssd"}, CPU=1))) == {"m1": 1}


def test_a_machine_that_stays_anyway_costs_nothing() -> None:
    """The minimum holds the dear machine, so that the cheap one leaves."""
    kept = pool("kept", 5.0, CPU=4, min_workers=1)
    there = [claim("m1", CHEAP, idle_s=1000.0), claim("m2", "kept", idle_s=1000.0)]
    result = planned(CPU4, kept, *there, tasks(1, CPU=4))
    assert (placed(result), leaving(result)) == ({"m2": 1}, {"m1": ReasonCode.IDLE})


def test_without_prices_nothing_moves() -> None:
    plain = pool("plain", CPU=4)
    there = [claim("m1", "plain", idle_s=1000.0), claim("m2", "plain", idle_s=1000.0)]
    assert placed(planned(plain, *there, tasks(1, CPU=1))) == {"m1": 1}


def test_bundles_of_a_gang_stay_where_those_that_are_placed_let_them_be() -> None:
    """What is placed may not be reported as used yet: its machine looks as idle as any."""
    there = [claim("m1", DEAR, idle_s=1.0), claim("m2", CHEAP, idle_s=1.0)]
    two = ({"CPU": 1}, {"CPU": 1})
    assert placed(planned(CPU4, *there, gang("STRICT_PACK", *two, placed={"0": "m1"}))) == {"m1": 1}
    assert placed(planned(CPU4, *there, gang("STRICT_SPREAD", *two, placed={"0": "m2"}))) == {"m1": 1}
