"""Options of the charts, for ECharts. Pure.

A key that begins with a colon holds JavaScript; all of that is written here, and no text of a cluster goes into it.
Colours are taken from the page's style sheet when a chart is drawn, so that they follow light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rayfleet.dashboard.readings.amounts import title_of
from rayfleet.dashboard.readings.lives import BOOTING, DRAINING, READY, REQUESTED, STAGES, STARTING, Life, Lives
from rayfleet.dashboard.readings.metrics import Drawn
from rayfleet.dashboard.readings.timeline import INTERRUPTED, LAUNCH, LEAVE, SORTS, STOCK, Mark, Timeline, amounts_of

Options = dict[str, Any]
_MS: Final = 1000
_MOMENT: Final = (
    "t => { const then = new Date(t), today = new Date().toDateString() === then.toDateString();"
    " return today ? then.toLocaleTimeString() : then.toLocaleString(); }"
)
"""JavaScript: a moment in the reader's time zone, with the date when that is not today."""
_PHASES: Final = (("ready", "Ready", "--good"), ("starting", "Starting", "--busy"), ("leaving", "Leaving", "--warn"))
_MARKS: Final = {
    LAUNCH: ("triangle", "--busy", 0),
    LEAVE: ("triangle", "--warn", 180),
    STOCK: ("diamond", "--bad", 0),
    INTERRUPTED: ("rect", "--bad", 0),
}


def colour(variable: str) -> str:
    """Return the JavaScript that reads a colour of the style sheet."""
    return f"getComputedStyle(document.body).getPropertyValue('{variable}').trim()"


def _ink(variable: str = "--dim") -> Options:
    return {":color": colour(variable)}


def _axis_look() -> Options:
    return {
        "axisLabel": {**_ink(), "hideOverlap": True},
        "axisLine": {"lineStyle": {":color": colour("--line")}},
        "splitLine": {"lineStyle": {":color": colour("--line")}},
    }


def _time_axis(line: Timeline | Lives | Drawn, **more: Any) -> Options:
    look = _axis_look() | {"splitLine": {"show": False}}
    return {"type": "time", "min": line.since * _MS, "max": line.until * _MS, **look, **more}


def _tooltip(**more: Any) -> Options:
    box = {
        ":backgroundColor": colour("--panel"),
        ":borderColor": colour("--line"),
        "textStyle": {":color": colour("--ink"), "fontSize": 12},
        "confine": True,
    }
    return {**box, **more}


def _zoom(*axes: int) -> list[Options]:
    slider = {
        "type": "slider", "xAxisIndex": list(axes), "height": 16, "bottom": 6, "filterMode": "none",
        "textStyle": _ink(), "brushSelect": False, "showDataShadow": False,
    }  # fmt: skip
    # The wheel scrolls the page; with Ctrl or Shift it zooms.
    inside = {"type": "inside", "xAxisIndex": list(axes), "filterMode": "none", "zoomOnMouseWheel": "ctrl"}
    return [slider, {**inside, "moveOnMouseMove": "shift"}]


# ---- the timeline ---------------------------------------------------------------------------------------------------


def timeline_chart(line: Timeline, resource: str) -> Options:
    """Return three charts above one another, on one axis of time: marks, one resource, and nodes by phase."""
    grids = [
        {"left": 52, "right": 16, "top": 52, "height": 56},
        {"left": 52, "right": 16, "top": 138, "height": 130},
        {"left": 52, "right": 16, "top": 296, "height": 76},
    ]
    below = {"axisLabel": {**_ink(), "hideOverlap": True}}
    plain = {"axisLabel": {"show": False}, "axisTick": {"show": False}}
    return {
        "animation": False,
        "grid": grids,
        "legend": [_legend(0, [*_CURVES, *(name for _, name, _ in _PHASES)]), _legend(22, list(SORTS))],
        "tooltip": _tooltip(trigger="axis", axisPointer={"type": "line", "link": [{"xAxisIndex": "all"}]}),
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "xAxis": [
            _time_axis(line, gridIndex=0, **plain),
            _time_axis(line, gridIndex=1, **plain),
            _time_axis(line, gridIndex=2, **below),
        ],
        "yAxis": [
            {"type": "category", "gridIndex": 0, "data": list(reversed(SORTS)), "axisLabel": {"show": False},
             "axisTick": {"show": False}, **{k: v for k, v in _axis_look().items() if k != "axisLabel"}},
            {"type": "value", "gridIndex": 1, "name": title_of(resource), "nameTextStyle": {**_ink(), "align": "left"},
             "splitNumber": 3, **_axis_look()},
            {"type": "value", "gridIndex": 2, "name": "Nodes", "nameTextStyle": {**_ink(), "align": "left"},
             "minInterval": 1, "splitNumber": 3, **_axis_look()},
        ],
        "dataZoom": _zoom(0, 1, 2),
        "series": [*_curves(line, resource), *_phases(line), *(_marks(line.marks, sort) for sort in SORTS)],
    }  # fmt: skip


