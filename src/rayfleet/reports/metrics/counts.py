"""What has happened since the controller's start: counters and histograms, brought up to date by each report.

Pure but for what it remembers. What a tick could not save is found, and told, again by the next one: it counts there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final

from rayfleet.model import (
    Claim,
    DemandKind,
    Gang,
    Launch,
    OfferKey,
    Outcome,
    OutcomeKind,
    Phase,
    Policy,
    ReasonCode,
    TaskDemand,
    TickReport,
    Trouble,
)
from rayfleet.reports.events import events_of, moves
from rayfleet.reports.metrics import families as of
from rayfleet.reports.metrics.beforehand import FAILURES, OK, RAY, expected
from rayfleet.reports.metrics.families import Family
from rayfleet.reports.metrics.gauges import is_decided
from rayfleet.reports.metrics.samples import Sample, market_of, of_offer

RECENT_S: Final = 600.0
"""For how long a failed node counts as one that failed recently."""

Labels = tuple[str, ...]
_DONE: Final = frozenset({None, Trouble.GONE})
_NEVER_THERE: Final = frozenset({Phase.REQUESTED, Phase.FAILED})


@dataclass(slots=True)
class Observed:
    """One histogram: how many observations fell into each bucket (the last one has no bound), and their sum."""

    buckets: list[int]
    total: float = 0.0

    def upto(self) -> list[int]:
        """Return how many observations are at most each bound, all of them last."""
        return list(accumulate(self.buckets))


@dataclass(slots=True)
class Counts:
    """Every counter and histogram that has counted anything, by family and labels."""

    counters: dict[tuple[Family, Labels], float] = field(default_factory=dict)
    histograms: dict[tuple[Family, Labels], Observed] = field(default_factory=dict)
    _troubles: tuple[str, ...] = ()
    _failed_at: list[tuple[float, str, int]] = field(default_factory=list)
    _unmet_since: dict[DemandKind, float] = field(default_factory=dict)
    _unmet_age_s: dict[DemandKind, float] = field(default_factory=dict)
    _policy: Policy | None = None

    def __post_init__(self) -> None:
        """Start all that has no labels of its own at 0: what never was is not the same as what is not told."""
        for family in of.FAMILIES:
            if family.kind is of.Kind.COUNTER and not family.labels:
                self._add(family, by=0)
            elif family.kind is of.Kind.HISTOGRAM and not family.labels:
                self.histograms.setdefault((family, ()), Observed([0] * (len(family.buckets) + 1)))

    def take(self, report: TickReport) -> None:
        """Count what happened in one tick."""
        self.begin(report.snapshot.policy)
        self._tick(report)
        for event in events_of(report, self._troubles):
            self._add(of.EVENTS, event.kind)
        self._troubles = report.troubles
        for finding in report.plan.findings:
            self._add(of.FOUND, finding.reason.code.value)
        self._moves(report)
        if report.saved and not report.error:
            self._calls(report)
            self._launches(report)
            self._drains(report)
        if report.snapshot.engine_up and is_decided(report):
            self._unmet(report)

    def gauges(self, now: float, pools: tuple[str, ...]) -> Iterator[Sample]:
        """Yield what only somebody who remembers can tell: recent failures, and how long demand has been unmet."""
        failed = Counter(dict.fromkeys(pools, 0))
        for at, pool, hosts in self._failed_at:
            failed[pool] += hosts * (now - at <= RECENT_S)
        for pool, hosts in failed.items():
            yield Sample(of.RAY_FAILED, (pool,), hosts)
        for kind in DemandKind:
            yield Sample(of.UNMET_AGE, (kind.value,), self._unmet_age_s.get(kind, 0.0))

    def copy(self) -> Counts:
        """Return this as it is now; what is counted from now on does not change it."""
        fixed = {key: Observed(list(seen.buckets), seen.total) for key, seen in self.histograms.items()}
        return replace(
            self, counters=dict(self.counters), histograms=fixed, _failed_at=list(self._failed_at),
            _unmet_age_s=dict(self._unmet_age_s),
        )  # fmt: skip

    def begin(self, policy: Policy) -> None:
        """Start at 0 what may happen under a policy; what has counted is left as it is."""
        if policy is not self._policy:
            self._policy = policy
            for family, labels in expected(policy):
                self._add(family, *labels, by=0)

    # ---- the parts of a report ------------------------------------------------------------------------------------

    def _tick(self, report: TickReport) -> None:
        timings = report.timings
        parts = {"observe": timings.observe_s, "plan": timings.plan_s, "act": timings.act_s}
        for part, seconds in parts.items():
            self._observe(of.TICK, seconds, part)
        self._observe(of.RAY_UPDATE, sum(parts.values()))
        self._add(of.TICKS)
        self._add(of.RAY_LOOP_EXCEPTIONS, by=bool(report.error))

    def _calls(self, report: TickReport) -> None:
        claims = {claim.id: claim for claim in report.snapshot.claims}
        for outcome in report.snapshot.outcomes:
            mine = [claims[name] for name in outcome.claims if name in claims]
            offer = mine[0].offer if mine else outcome.scope or OfferKey("")
            failed = outcome.trouble not in _DONE
            whom = RAY if outcome.kind is OutcomeKind.DRAIN else offer.provider or ""
            self._add(of.CALLS, whom, outcome.kind.value, outcome.trouble.value if outcome.trouble and failed else OK)
            if outcome.kind is OutcomeKind.LAUNCH:
                self._launch_ended(outcome, mine, offer)
            elif outcome.kind is OutcomeKind.DRAIN:
                self._add(of.RAY_DRAIN_EXCEPTIONS, by=failed and outcome.trouble is not Trouble.REFUSED)

    def _launch_ended(self, outcome: Outcome, claims: list[Claim], offer: OfferKey) -> None:
        hosts = sum(claim.count for claim in claims) or len(outcome.claims)
        if outcome.trouble in _DONE:
            self._add(of.RAY_STARTED, by=hosts)
            for took_s in [outcome.at - claim.created for claim in claims[:1]]:
                self._observe(of.LAUNCH, took_s, *of_offer(offer))
                self._observe(of.RAY_CREATE, took_s)
            return
        assert outcome.trouble is not None  # noqa: S101 - None is among those that are done
        self._add(of.LAUNCH_FAILURES, *of_offer(offer), outcome.trouble.value)
        self._add(of.RAY_LAUNCH_EXCEPTIONS)
        if outcome.trouble is Trouble.OUT_OF_STOCK:
            self._add(of.STOCK_OUTS, *of_offer(offer))
        if outcome.trouble is not Trouble.FLAKY:  # which is asked again, for the same nodes
            self._add(of.RAY_CREATE_FAILED, by=hosts)
            self._failed(outcome.at, offer.pool, hosts)

    def _launches(self, report: TickReport) -> None:
        timings = report.timings
        for launch in report.plan.launches:
            self._launched(launch)
            if timings.seen_at and timings.acted_at and not launch.again:
                self._observe(of.DEMAND_TO_LAUNCH, max(0.0, timings.acted_at - timings.seen_at))

    def _launched(self, launch: Launch) -> None:
        if not launch.again:
            self._add(of.LAUNCHED, *of_offer(launch.offer), launch.reason.code.value, by=launch.count)

    def _moves(self, report: TickReport) -> None:
        now = report.snapshot.now
        for before, after in moves(report):
            if after is not None:
                self._observe(of.BOOT, now - after.created, *of_offer(after.offer))
                continue
            if before.phase in _NEVER_THERE:
                continue  # its launch failed, which is counted as that
            why = _why(before)
            self._add(of.GONE, before.pool, market_of(before), why.value, by=before.count)
            self._add(of.RAY_STOPPED, by=before.count)
            if why in FAILURES:
                self._failed(now, before.pool, before.count)

    def _drains(self, report: TickReport) -> None:
        before = {claim.id: claim for claim in report.snapshot.claims}
        for drain in report.plan.drains:
            claim = before.get(drain.claim)
            if claim is not None and claim.phase is not Phase.DRAINING:  # else it is asked again
                self._add(of.DRAINS, claim.pool, drain.reason.code.value, by=len(drain.hosts))
        after = {claim.id: claim for claim in report.plan.claims}
        for claim in before.values():
            now = after.get(claim.id)
            if claim.phase is Phase.DRAINING and (now is None or now.phase is not Phase.DRAINING):
                self._add(of.DRAIN_ENDS, claim.pool, _ended(now), by=claim.count)

    def _unmet(self, report: TickReport) -> None:
        now = report.snapshot.now
        ages: dict[DemandKind, float] = {}
        for unmet in report.plan.unmet:
            age_s = now - self._unmet_since.setdefault(unmet.kind, now)
            if isinstance(unmet.demand, TaskDemand | Gang):  # which know it themselves
                age_s = unmet.demand.age_s
            ages[unmet.kind] = max(age_s, ages.get(unmet.kind, 0.0))
        self._unmet_since = {kind: since for kind, since in self._unmet_since.items() if kind in ages}
        self._unmet_age_s = ages

    # ---- adding up ------------------------------------------------------------------------------------------------

    def _failed(self, at: float, pool: str, hosts: int) -> None:
        self._failed_at = [failed for failed in self._failed_at if at - failed[0] <= RECENT_S]
        self._failed_at.append((at, pool, hosts))

    def _add(self, family: Family, *labels: str, by: float = 1.0) -> None:
        self.counters[family, labels] = self.counters.get((family, labels), 0.0) + by

    def _observe(self, family: Family, value: float, *labels: str) -> None:
        observed = self.histograms.get((family, labels))
        if observed is None:
            observed = self.histograms[family, labels] = Observed([0] * (len(family.buckets) + 1))
        observed.buckets[bisect_left(family.buckets, value)] += 1
        observed.total += value


def _why(gone: Claim) -> ReasonCode:
    """Return why a claim is gone: as it was told, else its machine was lost."""
    why = gone.ending or (gone.drain.reason if gone.drain else None)
    return why.code if why else ReasonCode.MACHINE_LOST


def _ended(now: Claim | None) -> str:
    """Return how a drain ended, from what became of its claim."""
    if now is None:
        return "left"
    if now.phase is Phase.READY:
        return "refused"
    if now.ending is None or now.ending.code is ReasonCode.DRAINED:
        return "left"
    return "deadline" if now.ending.code is ReasonCode.DRAIN_DEADLINE else "other"
