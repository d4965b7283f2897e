"""What a scrape shows: every series with the three labels by which dashboards choose, histograms that add up."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from tests.unit.reports.examples import QUIET, REPORT
from tests.unit.reports.metrics.seen import scraped

from rayfleet.reports.metrics.families import FAMILIES
from rayfleet.reports.metrics.sink import About, Metrics

ABOUT = About("demo", "team", "process", "1.2.3")


def shown(metrics: Metrics) -> dict[str, list[dict[str, object]]]:
    return scraped(generate_latest(metrics.registry).decode())


async def test_every_series_has_the_three_labels() -> None:
    metrics = Metrics(ABOUT, lambda: "session_1")
    await metrics.write(REPORT)
    wanted = {"Namespace": "team", "RayClusterName": "demo", "SessionName": "session_1"}
    found = shown(metrics)
    assert "process_resident_memory_bytes" in found
    assert {name for name, series in found.items() if any(one["common"] != wanted for one in series)} == set()


async def test_what_is_exported_is_what_the_table_says() -> None:
    metrics = Metrics(ABOUT, lambda: "")
    await metrics.write(REPORT)
    known = {name: {*family.labels} for family in FAMILIES for name in family.series()}
    for name, series in shown(metrics).items():
        if not name.startswith("process_"):
            assert {frozenset(one["own"]) - {"le"} for one in series} <= {frozenset(known[name])}, name  # type: ignore[call-overload]


async def test_before_the_first_report_it_tells_who_it_is_and_no_more() -> None:
    found = shown(Metrics(ABOUT, lambda: ""))
    assert found["rayfleet_info"][0]["own"] == {"version": "1.2.3", "place": "process"}
    assert found["rayfleet_ticks_total"][0]["value"] == 0
    assert "rayfleet_engine_up" not in found


async def test_the_first_of_everything_is_one_more_than_what_was_told_before_it() -> None:
    """A scrape before the first tick sees 0, so that `increase` over the first launch is 1 and not nothing."""
    metrics = Metrics(ABOUT, lambda: "")
    metrics.begin(REPORT.snapshot.policy)
    before = shown(metrics)
    for name in ("launched_nodes", "drains", "drain_outcomes", "gone_nodes", "api_calls", "events", "findings"):
        assert {one["value"] for one in before[f"rayfleet_{name}_total"]} == {0}, name
    await metrics.write(REPORT)
    after = {one["own"]["kind"]: one["value"] for one in shown(metrics)["rayfleet_events_total"]}  # type: ignore[index]
    assert after.keys() == {one["own"]["kind"] for one in before["rayfleet_events_total"]}  # type: ignore[index]
    assert after["launch"] == 1


async def test_the_session_is_the_one_that_is_known_when_somebody_asks() -> None:
    names = ["first"]
    metrics = Metrics(ABOUT, lambda: names[-1])
    await metrics.write(REPORT)
    shown(metrics)
    names.append("second")
    assert "first" not in generate_latest(metrics.registry).decode()


async def test_a_tick_that_fails_leaves_the_last_plan_in_sight() -> None:
    metrics = Metrics(ABOUT, lambda: "")
    await metrics.write(REPORT)
    await metrics.write(replace(QUIET, tick=18, error="Traceback\nboom", saved=False))
    found = shown(metrics)
    assert found["rayfleet_cost_usd_per_hour"][0]["value"] == 2.5
    assert found["rayfleet_last_tick_failed"][0]["value"] == 1
    assert found["rayfleet_ledger_saved"][0]["value"] == 0


async def test_a_histogram_ends_with_all_that_was_observed() -> None:
    metrics = Metrics(ABOUT, lambda: "")
    for _ in range(3):
        await metrics.write(REPORT)
    found = shown(metrics)
    buckets = [(one["own"], one["value"]) for one in found["autoscaler_update_time_seconds_bucket"]]
    assert buckets[0] == ({"le": "0.01"}, 3)  # 9 ms each
    assert buckets[-1] == ({"le": "+Inf"}, 3)
    assert found["autoscaler_update_time_seconds_count"][0]["value"] == 3


async def test_openmetrics_takes_it_too() -> None:
    metrics = Metrics(ABOUT, lambda: "")
    await metrics.write(REPORT)
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    text = encode(metrics.registry).decode()
    assert text.endswith("# EOF\n")
    assert "rayfleet_ticks_total{" in text
