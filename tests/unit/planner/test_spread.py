"""Spot machines are spread over offers of nearly the same price, where the policy wants that."""

from collections import Counter

import pytest
from tests.unit.planner.looking import launched, planned

from rayfleet.model import Backoff, Market, OfferKey, Plan, ReasonCode, Trouble
from rayfleet.testing.snapshots import claim, gang, offer, pool, requested, tasks

OFFERS = (
    offer(0.10, "a", spot=True),
    offer(0.11, "b", spot=True),
    offer(0.13, "c", spot=True),
    offer(0.10, "d"),
)
CPU4 = pool("cpu4", CPU=4, offers=OFFERS)
SPOT = {zone: OfferKey("cpu4", zone=zone, market=Market.SPOT) for zone in "abc"}


def zones(of: Plan) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for launch in of.launches:
        counts[launch.offer.zone or ""] += launch.count
    return dict(counts)


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        (None, {"a": 9}),
        (0.0, {"a": 9}),
        (0.1, {"a": 5, "b": 4}),
        (0.3, {"a": 3, "b": 3, "c": 3}),
    ],
)
def test_the_margin_says_which_offers_share(margin: float | None, expected: dict[str, int]) -> None:
    result = planned(CPU4, tasks(36, CPU=1), spot_spread_margin=margin)
    assert zones(result) == expected
    assert {code for x in result.launches for code in [c.code for c in x.reason.chain]} == (
        {ReasonCode.SPOT_SPREAD} if len(expected) > 1 else set()
    )


def test_without_the_key_the_plan_is_the_one_without_the_feature() -> None:
    assert repr(planned(CPU4, tasks(36, CPU=1))) == repr(planned(CPU4, tasks(36, CPU=1), spot_spread_margin=None))


def test_machines_that_exist_count() -> None:
    have = [claim(f"m{n}", SPOT["a"], used={"CPU": 4}) for n in range(4)]
    assert zones(planned(CPU4, *have, tasks(12, CPU=1), spot_spread_margin=0.3)) == {"b": 2, "c": 1}


def test_offers_that_back_off_get_none() -> None:
    back = (Backoff(SPOT["b"], 1200.0, Trouble.OUT_OF_STOCK),)
    assert zones(planned(CPU4, tasks(16, CPU=1), spot_spread_margin=0.3, backoffs=back)) == {"a": 2, "c": 2}


def test_the_cheapest_offer_that_can_be_had_is_what_others_are_compared_with() -> None:
    back = (
        Backoff(SPOT["a"], 1200.0, Trouble.OUT_OF_STOCK),
        Backoff(OfferKey("cpu4", zone="d"), 1200.0, Trouble.FLAKY),
    )
    assert zones(planned(CPU4, tasks(16, CPU=1), spot_spread_margin=0.2, backoffs=back)) == {"b": 2, "c": 2}


def test_the_budget_is_kept() -> None:
    """Four machines for 0.41: three at the cheapest price and one at the next; 0.40 allows none that is dearer."""
    four = tasks(16, CPU=1)
    result = planned(CPU4, four, spot_spread_margin=0.3, max_usd_per_hour=0.41)
    assert (zones(result), result.cost.after) == ({"a": 3, "b": 1}, 0.41)
    assert zones(planned(CPU4, four, spot_spread_margin=0.3, max_usd_per_hour=0.4)) == {"a": 4}


def test_zones_that_a_selector_tells_apart_are_not_mixed() -> None:
    in_a = tasks(16, {"ray.io/availability-zone": "a"}, CPU=1)
    assert zones(planned(CPU4, in_a, spot_spread_margin=0.3)) == {"a": 4}


def test_gangs_stay_together_and_minimums_are_spread() -> None:
    group = gang("STRICT_SPREAD", *[{"CPU": 4}] * 4)
    assert zones(planned(CPU4, group, spot_spread_margin=0.3)) == {"a": 4}
    assert zones(planned(pool("cpu4", CPU=4, offers=OFFERS, min_workers=3), spot_spread_margin=0.3)) == {
        "a": 1, "b": 1, "c": 1,
    }  # fmt: skip
    assert zones(planned(CPU4, requested(2, CPU=4), spot_spread_margin=0.3)) == {"a": 1, "b": 1}


def test_on_demand_is_never_spread() -> None:
    plain = pool("cpu4", CPU=4, offers=(offer(1.0, "a"), offer(1.0, "b")))
    assert zones(planned(plain, tasks(8, CPU=1), spot_spread_margin=1.0)) == {"a": 2}


def test_replicas_go_whole() -> None:
    tpu = pool("tpu", CPU=4, hosts_per_replica=2, offers=OFFERS[:2])
    result = planned(tpu, tasks(32, CPU=1), spot_spread_margin=0.1)
    assert (launched(result), zones(result)) == ({"tpu": 8}, {"a": 4, "b": 4})


def test_each_dearer_machine_takes_its_part_of_the_budget() -> None:
    """Six machines for 0.62: two may cost a cent more than the cheapest."""
    result = planned(CPU4, tasks(24, CPU=1), spot_spread_margin=0.1, max_usd_per_hour=0.62)
    assert (zones(result), result.cost.after) == ({"a": 4, "b": 2}, 0.62)


def test_what_a_gang_has_just_been_given_counts_beside_what_was_there() -> None:
    """Gangs are not spread: four machines of the first offer, then, so that the second offer gets as many."""
    have = [claim(f"m{n}", SPOT["a"], used={"CPU": 4}) for n in range(3)]
    result = planned(CPU4, *have, gang("STRICT_PACK", {"CPU": 4}), tasks(16, CPU=1), spot_spread_margin=0.1)
    assert zones(result) == {"a": 1, "b": 4}
