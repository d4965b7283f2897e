"""The operator: what changed is reconciled, each resource by itself, many at a time.

API server --watch--> caches --(whom it concerns)--> queue --> observe -> reconcile -> carry out --> API server
^                                  |
'------ again: failed, or later ---'
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from rayfleet.kube_operator.central.fleet import Fleet
from rayfleet.kube_operator.central.workshop import EngineMaker, Workshop, ray_engine
from rayfleet.kube_operator.raycluster.reconcile import reconcile as reconcile_raycluster
from rayfleet.kube_operator.raycluster.storage import related_to_storage
from rayfleet.kube_operator.raycronjob.reconcile import reconcile as reconcile_raycronjob
from rayfleet.kube_operator.rayjob.reconcile import reconcile as reconcile_rayjob
from rayfleet.kube_operator.rayjob.reconcile import related as related_to_rayjob
from rayfleet.kube_operator.rayservice.reconcile import reconcile as reconcile_rayservice
from rayfleet.kube_operator.rayservice.reconcile import related as related_to_rayservice
from rayfleet.kube_operator.reconciling import (
    Emit,
    EventType,
    Failure,
    Observed,
    Reconciled,
    Related,
    Scaling,
)
from rayfleet.kube_operator.runtime.caches import Caches, Subject
from rayfleet.kube_operator.runtime.carry_out import Hand
from rayfleet.kube_operator.runtime.events import EventWriter
from rayfleet.kube_operator.runtime.prober import Prober
from rayfleet.kube_operator.runtime.servers import HttpServers, Servers
from rayfleet.kube_operator.runtime.tally import Tally
from rayfleet.kube_operator.runtime.tokens import Tokens
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.errors import Conflict, KubeError
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import RAY_CLUSTER, RAY_CRON_JOB, RAY_JOB, RAY_SERVICE, Kind, Object, uid_of
from rayfleet.wire.kube.queue import WorkQueue

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Controller:
    """How one kind is reconciled, and what it depends on beside what it owns."""

    reconcile: Callable[[Observed, OperatorSettings], Reconciled]
    related: Callable[[Object], tuple[Related, ...]] = lambda _thing: ()


CONTROLLERS: Final[Mapping[Kind, Controller]] = {
    RAY_CLUSTER: Controller(reconcile_raycluster, related_to_storage),
    RAY_JOB: Controller(reconcile_rayjob, related_to_rayjob),
    RAY_SERVICE: Controller(reconcile_rayservice, related_to_rayservice),
    RAY_CRON_JOB: Controller(reconcile_raycronjob),
}
RESYNC_S: Final = 600.0
"""Every resource is looked at again after so long, should anything have been missed."""


@dataclass(frozen=True)
class Edges:
    """What an operator is put together from.

    `incarnation`: a word that no operator before had. `servers`: None for the real ones, by HTTP. `fresh_secret`: gives
    a word that nobody can guess. `engine`: how Ray is reached in clusters that the operator scales itself.
    """

    kube: Kube
    settings: OperatorSettings
    incarnation: str
    now: Callable[[], float]
    servers: Servers | None = None
    namespaces: tuple[str | None, ...] = (None,)
    workers: int = 16
    fresh_secret: Callable[[], str] = secrets.token_urlsafe
    engine: EngineMaker = ray_engine


@dataclass
class Operator:
    """One operator; `run` it."""

    edges: Edges
    queue: WorkQueue[Subject] = field(default_factory=WorkQueue)
    tally: Tally = field(default_factory=Tally)
    ready: bool = field(default=False, init=False)
    """Everything that exists is known."""
    _failures: dict[Subject, tuple[Failure, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make its parts; no I/O yet."""
        edges = self.edges
        self.caches = Caches(edges.kube, edges.namespaces, self._changed)
        self._events = EventWriter(edges.kube, edges.now)
        tokens = Tokens(edges.kube, edges.now)
        servers = edges.servers or HttpServers(tokens)
        self._hand = Hand(edges.kube, self._events, servers, edges.now)
        self._prober = Prober(servers, self.queue.add)
        self.fleet = Fleet(Workshop(edges.kube, self.caches, self._events, tokens, edges.engine, edges))

    async def run(self) -> None:
        """Reconcile for ever."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.caches.run())
                await self.caches.synced()
                self.ready = True
                log.info("operator_ready", clusters=len(self.caches.stores[RAY_CLUSTER]))
                for _ in range(self.edges.workers):
                    tasks.create_task(self._work())
        finally:
            await asyncio.gather(self._prober.close(), self.fleet.close())

    def _changed(self, subject: Subject, wait_s: float) -> None:
        if wait_s:
            self.queue.add_after(subject, wait_s)
        else:
            self.queue.add(subject)

    async def _work(self) -> None:
        while True:
            subject = await self.queue.take()
            try:
                with self.tally.reconciling(subject.kind):
                    again_s = await self._reconcile(subject)
            except KubeError as error:
                wait_s = self.queue.retry(subject)
                quiet = isinstance(error, Conflict)
                (log.debug if quiet else log.warning)("again", about=str(subject.key), error=str(error), in_s=wait_s)
            except Exception:
                log.exception("reconcile_failed", about=str(subject.key), kind=subject.kind.name)
                self.queue.retry(subject)
            else:
                if again_s is not None:
                    self.queue.add_after(subject, again_s)
            finally:
                self.queue.done(subject)

    async def _reconcile(self, subject: Subject) -> float | None:
        """Bring one resource nearer to what it wants; return when to look again, None when it is gone."""
        thing = self.caches.stores[subject.kind].get(subject.key)
        if thing is None:
            self.queue.forget(subject)
            self._failures.pop(subject, None)
            self._prober.want(subject, ())
            self._scale(subject, None, None)
            return None
        seen = self._observe(subject, thing)
        try:
            wanted = CONTROLLERS[subject.kind].reconcile(seen, self.edges.settings)
        except (ValidationError, PydanticCustomError) as error:
            return await self._invalid(thing, subject, error)
        self._prober.want(subject, wanted.probes)
        self._scale(subject, thing, wanted.scaling)
        done = await self._hand.carry_out(thing, wanted.actions)
        self.tally.refused(subject.kind, done.failures)
        if _kinds(done.failures) != _kinds(seen.failures):
            self._failures[subject] = done.failures
            self.queue.add(subject)  # what was refused belongs into the status
        elif done.failures or done.overtaken:
            self.queue.retry(subject)
        else:
            self.queue.forget(subject)
        if wanted.status is not None:
            await self._hand.write_status(subject.kind, thing, wanted.status)
        return RESYNC_S if wanted.again_s is None else wanted.again_s

    async def _invalid(self, thing: Object, subject: Subject, error: ValueError) -> float:
        """Tell the user what cannot be read; nothing is asked or done about it until it is changed."""
        self._prober.want(subject, ())
        self._scale(subject, None, None)
        await self._events.tell(thing, Emit(EventType.WARNING, f"Invalid{subject.kind.name}Spec", str(error)))
        return RESYNC_S

    def _scale(self, subject: Subject, thing: Object | None, scaling: Scaling | None) -> None:
        if subject.kind == RAY_CLUSTER:
            self.fleet.want(subject.key, thing, scaling)

    def _observe(self, subject: Subject, thing: Object) -> Observed:
        uid = uid_of(thing)
        return Observed(
            thing=thing,
            now=self.edges.now(),
            owned=self.caches.owned_by(uid),
            related=self.caches.related_to(subject.key.namespace, CONTROLLERS[subject.kind].related(thing)),
            facts=self._prober.facts(subject),
            incarnation=self.edges.incarnation,
            departed=self.caches.departed(uid),
            failures=self._failures.get(subject, ()),
            fresh_secret=self.edges.fresh_secret(),
        )


def _kinds(failures: tuple[Failure, ...]) -> list[tuple[str, str]]:
    """Return what failures are about.

    Their messages may differ each time: were that news, the status would change with each, every change of it would be
    a reason to look again, and what is refused would be tried without end.
    """
    return [(failure.reason, failure.error) for failure in failures]
