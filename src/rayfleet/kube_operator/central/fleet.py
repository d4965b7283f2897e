"""All clusters that the operator scales: a task for each, begun and ended as their reconciling wants it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client.metrics_core import Metric

from rayfleet.kube_operator.central.scaler import Scaler
from rayfleet.kube_operator.central.workshop import Workshop
from rayfleet.kube_operator.reconciling import Scaling
from rayfleet.model import Policy
from rayfleet.reports.metrics.collecting import together
from rayfleet.wire.kube.objects import Key, Object, uid_of

_ANY: Final = Policy()


@dataclass(frozen=True, slots=True)
class _Place:
    """A scaler at work. `whose`: the RayCluster's uid, and how its Ray is reached."""

    whose: tuple[str, Scaling]
    scaler: Scaler
    task: asyncio.Task[None]


class Fleet:
    """The scalers of one operator."""

    def __init__(self, workshop: Workshop) -> None:
        """Take what they share; scale nothing yet."""
        self._workshop = workshop
        self._places: dict[Key, _Place] = {}
        self._ending: dict[Key, set[asyncio.Task[None]]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._places)

    def want(self, key: Key, thing: Object | None, scaling: Scaling | None) -> None:
        """Scale a RayCluster like this from now on; None: not any more. Called after every look at it."""
        place = self._places.get(key)
        if thing is None or scaling is None:
            self._end(key)
            return
        whose = (uid_of(thing), replace(scaling, policy=_ANY))
        if place is not None and place.whose == whose:
            place.scaler.update(thing, scaling)
            return
        self._end(key)
        scaler = Scaler(key, thing, scaling, self._workshop)
        task = asyncio.create_task(_after(frozenset(self._ending.get(key, ())), scaler), name=f"autoscaler {key}")
        self._places[key] = _Place(whose, scaler, task)

    def figures(self) -> Iterator[Metric]:
        """Yield the figures of all clusters that are scaled now, for Prometheus; asked for in any thread."""
        return together([place.scaler.figures() for place in tuple(self._places.values())])

    async def close(self) -> None:
        """End all of them; machines stay, and who scales next goes on with them."""
        for key in tuple(self._places):
            self._end(key)
        await asyncio.gather(*(task for tasks in self._ending.values() for task in tasks), return_exceptions=True)
        self._workshop.close()

    def _end(self, key: Key) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            place.task.cancel()
            self._ending[key].add(place.task)
            place.task.add_done_callback(lambda task: self._forget(key, task))

    def _forget(self, key: Key, task: asyncio.Task[None]) -> None:
        self._ending[key].discard(task)
        if not self._ending[key]:
            del self._ending[key]


async def _after(before: frozenset[asyncio.Task[None]], scaler: Scaler) -> None:
    """Run a scaler once those before it have ended: two would write into one ledger."""
    if before:
        await asyncio.wait(before)
    await scaler.run()
