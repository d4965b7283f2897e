"""Step 3, its end: machines that were made as their pool no longer is are outdated.

What was made is written in the claim, so a changed configuration is noticed whenever it was changed, and a change that
is taken back leaves everything as it is. The head is never replaced for it.
"""

from __future__ import annotations

from dataclasses import replace

from rayfleet.planner.draft import Draft


def mark_drifted(draft: Draft) -> None:
    """Compare every claim with its pool. Claims of which nobody knows how they were made keep their mark."""
    makes = {pool.name: pool.make for pool in draft.policy.pools}
    for claim in list(draft.claims.values()):
        make = makes.get(claim.offer.pool)
        if claim.make and make is not None and not claim.head and claim.drifted is not (claim.make != make):
            draft.keep(replace(claim, drifted=not claim.drifted))
