"""Sums over claims are those of counting one claim after the other, whatever has changed in between."""

from collections import Counter
from copy import deepcopy
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.snapshots import likely

from rayfleet.model import CAPACITY, EXISTING, LEAVING, PRESENT, Phase, ReasonCode, Snapshot, reason
from rayfleet.planner import plan
from rayfleet.planner.census import census, census_before, holding
from rayfleet.planner.draft import Draft, moved

FEW = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
PHASES = (EXISTING, CAPACITY, LEAVING, frozenset({Phase.READY}))


def draft_of(snapshot: Snapshot) -> Draft:
    return Draft(snapshot, snapshot.policy, {claim.id: claim for claim in snapshot.claims})


def assert_right(draft: Draft) -> None:
    counted, claims = census(draft), list(draft.claims.values())
    for phases in PHASES:
        workers = [c for c in draft.workers() if c.phase in phases]
        assert Counter(counted.workers(phases)) == Counter(c.pool for c in workers for _ in c.hosts)
        staying = [c for c in workers if not draft.is_replaced(c)]
        assert +Counter(holding(draft, phases)) == Counter(c.pool for c in staying for _ in c.hosts)
    paid = [c for c in claims if not c.foreign and c.phase in PRESENT]
    usd = 0.0
    for claim in paid:
        usd += (draft.usd_per_hour(claim) or 0.0) * claim.count
    assert counted.usd_per_hour == usd
    assert counted.unpriced == sum(claim.count for claim in paid if draft.usd_per_hour(claim) is None)


@FEW
@given(likely(), st.data())
def test_it_counts_what_there_is_after_every_change(snapshot: Snapshot, data: st.DataObject) -> None:
    draft = draft_of(snapshot)
    names = st.sets(st.sampled_from([*draft.claims, "gone"]))
    draft.outgoing = dict.fromkeys(data.draw(names), reason(ReasonCode.EXPIRED))
    draft.rolling = data.draw(st.sampled_from([frozenset(), frozenset(pool.name for pool in snapshot.policy.pools)]))
    assert_right(draft)
    before = census_before(draft)
    for claim in snapshot.claims[:2]:
        draft.keep(moved(claim, Phase.RELEASING, snapshot.now))
        assert_right(draft)
        draft.drop(claim)
        assert_right(draft)
    assert census_before(draft) == before == census(draft_of(snapshot))


@FEW
@given(likely())
def test_equal_values_are_as_good_as_the_same_values(snapshot: Snapshot) -> None:
    """Where steps tell values apart by identity, that only saves work."""
    assert plan(deepcopy(snapshot)) == plan(snapshot)


@FEW
@given(likely(quiet=True))
def test_claims_of_one_offer_are_alike_whether_or_not_they_share_its_key(snapshot: Snapshot) -> None:
    """Those of one launch do, those that a ledger or a file gives do not."""
    made = plan(snapshot)
    of = replace(snapshot, claims=made.claims, serial=made.serial, now=snapshot.now + 3)
    keys = [(claim, (claim.offer, number % 2)) for number, claim in enumerate(of.claims)]
    two = {key: replace(claim.offer) for claim, key in keys}
    by_turns = tuple(replace(claim, offer=two[key]) for claim, key in keys)
    assert plan(replace(of, claims=by_turns)) == plan(of)
