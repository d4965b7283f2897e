"""How long a machine may take to be had and to join: by what keeps it, by its pool, and longer for the head.

refused call     nothing was made: the next offer is asked at once (outcomes)
waiting machine  its provider lists it and says what it waits for: `stockout_timeout_s`, `quota_timeout_s`, and
                 `request_timeout_s` for errors; what is denied never comes
no machine       `request_timeout_s` (lifecycle)
no node          the pool's `boot_timeout_s`, else the policy's; the head has its own
"""

from __future__ import annotations

from dataclasses import replace

from rayfleet.model import Claim, MachineFact, Policy, Timeouts, Trouble


def timeouts_of(policy: Policy, claim: Claim) -> Timeouts:
    """Return the time-outs that hold for a claim: its pool may have another time for booting, and the head has."""
    limits = policy.timeouts
    if claim.head:
        return replace(limits, boot_timeout_s=limits.head_boot_timeout_s)
    pool = policy.pool(claim.pool)
    if pool is None or pool.boot_timeout_s is None:
        return limits
    return replace(limits, boot_timeout_s=pool.boot_timeout_s)


def waits_for(claim: Claim) -> Trouble | None:
    """Return what keeps a claim's machines from being had, the least patient if several do; None: nothing."""
    found = {h.trouble for h in claim.hosts if h.trouble is not None and h.machine is MachineFact.PRESENT}
    return next((trouble for trouble in _LEAST_PATIENT if trouble in found), None)


def patience_s(limits: Timeouts, trouble: Trouble) -> float:
    """Return for how many seconds a machine may wait for this reason."""
    if trouble is Trouble.OUT_OF_STOCK:
        return limits.stockout_timeout_s
    if trouble is Trouble.QUOTA_REACHED:
        return limits.quota_timeout_s
    return 0.0 if trouble is Trouble.DENIED else limits.request_timeout_s


def blamed(claim: Claim) -> Trouble:
    """Return for what the offer of a claim that has failed is to be blamed: what its provider says, else no answer."""
    found = {host.trouble for host in claim.hosts}
    return next((trouble for trouble in _LEAST_PATIENT if trouble in found), Trouble.FLAKY)


_LEAST_PATIENT = (Trouble.DENIED, Trouble.OUT_OF_STOCK, Trouble.QUOTA_REACHED, Trouble.FLAKY)
