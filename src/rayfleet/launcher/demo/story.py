"""What the demo plays: three chapters of ordinary Ray programs, and how many workers each must come to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rayfleet.launcher.demo.drivers import Ran

TASKS = 15
BUNDLES = 3
WORKERS_MAX = 4

_TASK = re.compile(r"^(task \d+|bundle \d+|labelled task) ran on .*?node (\w+)", re.MULTILINE)
_ACTOR = re.compile(r"^(\w+) lives on node (\w+)", re.MULTILINE)
_AFTER = re.compile(r"(\d+\.\d+) s after submission")
_SPOT = re.compile(r"^labelled task ran on node \w+, tier spot", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """One program. `leaves`: how many workers remain once it has ended and all is quiet; None: do not wait for that."""

    script: str
    arguments: tuple[str, ...] = ()
    leaves: int | None = None

    @property
    def command(self) -> str:
        """Return it as a person would type it."""
        return " ".join(("python", self.script, *self.arguments))


@dataclass(frozen=True, slots=True)
class Chapter:
    """One workload. `nodes`: the workers that it must have had at once, (least, most)."""

    name: str
    title: str
    steps: tuple[Step, ...]
    nodes: tuple[int, int]


def chapters(sleep_s: float) -> tuple[Chapter, ...]:
    """Return the chapters in the order in which they are played; `sleep_s`: how long each task sleeps.

    Tasks may be done before the last machine has booted, which is then not needed any more, so the number of nodes of
    the first chapter has only an upper bound; actors and the group hold what they need, so theirs is exact.
    """
    ends = "terminate_detached_actor.py"
    return (
        Chapter(
            "tasks",
            f"{TASKS} tasks of one CPU",
            (Step("task_hostnames.py", ("--tasks", str(TASKS), "--sleep", f"{sleep_s:g}"), leaves=0),),
            nodes=(1, WORKERS_MAX),
        ),
        Chapter(
            "actors",
            "two detached actors, created and ended one by one from four programs",
            (
                Step("detached_actor.py", ("actor1",)),
                Step("detached_actor.py", ("actor2",)),
                Step(ends, ("actor1",), leaves=1),
                Step(ends, ("actor2",), leaves=0),
            ),
            nodes=(2, 2),
        ),
        Chapter(
            "placement",
            f"a STRICT_SPREAD group of {BUNDLES} bundles, and a task for a node labelled tier=spot",
            (Step("spread_and_label.py", leaves=0),),
            nodes=(BUNDLES + 1, BUNDLES + 1),
        ),
    )


# ---- what the programs said ---------------------------------------------------------------------


def tasks_done(ran: tuple[Ran, ...]) -> int:
    """Return how many tasks ran to their end."""
    return sum(len(_TASK.findall(each.output)) for each in ran)


def first_task_s(ran: tuple[Ran, ...]) -> float | None:
    """Return the seconds from submission to the first task that ran; None when no program ran tasks."""
    return min((float(found) for each in ran for found in _AFTER.findall(each.output)), default=None)


def complaints(chapter: Chapter, ran: tuple[Ran, ...]) -> list[str]:
    """Return what is not as the chapter promises; empty when all is well."""
    failed = [each.trouble for each in ran if each.trouble]
    output = "\n".join(each.output for each in ran)
    return failed or [text for text, wrong in _promises(chapter, output, ran) if wrong]


def _promises(chapter: Chapter, output: str, ran: tuple[Ran, ...]) -> list[tuple[str, bool]]:
    nodes = [node for _, node in _TASK.findall(output)]
    match chapter.name:
        case "tasks":
            return [(f"{tasks_done(ran)} of {TASKS} tasks ran", tasks_done(ran) != TASKS)]
        case "actors":
            homes = {node for _, node in _ACTOR.findall(output)}
            return [("the two actors did not live on two nodes", len(homes) != len(chapter.steps) // 2)]
        case _:
            return [
                (f"{tasks_done(ran)} of {BUNDLES + 1} tasks ran", tasks_done(ran) != BUNDLES + 1),
                ("two bundles of the group met on one node", len(set(nodes[:BUNDLES])) != BUNDLES),
                ("the labelled task did not run on a node with its label", not _SPOT.search(output)),
            ]
