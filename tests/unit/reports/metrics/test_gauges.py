"""How a cluster is now: each gauge from a report, and what is left out because nobody knows it."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.reports.examples import QUIET, REPORT
from tests.unit.reports.metrics.seen import by_labels

from rayfleet.model import (
    Backoff,
    Cost,
    FrozenMap,
    Market,
    NodeFact,
    OfferKey,
    Order,
    OrderKind,
    Phase,
    Plan,
    Resources,
    Spent,
    TickReport,
    Trouble,
)
from rayfleet.reports.metrics import families as of
from rayfleet.reports.metrics.gauges import is_decided, now_gauges, plan_gauges
from rayfleet.testing.snapshots import claim, offer, pool, snapshot


def test_the_newest_tick_is_told_whether_it_could_plan_or_not() -> None:
    samples = list(now_gauges(REPORT))
    assert by_labels(samples, of.LAST_TICK) == {(): REPORT.snapshot.now}
    assert by_labels(samples, of.ENGINE_UP) == {(): 1.0}
    assert by_labels(samples, of.TROUBLES) == {(): 1}
    broken = replace(QUIET, error="Traceback", saved=False)
    samples = list(now_gauges(broken))
    assert by_labels(samples, of.TICK_FAILED) == {(): 1.0}
    assert by_labels(samples, of.LEDGER_SAVED) == {(): 0.0}


def test_demand_by_kind_with_the_age_of_the_oldest() -> None:
    samples = list(now_gauges(REPORT))
    assert by_labels(samples, of.DEMAND) == {("tasks",): 5, ("gang",): 2, ("requested",): 8}
    assert by_labels(samples, of.DEMAND_AGE) == {("tasks",): 90.0, ("gang",): 0.0}


def test_while_ray_does_not_answer_demand_is_unknown_not_none() -> None:
    report = replace(REPORT, snapshot=replace(REPORT.snapshot, engine_up=False))
    now, planned = list(now_gauges(report)), list(plan_gauges(report))
    assert by_labels(now, of.ENGINE_UP) == {(): 0.0}
    for family in (of.DEMAND, of.DEMAND_AGE, of.UNMET, of.RAY_RESOURCES):
        assert by_labels([*now, *planned], family) == {}


def test_unmet_demand_is_counted_by_kind_and_reason() -> None:
    assert by_labels(plan_gauges(REPORT), of.UNMET) == {("tasks", "no_pool_fits"): 3}


def test_a_pool_without_machines_is_0_in_every_phase() -> None:
    report = TickReport(1, "demo", snapshot(pool("cpu4", 0.2, CPU=4)), Plan())
    nodes = by_labels(plan_gauges(report), of.NODES)
    assert nodes == {("cpu4", "on_demand", phase.value): 0 for phase in Phase if phase is not Phase.FAILED}
    assert by_labels(plan_gauges(report), of.RAY_ACTIVE) == {("cpu4",): 0}


def test_ray_s_own_gauges_count_hosts_that_run_and_hosts_on_their_way() -> None:
    cpu = OfferKey("cpu4", market=Market.ON_DEMAND)
    claims = (
        claim("head", "head", head=True),
        claim("a", cpu, hosts=2),
        claim("b", cpu, Phase.DRAINING),
        claim("c", cpu, Phase.BOOTING),
        claim("d", cpu, Phase.REQUESTED),
        claim("e", cpu, Phase.RELEASING),
    )
    scene = snapshot(pool("cpu4", 0.2, CPU=4), *claims, head=pool("head", CPU=0))
    samples = list(plan_gauges(TickReport(1, "demo", scene, Plan(claims=claims))))
    assert by_labels(samples, of.RAY_ACTIVE) == {("cpu4",): 3, ("head",): 1}
    assert by_labels(samples, of.RAY_PENDING) == {("cpu4",): 2, ("head",): 0}
    assert by_labels(samples, of.RAY_WORKERS) == {(): 3}
    assert by_labels(samples, of.RAY_PENDING_RESOURCES) == {("CPU",): 8}
    assert by_labels(samples, of.NODES)["cpu4", "on_demand", "RELEASING"] == 1


def test_resources_are_used_free_or_booting_and_those_of_single_nodes_are_no_labels() -> None:
    total = {"CPU": 4, "memory": 2**31, "node:10.0.0.1": 1}
    scene = snapshot(
        pool("cpu4", CPU=4),
        claim("a", "cpu4", total=total, used={"CPU": 1}, node=NodeFact.ALIVE),
        claim("b", "cpu4", Phase.BOOTING),
    )
    samples = list(plan_gauges(TickReport(1, "demo", scene, Plan(claims=scene.claims))))
    resources = by_labels(samples, of.RESOURCES)
    assert resources["CPU", "used"] == 1
    assert resources["CPU", "free"] == 3
    assert resources["CPU", "booting"] == 4
    assert resources["memory", "free"] == 2**31
    assert by_labels(samples, of.RAY_RESOURCES) == {("CPU",): 4, ("memory",): 2**31}


def test_what_no_node_has_now_is_0_as_long_as_a_pool_would_have_it() -> None:
    report = TickReport(1, "demo", snapshot(pool("gpu", CPU=4, GPU=1)), Plan())
    resources = by_labels(plan_gauges(report), of.RESOURCES)
    assert resources == {(name, state): 0 for name in ("CPU", "GPU") for state in ("used", "free", "booting")}
    assert by_labels(plan_gauges(report), of.RAY_PENDING_RESOURCES) == {("CPU",): 0, ("GPU",): 0}


def test_offers_with_prices_and_what_keeps_them_away() -> None:
    gpu = pool("gpu", offers=(offer(1.0, "a", spot=True), offer(1.2, "b", spot=True), offer(3.0, "a")), GPU=1)
    scene = snapshot(gpu, now=1000.0)
    backoffs = (
        Backoff(OfferKey("gpu", zone="a"), 1030.0, Trouble.OUT_OF_STOCK),
        Backoff(OfferKey("gpu", zone="a", market=Market.SPOT), 1060.0, Trouble.QUOTA_REACHED),
        Backoff(OfferKey("gpu", zone="b"), 999.0, Trouble.OUT_OF_STOCK),
    )
    samples = list(plan_gauges(TickReport(1, "demo", scene, Plan(backoffs=backoffs))))
    assert by_labels(samples, of.OFFERS) == {("gpu",): 3}
    assert by_labels(samples, of.BACKED_OFF) == {("gpu", "QuotaReached"): 1, ("gpu", "OutOfStock"): 1}
    assert by_labels(samples, of.BACKOFF) == {
        ("gpu", "", "", "a", "spot", "QuotaReached"): 60.0,
        ("gpu", "", "", "a", "on_demand", "OutOfStock"): 30.0,
    }
    assert by_labels(samples, of.PRICE)["gpu", "", "", "b", "spot"] == 1.2


def test_limits_and_money_as_orders_have_changed_them() -> None:
    order = Order("o1", OrderKind.SET, "max_usd_per_hour", "7.5")
    scene = snapshot(pool("cpu4", CPU=4, max_workers=3), max_workers=9, max_usd_per_hour=5.0, orders=(order,))
    plan = replace(Plan(), cost=replace(Plan().cost, after=2.5, unpriced=1), spent=Spent(12.0, 1.0), orders=(order,))
    samples = list(plan_gauges(TickReport(1, "demo", scene, plan)))
    assert by_labels(samples, of.BUDGET) == {(): 7.5}
    assert by_labels(samples, of.DAY_BUDGET) == {}
    assert by_labels(samples, of.COST) == {(): 2.5}
    assert by_labels(samples, of.UNPRICED) == {(): 1}
    assert by_labels(samples, of.SPENT) == {(): 12.0}
    assert by_labels(samples, of.CLUSTER_MAX) == {(): 9}
    assert by_labels(samples, of.POOL_MAX) == {("cpu4",): 3}
    assert by_labels(samples, of.ORDERS) == {("set",): 1}


def test_findings_and_a_plan_that_is_one() -> None:
    assert by_labels(plan_gauges(REPORT), of.FINDINGS) == {("adopted",): 1}
    assert is_decided(REPORT)
    assert is_decided(replace(REPORT, saved=False))  # launches are held, all else is as planned
    assert not is_decided(replace(QUIET, saved=False))  # nobody knows the claims
    assert not is_decided(replace(REPORT, error="Traceback"))


def test_nothing_of_a_demand_s_shape_is_a_label() -> None:
    shapes = {str(Resources.of({"CPU": 64})), "64", "batch"}
    values = {value for sample in (*now_gauges(REPORT), *plan_gauges(REPORT)) for value in sample.labels}
    assert not shapes & values
    assert FrozenMap({"tier": "batch"}) == REPORT.snapshot.claims[0].hosts[0].labels  # there would have been some


def test_what_the_same_machines_would_cost_on_demand() -> None:
    both = pool("cpu4", CPU=4, offers=(offer(0.2, spot=True), offer(0.6)))
    one = claim("c1", both.offers[0].key("cpu4"), usd_per_hour=0.2)
    report = TickReport(1, "demo", snapshot(both, one), Plan(claims=(one,), cost=Cost(0.2, 0.2)))
    assert by_labels(plan_gauges(report), of.ON_DEMAND) == {(): 0.6}
