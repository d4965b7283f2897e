"""The front of the test kit: who gets the next request."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rayfleet.testing.kubernetes.front import Turns
from rayfleet.testing.kubernetes.gateway_api import definitions

weights = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 100), min_size=1)


@given(weights, st.integers(1, 300))
def test_everybody_comes_as_often_as_their_weight_says(shares: dict[str, int], requests: int) -> None:
    turns = Turns()
    got = Counter(turns.next(shares) for _ in range(requests))
    total = sum(shares.values())
    if not total:
        assert got == {None: requests}
        return
    for name, weight in shares.items():
        assert abs(got[name] - requests * weight / total) <= len(shares)
        assert weight or not got[name]


def test_who_has_no_weight_any_more_is_not_asked() -> None:
    turns = Turns()
    assert {turns.next({"old": 50, "new": 50}) for _ in range(4)} == {"old", "new"}
    assert {turns.next({"old": 0, "new": 100}) for _ in range(20)} == {"new"}
    assert turns.next({}) is None


def test_the_kinds_are_named_as_the_operator_follows_them() -> None:
    named = {(one["spec"]["names"]["kind"], one["spec"]["names"]["plural"]) for one in definitions()}
    assert named == {("Gateway", "gateways"), ("HTTPRoute", "httproutes")}
