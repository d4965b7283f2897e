"""How replicas and requests go from one cluster to the next, a step at a time. Pure, and in percent.

    pending has room --(interval, it runs)--> requests follow, by the step
    pending is full  --(together over 100)--> the active one gives replicas up, by the surge
                     --(together 100)-------> the pending one gets replicas, by the surge

Going back is the same with the sides exchanged. Together they never have more than 100 and one surge, and none has more
requests than replicas, but where a cluster is lost: then all requests go to the other one at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

ALL: Final = 100
SETTLE_S: Final = 5.0
"""So long after requests were moved no replicas are given up: what moves them takes a moment."""


@dataclass(frozen=True, slots=True)
class Share:
    """A cluster's part of the replicas that are wanted, and of the requests."""

    capacity: int
    traffic: int


WHOLE: Final = Share(ALL, ALL)
NOTHING: Final = Share(0, 0)


@dataclass(frozen=True, slots=True)
class Split:
    """Who has what. `moved_at`: when requests were last moved (seconds since the epoch), None: never yet."""

    active: Share = WHOLE
    pending: Share = NOTHING
    moved_at: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast it may go: percent of replicas at once, percent of requests at once, seconds between such moves."""

    surge: int
    step: int
    interval_s: float


@dataclass(frozen=True, slots=True)
class Ready:
    """What is seen of a split that was decided on.

    `routed`: requests are divided by it. `active`, `pending`: the cluster runs all that its share asks for. `lost`:
    the pending cluster, which had requests, has nobody who answers.
    """

    routed: bool
    active: bool
    pending: bool
    lost: bool = False


def advance(split: Split, pace: Pace, ready: Ready, now: float, *, back: bool = False) -> Split:
    """Return the next split: the same where something must be waited for. `back`: to the active cluster."""
    if ready.lost and split.pending.traffic:
        kept = Share(split.active.capacity, ALL)
        return Split(kept, replace(split.pending, traffic=0), now)
    taker, giver = (split.active, split.pending) if back else (split.pending, split.active)
    moved_at = split.moved_at
    if taker.traffic < taker.capacity:
        can = ready.routed and ((ready.active or not ready.pending) if back else ready.pending)
        if not can or _left_s(split, pace.interval_s, now) > 0:
            return split
        traffic = min(taker.traffic + pace.step, taker.capacity)
        taker, giver, moved_at = replace(taker, traffic=traffic), replace(giver, traffic=ALL - traffic), now
    else:
        taker, giver = _shifted(split, pace, ready, now, back=back)
    return Split(taker, giver, moved_at) if back else Split(giver, taker, moved_at)


def due_s(split: Split, pace: Pace, now: float) -> float | None:
    """Return when time alone may let the next step happen, in seconds from now; None: never."""
    waits = [_left_s(split, wait_s, now) for wait_s in (SETTLE_S, pace.interval_s)]
    return min((wait_s for wait_s in waits if wait_s > 0), default=None)


def is_settled(split: Split, now: float) -> bool:
    """Say whether the last move of requests is long enough ago for somebody to go without."""
    return _left_s(split, SETTLE_S, now) <= 0


def _shifted(split: Split, pace: Pace, ready: Ready, now: float, *, back: bool) -> tuple[Share, Share]:
    """Return taker and giver with other replicas: first what is too many goes, then there is room for more."""
    taker, giver = (split.active, split.pending) if back else (split.pending, split.active)
    finished = taker.capacity == ALL and not back  # the rest of the old cluster goes with it
    if taker.capacity + giver.capacity > ALL:
        if finished or not (ready.routed and is_settled(split, now)):
            return taker, giver
        return taker, replace(giver, capacity=max(giver.traffic, giver.capacity - pace.surge))
    if not (back or ready.routed):
        return taker, giver
    return replace(taker, capacity=min(ALL, taker.capacity + pace.surge)), giver


def _left_s(split: Split, wait_s: float, now: float) -> float:
    return 0.0 if split.moved_at is None else split.moved_at + wait_s - now
