"""The sink of figures: counts what happens, keeps the newest report, and tells both to whoever scrapes.

Counting is done as reports come, in the loop's thread, and is little work; all else is done when somebody asks, in the
thread of whoever does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from threading import Lock

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from rayfleet.model import Policy, TickReport
from rayfleet.reports.metrics import families as of
from rayfleet.reports.metrics.collecting import metrics_of, with_labels
from rayfleet.reports.metrics.counts import Counts
from rayfleet.reports.metrics.gauges import is_decided, now_gauges, plan_gauges
from rayfleet.reports.metrics.samples import Sample


@dataclass(frozen=True, slots=True)
class About:
    """Whose figures they are. `namespace`: of Kubernetes, "default" elsewhere. `place`: the kind of provider."""

    cluster: str
    namespace: str
    place: str
    version: str


class Metrics:
    """Takes reports; `registry` holds all families, for an endpoint to serve."""

    name = "metrics"

    def __init__(self, about: About, session: Callable[[], str]) -> None:
        """Tell of `about`. `session`: returns the name of Ray's session as it is known then, "" while it is not."""
        self.about = about
        self._session = session
        self._counts = Counts()
        self._newest: TickReport | None = None
        self._decided: TickReport | None = None
        self._lock = Lock()
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Asked(self._metrics))

    def begin(self, policy: Policy) -> None:
        """Tell of what may happen under a policy before it does: the first of everything is one more than 0."""
        with self._lock:
            self._counts.begin(policy)

    async def write(self, report: TickReport) -> None:
        """Count what happened, and keep the report for whoever asks."""
        with self._lock:
            self._counts.take(report)
            self._newest = report
            if is_decided(report):
                self._decided = report

    async def close(self) -> None:
        """Nothing of its own to let go of: who serves the registry ends that."""

    def figures(self, *, ticking: bool = True) -> Iterator[Metric]:
        """Yield what is known of the cluster. Not `ticking`: the loop rests, and when it last ticked tells nothing."""
        with self._lock:
            newest, decided, counts = self._newest, self._decided, self._counts.copy()
        about = self.about
        gauges = chain(
            [Sample(of.INFO, (about.version, about.place), 1.0)],
            (sample for sample in (now_gauges(newest) if newest else ()) if ticking or sample.family != of.LAST_TICK),
            plan_gauges(decided) if decided else (),
            counts.gauges(newest.snapshot.now, _pools(decided or newest)) if newest else (),
        )
        return metrics_of(gauges, counts, self._common())

    def _metrics(self) -> Iterator[Metric]:
        return chain(self.figures(), with_labels(_PROCESS.collect(), self._common()))

    def _common(self) -> dict[str, str]:
        about = self.about
        return dict(zip(of.COMMON, (about.namespace, about.cluster, self._session()), strict=True))


_PROCESS = ProcessCollector(registry=None)
"""Memory, processor time and open files of this process."""


class _Asked(Collector):
    """A collector that is nothing but a question."""

    def __init__(self, answer: Callable[[], Iterator[Metric]]) -> None:
        self._answer = answer

    def collect(self) -> Iterator[Metric]:
        return self._answer()


def _pools(report: TickReport) -> tuple[str, ...]:
    policy = report.snapshot.policy
    heads = (policy.head.name,) if policy.head else ()
    return (*(pool.name for pool in policy.pools), *heads)
