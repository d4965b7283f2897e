"""When capacity fails: which offer is asked next, what the launch says about it, and how failures are forgotten."""

import pytest
from tests.unit.planner.looking import claim_of, launched, planned

from rayfleet.model import (
    Backoff,
    MachineFact,
    Market,
    NodeFact,
    Offer,
    OfferKey,
    Outcome,
    OutcomeKind,
    Phase,
    Plan,
    Pool,
    ReasonCode,
    Timeouts,
    Trouble,
)
from rayfleet.testing.snapshots import claim, gang, offer, pool, tasks

SPOT_A = OfferKey("cpu4", zone="a", market=Market.SPOT)
SMALL = pool(
    "cpu4",
    CPU=4,
    offers=(offer(0.05, "a", spot=True), offer(0.06, "b", spot=True), offer(0.2, "a"), offer(0.21, "b")),
)
LARGE = pool("cpu8", CPU=8, offers=(offer(0.18, "a", spot=True),))
ELSEWHERE = pool("far4", CPU=4, offers=(Offer(0.3, Market.ON_DEMAND, None, None, "gcp"),))
POOLS = (SMALL, LARGE, ELSEWHERE)


def out_of_stock(*scopes: OfferKey, until: float = 1240.0) -> tuple[Backoff, ...]:
    return tuple(Backoff(scope, until, Trouble.OUT_OF_STOCK, message="none left") for scope in scopes)


def rungs(of: Plan) -> list[tuple[str, str | None, str | None]]:
    return [(x.offer.pool, x.offer.zone, x.offer.market) for x in of.launches]


LADDER = (
    ("cpu4", "a", Market.SPOT),
    ("cpu4", "b", Market.SPOT),
    ("cpu8", "a", Market.SPOT),
    ("cpu4", "a", Market.ON_DEMAND),
    ("cpu4", "b", Market.ON_DEMAND),
    ("far4", None, Market.ON_DEMAND),
)


@pytest.mark.parametrize("failed", range(len(LADDER)))
def test_the_ladder_is_other_zone_other_type_on_demand_other_provider(failed: int) -> None:
    """Price order less back-offs: each rung is taken when all before it are out of stock."""
    scopes = [OfferKey(name, zone=zone, market=market) for name, zone, market in LADDER[:failed]]
    result = planned(*POOLS, tasks(4, CPU=1), backoffs=out_of_stock(*scopes))
    assert rungs(result) == [LADDER[failed]]


def test_when_every_rung_has_failed_the_work_waits_and_says_for_how_long() -> None:
    result = planned(*POOLS, tasks(4, CPU=1), backoffs=out_of_stock(OfferKey("")))
    assert launched(result) == {}
    assert [(u.count, u.reason.code, u.reason.details["left_s"]) for u in result.unmet] == [
        (4, ReasonCode.BACKED_OFF, 240.0)
    ]


def test_a_launch_says_which_cheaper_offer_it_stands_in_for_and_until_when() -> None:
    result = planned(*POOLS, tasks(4, CPU=1), backoffs=out_of_stock(SPOT_A))
    (launch,) = result.launches
    assert launch.reason.text == (
        "4 tasks wait for machines; cpu4 (spot, zone a) would be cheaper, but is not asked for 240 s more after "
        "OutOfStock: none left"
    )
    assert [link.code for link in launch.reason.chain] == [ReasonCode.DETOUR]


def test_of_many_skipped_offers_the_three_cheapest_are_named() -> None:
    scopes = [OfferKey(name, zone=zone, market=market) for name, zone, market in LADDER[:5]]
    (launch,) = planned(*POOLS, tasks(4, CPU=1), backoffs=out_of_stock(*scopes)).launches
    assert [link.details["offer"] for link in launch.reason.chain] == [
        "cpu4 (spot, zone a)",
        "cpu4 (spot, zone b)",
        "cpu8 (spot, zone a)",
    ]


@pytest.mark.parametrize(
    "backoffs",
    [
        (),
        out_of_stock(OfferKey("cpu4", zone="a", market=Market.ON_DEMAND)),  # dearer than what is launched
        out_of_stock(OfferKey("far4")),
        out_of_stock(SPOT_A, until=1000.0),  # over
    ],
    ids=["none", "dearer", "elsewhere", "over"],
)
def test_offers_that_would_not_have_been_asked_are_not_named(backoffs: tuple[Backoff, ...]) -> None:
    (launch,) = planned(*POOLS, tasks(4, CPU=1), backoffs=backoffs).launches
    assert launch.reason.chain == ()


