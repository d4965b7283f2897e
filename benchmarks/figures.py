"""A measured figure, its goal, and the table that people read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.samples import pair_ratio

_HEADINGS = ("figure", "rayfleet", "against", "ratio", "goal", "")


@dataclass(frozen=True, slots=True)
class Goal:
    """At most `most`: of the ratio, or of rayfleet's own value (`of` = "ratio" or "value")."""

    most: float
    of: str = "value"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result.

    `ours`: rayfleet's value, in `unit`; `theirs`: that of the peer or bound called `against`, None without one.
    `paired`: the median of the ratios of pairs, where samples were taken in pairs; else the ratio is ours / theirs.
    """

    name: str
    unit: str
    ours: float
    theirs: float | None = None
    against: str = ""
    paired: float | None = None
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Return rayfleet's value in parts of the peer's; None without a peer, or where that is 0."""
        if self.paired is not None:
            return self.paired
        return self.ours / self.theirs if self.theirs else None

    @property
    def holds(self) -> bool | None:
        """Say whether the goal holds; None without one. A goal about a ratio that is not there does not."""
        if self.goal is None:
            return None
        judged = self.ours if self.goal.of == "value" else self.ratio
        return judged is not None and judged <= self.goal.most

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "ratio": self.ratio, "holds": self.holds}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one part has found. `samples`: every single value behind the figures; `notes`: what to know about them."""

    figures: tuple[Figure, ...]
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def of_pairs(
    name: str, ours: Sequence[float], theirs: Sequence[float], against: str, goal: Goal | None = None
) -> Figure:
    """Return the figure of seconds that were taken in pairs: the median of each side, and of the ratios of pairs."""
    return Figure(name, "s", median(ours), median(theirs), against, pair_ratio(ours, theirs), goal)


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as lines of text in columns."""
    rows = [_HEADINGS, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a number with three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - above, .3g would write 1e+03


def _row(figure: Figure) -> tuple[str, ...]:
    against = "" if figure.theirs is None else f"{number(figure.theirs)} {figure.unit} ({figure.against})"
    ratio = "" if figure.ratio is None else number(figure.ratio)
    verdict = {None: "", True: "holds", False: "MISSED"}[figure.holds]
    return (figure.name, f"{number(figure.ours)} {figure.unit}", against, ratio, _goal(figure), verdict)


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"<= {number(figure.goal.most)} {'ratio' if figure.goal.of == 'ratio' else figure.unit}"
