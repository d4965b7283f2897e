"""The autoscaler of one RayCluster: the same Reconciler as everywhere, beside the head or anywhere that reaches it.

Its policy is the RayCluster's spec, read anew every few seconds; its machines are the RayCluster's pods.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import structlog

from rayfleet.config import ClusterSpec
from rayfleet.config.rayio.growth import ANNOTATION, Growth, growth_of
from rayfleet.config.rayio.policy import PROVIDER, policy_of
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.contracts import Resizable
from rayfleet.engines.ray.settings import Ports, RaySettings, own_address
from rayfleet.kube_operator.growing.engine import GrowingEngine
from rayfleet.kube_operator.idleness import follow_use
from rayfleet.loop import Parts, Reconciler
from rayfleet.model import Policy
from rayfleet.providers.kuberay import KubeRayProvider, Settings
from rayfleet.reports.metrics.endpoint import offering
from rayfleet.wire.kube.errors import KubeError
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import RAY_CLUSTER, Key, Object, annotations_of
from rayfleet.wiring import Assembly, Exporter, build, drivers

log = structlog.get_logger()

POLICY_EVERY_S: Final = 5.0
AGAIN_S: Final = 5.0
"""How long after a failure it is started anew."""
GCS_PORT: Final = 6379
ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104 - of the pod: who scrapes is elsewhere
STATE_FOLDER: Final = "rayfleet"
_LOGS: Final = "session_latest/logs"


@dataclass(frozen=True, slots=True)
class Head:
    """Where a RayCluster's head is reached.

    `gcs_port` 0: as the RayCluster says. `shared`: the folder in which its Ray writes, "" when that is elsewhere.
    `token_file`: where a token of Kubernetes is kept, which changes every hour; "": `token` is the cluster's, if any.
    """

    host: str
    gcs_port: int
    shared: str
    token: str
    token_file: str = ""

    @classmethod
    def beside(cls, environment: Mapping[str, str]) -> Head:
        """Return the head that this container runs beside, from the container's variables."""
        port = environment.get("RAY_PORT", "0")  # KubeRay's operator does not tell
        token, file = environment.get("RAY_AUTH_TOKEN", ""), environment.get("RAY_AUTH_TOKEN_PATH", "")
        shared = "/tmp/ray"  # noqa: S108 - the pod's
        return cls("127.0.0.1", int(port), shared, token, "" if token else file)


