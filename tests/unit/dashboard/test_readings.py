"""What pages show, read from reports and events."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayfleet.contracts.state import Listing, Memory, NodeMemory
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.readings.autoscaler import autoscaler, limits_hit, offer_rows
from rayfleet.dashboard.readings.feed import KINDS, feed_rows
from rayfleet.dashboard.readings.inside import store_rows
from rayfleet.dashboard.readings.lives import Part, lives, paged
from rayfleet.dashboard.readings.nodes import node_detail, node_rows
from rayfleet.dashboard.readings.overview import bars, overview, pool_rows, waits
from rayfleet.dashboard.readings.seen import Mood, Newest, health
from rayfleet.dashboard.readings.timeline import INTERRUPTED, LAUNCH, LEAVE, STOCK, marks, sort_of
from rayfleet.dashboard.readings.what_if import settings, what_if
from rayfleet.model import (
    Backoff,
    Demand,
    Launch,
    Market,
    NodeFact,
    Offer,
    OfferKey,
    Phase,
    Plan,
    Snapshot,
    Spent,
    TickReport,
    Trouble,
    reason,
)
from rayfleet.model.reason import ReasonCode
from rayfleet.planner import plan
from rayfleet.reports.event_search import EventRow
from rayfleet.reports.events import Event
from rayfleet.reports.history import Heartbeat
from rayfleet.reports.measures import measure
from rayfleet.testing.snapshots import NOW, claim, offer, pool, snapshot, tasks

UP = Entry("a", "up", Path("/nowhere"))


def reported(*things: Any, **fields: Any) -> TickReport:
    """Return a report of a snapshot and of the plan that is made for it."""
    seen = snapshot(*things, **fields)
    return TickReport(7, "a", seen, plan(seen))


def found(report: TickReport, beat_at: float = NOW) -> Newest:
    return Newest(report, Heartbeat(beat_at, report.tick, 0.01, ""))


# ---- health -----------------------------------------------------------------------------------------------------


def test_a_quiet_cluster_is_well() -> None:
    said = health(UP, found(reported(pool("w", CPU=4), claim("m1", "w", used={"CPU": 1}))), NOW)
    assert (said.mood, said.text) == (Mood.GOOD, "All is well: nothing waits, 1 node ready.")


def test_work_that_no_pool_takes_is_a_warning() -> None:
    said = health(UP, found(reported(pool("w", CPU=4), tasks(3, CPU=9))), NOW)
    assert said.mood is Mood.WARN
    assert said.text == "3 pieces of work wait and no pool takes them now; 0 nodes ready."


def test_nodes_on_their_way_are_an_adjustment() -> None:
    said = health(UP, found(reported(pool("w", CPU=4), tasks(3, CPU=4))), NOW)
    assert (said.mood, said.text) == (Mood.BUSY, "Adjusting: 0 nodes ready, 3 starting.")


@pytest.mark.parametrize(
    ("entry", "change", "beat_at", "text"),
    [
        (replace(UP, state="no controller"), {}, NOW, "Its controller is gone"),
        (replace(UP, state="down"), {}, NOW, "It is down; this is how it was last."),
        (UP, {}, NOW - 40, "Its controller has been silent for 40 s."),
        (UP, {"error": "Traceback\nValueError: x\n"}, NOW, "The last tick failed: ValueError: x"),
        (UP, {"troubles": ("the ledger cannot be written: full", "b")}, NOW, "full. (and 1 more)"),
        (replace(UP, history=None, where="Over there."), {}, NOW, "Over there."),
    ],
)
def test_what_is_wrong_comes_before_what_waits(entry: Entry, change: dict[str, Any], beat_at: float, text: str) -> None:
    report = replace(reported(pool("w", CPU=4), tasks(3, CPU=9)), **change)
    assert text in health(entry, found(report, beat_at), NOW).text


def test_ray_that_does_not_answer_is_said() -> None:
    report = reported(pool("w", CPU=4), engine_up=False)
    assert health(UP, found(report), NOW).text.startswith("Ray does not answer")


def test_before_the_first_tick_nothing_is_known() -> None:
    assert health(UP, Newest(None, None), NOW).mood is Mood.BUSY
    assert health(replace(UP, state="down"), Newest(None, None), NOW).mood is Mood.OFF


# ---- overview ---------------------------------------------------------------------------------------------------


def test_bars_show_what_is_used_free_and_coming() -> None:
    report = reported(
        pool("w", CPU=4, memory=2**31),
        claim("m1", "w", node=NodeFact.ALIVE, total={"CPU": 4, "memory": 2**31}, used={"CPU": 1}),
        claim("m2", "w", Phase.BOOTING),
        tasks(6, CPU=1),
    )
    first, second = bars(measure(report))
    assert (first.title, first.used, first.free, first.coming) == ("CPU", 1, 3, 4)
    assert (second.title, second.free, second.coming) == ("Memory (GiB)", 2, 2)


def test_pools_have_their_nodes_by_phase_limits_and_prices() -> None:
    offers = (offer(0.1, spot=True), offer(0.4))
    report = reported(pool("w", CPU=4, offers=offers, max_workers=9), claim("m1", "w"), tasks(9, CPU=4))
    (row,) = pool_rows(report)
    assert (row.ready, row.starting, row.least, row.most, row.usd_per_hour) == (1, 8, 0, 9, (0.1, 0.4))


def test_what_waits_says_how_much_of_it_has_no_place_and_why() -> None:
    report = reported(pool("w", CPU=4, max_workers=1), tasks(6, CPU=1), tasks(2, CPU=99))
    rows = {row.what: row for row in waits(report)}
    assert (rows["{CPU: 1}"].count, rows["{CPU: 1}"].unmet) == (6, 2)
    assert rows["{CPU: 99}"].pools[0][0] == "w"
    assert "no pool can ever hold" in rows["{CPU: 99}"].why


def test_money_is_compared_with_on_demand_now_and_today() -> None:
    key = OfferKey("w", market=Market.SPOT)
    offers = (offer(0.1, spot=True), offer(0.4))
    report = reported(pool("w", CPU=4, offers=offers), claim("m1", key, usd_per_hour=0.1, used={"CPU": 1}))
    report = replace(report, plan=replace(report.plan, spent=Spent(5.0, NOW)))
    hour_ago = replace(measure(report), at=NOW - 3600)
    money = overview(report, (hour_ago,)).money
    assert (money.per_hour, money.on_demand) == (0.1, 0.4)
    assert money.saved == pytest.approx(0.75)
    assert [replace(money, per_hour=usd).compared for usd in (0.1, 0.4, 0.5)] == [
        "75% less than on-demand", "as on-demand", "25% more than on-demand",
    ]  # fmt: skip
    assert money.today_on_demand == pytest.approx(5.3)


# ---- timeline ---------------------------------------------------------------------------------------------------


def event(kind: str, at: float = NOW, code: str = "", text: str = "", subject: str = "m1", count: int = 1) -> EventRow:
    return EventRow(int(at * 10), Event(at, kind, subject, "w", count, code, text))


@pytest.mark.parametrize(
    ("kind", "code", "sort"),
    [
        ("launch", "tasks", LAUNCH),
        ("drain", "idle", LEAVE),
        ("release", "drained", LEAVE),
        ("drain", "interrupted", INTERRUPTED),
        ("failed", "OutOfStock", STOCK),
        ("failed", "QuotaReached", STOCK),
        ("failed", "Flaky", INTERRUPTED),
        ("release", "node_died", INTERRUPTED),
        ("gone", "idle", ""),
        ("gone", "interrupted", ""),
        ("ready", "ready", ""),
    ],
)
def test_events_are_marked_by_what_they_mean(kind: str, code: str, sort: str) -> None:
    assert sort_of(event(kind, code=code).event) == sort


def test_marks_that_lie_close_together_are_one() -> None:
    rows = [event("launch", NOW + second, text=f"launch {second}", count=2) for second in range(10)]
    (one,) = marks(rows, 86_400.0)
    assert one.count == 20
    assert one.reasons == ("launch 0", "launch 1", "launch 2", "launch 3", "and 6 more")
    assert len(marks(rows, 60.0)) == 10


# ---- lives ------------------------------------------------------------------------------------------------------


def test_a_life_has_its_parts() -> None:
    ready = EventRow(1, Event(120.0, "ready", "m9", "w", latency_s=20.0))
    rows = [ready, event("drain", 150.0, text="drain m9: idle", subject="m9"), event("gone", 160.0, subject="m9")]
    (life,) = lives(reported(pool("w", CPU=4)), rows, 0.0, NOW)
    assert life.parts == (
        Part("starting", 100.0, 120.0),
        Part("ready", 120.0, 150.0),
        Part("draining", 150.0, 160.0, "drain m9: idle"),
    )


def test_what_lives_now_goes_on_until_now() -> None:
    report = reported(
        pool("w", CPU=4),
        claim("m1", "w", created=900.0, since=920.0, used={"CPU": 1}),
        claim("m2", "w", Phase.BOOTING, created=940.0, since=950.0),
        tasks(4, CPU=1),
    )
    found = {
        life.node: [(part.stage, part.since, part.until) for part in life.parts] for life in lives(report, [], 0, NOW)
    }
    assert found["m1"] == [("starting", 900.0, 920.0), ("ready", 920.0, NOW)]
    assert found["m2"] == [("requested", 940.0, 950.0), ("booting", 950.0, NOW)]


def test_a_name_that_is_used_again_is_another_life() -> None:
    rows = [
        EventRow(1, Event(100.0, "ready", "m1", "w", latency_s=10.0)),
        EventRow(2, Event(200.0, "ready", "m1", "w", latency_s=10.0)),
        event("gone", 250.0),
    ]
    newer, older = lives(reported(pool("w", CPU=4)), rows, 0.0, NOW)
    assert (newer.began, newer.ended) == (190.0, 250.0)
    assert older.began == 90.0


def test_many_lives_come_in_pages() -> None:
    rows = [EventRow(n, Event(100.0 + n, "ready", f"m{n}", "w", latency_s=1.0)) for n in range(130)]
    every = lives(reported(pool("w", CPU=4)), rows, 0.0, NOW)
    last = paged(every, 0.0, NOW, 99)
    assert (last.total, last.pages, last.page, len(last.shown)) == (130, 3, 2, 10)


# ---- nodes ------------------------------------------------------------------------------------------------------


def test_nodes_say_why_they_stay_and_the_head_comes_first() -> None:
    report = reported(
        pool("w", CPU=4),
        claim("m10", "w", total={"CPU": 4}, used={"CPU": 1}),
        claim("m2", "w", total={"CPU": 4}, used={"CPU": 4}),
        claim("head", "h", head=True),
    )
    rows = node_rows(report)
    assert [row.id for row in rows] == ["head", "m2", "m10"]
    assert [row.can_leave for row in rows] == [False, True, True]
    assert (rows[1].cpu, rows[1].used) == (1.0, "4/4 CPU")
    assert "in use" in rows[1].why


def test_a_node_that_is_taken_away_is_bad_news() -> None:
    report = reported(pool("w", CPU=4), claim("m1", "w", interrupt_at=NOW + 60, used={"CPU": 1}))
    row = next(row for row in node_rows(report) if row.id == "m1")
    assert (row.mood, row.health) == (Mood.BAD, "will be interrupted")
    detail = node_detail(report, "m1")
    assert detail is not None
    assert ("Is interrupted in", "1 min 0 s") in detail.facts
    assert node_detail(report, "m2") is None


# ---- autoscaler -------------------------------------------------------------------------------------------------


def test_offers_have_their_back_offs_with_the_time_left() -> None:
    offers = (offer(0.1, spot=True), offer(0.4))
    report = reported(pool("w", CPU=4, offers=offers), claim("m1", OfferKey("w", market=Market.SPOT), used={"CPU": 1}))
    held = Backoff(OfferKey("w", market=Market.SPOT), NOW + 30, Trouble.OUT_OF_STOCK, 3, "none left")
    past = Backoff(OfferKey("w", market=Market.ON_DEMAND), NOW - 1, Trouble.FLAKY)
    report = replace(report, plan=replace(report.plan, backoffs=(held, past)))
    spot, on_demand = offer_rows(report)
    assert (spot.machines, spot.left_s, spot.after, spot.failures) == (1, 30, "OutOfStock: none left", 3)
    assert (on_demand.machines, on_demand.left_s, on_demand.after) == (0, 0, "")


def test_limits_are_found_wherever_a_reason_names_them() -> None:
    report = reported(pool("w", CPU=4, max_workers=1), tasks(6, CPU=1))
    assert [(hit.whose, hit.text) for hit in limits_hit(report.plan)] == [("w", "is at its maximum of 1")]
    held = reason(ReasonCode.TASKS, tasks=3).because(reason(ReasonCode.MAX_WORKERS, max_workers=2))
    (hit,) = limits_hit(Plan(launches=(Launch(OfferKey("w"), ("m1",), "m1", 1, held),)))
    assert (hit.whose, hit.text) == ("w", "the cluster is at its maximum of 2")


def test_the_plan_is_its_steps() -> None:
    seen = autoscaler(reported(pool("w", CPU=4), claim("m1", "w", idle_s=99.0), tasks(2, CPU=4)))
    assert [(step.verb, step.what) for step in seen.steps] == [("launch", "1 w")]
    assert seen.stays == (("needed", 1),)


# ---- what if ----------------------------------------------------------------------------------------------------


def test_what_if_plans_again_and_touches_nothing() -> None:
    before = snapshot(pool("w", CPU=4, max_workers=1), tasks(6, CPU=4))
    answer = what_if(before, "w.max_workers", "4")
    assert (answer.before.launched, answer.before.unmet) == (1, 5)
    assert (answer.after.launched, answer.after.unmet) == (4, 2)
    assert answer.refused == ""


@pytest.mark.parametrize(("key", "value"), [("w.max_workers", "many"), ("x.max_workers", "3"), ("colour", "red")])
def test_what_cannot_be_set_is_refused_with_a_sentence(key: str, value: str) -> None:
    answer = what_if(snapshot(pool("w", CPU=4)), key, value)
    assert answer.refused


def test_everything_that_is_offered_can_be_set() -> None:
    seen = Snapshot(now=NOW, policy=snapshot(pool("w", CPU=4, offers=(Offer(1.0),))).policy, demand=Demand())
    assert "w.max_workers" in settings(seen)
    refused = {key: what_if(seen, key, "1").refused for key in settings(seen)}
    assert {key: why for key, why in refused.items() if why and "neither true nor false" not in why} == {}


# ---- events -----------------------------------------------------------------------------------------------------


def test_the_feed_has_a_word_for_every_kind() -> None:
    rows = tuple(event(kind, NOW + place) for place, kind in enumerate(KINDS))
    made = feed_rows(rows)
    assert [row["kind"] for row in made] == list(reversed(KINDS))
    assert {row["mood"] for row in made} <= {mood.value for mood in Mood}


def test_memory_that_ray_has_not_looked_at_is_not_shown_as_0() -> None:
    seen = NodeMemory("n1", store_used_bytes=0, store_capacity_bytes=8, memory_used_bytes=2, memory_total_bytes=4)
    full, young = store_rows(Memory((NodeMemory("n2", store_capacity_bytes=8), seen), Listing(())))
    assert (full["store"], full["full"], full["memory_full"]) == ("0B of 8B", 0.0, 0.5)
    assert (young["store"], young["memory"], young["full"], young["spilled"]) == ("? of 8B", "? of ?", None, None)
