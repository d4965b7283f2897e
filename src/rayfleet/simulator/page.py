"""The comparison as one page that a person enjoys looking at: no network, no other files, light and dark.

Curves are drawn here as SVG; a small script shows the values under the pointer. Equal comparisons give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np

from rayfleet.simulator.compare import Comparison
from rayfleet.simulator.findings import of_cost, of_use, of_waits, title, versus
from rayfleet.simulator.gantt import gantt
from rayfleet.simulator.run import Ran
from rayfleet.simulator.svg import BOTTOM, END, TOP, Frame, chart
from rayfleet.simulator.table import duration, headline, lines

COLOURS: Final = 8
_POOLS_FROM: Final = 3
_HOUR_S: Final = 3600.0
_WAIT_POINTS: Final = 100


def page(compared: Comparison) -> str:
    """Return the whole page as HTML."""
    told = compared.as_json()
    until_s = max(result["end_s"] for result in told["results"])
    pools = sorted({span.pool for ran in compared.runs for span in ran.tally.spans})
    # Pools begin with other colours than policies do, so that nothing looks like what it is not.
    colours = {pool: (n + _POOLS_FROM) % COLOURS for n, pool in enumerate(pools)}
    results = told["results"]
    most = _most_units(results)
    body = [
        _head(told),
        _cards(told),
        _section(of_cost(results), "", _costs(told, until_s)),
        _section(of_waits(results), "How many of a hundred tasks wait longer than so long.", _waits(compared)),
        *(
            _timeline(result, ran, _Scale(until_s, *most), colours)
            for result, ran in zip(results, compared.runs, strict=True)
        ),
        _section("All figures", "", _table(told)),
        _world(told),
    ]
    return _document(told, "".join(body))


def _document(told: dict[str, Any], body: str) -> str:
    style, script = (files("rayfleet.simulator").joinpath(name).read_text(encoding="utf-8") for name in _PARTS)
    name = f"Simulation: {escape(told['trace']['name'])}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head>'
        f"<body><main>{body}</main><script>{script}</script></body></html>\n"
    )


_PARTS: Final = ("page.css", "page.js")


def _section(heading: str, text: str, inner: str) -> str:
    note = f'<p class="note">{text}</p>' if text else ""
    return f"<section><h2>{escape(heading)}</h2>{note}{inner}</section>"


def _head(told: dict[str, Any]) -> str:
    return f"<header><h1>{escape(title(told['results']))}</h1><p>{escape(headline(told))}</p></header>"


# ---- cards --------------------------------------------------------------------------------------------------------


def _cards(told: dict[str, Any]) -> str:
    cheapest = min(result["usd"] for result in told["results"])
    return f'<div class="cards">{"".join(_card(n, r, cheapest) for n, r in enumerate(told["results"]))}</div>'


def _card(number: int, result: dict[str, Any], cheapest: float) -> str:
    used = result["utilisation"].get("CPU", 0.0)
    small = [
        ("waits (95 %)", duration(result["wait_s"]["p95"])),
        ("late", f"{result['late']['share']:.1%}"),
        ("CPUs in use", f"{used:.0%}"),
        ("launched", f"{result['machines']['launched']:,}"),
        ("at most", f"{result['machines']['peak']:,} machines"),
        ("not done", f"{result['tasks']['left']:,}"),
    ]
    facts = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in small)
    return (
        f'<article class="card c{number % COLOURS}"><h3>{escape(result["name"])}</h3>'
        f'<p class="big">${result["usd"]:,.2f}</p><p class="versus">{versus(result["usd"], cheapest)}</p>'
        f'<div class="meter" title="CPUs in use: {used:.0%}"><i style="width:{min(1.0, used):.1%}"></i></div>'
        f"<dl>{facts}</dl></article>"
    )


# ---- charts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Words:
    """What a chart's axes are, and the unit of its values under the pointer."""

    values: str
    times: str = "since the beginning"
    unit: str = ""


def _plot(
    frame: Frame, series: Sequence[tuple[str, str, list[float], float]], words: _Words, also: Sequence[str] = ()
) -> str:
    """Return a chart of (name, class, values, seconds per value), named at their ends; the pointer shows values."""
    parts = [frame.axes(words.values, words.times), *also]
    for _, css, values, step_s in series:
        if "area" in css:
            parts.append(f'<path class="{css}" d="{frame.area(values, step_s)}"/>')
        parts.append(f'<path class="{css.replace("area", "line")}" d="{frame.line(values, step_s)}"/>')
    parts += [frame.ends(series), '<path class="cross" d=""/>']
    shown = [
        {"name": name, "css": css, "step": round(step, 3), "values": [float(f"{value:.4g}") for value in values]}
        for name, css, values, step in series
    ]
    plot = {"until": round(frame.until_s, 3), "right": frame.right, "unit": words.unit, "series": shown}
    data = escape(json.dumps(plot, separators=(",", ":")))
    return (
        f'<figure class="plot" data-plot="{data}"><figcaption><output></output></figcaption>'
        f"{chart(escape(words.values), frame.height, parts)}</figure>"
    )


