"""What waits for machines."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.model.frozen import NO_LABELS, FrozenMap, Labels
from rayfleet.model.labels import LabelSelector
from rayfleet.model.resources import Resources
from rayfleet.model.word import Word

Selectors = tuple[LabelSelector, ...]
"""Alternatives in order of preference; empty = anywhere. The first that can be met wins."""


class DemandKind(Word):
    """The sorts of demand, in the words of files and reports; a buffer is the last to be served."""

    TASKS = "tasks"
    GANG = "gang"
    REQUESTED = "requested"
    BUFFER = "buffer"


class Strategy(Word):
    """Ray's placement strategies. The STRICT ones bind; PACK and SPREAD are preferences."""

    PACK = "PACK"
    SPREAD = "SPREAD"
    STRICT_PACK = "STRICT_PACK"
    STRICT_SPREAD = "STRICT_SPREAD"


@dataclass(frozen=True, slots=True)
class TaskDemand:
    """`count` tasks or actors of one shape; they may be spread over any machines.

    `labels` say whose they are, for quotas; they choose no machine.
    """

    shape: Resources
    count: int = 1
    selectors: Selectors = ()
    age_s: float = 0.0
    labels: Labels = NO_LABELS


@dataclass(frozen=True, slots=True)
class Bundle:
    """One member of a gang."""

    shape: Resources
    selectors: Selectors = ()


@dataclass(frozen=True, slots=True)
class Gang:
    """`count` equal placement groups; each is placed whole or not at all.

    `placed` maps a bundle's index (as text) to the machine id that already holds
    it: such bundles need no room, but STRICT strategies respect where they are.
    A gang with placed bundles has count 1. `labels`: whose it is, as of tasks. `same_label`: a label key on which all
    its machines agree (a zone, a rack); None: they need not.
    """

    strategy: Strategy
    bundles: tuple[Bundle, ...]
    count: int = 1
    age_s: float = 0.0
    placed: FrozenMap[str] = FrozenMap()
    labels: Labels = NO_LABELS
    same_label: str | None = None


@dataclass(frozen=True, slots=True)
class RequestedDemand:
    """`request_resources`: the cluster's total (not free) capacity must hold `count` of `shape`."""

    shape: Resources
    count: int = 1
    selectors: Selectors = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """All that waits, as the engine reports it."""

    tasks: tuple[TaskDemand, ...] = ()
    gangs: tuple[Gang, ...] = ()
    requested: tuple[RequestedDemand, ...] = ()

    def __bool__(self) -> bool:
        """Say whether anything waits or is requested."""
        return bool(self.tasks or self.gangs or self.requested)