def test_offers_that_cannot_take_the_work_are_not_named() -> None:
    gpu = pool("gpu", 0.01, CPU=8, GPU=1)
    tiny = pool("tiny", 0.001, CPU=0.5)
    back = out_of_stock(OfferKey("gpu"), OfferKey("tiny"))
    (launch,) = planned(gpu, tiny, pool("plain", 1.0, CPU=8), tasks(1, CPU=1), backoffs=back).launches
    assert (launch.offer.pool, launch.reason.chain) == ("plain", ())
    selected = planned(
        pool("cheap", 0.1, CPU=4, labels={"tier": "web"}),
        pool("right", 1.0, CPU=4, labels={"tier": "batch"}),
        tasks(1, {"tier": "batch"}, CPU=1),
        backoffs=out_of_stock(OfferKey("cheap")),
    )
    assert selected.launches[0].reason.chain == ()


@pytest.mark.parametrize("first", [True, False], ids=["priority", "price"])
def test_a_pool_of_higher_priority_is_named_however_dear(first: bool) -> None:
    dear = pool("dear", 9.0, CPU=4, priority=int(first))
    result = planned(dear, pool("cheap", 1.0, CPU=4), tasks(4, CPU=1), backoffs=out_of_stock(OfferKey("dear")))
    assert [link.details["offer"] for link in result.launches[0].reason.chain] == ["dear (on-demand)"] * first


def test_minimums_and_gangs_name_what_they_skip() -> None:
    back = out_of_stock(SPOT_A)
    least = planned(pool("cpu4", CPU=4, min_workers=1, offers=SMALL.offers), backoffs=back)
    assert [link.code for link in least.launches[0].reason.chain] == [ReasonCode.DETOUR]
    group = planned(SMALL, gang("STRICT_SPREAD", {"CPU": 4}, {"CPU": 4}), backoffs=back)
    assert [(x.count, [link.code for link in x.reason.chain]) for x in group.launches] == [(2, [ReasonCode.DETOUR])]


# ---- what a failure covers ----


def ended(trouble: Trouble, scope: OfferKey | None = None) -> tuple[Outcome, ...]:
    return (Outcome(OutcomeKind.LAUNCH, ("m1",), 1000.0, trouble, "why", scope),)


def asked(of: Pool = SMALL) -> tuple[Pool, object, object]:
    return of, claim("m1", SPOT_A, Phase.REQUESTED), tasks(4, CPU=1)


def test_a_stock_out_moves_on_within_the_same_plan() -> None:
    result = planned(*asked(), outcomes=ended(Trouble.OUT_OF_STOCK))  # type: ignore[arg-type]  # parts of a snapshot
    assert rungs(result) == [LADDER[1]]
    assert [(b.scope, b.until - 1000.0, b.since) for b in result.backoffs] == [(SPOT_A, 300.0, 1000.0)]


@pytest.mark.parametrize(
    ("scope", "next_rung"),
    [
        (None, LADDER[1]),
        (OfferKey("cpu4", market=Market.SPOT), LADDER[2]),
        (OfferKey("", market=Market.SPOT), LADDER[3]),
        (OfferKey("", zone="a"), LADDER[1]),
        (OfferKey("cpu4"), LADDER[2]),
    ],
    ids=["the offer", "spot of the pool", "all spot", "zone a", "the pool"],
)
def test_a_quota_takes_every_offer_in_its_scope_away(
    scope: OfferKey | None, next_rung: tuple[str, str | None, Market]
) -> None:
    parts = (*POOLS, *asked()[1:])
    result = planned(*parts, outcomes=ended(Trouble.QUOTA_REACHED, scope))  # type: ignore[arg-type]  # as above
    assert rungs(result) == [next_rung]


# ---- decay ----


def failed_again(failures: int, quiet_s: float) -> Backoff:
    """Return the back-off after one more stock-out, `quiet_s` after the end of a wait after `failures` in a row."""
    earlier = Backoff(SPOT_A, 1000.0 - quiet_s, Trouble.OUT_OF_STOCK, failures)
    result = planned(*asked(), backoffs=(earlier,), outcomes=ended(Trouble.OUT_OF_STOCK))  # type: ignore[arg-type]
    return result.backoffs[0]


def test_waits_grow_from_five_minutes_to_thirty() -> None:
    waits = [failed_again(failures, 1.0).until - 1000.0 for failures in range(1, 6)]
    assert waits == [600.0, 1200.0, 1800.0, 1800.0, 1800.0]


@pytest.mark.parametrize(
    ("quiet_s", "failures", "wait_s"),
    [(0.0, 4, 1800.0), (1799.0, 4, 1800.0), (1800.0, 3, 1200.0), (3600.0, 2, 600.0), (5400.0, 1, 300.0)],
)
def test_one_failure_is_forgotten_for_every_half_hour_of_quiet(quiet_s: float, failures: int, wait_s: float) -> None:
    again = failed_again(3, quiet_s)
    assert (again.failures, again.until - 1000.0) == (failures, wait_s)


