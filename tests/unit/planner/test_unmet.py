"""Verdicts: which part of a gang is asked about, and which pools could not take it; exact texts."""

from dataclasses import replace

from tests.unit.planner.looking import planned

from rayfleet.model import Backoff, FrozenMap, Gang, Market, OfferKey, Phase, Plan, ReasonCode, Trouble
from rayfleet.testing.snapshots import claim, gang, offer, pool, tasks

SMALL = pool("small", CPU=4)
WEB = pool("web", CPU=8, labels={"tier": "web"})


def verdicts(of: Plan) -> list[tuple[str, str]]:
    (missing,) = of.unmet
    return [(verdict.pool, verdict.reason.text) for verdict in missing.pools]


def placed(of: Gang, **where: str) -> Gang:
    return replace(of, placed=FrozenMap({number.removeprefix("b"): host for number, host in where.items()}))


def test_a_gang_is_judged_by_the_bundle_that_fewest_pools_take() -> None:
    result = planned(SMALL, WEB, gang("PACK", {"CPU": 1}, {"CPU": 6}, {"GPU": 1}))
    assert verdicts(result) == [
        ("small", "has 0 GPU, 1 are needed"),
        ("web", "has 0 GPU, 1 are needed"),
    ]


def test_bundles_that_have_a_place_are_not_asked_about() -> None:
    wanted = placed(gang("PACK", {"GPU": 1}, {"CPU": 6}), b0="m1")
    result = planned(SMALL, claim("m1", "small"), wanted, max_workers=1)
    assert verdicts(result) == [("small", "has 4 CPU, 6 are needed")]


def test_a_strict_pack_is_judged_by_its_sum_and_its_labels() -> None:
    result = planned(SMALL, WEB, gang("STRICT_PACK", {"CPU": 3}, {"CPU": 6}))
    assert [text for _, text in verdicts(result)] == [
        "has 4 CPU, 9 are needed",
        "has 8 CPU, 9 are needed",
    ]
    labelled = planned(WEB, gang("STRICT_PACK", {"CPU": 1}, {"CPU": 1}, labels=({"tier": "batch"},)))
    assert [verdict.reason.code for verdict in labelled.unmet[0].pools] == [ReasonCode.LABELS_DIFFER]


def test_labels_that_differ_are_told_as_they_were_asked_for() -> None:
    result = planned(SMALL, tasks(1, {"tier": "web"}, {"zone": "!a", "tier": "x"}, CPU=1))
    assert verdicts(result) == [("small", "its labels do not match {tier: web} or {tier: x, zone: !a}")]


def test_what_is_just_enough_is_no_reason() -> None:
    """One dollar an hour is left of the hour's money and of the day's: only the maximum is in the way."""
    priced = pool("p", 1.0, CPU=1, max_workers=0)
    result = planned(priced, tasks(1, CPU=1), now=86400.0, max_usd_per_hour=1.0, max_usd_per_day=24.0)
    assert [(v.reason.code, v.reason.chain) for v in result.unmet[0].pools] == [(ReasonCode.POOL_MAX_WORKERS, ())]
    dear = planned(priced, tasks(1, CPU=1), now=86400.0, max_usd_per_hour=0.9, max_usd_per_day=23.9)
    (verdict,) = dear.unmet[0].pools
    assert [link.code for link in verdict.reason.chain] == [ReasonCode.BUDGET, ReasonCode.DAY_BUDGET]


def test_the_speed_is_a_reason_for_tasks_and_none_for_a_gang() -> None:
    one = pool("p", 1.0, CPU=4)
    busy = [claim(f"s{n}", "p", Phase.BOOTING) for n in range(5)]
    result = planned(one, *busy, gang("PACK", {"CPU": 4}), tasks(6, CPU=4), upscaling_speed=0.0, max_workers=5)
    codes = [
        (u.kind.value, [v.reason.code for v in u.pools], [c.code for c in u.pools[0].reason.chain])
        for u in result.unmet
    ]
    most, speed = ReasonCode.MAX_WORKERS, ReasonCode.UPSCALING_SPEED
    assert ("tasks", [most], [speed]) in codes
    alone = planned(one, *busy, *[gang("PACK", {"CPU": 4}, count=6)], upscaling_speed=0.0, max_workers=5)
    assert [(u.count, u.pools[0].reason.code, u.pools[0].reason.chain) for u in alone.unmet] == [(1, most, ())]


def test_money_is_compared_with_the_cheapest_offer_that_may_be_asked() -> None:
    two = pool("two", CPU=1, offers=(offer(0.1, spot=True), offer(1.0)))
    back = (Backoff(OfferKey("two", market=Market.SPOT), 1200.0, Trouble.OUT_OF_STOCK),)
    result = planned(two, tasks(1, CPU=1), max_usd_per_hour=0.5, backoffs=back)
    assert [verdict.reason.code for verdict in result.unmet[0].pools] == [ReasonCode.BUDGET]


def test_an_object_store_that_nobody_has_seen_is_taken_to_be_large_enough() -> None:
    wants = tasks(1, CPU=1, object_store_memory=1e9)
    back = (Backoff(OfferKey("small"), 1200.0, Trouble.OUT_OF_STOCK),)
    result = planned(SMALL, wants, backoffs=back)
    assert [verdict.reason.code for verdict in result.unmet[0].pools] == [ReasonCode.BACKED_OFF]
