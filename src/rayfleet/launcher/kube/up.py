"""`up`: what a file says is applied, and followed until it is ready or will not be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from rayfleet.launcher.errors import ControllerDied, LauncherError, TookTooLong
from rayfleet.launcher.kube.changes import Changed, changed, marked
from rayfleet.launcher.kube.look import Found, look
from rayfleet.launcher.kube.manifest import Manifest
from rayfleet.launcher.kube.outcome import Outcome, Verdict, progress, stuck, verdict
from rayfleet.launcher.kube.target import Target
from rayfleet.launcher.kube.view import View
from rayfleet.wire.kube.errors import NotFound, Unavailable
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import SECRET, Kind, Object, key_of

POLL_S: Final = 1.0
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one object of a file. `live` None: it is made; no changes: it stays."""

    kind: Kind
    wanted: Object
    live: Object | None
    changes: Changed

    @property
    def lines(self) -> tuple[str, ...]:
        """Return it for people, nothing when nothing is done."""
        subject = f"{self.kind.name} {key_of(self.wanted)}"
        if self.live is None:
            return (f"create {subject}",)
        lines = self.changes.lines
        if self.kind == SECRET:  # which keys change is no secret
            lines = tuple(line.partition(": ")[0] for line in lines)
        return (f"change {subject}", *(f"  {line}" for line in lines)) if lines else ()


class Failed(ControllerDied):
    """What was brought up will not come up as it is."""


async def steps(kube: Kube, manifest: Manifest) -> tuple[Step, ...]:
    """Return what a file would do, without doing it."""
    return tuple([await _step(kube, kind, thing) for kind, thing in manifest.things])


async def carry_out(kube: Kube, planned: tuple[Step, ...]) -> None:
    """Do it.

    Raises:
        LauncherError: the API server knows no such kind, or no such namespace.
    """
    for step in planned:
        if step.live is None:
            await _create(kube, step)
        elif step.changes.patch:
            await kube.patch(step.kind, key_of(step.wanted), step.changes.patch)


async def until_ready(kube: Kube, target: Target, tell: Tell, limit_s: float) -> View:
    """Tell each step once; return when everything is there (or away, where the file says `suspend`).

    Raises:
        Failed: it will not come up; the message says why.
        TookTooLong: it may still.
    """
    began = quiet_since = asyncio.get_running_loop().time()
    told: dict[str, str] = {}
    held: tuple[str, float] = ("", began)
    while True:
        looked, missed = await _patiently(lambda: look(kube, target), began + limit_s)
        seen, now = looked.view, asyncio.get_running_loop().time()
        if missed:
            quiet_since = now  # an operator cannot have heard of anything either
        _tell_news(seen, told, tell)
        pod = stuck(seen)
        held = held if pod and held[0] == pod.name else (pod.name if pod else "", now)
        reached = verdict(seen, now - quiet_since, now - held[1])
        if reached.outcome in (Outcome.READY, Outcome.SUSPENDED):
            return seen
        _raise_over(seen, reached, now - began, limit_s)
        await asyncio.sleep(POLL_S)


def _raise_over(seen: View, found: Verdict, waited_s: float, limit_s: float) -> None:
    if found.outcome is Outcome.FAILED:
        raise Failed(found.why, found.hint)
    if waited_s >= limit_s:
        left = "\n".join(line for _, line in progress(seen)) or "no pod was made"
        hint = "it goes on without us; --timeout waits longer, status says how it is"
        raise TookTooLong(f"{seen.kind} {seen.key} is not ready after {limit_s:.0f} s\n{left}", hint)


def _tell_news(seen: View, told: dict[str, str], tell: Tell) -> None:
    for subject, line in progress(seen):
        if told.get(subject) != line:
            told[subject] = line
            tell(line)


async def _patiently(call: Callable[[], Awaitable[Found]], until: float) -> tuple[Found, bool]:
    """Call again while the API server gives no answer: it may be restarting. Say whether it had to."""
    missed = False
    while True:
        try:
            return await call(), missed
        except Unavailable:
            missed = True
            if asyncio.get_running_loop().time() >= until:
                raise
        await asyncio.sleep(POLL_S)


async def _step(kube: Kube, kind: Kind, wanted: Object) -> Step:
    try:
        live = await kube.get(kind, key_of(wanted))
    except NotFound:
        return Step(kind, wanted, None, Changed({}, ()))
    return Step(kind, wanted, live, changed(live, wanted))


async def _create(kube: Kube, step: Step) -> None:
    try:
        await kube.create(step.kind, marked(step.wanted))
    except NotFound as error:
        if "namespace" in str(error):
            raise LauncherError(str(error), f"kubectl create namespace {key_of(step.wanted).namespace}") from error
        message = f"this Kubernetes cluster knows no {step.kind.name} of {step.kind.api_version}"
        hint = "install rayfleet's operator or KubeRay there: they bring the definitions"
        raise LauncherError(message, hint) from error
