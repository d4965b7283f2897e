"""The table of families: names and units as Prometheus' users expect them, and Ray's own names unchanged."""

from __future__ import annotations

import re

import pytest

from rayfleet.reports.metrics.families import COMMON, FAMILIES, Family, Kind

BASE_UNITS = {"seconds": "_seconds", "USD per hour": "_usd_per_hour", "USD": "_usd"}
RAYS = {  # of Ray's generated dashboards, and of its own autoscaler: name -> labels beside SessionName
    "autoscaler_active_nodes": ("NodeType",),
    "autoscaler_pending_nodes": ("NodeType",),
    "autoscaler_recently_failed_nodes": ("NodeType",),
    "autoscaler_cluster_resources": ("resource",),
    "autoscaler_pending_resources": ("resource",),
    "autoscaler_update_time_seconds": (),
    "autoscaler_worker_create_node_time_seconds": (),
    "autoscaler_started_nodes_total": (),
    "autoscaler_stopped_nodes_total": (),
    "autoscaler_failed_create_nodes_total": (),
}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_named_as_prometheus_wants_it(family: Family) -> None:
    assert re.fullmatch(r"(rayfleet|autoscaler)_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
    assert list(family.buckets) == sorted(set(family.buckets))
    end = BASE_UNITS.get(family.unit, "")
    assert family.name.endswith(end) or family.name == "rayfleet_budget_usd_per_day"
    assert family.text.endswith(".")
    assert not set(family.labels) & set(COMMON)


def test_no_name_is_there_twice() -> None:
    """Neither as it is written, nor as OpenMetrics has it, where a counter is called without its end."""
    names = [family.name.removesuffix("_total") for family in FAMILIES]
    assert sorted(names) == sorted(set(names))
    series = [name for family in FAMILIES for name in family.series()]
    assert len(series) == len(set(series))


@pytest.mark.parametrize(("name", "labels"), RAYS.items())
def test_ray_s_own_names_are_exported(name: str, labels: tuple[str, ...]) -> None:
    (family,) = (family for family in FAMILIES if family.name == name)
    assert family.labels == labels


def test_labels_are_bounded() -> None:
    """Each is a name of the cluster's file, or of a fixed list of words; no id, no shape, no message."""
    named = {"NodeType", "pool", "provider", "region", "zone", "market", "resource", "version", "place"}
    words = {"kind", "part", "code", "call", "result", "reason", "phase", "state", "trouble", "outcome"}
    assert {label for family in FAMILIES for label in family.labels} == named | words
