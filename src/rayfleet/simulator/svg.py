"""Charts as inline SVG: steps, areas and bars with axes, in a page's own colours (CSS variables)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 1000
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 22, 40
END: Final = 118
"""Room on the right for the names of curves."""
_LABEL_PX: Final = 15
_NAME_MAX: Final = 13
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


def clock(seconds: float, step_s: float) -> str:
    """Return a moment of the time axis: 45 s, 30 min, 1:30, day 2, 2d 6:00, in the words that its steps need."""
    whole = round(seconds)
    if step_s < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{whole} s" if whole % 60 or not whole else f"{whole // 60} min"
    if step_s >= _DAY_S:
        return f"day {whole // int(_DAY_S) + 1}"
    day, rest = divmod(whole, int(_DAY_S))
    hours, minutes = divmod(rest // 60, 60)
    return f"{day}d {hours}:{minutes:02}" if day else f"{hours}:{minutes:02}"


def unit_of(step_s: float) -> str:
    """Return what the marks of a time axis are, for its title."""
    return "seconds" if step_s < 60 else "days" if step_s >= _DAY_S else "hours:minutes"  # noqa: PLR2004 - as in `clock`


@dataclass(frozen=True, slots=True)
class Frame:
    """The coordinates of one chart: `until_s` on the right edge, `top` at the upper one, `height` in pixels.

    `right`: room beside the curves, for their names.
    """

    until_s: float
    top: float
    height: int = 210
    right: int = RIGHT

    def x(self, seconds: float) -> float:
        """Return the pixel of a moment."""
        return LEFT + (WIDTH - LEFT - self.right) * min(1.0, seconds / max(self.until_s, 1e-9))

    def y(self, value: float) -> float:
        """Return the pixel of a value."""
        inner = self.height - TOP - BOTTOM
        return TOP + inner * (1 - min(1.0, max(0.0, value / max(self.top, 1e-9))))

    def axes(self, label: str, of_time: str = "since the beginning") -> str:
        """Return grid, ticks and the titles of both axes; `of_time`: what the time is counted from."""
        return self.values(label) + self.times(of_time)

    def values(self, label: str) -> str:
        """Return the grid, with its values on the left and what they are above."""
        parts = []
        for value in marks(self.top, _VALUE_MARKS):
            y = number(self.y(value))
            parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - self.right}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 8}" y="{y}" dy=".32em" text-anchor="end">{amount(value)}</text>'
            )
        return "".join(parts) + f'<text class="axis" x="{LEFT}" y="{TOP - 9}">{label}</text>'

    def times(self, of_time: str = "since the beginning") -> str:
        """Return the marks of the time below, and their unit."""
        base = self.height - BOTTOM
        moments = _times(self.until_s)
        step_s = moments[1] if len(moments) > 1 else max(1.0, self.until_s)
        parts = [f'<path class="base" d="M{LEFT} {base}H{WIDTH - self.right}"/>']
        for seconds in moments:
            x = number(self.x(seconds))
            text = clock(seconds, step_s)
            parts.append(f'<path class="base" d="M{x} {base}v4"/>')
            parts.append(f'<text class="tick" x="{x}" y="{base + 17}" text-anchor="middle">{text}</text>')
        title = f"{unit_of(step_s)} {of_time}".strip()
        middle = (LEFT + WIDTH - self.right) // 2
        parts.append(f'<text class="axis" x="{middle}" y="{base + 34}" text-anchor="middle">{title}</text>')
        return "".join(parts)

    def ends(self, curves: Sequence[tuple[str, str, Sequence[float], float]]) -> str:
        """Return the name of each curve (name, class, values, seconds per value) beside its end, none over another."""
        wished = [(self.y(values[-1]), name, css) for name, css, values, _ in curves if values]
        ys = spread([y for y, *_ in wished], _LABEL_PX, TOP, self.height - BOTTOM)
        return "".join(
            f'<text class="end {css}" x="{WIDTH - self.right + 8}" y="{number(y)}" dy=".32em">{cut(name)}</text>'
            for y, (_, name, css) in zip(ys, wished, strict=True)
        )

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


def cut(name: str) -> str:
    """Return a name as markup, short enough for the room beside the curves; what is cut off is in its tooltip."""
    short = name if len(name) <= _NAME_MAX else f"{name[: _NAME_MAX - 1]}…"
    return escape(short) + (f"<title>{escape(name)}</title>" if short != name else "")


def spread(wished: Sequence[float], apart: float, least: float, most: float) -> list[float]:
    """Return places near those that are wished for, `apart` from each other and between both bounds where they fit."""
    order = sorted(range(len(wished)), key=lambda n: wished[n])
    places = [0.0] * len(wished)
    last = least - apart
    for n in order:
        last = places[n] = max(wished[n], last + apart)
    after = most + apart
    for n in reversed(order):
        after = places[n] = min(places[n], after - apart)
    return places


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
        f'<div class="scroll"><svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name}">'
        f"{''.join(body)}</svg></div>"
    )


Bar = tuple[float, float, float]
"""From, to (seconds), and the lane."""


def bars(frame: Frame, found: Iterable[Bar], lane_y: Callable[[float], float]) -> str:
    """Return one path of many horizontal strokes."""
    return "".join(
        f"M{number(frame.x(begin))} {number(lane_y(lane))}H{number(max(frame.x(end), frame.x(begin) + 0.4))}"
        for begin, end, lane in found
    )
