"""Why an offer was not launched: each verdict by a snapshot that earns it, and the answer's own sums."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planner.looking import planned

from rayfleet.model import (
    Backoff,
    Claim,
    FrozenMap,
    Market,
    OfferKey,
    Order,
    OrderKind,
    Overlay,
    PendingThreshold,
    Phase,
    Pool,
    Quota,
    ReasonCode,
    Resources,
    Snapshot,
    Trouble,
)
from rayfleet.planner import plan
from rayfleet.planner.whynot import Answer, OfferVerdict, Question, why_not
from rayfleet.testing.snapshots import Demanded, claim, gang, offer, pool, requested, selectors, snapshot, tasks

CPU1, CPU4 = Resources.of({"CPU": 1}), Resources.of({"CPU": 4})
SMALL, LARGE = pool("small", 0.2, CPU=4), pool("large", 0.9, CPU=16)


def asked(of: Snapshot, question: Question | None = None) -> Answer:
    """Plan, and ask about tasks of one CPU unless a question is given."""
    return why_not(of, plan(of), question or Question(CPU1))


def verdicts(answer: Answer) -> dict[str, ReasonCode]:
    """Return the code for each offer: `pool` or `pool/zone/market`."""
    return {_name(verdict): verdict.reason.code for verdict in answer.offers}


def _name(verdict: OfferVerdict) -> str:
    key = verdict.offer
    return "/".join(part for part in (key.pool, key.zone, "spot" if key.market is Market.SPOT else None) if part)


def ask(*parts: Pool | Claim | Demanded, **fields: Any) -> Answer:
    return asked(snapshot(*parts, **fields))


# ---- what waits -----------------------------------------------------------------------------------------------------


def test_what_waits_is_told_from_the_plan_itself() -> None:
    answer = ask(SMALL, LARGE, claim("m", "small", used={"CPU": 2}), tasks(5, CPU=1))
    assert not answer.supposed
    assert (answer.count, answer.existing, answer.launched, answer.unmet) == (5, (("m", 2),), 1, 0)
    assert verdicts(answer) == {"small": ReasonCode.CHOSEN, "large": ReasonCode.DEARER}
    assert [verdict.machines for verdict in answer.offers] == [1, 0]


def test_of_several_demands_only_those_of_the_shape_count() -> None:
    of = snapshot(SMALL, tasks(3, CPU=1), tasks(2, {"tier": "web"}, CPU=1), tasks(7, CPU=4), requested(2, CPU=1))
    assert asked(of).count == 3 + 2 + 2
    assert asked(of, Question(CPU1, selectors=selectors({"tier": "web"}))).count == 2
    assert asked(of, Question(CPU4)).count == 7


def test_owners_are_told_apart_by_their_labels() -> None:
    mine = replace(tasks(3, CPU=1), labels=FrozenMap({"team": "a"}))
    of = snapshot(SMALL, mine, tasks(5, CPU=1))
    assert asked(of, Question(CPU1, labels=FrozenMap({"team": "a"}))).count == 3


def test_bundles_of_gangs_count_and_need_a_machine_each_when_they_must_not_meet() -> None:
    answer = ask(SMALL, LARGE, gang("STRICT_SPREAD", {"CPU": 1}, {"CPU": 1}, {"CPU": 1}))
    assert (answer.count, answer.launched) == (3, 3)
    large = answer.offers[1].reason
    assert large.code is ReasonCode.DEARER
    assert large.details["machines"] == "3 machines"
    assert large.details["more_usd_per_hour"] == pytest.approx(3 * 0.9 - 3 * 0.2)


def test_a_group_without_a_place_says_so() -> None:
    answer = ask(pool("small", 0.2, CPU=4, max_workers=1), gang("STRICT_SPREAD", {"CPU": 1}, {"CPU": 1}))
    assert answer.unmet == 1
    assert answer.why is not None
    assert answer.why.code is ReasonCode.GANG_TOO_WIDE


# ---- what does not wait ---------------------------------------------------------------------------------------------


def test_when_nothing_waits_one_more_task_is_supposed() -> None:
    answer = ask(SMALL, LARGE)
    assert (answer.supposed, answer.count, answer.launched) == (True, 1, 1)
    assert verdicts(answer) == {"small": ReasonCode.CHOSEN, "large": ReasonCode.DEARER}


def test_a_count_is_supposed_beside_what_waits() -> None:
    of = snapshot(SMALL, replace(LARGE, offers=(offer(0.5),)), tasks(4, CPU=1))
    answer = asked(of, Question(CPU1, count=12))
    assert (answer.supposed, answer.count) == (True, 12)
    assert sum(count for _, count in answer.existing) == 0
    assert answer.launched == 1
    assert verdicts(answer) == {"small": ReasonCode.DEARER, "large": ReasonCode.CHOSEN}


def test_a_supposed_task_may_ask_for_labels() -> None:
    of = snapshot(pool("web", 0.5, CPU=4, labels={"tier": "web"}), SMALL)
    answer = asked(of, Question(CPU1, selectors=selectors({"tier": "web"})))
    assert verdicts(answer) == {"web": ReasonCode.CHOSEN, "small": ReasonCode.LABELS_DIFFER}


def test_room_on_machines_that_are_on_their_way_is_named() -> None:
    answer = ask(SMALL, claim("m", "small", Phase.BOOTING, since=990.0), tasks(3, CPU=1))
    assert verdicts(answer) == {"small": ReasonCode.ROOM_EXISTS}
    assert answer.offers[0].reason.details["machines"] == "3 on m"


# ---- verdicts -------------------------------------------------------------------------------------------------------


def test_a_price_says_by_how_much() -> None:
    large = ask(SMALL, LARGE, tasks(4, CPU=1)).offers[1].reason
    assert large.text == (
        "dearer by 0.7 USD/h: 1 machine would cost 0.9, what is launched (small (on-demand)) costs 0.2"
    )


def test_a_machine_with_an_accelerator_is_kept() -> None:
    answer = ask(SMALL, pool("gpu", 0.1, CPU=64, GPU=8), tasks(4, CPU=1))
    assert verdicts(answer)["gpu"] is ReasonCode.ACCELERATOR_KEPT
    assert answer.offers[1].reason.details["resource"] == "GPU"
    assert verdicts(ask(pool("gpu", 0.1, CPU=64, GPU=8), tasks(4, CPU=1))) == {"gpu": ReasonCode.CHOSEN}


def test_priority_goes_above_price() -> None:
    answer = ask(pool("liked", 9.0, CPU=4, priority=2), SMALL, tasks(1, CPU=1))
    assert verdicts(answer) == {"liked": ReasonCode.CHOSEN, "small": ReasonCode.LOWER_PRIORITY}


def test_of_equals_one_goes_first() -> None:
    answer = ask(SMALL, replace(SMALL, name="twin"), tasks(1, CPU=1))
    assert verdicts(answer) == {"small": ReasonCode.CHOSEN, "twin": ReasonCode.EQUALLY_DEAR}
    assert answer.offers[1].reason.text.startswith("as dear as small (")


def test_offers_without_a_price_are_said_to_be_compared_by_resources() -> None:
    answer = ask(SMALL, pool("free", CPU=64), tasks(1, CPU=1))
    why = answer.offers[1].reason
    assert [why.code, *(link.code for link in why.chain)] == [ReasonCode.DEARER, ReasonCode.PRICE_UNKNOWN]


def test_work_that_shares_a_machine_with_other_work_says_so() -> None:
    answer = ask(SMALL, LARGE, tasks(1, CPU=1), tasks(1, CPU=15))
    assert verdicts(answer) == {"small": ReasonCode.TOGETHER, "large": ReasonCode.CHOSEN}
    assert answer.offers[0].reason.details["less_usd_per_hour"] == pytest.approx(0.7)


def test_back_offs_are_per_offer_with_the_time_that_is_left() -> None:
    two = pool("two", CPU=4, offers=(offer(0.1, "a", spot=True), offer(0.4, "a")))
    hit = Backoff(OfferKey("two", zone="a", market=Market.SPOT), 1300.0, Trouble.OUT_OF_STOCK, since=990.0)
    answer = ask(two, tasks(1, CPU=1), backoffs=(hit,))
    assert verdicts(answer) == {"two/a/spot": ReasonCode.BACKED_OFF, "two/a": ReasonCode.CHOSEN}
    assert answer.offers[0].reason.details == {"left_s": 300.0, "error": "OutOfStock"}


def test_offers_differ_in_their_labels() -> None:
    two = pool("two", CPU=4, offers=(offer(0.1, "a"), offer(0.4, "b")))
    answer = ask(two, tasks(1, {"ray.io/availability-zone": "b"}, CPU=1))
    assert verdicts(answer) == {"two/a": ReasonCode.LABELS_DIFFER, "two/b": ReasonCode.CHOSEN}


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_workers": 0}, ReasonCode.MAX_WORKERS),
        ({"max_usd_per_hour": 0.1}, ReasonCode.BUDGET),
        ({"max_resources": FrozenMap({"CPU": 0})}, ReasonCode.MAX_RESOURCES),
        ({"max_usd_per_day": 0.01}, ReasonCode.DAY_BUDGET),
        ({"max_launches_per_min": 0}, ReasonCode.LAUNCH_RATE),
    ],
)
def test_limits_are_named(limits: dict[str, object], code: ReasonCode) -> None:
    answer = ask(SMALL, tasks(1, CPU=1), **limits)
    assert answer.unmet == 1
    assert verdicts(answer) == {"small": code}


def test_a_pools_maximum_is_named_and_also_what_it_keeps_from_being_cheaper() -> None:
    assert verdicts(ask(replace(SMALL, max_workers=0), LARGE, tasks(1, CPU=1)))["small"] is ReasonCode.POOL_MAX_WORKERS
    few = snapshot(pool("few", 0.1, CPU=4, max_workers=1), LARGE, tasks(2, CPU=4), max_workers=1)
    assert verdicts(asked(few, Question(CPU4))) == {"few": ReasonCode.MAX_WORKERS, "large": ReasonCode.CHOSEN}


def test_a_limit_that_the_launch_itself_uses_up_is_not_why_others_were_not_taken() -> None:
    assert verdicts(ask(SMALL, LARGE, tasks(1, CPU=1), max_workers=1))["large"] is ReasonCode.DEARER


def test_quotas_and_thresholds_are_named_for_every_offer_that_would_do() -> None:
    mine = replace(tasks(1, CPU=1), labels=FrozenMap({"team": "a"}))
    quota = Quota("team", "a", FrozenMap({"CPU": 0}))
    assert verdicts(ask(SMALL, LARGE, mine, quotas=(quota,))) == dict.fromkeys(("small", "large"), ReasonCode.QUOTA)
    few = ask(SMALL, pool("tiny", 0.1, CPU=0.5), tasks(1, CPU=1), scale_up_pending_threshold=PendingThreshold(5))
    assert verdicts(few) == {"small": ReasonCode.PENDING_THRESHOLD, "tiny": ReasonCode.TOO_SMALL}


def test_nothing_is_launched_while_ray_does_not_answer() -> None:
    assert verdicts(ask(SMALL, tasks(1, CPU=1), engine_up=False)) == {"small": ReasonCode.ENGINE_DOWN}


def test_orders_and_overlays_are_in_force() -> None:
    order = Order("o", OrderKind.SET, "small.max_workers", "0", "me")
    assert verdicts(ask(SMALL, LARGE, tasks(1, CPU=1), orders=(order,)))["small"] is ReasonCode.POOL_MAX_WORKERS
    dear = Overlay(OfferKey("small"), usd_per_hour=5.0, why="licence")
    answer = ask(SMALL, LARGE, tasks(1, CPU=1), overlays=(dear,))
    assert verdicts(answer) == {"small": ReasonCode.DEARER, "large": ReasonCode.CHOSEN}
    assert [link.code for link in answer.offers[0].reason.chain] == [ReasonCode.OVERLAY]


# ---- the answer as a whole ------------------------------------------------------------------------------------------


def test_the_same_question_has_the_same_answer() -> None:
    of = snapshot(SMALL, LARGE, claim("m", "small"), tasks(9, CPU=1), tasks(2, CPU=3))
    made = planned(SMALL, LARGE, claim("m", "small"), tasks(9, CPU=1), tasks(2, CPU=3))
    assert why_not(of, made, Question(CPU1)) == why_not(of, made, Question(CPU1))


def test_pieces_add_up() -> None:
    answer = ask(replace(SMALL, max_workers=2), claim("m", "small"), tasks(30, CPU=1))
    placed = sum(count for _, count in answer.existing)
    assert placed + answer.launched * 4 + answer.unmet == answer.count == 30


def test_a_cluster_without_pools_has_no_offers() -> None:
    answer = ask(tasks(1, CPU=1))
    assert (answer.offers, answer.unmet) == ((), 1)
