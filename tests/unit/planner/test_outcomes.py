"""Calls that have ended: what they change, and how long offers back off."""

import pytest
from tests.unit.planner.looking import claim_of, found, launched, planned

from rayfleet.model import (
    Backoff,
    Drain,
    MachineFact,
    Market,
    NodeFact,
    OfferKey,
    Order,
    OrderKind,
    Outcome,
    OutcomeKind,
    Phase,
    ReasonCode,
    Trouble,
    reason,
)
from rayfleet.testing.snapshots import claim, offer, pool, tasks

CPU1 = pool("cpu1", CPU=1)
KEY = OfferKey("cpu1", market=Market.ON_DEMAND)
ASKED = claim("m1", "cpu1", Phase.REQUESTED, batch="b")
IDLE = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)


def ended(kind: OutcomeKind, trouble: Trouble | None = None, *names: str, **fields: object) -> Outcome:
    return Outcome(kind, names or ("m1",), 1000.0, trouble, "why", **fields)  # type: ignore[arg-type]  # a scope


def test_a_launch_that_went_well_is_accepted() -> None:
    became = claim_of(planned(CPU1, ASKED, tasks(1, CPU=1), outcomes=(ended(OutcomeKind.LAUNCH),)), "m1")
    assert became is not None
    assert (became.phase, became.accepted) == (Phase.REQUESTED, True)


@pytest.mark.parametrize(
    ("trouble", "wait_s"), [(Trouble.OUT_OF_STOCK, 300.0), (Trouble.QUOTA_REACHED, 300.0), (Trouble.DENIED, 1800.0)]
)
def test_a_launch_that_was_refused_is_gone_and_its_offer_backs_off(trouble: Trouble, wait_s: float) -> None:
    """D2-40, D5-115: the reason is kept."""
    result = planned(CPU1, ASKED, tasks(1, CPU=1), outcomes=(ended(OutcomeKind.LAUNCH, trouble),))
    assert (claim_of(result, "m1"), launched(result)) == (None, {})
    assert [(b.scope, b.until, b.trouble) for b in result.backoffs] == [(KEY, 1000.0 + wait_s, trouble)]
    assert found(result) == [("m1", ReasonCode.LAUNCH_FAILED)]
    assert result.findings[0].reason.text == f"launch failed: {trouble.value}: why"


def test_the_next_best_offer_is_asked_in_the_same_plan() -> None:
    both = pool("cpu1", CPU=1, offers=(offer(0.1, spot=True), offer(1.0)))
    asked = claim("m1", OfferKey("cpu1", market=Market.SPOT), Phase.REQUESTED)
    result = planned(both, asked, tasks(1, CPU=1), outcomes=(ended(OutcomeKind.LAUNCH, Trouble.OUT_OF_STOCK),))
    assert [launch.offer.market for launch in result.launches] == [Market.ON_DEMAND]


def test_a_quota_backs_off_every_offer_in_its_scope() -> None:
    pools = [pool("cpu1", CPU=1), pool("cpu2", CPU=2)]
    scope = OfferKey("", market=Market.ON_DEMAND)
    outcome = ended(OutcomeKind.LAUNCH, Trouble.QUOTA_REACHED, scope=scope)
    assert launched(planned(*pools, ASKED, tasks(1, CPU=1), outcomes=(outcome,))) == {}


def test_back_offs_double_with_every_failure_in_a_row_and_end_at_the_longest() -> None:
    for failures, wait_s in [(1, 600.0), (2, 1200.0), (3, 1800.0), (500, 1800.0)]:
        earlier = Backoff(KEY, 990.0, Trouble.OUT_OF_STOCK, failures)
        outcome = ended(OutcomeKind.LAUNCH, Trouble.OUT_OF_STOCK)
        result = planned(CPU1, ASKED, backoffs=(earlier,), outcomes=(outcome,))
        assert [(b.until, b.failures) for b in result.backoffs] == [(1000.0 + wait_s, failures + 1)]


def test_one_call_is_one_failure_however_many_claims_it_was_for() -> None:
    asked = [claim(f"m{n}", "cpu1", Phase.REQUESTED, batch="b") for n in (1, 2, 3)]
    outcome = ended(OutcomeKind.LAUNCH, Trouble.OUT_OF_STOCK, "m1", "m2", "m3")
    result = planned(CPU1, *asked, outcomes=(outcome,))
    assert [b.failures for b in result.backoffs] == [1]


def test_errors_of_several_offers_all_apply() -> None:
    """D2-41."""
    asked = [claim("m1", "cpu1", Phase.REQUESTED), claim("m2", "cpu2", Phase.REQUESTED)]
    outcome = ended(OutcomeKind.LAUNCH, Trouble.OUT_OF_STOCK, "m1", "m2")
    result = planned(CPU1, pool("cpu2", CPU=2), *asked, outcomes=(outcome,))
    assert [b.scope.pool for b in result.backoffs] == ["cpu1", "cpu2"]


def test_a_machine_that_was_seen_is_a_success_whatever_the_call_says() -> None:
    """D2-40: only the unmatched ones fail."""
    asked = [
        claim("m1", "cpu1", Phase.REQUESTED, machine=MachineFact.PRESENT, machine_id="i-1"),
        claim("m2", "cpu1", Phase.REQUESTED, machine=MachineFact.ABSENT),
    ]
    outcome = ended(OutcomeKind.LAUNCH, Trouble.QUOTA_REACHED, "m1", "m2")
    result = planned(CPU1, *asked, tasks(2, CPU=1), outcomes=(outcome,))
    assert [(c.id, c.phase) for c in result.claims] == [("m1", Phase.BOOTING)]


