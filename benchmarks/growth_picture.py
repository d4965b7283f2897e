"""How something grows: a small diagram for each curve, both scales of logarithms; dashed is linear growth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.drawing import STYLE, dot, in_seconds, in_short, line, text

_HEIGHT: Final = 200
_SCALE: Final = 46
GROWTH_HEIGHT: Final = _HEIGHT + 96
"""What a row of diagrams needs, with title and words."""
Box = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Values by size. `of`: of what; `says`: how a value is written."""

    of: str
    points: tuple[tuple[int, float], ...]
    says: Callable[[float], str] = in_seconds


def svg(title: str, curves: Sequence[Curve]) -> str:
    """Return a picture of nothing but curves."""
    width, total = 60 + 240 * len(curves), GROWTH_HEIGHT + 30
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" role="img" aria-label="{title}">',
            STYLE,
            f'<rect class="bg" width="{width}" height="{total}"/>',
            *growth(title, curves, (28, 14, width - 56)),
            "</svg>\n",
        ]
    )


def growth(title: str, curves: Sequence[Curve], box: Box) -> Iterator[str]:
    """Yield a row of diagrams on one scale; `box`: left, top and width."""
    left, top, width = box
    values = [value for curve in curves for _, value in curve.points]
    low = math.floor(math.log10(min(values)))
    high = max(low + 1, math.ceil(math.log10(max(values))))
    bottom, side = top + 52 + _HEIGHT, (width - 40) / len(curves)
    decade = _HEIGHT / (high - low)
    one_unit = len({curve.says for curve in curves}) == 1
    says = curves[0].says if one_unit else in_short
    yield text(left, top + 22, title, "h2")
    for power in range(low, high + 1):
        y = bottom - decade * (power - low)
        yield line((left + _SCALE, y), (left + width, y))
        yield text(left + _SCALE - 8, y + 4, says(10.0**power), anchor="end")
    for number, curve in enumerate(curves):
        yield from _curve(curve, (left + 60 + side * number, bottom, side - 34), low, decade)


def _curve(curve: Curve, box: Box, low: int, decade: float) -> Iterator[str]:
    """Yield one diagram; `box`: left, bottom and width."""
    left, bottom, width = box
    first, last = curve.points[0], curve.points[-1]
    decades = math.log10(last[0] / first[0]) or 1.0

    def place(size: float, value: float) -> tuple[float, float]:
        return left + width * math.log10(size / first[0]) / decades, bottom - decade * (math.log10(value) - low)

    highest = bottom - _HEIGHT
    steep = place(last[0], first[1] * last[0] / first[0])
    start = place(*first)
    share = min(1.0, (start[1] - highest) / (start[1] - steep[1])) if steep[1] < start[1] else 1.0
    end = (start[0] + (steep[0] - start[0]) * share, start[1] + (steep[1] - start[1]) * share)
    yield line(start, end, "linear")
    path = "L".join("{:.1f} {:.1f}".format(*place(*point)) for point in curve.points)
    yield f'<path class="curve" d="M{path}"/>'
    for size, value in curve.points:
        x, y = place(size, value)
        yield dot(x, y, "own", f"{size:,} {curve.of}: {curve.says(value)}")
        yield text(x, bottom + 18, in_short(size), anchor="middle")
    x, y = place(*last)
    yield text(x, y - 10, curve.says(last[1]), "value", anchor="end")
    yield text(left + width / 2, bottom + 34, curve.of, "name", anchor="middle")