def _legend(top: int, names: list[str]) -> Options:
    paging = {
        "pageTextStyle": _ink(),
        "pageIconSize": 10,
        "pageIconColor": "#8a94a0",
        "pageIconInactiveColor": "#c3c9d0",
    }
    look = {"itemWidth": 14, "itemHeight": 8, "itemGap": 12, "type": "scroll", "textStyle": _ink()}
    return {"top": top, "left": 0, "right": 0, "data": names, **look, **paging}


_CURVES: Final = {"Needed": "--ink", "Capacity": "--good", "Coming": "--busy"}


def _curves(line: Timeline, resource: str) -> list[Options]:
    rows = [(measured.at * _MS, *amounts_of(measured, resource)) for measured in line.measures]

    def curve(place: int, name: str, variable: str) -> Options:
        if name == "Coming":  # on top of what there is
            data = [[row[0], round(row[2] + row[3], 4) if row[3] else None] for row in rows]
        else:
            data = [[row[0], row[place]] for row in rows]
        style: Options = {"width": 2 if name == "Needed" else 1.5, ":color": colour(variable)}
        style |= {"type": "dashed"} if name == "Coming" else {}
        area = {"areaStyle": {"opacity": 0.12, ":color": colour(variable)}} if name == "Capacity" else {}
        return _step(name, 1, data, style) | area

    return [curve(place, name, variable) for place, (name, variable) in enumerate(_CURVES.items(), 1)]


def _step(name: str, axis: int, data: list[Any], style: Options) -> Options:
    return {
        "type": "line", "name": name, "step": "end", "showSymbol": False, "xAxisIndex": axis, "yAxisIndex": axis,
        "data": data, "lineStyle": style, "itemStyle": {":color": style[":color"]}, "sampling": "minmax",
    }  # fmt: skip


def _phases(line: Timeline) -> list[Options]:
    def area(field: str, name: str, variable: str) -> Options:
        data = [[measured.at * _MS, measured.count(field)] for measured in line.measures]
        filled = {"stack": "nodes", "areaStyle": {"opacity": 0.35, ":color": colour(variable)}}
        return _step(name, 2, data, {"width": 1, ":color": colour(variable)}) | filled | {"sampling": None}

    return [area(*phase) for phase in _PHASES]


def _marks(marks: Iterable[Mark], sort: str) -> Options:
    symbol, variable, turned = _MARKS[sort]
    data = [
        {"value": [mark.at * _MS, sort], "count": mark.count, "reasons": list(mark.reasons)}
        for mark in marks
        if mark.sort == sort
    ]
    return {
        "type": "scatter", "name": sort, "xAxisIndex": 0, "yAxisIndex": 0, "symbol": symbol, "symbolSize": 8,
        "symbolRotate": turned, "itemStyle": {":color": colour(variable)}, "data": data,
        "tooltip": {"trigger": "item", ":formatter": _MARK_TEXT},
    }  # fmt: skip


# What a record says goes into the tip as text, so it is escaped there.
_MARK_TEXT: Final = (
    "p => { const safe = t => String(t).replace(/[&<>\"']/g, c => '&#' + c.charCodeAt(0) + ';');"
    f" const at = ({_MOMENT})(p.value[0]);"
    " return '<b>' + safe(p.value[1]) + '</b> ' + at + '<br>' + p.data.reasons.map(safe).map("
    "t => '<div style=\"max-width:26rem;white-space:normal\">' + t + '</div>').join(''); }"
)


# ---- lives of nodes -------------------------------------------------------------------------------------------------

