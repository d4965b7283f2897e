"""The life of every machine as a chart: one lane for machines that do not meet, coloured by pool."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from rayfleet.simulator.svg import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Bar, Frame, bars, chart
from rayfleet.simulator.tally import Span

LANES_MAX: Final = 260
"""Of more lanes only every n-th is drawn; the caption says so."""
_HEIGHTS: Final = (2.0, 9.0)
_AREA: Final = 560
BAD_ENDS: Final = frozenset({"interrupted", "crashed"})


@dataclass(slots=True)
class _Strokes:
    """What is drawn of one pool."""

    boots: list[Bar] = field(default_factory=list)
    runs: list[Bar] = field(default_factory=list)


def gantt(spans: Sequence[Span], until_s: float, colours: dict[str, int]) -> tuple[str, str]:
    """Return the chart and its caption. `colours`: the number of each pool's colour."""
    lanes = _lanes(spans)
    count = max((lane for _, lane in lanes), default=0) + 1
    every = -(-count // LANES_MAX)
    drawn = [(span, lane // every) for span, lane in lanes if lane % every == 0]
    rows = -(-count // every)
    high = min(_HEIGHTS[1], max(_HEIGHTS[0], _AREA / rows))
    frame = Frame(until_s, 1.0, int(TOP + BOTTOM + rows * high))
    caption = f"{len(spans):,} machines in {count:,} lanes" + (f"; every {every}th lane is drawn" if every > 1 else "")
    return chart("machines", frame.height, [_grid(frame), *_body(frame, drawn, high, colours)]), caption


def _lanes(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    """Give each machine the lowest lane that is free; pools lie together, in their order."""
    found, base = [], 0
    for pool in sorted({span.pool for span in spans}):
        free: list[int] = []
        busy: list[tuple[float, int]] = []
        top = 0
        for span in sorted((s for s in spans if s.pool == pool), key=lambda s: (s.launched_s, s.ended_s)):
            while busy and busy[0][0] <= span.launched_s:
                heapq.heappush(free, heapq.heappop(busy)[1])
            lane = heapq.heappop(free) if free else top
            top = max(top, lane + 1)
            heapq.heappush(busy, (span.ended_s, lane))
            found.append((span, base + lane))
        base += top
    return found


def _grid(frame: Frame) -> str:
    base = frame.height - BOTTOM
    return frame.axes().replace('class="tick" x="50"', 'class="tick hidden" x="50"') + (
        f'<path class="grid" d="M{LEFT} {base}H{WIDTH - RIGHT}"/>'
    )


def _body(frame: Frame, drawn: Sequence[tuple[Span, int]], high: float, colours: dict[str, int]) -> list[str]:
    pools: dict[str, _Strokes] = {}
    bad: list[Bar] = []
    for span, lane in drawn:
        strokes = pools.setdefault(span.pool, _Strokes())
        ready_s = span.ended_s if span.joined_s is None else min(span.joined_s, span.ended_s)
        strokes.boots.append((span.launched_s, ready_s, lane))
        if ready_s < span.ended_s:
            strokes.runs.append((ready_s, span.ended_s, lane))
        if span.how in BAD_ENDS:
            bad.append((span.ended_s, span.ended_s, lane))
    width = f'stroke-width="{max(1.0, high - 1):.1f}"'

    def lane_y(lane: float) -> float:
        return TOP + (lane + 0.5) * high

    parts = []
    for pool, strokes in sorted(pools.items()):
        colour = f"c{colours.get(pool, 0)}"
        parts.append(f'<path class="bar boot {colour}" {width} d="{bars(frame, strokes.boots, lane_y)}"/>')
        title = f"<title>{escape(pool)}</title>"
        parts.append(f'<path class="bar {colour}" {width} d="{bars(frame, strokes.runs, lane_y)}">{title}</path>')
    if bad:
        ends = "".join(f"M{frame.x(at):.1f} {lane_y(lane) - high / 2:.1f}v{high:.1f}" for at, _, lane in bad)
        parts.append(f'<path class="bad" d="{ends}"/>')
    return parts
