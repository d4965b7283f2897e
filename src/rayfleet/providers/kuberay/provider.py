"""The provider's calls over a RayCluster: its pods are followed, its counts are patched."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, Self

from rayfleet.contracts import Denied, Flaky, LaunchRequest, Machine, ProviderContext, QuotaReached
from rayfleet.providers.kuberay.following import FollowedPods, Pods
from rayfleet.providers.kuberay.patches import (
    GROUP_LABEL,
    Group,
    NoSuchGroup,
    Operation,
    find_group,
    launch_patch,
    launches,
    refusal,
    release_patch,
    take_back_patch,
)
from rayfleet.providers.kuberay.pods import is_worker, machine, replica_of, replicas_staying
from rayfleet.providers.kuberay.settings import Settings
from rayfleet.providers.kuberay.waiting import Waiting
from rayfleet.wire.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import RAY_CLUSTER, Key, Object, key_of, labels_of

LIST_INTERVAL_S: Final = 0.5
MADE_WITHIN_S: Final = 30.0
"""An operator that has made no pods by then will not do so soon."""
LOOK_S: Final = 2.0
POLL_S: Final = 0.2
QUOTA: Final = "exceeded quota"
TRIES: Final = 5
"""A patch that finds the RayCluster changed is made anew so often before the loop is told to try later."""


Operations = list[Operation]
Patching = Callable[[Object], Operations]


class KubeRayProvider:
    """Workers of one RayCluster. At most one at a time changes a RayCluster; people may change it beside that."""

    def __init__(self, kube: Kube, cluster: Key, pods: Pods | None = None) -> None:
        """Take the way to the API server, and which RayCluster it is. No I/O yet.

        `pods`: those of the cluster, where somebody follows them already; then `kube` is somebody else's to close, too.
        """
        self._kube = kube
        self._cluster = cluster
        self._pods: Pods = pods or FollowedPods(kube, cluster)
        self._guest = pods is not None
        self._waiting = Waiting()
        self._changing = asyncio.Lock()

    @classmethod
    def reached_by(cls, context: ProviderContext) -> Self:
        """Return the provider for what a cluster's settings say, over a connection of its own."""
        from rayfleet.wire.kube.client import KubeClient, find_config

        settings: Settings = context.settings
        kube = KubeClient(find_config(settings.context))
        return cls(kube, Key(settings.namespace, settings.cluster or context.cluster))

    @property
    def name(self) -> str:
        """Return `kuberay`."""
        return "kuberay"

    @property
    def list_interval_s(self) -> float:
        """Return half a second: the pods are followed, so that listing costs next to nothing."""
        return LIST_INTERVAL_S

    async def list(self) -> tuple[Machine, ...]:
        """Return all worker pods, in id order.

        Raises:
            Flaky: the API server has not told yet which there are, or does not answer any more.
        """
        await self._pods.follow()
        if not self._pods.current:
            raise Flaky("the API server does not tell which pods there are now")
        pods = sorted(self._workers(), key=lambda pod: key_of(pod).name)
        waited = self._waiting.look(pods, asyncio.get_running_loop().time())
        return tuple(machine(pod, waited[key_of(pod).name]) for pod in pods)

    async def launch(self, request: LaunchRequest) -> None:
        """Have the RayCluster want more replicas of a group, and wait until its operator has made their pods.

        What is not made within `MADE_WITHIN_S` is no longer asked for when this returns.

        Raises:
            QuotaReached: the operator may not make as many pods.
            Denied: we may not, or there is no such RayCluster or group.
            Flaky: no answer, no pods, or the RayCluster changes all the time.
        """
        await self._pods.follow()
        name, target = request.offer.pool, 0

        def patch(cluster: Object) -> Operations:
            nonlocal target
            if request.batch in launches(cluster):
                return []
            group = find_group(cluster, name)
            staying = self._staying(group)
            target = min(
                max(group.spec.replicas, group.spec.min_replicas, staying) + len(request.claims),
                group.spec.max_replicas,
            )
            return launch_patch(cluster, group, staying, len(request.claims), request.batch)

        await self._change(patch)
        if target:
            await self._made(name, target, request.batch)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Name the pods that are to go, and want as many replicas less.

        Raises:
            Flaky, Denied: as for `launch`.
        """
        await self._pods.follow()
        there = {key_of(pod).name: pod for pod in self._workers()}
        by_group: dict[str, list[str]] = defaultdict(list)
        for name in machine_ids:
            if name in there:
                by_group[labels_of(there[name]).get(GROUP_LABEL, "")].append(name)
        for name, names in sorted(by_group.items()):
            await self._change(partial(self._released, name=name, pods=names))

    def _released(self, cluster: Object, name: str, pods: Sequence[str]) -> Operations:
        group = find_group(cluster, name)
        existing = {key_of(pod).name: replica_of(pod) for pod in self._workers()}
        return release_patch(group, pods, existing, self._staying(group))

    def _staying(self, group: Group) -> int:
        """Return how many replicas of a group exist and are not on their way out."""
        pods = [pod for pod in self._workers() if labels_of(pod).get(GROUP_LABEL) == group.spec.group_name]
        return replicas_staying(pods, group.spec.scale_strategy.workers_to_delete, group.spec.num_of_hosts)

    async def _made(self, name: str, target: int, batch: str) -> None:
        """Wait for the pods of a launch; what does not come is taken back."""
        loop = asyncio.get_running_loop()
        until, why = loop.time() + MADE_WITHIN_S, ""
        while loop.time() < until and not why:
            looked_at = loop.time()
            cluster = await self._read()
            with _in_words(self._cluster):
                group, why = find_group(cluster, name), refusal(cluster, name)
            while loop.time() - looked_at < LOOK_S:
                if self._staying(group) >= target:
                    return
                await asyncio.sleep(POLL_S)
        await self._change(partial(self._taken_back, name=name, target=target, batch=batch))
        if QUOTA in why:
            raise QuotaReached(why)
        raise Flaky(why or f"not all pods of {name} were made within {MADE_WITHIN_S:.0f} s: is the operator at work?")

    def _taken_back(self, cluster: Object, name: str, target: int, batch: str) -> Operations:
        group = find_group(cluster, name)
        staying = self._staying(group)
        return take_back_patch(cluster, group, staying, max(target - staying, 0), batch)

    async def close(self) -> None:
        """Stop following; pods stay."""
        if not self._guest:
            await self._pods.close()
            await self._kube.close()

    def pods(self) -> tuple[Object, ...] | None:
        """Return all pods, the head's too; None: they are not known (`list` asks). Do not change them."""
        return self._pods.now() if self._pods.current else None

    def _workers(self) -> tuple[Object, ...]:
        return tuple(pod for pod in self._pods.now() if is_worker(pod))

    async def _read(self) -> Object:
        with _in_words(self._cluster):
            return await self._kube.get(RAY_CLUSTER, self._cluster)

    async def _change(self, patch: Patching) -> None:
        """Patch the RayCluster as it is now; again when it has changed meanwhile."""
        async with self._changing:
            for _ in range(TRIES):
                with _in_words(self._cluster), contextlib.suppress(Conflict):
                    wanted = patch(await self._kube.get(RAY_CLUSTER, self._cluster))
                    if wanted:
                        await self._kube.patch(RAY_CLUSTER, self._cluster, wanted)
                    return
        raise Flaky(f"RayCluster {self._cluster} changes faster than it can be patched")


@contextlib.contextmanager
def _in_words(cluster: Key) -> Iterator[None]:
    """Have errors of the API server said in the words of the contract."""
    try:
        yield
    except NoSuchGroup as error:
        raise Denied(str(error)) from error
    except (Forbidden, Invalid, NotFound) as error:
        raise Denied(f"RayCluster {cluster}: {error}") from error
    except KubeError as error:
        raise Flaky(str(error)) from error
