"""What holds of every plan when machines may be disrupted voluntarily, on random snapshots with random wishes."""

from dataclasses import replace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.snapshots import likely, several

from rayfleet.model import Disruption, DisruptionBudget, Phase, Policy, Snapshot
from rayfleet.planner import plan
from rayfleet.planner.budgets import disruption_of
from rayfleet.planner.invariants import check
from rayfleet.testing.carrying_out import carried_out

FEW = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
BUDGETS = several(
    st.builds(
        DisruptionBudget,
        nodes=st.integers(0, 3),
        reasons=several(st.sampled_from(Disruption), 2),
        pool=st.sampled_from(["", "", "p0"]),
    )
    | st.builds(DisruptionBudget, nodes=st.sampled_from([0, 10, 50, 100]), percent=st.just(True)),
    2,
)


@st.composite
def disruptable(draw: st.DrawFn, *, quiet: bool = False) -> Snapshot:
    """Draw a snapshot whose policy replaces machines for every reason that there is."""
    of = draw(likely(quiet=quiet))
    pools = tuple(
        replace(pool, restartable=draw(st.booleans()), max_age_s=draw(st.sampled_from([None, None, 200.0])))
        for pool in of.policy.pools
    )
    policy: Policy = replace(
        of.policy,
        pools=pools,
        max_age_s=draw(st.sampled_from([None, 400.0])),
        max_age_grace_s=draw(st.sampled_from([None, None, 0.0, 900.0])),
        consolidation_threshold=draw(st.sampled_from([None, 0.0, 0.5, 0.9])),
        consolidate_after_s=draw(st.sampled_from([0.0, 50.0])),
        scale_down_utilization=draw(st.sampled_from([None, None, 0.3])),
        spot_spread_margin=draw(st.sampled_from([None, 0.5])),
        disruption_budgets=draw(BUDGETS),
    )
    return replace(of, policy=policy)


@FEW
@given(disruptable())
def test_every_plan_keeps_the_invariants(snapshot: Snapshot) -> None:
    """Budgets hold; what is in use leaves only where its work is restartable; minimums, limits, placements hold."""
    made = plan(snapshot)
    for claim in made.claims:
        event(f"leaves: {disruption_of(claim)}")
    assert [f"{f.subject}: {f.reason.text}" for f in check(snapshot, made)] == []
    assert repr(plan(snapshot)) == repr(made)


@FEW
@given(disruptable(quiet=True))
def test_it_comes_to_rest(snapshot: Snapshot) -> None:
    """Without new demand plan after plan changes less, and what was replaced is not replaced again."""
    of = replace(snapshot, demand=replace(snapshot.demand, tasks=(), gangs=()))
    made = plan(of)
    for _ in range(3 * len(of.claims) + 12):
        assert [f"{f.subject}: {f.reason.text}" for f in check(of, made)] == []
        if not made.actions:
            return
        of = carried_out(of, made, restarted=True)
        made = plan(of)
    raise AssertionError(f"still {[action.reason.text for action in made.actions]}")


@FEW
@given(disruptable(quiet=True))
def test_what_takes_a_place_is_not_given_up_on_its_way(snapshot: Snapshot) -> None:
    made = plan(snapshot)
    new = {name for launch in made.launches for name in launch.claims}
    foreign = tuple(claim for claim in snapshot.claims if claim.foreign)
    after = replace(snapshot, claims=(*made.claims, *foreign), serial=made.serial, now=snapshot.now + 3)
    again = plan(after)
    assert [release.claim for release in again.releases if release.claim in new] == []
    staying = {claim.id for claim in again.claims if claim.phase is not Phase.RELEASING}
    assert new <= staying
