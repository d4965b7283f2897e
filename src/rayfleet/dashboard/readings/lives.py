"""The life of each node: when it was asked for, joined, had to leave and was gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rayfleet.dashboard.readings.seen import Newest
from rayfleet.model import LEAVING, Claim, Phase, TickReport
from rayfleet.reports.event_search import EventQuery, EventRow
from rayfleet.reports.events import Event
from rayfleet.reports.history import HistoryReader
from rayfleet.reports.status_json import current_claims

PER_PAGE: Final = 60
MOST_EVENTS: Final = 20_000
_KINDS: Final = ("ready", "drain", "release", "stop", "gone")
STARTING, REQUESTED, BOOTING, READY, DRAINING = "starting", "requested", "booting", "ready", "draining"
STAGES: Final = (STARTING, REQUESTED, BOOTING, READY, DRAINING)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a life. `starting`: asked for and booting, where the record does not tell them apart."""

    stage: str
    since: float
    until: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """One node (of several hosts that live together: all of them) and the parts of its life, in order."""

    node: str
    pool: str
    parts: tuple[Part, ...]

    @property
    def began(self) -> float:
        """Return when it was asked for, as far as that is known."""
        return self.parts[0].since

    @property
    def ended(self) -> float:
        """Return until when it is known."""
        return self.parts[-1].until


@dataclass(frozen=True, slots=True)
class Lives:
    """Lives that reach into a span of time (seconds since the epoch), the newest first; `shown` of `total`."""

    since: float
    until: float
    shown: tuple[Life, ...]
    total: int
    page: int = 0

    @property
    def pages(self) -> int:
        """Return how many pages there are."""
        return max(1, -(-self.total // PER_PAGE))


@dataclass(slots=True)
class _Draft:
    pool: str
    created: float
    booting: float | None = None
    ready: float | None = None
    leaves: float | None = None
    gone: float | None = None
    last: float = 0.0
    why: str = ""
    alive: bool = field(default=False)


def read_lives(reader: HistoryReader, found: Newest, window_s: float) -> tuple[Life, ...]:
    """Return the lives that reach into the last `window_s` seconds of a record, the newest first.

    `found`: the newest of that record, which has been read already.
    """
    report, beat = found.report, found.beat
    if report is None or beat is None:
        return ()
    rows = reader.search(EventQuery(kinds=_KINDS, since=beat.at - window_s, limit=MOST_EVENTS))
    return lives(report, rows, beat.at - window_s, beat.at)


def paged(all_lives: tuple[Life, ...], since: float, until: float, page: int) -> Lives:
    """Return one page of lives."""
    last = max(0, -(-len(all_lives) // PER_PAGE) - 1)
    place = min(max(0, page), last)
    return Lives(since, until, all_lives[place * PER_PAGE : (place + 1) * PER_PAGE], len(all_lives), place)


def lives(report: TickReport, rows: Iterable[EventRow], since: float, until: float) -> tuple[Life, ...]:
    """Return the lives that events (oldest first) and the newest report tell of; the newest first."""
    drafts: list[tuple[str, _Draft]] = []
    open_: dict[str, _Draft] = {}
    for row in rows:
        event = row.event
        draft = open_.get(event.subject)
        if draft is None or (event.kind == "ready" and draft.ready is not None):
            draft = open_[event.subject] = _Draft(event.pool, event.at)
            drafts.append((event.subject, draft))
        _tell(draft, event)
        if event.kind == "gone":
            del open_[event.subject]
    for claim in current_claims(report):
        if claim.phase in _NOT_LIVING:
            continue
        draft = open_.get(claim.id)
        if draft is None:
            draft = _Draft(claim.pool, claim.created)
            drafts.append((claim.id, draft))
        _now(draft, claim, until)
    found = (Life(name, draft.pool, parts) for name, draft in drafts if (parts := _parts(draft, until)))
    return tuple(sorted((life for life in found if life.ended >= since), key=lambda life: -life.began))


_NOT_LIVING: Final = frozenset({Phase.STANDBY, Phase.FAILED})


def _tell(draft: _Draft, event: Event) -> None:
    draft.last = event.at
    draft.pool = draft.pool or event.pool
    if event.kind == "ready":
        draft.ready = event.at
        draft.created = event.at - (event.latency_s or 0.0)
    elif event.kind == "gone":
        draft.gone = event.at
    elif draft.leaves is None:
        draft.leaves, draft.why = event.at, event.text


def _now(draft: _Draft, claim: Claim, until: float) -> None:
    draft.alive, draft.last, draft.created = True, until, claim.created
    if claim.phase is Phase.BOOTING:
        draft.booting = claim.since
    elif claim.phase is Phase.READY:
        draft.ready = claim.since if draft.ready is None else draft.ready
    elif claim.phase in LEAVING and draft.leaves is None:
        draft.leaves = claim.drain.asked_at if claim.drain else claim.since


def _parts(draft: _Draft, until: float) -> tuple[Part, ...]:
    end = draft.gone if draft.gone is not None else until if draft.alive else draft.last
    parts: list[Part] = []

    def add(stage: str, since: float, to: float, why: str = "") -> None:
        if to > since:
            parts.append(Part(stage, since, to, why))

    leaves = min(end, draft.leaves) if draft.leaves is not None else end
    ready = min(leaves, draft.ready) if draft.ready is not None else leaves
    if draft.booting is not None:
        add(REQUESTED, draft.created, draft.booting)
        add(BOOTING, draft.booting, ready)
    elif draft.ready is None and draft.alive and draft.leaves is None:
        add(REQUESTED, draft.created, ready)
    else:
        add(STARTING, draft.created, ready)
    if draft.ready is not None:
        add(READY, ready, leaves)
    if draft.leaves is not None:
        add(DRAINING, leaves, end, draft.why)
    return tuple(parts)
