"""One cluster's autoscaler in the operator: a task that sleeps while nothing goes on in its cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from typing import Final

import structlog
from prometheus_client.metrics_core import Metric

import rayfleet
from rayfleet.config.rayio.policy import PROVIDER
from rayfleet.contracts import EngineError, EngineRefuses
from rayfleet.kube_operator.central.rest import (
    DOWN_S,
    LOOK_FIRST_S,
    Activity,
    activity,
    mark,
    may_sleep,
    next_pause_s,
)
from rayfleet.kube_operator.central.workshop import Workshop
from rayfleet.kube_operator.raycluster.names import digest
from rayfleet.kube_operator.reconciling import Emit, EventType, Scaling
from rayfleet.kube_operator.runtime.tokens import TokenUnreadable
from rayfleet.loop import Reconciler, close_parts
from rayfleet.loop.deadlines import next_deadline
from rayfleet.model import TickReport
from rayfleet.planner.orders import effective_policy
from rayfleet.reports.metrics.sink import About, Metrics
from rayfleet.wire.kube.objects import Key, Object

log = structlog.get_logger()

TOLD_AFTER: Final = 6
"""Questions without an answer: half a minute, or more where each takes its time."""
AGAIN_S: Final = 5.0
"""How long after an error that nobody expected it begins anew."""


class Rest:
    """A sink that knows since when nothing has changed, and ends the loop once it may."""

    name = "rest"

    def __init__(self) -> None:
        """Know of no report yet."""
        self.stop = asyncio.Event()
        self._mark: Hashable = None
        self._since = 0.0

    async def write(self, report: TickReport) -> None:
        """Take a report in."""
        now, seen = asyncio.get_running_loop().time(), mark(report)
        if seen != self._mark:
            self._mark, self._since = seen, now
        if may_sleep(activity(report), now - self._since, engine_up=report.snapshot.engine_up):
            self.stop.set()

    def sleeps_on(self, report: TickReport) -> bool:
        """Say whether a cluster that was woken for this may sleep on at once."""
        return activity(report) is Activity.NOTHING or self.stop.is_set()

    async def close(self) -> None:
        """Nothing of its own to let go of."""


class Scaler:
    """Scales one RayCluster while `run` runs. `update` tells it what has changed."""

    def __init__(self, key: Key, thing: Object, scaling: Scaling, workshop: Workshop) -> None:
        """Take which cluster it is, as it is now, and what it shares with others. No I/O yet."""
        self._key = key
        self._thing = thing
        self._secret = scaling.secret
        self._workshop = workshop
        self._token: str | None = None
        self._engine = workshop.engine(key, scaling, lambda: self._token or "")
        self._rest = Rest()
        about = About(key.name, key.namespace, PROVIDER, rayfleet.__version__)
        self._metrics = Metrics(about, lambda: self._engine.session)
        self._metrics.begin(scaling.policy)
        first = (self._rest, self._metrics)
        self._parts = workshop.parts(key, scaling.policy, self._engine, lambda: self._thing, first)
        self._reconciler = Reconciler(self._parts)
        self._woken = asyncio.Event()
        self._pause_s = LOOK_FIRST_S
        self._spread = int(digest(key), 36) % 97 / 97
        self._unanswered_times = 0  # in a row
        self._asleep = True

    def figures(self) -> Iterator[Metric]:
        """Yield the cluster's figures, for Prometheus; asked for in any thread."""
        return self._metrics.figures(ticking=not self._asleep)

    def update(self, thing: Object, scaling: Scaling) -> None:
        """Look at the cluster: it, or something of it, has changed."""
        self._thing = thing
        if scaling.policy != self._reconciler.policy:
            log.info("policy_changed", cluster=str(self._key))
            self._reconciler.policy = scaling.policy
            self._reconciler.wake("policy")
        self._woken.set()

    async def run(self) -> None:
        """Scale until cancelled; then let go of everything but machines."""
        log.info("autoscaler_started", cluster=str(self._key))
        try:
            while True:
                try:
                    await self._live()
                except Exception:
                    log.exception("autoscaler_failed", cluster=str(self._key), again_s=AGAIN_S)
                    await asyncio.sleep(AGAIN_S)
        finally:
            await self._reconciler.close()
            await close_parts(self._parts)
            log.info("autoscaler_stopped", cluster=str(self._key))

    async def _live(self) -> None:
        await self._sleep(None, None)  # nothing is known before Ray has answered
        while True:
            self._woken.clear()
            self._rest.stop.clear()
            known = await self._pulse()
            async with self._workshop.waking:
                report = await self._reconciler.tick()
            up = report.snapshot.engine_up and known is not None
            self._pause_s = LOOK_FIRST_S if up else self._pause_s
            if self._rest.sleeps_on(report):
                # A pulse that no look has confirmed tells nothing: then any answer is news.
                await self._sleep(known if up else None, self._until_s(report))
            else:
                log.debug("awake", cluster=str(self._key))
                self._rest.stop.clear()
                await self._reconciler.run(self._rest.stop)

    async def _sleep(self, known: Hashable | None, until_s: float | None) -> None:
        """Wait until Ray says something else than `known` (None: anything), until woken, or for `until_s`."""
        self._asleep = True
        try:
            await self._until_news(known, until_s)
        finally:
            self._asleep = False

    async def _until_news(self, known: Hashable | None, until_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        until = None if until_s is None else loop.time() + until_s
        while True:
            look_at = loop.time() + self._pause_s
            try:
                async with asyncio.timeout_at(look_at if until is None else min(look_at, until)):
                    await self._woken.wait()
            except TimeoutError:
                if until is not None and loop.time() >= until:
                    return
            else:
                return
            self._pause_s = next_pause_s(self._pause_s, self._spread)
            seen = await self._pulse()
            if seen is not None and seen != known:
                return

    async def _pulse(self) -> Hashable | None:
        """Ask Ray whether there is anything new; None: it does not answer, which is logged when that is new."""
        try:
            if self._secret is not None and self._token is None:
                self._token = await self._workshop.tokens.of(self._secret)
            seen = await self._engine.pulse()
        except (EngineError, TokenUnreadable) as error:
            if isinstance(error, EngineRefuses) and self._secret is not None:
                self._workshop.tokens.forget(self._secret)
                self._token = None
                await self._engine.close()  # the token belongs to the connection
            await self._unanswered(str(error))
            return None
        if self._unanswered_times:
            log.info("ray_answers", cluster=str(self._key))
        self._unanswered_times = 0
        return seen

    async def _unanswered(self, trouble: str) -> None:
        """Count it; the log is told at once, people once it is more than a head that is about to start."""
        self._unanswered_times += 1
        if self._unanswered_times == 1:
            log.warning("ray_does_not_answer", cluster=str(self._key), error=trouble)
        if self._unanswered_times == TOLD_AFTER:
            message = f"the operator cannot scale the cluster: {trouble}"
            await self._workshop.events.tell(self._thing, Emit(EventType.WARNING, "RayDoesNotAnswer", message))

    def _until_s(self, report: TickReport) -> float | None:
        """Return after how many seconds the next plan may be another one though nothing happens; None: never."""
        policy, now = effective_policy(report.snapshot), report.snapshot.now
        deadline = next_deadline(policy, report.plan, now)
        least_s = LOOK_FIRST_S if report.snapshot.engine_up else DOWN_S  # by which little can be concluded
        return None if deadline is None else max(deadline - self._parts.clock.now(), least_s)
