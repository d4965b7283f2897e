"""Writes deploy/grafana/*.json, the dashboards; `--check` only says whether they are up to date.

python scripts/grafana.py [--check]
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN = 'Namespace=~"$Namespace",RayClusterName=~"$RayClusterName",SessionName=~"$SessionName"'
"""What every query of a cluster's dashboard asks for; `%` stands for it in the queries below."""
GRID, HALF, THIRD, SIXTH = 24, 12, 8, 4

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One query, and how its series are called."""

    expr: str
    legend: str = ""

    def text(self) -> str:
        """Return what Prometheus is asked."""
        return self.expr.replace("{%", "{" + CHOSEN)


@dataclass(frozen=True)
class Panel:
    """One picture: a kind of Grafana's, its size in units of the grid, and what it shows."""

    title: str
    text: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = HALF
    stacked: bool = False
    bad_from: float | None = None
    mappings: tuple[tuple[str, str, str], ...] = field(default=())


def stat(title: str, text: str, expr: str, unit: str = "short", **more: Any) -> Panel:
    """Return one number, as it is now."""
    return Panel(title, text, (Query(expr),), "stat", unit, SIXTH, **more)


def quantiles(name: str, by: str, over: str = "$__rate_interval") -> tuple[Query, ...]:
    """Return median and 95th percentile of a histogram."""
    labels = f"{by}, le" if by else "le"
    legend = "{{" + by + "}} " if by else ""
    return tuple(
        Query(f"histogram_quantile({q}, sum by ({labels}) (rate({name}_bucket{{%}}[{over}])))", f"{legend}{word}")
        for q, word in ((0.5, "median"), (0.95, "95 %"))
    )


UP_OR_DOWN = (("0", "down", "red"), ("1", "up", "green"))

OVERVIEW = (
    stat("Head", "Whether Ray on the head answers.", "min(rayfleet_engine_up{%})", mappings=UP_OR_DOWN),
    stat(
        "Last tick", "How long ago the controller last looked.",
        "time() - max(rayfleet_last_tick_timestamp_seconds{%})", "s", bad_from=60.0,
    ),
    stat("Nodes", "Nodes that run Ray.", "sum(autoscaler_active_nodes{%})"),
    stat("On their way", "Nodes that are asked for or boot.", "sum(autoscaler_pending_nodes{%})"),
    stat(
        "Unmet for", "How long the oldest work has been waiting that nothing will serve.",
        'max(rayfleet_unmet_demand_age_seconds{%,kind!="buffer"})', "s", bad_from=300.0,
    ),
    stat("Cost", "What all machines cost now.", "sum(rayfleet_cost_usd_per_hour{%})", "currencyUSD"),
)  # fmt: skip

DEMAND = (
    Panel(
        "What waits", "Tasks and actors, gangs and requested bundles that have no place yet.",
        (Query("sum by (kind) (rayfleet_pending_demand{%})", "{{kind}}"),), stacked=True,
    ),
    Panel(
        "What will not be served, and why", "By the plan's reason; `rayfleet why CODE` explains each.",
        (Query("sum by (kind, reason) (rayfleet_unmet_demand{%}) or vector(0)", "{{kind}}: {{reason}}"),), stacked=True,
    ),
    Panel(
        "How long it waits", "The oldest of each kind; of all, and of what will not be served.",
        (
            Query("max by (kind) (rayfleet_pending_demand_age_seconds{%})", "{{kind}}"),
            Query("max by (kind) (rayfleet_unmet_demand_age_seconds{%})", "{{kind}}, unmet"),
        ),
        unit="s",
    ),
    Panel(
        "From demand to launch", "From Ray's answer that something waits to the provider being asked.",
        quantiles("rayfleet_demand_to_launch_seconds", "", "1h"), unit="s",
    ),
)  # fmt: skip

NODES = (
    Panel("Nodes by phase", "All machines, by where they are in their lives.",
          (Query("sum by (phase) (rayfleet_nodes{%})", "{{phase}}"),), stacked=True),
    Panel("Nodes by pool", "Machines that work.",
          (Query('sum by (pool, market) (rayfleet_nodes{%,phase="READY"})', "{{pool}} {{market}}"),), stacked=True),
    Panel("CPUs", "Used, free, and on their way.",
          (Query('sum by (state) (rayfleet_resources{%,resource="CPU"})', "{{state}}"),), stacked=True),
    Panel("Memory", "Used, free, and on its way.",
          (Query('sum by (state) (rayfleet_resources{%,resource="memory"})', "{{state}}"),), unit="bytes",
          stacked=True),
    Panel(
        "Launched", "Machines that were asked for, by reason.",
        (Query("sum by (pool, reason) (increase(rayfleet_launched_nodes_total{%}[$__rate_interval])) > 0 or vector(0)",
               "{{pool}}: {{reason}}"),),
    ),
    Panel(
        "Gone", "Machines that are gone, by reason.",
        (Query("sum by (pool, reason) (increase(rayfleet_gone_nodes_total{%}[$__rate_interval])) > 0 or vector(0)",
               "{{pool}}: {{reason}}"),),
    ),
    Panel(
        "How drains end", "In time, by force at their deadline, or refused.",
        (Query("sum by (outcome) (increase(rayfleet_drain_outcomes_total{%}[$__rate_interval]))", "{{outcome}}"),),
    ),
    Panel("Recently failed", "Nodes that could not be had, did not join or died within ten minutes.",
          (Query("sum by (NodeType) (autoscaler_recently_failed_nodes{%})", "{{NodeType}}"),)),
)  # fmt: skip