_LIFE_COLOURS: Final = {
    STARTING: "--dim", REQUESTED: "--idle", BOOTING: "--busy", READY: "--good", DRAINING: "--warn",
}  # fmt: skip
LINE_PX: Final = 14
_DRAW_LIFE: Final = (
    "(params, api) => { const y = api.coord([0, api.value(0)])[1], h = Math.max(3, api.size([0, 1])[1] * 0.66);"
    " const x0 = api.coord([api.value(1), 0])[0], x1 = api.coord([api.value(2), 0])[0];"
    " const box = params.coordSys; const left = Math.max(box.x, x0), right = Math.min(box.x + box.width, x1);"
    " if (right < box.x || left > box.x + box.width) return null;"
    " return {type: 'rect', shape: {x: left, y: y - h / 2, width: Math.max(1.5, right - left), height: h, r: 2},"
    " style: {fill: api.visual('color')}}; }"
)
_LIFE_TEXT: Final = (
    "p => { const safe = t => String(t).replace(/[&<>\"']/g, c => '&#' + c.charCodeAt(0) + ';');"
    f" const time = {_MOMENT};"
    " return '<b>' + safe(p.data.node) + '</b> (' + safe(p.data.pool) + ')<br>' + safe(p.seriesName) + ' '"
    " + time(p.value[1]) + ' to ' + time(p.value[2]) + (p.data.why ? '<br>' + safe(p.data.why) : ''); }"
)


def lives_chart(lives: Lives) -> Options:
    """Return a line for each node, the newest at the top, with a bar for each part of its life."""
    names = [life.node for life in lives.shown]
    return {
        "animation": False,
        "grid": {"left": 84, "right": 16, "top": 28, "bottom": 52},
        "legend": {"top": 0, "left": 0, "itemWidth": 14, "itemHeight": 8, "textStyle": _ink()},
        "tooltip": _tooltip(trigger="item", formatter=None, **{":formatter": _LIFE_TEXT}),
        "xAxis": _time_axis(lives),
        "yAxis": {"type": "category", "data": names, "inverse": True, "axisTick": {"show": False},
                  **_axis_look(), "axisLabel": {**_ink(), "width": 72, "overflow": "truncate"}},
        "dataZoom": _zoom(0),
        "series": [_parts(lives.shown, stage) for stage in STAGES],
    }  # fmt: skip


def lives_height(lives: Lives) -> int:
    """Return how high the chart of lives has to be, in pixels."""
    return 96 + LINE_PX * max(4, len(lives.shown))


def _parts(lives: Sequence[Life], stage: str) -> Options:
    data = [
        {"value": [row, part.since * _MS, part.until * _MS], "node": life.node, "pool": life.pool, "why": part.why}
        for row, life in enumerate(lives)
        for part in life.parts
        if part.stage == stage
    ]
    return {
        "type": "custom", "name": stage.capitalize(), ":renderItem": _DRAW_LIFE, "data": data,
        "encode": {"x": [1, 2], "y": 0}, "itemStyle": {":color": colour(_LIFE_COLOURS[stage])},
    }  # fmt: skip


# ---- exported series ------------------------------------------------------------------------------------------------


_LINES: Final = (
    "#4c8dd6", "#e0803a", "#3fa76b", "#c75a9b", "#8a6fd1", "#b8941f", "#2f9fad", "#d1605d", "#7d8a99", "#7a9a3a",
)  # fmt: skip
"""Told from each other, and from the page, in light and dark."""


def series_chart(drawn: Drawn) -> Options:
    """Return a line for each series. What they are called is text, which the chart escapes."""
    names = [line.name for line in drawn.lines]
    return {
        "animation": False,
        "color": list(_LINES),
        "grid": {"left": 64, "right": 16, "top": 34, "bottom": 52},
        "legend": [_legend(0, names)],
        "tooltip": _tooltip(trigger="axis", axisPointer={"type": "line"}),
        "xAxis": _time_axis(drawn),
        "yAxis": {"type": "value", "scale": True, "splitNumber": 4, **_axis_look()},
        "dataZoom": _zoom(0),
        "series": [
            {"type": "line", "name": line.name, "showSymbol": len(line.points) == 1, "lineStyle": {"width": 1.5},
             "data": [[at * _MS, value] for at, value in line.points]}
            for line in drawn.lines
        ],
    }  # fmt: skip
