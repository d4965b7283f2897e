"""Several policies on the same work in the same world: their figures side by side, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from rayfleet.simulator.chance import Spread
from rayfleet.simulator.run import Ran, Setting, run
from rayfleet.simulator.scene import Scene
from rayfleet.simulator.tally import Tally

PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 100.0)
CURVE_POINTS: Final = 288
SPANS_MAX: Final = 50_000
_HOUR_S: Final = 3600.0

Progress = Callable[[str, float, float], None]
"""Told the policy's name, the virtual seconds that have passed, and those until the last work comes."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What ran, in the order in which it was asked for."""

    runs: tuple[Ran, ...]

    def as_json(self) -> dict[str, Any]:
        """Return everything but the machines' lives, in a format that stays. The same runs give the same bytes."""
        setting = self.runs[0].setting
        trace = setting.trace
        return {
            "format": 1,
            "trace": {
                "name": trace.name,
                "rows": len(trace.rows),
                "tasks": trace.tasks,
                "last_s": _short(trace.last_s),
            },
            "seed": setting.seed,
            "tick_s": setting.tick_s,
            "world": world_json(setting.scene),
            "results": [result_json(ran) for ran in self.runs],
        }


def compare(settings: Iterable[Setting], progress: Progress = lambda *_: None) -> Comparison:
    """Run each setting."""
    return Comparison(tuple(run(each, _told(each, progress)) for each in settings))


def _told(setting: Setting, progress: Progress) -> Callable[[float], None]:
    last_s = setting.trace.last_s
    return lambda passed_s: progress(setting.name, passed_s, last_s)


# ---- figures ------------------------------------------------------------------------------------------------------


def result_json(ran: Ran) -> dict[str, Any]:
    """Return the figures of one run. Times in seconds, money in USD, shares from 0 to 1."""
    tally, counts = ran.tally, ran.counts
    return {
        "name": ran.setting.name,
        "end_s": _short(ran.end_s),
        "usd": round(sum(tally.usd.values()), 4),
        "usd_by": {key: round(usd, 4) for key, usd in sorted(tally.usd.items())},
        "unpriced_machine_hours": _short(tally.unpriced_s / _HOUR_S),
        "tasks": {"submitted": ran.setting.trace.tasks, "done": tally.done, "left": ran.left, "retried": tally.retried},
        "gang_restarts": tally.gang_restarts,
        "wait_s": _waits(tally),
        "late": _late(ran),
        "utilisation": utilisation(tally),
        "machines": _machines(ran),
        "churn": churn(ran),
        "launch_reasons": _sorted(tally.launch_reasons),
        "release_reasons": _sorted(tally.release_reasons),
        "unmet_reasons": _sorted(tally.unmet_reasons),
        "calls": counts.calls,
        "faults": {
            "flaky": counts.flaky, "out_of_stock": counts.out_of_stock, "interrupted": counts.interrupted,
            "crashed": counts.crashed, "failed_boots": counts.failed_boots, "doubled": counts.doubled,
        },
        "ticks": {"run": tally.ticks, "of": int(ran.end_s / ran.setting.tick_s) + 1, "failed": tally.failed_ticks},
        "problems": list(ran.problems),
        "curves": curves(ran),
    }  # fmt: skip


def _waits(tally: Tally) -> dict[str, float]:
    names = ("p50", "p90", "p95", "p99", "max")
    found = dict(zip(names, (_short(wait) for wait in tally.wait_percentiles(PERCENTS)), strict=True))
    return {"mean": _short(tally.wait_sum_s / max(1, tally.started)), **found}


def _late(ran: Ran) -> dict[str, float]:
    """Return how much work missed the goal; what never began did so too."""
    tally, submitted = ran.tally, ran.setting.trace.tasks
    count = tally.late + submitted - min(submitted, tally.started)
    return {"goal_s": tally.wait_goal_s, "count": count, "share": round(count / max(1, submitted), 6)}


def utilisation(tally: Tally) -> dict[str, float]:
    """Return, for each resource, the share of what was paid for that work used."""
    found = {}
    for name, level in sorted(tally.levels.items()):
        used = tally.levels.get(name.replace("paid ", "used ", 1))
        if name.startswith("paid ") and level.integral and used is not None:
            found[name.removeprefix("paid ")] = round(used.integral / level.integral, 4)
    return found


def _machines(ran: Ran) -> dict[str, float]:
    level = ran.tally.level("machines")
    return {
        "launched": ran.counts.launched,
        "peak": int(level.peak),
        "mean": _short(level.integral / max(ran.end_s, 1e-9)),
        "hours": _short(level.integral / _HOUR_S),
        "left": ran.machines_left,
    }


def churn(ran: Ran) -> float:
    """Return launches per machine of the peak: 1 when every machine was launched once and kept."""
    return round(ran.counts.launched / max(1.0, ran.tally.level("machines").peak), 3)


def curves(ran: Ran) -> dict[str, Any]:
    """Return averages over equal parts of the time, for charts."""
    tally = ran.tally
    pools = sorted(name for name in tally.levels if name.startswith("machines "))
    names = ["waiting", "running", "machines", *pools, "nodes", "usd_per_hour"]
    names += sorted(name for name in tally.levels if name.startswith(("used ", "paid ")))
    held = {name: tally.level(name).curve(ran.end_s, CURVE_POINTS) for name in names}
    points = len(held["machines"])
    return {
        "step_s": _short(ran.end_s / max(1, points)),
        **{name: [round(value, 3) for value in values] for name, values in held.items()},
    }


def world_json(scene: Scene) -> dict[str, Any]:
    """Return a world as its file would say it."""
    plain = {key: str(value) if isinstance(value, Spread) else value for key, value in _fields(scene).items()}
    plain["stock"] = [_stock(row) for row in scene.stock]
    plain["pools"] = {
        name: {key: str(v) if isinstance(v, Spread) else v for key, v in _fields(pool).items() if v is not None}
        for name, pool in sorted(scene.pools.items())
    }
    return plain


def _stock(row: Any) -> dict[str, Any]:
    scope = {key: value for key, value in asdict(row.scope).items() if value}
    until_s = None if row.until_s == float("inf") else row.until_s
    return {**scope, "machines": row.machines, "from_s": row.from_s, "until_s": until_s}


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _short(seconds: float) -> float:
    return round(seconds, 3)


def _sorted(counts: Any) -> dict[str, int]:
    return {str(key): count for key, count in sorted(counts.items())}
