"""The record of one tick."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.model.plan import Plan
from rayfleet.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall seconds of each part of a tick, and when the engine's answer arrived (`seen_at`, as `Snapshot.now`)."""

    observe_s: float = 0.0
    plan_s: float = 0.0
    act_s: float = 0.0
    seen_at: float = 0.0
    acted_at: float = 0.0


@dataclass(frozen=True, slots=True)
class TickReport:
    """One tick: what was seen, what was decided, how long it took, what went wrong.

    `error`: the traceback of an unexpected error, empty when none; the plan is then what was
    decided until that point (or the empty plan). `troubles`: what was expected to go wrong some day and did, one
    sentence each (the ledger cannot be written, a listing failed, Ray does not answer). `saved`: the ledger holds the
    plan; when not, its launches were held.
    """

    tick: int
    cluster: str
    snapshot: Snapshot
    plan: Plan
    timings: Timings = Timings()
    error: str = ""
    troubles: tuple[str, ...] = ()
    saved: bool = True
