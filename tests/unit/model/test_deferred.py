"""A tuple that is made when somebody looks: it is one in every other respect."""

import copy
import pickle
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rayfleet.model import Deferred, Plan
from rayfleet.model.codec import from_json, to_json


def test_it_is_made_once_and_only_when_wanted() -> None:
    made: list[int] = []

    def make() -> Iterator[int]:
        made.append(1)
        yield from (1, 2, 3)

    values = Deferred(make)
    assert made == []
    assert (len(values), list(values), values[0], values[1:], 2 in values) == (3, [1, 2, 3], 1, (2, 3), True)
    assert made == [1]


def test_it_equals_the_tuple_both_ways() -> None:
    values = Deferred(lambda: (1, 2))
    assert values == (1, 2)
    assert values == (1, 2)
    assert values == Deferred(lambda: [1, 2])
    assert values != (1, 3)
    assert values != [1, 2]
    assert hash(values) == hash((1, 2))
    assert repr(values) == "(1, 2)"


def test_it_adds_to_tuples_and_survives_copies() -> None:
    values = Deferred(lambda: (1, 2)).as_tuple()
    assert (values + (3,), (0,) + values) == ((1, 2, 3), (0, 1, 2))  # noqa: RUF005 - adding is what is tried
    assert pickle.loads(pickle.dumps(values)) == (1, 2)
    assert copy.deepcopy(values) == (1, 2)
    with pytest.raises(IndexError):
        values[2]


def test_a_plan_with_deferred_parts_is_written_and_read_as_any_other() -> None:
    plain = Plan(serial=3)
    deferred = replace(plain, claims=Deferred(lambda: ()).as_tuple(), placements=Deferred(lambda: ()).as_tuple())
    assert deferred == plain
    assert to_json(deferred) == to_json(plain)
    assert from_json(Plan, to_json(deferred)) == plain
