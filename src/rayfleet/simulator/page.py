"""The comparison as one page that a person enjoys looking at: no network, no other files, light and dark.

Curves are drawn here as SVG; a small script shows the values under the pointer. Equal comparisons give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

import numpy as np

from rayfleet.simulator.compare import Comparison
from rayfleet.simulator.gantt import gantt
from rayfleet.simulator.run import Ran
from rayfleet.simulator.svg import Frame, chart
from rayfleet.simulator.table import duration, headline, lines

COLOURS: Final = 8
_HOUR_S: Final = 3600.0
_WAIT_POINTS: Final = 100


def page(compared: Comparison) -> str:
    """Return the whole page as HTML."""
    told = compared.as_json()
    until_s = max(result["end_s"] for result in told["results"])
    pools = sorted({span.pool for ran in compared.runs for span in ran.tally.spans})
    colours = {pool: n % COLOURS for n, pool in enumerate(pools)}
    body = [
        _head(told),
        _cards(told),
        _section("Where the money goes", "Cost so far, in USD.", _costs(told, until_s)),
        _section("Who waits how long", "Share of tasks that wait longer than so many seconds.", _waits(compared)),
        *(_timeline(result, ran, until_s, colours) for result, ran in zip(told["results"], compared.runs, strict=True)),
        _section("All figures", "", _table(told)),
        _world(told),
    ]
    return _document(told, "".join(body))


def _document(told: dict[str, Any], body: str) -> str:
    style, script = (files("rayfleet.simulator").joinpath(name).read_text(encoding="utf-8") for name in _PARTS)
    title = f"Simulation: {escape(told['trace']['name'])}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head>'
        f"<body><main>{body}</main><script>{script}</script></body></html>\n"
    )


_PARTS: Final = ("page.css", "page.js")


def _section(title: str, text: str, inner: str) -> str:
    note = f'<p class="note">{text}</p>' if text else ""
    return f"<section><h2>{title}</h2>{note}{inner}</section>"


def _head(told: dict[str, Any]) -> str:
    names = " · ".join(escape(result["name"]) for result in told["results"])
    return f"<header><h1>{names}</h1><p>{escape(headline(told))}</p></header>"


# ---- cards --------------------------------------------------------------------------------------------------------


def _cards(told: dict[str, Any]) -> str:
    cheapest = min(result["usd"] for result in told["results"])
    return f'<div class="cards">{"".join(_card(n, r, cheapest) for n, r in enumerate(told["results"]))}</div>'


def _card(number: int, result: dict[str, Any], cheapest: float) -> str:
    more = result["usd"] / cheapest - 1 if cheapest else 0.0
    versus = "the cheapest" if more <= 0 else f"{more:+.0%} to the cheapest"
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
        f'<p class="big">${result["usd"]:,.2f}</p><p class="versus">{versus}</p>'
        f'<div class="meter"><i style="width:{min(1.0, used):.1%}"></i></div><dl>{facts}</dl></article>'
    )


# ---- charts -------------------------------------------------------------------------------------------------------


def _plot(frame: Frame, series: Sequence[tuple[str, str, list[float], float]], label: str, unit: str = "") -> str:
    """Return a chart of (name, class, values, seconds per value) with a legend and values under the pointer."""
    parts = [frame.axes(label)]
    for _, css, values, step_s in series:
        if "area" in css:
            parts.append(f'<path class="{css}" d="{frame.area(values, step_s)}"/>')
        parts.append(f'<path class="{css.replace("area", "line")}" d="{frame.line(values, step_s)}"/>')
    parts.append('<path class="cross" d=""/>')
    shown = [
        {"name": name, "css": css, "step": round(step, 3), "values": [float(f"{value:.4g}") for value in values]}
        for name, css, values, step in series
    ]
    data = escape(json.dumps({"until": round(frame.until_s, 3), "unit": unit, "series": shown}, separators=(",", ":")))
    legend = "".join(f'<span class="{css}">{escape(name)}</span>' for name, css, _, _ in series)
    return (
        f'<figure class="plot" data-plot="{data}"><figcaption>{legend}<output></output></figcaption>'
        f"{chart(escape(label), frame.height, parts)}</figure>"
    )


def _costs(told: dict[str, Any], until_s: float) -> str:
    series = []
    for n, result in enumerate(told["results"]):
        curves = result["curves"]
        sums = np.cumsum(np.array(curves["usd_per_hour"]) * curves["step_s"] / _HOUR_S)
        series.append((result["name"], f"line c{n % COLOURS}", [float(value) for value in sums], curves["step_s"]))
    top = max((max(values, default=0.0) for _, _, values, _ in series), default=0.0)
    return _plot(Frame(until_s, top * 1.05, 220), series, "USD")


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
    return _plot(Frame(until, max(top * 1.05, 0.1), 200), series, "per cent", "%")


def _timeline(result: dict[str, Any], ran: Ran, until_s: float, colours: dict[str, int]) -> str:
    curves, step_s = result["curves"], result["curves"]["step_s"]
    resource = "GPU" if "used GPU" in curves and "CPU" not in result["utilisation"] else "CPU"
    paid, used = curves.get(f"paid {resource}", []), curves.get(f"used {resource}", [])
    top = max([*paid, *used, 1.0]) * 1.05
    first = _plot(
        Frame(until_s, top),
        [(f"{resource}s paid for", "area paid", paid, step_s), (f"{resource}s in use", "area used", used, step_s)],
        f"{resource}s",
    )
    waiting = curves["waiting"]
    second = _plot(
        Frame(until_s, max([*waiting, 1.0]) * 1.05, 110), [("tasks waiting", "area wait", waiting, step_s)], "tasks"
    )
    drawing, caption = gantt(ran.tally.spans, until_s, colours)
    seen = sorted({span.pool for span in ran.tally.spans})
    legend = "".join(f'<span class="c{colours[pool]}">{escape(pool)}</span>' for pool in seen)
    machines = (
        f'<h4>Machines</h4><p class="note">{caption}; pale while they boot, red where one was taken away.</p>'
        f"<figure><figcaption>{legend}</figcaption>{drawing}</figure>"
    )
    return _section(escape(result["name"]), "", first + second + machines)


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
