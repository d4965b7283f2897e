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

from benchmarks.problems.growth import Curve
from benchmarks.problems.words import in_words

if TYPE_CHECKING:
    from benchmarks.parts.planner import Row

_NAMES_OF: Final = {
    "rayfleet": "rayfleet", "thorough": "rayfleet, thorough", "Ray v2": "Ray's v2 planner", "Ray v1": "Ray's v1 planner"
}  # fmt: skip
_CLASSES: Final = {"rayfleet": "own", "thorough": "slow", "Ray v2": "v2", "Ray v1": "v1"}
_STYLE: Final = """<style>
svg{--bg:#fff;--ink:#1c2233;--soft:#5c6480;--line:#e3e6ef;--band:#f5f6fa;--own:#0067b1;--slow:#2f9ccf;--v2:#d55e00;
--v1:#a88100;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){svg{--bg:#12151d;--ink:#e8ebf4;--soft:#a2abc2;--line:#2c3344;--band:#181d28;
--own:#62b0f2;--slow:#9fd8f7;--v2:#ff9a4d;--v1:#e3c04c}}
.bg{fill:var(--bg)}.band{fill:var(--band)}text{fill:var(--soft);font-size:12px}.h1{fill:var(--ink);font-size:21px;font-weight:700}
.h2{fill:var(--ink);font-size:15px;font-weight:650}.name{fill:var(--ink)}.grid{stroke:var(--line)}.base{stroke:var(--soft)}
.linear{stroke:var(--soft);stroke-dasharray:4 4}.own{fill:var(--own);stroke:var(--own)}
.slow{fill:var(--bg);stroke:var(--slow);stroke-width:2}
.v2{fill:var(--v2);stroke:var(--v2)}.v1{fill:var(--bg);stroke:var(--v1);stroke-width:2}.curve{fill:none;stroke:var(--own);stroke-width:2}
.value{fill:var(--own);font-weight:650}
</style>"""
_LINE: Final = 20
_TOP: Final = 122
_NAMES: Final = 366
_PANEL: Final = 316
_GAP: Final = 66
_EDGE: Final = 28
_WIDTH: Final = _NAMES + 2 * _PANEL + _GAP + _EDGE
_GROWTH: Final = 200
_FIRST_S: Final = 1e-3
_LAST_POWER: Final = 2
"""Times are drawn from a millisecond to 100 s."""


def write(path: Path, rows: Sequence[Row], curves: Sequence[Curve]) -> None:
    """Write the picture."""
    path.write_text(svg(rows, curves), encoding="utf-8")


def svg(rows: Sequence[Row], curves: Sequence[Curve]) -> str:
    """Return the picture."""
    below = _TOP + _LINE * len(rows) + 56
    total = below + (_GROWTH + 96 if curves else 0)
    box = f'viewBox="0 0 {_WIDTH} {total}" role="img" aria-label="results of the planner"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        _STYLE,
        f'<rect class="bg" width="{_WIDTH}" height="{total}"/>',
        _text(_EDGE, 36, _headline(rows), "h1"),
        *_legend(rows),
        *_cases(rows),
        *_prices(rows),
        *_times(rows),
        *(_growth(curves, below) if curves else ()),
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


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _size(count: int) -> str:
    for limit, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= limit:
            return f"{count / limit:g}{unit}"
    return str(count)


# ---- marks ----------------------------------------------------------------------------------------------------------


def _text(x: float, y: float, words: str, css: str = "", *, anchor: str = "start") -> str:
    named = f' class="{css}"' if css else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(a: tuple[float, float], b: tuple[float, float], css: str = "grid") -> str:
    return f'<line class="{css}" x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"/>'


def _mark(x: float, y: float, who: str, said: str = "") -> str:
    """Return a mark whose shape says who: a dot, a ring, a triangle, a square; `said` is its tooltip."""
    css, told = _CLASSES[who], f"<title>{escape(said)}</title>" if said else ""
    if who in {"rayfleet", "thorough"}:
        return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{told}</circle>'
    if who == "Ray v2":
        return f'<path class="{css}" d="M{x:.1f} {y - 5:.1f}l5.5 9.5h-11z">{told}</path>'
    return f'<rect class="{css}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">{told}</rect>'


