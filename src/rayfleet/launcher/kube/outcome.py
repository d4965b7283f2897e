"""View -> lines of progress, and whether waiting is over. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rayfleet.launcher.kube.view import PodView, Stage, View
from rayfleet.wire.kube.objects import RAY_CLUSTER, RAY_JOB

SILENCE_S: Final = 30.0
"""An operator that has not spoken for so long is not there."""
STUCK_S: Final = 60.0
"""A pod that does not start is given so long: registries and secrets may be late."""
_JOB_GOES: Final = ("Running", "Complete", "Waiting", "Retrying")
_JOB_FAILED: Final = ("Failed", "ValidationFailed")


class Outcome(StrEnum):
    """Where waiting is."""

    WAITING = "waiting"
    READY = "ready"
    SUSPENDED = "suspended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to wait on. `why`: of a failure, what to tell; `hint`: what to do."""

    outcome: Outcome
    why: str = ""
    hint: str = ""


def progress(seen: View) -> Iterator[tuple[str, str]]:
    """Yield subject and line for everything that moves; a subject is told again when its line is another one."""
    if seen.kind != RAY_CLUSTER.name and seen.state:
        yield seen.kind, f"{seen.kind} {seen.key.name}: {seen.state}"
    if seen.head is not None:
        yield "head", f"head {seen.head.name}: {seen.head.line}"
    if seen.groups:
        ready, desired = sum(group.ready for group in seen.groups), sum(group.desired for group in seen.groups)
        yield "workers", f"workers: {ready}/{desired} ready"
    for group in seen.groups:
        if group.pending and group.why:
            yield group.name, f"  {group.name}: {group.why}"


def verdict(seen: View, waited_s: float, stuck_s: float) -> Verdict:
    """Return whether waiting is over. `stuck_s`: for how long the same pod has not started."""
    failed = _failed(seen, waited_s, stuck_s)
    if failed is not None:
        return failed
    if seen.suspended:
        gone = seen.head is None and not any(group.pods for group in seen.groups)
        return Verdict(Outcome.SUSPENDED if gone else Outcome.WAITING)
    return Verdict(Outcome.READY if _arrived(seen) else Outcome.WAITING)


def stuck(seen: View) -> PodView | None:
    """Return a pod that does not start; the head before workers."""
    pods = [*([seen.head] if seen.head else []), *(pod for group in seen.groups for pod in group.pods)]
    return next((pod for pod in pods if pod.stage is Stage.STUCK), None)


def _failed(seen: View, waited_s: float, stuck_s: float) -> Verdict | None:
    if not seen.heard and waited_s >= SILENCE_S:
        hint = "install rayfleet's operator or KubeRay there, or look whether it runs: kubectl get pods -A"
        return Verdict(Outcome.FAILED, f"nobody has taken notice of {seen.kind} {seen.key} for {waited_s:.0f} s", hint)
    if seen.kind == RAY_JOB.name and seen.state.partition(" ")[0] in _JOB_FAILED:
        return Verdict(Outcome.FAILED, f"{seen.kind} {seen.key} is {seen.state}: {seen.message}".removesuffix(": "))
    pod = stuck(seen)
    if pod is not None and stuck_s >= STUCK_S:
        hint = f"kubectl describe pod {pod.name} -n {seen.key.namespace} says more"
        return Verdict(Outcome.FAILED, f"pod {pod.name} {pod.line}", hint)
    return None


def _arrived(seen: View) -> bool:
    if seen.kind == RAY_JOB.name:
        return seen.state.partition(" ")[0] in _JOB_GOES
    if seen.kind == RAY_CLUSTER.name:
        return seen.current and seen.complete
    return seen.state == "Running" or any(one["type"] == "Ready" and one["status"] == "True" for one in seen.conditions)
