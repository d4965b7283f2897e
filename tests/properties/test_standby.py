"""What holds of machines on standby in every plan, on random snapshots, beyond the rules that `check` knows."""

from dataclasses import replace

from hypothesis import HealthCheck, assume, event, given, settings
from tests.snapshots import likely

from rayfleet.model import Demand, Order, OrderKind, Phase, Plan, Pool, Snapshot
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.testing.carrying_out import carried_out

FEW = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def without_standby(of: Snapshot) -> Snapshot:
    """Return the snapshot as it would be if nobody had thought of standby."""
    pools = tuple(replace(pool, standby=None) for pool in of.policy.pools)
    claims = tuple(claim for claim in of.claims if not claim.standby)
    return replace(of, policy=replace(of.policy, pools=pools), claims=claims)


def for_work(of: Plan) -> dict[str, int]:
    """Return machines that are launched to work, new or waiting ones, by offer."""
    counts: dict[str, int] = {}
    for launch in of.launches:
        if launch.standby is None:
            counts[str(launch.offer)] = counts.get(str(launch.offer), 0) + launch.count
    return counts


@FEW
@given(likely(quiet=True))
def test_work_gets_the_machines_that_it_would_get_without_standby(snapshot: Snapshot) -> None:
    """What waits changes neither how many machines are launched, nor of which offers, nor what is unmet."""
    made, other = plan(snapshot), plan(without_standby(snapshot))
    event(f"starts {any(launch.reuse for launch in made.launches)}")
    assert for_work(made) == for_work(other)
    assert [(u.kind, u.index, u.count, u.reason) for u in made.unmet] == [
        (u.kind, u.index, u.count, u.reason) for u in other.unmet
    ]


@FEW
@given(likely(quiet=True))
def test_once_work_is_served_standby_settles(snapshot: Snapshot) -> None:
    """Plan after plan without other work ends in one that does nothing, and nothing that was made is given back."""
    assume(any(pool.standby for pool in snapshot.policy.pools))
    at, made = snapshot, Plan()
    prepared: set[str] = set()
    for _ in range(6):
        made = plan(at)
        assert check(at, made) == ()
        gone = {release.claim for release in made.releases}
        assert not gone & prepared
        prepared |= {name for launch in made.launches if launch.standby for name in launch.claims}
        at = replace(carried_out(at, made), demand=Demand())
    idle_leave = any(drain.reason.code.value == "idle" for drain in made.drains)
    assert idle_leave or made.actions == ()


def _pool_of(snapshot: Snapshot, name: str) -> Pool | None:
    return next((pool for pool in snapshot.policy.pools if pool.name == name), None)


@FEW
@given(likely())
def test_only_pools_with_standby_have_machines_made_or_stopped_for_it(snapshot: Snapshot) -> None:
    made = plan(snapshot)
    for launch in made.launches:
        if launch.standby is not None and not launch.again:
            pool = _pool_of(snapshot, launch.offer.pool)
            assert pool is not None
            assert pool.standby is not None
            assert launch.standby is pool.standby.mode


@FEW
@given(likely())
def test_a_shutdown_leaves_nothing_waiting(snapshot: Snapshot) -> None:
    down = Order("down", OrderKind.SHUTDOWN, at=3.0)
    made = plan(replace(snapshot, orders=(*snapshot.orders, down)))
    assert not [claim for claim in made.claims if claim.phase is Phase.STANDBY]
