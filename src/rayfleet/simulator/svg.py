"""Charts as inline SVG: steps, areas and bars with axes, in a page's own colours (CSS variables)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 1000
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 10, 24
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0
_TIME_STEPS_S: Final = (
    1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 2 * 86_400, 7 * 86_400,
)  # fmt: skip
_TIME_MARKS: Final = 9
_VALUE_MARKS: Final = 4


def number(value: float) -> str:
    """Return a coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")


def amount(value: float) -> str:
    """Return a value for an axis: 12, 1.5k, 3.2M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1000 if unit == 'k' else limit):.3g}{unit}"
    return f"{value:.3g}"


def clock(seconds: float) -> str:
    """Return a moment of the time axis: 45 s, 12:30, day 2 06:00."""
    if seconds < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{seconds:g} s"
    day, rest = divmod(round(seconds), int(_DAY_S))
    hours, minutes = divmod(rest // 60, 60)
    return f"d{day + 1} {hours:02}:{minutes:02}" if day else f"{hours:02}:{minutes:02}"


@dataclass(frozen=True, slots=True)
class Frame:
    """The coordinates of one chart: `until_s` on the right edge, `top` at the upper one, `height` in pixels."""

    until_s: float
    top: float
    height: int = 180

    def x(self, seconds: float) -> float:
        """Return the pixel of a moment."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, seconds / max(self.until_s, 1e-9))

    def y(self, value: float) -> float:
        """Return the pixel of a value."""
        inner = self.height - TOP - BOTTOM
        return TOP + inner * (1 - min(1.0, max(0.0, value / max(self.top, 1e-9))))

    def axes(self, label: str = "") -> str:
        """Return grid, ticks and labels."""
        base = self.height - BOTTOM
        parts = []
        for value in marks(self.top, _VALUE_MARKS):
            y = number(self.y(value))
            parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 6}" y="{y}" dy=".32em" text-anchor="end">{amount(value)}</text>'
            )
        for seconds in _times(self.until_s):
            x = number(self.x(seconds))
            parts.append(f'<text class="tick" x="{x}" y="{base + 15}" text-anchor="middle">{clock(seconds)}</text>')
        if label:
            parts.append(f'<text class="axis" x="{LEFT}" y="{TOP - 1}">{label}</text>')
        return "".join(parts)

    def line(self, values: Sequence[float], step_s: float) -> str:
        """Return the path of a curve whose points lie in the middle of equal parts of the time."""
        points = [f"{number(self.x((n + 0.5) * step_s))} {number(self.y(value))}" for n, value in enumerate(values)]
        return "M" + "L".join(points) if points else ""

    def area(self, values: Sequence[float], step_s: float) -> str:
        """Return the path of the area under such a curve."""
        if not values:
            return ""
        base = number(self.height - BOTTOM)
        first, last = number(self.x(0.5 * step_s)), number(self.x((len(values) - 0.5) * step_s))
        return f"{self.line(values, step_s)}L{last} {base}L{first} {base}Z"


def marks(top: float, count: int) -> list[float]:
    """Return round values from 0 to `top`, about `count` of them."""
    if top <= 0:
        return [0.0]
    rough = top / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    return [n * step for n in range(int(top / step + 1e-9) + 1)]


def _times(until_s: float) -> list[float]:
    step = next((s for s in _TIME_STEPS_S if until_s / s <= _TIME_MARKS), _TIME_STEPS_S[-1])
    return [float(n * step) for n in range(int(until_s / step) + 1)]


def chart(name: str, height: int, body: Iterable[str]) -> str:
    """Return the SVG of one chart."""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name}" '
        f'preserveAspectRatio="none">{"".join(body)}</svg>'
    )


Bar = tuple[float, float, float]
"""From, to (seconds), and the lane."""


def bars(frame: Frame, found: Iterable[Bar], lane_y: Callable[[float], float]) -> str:
    """Return one path of many horizontal strokes."""
    return "".join(
        f"M{number(frame.x(begin))} {number(lane_y(lane))}H{number(max(frame.x(end), frame.x(begin) + 0.4))}"
        for begin, end, lane in found
    )
