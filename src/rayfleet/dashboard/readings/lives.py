"""The life of each node: when it was asked for, joined, had to leave and was gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rayfleet.dashboard.readings.seen import Newest
from rayfleet.model import LEAVING, Claim, Phase, TickReport
from rayfleet.reports.event_search import BareEvent, EventQuery
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
class Draft:
    """What is known of one life, before it is drawn. Moments: seconds since the epoch; None: not known, or not yet."""

    node: str
    pool: str
    created: float
    booting: float | None = None
    ready: float | None = None
    leaves: float | None = None
    gone: float | None = None
    last: float = 0.0
    why: str = ""
    lives: bool = False

    @property
    def ended(self) -> float:
        """Return until when it is known."""
        return self.last if self.gone is None else self.gone


@dataclass(frozen=True, slots=True)
class Story:
    """All lives that reach into a span of time, the newest first; thousands, of which a page draws a few."""

    since: float
    until: float
    drafts: tuple[Draft, ...]


def read_lives(reader: HistoryReader, found: Newest, window_s: float) -> Story:
    """Return the lives that reach into the last `window_s` seconds of a record.

    `found`: the newest of that record, which has been read already.
    """
    report, beat = found.report, found.beat
    if report is None or beat is None:
        return Story(0.0, 0.0, ())
    rows = reader.bare(EventQuery(kinds=_KINDS, since=beat.at - window_s, limit=MOST_EVENTS))
    return story(report, rows, beat.at - window_s, beat.at)


def paged(told: Story, page: int) -> Lives:
    """Return one page of lives."""
    last = max(0, -(-len(told.drafts) // PER_PAGE) - 1)
    place = min(max(0, page), last)
    drafts = told.drafts[place * PER_PAGE : (place + 1) * PER_PAGE]
    shown = tuple(Life(draft.node, draft.pool, _parts(draft)) for draft in drafts)
    return Lives(told.since, told.until, shown, len(told.drafts), place)


def story(report: TickReport, rows: Iterable[BareEvent], since: float, until: float) -> Story:
    """Return the lives that events (oldest first) and the newest report tell of."""
    drafts: list[Draft] = []
    living: dict[str, Draft] = {}
    for _, at, kind, subject, pool, _, _, text, latency_s in rows:
        draft = living.get(subject)
        if draft is None or (kind == "ready" and draft.ready is not None):
            draft = living[subject] = Draft(subject, pool, at)
            drafts.append(draft)
        draft.last, draft.pool = at, draft.pool or pool
        if kind == "ready":
            draft.ready, draft.created = at, at - (latency_s or 0.0)
        elif kind == "gone":
            draft.gone = at
            del living[subject]
        elif draft.leaves is None:
            draft.leaves, draft.why = at, text
    for claim in current_claims(report):
        if claim.phase not in _NOT_LIVING:
            if claim.id not in living:
                drafts.append(living.setdefault(claim.id, Draft(claim.id, claim.pool, claim.created)))
            _now(living[claim.id], claim, until)
    seen = [draft for draft in drafts if draft.ended >= since and draft.ended > draft.created]
    return Story(since, until, tuple(sorted(seen, key=lambda draft: -draft.created)))


_NOT_LIVING: Final = frozenset({Phase.STANDBY, Phase.FAILED})


def _now(draft: Draft, claim: Claim, until: float) -> None:
    draft.lives, draft.last, draft.created = True, until, claim.created
    if claim.phase is Phase.BOOTING:
        draft.booting = claim.since
    elif claim.phase is Phase.READY:
        draft.ready = claim.since if draft.ready is None else draft.ready
    elif claim.phase in LEAVING and draft.leaves is None:
        draft.leaves = claim.drain.asked_at if claim.drain else claim.since


def _parts(draft: Draft) -> tuple[Part, ...]:
    end = draft.ended
    parts: list[Part] = []

    def add(stage: str, since: float, to: float, why: str = "") -> None:
        if to > since:
            parts.append(Part(stage, since, to, why))

    leaves = min(end, draft.leaves) if draft.leaves is not None else end
    ready = min(leaves, draft.ready) if draft.ready is not None else leaves
    if draft.booting is not None:
        add(REQUESTED, draft.created, draft.booting)
        add(BOOTING, draft.booting, ready)
    elif draft.ready is None and draft.lives and draft.leaves is None:
        add(REQUESTED, draft.created, ready)
    else:
        add(STARTING, draft.created, ready)
    if draft.ready is not None:
        add(READY, ready, leaves)
    if draft.leaves is not None:
        add(DRAINING, leaves, end, draft.why)
    return tuple(parts)
