"""What `ray status` shows of us: a TickReport as Ray's AutoscalingState. Pure.

Ray counts each entry of `pending_instance_requests` as one node whatever its `count`, so there is one entry per node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rayfleet.engines.ray.protobufs import autoscaler
from rayfleet.model import Backoff, Claim, OfferKey, Phase, ReasonCode, Selectors, TaskDemand, TickReport
from rayfleet.model import Resources as Shape

Originals = Callable[[Shape, Selectors], Any | None]
"""Finds Ray's own message of a demand, which Ray wants to see again when it is told that nothing can serve it."""


Attempts = Mapping[tuple[OfferKey, int], float]
"""When each failure (the scope's n-th in a row) was first reported, seconds since the epoch."""


def attempts(report: TickReport, before: Attempts) -> Attempts:
    """Return when the failures of this report were first seen: a back-off itself only knows when it ends."""
    failures = [(backoff.scope, backoff.failures) for backoff in report.plan.backoffs]
    return {failure: before.get(failure, report.snapshot.now) for failure in failures}


def autoscaling_state(
    report: TickReport, version: int, seen_version: int, originals: Originals, failed_at: Attempts
) -> Any:
    """Return the message. `version`: see `next_version`; `seen_version`: of the cluster state planned for."""
    claims = report.plan.claims
    return autoscaler.AutoscalingState(
        autoscaler_state_version=version,
        last_seen_cluster_resource_state_version=seen_version,
        pending_instance_requests=[entry for claim in claims for entry in _requests(claim)],
        pending_instances=[entry for claim in claims for entry in _booting(claim)],
        failed_instance_requests=[
            _failed(backoff, failed_at.get((backoff.scope, backoff.failures), report.snapshot.now))
            for backoff in report.plan.backoffs
            if backoff.scope.pool
        ],
        infeasible_resource_requests=list(_infeasible(report, originals)),
    )


def next_version(held: int, now: float) -> int:
    """Return a version that the GCS will not ignore, also after our own restart or its own (`held` is what it has)."""
    return max(held + 1, int(now * 1000))


def _requests(claim: Claim) -> Iterator[Any]:
    if claim.phase is Phase.REQUESTED:
        for _host in claim.hosts:
            yield autoscaler.PendingInstanceRequest(
                ray_node_type_name=claim.pool,
                instance_type_name=claim.pool,
                count=1,
                request_ts=int(claim.created),
            )


def _booting(claim: Claim) -> Iterator[Any]:
    if claim.phase is Phase.BOOTING:
        for host in claim.hosts:
            yield autoscaler.PendingInstance(
                ray_node_type_name=claim.pool,
                instance_type_name=claim.pool,
                instance_id=host.machine_id or host.id,
                details="booting",
            )


def _failed(backoff: Backoff, at: float) -> Any:
    return autoscaler.FailedInstanceRequest(
        ray_node_type_name=backoff.scope.pool,
        instance_type_name=backoff.scope.pool,
        count=backoff.failures,
        reason=f"{backoff.trouble}: {backoff.message}",
        start_ts=int(at),  # which `ray status` shows as the latest attempt
        failed_ts=int(at),
    )


def _infeasible(report: TickReport, originals: Originals) -> Iterator[Any]:
    for unmet in report.plan.unmet:
        demand = unmet.demand
        if unmet.reason.code is ReasonCode.NO_POOL_FITS and isinstance(demand, TaskDemand):
            original = originals(demand.shape, demand.selectors)
            if original is not None:
                yield original
