"""How the operator itself does: counted while it works, read when somebody scrapes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from rayfleet.kube_operator.metrics import Families, Things, families
from rayfleet.kube_operator.reconciling import Failure
from rayfleet.wire.kube.objects import Kind

_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Tally:
    """The operator's own figures, in a registry of their own."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._leading = Gauge("rayfleet_operator_leading", "1: this operator is at work.", registry=self.registry)
        self._seconds = Histogram(
            "rayfleet_operator_reconcile_seconds",
            "From taking up a resource to the end of its writes.",
            ("kind",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._again = Counter(
            "rayfleet_operator_reconcile_errors",
            "Reconciles that are done again, by what went wrong.",
            ("kind", "error"),
            registry=self.registry,
        )
        self._refused = Counter(
            "rayfleet_operator_refused_writes",
            "Writes that the API server refused and that a status tells of.",
            ("kind", "reason"),
            registry=self.registry,
        )

    @contextmanager
    def at_work(self, things: Things, waiting: Callable[[], int]) -> Iterator[None]:
        """Export `things` and how many resources are `waiting` to be looked at, for as long as this operator leads."""
        resources, queue = _Resources(things), _Queue(waiting)
        self.registry.register(resources)
        self.registry.register(queue)
        self._leading.set(1)
        try:
            yield
        finally:
            self._leading.set(0)
            self.registry.unregister(resources)
            self.registry.unregister(queue)

    @contextmanager
    def reconciling(self, kind: Kind) -> Iterator[None]:
        """Time one reconcile; what it raises is counted and goes on."""
        started = time.perf_counter()
        try:
            yield
        except Exception as error:
            self._again.labels(kind.name, type(error).__name__).inc()
            raise
        finally:
            self._seconds.labels(kind.name).observe(time.perf_counter() - started)

    def refused(self, kind: Kind, failures: Iterable[Failure]) -> None:
        """Count what the API server refused."""
        for failure in failures:
            self._refused.labels(kind.name, failure.reason).inc()


class _Resources(Collector):
    def __init__(self, things: Things) -> None:
        self._things = things

    def collect(self) -> Families:
        return families(self._things)


class _Queue(Collector):
    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting

    def collect(self) -> Families:
        yield GaugeMetricFamily("rayfleet_operator_queue_length", "Resources to look at.", value=self._waiting())
