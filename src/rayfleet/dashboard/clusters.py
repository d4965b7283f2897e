"""What the page is handed: the clusters there are, and how to act on one. Whoever starts the page implements it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rayfleet.contracts import Jobs
from rayfleet.contracts.state import State


class OrderRefused(Exception):
    """What was ordered cannot be; the message says why and what to do instead."""


class NoWayIn(Exception):
    """A cluster's Ray cannot be asked: it is down, or elsewhere. `hint`: what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep both, in words for the user."""
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Entry:
    """One cluster. `state`: up, down, "no controller", suspended ... as `rayfleet list` says it.

    `history`: its record; None: it is on another computer, and `where` says so. `logs`: the folder of its controller's.
    """

    name: str
    state: str
    history: Path | None
    where: str = ""
    logs: Path | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Where a cluster's figures are. `exporter`: the page of its controller; `prometheus`: who keeps them.

    "": there is none; `trouble` and `hint` say why there is no exporter, and what to do.
    """

    exporter: str = ""
    prometheus: str = ""
    trouble: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Inside:
    """Whom a cluster's Ray is asked through; both show its token."""

    state: State
    jobs: Jobs


class Clusters(Protocol):
    """The clusters of one user. Calls that are not `async` may read files, and are made in a thread."""

    def known(self) -> tuple[Entry, ...]:
        """Return every cluster, by name."""
        ...

    def figures(self, cluster: str) -> Figures:
        """Return where a cluster's figures are."""
        ...

    def inside(self, cluster: str) -> AbstractAsyncContextManager[Inside]:
        """Give the way into a cluster's Ray, for as long as the block lasts.

        Raises:
            NoWayIn: it is down, or not on this machine.
        """
        ...

    async def drain(self, cluster: str, node: str, why: str) -> str:
        """Order a machine to be emptied and given back; return what was ordered, in words.

        Raises:
            OrderRefused: it cannot be, or nobody would carry it out.
        """
        ...
