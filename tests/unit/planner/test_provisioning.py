"""Time-outs of machines that cannot be had or do not join: each for its own reason, after which the ladder goes on."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planner.looking import claim_of, launched, leaving, planned

from rayfleet.contracts import Machine, MachineState
from rayfleet.loop.deadlines import next_deadline
from rayfleet.loop.join import Listing, join
from rayfleet.model import (
    Claim,
    MachineFact,
    Market,
    OfferKey,
    Order,
    OrderKind,
    Phase,
    Policy,
    ReasonCode,
    Timeouts,
    Trouble,
)
from rayfleet.planner.orders import effective_policy
from rayfleet.testing.snapshots import claim, offer, pool, snapshot, tasks

SPOT = OfferKey("cpu4", zone="a", market=Market.SPOT)
POOL = pool("cpu4", CPU=4, offers=(offer(0.05, "a", spot=True), offer(0.2, "a")))
LIMITS = Timeouts()


def waiting(trouble: Trouble, for_s: float, **fields: Any) -> Claim:
    """Return a claim whose machine is listed, and waits for so long already."""
    at = 1000.0 - for_s
    return claim(
        "m1", SPOT, Phase.REQUESTED, since=at, created=at, machine_id="i", machine=MachineFact.PRESENT,
        trouble=trouble, message="no t3 left", **fields,
    )  # fmt: skip


PATIENCE = [
    (Trouble.OUT_OF_STOCK, LIMITS.stockout_timeout_s),
    (Trouble.QUOTA_REACHED, LIMITS.quota_timeout_s),
    (Trouble.FLAKY, LIMITS.request_timeout_s),
]


def test_stock_is_waited_for_shortly_a_quota_longer_and_boots_longest() -> None:
    assert 0 < LIMITS.stockout_timeout_s < LIMITS.quota_timeout_s < LIMITS.boot_timeout_s < LIMITS.head_boot_timeout_s


@pytest.mark.parametrize(("trouble", "patience_s"), PATIENCE)
def test_a_machine_that_waits_is_still_requested_and_counts(trouble: Trouble, patience_s: float) -> None:
    result = planned(POOL, waiting(trouble, patience_s - 1), tasks(4, CPU=1))
    assert (launched(result), leaving(result), result.backoffs) == ({}, {}, ())
    still = claim_of(result, "m1")
    assert still is not None
    assert still.phase is Phase.REQUESTED


@pytest.mark.parametrize(("trouble", "patience_s"), PATIENCE)
def test_after_the_time_out_of_its_reason_the_next_rung_is_taken(trouble: Trouble, patience_s: float) -> None:
    result = planned(POOL, waiting(trouble, patience_s), tasks(4, CPU=1))
    assert leaving(result) == {"m1": ReasonCode.PROVISION_TIMEOUT}
    assert [(b.scope, b.trouble) for b in result.backoffs] == [(SPOT, trouble)]
    assert [x.offer.market for x in result.launches] == [Market.ON_DEMAND]
    (release,) = result.releases
    assert release.machine_ids == ("i",)
    assert release.reason.text == f"could not be had within {patience_s:g} s: {trouble.value}: no t3 left"


def test_what_is_denied_is_given_up_at_once() -> None:
    result = planned(POOL, waiting(Trouble.DENIED, 0.0), tasks(4, CPU=1))
    assert leaving(result) == {"m1": ReasonCode.PROVISION_TIMEOUT}
    assert [b.until for b in result.backoffs] == [1000.0 + LIMITS.backoff_max_s]


def test_a_machine_that_is_there_at_last_boots() -> None:
    seen = claim("m1", SPOT, Phase.REQUESTED, since=900.0, machine_id="i", machine=MachineFact.PRESENT)
    booting = claim_of(planned(POOL, seen, tasks(4, CPU=1)), "m1")
    assert booting is not None
    assert booting.phase is Phase.BOOTING


def test_a_launch_that_failed_later_for_want_of_stock_backs_off_as_a_stock_out_does() -> None:
    failed = waiting(Trouble.OUT_OF_STOCK, 5.0)
    hosts = tuple(replace(host, machine=MachineFact.FAILED) for host in failed.hosts)
    result = planned(POOL, replace(failed, hosts=hosts), tasks(4, CPU=1))
    assert leaving(result) == {"m1": ReasonCode.LAUNCH_FAILED}
    assert [(b.trouble, b.until) for b in result.backoffs] == [(Trouble.OUT_OF_STOCK, 1300.0)]


# ---- booting ----


def booting(for_s: float, **fields: Any) -> Claim:
    return claim("m1", "p", Phase.BOOTING, since=1000.0 - for_s, machine_id="i", machine=MachineFact.PRESENT, **fields)


def test_a_pool_may_have_its_own_time_for_booting() -> None:
    slow = pool("p", CPU=4, boot_timeout_s=600.0)
    assert leaving(planned(slow, booting(599.0), tasks(4, CPU=1))) == {}
    late = planned(slow, booting(600.0), tasks(4, CPU=1))
    assert leaving(late) == {"m1": ReasonCode.BOOT_TIMEOUT}
    assert (late.releases[0].reason.details["boot_timeout_s"], late.backoffs[0].until) == (600.0, 1600.0)


def test_the_time_of_other_pools_is_not_for_the_head() -> None:
    head = pool("head", CPU=1, boot_timeout_s=1.0)
    given: dict[str, Any] = {"head": head, "timeouts": Timeouts(boot_timeout_s=5.0, head_boot_timeout_s=60.0)}
    of_head = replace(booting(59.0), id="h", head=True, offer=OfferKey("head"))
    assert leaving(planned(pool("p", CPU=1), of_head, **given)) == {}
    late = replace(of_head, since=940.0)
    result = planned(pool("p", CPU=1), late, **given)
    assert leaving(result) == {"h": ReasonCode.BOOT_TIMEOUT}


# ---- what the loop and people do with it ----


@pytest.mark.parametrize(("trouble", "patience_s"), PATIENCE)
def test_the_loop_wakes_up_for_each_of_them(trouble: Trouble, patience_s: float) -> None:
    of = snapshot(POOL, waiting(trouble, 10.0), tasks(4, CPU=1), idle_timeout_s=900.0)
    made = planned(POOL, waiting(trouble, 10.0), tasks(4, CPU=1), idle_timeout_s=900.0)
    assert next_deadline(of.policy, made, 1000.0) == 990.0 + patience_s


def test_what_a_listing_says_of_a_machine_reaches_the_claim() -> None:
    asked = claim("m1", SPOT, Phase.REQUESTED, batch="b")
    for state, trouble in [
        (MachineState.STARTING, Trouble.QUOTA_REACHED),
        (MachineState.FAILED, Trouble.OUT_OF_STOCK),
        (MachineState.RUNNING, None),
    ]:
        machine = Machine("i", SPOT, "b", state, message="words", trouble=trouble)
        (host,) = join((asked,), {"": Listing((machine,), 1.0)}, None).claims[0].hosts
        assert (host.trouble, host.message) == (trouble, "words" if trouble else "")


def test_every_time_out_can_be_set_while_the_cluster_runs() -> None:
    orders = (
        Order("1", OrderKind.SET, "timeouts:quota_timeout_s", "600"),
        Order("2", OrderKind.SET, "p.boot_timeout_s", "50"),
    )
    policy: Policy = effective_policy(snapshot(pool("p", CPU=1), orders=orders))
    assert (policy.timeouts.quota_timeout_s, policy.pools[0].boot_timeout_s) == (600.0, 50.0)
    wrong = planned(pool("p", CPU=1), orders=(Order("1", OrderKind.SET, "timeouts:boot", "6"),))
    assert "there is no time-out 'boot'" in wrong.findings[0].reason.text
