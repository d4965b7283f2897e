"""What was in use and waited, a quarter of an hour at a time, and what that says of the hours ahead.

A sink of the loop: of every quarter of an hour it keeps the largest sum of what was in use and what waited, by
resource, in a small text file beside the history, so that weeks survive restarts. The forecast is the plainest that
knows seasons (seasonal naive): what was needed one season ago is needed again. How wrong that has been is told with
it, as the mean absolute percentage error over all that is kept; where it was more than the policy allows, or is not
known, nothing is expected. Hours without a record are unknown, not zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from rayfleet.model import (
    CAPACITY,
    UNITS,
    Demand,
    Expected,
    Forecast,
    Resources,
    Snapshot,
    TickReport,
)

BUCKET_S: Final = 900.0
LEAST_POINTS: Final = 8
"""So many quarters of an hour must have one a season earlier before anything is said."""
KEPT_SEASONS: Final = 5
GIB: Final = 2**30

Series = Mapping[int, Resources]
"""Number of the quarter of an hour since 1970 -> the most that was in use and waited."""


def needed(snapshot: Snapshot) -> Resources:
    """Return what is in use and what waits, in all."""
    total: dict[str, int] = {}
    for claim in snapshot.claims:
        if claim.phase in CAPACITY:
            for host in claim.hosts:
                _add(total, host.used, 1)
    for shape, count in _waiting(snapshot.demand):
        _add(total, shape, count)
    return Resources(total)


def error_percent(series: Series, name: str, season: int) -> float | None:
    """Return by how many percent "as a season ago" was wrong, on average; None when too little is known."""
    pairs = [
        (now.get(name, 0), series[at - season].get(name, 0)) for at, now in series.items() if at - season in series
    ]
    errors = [abs(actual - before) / actual for actual, before in pairs if actual]
    return None if len(errors) < LEAST_POINTS else 100.0 * sum(errors) / len(errors)


def expect(series: Series, forecast: Forecast, now: float) -> tuple[Expected, ...]:
    """Return what is expected to be needed within the next `lead_s` seconds, by resource, with its error."""
    season = round(forecast.season_s / BUCKET_S)
    first, last = math.floor(now / BUCKET_S), math.floor((now + forecast.lead_s) / BUCKET_S)
    before = [series[at - season] for at in range(first, last + 1) if at - season in series]
    found = []
    for name in sorted({name for known in before for name in known}):
        error = error_percent(series, name, season)
        if error is None or error > forecast.max_error_percent:
            continue
        unit = UNITS * (GIB if name.endswith("memory") else 1)
        count = math.ceil(max(known.get(name, 0) for known in before) / unit)
        found.append(Expected(name, Resources({name: unit}), count, error_percent=round(error, 1)))
    return tuple(found)


class DemandSeries:
    """The sink, and the forecast from what it has kept. `path` is read on first use."""

    name = "demand series"

    def __init__(self, path: Path | str, forecast: Forecast) -> None:
        """Remember the path; no I/O yet."""
        self._path = Path(path)
        self._forecast = forecast
        self._series: dict[int, Resources] | None = None
        self._open: tuple[int, Resources] | None = None
        self._said: tuple[tuple[int, int], tuple[Expected, ...]] | None = None

    async def write(self, report: TickReport) -> None:
        """Take one report; once a quarter of an hour, append a line to the file."""
        if not report.snapshot.engine_up or report.error:
            return  # what is in use is not known then
        at, seen = math.floor(report.snapshot.now / BUCKET_S), needed(report.snapshot)
        if self._open is not None and self._open[0] == at:
            both = self._open[1]
            self._open = (at, Resources({n: max(both.get(n, 0), seen.get(n, 0)) for n in {*both, *seen}}))
            return
        self._finish()
        self._open = (at, seen)

    async def close(self) -> None:
        """Write down what the current quarter of an hour has shown so far."""
        self._finish()

    def expect(self, now: float) -> tuple[Expected, ...]:
        """Return what is expected from `now` on."""
        quarters = (math.floor(now / BUCKET_S), math.floor((now + self._forecast.lead_s) / BUCKET_S))
        if self._said is None or self._said[0] != quarters:
            self._said = (quarters, expect(self._known(), self._forecast, now))
        return self._said[1]

    def _finish(self) -> None:
        if self._open is None:
            return
        at, seen = self._open
        known = self._known()
        before = known.get(at, Resources())
        known[at] = Resources({n: max(before.get(n, 0), seen.get(n, 0)) for n in {*before, *seen}})
        self._open = None
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(at, known[at]))

    def _known(self) -> dict[int, Resources]:
        if self._series is None:
            self._series = self._read()
        return self._series

    def _read(self) -> dict[int, Resources]:
        """Return the newest seasons of the file; lines that were cut off or are none are left out."""
        if not self._path.exists():
            return {}
        found = dict(_lines(self._path.read_text(encoding="utf-8").splitlines()))
        oldest = max(found, default=0) - KEPT_SEASONS * round(self._forecast.season_s / BUCKET_S)
        kept = {at: seen for at, seen in found.items() if at >= oldest}
        if len(kept) < len(found):
            self._path.write_text("".join(_line(at, seen) for at, seen in kept.items()), encoding="utf-8")
        return kept


def _line(at: int, seen: Resources) -> str:
    return " ".join([str(at), *(f"{name}={units}" for name, units in seen.items() if " " not in name)]) + "\n"


def _lines(lines: Iterable[str]) -> Iterable[tuple[int, Resources]]:
    for line in lines:
        at, *parts = line.split(" ")
        pairs = [part.rpartition("=")[::2] for part in parts]
        if at.isdecimal() and all(name and units.isdecimal() for name, units in pairs):
            yield int(at), Resources({name: int(units) for name, units in pairs})


def _waiting(demand: Demand) -> Iterable[tuple[Resources, int]]:
    for task in demand.tasks:
        yield task.shape, task.count
    for gang in demand.gangs:
        for bundle in gang.bundles:
            yield bundle.shape, gang.count


def _add(total: dict[str, int], shape: Mapping[str, int], count: int) -> None:
    for name, units in shape.items():
        total[name] = total.get(name, 0) + units * count
