"""Decisions as events of the RayCluster: what `kubectl describe` shows where no autoscaler is beside the head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rayfleet.kube_operator.reconciling import Emit, EventType
from rayfleet.kube_operator.runtime.events import EventWriter
from rayfleet.model import DemandKind, ReasonCode, TickReport
from rayfleet.reports.events import Event, events_of
from rayfleet.wire.kube.objects import Object

_WORDS: Final = {
    "launch": (EventType.NORMAL, "ScalingUp"),
    "release": (EventType.NORMAL, "ScalingDown"),
    "failed": (EventType.WARNING, "ScalingFailed"),
    "error": (EventType.WARNING, "AutoscalerFailed"),
}
"""Events of the loop that people are told, with the words for it; the log has all of them."""
UNSAVED_S: Final = 20.0
"""So long nothing can be saved, and nothing is launched: more than a moment in which somebody else writes."""
_HOPELESS: Final = frozenset({ReasonCode.NO_POOL_FITS, ReasonCode.GANG_TOO_WIDE, ReasonCode.GANG_APART})


class Telling:
    """A sink that writes Kubernetes events. `thing` returns the RayCluster as it is now."""

    name = "events"

    def __init__(self, events: EventWriter, thing: Callable[[], Object]) -> None:
        """Take who writes them."""
        self._events = events
        self._thing = thing
        self._troubles: tuple[str, ...] = ()
        self._hopeless: frozenset[str] = frozenset()
        self._unsaved_since: float | None = None

    async def write(self, report: TickReport) -> None:
        """Tell what happened in the tick; nothing for a quiet one."""
        told = [*_decisions(events_of(report, self._troubles))]
        hopeless = frozenset(_hopeless(report))
        told += [Emit(EventType.WARNING, "CannotFit", text) for text in sorted(hopeless - self._hopeless)]
        told += self._unsaved(report)
        self._troubles, self._hopeless = report.troubles, hopeless
        for one in told:
            await self._events.tell(self._thing(), one)

    def _unsaved(self, report: TickReport) -> Iterator[Emit]:
        """Yield that nothing can be done since nothing can be written down; while that lasts, again and again."""
        now = report.snapshot.now
        if report.saved or report.error:
            self._unsaved_since = None
        elif self._unsaved_since is None:
            self._unsaved_since = now
        elif now - self._unsaved_since >= UNSAVED_S:
            self._unsaved_since = now
            yield Emit(EventType.WARNING, "AutoscalerFailed", "; ".join(report.troubles))

    async def close(self) -> None:
        """Nothing of its own to let go of."""


def _decisions(events: tuple[Event, ...]) -> Iterator[Emit]:
    for event in events:
        if event.kind in _WORDS:
            yield Emit(*_WORDS[event.kind], event.text)


def _hopeless(report: TickReport) -> Iterator[str]:
    for unmet in report.plan.unmet:
        if unmet.reason.code in _HOPELESS and unmet.kind is not DemandKind.BUFFER:
            yield unmet.reason.text
