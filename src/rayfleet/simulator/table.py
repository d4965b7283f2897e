"""The comparison as rows for a terminal: one line per figure, one column per policy, the best of each line known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of every policy: as text, and which of them are best (none when all are equal)."""

    label: str
    cells: tuple[str, ...]
    best: frozenset[int]


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - tenths matter below
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.1f} min"
    return f"{seconds / _HOUR_S:.1f} h"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _usd(amount: float) -> str:
    return f"${amount:,.2f}"


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    value: Callable[[dict[str, Any]], float | None]
    text: Callable[[float], str]
    better: int = -1
    """-1: less is better; 1: more is; 0: neither."""


_ROWS: Final = (
    _Row("cost", lambda r: r["usd"], _usd),
    _Row("wait, mean", lambda r: r["wait_s"]["mean"], duration),
    _Row("wait, median", lambda r: r["wait_s"]["p50"], duration),
    _Row("wait, 95 %", lambda r: r["wait_s"]["p95"], duration),
    _Row("wait, 99 %", lambda r: r["wait_s"]["p99"], duration),
    _Row("wait, longest", lambda r: r["wait_s"]["max"], duration),
    _Row("late (goal missed)", lambda r: r["late"]["share"], _percent),
    _Row("CPU in use", lambda r: r["utilisation"].get("CPU"), _percent, 1),
    _Row("GPU in use", lambda r: r["utilisation"].get("GPU"), _percent, 1),
    _Row("machines launched", lambda r: r["machines"]["launched"], _count),
    _Row("machines, most", lambda r: r["machines"]["peak"], _count, 0),
    _Row("machine hours", lambda r: r["machines"]["hours"], lambda n: f"{n:,.1f}"),
    _Row("churn", lambda r: r["churn"], lambda n: f"{n:.2f}"),
    _Row("tasks done", lambda r: r["tasks"]["done"], _count, 1),
    _Row("tasks never done", lambda r: r["tasks"]["left"], _count),
    _Row("tasks run again", lambda r: r["tasks"]["retried"], _count),
    _Row("all over after", lambda r: r["end_s"], duration, 0),
)
_ONLY_WHEN: Final = frozenset({"GPU in use", "CPU in use", "tasks never done", "tasks run again"})


def lines(told: dict[str, Any]) -> list[Line]:
    """Return the table's lines from what `Comparison.as_json` gives."""
    results = told["results"]
    return [line for row in _ROWS if (line := _line(row, results)) is not None]


def _line(row: _Row, results: list[dict[str, Any]]) -> Line | None:
    values = [row.value(result) for result in results]
    known = [value for value in values if value is not None]
    if row.label in _ONLY_WHEN and not any(known):
        return None
    cells = tuple("-" if value is None else row.text(value) for value in values)
    best: frozenset[int] = frozenset()
    if row.better and len(set(cells)) > 1:
        top = max(known) if row.better > 0 else min(known)
        best = frozenset(n for n, value in enumerate(values) if value == top)
    return Line(row.label, cells, best)


def headline(told: dict[str, Any]) -> str:
    """Return one sentence about the work and the world."""
    trace, first = told["trace"], told["results"][0]
    return (
        f"{trace['tasks']:,} tasks in {trace['rows']:,} rows over {duration(trace['last_s'])} ({trace['name']}), "
        f"seed {told['seed']}; work that waits longer than {duration(first['late']['goal_s'])} is late"
    )
