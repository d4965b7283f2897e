"""The loop sleeps until the next time-out: no later, and not for those that have passed."""

import pytest

from rayfleet.loop.deadlines import next_deadline
from rayfleet.model import (
    Backoff,
    Claim,
    Drain,
    Host,
    OfferKey,
    Phase,
    Plan,
    Policy,
    Pool,
    ReasonCode,
    Resources,
    Timeouts,
    Trouble,
    reason,
)

NOW = 1000.0
POOL = OfferKey("cpu4")
POLICY = Policy(
    pools=(Pool("cpu4", Resources.of({"CPU": 4})), Pool("quick", Resources.of({"CPU": 1}), idle_timeout_s=5)),
    idle_timeout_s=60,
    timeouts=Timeouts(request_timeout_s=120, boot_timeout_s=300, node_timeout_s=30, settle_s=2, drain_retry_s=10),
)


def ready(idle_s: float, *, pool: str = "cpu4", used: float = 0, since: float = 0.0) -> Claim:
    host = Host("c1", "m1", idle_s=idle_s, used=Resources.of({"CPU": used}))
    return Claim("c1", OfferKey(pool), Phase.READY, (host,), since=since)


DRAIN = Drain(reason(ReasonCode.SHUTDOWN), 900.0, 1200.0)


@pytest.mark.parametrize(
    ("claim", "deadline"),
    [
        (Claim("c1", POOL, Phase.REQUESTED, since=990.0), 1110.0),
        (Claim("c1", POOL, Phase.BOOTING, since=990.0), 1290.0),
        (ready(20.0), 1040.0),
        (ready(4.5, pool="quick"), 1000.5),
        (ready(0.0, used=1), None),
        (ready(90.0), None),
        (ready(20.0, since=999.0), 1001.0),
        (Claim("c1", POOL, Phase.READY, since=0.0, unseen_since=980.0), 1010.0),
        (Claim("c1", POOL, Phase.DRAINING, since=900.0, drain=DRAIN), 1200.0),
        (Claim("c1", POOL, Phase.RELEASING, since=990.0, retry_at=1010.0), 1010.0),
        (Claim("c1", POOL, Phase.FAILED, since=990.0), None),
    ],
)
def test_the_next_time_out_of_a_claim(claim: Claim, deadline: float | None) -> None:
    assert next_deadline(POLICY, Plan(claims=(claim,)), NOW) == deadline


def test_the_earliest_of_all_counts_back_offs_included() -> None:
    backoff = Backoff(POOL, 1015.0, Trouble.OUT_OF_STOCK)
    assert next_deadline(POLICY, Plan(claims=(ready(20.0),), backoffs=(backoff,)), NOW) == 1015.0


def test_nothing_to_wait_for() -> None:
    assert next_deadline(POLICY, Plan(), NOW) is None
