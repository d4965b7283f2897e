"""What holds of every plan, on random snapshots. A failing example prints how to repeat it."""

from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.snapshots import likely

from rayfleet.model import Demand, FrozenMap, Gang, Plan, ReasonCode, Snapshot, TaskDemand
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.testing.carrying_out import carried_out

FORCED = {ReasonCode.OVER_MAX, ReasonCode.OVER_BUDGET, ReasonCode.OVER_RESOURCES, ReasonCode.OVER_DAY_BUDGET}
FEW = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def counts(of: Plan, *, owned: bool) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Return machines launched per offer, what leaves, and how much is unmet by kind and reason.

    `owned`: there are quotas, so that labels of work tell whose it is; else they mean nothing.
    """
    launched: Counter[str] = Counter()
    for launch in of.launches:
        launched[str(launch.offer)] += launch.count
    leaving = Counter([d.claim for d in of.drains] + [r.claim for r in of.releases])
    unmet: Counter[str] = Counter()
    for missing in of.unmet:
        # Of equal entries the first in the list is served first, whichever that is.
        alike = replace(missing.demand, count=1)
        if not owned and isinstance(alike, TaskDemand | Gang):
            alike = replace(alike, labels=FrozenMap())
        unmet[f"{missing.kind}:{alike}:{missing.reason.code}"] += missing.count
    return launched, leaving, unmet


@FEW
@given(likely())
def test_every_plan_keeps_the_invariants(snapshot: Snapshot) -> None:
    """Caps, minimums, whole gangs, placements that fit, nothing in use released for idleness."""
    made = plan(snapshot)
    event(f"launches {len(made.launches)}, unmet {len(made.unmet)}")
    assert [f"{f.subject}: {f.reason.text}" for f in check(snapshot, made)] == []


@FEW
@given(likely())
def test_every_plan_is_repeated_exactly(snapshot: Snapshot) -> None:
    assert repr(plan(snapshot)) == repr(plan(snapshot))


@FEW
@given(likely(), st.randoms(use_true_random=False))
def test_the_order_of_claims_and_demand_does_not_matter(snapshot: Snapshot, chance: object) -> None:
    def shuffled(values: tuple) -> tuple:  # type: ignore[type-arg]  # of anything
        many = list(values)
        chance.shuffle(many)  # type: ignore[attr-defined]  # a random.Random
        return tuple(many)

    demand = snapshot.demand
    other = replace(
        snapshot,
        claims=shuffled(snapshot.claims),
        demand=Demand(shuffled(demand.tasks), shuffled(demand.gangs), shuffled(demand.requested)),
    )
    owned = bool(snapshot.policy.quotas)
    assert counts(plan(other), owned=owned) == counts(plan(snapshot), owned=owned)


@FEW
@given(likely())
def test_every_reason_has_a_text(snapshot: Snapshot) -> None:
    made = plan(snapshot)
    reasons = [action.reason for action in made.actions] + [kept.reason for kept in made.kept]
    reasons += [finding.reason for finding in made.findings] + [missing.reason for missing in made.unmet]
    reasons += [verdict.reason for missing in made.unmet for verdict in missing.pools]
    assert all(reason.text for reason in reasons)


@FEW
@given(likely())
def test_every_host_that_stays_has_a_reason(snapshot: Snapshot) -> None:
    made = plan(snapshot)
    before = {host.id for claim in snapshot.claims for host in claim.hosts}
    acted = {host for drain in made.drains for host in drain.hosts}
    acted |= {host for release in made.releases for host in release.hosts}
    kept = [reason.host for reason in made.kept]
    after = {host.id for claim in made.claims for host in claim.hosts} & before
    assert len(kept) == len(set(kept))
    assert after - acted <= set(kept)


def _for_work(made: Plan) -> list[str]:
    """Return the launches of machines that are to work; those on standby are made after all others."""
    return [launch.batch for launch in made.launches if launch.standby is None]


@FEW
@given(likely(quiet=True))
def test_a_plan_that_has_come_true_is_followed_by_no_launch(snapshot: Snapshot) -> None:
    """No churn: what was launched is enough, and what left is not wanted back."""
    made = plan(snapshot)
    after = carried_out(snapshot, made)
    again = plan(after)
    left = [claim for claim in snapshot.claims if claim.id not in {c.id for c in after.claims}]
    forced = any(d.reason.code in FORCED for d in made.drains)
    short = any(finding.reason.code is ReasonCode.MIN_WORKERS for finding in made.findings)
    if forced or (left and (made.unmet or short)):
        return  # room that leaving machines held is used by the next plan, also for a minimum that had none
    assert _for_work(again) == []


@FEW
@given(likely(quiet=True))
def test_what_was_launched_is_not_cancelled_by_the_next_plan(snapshot: Snapshot) -> None:
    """The same demand again, with the machines on their way: nothing is launched, cancelled or moved."""
    made = plan(snapshot)
    new = {name for launch in made.launches for name in launch.claims}
    foreign = tuple(claim for claim in snapshot.claims if claim.foreign)
    after = replace(snapshot, claims=(*made.claims, *foreign), serial=made.serial, now=snapshot.now + 3)
    again = plan(after)
    assert [release.claim for release in again.releases if release.claim in new] == []
    assert again.launches == ()