async def autoscale(kube: Kube, cluster: Key, head: Head, folder: Path) -> None:
    """Scale a RayCluster until told to stop by a signal. What must survive a restart is kept in `folder`.

    Nothing else ends it: a container beside a head is not started again when the pod says so (`restartPolicy: Never`).
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        spec = await first_spec(kube, cluster, stop)
        if spec is None:
            break
        try:
            await _scale(kube, cluster, ray_settings(cluster, head, spec, folder), policy_of(spec), stop)
        except Exception:
            log.exception("autoscaler_failed", cluster=str(cluster), again_s=AGAIN_S)
            await _pause(stop)
    log.info("autoscaler_stopped", cluster=str(cluster))


async def first_spec(kube: Kube, cluster: Key, stop: asyncio.Event) -> RayClusterSpec | None:
    """Return the RayCluster's spec once it can be read and used, None when told to stop before that.

    The rights to read it may come later than this container does.
    """
    while not stop.is_set():
        try:
            spec = await _spec_of(kube, cluster)
            policy_of(spec)
        except (KubeError, ValueError) as error:
            log.warning("cluster_unreadable", cluster=str(cluster), error=str(error), again_s=AGAIN_S)
            await _pause(stop)
        else:
            return spec
    return None


async def _scale(kube: Kube, cluster: Key, ray: RaySettings, policy: Policy, stop: asyncio.Event) -> None:
    built, attached = build(_spec(cluster, policy), Path(ray.folder), ray), drivers(ray)
    engine = growing_engine(kube, built.parts)
    parts = replace(built.parts, engine=engine)
    assembly = Assembly(Reconciler(parts), parts, built.exporter)
    log.info("autoscaler_started", cluster=str(cluster), groups=[pool.name for pool in policy.pools])
    try:
        async with offered(built.exporter), asyncio.TaskGroup() as tasks:
            following = [
                tasks.create_task(follow_policy(kube, cluster, assembly.reconciler, engine)),
                tasks.create_task(follow_use(kube, cluster, attached, asyncio.get_running_loop().time)),
            ]
            await assembly.reconciler.run(stop)
            for task in following:
                task.cancel()
    finally:
        await attached.close()
        await assembly.close()


@contextlib.asynccontextmanager
async def offered(exporter: Exporter | None) -> AsyncIterator[None]:
    """Offer the figures on all addresses of the pod, and have Ray's service discovery list the pod's own."""
    if exporter is None:
        yield
        return
    async with offering(exporter.metrics.registry, ALL_ADDRESSES, exporter.port) as endpoint:
        if endpoint is not None:
            exporter.announce(f"{own_address()}:{endpoint.port}")
        yield


async def _pause(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), AGAIN_S)


async def follow_policy(kube: Kube, cluster: Key, reconciler: Reconciler, engine: GrowingEngine | None = None) -> None:
    """Have the loop plan by what the RayCluster says now; what cannot be read or used leaves it as it was.

    `engine`: whose pods may grow as the RayCluster says.
    """
    while True:
        try:
            thing = await kube.get(RAY_CLUSTER, cluster)
            spec = RayClusterSpec.model_validate(thing["spec"])
            policy = policy_of(spec)
            if engine is not None:
                engine.allowed = _growth(spec, thing)
        except (KubeError, ValueError) as error:
            log.warning("policy_kept", cluster=str(cluster), error=str(error))
        else:
            if policy != reconciler.policy:
                log.info("policy_changed", cluster=str(cluster))
                reconciler.policy = policy
                reconciler.wake("policy")
        await asyncio.sleep(POLICY_EVERY_S)


def _growth(spec: RayClusterSpec, thing: Object) -> Mapping[str, Growth]:
    """Return which groups may grow: none, where that cannot be read; its operator tells people."""
    try:
        return growth_of(spec, annotations_of(thing).get(ANNOTATION, ""))
    except ValueError as error:
        log.warning("nothing_grows", error=str(error))
        return {}


def growing_engine(kube: Kube, parts: Parts) -> GrowingEngine:
    """Return the engine of an autoscaler with pods that may grow; it answers once it was told which."""
    provider = cast("KubeRayProvider", parts.providers[PROVIDER])
    return GrowingEngine(cast("Resizable", parts.engine), kube, provider.pods, parts.clock.now)


async def _spec_of(kube: Kube, cluster: Key) -> RayClusterSpec:
    thing = await kube.get(RAY_CLUSTER, cluster)
    return RayClusterSpec.model_validate(thing["spec"])


def _spec(cluster: Key, policy: Policy) -> ClusterSpec:
    settings = Settings(namespace=cluster.namespace, cluster=cluster.name)
    return ClusterSpec(cluster.name, policy, PROVIDER, settings)


def ray_settings(cluster: Key, head: Head, spec: RayClusterSpec, folder: Path) -> RaySettings:
    """Return how the head is reached, and leave in `folder` what the engine expects of a head that others started."""
    asked = spec.head_group_spec.ray_start_params.get("port", "")
    port = head.gcs_port or (int(asked) if asked.isdecimal() else GCS_PORT)
    settings = RaySettings(
        cluster=cluster.name,
        folder=str(folder),
        host=head.host,
        ports=Ports(port, 10001, 8265),
        temp_dir=head.shared,
        token_auth=bool(head.token or head.token_file),
        token_file=head.token_file,
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if head.token:
        settings.token_path.touch(mode=0o600)
        settings.token_path.write_text(head.token, encoding="utf-8")
    settings.save()  # for commands of ours that are run beside the head, to look into Ray
    if head.shared:
        settings.head_path.write_text(json.dumps({"logs_dir": str(Path(head.shared) / _LOGS)}), encoding="utf-8")
    return settings