def _costs(told: dict[str, Any], until_s: float) -> str:
    series = []
    for n, result in enumerate(told["results"]):
        curves = result["curves"]
        sums = np.cumsum(np.array(curves["usd_per_hour"]) * curves["step_s"] / _HOUR_S)
        series.append((result["name"], f"line c{n % COLOURS}", [float(value) for value in sums], curves["step_s"]))
    top = max((max(values, default=0.0) for _, _, values, _ in series), default=0.0)
    return _plot(Frame(until_s, top * 1.05, 250, END), series, _Words("USD so far"))


def _waits(compared: Comparison) -> str:
    """Return the share of tasks that wait longer than each time, up to what nearly none exceeds."""
    longest = max((ran.tally.wait_percentiles((99.7,))[0] for ran in compared.runs), default=0.0)
    until = max(longest, compared.runs[0].setting.scene.wait_goal_s)
    edges = tuple(n * until / _WAIT_POINTS for n in range(_WAIT_POINTS))
    series = [
        (
            ran.setting.name,
            f"line c{n % COLOURS}",
            [100 * s for s in ran.tally.waiting_longer(edges)],
            until / _WAIT_POINTS,
        )
        for n, ran in enumerate(compared.runs)
    ]
    top = max(max(values) for _, _, values, _ in series)
    frame = Frame(until, max(top * 1.05, 0.1), 230, END)
    goal_s = compared.runs[0].setting.scene.wait_goal_s
    return _plot(frame, series, _Words("% of tasks", "of waiting", "%"), [_goal(frame, goal_s)])


def _goal(frame: Frame, goal_s: float) -> str:
    """Return the line behind which work is late."""
    x = frame.x(goal_s)
    words = f"late after {duration(goal_s)}"
    text = f'<text class="tick" x="{x - 6:.1f}" y="{TOP + 4}" text-anchor="end">{words}</text>'
    return f'<path class="goal" d="M{x:.1f} {TOP}V{frame.height - BOTTOM}"/>{text}'


class _Scale(NamedTuple):
    """What all timelines share, so that they can be compared by eye: their length, and the most of each curve."""

    until_s: float
    units: float
    waiting: float


def _resource(result: dict[str, Any]) -> str:
    return "GPU" if "used GPU" in result["curves"] and "CPU" not in result["utilisation"] else "CPU"


def _most_units(results: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return the most that any policy paid for or used, and the most tasks that waited with any."""
    units = [v for r in results for word in ("paid", "used") for v in r["curves"].get(f"{word} {_resource(r)}", [])]
    return max([1.0, *units]), max([1.0, *(value for result in results for value in result["curves"]["waiting"])])


def _timeline(result: dict[str, Any], ran: Ran, scale: _Scale, colours: dict[str, int]) -> str:
    curves, step_s, resource = result["curves"], result["curves"]["step_s"], _resource(result)
    paid, used = curves.get(f"paid {resource}", []), curves.get(f"used {resource}", [])
    first = _plot(
        Frame(scale.until_s, scale.units * 1.05, right=END),
        [("paid for", "area paid", paid, step_s), ("in use", "area used", used, step_s)],
        _Words(f"{resource}s"),
    )
    second = _plot(
        Frame(scale.until_s, scale.waiting * 1.05, 150, END),
        [("waiting", "area wait", curves["waiting"], step_s)],
        _Words("tasks"),
    )
    drawn = gantt(ran.tally.spans, scale.until_s, colours)
    told = f' data-gantt="{escape(drawn.told)}"' if drawn.told else ""
    machines = (
        f'<h4>Machines</h4><p class="note">{drawn.caption}; pale while they boot, a red edge where one was taken '
        f"away or broke.</p><figure{told}><figcaption><output></output></figcaption>{drawn.svg}</figure>"
    )
    return _section(of_use(result, resource), "", first + second + machines)


# ---- figures ------------------------------------------------------------------------------------------------------


def _table(told: dict[str, Any]) -> str:
    heads = "".join(f"<th>{escape(result['name'])}</th>" for result in told["results"])
    rows = []
    for line in lines(told):
        cells = "".join(
            f'<td class="best">{cell}</td>' if n in line.best else f"<td>{cell}</td>"
            for n, cell in enumerate(line.cells)
        )
        rows.append(f"<tr><th>{line.label}</th>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _world(told: dict[str, Any]) -> str:
    text = escape(json.dumps({"tick_s": told["tick_s"], **told["world"]}, indent=1))
    return f"<details><summary>The pretend world</summary><pre>{text}</pre></details>"
