"""What people may order, and how a slip of the pen is answered."""

from dataclasses import replace

import pytest

from rayfleet.launcher import orders
from rayfleet.launcher.errors import InvalidOrder
from rayfleet.launcher.orders import Author
from rayfleet.model import Buffer, Claim, Host, OfferKey, OrderKind, Phase, Policy, Pool, Resources, Standby
from rayfleet.planner.orders import POLICY_FIELDS, POOL_FIELDS

ME = Author("ann", 12.0, "because")
POLICY = Policy(
    pools=(Pool("cpu4", Resources.of({"CPU": 4}), max_workers=5), Pool("gpu", Resources.of({"GPU": 1}))),
    head=Pool("head", Resources()),
    max_workers=8,
)
CLAIMS = (
    Claim("h", OfferKey("head"), hosts=(Host("h"),), head=True),
    Claim("m1", OfferKey("cpu4"), hosts=(Host("m1", machine_id="p-1", node_id="ab12ff77"),)),
    Claim("m2", OfferKey("cpu4"), hosts=(Host("m2", machine_id="p-2", node_id="ab12ff88"),)),
    Claim("r1", OfferKey("gpu"), hosts=(Host("r1.0", node_id="cdcdcd00"), Host("r1.1", node_id="cdcdcd11"))),
    Claim("gone", OfferKey("gpu"), phase=Phase.FAILED, hosts=(Host("gone"),)),
    Claim("x", OfferKey(""), hosts=(Host("x"),), foreign=True),
)


def test_an_order_says_who_when_and_why() -> None:
    order = orders.scale(POLICY, "cpu4", 3, ME)
    assert (order.kind, order.target, order.value) == (OrderKind.SCALE, "cpu4", "3")
    assert (order.by, order.at, order.why) == ("ann", 12.0, "because")


def test_a_newer_order_about_the_same_replaces_the_older() -> None:
    assert orders.scale(POLICY, "cpu4", 3, ME).id == orders.scale(POLICY, "cpu4", 4, ME).id
    assert orders.scale(POLICY, "cpu4", 3, ME).id != orders.scale(POLICY, "gpu", 3, ME).id


@pytest.mark.parametrize(
    ("pool", "count", "message", "hint"),
    [
        ("cpu5", 1, "there is no pool 'cpu5'", "did you mean cpu4?"),
        ("zzz", 1, "there is no pool 'zzz'", "known: cpu4, gpu"),
        ("head", 1, "pool head is the head's", ""),
        ("cpu4", -1, "a pool cannot have -1 machines", "give 0 to 100000"),
        ("gpu", 100_001, "a pool cannot have 100001 machines", "give 0 to 100000"),
        ("cpu4", 6, "pool cpu4 may have at most 5 machines, not 6", "rayfleet set cpu4.max_workers=6"),
        ("gpu", 9, "the cluster may have at most 8 machines, not 9", "rayfleet set max_workers=9"),
    ],
)
def test_a_scale_that_cannot_be_is_refused(pool: str, count: int, message: str, hint: str) -> None:
    with pytest.raises(InvalidOrder, match=message) as caught:
        orders.scale(POLICY, pool, count, ME)
    assert caught.value.hint == hint


def test_limits_that_were_changed_at_run_time_count() -> None:
    changes = (("cpu4.max_workers", "2"), ("gpu.max_workers", "null"), ("max_workers", "3"))
    policy = orders.in_force(POLICY, tuple(orders.change(POLICY, key, text, ME) for key, text in changes))
    assert (policy.max_workers, [pool.max_workers for pool in policy.pools]) == (3, [2, None])
    with pytest.raises(InvalidOrder, match="pool cpu4 may have at most 2"):
        orders.scale(policy, "cpu4", 3, ME)


def test_clearing_names_the_pool() -> None:
    order = orders.unscale(POLICY, "gpu", ME)
    assert (order.kind, order.target) == (OrderKind.UNSCALE, "gpu")


@pytest.mark.parametrize(
    ("word", "target"),
    [("m1", "m1"), ("p-2", "m2"), ("ab12ff77", "m1"), ("ab12ff8", "m2"), ("r1", "r1.0"), ("cdcdcd", "r1.0")],
)
def test_a_machine_goes_by_any_of_its_names(word: str, target: str) -> None:
    assert orders.drain(CLAIMS, word, ME).target == target


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("m9", "no machine is called 'm9'"),
        ("gone", "no machine is called 'gone'"),
        ("", "no machine is called ''"),
        ("ab12ff", "'ab12ff' fits several machines: m1, m2"),
        ("ab12f", "no machine is called 'ab12f'"),
        ("c", "no machine is called 'c'"),
        ("h", "h is the head"),
        ("x", "x was joined by hand"),
    ],
)
def test_a_drain_of_nothing_or_of_the_head_is_refused(word: str, message: str) -> None:
    with pytest.raises(InvalidOrder, match=message):
        orders.drain(CLAIMS, word, ME)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("idle_timeout_s", "30", 30.0),
        ("idle_timeout_s", "2.5s", 2.5),
        ("max_workers", " 4 ", 4),
        ("cpu4.min_workers", "2", 2),
        ("cpu4.priority", "-3", -3),
        ("max_usd_per_hour", "1234567.89", 1234567.89),
    ],
)
def test_a_setting_is_read_as_its_kind(key: str, text: str, value: float) -> None:
    order = orders.change(POLICY, key, text, ME)
    assert (order.kind, order.target, float(order.value)) == (OrderKind.SET, key, value)