PLACES = (
    Panel("Boot time", "From a launch that was decided to the node in Ray.",
          quantiles("rayfleet_node_boot_seconds", "pool", "1h"), unit="s"),
    Panel("Launch calls", "From a launch that was decided to the provider's yes.",
          quantiles("rayfleet_launch_seconds", "pool", "1h"), unit="s"),
    Panel(
        "Calls", "Calls of providers and of Ray, by how they ended.",
        (Query("sum by (provider, call, result) (increase(rayfleet_api_calls_total{%}[$__rate_interval])) > 0 "
               "or vector(0)",
               "{{provider}} {{call}}: {{result}}"),),
    ),
    Panel(
        "Failures and stock-outs", "Launch calls that failed, by pool and kind of failure.",
        (Query("sum by (pool, trouble) (increase(rayfleet_launch_failures_total{%}[$__rate_interval])) > 0 "
               "or vector(0)",
               "{{pool}}: {{trouble}}"),
         Query("sum(increase(rayfleet_stock_outs_total{%}[$__rate_interval])) or vector(0)", "stock-outs")),
    ),
    Panel("Offers", "Ways of getting a machine, and those that are not asked just now.",
          (Query("sum by (pool) (rayfleet_pool_offers{%})", "{{pool}}"),
           Query("sum by (pool, trouble) (rayfleet_pool_offers_backed_off{%}) or vector(0)", "{{pool}}: {{trouble}}"))),
    Panel("Asked again in", "For how long an offer is not asked yet.",
          (Query("max by (pool, zone, market, trouble) (rayfleet_offer_backoff_seconds{%}) or vector(0)",
                 "{{pool}} {{zone}} {{market}}: {{trouble}}"),), unit="s"),
)  # fmt: skip

MONEY = (
    Panel(
        "Cost and budget",
        "What all machines with a known price cost, would cost on demand, and may cost, if there is a budget.",
        (Query("sum(rayfleet_cost_usd_per_hour{%})", "cost"),
         Query("sum(rayfleet_on_demand_usd_per_hour{%})", "the same on demand"),
         Query("sum(rayfleet_budget_usd_per_hour{%})", "budget")),
        unit="currencyUSD", width=THIRD,
    ),
    Panel(
        "Today", "Spent since midnight (UTC), and the day's budget, if there is one.",
        (Query("sum(rayfleet_spent_today_usd{%})", "spent"),
         Query("sum(rayfleet_budget_usd_per_day{%})", "budget")),
        unit="currencyUSD", width=THIRD,
    ),
    Panel("Prices", "What a machine of each offer costs an hour, where that is known.",
          (Query("max by (pool, zone, market) (rayfleet_offer_usd_per_hour{%})", "{{pool}} {{zone}} {{market}}"),),
          unit="currencyUSD", width=THIRD),
)  # fmt: skip

