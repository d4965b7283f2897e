"""`rayfleet demo`: up, play the chapters, down, look for what is left, and read the times from the record.

The cluster has a name of its own, and whatever happens, Ctrl-C included, it is ended and its folder removed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.contracts import LedgerError
from rayfleet.engines.ray.settings import new_settings
from rayfleet.launcher import home as homes
from rayfleet.launcher.demo import drivers, record, verdict
from rayfleet.launcher.demo.drivers import Ran
from rayfleet.launcher.demo.stage import Show, Stage
from rayfleet.launcher.demo.story import Chapter, Step, chapters
from rayfleet.launcher.demo.verdict import Figures, Played, Verdict
from rayfleet.launcher.down import down
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.progress import Step as Progressed
from rayfleet.launcher.spec import Wanted, wanted
from rayfleet.launcher.up import up
from rayfleet.launcher.work import environment
from rayfleet.model import TickReport
from rayfleet.providers.process import leftovers, procfs
from rayfleet.providers.process.procfs import ProcessKey
from rayfleet.reports.history import HistoryReader, HistoryUnavailable

CLUSTER = Path(__file__).parent / "cluster.yaml"
PROGRAM_LIMIT_S = 120.0
QUIET_LIMIT_S = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXPECTED = (LauncherError, LedgerError, HistoryUnavailable, TimeoutError, OSError)
"""What may go wrong with a cluster; it is told in the verdict, and the cluster is ended as ever."""


class Interrupted(Exception):
    """Somebody asked for the end, and the cluster was ended; the message says whether anything of it is left."""


@dataclass
class Course:
    """What has been played so far, and what went wrong."""

    played: list[Played] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    up_s: float | None = None
    down_s: float | None = None
    strays: int = 0
    left_behind: int | None = None
    reports: Sequence[TickReport] = ()


async def play(show: Show, *, sleep_s: float, keep: bool = False) -> Verdict:
    """Play the demo and return how it went. `keep`: leave the cluster up.

    Raises:
        Interrupted: by a signal; everything was ended first.
        LauncherError: a cluster cannot even be wanted here.
    """
    began = time.time()
    cluster = wanted(CLUSTER.read_text(encoding="utf-8"), str(CLUSTER), f"demo-{secrets.token_hex(3)}")
    stage, course = Stage(show, began), Course()
    with _interruptible() as interruption:
        try:
            await _performance(cluster, stage, course, sleep_s, owner=None if keep else _me())
        except asyncio.CancelledError:
            if not interruption.came:
                raise
            stage.say("stops", "interrupted: ending the programs and the cluster")
        except EXPECTED as error:
            course.problems.append(f"{type(error).__name__}: {error}")
        interruption.cancels = False
        course.reports = tuple(stage.reports)
        if interruption.came or not keep:
            await _end(cluster, stage, course)
        if interruption.came:
            left = f"{course.left_behind} processes are left" if course.left_behind else "nothing is left"
            raise Interrupted("\n".join([f"interrupted; {left}", *course.problems]))
    return _verdict(cluster, course, sleep_s, time.time() - began)


@dataclass
class Interruption:
    """Whether a signal came; it cancels the task only before the end, which is gone through with in any case."""

    came: bool = False
    cancels: bool = True


@contextmanager
def _interruptible() -> Iterator[Interruption]:
    """Let the first signal cancel the task that is running."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    interruption = Interruption()

    def interrupt() -> None:
        interruption.came = True
        if interruption.cancels and task is not None:
            interruption.cancels = False
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        yield interruption
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


# ---- the performance ----------------------------------------------------------------------------


async def _performance(cluster: Wanted, stage: Stage, course: Course, sleep_s: float, owner: ProcessKey | None) -> None:
    """Bring the cluster up and play every chapter; the first one that goes wrong is the last.

    `owner`: the process that the cluster ends with, even when that is killed.
    """
    stage.chapter = "a head without CPUs, and no workers"
    stage.say("begins", f"cluster {cluster.name}: {stage.chapter}")
    asked = time.time()
    home = homes.create(cluster.name)
    # Ports of its own: Ray's default ones belong to whatever the user starts meanwhile.
    new_settings(cluster.name, home.path, preferred_default=False).save()
    async with _followed(home, stage):
        await up(cluster, lambda step: _progress(stage, step), owner=owner)
        course.up_s = time.time() - asked
        stage.say("ready", f"the head is up after {course.up_s:.1f} s")
        for chapter in chapters(sleep_s):
            await _chapter(home, chapter, stage, course)
            if course.problems:
                return
        course.strays = _strays(home, stage.reports[-1], course)


