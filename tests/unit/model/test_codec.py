"""The internal JSON form: every value of the model survives it, and anything else is named as what it is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayfleet.model import (
    NOTHING,
    Claim,
    Demand,
    DemandKind,
    Drain,
    FrozenMap,
    Gang,
    Host,
    NodeFact,
    OfferKey,
    Phase,
    Plan,
    Reason,
    ReasonCode,
    RequestedDemand,
    Resources,
    Snapshot,
    TaskDemand,
    TickReport,
    Unmet,
    reason,
)
from rayfleet.model.codec import CodecError, decode, encode, from_json, to_json

NAMES = st.text(alphabet="abcé:/.-1", max_size=4)
NUMBERS = st.floats(allow_nan=False)
DETAILS = st.dictionaries(NAMES, st.one_of(NAMES, st.integers(), NUMBERS), max_size=3).map(FrozenMap)
REASONS = st.recursive(
    st.builds(Reason, st.sampled_from(ReasonCode), DETAILS),
    lambda inner: st.builds(Reason, st.sampled_from(ReasonCode), DETAILS, st.lists(inner, max_size=2).map(tuple)),
    max_leaves=3,
)
st.register_type_strategy(str, NAMES)
st.register_type_strategy(float, NUMBERS)
st.register_type_strategy(Reason, REASONS)
st.register_type_strategy(Resources, st.dictionaries(NAMES, st.integers(0), max_size=3).map(Resources))
st.register_type_strategy(FrozenMap, lambda hint: st.dictionaries(NAMES, _values(hint), max_size=3).map(FrozenMap))


def _values(hint: Any) -> st.SearchStrategy[Any]:
    return st.from_type(hint.__args__[0])


@pytest.mark.parametrize("kind", [Claim, Demand, Unmet, Snapshot, Plan, TickReport], ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_value_survives(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    text = to_json(value)
    assert from_json(kind, text) == value
    assert to_json(from_json(kind, text)) == text


def test_defaults_are_left_out() -> None:
    claim = Claim("c1", OfferKey("cpu4"), hosts=(Host("c1", machine_id="m1"),))
    assert encode(claim) == {"id": "c1", "offer": {"pool": "cpu4"}, "hosts": [{"id": "c1", "machine_id": "m1"}]}


def test_enumerations_maps_and_nested_values_are_plain() -> None:
    why = reason(ReasonCode.IDLE, idle_s=70.5, idle_timeout_s=60)
    claim = Claim(
        "c1",
        OfferKey("cpu4"),
        Phase.DRAINING,
        hosts=(Host("c1", node=NodeFact.DRAINING, used=Resources.of({"CPU": 1})),),
        drain=Drain(why, 1.0, 2.0),
    )
    assert encode(claim)["phase"] == "DRAINING"
    assert encode(claim)["hosts"] == [{"id": "c1", "node": "draining", "used": {"CPU": 10000}}]
    assert encode(claim)["drain"]["reason"] == {"code": "idle", "details": {"idle_s": 70.5, "idle_timeout_s": 60}}


def test_a_union_says_which_class_it_is() -> None:
    """A task and a request hold the same fields and are still told apart."""
    unmet = [
        Unmet(DemandKind.TASKS, 0, demand, 1, reason(ReasonCode.NO_POOL_FITS, shape=""))
        for demand in (TaskDemand(NOTHING), RequestedDemand(NOTHING))
    ]
    assert [encode(u)["demand"]["is"] for u in unmet] == ["TaskDemand", "RequestedDemand"]


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (Claim, {"id": "c1", "offer": {"pool": "p"}, "colour": 1}, "colour"),
        (Claim, {"id": "c1"}, "offer"),
        (Claim, {"id": "c1", "offer": {"pool": "p"}, "phase": "SLEEPING"}, "SLEEPING"),
        (Claim, {"id": 7, "offer": {"pool": "p"}}, "7 is not str"),
        (Claim, {"id": "c1", "offer": {"pool": "p"}, "hosts": {}}, "not an array"),
        (Host, {"id": "h", "used": ["CPU"]}, "not an object"),
        (Gang, [], "Gang"),
        (
            Unmet,
            {"kind": "tasks", "index": 0, "demand": {"is": "Wish"}, "count": 1, "reason": {"code": "busy"}},
            "none of TaskDemand",
        ),
    ],
)
def test_other_data_is_refused_in_words(kind: type[Any], data: Any, words: str) -> None:
    with pytest.raises(CodecError, match=words):
        decode(kind, data)


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(CodecError, match="not JSON"):
        from_json(Claim, "{")