def test_failures_beyond_the_longest_wait_need_no_longer_to_be_forgotten() -> None:
    assert (failed_again(500, 0.0).failures, failed_again(500, 1800.0).failures) == (501, 4)


def test_what_has_decayed_altogether_is_dropped() -> None:
    old = Backoff(SPOT_A, 1000.0, Trouble.OUT_OF_STOCK, 2)
    assert planned(SMALL, backoffs=(old,), now=4599.0).backoffs == (old,)
    assert planned(SMALL, backoffs=(old,), now=4600.0).backoffs == ()
    assert planned(SMALL, backoffs=(old,), now=1000.0, timeouts=Timeouts(backoff_decay_s=0.0)).backoffs == ()


@pytest.mark.parametrize("trouble", [Trouble.OUT_OF_STOCK, Trouble.QUOTA_REACHED, Trouble.FLAKY, Trouble.DENIED])
@pytest.mark.parametrize("created", [900.0, 950.0, 960.0])
def test_a_machine_asked_for_before_the_stock_ran_out_does_not_prove_that_there_is_some(
    trouble: Trouble, created: float
) -> None:
    back = Backoff(OfferKey("cpu4"), 1240.0, trouble, since=950.0)
    joins = claim(
        "m1", SPOT_A, Phase.BOOTING, created=created, machine=MachineFact.PRESENT, machine_id="i", node=NodeFact.ALIVE
    )
    result = planned(SMALL, joins, tasks(4, CPU=1), backoffs=(back,))
    stays = created < 950.0 and trouble is not Trouble.FLAKY
    assert result.backoffs == ((back,) if stays else ())
    ready = claim_of(result, "m1")
    assert ready is not None
    assert ready.phase is Phase.READY


def test_a_boot_that_took_too_long_is_not_repeated_sooner_than_it_took() -> None:
    """The next cheapest offer is asked at once; the one that wasted five minutes has to wait for five."""
    late = claim("m1", SPOT_A, Phase.BOOTING, since=690.0, created=680.0)
    result = planned(SMALL, late, tasks(4, CPU=1))
    assert (rungs(result), [(b.scope, b.until) for b in result.backoffs]) == ([LADDER[1]], [(SPOT_A, 1300.0)])
    broken = claim("m1", SPOT_A, Phase.BOOTING, since=800.0, created=790.0, machine=MachineFact.FAILED)
    assert [b.until for b in planned(SMALL, broken, tasks(4, CPU=1)).backoffs] == [1002.0]


def test_a_single_failure_is_forgotten_after_half_an_hour_of_quiet() -> None:
    once = Backoff(SPOT_A, 1000.0, Trouble.OUT_OF_STOCK, 1)
    assert planned(SMALL, backoffs=(once,), now=2799.0).backoffs == (once,)
    assert planned(SMALL, backoffs=(once,), now=2800.0).backoffs == ()


def test_a_pool_of_lower_priority_is_not_what_a_launch_would_rather_have_been() -> None:
    first, cheap = pool("first", 9.0, CPU=4, priority=1), pool("cheap", 1.0, CPU=4)
    result = planned(first, cheap, tasks(4, CPU=1), backoffs=out_of_stock(OfferKey("cheap")))
    assert [(x.offer.pool, x.reason.chain) for x in result.launches] == [("first", ())]


def test_minimums_name_skipped_offers_of_their_own_pool_only() -> None:
    other = pool("other", 0.01, CPU=4)
    keeps = pool("keeps", CPU=4, min_workers=1, offers=(Offer(1.0), Offer(0.5, Market.SPOT, None, "eu", "gcp")))
    back = out_of_stock(OfferKey("other"), OfferKey("keeps", market=Market.SPOT))
    (launch,) = planned(other, keeps, backoffs=back).launches
    assert [link.details["offer"] for link in launch.reason.chain] == ["keeps (spot, eu, gcp)"]


def test_a_refusal_waits_no_longer_than_the_first_wait() -> None:
    short = Timeouts(backoff_first_s=0.5)
    result = planned(*asked(), outcomes=ended(Trouble.OUT_OF_STOCK), timeouts=short)  # type: ignore[arg-type]  # as above
    assert [b.until for b in result.backoffs] == [1000.5]


def test_priority_makes_no_machine_with_an_accelerator_for_work_that_needs_none() -> None:
    """Only what is left when all other pools are full may have it."""
    gpu, cheap = pool("gpu", 9.0, CPU=4, GPU=1, priority=1), pool("cheap", 1.0, CPU=4, max_workers=1)
    assert launched(planned(gpu, cheap, tasks(4, CPU=1))) == {"cheap": 1}
    assert launched(planned(gpu, cheap, tasks(5, CPU=1))) == {"cheap": 1, "gpu": 1}
    assert launched(planned(gpu, cheap, tasks(4, CPU=1), tasks(1, CPU=1, GPU=1))) == {"cheap": 1, "gpu": 1}
