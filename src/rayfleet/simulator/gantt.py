"""The life of every machine as a chart: one lane for machines that do not meet, coloured and named by pool.

What is drawn is also written beside the drawing as numbers, so that a page can tell of the machine under the pointer.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rayfleet.simulator.svg import BOTTOM, END, LEFT, TOP, WIDTH, Bar, Frame, bars, chart, cut, number, spread
from rayfleet.simulator.tally import Span

LANES_MAX: Final = 260
"""Of more lanes only every n-th is drawn; the caption says so."""
TOLD_MAX: Final = 20_000
"""Of more machines than this none is told of under the pointer: the page would grow by megabytes."""
_HEIGHTS: Final = (2.0, 9.0)
_AREA: Final = 560
_NAME_PX: Final = 15
BAD_ENDS: Final = frozenset({"interrupted", "crashed"})


@dataclass(slots=True)
class _Strokes:
    """What is drawn of one pool, and its first and last lane."""

    boots: list[Bar] = field(default_factory=list)
    runs: list[Bar] = field(default_factory=list)
    lanes: tuple[int, int] = (1 << 30, 0)


@dataclass(frozen=True, slots=True)
class Drawing:
    """The chart, what to say of it, and its numbers as JSON ("" when there are too many machines)."""

    svg: str
    caption: str
    told: str


def gantt(spans: Sequence[Span], until_s: float, colours: dict[str, int]) -> Drawing:
    """Return the chart. `colours`: the number of each pool's colour."""
    lanes = _lanes(spans)
    count = max((lane for _, lane in lanes), default=0) + 1
    every = -(-count // LANES_MAX)
    drawn = [(span, lane // every) for span, lane in lanes if lane % every == 0]
    rows = -(-count // every)
    high = min(_HEIGHTS[1], max(_HEIGHTS[0], _AREA / rows))
    frame = Frame(until_s, 1.0, int(TOP + BOTTOM + rows * high), END)
    caption = f"{len(spans):,} machines, one above the other where they were up at the same time"
    caption += f"; {rows:,} of {count:,} lines are drawn, every {_ordinal(every)}" if every > 1 else ""
    body = [frame.times(), *_body(frame, drawn, high, colours)]
    return Drawing(chart("machines", frame.height, body), caption, _told(drawn, until_s, high))


def _ordinal(count: int) -> str:
    return {2: "second", 3: "third"}.get(count, f"{count}th")


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


def _joined(span: Span) -> float:
    """Return when a machine could work: never later than its end."""
    return span.ended_s if span.joined_s is None else min(span.joined_s, span.ended_s)


def _body(frame: Frame, drawn: Sequence[tuple[Span, int]], high: float, colours: dict[str, int]) -> list[str]:
    pools: dict[str, _Strokes] = {}
    bad: list[Bar] = []
    for span, lane in drawn:
        strokes = pools.setdefault(span.pool, _Strokes())
        strokes.lanes = min(strokes.lanes[0], lane), max(strokes.lanes[1], lane)
        ready_s = _joined(span)
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
        parts.append(f'<path class="bar {colour}" {width} d="{bars(frame, strokes.runs, lane_y)}"/>')
    if bad:
        ends = "".join(f"M{frame.x(at):.1f} {lane_y(lane) - high / 2:.1f}v{high:.1f}" for at, _, lane in bad)
        parts.append(f'<path class="bad" d="{ends}"/>')
    return [*parts, *_names(pools, high, frame, colours), '<path class="mark" d=""/>']


def _names(pools: dict[str, _Strokes], high: float, frame: Frame, colours: dict[str, int]) -> list[str]:
    """Return the name of each pool beside the middle of its lanes, and a line between pools."""
    named = sorted(pools.items())
    wished = [TOP + (strokes.lanes[0] + strokes.lanes[1] + 1) / 2 * high for _, strokes in named]
    places = spread(wished, _NAME_PX, TOP, frame.height - BOTTOM)
    parts = []
    for (pool, strokes), y in zip(named, places, strict=True):
        edge = number(TOP + (strokes.lanes[1] + 1) * high)
        parts.append(f'<path class="grid" d="M{LEFT} {edge}H{WIDTH - END}"/>')
        parts.append(
            f'<text class="end c{colours.get(pool, 0)}" x="{WIDTH - END + 8}" y="{number(y)}" dy=".32em">'
            f"{cut(pool)}</text>"
        )
    return parts


def _told(drawn: Sequence[tuple[Span, int]], until_s: float, high: float) -> str:
    """Return what is drawn as JSON: rows of lane, pool, market, three moments, how it ended, and its cost."""
    if len(drawn) > TOLD_MAX:
        return ""
    words: dict[str, int] = {}

    def word(text: str) -> int:
        return words.setdefault(text, len(words))

    rows: list[list[Any]] = [
        [lane, word(s.pool), word(s.market), round(s.launched_s), round(_joined(s)), round(s.ended_s), word(s.how),
         round(s.usd, 2)]
        for s, lane in drawn
    ]  # fmt: skip
    data = {"until": round(until_s, 3), "top": TOP, "high": round(high, 3), "words": list(words), "rows": rows}
    return json.dumps(data, separators=(",", ":"))
