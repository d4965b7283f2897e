"""Conditions over time: said when they last, once, again after a while, and when they are over."""

from dataclasses import replace

import pytest

from rayfleet.config.alerting import THRESHOLDS, Rule
from rayfleet.model.codec import from_json, to_json
from rayfleet.reports.alerts.book import CLEAR_MAX_S, CLEAR_S, MESSAGES_PER_HOUR, Book, Notice, step
from rayfleet.reports.alerts.rules import Condition, Judged, Memory, Severity
from rayfleet.reports.alerts.sink import State, resumed

ALL = {Rule(name): threshold for name, threshold in THRESHOLDS.items()}
HEAD = Condition(Rule.HEAD_DOWN, "head_down", Severity.CRITICAL, "Ray does not answer", "look")  # for 30 s
STOCK = Condition(Rule.STOCK_OUT, "stock_out:gpu1", Severity.WARNING, "none", "wait")  # for 60 s
ORPHAN = Condition(Rule.ORPHAN, "orphan", Severity.WARNING, "one machine", "look", momentary=True)
EVERY_S = 5.0


class Story:
    """A cluster on which time passes, five seconds at a time."""

    def __init__(self, repeat_s: float = 4 * 3600.0) -> None:
        self.book = Book()
        self.now = 1000.0
        self.said: list[tuple[float, str, str]] = []
        self.notices: list[Notice] = []
        self._repeat_s = repeat_s

    def goes_on(self, for_s: float, *holds: Condition, unknown: frozenset[Rule] = frozenset()) -> "Story":
        end = self.now + for_s
        while self.now < end:
            judged = Judged(holds, unknown, Memory())
            self.book, notices = step(self.book, judged, self.now, ALL, self._repeat_s)
            self.notices += notices
            self.said += [(self.now - 1000.0, str(each.kind), each.key) for each in notices]
            self.now += EVERY_S
        return self


def test_it_is_said_once_when_it_has_lasted_and_once_when_it_is_over() -> None:
    story = Story().goes_on(300, HEAD).goes_on(300)
    assert story.said == [(30.0, "firing", "head_down"), (355.0, "over", "head_down")]
    assert [each.since for each in story.notices] == [1000.0, 1000.0]
    assert story.goes_on(3600).book == Book()


def test_what_does_not_last_is_not_said() -> None:
    assert Story().goes_on(25, HEAD).goes_on(60).goes_on(25, HEAD).goes_on(60).said == []


def test_what_lasts_is_said_again_no_sooner_than_it_was_agreed() -> None:
    story = Story(repeat_s=600.0).goes_on(1800, HEAD)
    assert story.said == [(30.0, "firing", "head_down"), (630.0, "still", "head_down"), (1230.0, "still", "head_down")]
    assert len(Story(repeat_s=0.0).goes_on(36_000, HEAD).said) == 1


def test_what_gets_worse_is_said_again_and_what_gets_better_is_not() -> None:
    """Three launches fail, and then the place says that it will never give any: that is other news."""
    fails = Condition(Rule.LAUNCH_FAILURES, "launch_failures:gpu1", Severity.WARNING, "3 launches failed", "look")
    denied = replace(fails, severity=Severity.CRITICAL, text="denied")
    story = Story().goes_on(60, fails).goes_on(60, denied).goes_on(60, fails).goes_on(60, denied)
    assert [(at, kind) for at, kind, _ in story.said] == [(0.0, "firing"), (60.0, "firing")]
    assert [str(each.severity) for each in story.notices] == ["warning", "critical"]


def test_a_gap_of_less_than_a_minute_is_no_end() -> None:
    story = Story().goes_on(60, HEAD).goes_on(50).goes_on(60, HEAD)
    assert story.said == [(30.0, "firing", "head_down")]


def test_what_comes_and_goes_is_said_less_and_less() -> None:
    story = Story()
    for _ in range(120):  # two hours and twenty minutes of a minute on, ten seconds less than two minutes off
        story.goes_on(60, HEAD).goes_on(70)
    firing = [at for at, kind, _ in story.said if kind == "firing"]
    assert len(firing) == 2
    assert len([kind for _, kind, _ in story.said if kind == "over"]) == 1
    (entry,) = story.book.firing
    assert entry.flaps == 1
    assert story.goes_on(2 * CLEAR_S + 5).said[-1][1] == "over"


