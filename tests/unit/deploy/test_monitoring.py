"""Dashboards and rules ask only for what the exporter's own table has, by labels that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from scripts import grafana
from tests.unit.deploy.promql import named

from rayfleet.reports.metrics.families import COMMON, FAMILIES

DEPLOY = Path(__file__).parents[3] / "deploy"
TARGET = {"instance", "job"}
"""Labels that Prometheus itself gives."""
KNOWN = {name: {*family.labels, *COMMON, "le"} for family in FAMILIES for name in family.series()}
KNOWN |= {name: set(COMMON) for name in ("process_resident_memory_bytes", "process_cpu_seconds_total")}
KNOWN |= {"up": TARGET}
VARIABLES = ["datasource", *COMMON]


def rules() -> list[dict[str, Any]]:
    found = YAML(typ="safe").load((DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """Yield every query of dashboards and rules, with its name."""
    for file, of in grafana.dashboards().items():
        for panel in of["panels"]:
            yield from ((f"{file}: {panel['title']}", target["expr"]) for target in panel.get("targets", ()))
        for variable in of["templating"]["list"][1:]:
            yield f"{file}: ${variable['name']}", variable["query"]["query"]
    for rule in rules():
        yield f"rules.yml: {rule.get('alert') or rule['record']}", rule["expr"]


@pytest.mark.parametrize(("name", "query"), list(queries()), ids=[name for name, _ in queries()])
def test_a_query_asks_for_what_is_exported(name: str, query: str) -> None:
    asked = named(query)
    metrics = {metric: labels for metric, labels in asked.selected.items() if metric not in COMMON}
    assert metrics
    assert metrics.keys() <= KNOWN.keys()
    assert [metric for metric, labels in metrics.items() if labels - KNOWN[metric] - TARGET] == []
    everywhere = set.union(*(KNOWN[metric] for metric in metrics)) | TARGET
    assert asked.labels <= everywhere


@pytest.mark.parametrize("file", grafana.dashboards())
def test_a_dashboard_is_what_its_program_writes(file: str) -> None:
    assert (DEPLOY / "grafana" / file).read_text(encoding="utf-8") == grafana.written(grafana.dashboards()[file])


@pytest.mark.parametrize("file", grafana.dashboards())
def test_a_dashboard_has_the_three_variables_and_every_query_asks_by_them(file: str) -> None:
    of = grafana.dashboards()[file]
    assert [variable["name"] for variable in of["templating"]["list"]] == VARIABLES
    for panel in of["panels"]:
        for target in panel.get("targets", ()):
            for metric, labels in named(target["expr"]).selected.items():
                assert labels >= set(COMMON), f"{panel['title']}: {metric}"


@pytest.mark.parametrize("file", grafana.dashboards())
def test_panels_have_names_of_their_own_and_do_not_lie_on_each_other(file: str) -> None:
    panels = grafana.dashboards()[file]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_family_of_ours_is_shown_or_alerted_on_or_only_for_looking_up() -> None:
    """A figure that nobody looks at is not worth its series; limits and Ray's own counters are for users' queries."""
    used = {metric for _, query in queries() for metric in named(query).selected}
    unused = {family.name for family in FAMILIES if not {family.name, *family.series()} & used}
    assert {name for name in unused if name.startswith("rayfleet_")} == {
        "rayfleet_last_tick_failed", "rayfleet_orders", "rayfleet_ticks_total", "rayfleet_drains_total",
        "rayfleet_pool_min_nodes", "rayfleet_pool_max_nodes", "rayfleet_max_nodes", "rayfleet_unpriced_nodes",
    }  # fmt: skip


def test_what_may_not_be_set_is_not_shown_as_0() -> None:
    """A cluster without a budget has none; a line at 0 would say that nothing may be spent."""
    unset = {"rayfleet_budget_usd_per_hour", "rayfleet_budget_usd_per_day", "rayfleet_offer_usd_per_hour"}
    asking = [query for name, query in queries() if name.endswith((": Cost and budget", ": Today", ": Prices"))]
    assert unset <= {metric for query in asking for metric in named(query).selected}
    assert [query for _, query in queries() if named(query).selected.keys() & unset and "vector(" in query] == []


@pytest.mark.parametrize("rule", [rule for rule in rules() if "alert" in rule], ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch("Rayfleet[A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert {*rule["annotations"]} == {"summary", "description"}
    assert "RayClusterName" in rule["annotations"]["summary"]
    shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    assert shown <= {*named(rule["expr"]).labels, "RayClusterName"}


def test_samples_of_prometheus_and_alertmanager_name_these_rules() -> None:
    prometheus, alertmanager = (
        YAML(typ="safe").load((DEPLOY / "prometheus" / name).read_text(encoding="utf-8"))
        for name in ("prometheus.yml", "alertmanager.yml")
    )
    assert prometheus["rule_files"] == ["rules.yml"]
    named_alerts = set(re.findall(r"Rayfleet[A-Z]\w+", json.dumps(alertmanager)))
    assert named_alerts <= {rule.get("alert") for rule in rules()}


@pytest.mark.parametrize(
    ("query", "metrics", "labels"),
    [
        ("up == 0", {"up": set()}, set()),
        ('sum by (a, le) (rate(x_total{b="1,}"}[5m])) or vector(0)', {"x_total": {"b"}}, {"a", "le"}),
        ('x > 0 unless x{a="b"} offset 15m', {"x": {"a"}}, set()),
        ('y and on (instance) z{c!~"d"}', {"y": set(), "z": {"c"}}, {"instance"}),
    ],
)  # fmt: skip
def test_what_a_query_names_is_found(query: str, metrics: dict[str, set[str]], labels: set[str]) -> None:
    found = named(query)
    assert found.selected == metrics
    assert found.labels == labels


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="no functions"):
        named("summ(x)")
