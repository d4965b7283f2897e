"""What pods of a pretending kubelet do, step by step: start at once or late, never, crash, end, be evicted. Pure.

Rule({"ray.io/group": "gpu"}, image_pull_error())
Rule({"app": "slow"}, runs(after_s=20, ready_after_s=5))
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rayfleet.testing.kubernetes.pod_view import (
    KILLED_CODE,
    Change,
    all_exit,
    evict,
    exits,
    fail_image,
    run,
    run_unready,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One change, so long after the one before it; the first counts from when the pod was bound."""

    after_s: float
    change: Change


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to a pod. `stops_after_s`: it takes so long to end when it is deleted, but never over its grace."""

    steps: tuple[Step, ...] = ()
    stops_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """All pods with these labels behave like this; of several rules that fit, the last one counts."""

    labels: Mapping[str, str]
    behaviour: Behaviour


@dataclass(slots=True)
class Rules:
    """The rules in force; pods that were bound before a rule was added keep their behaviour."""

    rules: list[Rule] = field(default_factory=list)

    def behaviour(self, labels: Mapping[str, str]) -> Behaviour:
        """Return what a pod with these labels does; without a rule it runs at once."""
        fitting = (rule for rule in reversed(self.rules) if rule.labels.items() <= labels.items())
        return next((rule.behaviour for rule in fitting), runs())


def runs(after_s: float = 0.0, ready_after_s: float = 0.0, *, stops_after_s: float = 0.0) -> Behaviour:
    """Running so long after it was bound, and ready so long after that."""
    steps = (Step(after_s, run),) if not ready_after_s else (Step(after_s, run_unready), Step(ready_after_s, run))
    return Behaviour(steps, stops_after_s)


def never_ready(after_s: float = 0.0) -> Behaviour:
    """Running, but its readiness probe never succeeds."""
    return Behaviour((Step(after_s, run_unready),))


def never_starts() -> Behaviour:
    """ContainerCreating for ever."""
    return Behaviour()


def image_pull_error(after_s: float = 0.0) -> Behaviour:
    """ImagePullBackOff, for ever."""
    return Behaviour((Step(after_s, fail_image),))


def crashes(after_s: float = 1.0, *, code: int = 1, reason: str = "", back_after_s: float | None = None) -> Behaviour:
    """Runs, then its first container exits; where it is restarted it is back after a while, or (None) never."""
    return _then(_ran_for(after_s, exits(code, reason)), back_after_s)


def oom_killed(after_s: float = 1.0, *, back_after_s: float | None = None) -> Behaviour:
    """Runs, then its first container is killed for its memory."""
    return crashes(after_s, code=KILLED_CODE, reason="OOMKilled", back_after_s=back_after_s)


def completes(after_s: float = 0.0, *, code: int = 0) -> Behaviour:
    """Runs so long, then all its containers exit: how a Job's pod ends."""
    return Behaviour(_ran_for(after_s, all_exit(code)))


def evicted(after_s: float = 1.0) -> Behaviour:
    """Runs, then its node runs out of memory."""
    return Behaviour(_ran_for(after_s, evict()))


def _ran_for(seconds: float, change: Change) -> tuple[Step, ...]:
    return (Step(0.0, run), Step(seconds, change))


def _then(steps: Iterable[Step], back_after_s: float | None) -> Behaviour:
    return Behaviour((*steps, Step(back_after_s, run)) if back_after_s is not None else tuple(steps))
