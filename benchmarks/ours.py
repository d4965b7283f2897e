"""A rayfleet cluster to measure: brought up in a state folder of its own, watched by its record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rayfleet import LocalCluster
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease, view
from rayfleet.launcher.home import Home
from rayfleet.model import Phase, TickReport
from rayfleet.reports.events import Event
from rayfleet.reports.history import HistoryReader

T = TypeVar("T")

CPU1 = {"resources": {"CPU": 1, "object_store_memory": 100_000_000}, "max_workers": 4}
"""The pool of the comparisons: as the stock side's node type."""
_LOOK_S = 0.02
_OF_CLUSTERS = ("RAY_", "RAYFLEET_")


@dataclass(frozen=True, slots=True)
class Ours:
    """A cluster that is up. `environment`: of processes that are its clients."""

    home: Home
    environment: Mapping[str, str]

    @property
    def controller_pid(self) -> int:
        """Return the pid of the process that is rayfleet. RuntimeError when there is none."""
        found = lease.controller(self.home)
        if found is None:
            raise RuntimeError(f"the controller of {self.home.name} is gone")
        return found.process.pid

    def launch_after(self, moment: float, patience_s: float = 30.0) -> Event:
        """Return the first launch that was called after `moment`. TimeoutError when there is none in time."""
        reader = HistoryReader(self.home.history)

        def found() -> Event | None:
            launches = (event for event in reader.events(since=moment) if event.kind == "launch")
            return next(launches, None)

        return until(found, patience_s)

    def until_no_workers(self, patience_s: float = 60.0) -> None:
        """Wait until the record shows no worker in any phase. TimeoutError."""
        until(lambda: self._workers(lambda _: True) == 0 or None, patience_s)

    def until_ready(self, workers: int, patience_s: float = 60.0) -> None:
        """Wait until so many workers have joined. TimeoutError."""
        until(lambda: self._workers(lambda phase: phase is Phase.READY) == workers or None, patience_s)

    def _workers(self, counts: Callable[[Phase], bool]) -> int:
        report: TickReport = view.latest(self.home)
        return sum(not claim.head and not claim.foreign and counts(claim.phase) for claim in report.plan.claims)


@contextmanager
def ours(**cluster: Any) -> Iterator[Ours]:
    """Have a cluster up while inside. `cluster`: arguments of `LocalCluster`; none: this machine's default one."""
    with LocalCluster(**cluster) as up:
        yield Ours(homes.find(up.name), {**clean_environment(), **up.env})


@contextmanager
def state_in(folder: Path) -> Iterator[None]:
    """Keep rayfleet's state of this run in `folder`: a run meets no cluster of the user's, and leaves no trace."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_STATE_HOME"]
        else:
            os.environ["XDG_STATE_HOME"] = before


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what belongs to some Ray cluster."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_CLUSTERS)}


def until(found: Callable[[], T | None], patience_s: float) -> T:
    """Return what `found` finds, as soon as it does. TimeoutError."""
    deadline = time.monotonic() + patience_s
    while (it := found()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {patience_s:g} s")
        time.sleep(_LOOK_S)
    return it
