"""The autoscaler of one RayCluster: the same Reconciler as everywhere, beside the head or anywhere that reaches it.

Its policy is the RayCluster's spec, read anew every few seconds; its machines are the RayCluster's pods.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from rayfleet.config import ClusterSpec
from rayfleet.config.rayio.policy import PROVIDER, policy_of
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.loop import Reconciler
from rayfleet.model import Policy
from rayfleet.providers.kuberay import Settings
from rayfleet.wire.kube.errors import KubeError
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import RAY_CLUSTER, Key
from rayfleet.wiring import build

log = structlog.get_logger()

POLICY_EVERY_S: Final = 5.0
STATE_FOLDER: Final = "rayfleet"
_LOGS: Final = "session_latest/logs"


@dataclass(frozen=True, slots=True)
class Head:
    """Where a RayCluster's head is reached. `shared`: the folder in which its Ray writes, "" when that is elsewhere."""

    host: str
    gcs_port: int
    shared: str
    token: str

    @classmethod
    def beside(cls, environment: Mapping[str, str]) -> Head:
        """Return the head that this container runs beside, from the container's variables."""
        port = environment.get("RAY_PORT", "6379")
        return cls("127.0.0.1", int(port), "/tmp/ray", environment.get("RAY_AUTH_TOKEN", ""))  # noqa: S108 - the pod's


async def autoscale(kube: Kube, cluster: Key, head: Head, folder: Path) -> None:
    """Scale a RayCluster until told to stop by a signal. What must survive a restart is kept in `folder`.

    Raises:
        KubeError: the RayCluster cannot be read at the start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    policy = await _policy(kube, cluster)
    assembly = build(_spec(cluster, policy), folder, _ray(cluster, head, folder))
    log.info("autoscaler_started", cluster=str(cluster), groups=[pool.name for pool in policy.pools])
    try:
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow_policy(kube, cluster, assembly.reconciler))
            await assembly.reconciler.run(stop)
            following.cancel()
    finally:
        await assembly.close()
    log.info("autoscaler_stopped", cluster=str(cluster))


async def follow_policy(kube: Kube, cluster: Key, reconciler: Reconciler) -> None:
    """Have the loop plan by what the RayCluster says now; what cannot be read or used leaves it as it was."""
    while True:
        await asyncio.sleep(POLICY_EVERY_S)
        try:
            policy = await _policy(kube, cluster)
        except (KubeError, ValidationError, ValueError) as error:
            log.warning("policy_kept", cluster=str(cluster), error=str(error))
            continue
        if policy != reconciler.policy:
            log.info("policy_changed", cluster=str(cluster))
            reconciler.policy = policy
            reconciler.wake("policy")


async def _policy(kube: Kube, cluster: Key) -> Policy:
    thing = await kube.get(RAY_CLUSTER, cluster)
    return policy_of(RayClusterSpec.model_validate(thing["spec"]))


def _spec(cluster: Key, policy: Policy) -> ClusterSpec:
    settings = Settings(namespace=cluster.namespace, cluster=cluster.name)
    return ClusterSpec(cluster.name, policy, PROVIDER, settings)


def _ray(cluster: Key, head: Head, folder: Path) -> RaySettings:
    """Return how the head is reached, and leave in `folder` what the engine expects of a head that others started."""
    settings = RaySettings(
        cluster=cluster.name,
        folder=str(folder),
        host=head.host,
        ports=Ports(head.gcs_port, 10001, 8265),
        temp_dir=head.shared,
        token_auth=bool(head.token),
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if head.token:
        settings.token_path.touch(mode=0o600)
        settings.token_path.write_text(head.token, encoding="utf-8")
    if head.shared:
        settings.head_path.write_text(json.dumps({"logs_dir": str(Path(head.shared) / _LOGS)}), encoding="utf-8")
    return settings
