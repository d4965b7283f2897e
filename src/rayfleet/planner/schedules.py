"""Step 4, its beginning: schedules whose window is open change the policy. People's orders then go before them."""

from __future__ import annotations

from dataclasses import replace

from rayfleet.model import Policy, Pool, ReasonCode, Schedule, reason
from rayfleet.planner.draft import Draft
from rayfleet.planner.windows import is_open, next_change


def apply_schedules(draft: Draft) -> None:
    """Put what the open schedules say into the policy, the later ones over the earlier."""
    for schedule in draft.policy.schedules:
        if is_open(schedule.window, draft.now):
            draft.policy = _changed(draft.policy, schedule)
            draft.scheduled[schedule.pool] = reason(ReasonCode.SCHEDULE, schedule=schedule.name)


def next_schedule_change(policy: Policy, now: float) -> float | None:
    """Return the first moment after `now` at which a schedule may begin or end; None without schedules."""
    changes = [next_change(schedule.window, now) for schedule in policy.schedules]
    return min((change for change in changes if change is not None), default=None)


def _changed(policy: Policy, schedule: Schedule) -> Policy:
    policy = replace(policy, buffers=(*policy.buffers, *schedule.buffers))
    if schedule.pool:
        return replace(policy, pools=tuple(_with_limits(pool, schedule) for pool in policy.pools))
    most = policy.max_workers if schedule.max_workers is None else schedule.max_workers
    return replace(policy, max_workers=most)


def _with_limits(pool: Pool, schedule: Schedule) -> Pool:
    if pool.name != schedule.pool:
        return pool
    least = pool.min_workers if schedule.min_workers is None else schedule.min_workers
    most = pool.max_workers if schedule.max_workers is None else schedule.max_workers
    return replace(pool, min_workers=least, max_workers=most)
