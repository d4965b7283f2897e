"""The cluster in the sections of `ray status`, for the log files. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rayfleet.model import (
    EXISTING,
    STARTING,
    Claim,
    Demand,
    Gang,
    Phase,
    RequestedDemand,
    Resources,
    TaskDemand,
    TickReport,
)

_GIB = 2**30
_MEMORY_LIKE = frozenset({"memory", "object_store_memory"})


def status_block(report: TickReport) -> str:
    """Return nodes, resources and demand as text. It changes only when one of them does: no times are in it."""
    snapshot, claims = report.snapshot, report.plan.claims
    pools = {pool.name: pool.resources for pool in snapshot.policy.pools}
    lines = [
        "======== Autoscaler status ========",
        "Node status",
        "---------------------------------------------------------------",
        *_section("Healthy", _counted(claims, {Phase.READY}), "(no healthy nodes)"),
        *_section("Pending", _counted(claims, STARTING), "(no pending nodes)"),
        *_section("Leaving", _counted(claims, EXISTING - STARTING - {Phase.READY})),
        *_section(
            "Recent failures", sorted(f"{b.scope.pool}: {b.trouble}" for b in report.plan.backoffs), "(no failures)"
        ),
        "",
        "Resources",
        "---------------------------------------------------------------",
        *_section("Usage", _usage(claims, pools)),
        *_section("Constraints", (_wish(entry) for entry in snapshot.demand.requested), "(no request_resources())"),
        *_section("Demands", _demands(snapshot.demand), "(no resource demands)"),
    ]
    return "\n".join(lines)


def _section(title: str, lines: Iterable[str], empty: str = "(no nodes)") -> Iterator[str]:
    yield f"{title}:"
    found = list(lines)
    yield from (f" {line}" for line in found or [empty])


def _counted(claims: Iterable[Claim], phases: Iterable[Phase]) -> list[str]:
    counts = Counter[str]()
    for claim in claims:
        if claim.phase in phases:
            counts[claim.pool] += claim.count
    return [f"{count} {pool}" for pool, count in sorted(counts.items())]


def _usage(claims: Iterable[Claim], pools: dict[str, Resources]) -> Iterator[str]:
    total, used = Resources(), Resources()
    for claim in claims:
        if claim.phase is Phase.READY:
            for host in claim.hosts:
                total += host.total if host.total is not None else pools.get(claim.pool, Resources())
                used += host.used
    for name in sorted(total):
        if not name.startswith("node:"):
            yield f"{_amount(name, used)}/{_amount(name, total)} {name}"


def _amount(name: str, amounts: Resources) -> str:
    amount = amounts.amounts().get(name, 0)
    return f"{amount / _GIB:.2f}GiB" if name in _MEMORY_LIKE else f"{float(amount)}"


def _demands(demand: Demand) -> list[str]:
    return [*(_wish(task) for task in demand.tasks), *(_wish(gang) for gang in demand.gangs)]


def _wish(entry: TaskDemand | Gang | RequestedDemand) -> str:
    if isinstance(entry, Gang):
        bundles = Counter(str(bundle.shape) for bundle in entry.bundles)
        inside = ", ".join(f"{shape} * {count}" for shape, count in bundles.items())
        return f"{inside} ({entry.strategy}): {entry.count}+ pending placement groups"
    what = "from request_resources()" if isinstance(entry, RequestedDemand) else "pending tasks/actors"
    where = f" {entry.selectors[0]}" if entry.selectors else ""
    return f"{entry.shape}{where}: {entry.count}+ {what}"
