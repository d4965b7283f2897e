"""One cluster at a glance: what it has, what waits and why, what it costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from rayfleet.dashboard.readings.amounts import charted, title_of
from rayfleet.model import LEAVING, STARTING, DemandKind, Phase, Selectors, TickReport, Unmet
from rayfleet.reports.amounts import shape
from rayfleet.reports.measures import Measure, measure
from rayfleet.reports.status_json import current_claims
from rayfleet.reports.status_text import gang_text, unmet_text

_FIRST = ("CPU", "GPU", "memory", "object_store_memory")
_HOUR_S, _DAY_S = 3600.0, 86400.0
_ROUNDS_TO_NOTHING = 0.005


@dataclass(frozen=True, slots=True)
class Bar:
    """A resource: in use, free, and on its way (booting), in the unit of its title."""

    title: str
    used: float
    free: float
    coming: float

    @property
    def total(self) -> float:
        """Return what there is; what is on its way not included."""
        return self.used + self.free


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool and its machines by phase. `most` None: no maximum. `usd_per_hour`: least and most of its offers."""

    name: str
    machine: str
    ready: int
    starting: int
    leaving: int
    standby: int
    least: int
    most: int | None
    usd_per_hour: tuple[float, float] | None
    head: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Work that waits: so many of a kind, the oldest for so long. `unmet` of them have no place, because of `why`.

    `pools`: why each pool does not take it.
    """

    what: str
    count: int
    age_s: float
    unmet: int = 0
    why: str = ""
    pools: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Money:
    """USD: per hour now and after the plan, today so far, and the same machines on demand.

    `today` None: nobody kept it. `unpriced` machines are in no sum.
    """

    per_hour: float
    after: float
    on_demand: float
    today: float | None
    today_on_demand: float | None
    unpriced: int

    @property
    def saved(self) -> float:
        """Return the part of the on-demand price that is saved now, at most 1; below 0: it costs more."""
        return 1 - self.per_hour / self.on_demand if self.on_demand > 0 else 0.0

    @property
    def compared(self) -> str:
        """Return that in words; a spot machine may cost more than one on demand."""
        if abs(self.saved) <= _ROUNDS_TO_NOTHING:
            return "as on-demand"
        return f"{abs(self.saved):.0%} {'less' if self.saved > 0 else 'more'} than on-demand"


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it. Counts are machines; `tasks`, `gangs`, `requested` wait; `running`: nodes in use."""

    ready: int
    starting: int
    leaving: int
    standby: int
    in_use: int
    tasks: int
    gangs: int
    requested: int
    oldest_s: float
    bars: tuple[Bar, ...]
    pools: tuple[PoolRow, ...]
    waits: tuple[Wait, ...]
    money: Money


def overview(report: TickReport, today: tuple[Measure, ...] = ()) -> Overview:
    """Read a report. `today`: the measures since midnight, for what the same machines would have cost on demand."""
    claims, demand = current_claims(report), report.snapshot.demand

    def machines(phases: frozenset[Phase]) -> int:
        return sum(claim.count for claim in claims if claim.phase in phases)

    measured = measure(report)
    return Overview(
        ready=machines(frozenset({Phase.READY})),
        starting=machines(STARTING),
        leaving=machines(LEAVING),
        standby=machines(frozenset({Phase.STANDBY})),
        in_use=sum(1 for claim in claims if claim.phase is Phase.READY for host in claim.hosts if host.used),
        tasks=sum(task.count for task in demand.tasks),
        gangs=sum(gang.count for gang in demand.gangs),
        requested=sum(wish.count for wish in demand.requested),
        oldest_s=max((*(task.age_s for task in demand.tasks), *(gang.age_s for gang in demand.gangs)), default=0.0),
        bars=bars(measured),
        pools=pool_rows(report),
        waits=waits(report),
        money=money(report, measured, today),
    )