def test_who_was_quiet_for_an_hour_is_believed_again() -> None:
    story = Story().goes_on(60, HEAD).goes_on(3700).goes_on(60, HEAD)
    (entry,) = story.book.firing
    assert entry.flaps == 0
    assert [kind for _, kind, _ in story.said] == ["firing", "over", "firing"]


def test_an_end_is_never_waited_for_longer_than_an_hour() -> None:
    story = Story()
    for _ in range(10):
        story.goes_on(60, HEAD).goes_on(CLEAR_MAX_S + 60)
    assert [kind for _, kind, _ in story.said] == ["firing", "over"] * 10


def test_what_is_not_known_is_neither_new_nor_over() -> None:
    away = frozenset({Rule.STOCK_OUT})
    story = Story().goes_on(90, STOCK).goes_on(600, unknown=away)
    assert [kind for _, kind, _ in story.said] == ["firing"]
    assert story.goes_on(CLEAR_S + 5).said[-1] == (745.0, "over", "stock_out:gpu1")


def test_a_condition_that_knows_its_beginning_is_believed() -> None:
    def unmet(since: float) -> Condition:
        return Condition(Rule.UNMET_DEMAND, "unmet_demand", Severity.WARNING, "3 wait", "why", since)

    story = Story().goes_on(200, unmet(500.0))  # for 600 s
    assert story.said == [(100.0, "firing", "unmet_demand")]
    assert story.notices[0].since == 500.0
    assert story.goes_on(CLEAR_S + 10, unmet(1190.0)).said[-1][1] == "over"  # only younger demand waits now


def test_what_has_merely_happened_is_never_over() -> None:
    assert [kind for _, kind, _ in Story(repeat_s=60.0).goes_on(600, ORPHAN).goes_on(600).said] == ["firing"]


def test_there_is_a_limit_to_the_messages_of_an_hour() -> None:
    many = [Condition(Rule.ORPHAN, f"orphan:{n}", Severity.WARNING, "x", "y") for n in range(30)]
    story = Story()
    for n in range(30):
        story.goes_on(5, *many[: n + 1])
    assert len(story.notices) == MESSAGES_PER_HOUR
    story.goes_on(60, *many, HEAD)  # what is critical has room of its own
    assert story.said[-1][1:] == ("firing", "head_down")
    story.goes_on(3600, *many, HEAD)
    late = [key for at, kind, key in story.said if kind == "firing"]
    assert sorted(late) == sorted([condition.key for condition in (*many, HEAD)])  # all of them, each once


def test_several_at_one_moment_are_one_message_the_worst_first() -> None:
    story = Story().goes_on(60, STOCK).goes_on(5, STOCK, ORPHAN)
    assert [(at, key) for at, _, key in story.said] == [(60.0, "stock_out:gpu1"), (60.0, "orphan")]
    assert story.book.sent == (1060.0,)
    both = Story().goes_on(30, STOCK).goes_on(35, STOCK, HEAD)
    assert [key for _, _, key in both.said] == ["head_down", "stock_out:gpu1"]


@pytest.mark.parametrize("away_s", [5.0, 7200.0])
def test_after_a_restart_nothing_is_said_twice(away_s: float) -> None:
    before = Story().goes_on(60, HEAD)
    state = from_json(State, to_json(State(before.book, Memory(judged_at=1055.0), 1055.0)))
    story = Story()
    story.now = before.now + away_s
    story.book = resumed(state, story.now).book
    assert story.goes_on(5).goes_on(600, HEAD).said == []
    assert [kind for _, kind, _ in story.goes_on(120).said] == ["over"]


def test_a_clock_that_is_set_back_ends_nothing_and_repeats_nothing() -> None:
    story = Story().goes_on(60, HEAD)
    story.now -= 1800
    assert [kind for _, kind, _ in story.goes_on(300, HEAD).said] == ["firing"]
