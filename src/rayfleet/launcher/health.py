"""Is a cluster fit for work: its head alive, its controller fresh, and room for so many CPUs, free or startable?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from rayfleet import wiring
from rayfleet.contracts import EngineError
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import view
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.job import ray_settings
from rayfleet.model import NodeFact, Phase, Resources, Snapshot, TickReport
from rayfleet.model.resources import amount
from rayfleet.planner.whynot import Question, why_not
from rayfleet.reports.history import HistoryReader
from rayfleet.reports.status_json import current_claims

CPU: Final = "CPU"
MOST_CPUS: Final = 10_000
"""More CPUs than so many are not looked for: beyond, the answer is "at least"."""

_LOOKED_FOR: Final = 1000
_PACE: Final = ("upscaling_speed", "max_launches_per_min", "scale_up_pending_threshold")

Answers = Callable[[RaySettings], Awaitable[str]]
"""Says why a head does not answer, "" when it does."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `text`: what was found."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Room:
    """CPUs of a cluster: that nobody uses, and that could be started besides, as far as limits, prices and stock allow.

    `more`: there may be more of them than that; `why`: what keeps the next one from being started, "" when nothing.
    """

    free: float
    startable: int
    more: bool = False
    why: str = ""

    @property
    def text(self) -> str:
        """Return it in words."""
        beyond = " or more" if self.more else ""
        return f"{self.free:g} CPUs are free, {self.startable}{beyond} can be started besides"


@dataclass(frozen=True, slots=True)
class Health:
    """What was found. `wanted`: the CPUs that were asked for; `room` None: nobody knows."""

    cluster: str
    wanted: int
    checks: tuple[Check, ...]
    room: Room | None = None

    @property
    def ok(self) -> bool:
        """Say whether all is well."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        room = self.room
        return {
            "cluster": self.cluster,
            "ok": self.ok,
            "checks": [{"name": check.name, "ok": check.ok, "text": check.text} for check in self.checks],
            "cpus": {
                "wanted": self.wanted,
                "free": room.free if room else None,
                "startable": room.startable if room else None,
                "or_more": room.more if room else False,
            },
        }


async def head_answers(ray: RaySettings) -> str:
    """Ask the GCS of a head; return why it does not answer, "" when it does."""
    drivers = wiring.drivers(ray)
    try:
        await drivers.look()
    except EngineError as error:
        return str(error)
    finally:
        await drivers.close()
    return ""


def health(home: Home, cpus: int, answers: Answers = head_answers, now: Callable[[], float] = time.time) -> Health:
    """Look at a cluster. What cannot be known is not well."""
    head, controller = _head(home, answers), _controller(home, now())
    report = view.newest(home)
    if report is None or not controller.ok:
        rooms = Check("room", ok=False, text="nobody starts machines, and what is free is not known")
        return Health(home.name, cpus, (head, controller, rooms))
    room = room_in(report, cpus)
    enough = room.free >= cpus or room.free + room.startable >= cpus
    short = "" if enough else f", {cpus} are wanted ({room.why}): rayfleet why --shape CPU=1 --count {cpus}"
    return Health(home.name, cpus, (head, controller, Check("room", enough, f"{room.text}{short}")), room)


def _head(home: Home, answers: Answers) -> Check:
    try:
        settings = RaySettings.load(home.path) if home.settings.exists() else ray_settings(home)
        trouble = asyncio.run(_asked(answers, settings))
    except LauncherError as error:
        trouble = str(error)
    return Check("head", not trouble, trouble or "Ray's head answers")


async def _asked(answers: Answers, settings: RaySettings) -> str:
    return await answers(settings)


def _controller(home: Home, now: float) -> Check:
    """Say whether somebody looks after the cluster: it has ticked lately, without an error."""
    beat = HistoryReader(home.history).heartbeat()
    if beat is None:
        return Check("controller", ok=False, text="no controller has ever ticked")
    silent_s = max(0.0, now - beat.at)
    if silent_s > view.SILENT_S:
        return Check("controller", ok=False, text=f"the controller has been silent for {silent_s:.0f} s")
    if beat.error:
        last = beat.error.strip().splitlines()[-1]
        return Check("controller", ok=False, text=f"the controller's last tick failed: {last}")
    return Check("controller", ok=True, text=f"the controller ticked {silent_s:.1f} s ago")


def room_in(report: TickReport, cpus: int) -> Room:
    """Return how many CPUs are free, and how many could be started besides. Pure.

    The planner is asked where that many tasks of one CPU would go if they waited now, after all that waits already.
    """
    count = min(MOST_CPUS, max(_LOOKED_FOR, cpus))
    answer = why_not(_unhurried(report.snapshot), report.plan, Question(Resources.of({CPU: 1}), count))
    running = {host.id for claim in current_claims(report) if claim.phase is Phase.READY for host in claim.hosts}
    here = sum(pieces for machine, pieces in answer.existing if machine in running)
    placed = count - answer.unmet
    why = f"{answer.why.code.value}: {answer.why.text}" if answer.why else ""
    return Room(_free(report), max(0, placed - here), more=not answer.unmet, why=why)


def _unhurried(snapshot: Snapshot) -> Snapshot:
    """Return the situation without what only says how fast machines may be started: they come all the same."""
    policy = replace(snapshot.policy, upscaling_speed=None, max_launches_per_min=None, scale_up_pending_threshold=None)
    return replace(snapshot, policy=policy, orders=tuple(each for each in snapshot.orders if each.target not in _PACE))


def _free(report: TickReport) -> float:
    """Return the CPUs that nobody uses on machines that take work."""
    free = 0
    for claim in current_claims(report):
        if claim.phase is Phase.READY:
            for host in claim.hosts:
                if host.node is NodeFact.ALIVE and host.total is not None:
                    free += max(0, host.total.get(CPU, 0) - host.used.get(CPU, 0))
    return amount(free)