def _legend(rows: Sequence[Row]) -> Iterator[str]:
    x = float(_EDGE + 6)
    for who, words in _NAMES_OF.items():
        if any(one == who and (price or cpu_s) for row in rows for one, price, cpu_s in _answers(row)):
            yield _mark(x, 60, who)
            yield _text(x + 12, 64, words)
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
        yield _text(_NAMES - 18, _y(number) + 4, in_words(row.name), "name", anchor="end")


def _panel(
    rows: Sequence[Row], left: float, title: str, unit: str, marks: Sequence[tuple[float, str]]
) -> Iterator[str]:
    """Yield title, grid and scale of one panel; `marks` are (share of the width, text)."""
    bottom = _TOP + _LINE * len(rows)
    yield _text(left, 98, title, "h2")
    for share, words in marks:
        x = left + _PANEL * share
        yield _line((x, _TOP - 6), (x, bottom + 4))
        yield _text(x, bottom + 19, words, anchor="middle")
    yield _text(left + _PANEL / 2, bottom + 37, unit, anchor="middle")


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
    marks = [((power - powers[0]) / (len(powers) - 1), _seconds(10.0**power)) for power in powers]
    yield from _panel(rows, left, _of_times(rows), "processor time of one plan", marks)
    for number, row in enumerate(rows):
        for who, _, cpu_s in reversed(_answers(row)):
            if cpu_s:
                share = min(1.0, max(0.0, (math.log10(cpu_s) - powers[0]) / (len(powers) - 1)))
                yield _mark(left + _PANEL * share, _y(number), who, f"{_NAMES_OF[who]}: {_seconds(cpu_s)}")


# ---- growth ---------------------------------------------------------------------------------------------------------


def _growth(curves: Sequence[Curve], top: float) -> Iterator[str]:
    """Yield one small diagram per curve, all on the same scale: both of logarithms; dashed is linear growth."""
    times = [seconds for curve in curves for _, seconds in curve.points]
    low = math.floor(math.log10(min(times)))
    high = max(low + 1, math.ceil(math.log10(max(times))))
    bottom, side = top + 52 + _GROWTH, (_WIDTH - 2 * _EDGE - 40) / len(curves)
    decade = _GROWTH / (high - low)
    yield _text(_EDGE, top + 22, "Growth: what one plan takes, over three decades; dashed is linear growth", "h2")
    for power in range(low, high + 1):
        y = bottom - decade * (power - low)
        yield _line((_EDGE + 46, y), (_WIDTH - _EDGE, y))
        yield _text(_EDGE + 38, y + 4, _seconds(10.0**power), anchor="end")
    for number, curve in enumerate(curves):
        yield from _curve(curve, (_EDGE + 60 + side * number, bottom, side - 34), low, decade)


def _curve(curve: Curve, box: tuple[float, float, float], low: int, decade: float) -> Iterator[str]:
    """Yield one diagram; `box`: left, bottom and width."""
    left, bottom, width = box
    first, last = curve.points[0], curve.points[-1]
    decades = math.log10(last[0] / first[0]) or 1.0

    def place(size: float, seconds: float) -> tuple[float, float]:
        return left + width * math.log10(size / first[0]) / decades, bottom - decade * (math.log10(seconds) - low)

    highest = bottom - _GROWTH
    steep = place(last[0], first[1] * last[0] / first[0])
    start = place(*first)
    share = min(1.0, (start[1] - highest) / (start[1] - steep[1])) if steep[1] < start[1] else 1.0
    end = (start[0] + (steep[0] - start[0]) * share, start[1] + (steep[1] - start[1]) * share)
    yield _line(start, end, "linear")
    path = "L".join("{:.1f} {:.1f}".format(*place(*point)) for point in curve.points)
    yield f'<path class="curve" d="M{path}"/>'
    for size, seconds in curve.points:
        x, y = place(size, seconds)
        yield _mark(x, y, "rayfleet", f"{size:,} {curve.of}: {_seconds(seconds)}")
        yield _text(x, bottom + 18, _size(size), anchor="middle")
    x, y = place(*last)
    yield _text(x, y - 10, _seconds(last[1]), "value", anchor="end")
    yield _text(left + width / 2, bottom + 34, curve.of, "name", anchor="middle")
