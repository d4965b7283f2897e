"""What the autoscaler decides on: offers with their prices and back-offs, limits that were hit, the plan. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rayfleet.model import (
    LEAVING,
    PRESENT,
    Backoff,
    Claim,
    How,
    Offer,
    Plan,
    Pool,
    Reason,
    ReasonCode,
    ReleaseMode,
    TickReport,
)
from rayfleet.reports.status_json import current_claims

LIMITS = frozenset(
    {
        ReasonCode.MAX_WORKERS,
        ReasonCode.POOL_MAX_WORKERS,
        ReasonCode.BUDGET,
        ReasonCode.MAX_RESOURCES,
        ReasonCode.DAY_BUDGET,
        ReasonCode.LAUNCH_RATE,
        ReasonCode.QUOTA,
        ReasonCode.FAIR_SHARE,
        ReasonCode.UPSCALING_SPEED,
        ReasonCode.DOWNSCALING_SPEED,
        ReasonCode.DISRUPTION_BUDGET,
        ReasonCode.SCALE_DOWN_UTILIZATION,
    }
)


@dataclass(frozen=True, slots=True)
class OfferRow:
    """One way to get a machine. `machines`: of it now. `left_s`: not asked for so long (0: it may be); `after`: why."""

    pool: str
    place: str
    market: str
    usd_per_hour: float | None
    machines: int
    left_s: float
    after: str
    failures: int


@dataclass(frozen=True, slots=True)
class LimitHit:
    """A limit that holds something back: whose, in words, and how many verdicts of the plan name it."""

    whose: str
    text: str
    times: int


@dataclass(frozen=True, slots=True)
class Step:
    """One action of the plan: launch, prepare, start, drain, stop or release; of what; and why."""

    verb: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order of a person that stands: what, by whom, why, and since when (seconds since the epoch)."""

    what: str
    by: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """What was decided, and on what. `stays`: why hosts stay, in a word, and how many; `tick_s`: what a tick took."""

    tick: int
    at: float
    tick_s: float
    offers: tuple[OfferRow, ...]
    limits: tuple[LimitHit, ...]
    steps: tuple[Step, ...]
    stays: tuple[tuple[str, int], ...]
    orders: tuple[OrderRow, ...]
    findings: tuple[str, ...]


_MOST_STAYS = 8


def autoscaler(report: TickReport) -> Autoscaler:
    """Read a report."""
    timings, plan = report.timings, report.plan
    stays = Counter(kept.reason.code.value.replace("_", " ") for kept in plan.kept)
    return Autoscaler(
        tick=report.tick,
        at=report.snapshot.now,
        tick_s=timings.observe_s + timings.plan_s + timings.act_s,
        offers=offer_rows(report),
        limits=limits_hit(plan),
        steps=steps(plan),
        stays=tuple(stays.most_common(_MOST_STAYS)),
        orders=tuple(
            OrderRow(" ".join(word for word in (o.kind.value, o.target, o.value) if word), o.by, o.why, o.at)
            for o in plan.orders
        ),
        findings=tuple(f"{finding.subject}: {finding.reason.text}" for finding in plan.findings),
    )


def offer_rows(report: TickReport) -> tuple[OfferRow, ...]:
    """Return every offer of every worker pool, in the order of the file."""
    claims = [claim for claim in current_claims(report) if claim.phase in PRESENT]
    return tuple(
        _offer_row(report, pool, offer, claims) for pool in report.snapshot.policy.pools for offer in pool.offers
    )


def _offer_row(report: TickReport, pool: Pool, offer: Offer, claims: list[Claim]) -> OfferRow:
    now, key = report.snapshot.now, offer.key(pool.name)
    held = [b for b in report.plan.backoffs if b.until > now and b.scope.covers(key)]
    longest: Backoff | None = max(held, key=lambda backoff: backoff.until, default=None)
    same = sum(claim.count for claim in claims if key.covers(claim.offer) and claim.phase not in LEAVING)
    return OfferRow(
        pool.name,
        " ".join(part for part in (offer.provider, offer.zone or offer.region) if part) or "any",
        offer.market.value.replace("_", "-"),
        offer.usd_per_hour,
        same,
        longest.until - now if longest else 0.0,
        f"{longest.trouble.value}{f': {longest.message}' if longest.message else ''}" if longest else "",
        longest.failures if longest else 0,
    )


def limits_hit(plan: Plan) -> tuple[LimitHit, ...]:
    """Return the limits that hold back what waits or what would leave, those that are named most often first."""
    found: Counter[tuple[str, str]] = Counter()
    for unmet in plan.unmet:
        of_pools = [(verdict.pool, text) for verdict in unmet.pools for text in _limits(verdict.reason)]
        told = {text for _, text in of_pools}
        found.update([*of_pools, *(("cluster", text) for text in _limits(unmet.reason) if text not in told)])
    for launch in plan.launches:
        found.update((launch.offer.pool, text) for text in _limits(launch.reason))
    for kept in plan.kept:
        if kept.reason.code in LIMITS:
            found[("machines that stay", _own_text(kept.reason))] += 1
    return tuple(LimitHit(whose, text, times) for (whose, text), times in found.most_common())


def _limits(reason: Reason) -> list[str]:
    return [_own_text(link) for link in _links(reason) if link.code in LIMITS]


def _links(reason: Reason) -> tuple[Reason, ...]:
    return (reason, *(link for part in reason.chain for link in _links(part)))


def _own_text(reason: Reason) -> str:
    return Reason(reason.code, reason.details).text


def steps(plan: Plan) -> tuple[Step, ...]:
    """Return what a plan does, launches first."""
    launches = (
        Step(
            "start" if launch.reuse else "prepare" if launch.standby else "launch",
            f"{launch.count} {launch.offer.pool}{_where(launch.offer.zone or launch.offer.region)}",
            launch.reason.text,
        )
        for launch in plan.launches
    )
    drains = (Step("drain", ", ".join(drain.hosts), drain.reason.text) for drain in plan.drains)
    releases = (
        Step(
            "stop" if release.mode is ReleaseMode.STOP else "release",
            ", ".join(release.hosts) or release.claim,
            release.reason.text,
        )
        for release in plan.releases
        if release.how is not How.END or release.machine_ids
    )
    return (*launches, *drains, *releases)


def _where(place: str | None) -> str:
    return f" in {place}" if place else ""
