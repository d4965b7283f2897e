"""The nouns: quantities, label selectors, reasons and keys."""

from __future__ import annotations

import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.model import (
    TEXTS,
    FrozenMap,
    LabelMatch,
    LabelSelector,
    Market,
    OfferKey,
    Phase,
    Policy,
    Pool,
    ReasonCode,
    Resources,
    reason,
)


def test_maps_with_equal_content_are_equal_whatever_their_order() -> None:
    one, other = FrozenMap({"b": 1, "a": 2}), FrozenMap({"a": 2, "b": 1})
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == repr(other)
    assert pickle.loads(pickle.dumps(one)) == other


def test_quantities_are_exact_ten_thousandths() -> None:
    tenth = Resources.of({"CPU": 0.1})
    assert tenth["CPU"] == 1000
    assert tenth.times(10) == Resources.of({"CPU": 1})
    assert tenth + tenth + tenth == Resources.of({"CPU": 0.3})


def test_zero_is_the_same_as_absent() -> None:
    assert Resources.of({"CPU": 0, "GPU": 1}) == Resources.of({"GPU": 1})
    assert not Resources.of({"CPU": 0})


def test_fits_compares_every_resource() -> None:
    room = Resources.of({"CPU": 4, "memory": 8e9})
    assert Resources.of({"CPU": 4}).fits(room)
    assert not Resources.of({"CPU": 4.0001}).fits(room)
    assert not Resources.of({"CPU": 1, "GPU": 1}).fits(room)


def test_a_difference_can_be_negative_and_floored() -> None:
    rest = Resources.of({"CPU": 1}) - Resources.of({"CPU": 3, "GPU": 1})
    assert rest == Resources.of({"CPU": -2, "GPU": -1})
    assert rest.floored() == Resources()


def test_resources_print_as_users_write_them() -> None:
    assert str(Resources.of({"memory": 64e9, "CPU": 0.5})) == "{CPU: 0.5, memory: 64000000000}"


amounts = st.dictionaries(st.sampled_from(["CPU", "GPU", "memory", "ssd"]), st.integers(0, 10**15), max_size=4)


@given(amounts, amounts)
def test_what_was_added_can_be_taken_away(a: dict[str, int], b: dict[str, int]) -> None:
    assert Resources(a) + Resources(b) - Resources(b) == Resources(a)


@pytest.mark.parametrize(
    ("expression", "labels", "holds"),
    [
        ("a", {"k": "a"}, True),
        ("a", {"k": "b"}, False),
        ("a", {}, False),
        ("!a", {"k": "b"}, True),
        ("!a", {"k": "a"}, False),
        ("!a", {}, True),
        ("in(a,b)", {"k": "b"}, True),
        ("in( a , b )", {"k": "b"}, True),
        ("in(a,b)", {}, False),
        ("!in(a,b)", {"k": "c"}, True),
        ("!in(a,b)", {"k": "a"}, False),
        ("!in(a,b)", {}, True),
    ],
)
def test_selector_syntax_is_rays(expression: str, labels: dict[str, str], holds: bool) -> None:
    assert LabelSelector.parse({"k": expression}).holds(labels) is holds


@pytest.mark.parametrize("expression", ["in(a", "a)b", "!!a", "in(in(a))", "x(a)"])
def test_malformed_selectors_are_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="label selector k"):
        LabelSelector.parse({"k": expression})


words = st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=8)


@given(words, st.lists(words, min_size=1, max_size=3), st.booleans())
def test_selector_expressions_round_trip(key: str, values: list[str], negated: bool) -> None:
    match = LabelMatch(key, tuple(sorted(set(values))), negated)
    assert LabelMatch.parse(key, match.expression()) == match


def test_every_reason_code_has_a_text() -> None:
    assert set(TEXTS) == set(ReasonCode)


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_text_renders_from_its_own_details(code: ReasonCode) -> None:
    fields = {name: spec for _, name, spec, _ in string.Formatter().parse(TEXTS[code]) if name}
    details = {name: 1.5 if spec else "x" for name, spec in fields.items()}
    assert "{" not in reason(code, **details).text


def test_limits_append_to_the_chain_of_a_reason() -> None:
    cut = reason(ReasonCode.TASKS, tasks=4).because(reason(ReasonCode.POOL_MAX_WORKERS, max_workers=2))
    assert cut.code is ReasonCode.TASKS
    assert cut.text == "4 tasks wait for machines; is at its maximum of 2"


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (OfferKey("p", "aws", "r", "a", Market.SPOT), True),
        (OfferKey("p"), True),
        (OfferKey(""), True),
        (OfferKey("", market=Market.SPOT), True),
        (OfferKey("p", zone="b"), False),
        (OfferKey("q"), False),
        (OfferKey("p", market=Market.ON_DEMAND), False),
    ],
)
def test_a_missing_key_of_a_scope_means_any(scope: OfferKey, covered: bool) -> None:
    assert scope.covers(OfferKey("p", "aws", "r", "a", Market.SPOT)) is covered


def test_policy_finds_worker_pools_and_the_head() -> None:
    cpu, head = Pool("cpu", Resources.of({"CPU": 1})), Pool("head", Resources())
    policy = Policy(pools=(cpu,), head=head)
    assert (policy.pool("cpu"), policy.pool("head"), policy.pool("gpu")) == (cpu, head, None)


def test_words_hash_as_the_text_that_they_are() -> None:
    assert {Phase.READY: 1}["READY"] == 1  # type: ignore[index]  # as files and databases have it
    assert hash(Phase.READY) == hash("READY")
