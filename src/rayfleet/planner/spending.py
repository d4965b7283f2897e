"""Money by the day: what has been spent since midnight (UTC), and what that leaves for each hour until the next.

Machines are taken to run until midnight: a launch is in the budget when all that runs then, running until midnight, is.
So the budget is kept although nobody knows how long work lasts; what ends earlier gives its share back. Nothing that
runs is ended for what it is going to cost, only once the day's money is gone.
"""

from __future__ import annotations

from rayfleet.model import Spent
from rayfleet.planner.census import census_before
from rayfleet.planner.draft import Draft

DAY_S = 86400.0
HOUR_S = 3600.0


def spent_today(draft: Draft) -> Spent:
    """Return what has been spent until now: what was known, and what the machines of the snapshot cost since."""
    snapshot, now = draft.snapshot, draft.now
    at = snapshot.now if snapshot.spent_at is None else min(snapshot.spent_at, now)
    usd = snapshot.spent_today_usd
    midnight = now - now % DAY_S
    if at < midnight:
        at, usd = midnight, 0.0
    # What this plan changes has cost nothing yet.
    return Spent(round(usd + census_before(draft).usd_per_hour * (now - at) / HOUR_S, 9), now)


def left_per_hour(draft: Draft) -> float | None:
    """Return how many USD per hour all machines may cost until midnight; None without a budget of the day."""
    most = draft.policy.max_usd_per_day
    if most is None:
        return None
    hours = (DAY_S - draft.now % DAY_S) / HOUR_S
    return max(0.0, most - spent_today(draft).usd) / hours
