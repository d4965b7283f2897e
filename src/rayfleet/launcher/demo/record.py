"""What the record of a cluster says about its workers: pure functions over tick reports, oldest first.

Nothing here is measured by the demo itself: all times are those that the loop wrote down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rayfleet.model import CPU, UNITS, Claim, Demand, Launch, Phase, ReasonCode, Strategy, TickReport

LIMITS = frozenset({ReasonCode.MAX_WORKERS, ReasonCode.POOL_MAX_WORKERS, ReasonCode.BUDGET, ReasonCode.NO_POOL_FITS})
"""Why demand waits although nobody hesitates."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the largest of some seconds."""

    p50: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread | None:
        """Return it for `seconds`; None when there are none."""
        return cls(median(seconds), max(seconds)) if seconds else None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people want to see. `at`: seconds since the epoch; `kind`: one word."""

    at: float
    kind: str
    text: str


# ---- what there is ------------------------------------------------------------------------------


def workers(report: TickReport) -> tuple[Claim, ...]:
    """Return the claims of workers as the plan leaves them, those that are on their way in or out included."""
    return tuple(claim for claim in report.plan.claims if not claim.head and not claim.foreign)


def workers_up(report: TickReport) -> tuple[Claim, ...]:
    """Return the claims of workers that have joined and are not leaving."""
    return tuple(claim for claim in workers(report) if claim.phase is Phase.READY)


def up(report: TickReport) -> int:
    """Return how many workers have joined and are not leaving."""
    return sum(claim.count for claim in workers_up(report))


def peak(reports: Iterable[TickReport]) -> int:
    """Return the largest number of workers that were up at one time."""
    return max((up(report) for report in reports), default=0)


def waiting(demand: Demand) -> tuple[str, ...]:
    """Return a line for each sort of work that waits."""
    tasks = [f"{task.count} x {task.shape}{_selected(task.selectors)}" for task in demand.tasks]
    gangs = [f"{gang.count} group: {_bundles(len(gang.bundles), gang.strategy)}" for gang in demand.gangs]
    requested = [f"{request.count} x {request.shape} requested" for request in demand.requested]
    return (*tasks, *gangs, *requested)


def _selected(selectors: Sequence[object]) -> str:
    return f" on {selectors[0]}" if selectors else ""


def _bundles(count: int, strategy: Strategy) -> str:
    return f"{count} bundles, {strategy.value}"


@dataclass(frozen=True, slots=True)
class Row:
    """A machine as a row for people. `cpus`: in use / in all; `why`: why it is there, or why it leaves."""

    name: str
    pool: str
    phase: str
    cpus: str
    why: str


def rows(report: TickReport) -> list[Row]:
    """Return a row for each machine, the head first."""
    facts = {host.id: host for claim in report.snapshot.claims for host in claim.hosts}
    reasons = {kept.host: kept.reason.text for kept in report.plan.kept}
    found = []
    for claim in sorted(report.plan.claims, key=lambda claim: not claim.head):
        pool = report.snapshot.policy.pool(claim.pool)
        total = (pool.resources if pool else {}).get(CPU, 0)
        leaving = claim.ending or (claim.drain.reason if claim.drain else None)
        for host in claim.hosts:
            used = facts.get(host.id, host).used.get(CPU, 0)
            why = leaving.text if leaving else reasons.get(host.id, "")
            found.append(Row(host.id, claim.pool, claim.phase.value, f"{used / UNITS:g}/{total / UNITS:g}", why))
    return found


# ---- what happened ------------------------------------------------------------------------------


def events(before: TickReport | None, report: TickReport) -> Iterator[Event]:
    """Yield what has changed from one report to the next, in the order in which it happened."""
    at = report.snapshot.now
    old = {claim.id: claim for claim in workers(before)} if before else {}
    new = {claim.id: claim for claim in workers(report)}
    for claim in old.values():
        if claim.id not in new:
            yield Event(at, "gone", _name(claim))
    for claim in new.values():
        if claim.phase is Phase.READY and (claim.id not in old or old[claim.id].phase is not Phase.READY):
            yield Event(at, "joined", _name(claim))
    lines = waiting(report.snapshot.demand)
    if lines and (before is None or lines != waiting(before.snapshot.demand)):
        yield Event(at, "waits", "; ".join(lines))
    yield from _actions(report, {**old, **new})
    yield from _troubles(before, report)


def _actions(report: TickReport, known: dict[str, Claim]) -> Iterator[Event]:
    at, plan = report.snapshot.now, report.plan
    for launch in plan.launches:
        if any(claim in known for claim in launch.claims):  # the head is not news
            yield Event(at, "launches", f"{launch.count} x {launch.offer.pool}: {launch.reason.text}")
    for drain in plan.drains:
        yield Event(at, "drains", f"{_named(drain.claim, known)}: {drain.reason.text}")
    for release in plan.releases:
        yield Event(at, "releases", f"{_named(release.claim, known)}: {release.reason.text}")


def _troubles(before: TickReport | None, report: TickReport) -> Iterator[Event]:
    """Yield what cannot be done, once for as long as it lasts."""
    at = report.snapshot.now
    known = {unmet.reason.text for unmet in before.plan.unmet} if before else set()
    for text in dict.fromkeys(unmet.reason.text for unmet in report.plan.unmet):
        if text not in known:
            yield Event(at, "cannot", text)
    if report.error:
        yield Event(at, "error", report.error.strip().splitlines()[-1])


def _name(claim: Claim) -> str:
    return f"{claim.id} ({claim.pool})"


def _named(claim_id: str, known: dict[str, Claim]) -> str:
    return _name(known[claim_id]) if claim_id in known else claim_id


# ---- how long it took ---------------------------------------------------------------------------


def demand_to_launch(reports: Iterable[TickReport]) -> list[float]:
    """Return, for each tick that launches workers, the seconds from Ray's answer to the provider call.

    Demand that an earlier plan left waiting counts from the answer that first showed it, so that a plan which
    hesitates does not look quick; unless it waited for a limit, which is what limits are for.
    """
    found = []
    unmet_since: float | None = None
    for report in reports:
        seen_at = report.timings.seen_at if unmet_since is None else unmet_since
        wanted, called = bool(_worker_launches(report)), report.timings.acted_at > 0
        if wanted and called:
            found.append(report.timings.acted_at - seen_at)
        unmet_since = seen_at if _hesitates(report) or wanted > called else None
    return found


def _hesitates(report: TickReport) -> bool:
    return any(unmet.reason.code not in LIMITS for unmet in report.plan.unmet)


def launch_to_node(reports: Sequence[TickReport]) -> list[float]:
    """Return, for each worker that joined, the seconds from the provider call to the report that shows its node."""
    called: dict[str, float] = {}
    joined: dict[str, float] = {}
    for report in reports:
        called.update(
            (claim, report.timings.acted_at) for launch in _worker_launches(report) for claim in launch.claims
        )
        for claim in workers_up(report):
            joined.setdefault(claim.id, report.snapshot.now)
    return [joined[claim] - called[claim] for claim in called if claim in joined]


def below_after(reports: Iterable[TickReport], moment: float, count: int) -> float | None:
    """Return when, at or after `moment`, at most `count` workers were left in any phase; None: never."""
    return next(
        (report.snapshot.now for report in reports if report.snapshot.now >= moment and len(workers(report)) <= count),
        None,
    )


def _worker_launches(report: TickReport) -> list[Launch]:
    own = {claim.id for claim in workers(report)}
    return [launch for launch in report.plan.launches if own.intersection(launch.claims)]