def bars(measured: Measure) -> tuple[Bar, ...]:
    """Return a bar for each resource, the usual ones first."""
    names = {*measured.total, *measured.coming}
    ordered = [*(name for name in _FIRST if name in names), *sorted(names - set(_FIRST))]

    def bar(name: str) -> Bar:
        used, total = charted(name, measured.used.get(name, 0)), charted(name, measured.total.get(name, 0))
        return Bar(title_of(name), used, round(max(0.0, total - used), 4), charted(name, measured.coming.get(name, 0)))

    return tuple(bar(name) for name in ordered)


def pool_rows(report: TickReport) -> tuple[PoolRow, ...]:
    """Return the head's pool and the workers' pools, in the order of the file."""
    policy, measured = report.snapshot.policy, measure(report).pools
    rows = []
    for pool in (*((policy.head,) if policy.head else ()), *policy.pools):
        counts = measured.get(pool.name)
        prices = [offer.usd_per_hour for offer in pool.offers if offer.usd_per_hour is not None]
        head = pool is policy.head
        rows.append(
            PoolRow(
                pool.name,
                shape(pool.resources),
                counts.ready if counts else 0,
                counts.starting if counts else 0,
                counts.leaving if counts else 0,
                counts.standby if counts else 0,
                1 if head else pool.min_workers,
                1 if head else pool.max_workers,
                (min(prices), max(prices)) if prices else None,
                head,
            )
        )
    return tuple(rows)


def waits(report: TickReport) -> tuple[Wait, ...]:
    """Return all that waits, what has no place first."""
    demand = report.snapshot.demand
    unmet = {(each.kind, each.index): each for each in report.plan.unmet}
    found = [
        *(
            _wait(f"{shape(task.shape)}{_where(task.selectors)}", task.count, task.age_s, unmet.get((_TASKS, index)))
            for index, task in enumerate(demand.tasks)
        ),
        *(
            _wait(f"group {gang_text(gang)}", gang.count, gang.age_s, unmet.get((_GANG, index)))
            for index, gang in enumerate(demand.gangs)
        ),
        *(
            _wait(f"requested {shape(wish.shape)}{_where(wish.selectors)}", wish.count, 0.0, missing)
            for index, wish in enumerate(demand.requested)
            if (missing := unmet.get((_REQUESTED, index))) is not None
        ),
        *(_wait(unmet_text(each), each.count, 0.0, each) for each in report.plan.unmet if each.kind is _BUFFER),
    ]
    return tuple(sorted(found, key=lambda wait: (-wait.unmet, -wait.age_s)))


_TASKS, _GANG, _REQUESTED, _BUFFER = DemandKind.TASKS, DemandKind.GANG, DemandKind.REQUESTED, DemandKind.BUFFER


def _where(selectors: Selectors) -> str:
    return f" on {' else '.join(str(selector) for selector in selectors)}" if selectors else ""


def _wait(what: str, count: int, age_s: float, unmet: Unmet | None) -> Wait:
    if unmet is None:
        return Wait(what, count, age_s)
    pools = tuple((verdict.pool, verdict.reason.text) for verdict in unmet.pools)
    return Wait(what, count, age_s, unmet.count, unmet.reason.text, pools)


def money(report: TickReport, measured: Measure, today: tuple[Measure, ...]) -> Money:
    """Return what the cluster costs."""
    spent = report.plan.spent
    return Money(
        per_hour=measured.usd_per_hour,
        after=report.plan.cost.after,
        on_demand=measured.on_demand_usd_per_hour,
        today=spent.usd if spent else None,
        today_on_demand=_on_demand_today(today, measured, spent.usd) if spent else None,
        unpriced=measured.unpriced,
    )


def _on_demand_today(today: tuple[Measure, ...], last: Measure, spent_usd: float) -> float:
    """Return what today's machines would have cost on demand: what was spent, and what was saved since midnight."""
    saved = 0.0
    for measured, following in pairwise((*today, last)):
        hours = max(0.0, following.at - measured.at) / _HOUR_S
        saved += (measured.on_demand_usd_per_hour - measured.usd_per_hour) * hours
    return spent_usd + saved


def midnight(now: float) -> float:
    """Return when the day of `now` began (UTC), as budgets of a day count it."""
    return now - now % _DAY_S
