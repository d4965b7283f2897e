"""What the demo believes of its programs, from what they print."""

import pytest

from rayfleet.launcher.demo import story
from rayfleet.launcher.demo.drivers import WORKLOADS, Line, Ran

TASKS, ACTORS, PLACEMENT = story.chapters(1.0)


def ran(*lines: str, code: int = 0) -> Ran:
    return Ran("script.py", code, tuple(Line(float(at), text) for at, text in enumerate(lines)), 100.0)


def task(number: int, node: str = "aa11", after: float = 2.0) -> str:
    return f"task {number} ran on vm, node {node}, {after:.2f} s after submission"


def test_every_program_of_the_story_is_shipped() -> None:
    assert {step.script for chapter in story.chapters(1.0) for step in chapter.steps} == {
        path.name for path in WORKLOADS.glob("*.py")
    }


def test_tasks_are_counted_and_timed() -> None:
    done = ran("15 tasks submitted", *(task(n, after=9.5 - n / 10) for n in range(1, 16)), "15 tasks ran on 4 nodes")
    assert story.tasks_done((done,)) == 15
    assert story.first_task_s((done,)) == 8.0
    assert story.complaints(TASKS, (done,)) == []


def test_a_missing_task_is_seen() -> None:
    assert story.complaints(TASKS, (ran(*(task(n) for n in range(14))),)) == ["14 of 15 tasks ran"]


def test_a_program_that_fails_is_told_with_its_last_words() -> None:
    failed = Ran("script.py", 1, (Line(1.0, "Traceback", error=True), Line(1.0, "boom", error=True)), 2.0)
    assert story.complaints(TASKS, (failed,)) == ["script.py ended with code 1: Traceback | boom"]


@pytest.mark.parametrize(("second", "expected"), [("bb22", []), ("aa11", ["the two actors did not live on two nodes"])])
def test_actors_live_on_two_nodes(second: str, expected: list[str]) -> None:
    lives = [
        f"actor{n} lives on node {node}, 3.10 s after its creation" for n, node in enumerate(["aa11", second], start=1)
    ]
    assert story.complaints(ACTORS, (*(ran(line) for line in lives), ran("actor1 was ended"))) == expected


def placement(nodes: list[str], tier: str) -> Ran:
    bundles = [f"bundle {n} ran on node {node}, 3.00 s after submission" for n, node in enumerate(nodes)]
    return ran(*bundles, f"labelled task ran on node dd44, tier {tier}, 3.50 s after submission")


def test_a_spread_group_and_a_labelled_task() -> None:
    good = placement(["aa11", "bb22", "cc33"], "spot")
    assert story.complaints(PLACEMENT, (good,)) == []
    assert story.tasks_done((good,)) == 4


@pytest.mark.parametrize(
    ("nodes", "tier", "expected"),
    [
        (["aa11", "bb22", "aa11"], "spot", "two bundles of the group met on one node"),
        (["aa11", "bb22", "cc33"], "none", "the labelled task did not run on a node with its label"),
        (["aa11", "bb22"], "spot", "3 of 4 tasks ran"),
    ],
)
def test_a_group_or_label_that_was_not_honoured_is_seen(nodes: list[str], tier: str, expected: str) -> None:
    assert expected in story.complaints(PLACEMENT, (placement(nodes, tier),))


@pytest.mark.parametrize(
    ("text", "error", "own", "shown"),
    [
        ("task 1 ran on vm", False, True, True),
        ("INFO worker.py: Connecting to existing Ray cluster", True, False, False),
        ("(autoscaler +1s) Adding 2 node(s) of type cpu4.", True, False, True),
        ("(autoscaler +1s) Adding 2 node(s) of type cpu4.", False, False, True),
        ("(autoscaler +1s) Tip: use `ray status`", False, False, False),
    ],
)
def test_what_a_script_says_and_what_ray_says_are_kept_apart(text: str, error: bool, own: bool, shown: bool) -> None:
    line = Line(1.0, text, error=error)
    assert (line.own, line.worth_showing) == (own, shown)


def test_work_is_done_with_the_last_own_line() -> None:
    lines = (Line(3.0, "task 1 ..."), Line(4.0, "noise", error=True), Line(5.0, "(autoscaler +9s) Removing 1 nodes"))
    assert Ran("script.py", 0, lines, 9.0).last_line_at == 3.0
    assert Ran("script.py", 0, (), 9.0).last_line_at == 9.0
