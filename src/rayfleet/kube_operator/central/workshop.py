"""What the scalers of all clusters share, and how one of them gets the parts of its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from rayfleet.config.rayio.policy import PROVIDER
from rayfleet.contracts import Clock, Engine, Flaky, Sink
from rayfleet.kube_operator.central.telling import Telling
from rayfleet.kube_operator.raycluster.names import CLUSTER_LABEL
from rayfleet.kube_operator.reconciling import Scaling
from rayfleet.kube_operator.runtime.caches import OWNER, Caches
from rayfleet.kube_operator.runtime.events import EventWriter
from rayfleet.kube_operator.runtime.tokens import Tokens
from rayfleet.ledger.kubernetes import KubernetesLedger
from rayfleet.loop import EngineSink, Parts
from rayfleet.loop.parts import Cadence
from rayfleet.model import Policy
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.providers.kuberay import KubeRayProvider
from rayfleet.reports.log import Log
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Key, Object, uid_of

CADENCE: Final = Cadence(poll_quiet_s=0.15, orders_s=60.0, look_patience_s=1.0, close_patience_s=1.0)
"""Of clusters that are awake. Nobody gives orders through this ledger; others wait for one that wakes up and hangs; who
takes over waits for us to close."""
WAKING_AT_ONCE: Final = 8
"""Clusters that wake up take turns: an operator that has just started meets all of them at once."""
LEDGER_SUFFIX: Final = "autoscaler-ledger"


class Watched(Engine, Protocol):
    """An engine that can also be asked whether there is anything new, cheaply."""

    async def pulse(self) -> Hashable:
        """Return what differs as soon as there is anything new.

        Raises:
            EngineDown: no answer in time, or no head yet.
        """
        ...

    @property
    def session(self) -> str:
        """Return the name of Ray's session, "" while it is not known."""
        ...


EngineMaker = Callable[[Key, Scaling, Callable[[], str]], Watched]
"""Returns the engine of a RayCluster; the last argument returns its token, "" for none."""


def ray_engine(cluster: Key, scaling: Scaling, token: Callable[[], str]) -> Watched:
    """Return Ray in the pods of a RayCluster. Nothing is connected yet."""
    from rayfleet.engines.ray.engine import RayEngine  # noqa: PLC0415 - only where clusters are scaled from here
    from rayfleet.engines.ray.settings import Ports, RaySettings  # noqa: PLC0415

    ports = Ports(scaling.port, 10001, 8265)
    # Nothing of the cluster is on this machine: no folder, no logs of its head.
    settings = RaySettings(cluster.name, "/dev/null", scaling.host, ports, token_auth=False)
    return RayEngine(settings, token=token, head=scaling.head)


@dataclass
class Workshop:
    """What all scalers of one operator share. `close` when none of them is left."""

    kube: Kube
    caches: Caches
    events: EventWriter
    tokens: Tokens
    engine: EngineMaker
    clock: Clock
    waking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WAKING_AT_ONCE))
    planning: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "rayfleet-planning"))
    """One plan at a time, in the order in which they were asked for; the event loop goes on meanwhile."""

    def parts(
        self, key: Key, policy: Policy, engine: Engine, thing: Callable[[], Object], first: tuple[Sink, ...]
    ) -> Parts:
        """Return the parts of a cluster's loop.

        `thing` returns the RayCluster as it is now; `first` are the sinks that get every report before others do.
        """
        owner = uid_of(thing())
        pods = CachedPods(self.caches, key.namespace, owner)
        sinks = (*first, EngineSink(engine), Log(), Telling(self.events, thing))
        return Parts(
            cluster=str(key),
            policy=policy,
            providers={PROVIDER: KubeRayProvider(self.kube, key, pods)},
            engine=engine,
            ledger=self._ledger(key, owner),
            plan=plan,
            sinks=sinks,
            clock=self.clock,
            cadence=CADENCE,
            check=check,
            planning=self.planning,
        )

    def close(self) -> None:
        """Let go of the thread."""
        self.planning.shutdown(wait=False, cancel_futures=True)

    def _ledger(self, key: Key, owner: str) -> KubernetesLedger:
        reference = {"apiVersion": RAY_CLUSTER.api_version, "kind": RAY_CLUSTER.name, "name": key.name, "uid": owner}
        place = Key(key.namespace, f"{key.name}-{LEDGER_SUFFIX}")
        return KubernetesLedger(self.kube, place, reference, {CLUSTER_LABEL: key.name})


class CachedPods:
    """The pods of one RayCluster, out of the operator's cache."""

    def __init__(self, caches: Caches, namespace: str, owner: str) -> None:
        """Take the cache, and whose pods. `owner`: the RayCluster's uid."""
        self._caches = caches
        self._namespace = namespace
        self._owner = owner

    @property
    def current(self) -> bool:
        """Say whether the cache is up to date."""
        return self._caches.current(POD, self._namespace)

    async def follow(self) -> None:
        """Check that the pods are known. Raises Flaky."""
        if not self.current:
            raise Flaky("the API server does not tell which pods there are now")

    def now(self) -> tuple[Object, ...]:
        """Return what the cache has."""
        return self._caches.stores[POD].by(OWNER, self._owner)

    async def close(self) -> None:
        """Leave the cache to the others."""
