"""Matching by augmenting paths, against all ways of giving columns to wants."""

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rayfleet.planner.matching import Want, matched


def wants(*columns: tuple[int, ...], count: int = 1) -> list[Want]:
    return [Want(count, np.array(liked, np.int64)) for liked in columns]


def given_out(of: list[Want], size: int = 6) -> list[list[int]]:
    return [columns.tolist() for columns in matched(of, size)]


def test_everybody_gets_the_best_liked_when_nobody_else_wants_it() -> None:
    assert given_out(wants((2, 1), (0, 3))) == [[2], [0]]


def test_who_has_a_choice_makes_way() -> None:
    assert given_out(wants((0, 1), (0,))) == [[1], [0]]


def test_several_make_way_one_after_the_other() -> None:
    assert given_out(wants((0, 1), (1, 2), (2, 3), (0,))) == [[1], [2], [3], [0]]


def test_whoever_comes_first_is_never_left_short() -> None:
    assert given_out(wants((0,), (0,))) == [[0], []]
    two = [Want(2, np.array([0, 1])), Want(2, np.array([1, 2]))]
    assert given_out(two) == [[0, 1], [2]]


def test_nothing_suits() -> None:
    assert given_out(wants((), (1,))) == [[], [1]]
    assert given_out([], 0) == []


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), max_size=5))
def test_as_many_are_served_as_can_be(liked: list[list[int]]) -> None:
    found = given_out(wants(*map(tuple, liked)))
    assert all(set(mine) <= set(suits) for mine, suits in zip(found, liked, strict=True))
    flat = [column for mine in found for column in mine]
    assert len(flat) == len(set(flat))
    most = max(
        sum(column in suits for column, suits in zip(order, liked, strict=False)) for order in permutations(range(6))
    )
    assert len(flat) == most
