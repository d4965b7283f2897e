"""One screen about a cluster: cost, nodes by pool and phase, what waits and why, back-offs, newest events. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from rayfleet.model import (
    STARTING,
    Claim,
    DemandKind,
    Phase,
    Resources,
    Snapshot,
    TickReport,
    Unmet,
)
from rayfleet.reports.amounts import amount, duration, shape
from rayfleet.reports.events import Event
from rayfleet.reports.status_json import current_claims, usage
from rayfleet.reports.status_text import backoff_lines, cost_lines, gang_text

_PHASES = (Phase.READY, Phase.BOOTING, Phase.REQUESTED, Phase.DRAINING, Phase.RELEASING, Phase.STANDBY, Phase.FAILED)
_MOST_LINES = 8  # of one block but the events'
_FEW_EVENTS = 5


@dataclass(frozen=True, slots=True)
class Screen:
    """How much room there is, in characters; 0 = as much as it takes. `zone`: of clocks, None = this machine's."""

    width: int = 0
    height: int = 0
    zone: tzinfo | None = None


def top_text(report: TickReport, events: Sequence[Event], now: float, note: str = "", screen: Screen = Screen()) -> str:
    """Return the screen as of `now`, seconds since the epoch. `events`: the newest last; `note`: why it is old news."""
    lines = [*_title(report, now, note, screen), "", *_nodes(report)]
    for title, block in (
        ("RESOURCES", _resources(report)),
        ("WAITING", _waiting(report)),
        ("DOING", _doing(report)),
        ("BACK-OFFS", backoff_lines(report, now)),
        ("TROUBLES", _troubles(report)),
    ):
        lines += _block(title, list(block))
    room = max(_FEW_EVENTS, screen.height - len(lines) - 3) if screen.height else len(events)
    lines += ["", "EVENTS", *([_event(event, screen) for event in events[-room:]] or [" none yet"])]
    return "\n".join(_fitting(lines, screen))


def _fitting(lines: list[str], screen: Screen) -> list[str]:
    """Return lines cut to the room there is."""
    kept = lines[: screen.height] if screen.height else lines
    return [line[: screen.width] for line in kept] if screen.width else kept


def _title(report: TickReport, now: float, note: str, screen: Screen) -> Iterator[str]:
    cost = next(iter(cost_lines(report)), "no price is known")
    health = "Ray answers" if report.snapshot.engine_up else "Ray does not answer"
    yield f"{report.cluster}  {_clock(now, screen)}  tick {report.tick}  {health}  {cost}"
    if note:
        yield f"WARNING: {note}"


def _block(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f" ... and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return ["", title, *(f" {line}" for line in lines[:_MOST_LINES]), *more]


def _nodes(report: TickReport) -> list[str]:
    """Return how many hosts of each pool are in which phase, under the phases that occur."""
    claims = current_claims(report)
    policy = report.snapshot.policy
    counts: Counter[tuple[str, Phase]] = Counter()
    for claim in claims:
        counts[(claim.pool or "unnamed", claim.phase)] += claim.count
    phases = [phase for phase in _PHASES if phase is Phase.READY or any(of == phase for _, of in counts)]
    limits = {pool.name: f"{pool.min_workers}..{_limit(pool.max_workers)}" for pool in policy.pools}
    names = dict.fromkeys([claim.pool for claim in claims if claim.head])
    names |= dict.fromkeys([*limits, *sorted(name for name, _ in counts)])
    rows = [("NODES", *(phase.value.lower() for phase in phases), "limits")]
    rows += [(f" {name}", *(str(counts[(name, p)] or "-") for p in phases), limits.get(name, "-")) for name in names]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [f"{row[0].ljust(widths[0])}  {_columns(row[1:], widths[1:])}".rstrip() for row in rows]


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _limit(most: int | None) -> str:
    return "any" if most is None else str(most)


def _resources(report: TickReport) -> Iterator[str]:
    """Yield used, total, and what comes with machines that are on their way."""
    claims = current_claims(report)
    coming = _coming(claims, report.snapshot)
    found = usage(claims)
    for name in dict.fromkeys([*found, *coming]):
        if not name.startswith("node:"):
            used, total = found.get(name, (0, 0))
            more = f"  (+{amount(name, coming[name])} on their way)" if coming.get(name) else ""
            yield f"{name:<20} {amount(name, used)} of {amount(name, total)}{more}"


def _coming(claims: Iterable[Claim], snapshot: Snapshot) -> Resources:
    pools = {pool.name: pool.resources for pool in snapshot.policy.pools}
    found = Resources()
    for claim in claims:
        if claim.phase in STARTING:
            found = found + pools.get(claim.pool, Resources()).times(claim.count)
    return found


def _waiting(report: TickReport) -> Iterator[str]:
    """Yield each thing that waits, for how long, and why it goes on waiting where no machine comes for it."""
    demand = report.snapshot.demand
    if not report.snapshot.engine_up:
        yield "unknown: Ray does not answer"
    why = {(unmet.kind, unmet.index): unmet for unmet in report.plan.unmet}
    for index, task in enumerate(demand.tasks):
        yield f"{task.count} x {shape(task.shape)}{_for(task.age_s)}: {_place(why.get((DemandKind.TASKS, index)))}"
    for index, gang in enumerate(demand.gangs):
        yield f"{gang.count} x {gang_text(gang)}{_for(gang.age_s)}: {_place(why.get((DemandKind.GANG, index)))}"
    for index, wish in enumerate(demand.requested):
        place = _place(why.get((DemandKind.REQUESTED, index)))
        yield f"{wish.count} x {shape(wish.shape)} by request_resources(): {place}"


def _for(age_s: float) -> str:
    return f", for {duration(age_s)}" if age_s else ""


def _place(unmet: Unmet | None) -> str:
    """Return what becomes of something that waits."""
    return f"{unmet.count} wait: {unmet.reason.text}" if unmet else "a machine is there, or comes"


def _doing(report: TickReport) -> Iterator[str]:
    plan = report.plan
    yield from (f"launch {each.count} {each.offer.pool}: {each.reason.text}" for each in plan.launches)
    yield from (f"drain {each.claim}: {each.reason.text}" for each in plan.drains)
    yield from (f"release {each.claim}: {each.reason.text}" for each in plan.releases)


def _troubles(report: TickReport) -> Iterator[str]:
    yield from report.troubles
    if report.error:
        yield f"the last tick failed: {report.error.strip().splitlines()[-1]}"


def _event(event: Event, screen: Screen) -> str:
    return f" {_clock(event.at, screen)}  {event.kind:<7}  {event.text}"


def _clock(at: float, screen: Screen) -> str:
    return f"{datetime.fromtimestamp(at, UTC).astimezone(screen.zone):%H:%M:%S}"
