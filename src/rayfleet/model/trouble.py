"""What can go wrong with a call, or keep a machine from being had."""

from __future__ import annotations

from rayfleet.model.word import Word


class Trouble(Word):
    """How a call failed; each word says what to do. The contracts' errors map onto these."""

    OUT_OF_STOCK = "OutOfStock"  # try another offer, back off this one
    QUOTA_REACHED = "QuotaReached"  # back off every offer in scope
    DENIED = "Denied"  # stop asking, tell the user
    GONE = "Gone"  # it is already away: success
    FLAKY = "Flaky"  # ask again
    REFUSED = "Refused"  # the node is busy: keep it
