"""Every time-out of a claim's life, in one place, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each step may take before the planner acts. All in seconds."""

    visibility_timeout_s: float = 10.0
    """A claim younger than this is never called lost, however empty a listing is."""
    request_timeout_s: float = 120.0
    """REQUESTED and not listed for so long: given up, its offer backs off."""
    boot_timeout_s: float = 300.0
    """BOOTING and not joined for so long: released, its offer backs off. A pool may have its own; this is for others,
    and not for the head."""
    head_boot_timeout_s: float = 900.0
    """The same for the head: everything waits for it, and to end it ends everything, so it gets longer."""
    stockout_timeout_s: float = 30.0
    """REQUESTED, and its provider says that it waits for stock: given up after so long, its offer backs off. A call
    that is refused has made nothing that could come later: another offer is asked at once."""
    quota_timeout_s: float = 120.0
    """The same where it waits for a quota: longer, for machines of ours that leave give it back."""
    node_timeout_s: float = 30.0
    """READY machine whose node is unknown to a reachable engine for so long: released."""
    drain_timeout_s: float = 300.0
    """Deadline of a drain that was ordered or forced by a limit."""
    drain_retry_s: float = 10.0
    """Ray refused an idle drain: not asked again sooner."""
    release_retry_s: float = 20.0
    """RELEASING and still listed: released again."""
    settle_s: float = 2.0
    """After a node has joined, what it runs may be reported later than what no longer waits: nothing that is
    starting is cancelled for so long."""
    flaky_first_s: float = 2.0
    """First back-off of an offer whose provider did not answer; doubles like the others."""
    backoff_first_s: float = 300.0
    """First back-off of an offer that failed; doubles on each further failure."""
    backoff_max_s: float = 1800.0
    """Longest back-off of an offer."""
    backoff_decay_s: float = 1800.0
    """After a back-off has ended, one of its failures is forgotten for every so long without another."""
