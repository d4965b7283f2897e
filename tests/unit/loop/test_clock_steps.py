"""What the ledger holds is brought back when the machine's clock was set back, and left alone otherwise."""

from dataclasses import replace

from rayfleet.contracts import Record
from rayfleet.loop.clock_steps import not_ahead
from rayfleet.model import Backoff, Claim, Drain, OfferKey, Phase, ReasonCode, Timeouts, Trouble, reason

POOL = OfferKey("cpu4")
LIMITS = Timeouts()
NOW = 10_000.0
IDLE = reason(ReasonCode.IDLE, idle_s=61.5, idle_timeout_s=60)
DRAINED = Claim(
    "c1", POOL, Phase.DRAINING, since=NOW - 5, created=NOW - 50, drain=Drain(IDLE, NOW - 5, NOW + 295), retry_at=None
)
UNSEEN = Claim("c2", POOL, since=NOW - 40, created=NOW - 50, unseen_since=NOW - 8)
LEAVING = Claim("c3", POOL, Phase.RELEASING, since=NOW - 3, created=NOW - 50, retry_at=NOW + LIMITS.release_retry_s - 3)
BACKOFF = Backoff(POOL, until=NOW + LIMITS.backoff_max_s, trouble=Trouble.DENIED)
RECORD = Record((DRAINED, UNSEEN, LEAVING), (BACKOFF,), (), 3)


def test_with_a_clock_that_runs_on_nothing_changes() -> None:
    assert not_ahead(RECORD, NOW, LIMITS) == RECORD
    assert not_ahead(RECORD, NOW + 7200, LIMITS) == RECORD


def test_no_moment_stays_ahead_and_no_wait_is_longer_than_it_can_be() -> None:
    now = NOW - 3600
    assert not_ahead(RECORD, now, LIMITS) == Record(
        (
            replace(DRAINED, since=now, created=now, drain=Drain(IDLE, now, now + 300)),
            replace(UNSEEN, since=now, created=now, unseen_since=now),
            replace(LEAVING, since=now, created=now, retry_at=now + LIMITS.release_retry_s),
        ),
        (replace(BACKOFF, until=now + LIMITS.backoff_first_s),),
        (),
        3,
    )


def test_what_is_old_enough_keeps_its_age() -> None:
    """Only the moments that lie ahead are touched: the claim is old, and it was not seen for a short time only."""
    found = not_ahead(Record((UNSEEN,)), NOW - 20, LIMITS).claims
    assert found == (replace(UNSEEN, unseen_since=NOW - 20),)
