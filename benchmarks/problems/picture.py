"""The planner's results as one SVG: price against the bound, time, and growth over three decades."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.problems.growth import Curve

if TYPE_CHECKING:
    from benchmarks.parts.planner import Row

_COLOURS: Final = {"rayfleet": "#1b6ac9", "thorough": "#0a9396", "Ray v2": "#d9480f", "Ray v1": "#e9a13b"}
_LINE: Final = 18
_TOP: Final = 70
_NAMES: Final = 210
_WIDTH: Final = 330
_GROWTH: Final = 260


def write(path: Path, rows: Sequence[Row], curves: Sequence[Curve]) -> None:
    """Write the picture."""
    path.write_text(svg(rows, curves), encoding="utf-8")


def svg(rows: Sequence[Row], curves: Sequence[Curve]) -> str:
    """Return the picture."""
    height = _TOP + _LINE * len(rows) + 40
    total = height + _GROWTH + 60
    width = _NAMES + 2 * (_WIDTH + 40)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" font-family="sans-serif">',
        f'<rect width="{width}" height="{total}" fill="white"/>',
        _text(10, 24, "rayfleet's planner on the standing set", size=16),
        *_legend(),
        *_prices(rows),
        *_times(rows),
        *_growth(curves, height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, words: str, *, size: int = 11, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="#222">{escape(words)}</text>'


def _line(a: tuple[float, float], b: tuple[float, float], colour: str = "#ddd") -> str:
    return f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}" stroke="{colour}"/>'


def _dot(x: float, y: float, who: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_COLOURS[who]}" fill-opacity="0.85"/>'


def _legend() -> Iterator[str]:
    for number, who in enumerate(_COLOURS):
        yield _dot(_NAMES + 110 * number, 40, who)
        yield _text(_NAMES + 110 * number + 8, 44, who)


def _answers(row: Row) -> list[tuple[str, float | None, float | None]]:
    """Return (who, price ratio, seconds) of a case."""
    peers = [("Ray v2", row.v2), ("Ray v1", row.v1)]
    found = [
        ("rayfleet", row.ratio(row.usd_per_hour), row.cpu_s),
        ("thorough", row.ratio(row.thorough_usd), row.thorough_s),
    ]
    found += [(who, row.ratio(peer.usd_per_hour), peer.cpu_s) for who, peer in peers if peer]
    return found


def _prices(rows: Sequence[Row]) -> Iterator[str]:
    """Yield dots of price / bound, on a scale of logarithms from 1 to 8."""
    yield _text(_NAMES, 62, "price in parts of the lower bound")
    for mark in (1, 1.1, 1.5, 2, 4, 8):
        x = _NAMES + _WIDTH * math.log(mark) / math.log(8)
        yield _line((x, _TOP), (x, _TOP + _LINE * len(rows)))
        yield _text(x, _TOP + _LINE * len(rows) + 14, f"{mark:g}", anchor="middle")
    for number, row in enumerate(rows):
        y = _TOP + _LINE * (number + 0.6)
        yield _text(_NAMES - 12, y + 4, row.name, anchor="end")
        for who, ratio, _ in reversed(_answers(row)):
            if ratio is not None:
                yield _dot(_NAMES + _WIDTH * min(1.0, max(0.0, math.log(ratio) / math.log(8))), y, who)


def _times(rows: Sequence[Row]) -> Iterator[str]:
    """Yield dots of processor time, on a scale of logarithms from 0.1 ms to 100 s."""
    left = _NAMES + _WIDTH + 40
    yield _text(left, 62, "processor time")
    for power in range(-4, 3):
        x = left + _WIDTH * (power + 4) / 6
        yield _line((x, _TOP), (x, _TOP + _LINE * len(rows)))
        words = f"{10**power * 1000:g} ms" if power < 0 else f"{10**power:g} s"
        yield _text(x, _TOP + _LINE * len(rows) + 14, words, anchor="middle")
    for number, row in enumerate(rows):
        y = _TOP + _LINE * (number + 0.6)
        for who, _, cpu_s in reversed(_answers(row)):
            if cpu_s:
                yield _dot(left + _WIDTH * min(1.0, max(0.0, (math.log10(cpu_s) + 4) / 6)), y, who)


def _growth(curves: Sequence[Curve], top: float) -> Iterator[str]:
    """Yield one small diagram per curve: both scales of logarithms, the grey line is linear growth."""
    side = (_NAMES + 2 * (_WIDTH + 40)) / max(1, len(curves))
    for number, curve in enumerate(curves):
        left, bottom, size = side * number + 45, top + _GROWTH, side - 65
        yield _text(left, top + 14, f"time by number of {curve.of}")
        first = curve.points[0]
        decades = math.log10(curve.points[-1][0] / first[0])
        low = math.floor(math.log10(min(seconds for _, seconds in curve.points)))

        def place(point: tuple[int, float]) -> tuple[float, float]:
            x = left + size * math.log10(point[0] / first[0]) / decades  # noqa: B023 - used in this turn only
            return x, bottom - 55 * (math.log10(point[1]) - low)  # noqa: B023

        yield _line((left, bottom), (left + size, bottom), "#888")
        for power in range(4):
            yield _text(left - 4, bottom - 55 * power + 4, f"{10 ** (low + power) * 1000:g} ms", size=9, anchor="end")
        last = curve.points[-1][0]
        yield _line(place(first), place((last, first[1] * last / first[0])), "#ccc")
        for point, after in zip(curve.points, (*curve.points[1:], None), strict=True):
            yield _dot(*place(point), "rayfleet")
            yield _text(place(point)[0], bottom + 14, f"{point[0]:,}", size=9, anchor="middle")
            if after:
                yield _line(place(point), place(after), _COLOURS["rayfleet"])
