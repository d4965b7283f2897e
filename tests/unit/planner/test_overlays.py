"""Overlays: what offers count as when they are compared, and what stays their price."""

import pytest
from tests.unit.planner.looking import launched, planned, unmet

from rayfleet.model import Cost, LabelSelector, Market, Offer, OfferKey, Overlay, ReasonCode
from rayfleet.testing.snapshots import gang, pool, tasks

A, B = pool("a", 1.0, CPU=4), pool("b", 2.0, CPU=4)


def overlay(of: str = "", **fields: object) -> tuple[Overlay, ...]:
    return (Overlay(OfferKey(of), **fields),)  # type: ignore[arg-type]  # as Overlay takes them


@pytest.mark.parametrize(
    ("overlays", "chosen"),
    [
        ((), "a"),
        (overlay("b", usd_per_hour=0.0), "b"),
        (overlay("b", usd_per_hour=0.99), "b"),
        (overlay("b", multiply=0.4), "b"),
        (overlay("b", multiply=0.6), "a"),
        (overlay("b", add=-1.5), "b"),
        (overlay("a", add=1.5), "b"),
        (overlay("a", multiply=3), "b"),
        (overlay("", multiply=3), "a"),  # of all
        ((*overlay("b", multiply=0.6), *overlay("b", add=-0.5)), "b"),  # one upon the other: 0.7
        ((*overlay("b", add=-0.5), *overlay("b", multiply=0.6)), "b"),  # 0.9
        ((*overlay("b", add=-5), *overlay("b", add=1.5)), "a"),  # never below 0 in between
    ],
)
def test_machines_are_chosen_by_what_their_offers_count_as(overlays: tuple[Overlay, ...], chosen: str) -> None:
    assert launched(planned(A, B, tasks(4, CPU=1), overlays=overlays)) == {chosen: 1}
    assert launched(planned(A, B, gang("STRICT_SPREAD", {"CPU": 1}), overlays=overlays)) == {chosen: 1}


def test_what_is_reported_stays_the_listed_price_unless_the_overlay_is_real() -> None:
    paid = planned(A, B, tasks(4, CPU=1), overlays=overlay("b", usd_per_hour=0.0, why="paid for already"))
    assert paid.cost == Cost(0.0, 2.0, 0)
    assert paid.launches[0].reason.text == (
        "4 tasks wait for machines; its offer counts as 0.000 USD/h (paid for already)"
    )
    real = planned(A, B, tasks(4, CPU=1), overlays=overlay("b", usd_per_hour=0.25, real=True))
    assert real.cost == Cost(0.0, 0.25, 0)
    assert real.claims[0].usd_per_hour == 0.25
    assert real.launches[0].reason.chain[0].text == "its offer counts as 0.250 USD/h (an overlay)"


def test_budgets_count_the_real_price() -> None:
    counted = planned(B, tasks(4, CPU=1), overlays=overlay("b", usd_per_hour=0.0), max_usd_per_hour=1.0)
    assert unmet(counted) == [("tasks", 0, 4, ReasonCode.BUDGET)]
    real = planned(B, tasks(4, CPU=1), overlays=overlay("b", usd_per_hour=0.5, real=True), max_usd_per_hour=1.0)
    assert launched(real) == {"b": 1}


def test_offers_of_a_pool_are_told_apart_by_zone_market_and_labels() -> None:
    offers = (
        Offer(1.0, zone="a"), Offer(1.1, zone="b"), Offer(1.2, Market.RESERVED, "a"), Offer(1.3, Market.SPOT, "c"),
    )  # fmt: skip
    one = pool("a", CPU=4, offers=offers)

    def chosen(**fields: object) -> tuple[str | None, Market | None]:
        made = planned(one, tasks(1, CPU=1), overlays=(Overlay(**fields),))  # type: ignore[arg-type]  # as it takes them
        return made.launches[0].offer.zone, made.launches[0].offer.market

    anywhere = OfferKey("")
    spot = LabelSelector.parse({"ray.io/market-type": "spot"})
    assert chosen(scope=anywhere, multiply=1.0) == ("a", Market.ON_DEMAND)
    assert chosen(scope=OfferKey("", zone="b"), usd_per_hour=0.0) == ("b", Market.ON_DEMAND)
    assert chosen(scope=OfferKey("a", market=Market.RESERVED), usd_per_hour=0.0) == ("a", Market.RESERVED)
    assert chosen(scope=anywhere, labels=spot, add=-1.0) == ("c", Market.SPOT)
    assert chosen(scope=OfferKey("other"), usd_per_hour=0.0) == ("a", Market.ON_DEMAND)


def test_a_price_that_is_not_known_stays_so_unless_one_is_named() -> None:
    unknown = pool("u", CPU=4)
    for change in ({"multiply": 0.0}, {"add": -1.0}):
        made = planned(unknown, tasks(1, CPU=1), overlays=overlay("u", **change))
        assert made.cost == Cost(0.0, 0.0, 1)
        assert made.launches[0].reason.chain == ()
    named = planned(unknown, pool("dear", 9.0, CPU=4), tasks(1, CPU=1), overlays=overlay("u", usd_per_hour=10.0))
    assert launched(named) == {"dear": 1}


def test_priority_stays_above_prices() -> None:
    first = pool("a", 1.0, CPU=4, priority=1)
    assert launched(planned(first, B, tasks(1, CPU=1), overlays=overlay("b", usd_per_hour=0.0))) == {"a": 1}


def test_minimums_and_the_head_take_what_counts_least() -> None:
    offers = (Offer(1.0, zone="a"), Offer(2.0, zone="b"))
    two = (*overlay("", multiply=1.0), Overlay(OfferKey("", zone="b"), usd_per_hour=0.0))
    made = planned(pool("a", CPU=4, offers=offers, min_workers=1), overlays=two)
    assert [launch.offer.zone for launch in made.launches] == ["b"]
    headed = planned(A, head=pool("head", CPU=0, offers=offers), overlays=two)
    assert [launch.offer.zone for launch in headed.launches] == ["b"]


def test_an_overlay_that_only_says_why_changes_no_price() -> None:
    cheap, dear = pool("a", 1.0, CPU=4), pool("b", 1.5, CPU=4)
    assert launched(planned(cheap, dear, tasks(1, CPU=1), overlays=overlay("a", why="kept for the audit"))) == {"a": 1}


def test_the_reasons_of_several_overlays_are_told_once_each() -> None:
    several = (*overlay("b", multiply=0.5, why="reserved"), *overlay("b", add=-0.9, why="a credit"))
    (launch,) = planned(A, B, tasks(4, CPU=1), overlays=(*several, *overlay("b", add=0, why="reserved"))).launches
    (told,) = [link for link in launch.reason.chain if link.code is ReasonCode.OVERLAY]
    assert dict(told.details)["why"] == "reserved, a credit"
