"""Asks what no watch tells, for as long as somebody wants to know; an answer that is new wakes whoever asked."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping

import structlog

from rayfleet.kube_operator.reconciling import Probe
from rayfleet.kube_operator.runtime.caches import Subject
from rayfleet.kube_operator.runtime.servers import Servers

log = structlog.get_logger()


class Prober:
    """The probes of one operator: a task for each that is wanted."""

    def __init__(self, servers: Servers, on_news: Callable[[Subject], None]) -> None:
        """Take whom to ask, and whom to tell that a subject's facts have changed."""
        self._servers = servers
        self._on_news = on_news
        self._facts: dict[Subject, dict[Hashable, object]] = defaultdict(dict)
        self._asking: dict[Subject, dict[Probe, asyncio.Task[None]]] = defaultdict(dict)

    def facts(self, subject: Subject) -> Mapping[Hashable, object]:
        """Return the newest answers for a subject."""
        return self._facts.get(subject, {})

    def want(self, subject: Subject, probes: Iterable[Probe]) -> None:
        """Ask these for the subject from now on, and nothing else."""
        wanted = set(probes)
        asking = self._asking[subject]
        for probe in [probe for probe in asking if probe not in wanted]:
            asking.pop(probe).cancel()
            self._facts[subject].pop(probe.key, None)
        for probe in wanted - asking.keys():
            asking[probe] = asyncio.create_task(self._ask(subject, probe), name=f"probe {probe.call}")
        if not asking:
            self._asking.pop(subject, None)
            self._facts.pop(subject, None)

    async def close(self) -> None:
        """Stop asking."""
        tasks = [task for asking in self._asking.values() for task in asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, subject: Subject, probe: Probe) -> None:
        while True:
            try:
                answer = await self._servers.ask(probe)
            except Exception:
                log.exception("probe_failed", about=str(subject.key), call=probe.call)
            else:
                if self._facts[subject].get(probe.key) != answer:
                    self._facts[subject][probe.key] = answer
                    self._on_news(subject)
            await asyncio.sleep(probe.every_s)