CONTROLLER = (
    Panel("Ticks", "How long the parts of a tick take.", quantiles("rayfleet_tick_seconds", "part"), unit="s"),
    Panel(
        "What happens", "Events as `rayfleet history` shows them, by kind.",
        (Query("sum by (kind) (increase(rayfleet_events_total{%}[$__rate_interval]))", "{{kind}}"),),
    ),
    Panel(
        "Trouble", "Edges that do not answer, ticks that fail, findings, and a ledger that cannot be written.",
        (
            Query("max(rayfleet_troubles{%})", "edges in trouble"),
            Query("sum(increase(autoscaler_update_loop_exceptions_total{%}[$__rate_interval]))", "failed ticks"),
            Query("sum by (code) (rayfleet_open_findings{%}) or vector(0)", "finding {{code}}"),
            Query("1 - min(rayfleet_ledger_saved{%})", "ledger not saved"),
        ),
    ),
    Panel("The controller's memory", "Resident memory of its process.",
          (Query("max(process_resident_memory_bytes{%})", "memory"),), unit="bytes", width=HALF // 2),
    Panel("The controller's processor time", "Cores that it uses.",
          (Query("sum(rate(process_cpu_seconds_total{%}[$__rate_interval]))", "cores"),), width=HALF // 2),
)  # fmt: skip

ROWS = {
    "Now": OVERVIEW, "Demand": DEMAND, "Nodes": NODES, "Places": PLACES, "Money": MONEY, "Controller": CONTROLLER
}  # fmt: skip

BY_CLUSTER = "by (Namespace, RayClusterName)"
LEGEND = "{{Namespace}}/{{RayClusterName}}"
FLEET = {
    "All clusters": (
        Panel("Nodes", "Nodes that run Ray.", (Query(f"sum {BY_CLUSTER} (autoscaler_active_nodes{{%}})", LEGEND),),
              stacked=True),
        Panel("Cost", "What all machines cost now.",
              (Query(f"sum {BY_CLUSTER} (rayfleet_cost_usd_per_hour{{%}})", LEGEND),), unit="currencyUSD",
              stacked=True),
        Panel("Work that nothing will serve", "How long the oldest of it has been waiting.",
              (Query(f'max {BY_CLUSTER} (rayfleet_unmet_demand_age_seconds{{%,kind!="buffer"}})', LEGEND),), unit="s"),
        Panel("Heads", "1: Ray on the head answers.",
              (Query(f"min {BY_CLUSTER} (rayfleet_engine_up{{%}})", LEGEND),)),
        Panel("Since the last tick", "How long ago each controller last looked.",
              (Query(f"time() - max {BY_CLUSTER} (rayfleet_last_tick_timestamp_seconds{{%}})", LEGEND),), unit="s"),
        Panel("Failed launches", "Launch calls that failed, by cluster.",
              (Query(f"sum {BY_CLUSTER} (increase(autoscaler_node_launch_exceptions_total{{%}}[$__rate_interval]))",
                     LEGEND),)),
    ),
}  # fmt: skip


def drawn(panel: Panel, number: int, at: tuple[int, int], height: int) -> Json:
    """Return a panel as Grafana has it. `at`: where its corner is, in units of the grid."""
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query.text(), "legendFormat": query.legend}
        for index, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": {"x": at[0], "y": at[1], "w": panel.width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": defaults(panel), "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
        if panel.kind == "timeseries"
        else {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "area"},
    }


def defaults(panel: Panel) -> Json:
    """Return how a panel's values are shown."""
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    shown: Json = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.mappings:
        options = {value: {"text": text, "color": colour} for value, text, colour in panel.mappings}
        shown["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        shown["custom"] = {
            "fillOpacity": 25 if panel.stacked else 8,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "showPoints": "never",
        }
    return shown


def laid_out(rows: Mapping[str, tuple[Panel, ...]]) -> Iterator[Json]:
    """Yield all panels in their places, each row under its heading."""
    number, y = 1, 0
    for heading, panels in rows.items():
        yield {
            "id": number, "type": "row", "title": heading, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": GRID, "h": 1},
        }  # fmt: skip
        number, y, x = number + 1, y + 1, 0
        height = 4 if all(panel.kind == "stat" for panel in panels) else 8
        for panel in panels:
            if x + panel.width > GRID:
                x, y = 0, y + height
            yield drawn(panel, number, (x, y), height)
            number, x = number + 1, x + panel.width
        y += height


def variable(name: str, label: str, before: Iterable[str]) -> Json:
    """Return a variable with the values that one label has. `before`: those that narrow it down."""
    narrowed = ",".join(f'{other}=~"${other}"' for other in before)
    query = f"label_values(rayfleet_info{{{narrowed}}}, {name})"
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": query,
        "query": {"query": query, "refId": name}, "refresh": 2, "sort": 2, "includeAll": True, "allValue": ".*",
        "multi": True, "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def dashboard(uid: str, title: str, rows: Mapping[str, tuple[Panel, ...]], variables: list[Json]) -> Json:
    """Return a whole dashboard."""
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}
    return {
        "uid": uid,
        "title": title,
        "tags": ["ray", "rayfleet"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "panels": list(laid_out(rows)),
    }


def dashboards() -> dict[str, Json]:
    """Return every dashboard by the name of its file."""
    variables = [
        variable("Namespace", "Namespace", ()),
        variable("RayClusterName", "Cluster", ("Namespace",)),
        variable("SessionName", "Session", ("Namespace", "RayClusterName")),
    ]
    return {
        "rayfleet-cluster.json": dashboard("rayfleet-cluster", "rayfleet: a cluster", ROWS, variables),
        "rayfleet-fleet.json": dashboard("rayfleet-fleet", "rayfleet: all clusters", FLEET, variables),
    }


def written(of: Json) -> str:
    """Return a dashboard as its file has it."""
    return json.dumps(of, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check the files; return the exit code."""
    stale = []
    for name, of in dashboards().items():
        path = FOLDER / name
        if arguments == ["--check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != written(of):
                stale.append(name)
        else:
            path.write_text(written(of), encoding="utf-8")
    for name in stale:
        print(f"deploy/grafana/{name} is not what its program says: python scripts/grafana.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