def _me() -> ProcessKey | None:
    found = procfs.stat(os.getpid())
    return found.key if found else None


def _progress(stage: Stage, step: Progressed) -> None:
    stage.chapter = step.text


@asynccontextmanager
async def _followed(home: Home, stage: Stage) -> AsyncIterator[None]:
    """Follow the cluster's record while inside."""
    follower = asyncio.create_task(stage.follow(HistoryReader(home.history)))
    try:
        yield
    finally:
        follower.cancel()
        with suppress(asyncio.CancelledError):
            await follower


async def _chapter(home: Home, chapter: Chapter, stage: Stage, course: Course) -> None:
    stage.chapter = chapter.title
    began = time.time()
    stage.say("begins", chapter.title)
    ran: list[Ran] = []
    for step in chapter.steps:
        ran.append(await _step(home, step, stage, course))
        if course.problems:
            break
    course.played.append(Played(chapter, tuple(ran), began, time.time()))


async def _step(home: Home, step: Step, stage: Stage, course: Course) -> Ran:
    """Run one program, then wait until the workers that it leaves are all that there are."""
    stage.say("runs", step.command)
    ran = await drivers.run(step.script, step.arguments, environment(home), stage.heard, PROGRAM_LIMIT_S)
    leaves = step.leaves
    if ran.trouble:
        course.problems.append(ran.trouble)
    elif leaves is not None:
        done_at = ran.last_line_at
        quiet = await stage.until(
            lambda reports: record.below_after(reports, done_at, leaves) is not None, QUIET_LIMIT_S
        )
        if not quiet:
            course.problems.append(f"more than {leaves} workers were left {QUIET_LIMIT_S:g} s after {step.command}")
            course.problems += [f"{row.name} is {row.phase}: {row.why}" for row in record.rows(stage.reports[-1])]
    return ran


# ---- the end ------------------------------------------------------------------------------------


def _strays(home: Home, report: TickReport, course: Course) -> int:
    """Count the processes of machines that are gone, while the head is still up: `/proc` knows, whatever we believe."""
    found = leftovers.left_behind(home.name, home.path)
    known = {host.machine_id for claim in report.plan.claims for host in claim.hosts}
    if not any(each.machine_id in known for each in found):
        course.problems.append("the search for left-over processes does not even see the head's")
    return sum(each.machine_id not in known for each in found)


async def _end(cluster: Wanted, stage: Stage, course: Course) -> None:
    """End the cluster and look for what is left of it; its record is kept only when something went wrong."""
    home = Home(homes.root() / cluster.name)
    if not home.path.exists():
        course.left_behind = 0
        return
    stage.chapter = "the end"
    stage.say("ends", f"cluster {cluster.name}")
    asked = time.time()
    try:
        async with _followed(home, stage):
            await down(home)
    except EXPECTED as error:
        course.problems.append(f"{type(error).__name__}: {error}")
    course.down_s = time.time() - asked
    stage.look(HistoryReader(home.history), last=True)
    course.reports = tuple(stage.reports)
    left = leftovers.left_behind(home.name, home.path)
    course.left_behind = len(left) + course.strays
    course.problems += [f"left behind: {each.key.pid} {each.command}" for each in left]
    if not (left or home.is_up or course.problems):
        homes.remove(home)


def _verdict(cluster: Wanted, course: Course, sleep_s: float, took_s: float) -> Verdict:
    """Judge what was played by what was recorded."""
    idle_timeout_s = cluster.spec.policy.idle_timeout_s
    own: list[tuple[Chapter, Figures]] = []
    problems = list(course.problems)
    for played in course.played:
        figures = verdict.of_chapter(played, course.reports, idle_timeout_s)
        own.append((played.chapter, figures))
        problems += verdict.complaints(played, figures)
    if not problems and len(own) < len(chapters(sleep_s)):
        problems.append("not every workload was played")
    if course.strays:
        problems.append(f"{course.strays} processes of machines that are gone were still alive")
    return Verdict(
        cluster=cluster.name,
        total=verdict.figures(course.played, course.reports, idle_timeout_s),
        chapters=tuple(own),
        up_s=course.up_s,
        down_s=course.down_s,
        took_s=took_s,
        left_behind=course.left_behind,
        problems=tuple(dict.fromkeys(problems)),
    )
