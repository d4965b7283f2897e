"""What samples come to, and when a goal holds."""

import pytest
from benchmarks.figures import Figure, Goal, number, table
from benchmarks.samples import Spread, alternate, pair_ratio


def test_a_spread_is_smallest_middle_and_largest() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(min=1.0, p50=2.5, max=10.0, count=4)


def test_nothing_measured_is_no_result() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Spread.of([])
    with pytest.raises(ValueError, match="no ratio"):
        pair_ratio([], [])


def test_the_ratio_of_pairs_is_the_middle_of_ratios_not_the_ratio_of_middles() -> None:
    assert pair_ratio([1.0, 4.0, 9.0], [2.0, 40.0, 10.0]) == 0.5


def test_pairs_must_be_whole_and_peers_positive() -> None:
    with pytest.raises(ValueError, match="shorter"):
        pair_ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no ratio"):
        pair_ratio([1.0], [0.0])


def test_turns_are_taken_turn_about() -> None:
    assert alternate(3) == [("ours", "theirs"), ("theirs", "ours"), ("ours", "theirs")]


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure("f", "s", 0.1), None),
        (Figure("f", "s", 0.1, goal=Goal(0.1)), True),
        (Figure("f", "s", 0.11, goal=Goal(0.1)), False),
        (Figure("f", "s", 4.0, 10.0, "peer", goal=Goal(0.5, "ratio")), True),
        (Figure("f", "s", 6.0, 10.0, "peer", goal=Goal(0.5, "ratio")), False),
        (Figure("f", "s", 6.0, 10.0, "peer", paired=0.4, goal=Goal(0.5, "ratio")), True),
        (Figure("f", "s", 6.0, goal=Goal(0.5, "ratio")), False),
        (Figure("f", "s", 6.0, 0.0, "peer", goal=Goal(0.5, "ratio")), False),
    ],
)
def test_a_goal_holds_or_not(figure: Figure, holds: bool | None) -> None:
    assert figure.holds is holds


def test_the_record_of_a_figure_says_its_ratio_and_whether_it_holds() -> None:
    record = Figure("f", "s", 1.0, 4.0, "peer", goal=Goal(0.5, "ratio")).as_json()
    assert (record["ratio"], record["holds"], record["goal"]) == (0.25, True, {"most": 0.5, "of": "ratio"})


def test_the_table_shows_what_was_missed() -> None:
    lines = table(
        [
            Figure("quick", "s", 0.1, 0.15, "bound", goal=Goal(0.15)),
            Figure("slow", "s", 2.0, 2.5, "Ray v2", goal=Goal(0.5, "ratio")),
            Figure("alone", "CPU s", 1234.5),
        ]
    ).splitlines()
    assert lines[1].split("  ")[0] == "quick"
    assert lines[1].endswith("holds")
    assert "2.5 s (Ray v2)" in lines[2]
    assert lines[2].endswith("<= 0.5 ratio  MISSED")
    assert lines[3].endswith("1,234 CPU s")


@pytest.mark.parametrize(("value", "text"), [(0.0123456, "0.0123"), (12.345, "12.3"), (98765.4, "98,765"), (0, "0")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
