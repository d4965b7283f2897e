"""What of a finished job goes, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rayfleet.config.rayio.rayjob import DeletionPolicy
from rayfleet.kube_operator.rayjob.state import Phase, Run

_IMPACT: Final = (
    DeletionPolicy.DELETE_NONE,
    DeletionPolicy.DELETE_WORKERS,
    DeletionPolicy.DELETE_CLUSTER,
    DeletionPolicy.DELETE_SELF,
)


@dataclass(frozen=True, slots=True)
class Due:
    """What goes now, if anything, and in how many seconds the next thing does."""

    policy: DeletionPolicy | None
    next_s: float | None


def due(run: Run) -> Due:
    """Return what is to go of a job that ended. Of several things that are overdue only the greatest is done."""
    age_s = run.age_s("endTime") or 0.0
    rules = [(policy, ttl_s - age_s) for policy, ttl_s in _rules(run)]
    overdue = [policy for policy, left_s in rules if left_s <= 0]
    waiting = [left_s for _, left_s in rules if left_s > 0]
    return Due(max(overdue, key=_IMPACT.index, default=None), min(waiting, default=None))


def _rules(run: Run) -> Iterator[tuple[DeletionPolicy, float]]:
    """Yield what applies to how the job ended, each with its seconds after the end."""
    spec, strategy = run.spec, run.spec.deletion_strategy
    if strategy is None:
        if spec.shutdown_after_job_finishes and not spec.cluster_selector:
            yield DeletionPolicy.DELETE_CLUSTER, float(spec.ttl_seconds_after_finished)
        return
    for rule in strategy.deletion_rules:
        condition = rule.condition
        by_job = condition.job_status is not None and condition.job_status == run.job_status
        by_deployment = condition.job_deployment_status is not None and condition.job_deployment_status == run.phase
        if by_job or by_deployment:
            yield rule.policy, float(condition.ttl_seconds)
    legacy = strategy.on_failure if run.phase is Phase.FAILED else strategy.on_success
    if legacy is not None:
        yield legacy.policy, 0.0
