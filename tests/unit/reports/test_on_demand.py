"""What the same machines would cost on demand: by the catalogue, else by the pool; and of the very same machines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from tests.unit.reports.examples import REPORT

from rayfleet.model import Claim, Cost, Market, Offer, Phase, Plan, Policy, Pool, Resources, Snapshot, TickReport
from rayfleet.planner import plan
from rayfleet.reports.on_demand import OnDemand, compare, price
from rayfleet.reports.status_json import status_json, status_schema
from rayfleet.reports.status_text import cost_lines
from rayfleet.testing.snapshots import claim, snapshot, tasks

SPOT = Offer(0.2, Market.SPOT, "a", "r1", "aws")
PLAIN = Offer(0.6, Market.ON_DEMAND, "b", "r1", "aws")
FAR = Offer(0.5, Market.ON_DEMAND, "c", "r2", "aws")


def pool(*offers: Offer) -> Pool:
    return Pool("w", Resources.of({"CPU": 4}), offers=offers)


def one(of: Offer, **fields: Any) -> Claim:
    return claim("c1", of.key("w"), **{"usd_per_hour": of.usd_per_hour, **fields})


@pytest.mark.parametrize(
    ("offers", "usd"),
    [
        ((replace(SPOT, on_demand_usd_per_hour=0.7), PLAIN), 0.7),
        ((SPOT, PLAIN, FAR), 0.6),
        ((SPOT, FAR), 0.5),
        ((SPOT,), None),
        ((SPOT, replace(PLAIN, usd_per_hour=None)), None),
    ],
    ids=["the catalogue's", "of its region", "of another one", "nobody knows", "without a price"],
)
def test_the_price_of_a_spot_machine(offers: tuple[Offer, ...], usd: float | None) -> None:
    assert price(one(SPOT), Policy(pools=(pool(*offers),))) == usd


@pytest.mark.parametrize("market", [Market.ON_DEMAND, None])
def test_what_is_bought_on_demand_costs_what_it_costs(market: Market | None) -> None:
    known = one(replace(PLAIN, market=market or Market.ON_DEMAND), usd_per_hour=0.55)
    known = replace(known, offer=replace(known.offer, market=market))
    assert price(known, Policy(pools=(pool(PLAIN, FAR),))) == 0.55


def test_a_reservation_is_compared_and_standby_is_not() -> None:
    policy = Policy(pools=(pool(replace(SPOT, market=Market.RESERVED), PLAIN),))
    reserved = one(replace(SPOT, market=Market.RESERVED))
    assert price(reserved, policy) == 0.6
    assert price(replace(reserved, phase=Phase.STANDBY, usd_per_hour=0.01), policy) == 0.01


def test_the_sum_is_of_the_machines_that_the_plan_counts() -> None:
    policy = Policy(pools=(pool(SPOT, PLAIN), Pool("bare", Resources.of({"CPU": 1}))))
    claims = (
        one(SPOT),
        replace(one(SPOT, hosts=2), id="c2", usd_per_hour=None),
        replace(one(SPOT), id="c3", foreign=True),
        replace(one(SPOT), id="c4", phase=Phase.FAILED),
        claim("c5", "bare"),
    )
    made = plan(Snapshot(policy=policy, now=0.0, claims=claims))
    assert made.cost.after == pytest.approx(0.6)
    assert compare(made.cost, made.claims, policy) == OnDemand(1.8, 0)
    alone = Policy(pools=(pool(SPOT),))
    assert compare(Cost(0.6, 0.6), claims, alone) == OnDemand(0.6, 3)


def test_launches_are_in_both_sums() -> None:
    scene = snapshot(pool(SPOT, PLAIN), tasks(3, CPU=4))
    made = plan(scene)
    assert made.cost.after == pytest.approx(0.6)
    assert compare(made.cost, made.claims, scene.policy).usd_per_hour == pytest.approx(1.8)


def test_status_tells_it_for_programs_and_for_people() -> None:
    scene = snapshot(pool(SPOT, PLAIN), tasks(1, CPU=4))
    report = TickReport(1, "demo", scene, plan(scene))
    told = status_json(report)
    jsonschema.validate(told, status_schema())
    assert told["usd_per_hour"] == {"before": 0.0, "after": 0.2, "unpriced": 0, "on_demand": 0.6, "uncompared": 0}
    assert list(cost_lines(report)) == ["0.00 USD/h now, 0.20 USD/h after this plan (0.60 on demand)"]
    assert "on demand" not in "".join(cost_lines(REPORT)), "where it is the same"
    assert list(cost_lines(replace(report, plan=Plan()))) == []