@pytest.mark.parametrize(
    ("key", "before"), [("max_workers", "8"), ("cpu4.max_workers", "5"), ("gpu.max_workers", "null")]
)
def test_a_setting_is_given_back_to_the_configuration(key: str, before: str) -> None:
    order = orders.unset(POLICY, key, ME)
    assert (order.kind, order.target, order.value) == (OrderKind.UNSET, key, "")
    assert order.id != orders.change(POLICY, key, "1", ME).id
    assert orders.configured(POLICY, key) == before


@pytest.mark.parametrize("key", ["max_worker", "cpu5.max_workers", "blue"])
def test_what_cannot_be_set_cannot_be_given_back(key: str) -> None:
    with pytest.raises(InvalidOrder, match="there is no"):
        orders.unset(POLICY, key, ME)


@pytest.mark.parametrize("text", ["0", "10%", "100%"])
def test_a_disruption_budget_is_ordered_as_it_is_typed(text: str) -> None:
    order = orders.change(POLICY, "disruption_budgets", f" {text} ", ME)
    assert order.value == text
    with pytest.raises(InvalidOrder, match="disruption_budgets cannot be 'few'"):
        orders.change(POLICY, "disruption_budgets", "few", ME)


def test_orders_that_override_the_configuration_are_named() -> None:
    standing = (orders.change(POLICY, "max_workers", "3", ME), orders.scale(POLICY, "gpu", 2, ME), orders.shutdown(ME))
    assert orders.overrides(standing) == ("set max_workers=3 (by ann)", "scale gpu to 2 (by ann)")


@pytest.mark.parametrize("text", ["null", "None", "~", ""])
@pytest.mark.parametrize("key", ["max_workers", "upscaling_speed", "gpu.idle_timeout_s"])
def test_no_limit_is_a_value_where_there_may_be_none(key: str, text: str) -> None:
    assert orders.change(POLICY, key, text, ME).value == "null"


@pytest.mark.parametrize(
    ("key", "text", "message", "hint"),
    [
        ("idle_timeout", "3", "there is no setting 'idle_timeout'", "did you mean idle_timeout_s?"),
        ("cpu4.max_worker", "3", "there is no setting 'cpu4.max_worker'", "did you mean cpu4.max_workers?"),
        ("cpu5.max_workers", "3", "there is no pool 'cpu5'", "did you mean cpu4?"),
        ("max_workers", "many", "max_workers cannot be 'many'", "it is a number of machines, or null for none"),
        ("max_workers", "1.5", "max_workers cannot be '1.5'", "it is a number of machines, or null for none"),
        ("max_workers", "-1", "max_workers cannot be -1", "it is a number of machines, 0 to 100000"),
        ("cpu4.min_workers", "100001", "cpu4.min_workers cannot be 100001", "it is a number of machines, 0 to 100000"),
        ("idle_timeout_s", "5m", "idle_timeout_s cannot be '5m'", "it is seconds"),
        ("idle_timeout_s", "inf", "idle_timeout_s cannot be inf", "it is seconds, 0 or more"),
        ("idle_timeout_s", "nan", "idle_timeout_s cannot be nan", "it is seconds, 0 or more"),
        ("idle_timeout_s", "null", "idle_timeout_s needs a value", "it is seconds"),
        ("cpu4.min_workers", "", "cpu4.min_workers needs a value", "it is a number of machines"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_it_may_be(key: str, text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidOrder, match=message) as caught:
        orders.change(POLICY, key, text, ME)
    assert caught.value.hint == hint


def test_what_can_be_ordered_is_what_the_planner_carries_out() -> None:
    assert {setting.name for setting in orders.POLICY_SETTINGS} == set(POLICY_FIELDS)
    assert {setting.name for setting in orders.POOL_SETTINGS} == set(POOL_FIELDS)


def test_parts_of_the_policy_are_set_by_name() -> None:
    policy = replace(POLICY, buffers=(Buffer("spare", Resources.of({"CPU": 1}), 2),))
    order = orders.change(policy, "buffer:spare", " 20% ", ME)
    assert (order.target, order.value) == ("buffer:spare", "20%")
    assert orders.configured(policy, "buffer:spare") == "2"
    assert orders.in_force(policy, (order,)).buffers[0].percent == 20.0
    assert orders.unset(policy, "buffer:spare", ME).kind is OrderKind.UNSET
    waits = replace(policy, pools=(replace(policy.pools[0], standby=Standby(1)), *policy.pools[1:]))
    key = f"standby:{policy.pools[0].name}"
    assert orders.in_force(waits, (orders.change(waits, key, "3", ME),)).pools[0].standby == Standby(3)
    assert orders.in_force(waits, (orders.change(waits, key, "25%", ME),)).pools[0].standby == Standby(percent=25.0)
    assert orders.configured(waits, key) == "1"
    with pytest.raises(InvalidOrder, match="there is no pool with `standby`"):
        orders.change(policy, key, "3", ME)
    with pytest.raises(InvalidOrder, match="there is no buffer 'spar'"):
        orders.change(policy, "buffer:spar", "1", ME)
    with pytest.raises(InvalidOrder, match="cannot be 'x'"):
        orders.change(policy, "buffer:spare", "x", ME)