def test_a_launch_is_asked_again_for_the_rest_when_one_of_its_claims_was_cancelled() -> None:
    """A cancelled claim of which no machine was seen says nothing about how the call ended."""
    two = [claim(name, "cpu1", Phase.REQUESTED, batch="b", listed_at=950.0) for name in ("m1", "m2")]
    cancelled = claim("m3", "cpu1", Phase.RELEASING, batch="b", listed_at=950.0, since=999.0)
    result = planned(CPU1, *two, cancelled, tasks(2, CPU=1))
    assert [(x.batch, x.claims, x.again) for x in result.launches] == [("b", ("m1", "m2"), True)]
    seen = claim("m3", "cpu1", Phase.RELEASING, batch="b", listed_at=950.0, since=999.0, machine_id="i-3")
    assert launched(planned(CPU1, *two, seen, tasks(2, CPU=1))) == {}


def test_what_leaves_is_not_asked_for_again_in_the_same_plan() -> None:
    """Neither what nobody needs any more, nor anything at all while the cluster shuts down."""
    three = [claim(f"m{n}", "cpu1", Phase.REQUESTED, batch="b", listed_at=950.0) for n in (1, 2, 3)]
    fewer = planned(CPU1, *three, tasks(1, CPU=1))
    assert [(x.claims, x.count, x.again) for x in fewer.launches] == [(("m1",), 1, True)]
    down = planned(CPU1, *three, tasks(3, CPU=1), orders=(Order("o", OrderKind.SHUTDOWN),))
    assert (down.launches, len(down.releases)) == ((), 3)


def test_a_flaky_launch_is_asked_again_under_its_token_after_a_moment() -> None:
    asked = claim("m1", "cpu1", Phase.REQUESTED, batch="b", machine=MachineFact.ABSENT, listed_at=999.0)
    first = planned(CPU1, asked, tasks(1, CPU=1), outcomes=(ended(OutcomeKind.LAUNCH, Trouble.FLAKY),))
    assert (first.launches, [b.until for b in first.backoffs]) == ((), [1002.0])
    early = planned(CPU1, *first.claims, tasks(1, CPU=1), backoffs=first.backoffs, now=1001.9)
    assert early.launches == ()
    again = planned(CPU1, *first.claims, tasks(1, CPU=1), backoffs=first.backoffs, now=1002.0)
    assert [(x.batch, x.claims, x.again) for x in again.launches] == [("b", ("m1",), True)]


def test_a_node_that_joins_ends_the_back_off_of_its_offer() -> None:
    """Unless it was asked for before the failure: then it says nothing about what there is now."""
    joined = claim("m1", "cpu1", Phase.BOOTING, machine=MachineFact.PRESENT, machine_id="i", node=NodeFact.ALIVE)
    asked_after = Backoff(KEY, 9999.0, Trouble.OUT_OF_STOCK, 5, since=890.0)
    assert planned(CPU1, joined, tasks(1, CPU=1), backoffs=(asked_after,)).backoffs == ()
    asked_before = Backoff(KEY, 9999.0, Trouble.OUT_OF_STOCK, 5, since=910.0)
    assert planned(CPU1, joined, tasks(1, CPU=1), backoffs=(asked_before,)).backoffs == (asked_before,)
    no_answer = Backoff(KEY, 1002.0, Trouble.FLAKY)  # perhaps to the call that has made this machine
    assert planned(CPU1, joined, tasks(1, CPU=1), backoffs=(no_answer,)).backoffs == ()


def test_a_refused_idle_drain_is_taken_back_and_retried_later() -> None:
    """D2-53, D5-119."""
    asked = claim("m1", "cpu1", Phase.DRAINING, idle_s=70.0, drain=Drain(IDLE, 999.0, 1030.0))
    result = planned(CPU1, asked, outcomes=(ended(OutcomeKind.DRAIN, Trouble.REFUSED),))
    became = claim_of(result, "m1")
    assert became is not None
    assert (became.phase, became.drain, became.retry_at, result.drains) == (Phase.READY, None, 1010.0, ())


def test_a_forced_drain_that_was_refused_keeps_its_deadline() -> None:
    ordered = reason(ReasonCode.ORDERED, by="me", why="test")
    asked = claim("m1", "cpu1", Phase.DRAINING, drain=Drain(ordered, 999.0, 1030.0))
    became = claim_of(planned(CPU1, asked, outcomes=(ended(OutcomeKind.DRAIN, Trouble.REFUSED),)), "m1")
    assert became is not None
    assert became.phase is Phase.DRAINING


@pytest.mark.parametrize(
    ("trouble", "findings"), [(None, 0), (Trouble.GONE, 0), (Trouble.DENIED, 1), (Trouble.FLAKY, 1)]
)
def test_a_release_that_failed_is_reported_and_the_listing_decides(trouble: Trouble | None, findings: int) -> None:
    """D2-42: what is gone is done."""
    away = claim("m1", "cpu1", Phase.RELEASING, machine=MachineFact.PRESENT, machine_id="i-1", retry_at=1010.0)
    result = planned(CPU1, away, outcomes=(ended(OutcomeKind.RELEASE, trouble),))
    assert len([f for f in result.findings if f.reason.code is ReasonCode.RELEASE_FAILED]) == findings
    assert [c.phase for c in result.claims] == [Phase.RELEASING]


def test_outcomes_of_claims_that_are_gone_are_ignored() -> None:
    for kind in OutcomeKind:
        assert planned(CPU1, outcomes=(ended(kind, Trouble.FLAKY, "gone"),)).backoffs == ()
