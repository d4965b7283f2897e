"""A tick in a dozen numbers, for charts over hours and days: a row where the whole report would not fit. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.model import (
    LEAVING,
    PRESENT,
    STARTING,
    Claim,
    Phase,
    Policy,
    Resources,
    TickReport,
)
from rayfleet.reports.demand_series import needed
from rayfleet.reports.on_demand import price
from rayfleet.reports.status_json import current_claims, usage

AT_MOST_EVERY_S: Final = 2.0
AT_LEAST_EVERY_S: Final = 60.0
_NOT_CHARTED: Final = ("node:", "accelerator_type:")


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """Machines of a pool: working, on their way, leaving, and waiting on standby."""

    ready: int = 0
    starting: int = 0
    leaving: int = 0
    standby: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """A cluster at one moment (seconds since the epoch).

    `waiting`: tasks, and placement groups, without a place. `needed`: what is in use and what waits. `used`, `total`:
    of nodes that are alive; `coming`: of machines on their way. `usd_per_hour`: of all that exists;
    `on_demand_usd_per_hour`: of the same machines if all were bought so (see `on_demand`); `unpriced` machines are in
    neither.
    """

    at: float
    pools: dict[str, PoolCounts]
    waiting: int
    needed: Resources
    used: Resources
    total: Resources
    coming: Resources
    usd_per_hour: float
    on_demand_usd_per_hour: float
    unpriced: int = 0

    def count(self, phase: str) -> int:
        """Return how many machines of all pools are in a phase: one of the fields of `PoolCounts`."""
        return sum(getattr(counts, phase) for counts in self.pools.values())


def measure(report: TickReport) -> Measure:
    """Return the numbers of a report."""
    claims, snapshot = current_claims(report), report.snapshot
    in_use = usage(claims)
    usd, on_demand, unpriced = _money(claims, snapshot.policy)
    demand = snapshot.demand
    return Measure(
        at=snapshot.now,
        pools=_pools(claims),
        waiting=sum(task.count for task in demand.tasks) + sum(gang.count for gang in demand.gangs),
        needed=_charted(needed(snapshot)),
        used=_charted({name: used for name, (used, _) in in_use.items()}),
        total=_charted({name: total for name, (_, total) in in_use.items()}),
        coming=_coming(claims, snapshot.policy),
        usd_per_hour=usd,
        on_demand_usd_per_hour=on_demand,
        unpriced=unpriced,
    )


def _charted(units: Any) -> Resources:
    return Resources({name: amount for name, amount in units.items() if not name.startswith(_NOT_CHARTED)})


def _pools(claims: Iterable[Claim]) -> dict[str, PoolCounts]:
    found: dict[str, list[int]] = {}
    for claim in claims:
        place = _place(claim.phase)
        if place is not None:
            found.setdefault(claim.pool, [0, 0, 0, 0])[place] += claim.count
    return {pool: PoolCounts(*counts) for pool, counts in sorted(found.items())}


def _place(phase: Phase) -> int | None:
    if phase is Phase.READY:
        return 0
    if phase in STARTING:
        return 1
    if phase in LEAVING:
        return 2
    return 3 if phase is Phase.STANDBY else None


def _coming(claims: Iterable[Claim], policy: Policy) -> Resources:
    total = Resources()
    for claim in claims:
        pool = policy.pool(claim.pool) if claim.phase in STARTING else None
        if pool is not None:
            total = total + pool.resources.times(claim.count)
    return _charted(total)


def _money(claims: Iterable[Claim], policy: Policy) -> tuple[float, float, int]:
    """Return USD per hour as bought, USD per hour on demand, and the number of machines without a price."""
    usd = on_demand = 0.0
    unpriced = 0
    for claim in claims:
        if claim.phase not in PRESENT or claim.foreign:
            continue
        if claim.usd_per_hour is None:
            unpriced += claim.count
            continue
        usd += claim.usd_per_hour * claim.count
        plain = price(claim, policy)
        on_demand += (claim.usd_per_hour if plain is None else plain) * claim.count
    return round(usd, 6), round(on_demand, 6), unpriced


# ---- as a row -------------------------------------------------------------------------------------------------------


class Measuring:
    """Decides which measures of one controller are worth a row."""

    def __init__(self) -> None:
        """Begin with nothing written."""
        self._last: Measure | None = None

    def row(self, report: TickReport) -> tuple[float, str] | None:
        """Return the row that a report adds, None when the newest one still says it; see the constants above."""
        now, last = report.snapshot.now, self._last
        if last is not None and 0 <= now - last.at < AT_MOST_EVERY_S:
            return None
        fresh = measure(report)
        text = to_text(fresh)
        same = last is not None and to_text(last) == text
        if last is not None and same and 0 <= now - last.at < AT_LEAST_EVERY_S:
            return None
        self._last = fresh
        return now, text


def to_text(measured: Measure) -> str:
    """Return a measure as the text of its row; the moment is kept beside it."""
    told = {
        "pools": {name: [c.ready, c.starting, c.leaving, c.standby] for name, c in measured.pools.items()},
        "waiting": measured.waiting,
        **{name: dict(getattr(measured, name)) for name in _AMOUNTS},
        "usd": [measured.usd_per_hour, measured.on_demand_usd_per_hour, measured.unpriced],
    }
    return json.dumps(told, separators=(",", ":"))


_AMOUNTS: Final = ("needed", "used", "total", "coming")


def from_text(at: float, text: str) -> Measure:
    """Return the measure of a row. ValueError, KeyError: it is damaged."""
    told = json.loads(text)
    usd, on_demand, unpriced = told["usd"]
    return Measure(
        at,
        {name: PoolCounts(*counts) for name, counts in told["pools"].items()},
        told["waiting"],
        needed=Resources(told["needed"]),
        used=Resources(told["used"]),
        total=Resources(told["total"]),
        coming=Resources(told["coming"]),
        usd_per_hour=usd,
        on_demand_usd_per_hour=on_demand,
        unpriced=unpriced,
    )
