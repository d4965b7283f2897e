"""The planner's results as one SVG: price against the bound, time, and growth over three decades.

Whose result a mark is shows in its shape as well as in its colour. Titles state what was found; the picture is light or
dark as its reader's screen is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.drawing import STYLE, dot, in_seconds, line, text
from benchmarks.growth_picture import GROWTH_HEIGHT, Curve, growth
from benchmarks.problems.words import in_words

if TYPE_CHECKING:
    from benchmarks.parts.planner import Row

_NAMES_OF: Final = {
    "rayfleet": "rayfleet", "thorough": "rayfleet, thorough", "Ray v2": "Ray's v2 planner", "Ray v1": "Ray's v1 planner"
}  # fmt: skip
_CLASSES: Final = {"rayfleet": "own", "thorough": "slow", "Ray v2": "v2", "Ray v1": "v1"}
_LINE: Final = 20
_TOP: Final = 122
_NAMES: Final = 366
_PANEL: Final = 316
_GAP: Final = 66
_EDGE: Final = 28
_WIDTH: Final = _NAMES + 2 * _PANEL + _GAP + _EDGE
_FIRST_S: Final = 1e-3
_GROWS: Final = "Growth: what one plan takes, over three decades; dashed is linear growth"
_LAST_POWER: Final = 2
"""Times are drawn from a millisecond to 100 s."""


def write(path: Path, rows: Sequence[Row], curves: Sequence[Curve]) -> None:
    """Write the picture."""
    path.write_text(svg(rows, curves), encoding="utf-8")


def svg(rows: Sequence[Row], curves: Sequence[Curve]) -> str:
    """Return the picture."""
    below = _TOP + _LINE * len(rows) + 56
    total = below + (GROWTH_HEIGHT if curves else 0)
    box = f'viewBox="0 0 {_WIDTH} {total}" role="img" aria-label="results of the planner"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        STYLE,
        f'<rect class="bg" width="{_WIDTH}" height="{total}"/>',
        text(_EDGE, 36, _headline(rows), "h1"),
        *_legend(rows),
        *_cases(rows),
        *_prices(rows),
        *_times(rows),
        *(growth(_GROWS, curves, (_EDGE, below, _WIDTH - 2 * _EDGE)) if curves else ()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# ---- words ----------------------------------------------------------------------------------------------------------


def _headline(rows: Sequence[Row]) -> str:
    own = [ratio for row in rows if (ratio := row.ratio(row.usd_per_hour)) is not None]
    if not own:
        return f"rayfleet's planner on {len(rows)} problems"
    return f"rayfleet plans within {max(own) - 1:.1%} of the least possible price on all of {len(own)} problems"


def _of_prices(rows: Sequence[Row]) -> str:
    theirs = [ratio for row in rows if row.v2 and (ratio := row.ratio(row.v2.usd_per_hour)) is not None]
    if not theirs:
        return "Price"
    return f"Ray's v2 pays up to {max(theirs):.1f} x the least"


def _of_times(rows: Sequence[Row]) -> str:
    faster = [row.v2.cpu_s / row.cpu_s for row in rows if row.v2 and row.v2.cpu_s and row.cpu_s]
    return f"{median(faster):.0f} x as fast as Ray's v2 (median)" if faster else "Time"


# ---- marks ----------------------------------------------------------------------------------------------------------


def _mark(x: float, y: float, who: str, said: str = "") -> str:
    """Return a mark whose shape says who: a dot, a ring, a triangle, a square; `said` is its tooltip."""
    if who in {"rayfleet", "thorough"}:
        return dot(x, y, _CLASSES[who], said)
    css, told = _CLASSES[who], f"<title>{escape(said)}</title>" if said else ""
    if who == "Ray v2":
        return f'<path class="{css}" d="M{x:.1f} {y - 5:.1f}l5.5 9.5h-11z">{told}</path>'
    return f'<rect class="{css}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">{told}</rect>'


def _legend(rows: Sequence[Row]) -> Iterator[str]:
    x = float(_EDGE + 6)
    for who, words in _NAMES_OF.items():
        if any(one == who and (price or cpu_s) for row in rows for one, price, cpu_s in _answers(row)):
            yield _mark(x, 60, who)
            yield text(x + 12, 64, words)
            x += 12 + 7.2 * len(words) + 26


def _answers(row: Row) -> list[tuple[str, float | None, float | None]]:
    """Return (who, price ratio, seconds) of a case."""
    peers = [("Ray v2", row.v2), ("Ray v1", row.v1)]
    found = [
        ("rayfleet", row.ratio(row.usd_per_hour), row.cpu_s),
        ("thorough", row.ratio(row.thorough_usd), row.thorough_s),
    ]
    found += [(who, row.ratio(peer.usd_per_hour), peer.cpu_s) for who, peer in peers if peer]
    return found


# ---- cases ----------------------------------------------------------------------------------------------------------


def _y(number: int) -> float:
    return _TOP + _LINE * (number + 0.5)


def _cases(rows: Sequence[Row]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if number % 2:
            box = f'x="{_EDGE}" y="{_y(number) - _LINE / 2:.1f}" width="{_WIDTH - 2 * _EDGE}" height="{_LINE}"'
            yield f'<rect class="band" {box}/>'
        yield text(_NAMES - 18, _y(number) + 4, in_words(row.name), "name", anchor="end")


def _panel(
    rows: Sequence[Row], left: float, title: str, unit: str, marks: Sequence[tuple[float, str]]
) -> Iterator[str]:
    """Yield title, grid and scale of one panel; `marks` are (share of the width, text)."""
    bottom = _TOP + _LINE * len(rows)
    yield text(left, 98, title, "h2")
    for share, words in marks:
        x = left + _PANEL * share
        yield line((x, _TOP - 6), (x, bottom + 4))
        yield text(x, bottom + 19, words, anchor="middle")
    yield text(left + _PANEL / 2, bottom + 37, unit, anchor="middle")


def _prices(rows: Sequence[Row]) -> Iterator[str]:
    """Yield marks of price / bound, on a scale of logarithms that begins at the bound."""
    ratios = [ratio for row in rows for _, ratio, _ in _answers(row) if ratio is not None]
    most = next((mark for mark in (1.5, 2, 2.5, 3, 4, 8) if mark >= max(ratios, default=1.0)), 16)
    scale = [mark for mark in (1, 1.25, 1.5, 2, 2.5, 3, 4, 8, 16) if mark <= most]
    marks = [(math.log(mark) / math.log(most), f"{mark:g} x") for mark in scale]
    yield from _panel(rows, _NAMES, _of_prices(rows), "price, in parts of the least possible", marks)
    for number, row in enumerate(rows):
        for who, ratio, _ in reversed(_answers(row)):
            if ratio is not None:
                share = min(1.0, max(0.0, math.log(ratio) / math.log(most)))
                yield _mark(_NAMES + _PANEL * share, _y(number), who, f"{_NAMES_OF[who]}: {ratio:.3f} x the bound")


def _times(rows: Sequence[Row]) -> Iterator[str]:
    """Yield marks of processor time, on a scale of logarithms."""
    left, powers = _NAMES + _PANEL + _GAP, range(round(math.log10(_FIRST_S)), _LAST_POWER + 1)
    marks = [((power - powers[0]) / (len(powers) - 1), in_seconds(10.0**power)) for power in powers]
    yield from _panel(rows, left, _of_times(rows), "processor time of one plan", marks)
    for number, row in enumerate(rows):
        for who, _, cpu_s in reversed(_answers(row)):
            if cpu_s:
                share = min(1.0, max(0.0, (math.log10(cpu_s) - powers[0]) / (len(powers) - 1)))
                yield _mark(left + _PANEL * share, _y(number), who, f"{_NAMES_OF[who]}: {in_seconds(cpu_s)}")
