"""Capacity that is wanted before anybody asks for it: buffers, and what schedules change for a while."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.model.demand import Selectors
from rayfleet.model.reason import ReasonCode
from rayfleet.model.resources import Resources
from rayfleet.model.window import Window


@dataclass(frozen=True, slots=True)
class Buffer:
    """Room for so many pieces of `shape` that is kept free, beyond all demand.

    `count` is absolute; `percent` is of what is in use now (of the resource of the shape that is used most), rounded
    up; of both the larger holds. `selectors`: alternatives in order, as of tasks; what is in use then counts on the
    machines that any of them means.
    """

    name: str
    shape: Resources
    count: int = 0
    percent: float = 0.0
    selectors: Selectors = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """What holds while its window is open: other limits of a pool, and more buffers.

    `pool` "": the whole cluster. None leaves a limit as it is. Of several open ones the later in the list goes before
    the earlier, limit by limit; buffers add up.
    """

    name: str
    window: Window
    pool: str = ""
    min_workers: int | None = None
    max_workers: int | None = None
    buffers: tuple[Buffer, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """Whether and how the loop looks ahead. Seconds: the length of a season, and how far ahead is looked.

    A resource whose forecast was wrong by more than `max_error_percent` on average is not forecast.
    """

    season_s: float = 604_800.0
    lead_s: float = 900.0
    max_error_percent: float = 50.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected to be in use and to wait soon, in pieces of `shape`, with what part of it is there already.

    `error_percent`: by how much such forecasts were wrong, on average; None when nobody has measured.
    """

    name: str
    shape: Resources
    count: int
    selectors: Selectors = ()
    error_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """One piece of work for the planner: room for `count` of `shape`, to be kept free because of `why`.

    `name` is the buffer's, the resource's (a target of utilisation) or the forecast's.
    """

    name: str
    why: ReasonCode
    shape: Resources
    count: int
    selectors: Selectors = ()
