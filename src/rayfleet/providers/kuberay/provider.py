"""The provider's calls over a RayCluster: its pods are followed, its counts are patched."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self

from rayfleet.contracts import Denied, Flaky, LaunchRequest, Machine, ProviderContext
from rayfleet.providers.kuberay.patches import (
    GROUP_LABEL,
    NoSuchGroup,
    Operation,
    find_group,
    launch_patch,
    launches,
    release_patch,
)
from rayfleet.providers.kuberay.pods import is_worker, machine, replicas_staying
from rayfleet.providers.kuberay.settings import Settings
from rayfleet.wire.kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound
from rayfleet.wire.kube.informer import Followed, Informer
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Key, Object, key_of, labels_of
from rayfleet.wire.kube.store import Store

LIST_INTERVAL_S: Final = 0.5
FIRST_LISTING_S: Final = 10.0
TRIES: Final = 5
"""A patch that finds the RayCluster changed is made anew so often before the loop is told to try later."""


Operations = list[Operation]
Patching = Callable[[Object], Operations]


class KubeRayProvider:
    """Workers of one RayCluster. At most one at a time changes a RayCluster; people may change it beside that."""

    def __init__(self, kube: Kube, cluster: Key) -> None:
        """Take the way to the API server, and which RayCluster it is. No I/O yet."""
        self._kube = kube
        self._cluster = cluster
        self._pods = Store()
        selector = f"ray.io/cluster={cluster.name}"
        self._informer = Informer(kube, Followed(POD, cluster.namespace, selector), self._pods, lambda *_: None)
        self._following: asyncio.Task[None] | None = None
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
            Flaky: the API server has not told yet which there are.
        """
        await self._follow()
        return tuple(machine(pod) for pod in sorted(self._workers(), key=lambda pod: key_of(pod).name))

    async def launch(self, request: LaunchRequest) -> None:
        """Have the RayCluster want more replicas of a group.

        Raises:
            Denied: we may not, or there is no such RayCluster or group.
            Flaky: no answer, or the RayCluster changes all the time.
        """
        await self._follow()

        def patch(cluster: Object) -> Operations:
            if request.batch in launches(cluster):
                return []
            group = find_group(cluster, request.offer.pool)
            pods = (pod for pod in self._workers() if labels_of(pod).get(GROUP_LABEL) == group.spec.group_name)
            going = group.spec.scale_strategy.workers_to_delete
            staying = replicas_staying(pods, going, group.spec.num_of_hosts)
            return launch_patch(cluster, group, staying, len(request.claims), request.batch)

        await self._change(patch)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Name the pods that are to go, and want as many replicas less.

        Raises:
            Flaky, Denied: as for `launch`.
        """
        await self._follow()
        there = {key_of(pod).name: labels_of(pod).get(GROUP_LABEL, "") for pod in self._workers()}
        by_group: dict[str, list[str]] = defaultdict(list)
        for name in machine_ids:
            if name in there:
                by_group[there[name]].append(name)
        for group, names in sorted(by_group.items()):
            await self._change(partial(_released, group=group, names=names, there=tuple(there)))

    async def close(self) -> None:
        """Stop following; pods stay."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
            self._following = None
        await self._kube.close()

    def _workers(self) -> tuple[Object, ...]:
        return tuple(pod for pod in self._pods if is_worker(pod))

    async def _follow(self) -> None:
        """Follow the pods from the first call on, and wait until they are known."""
        if self._following is None:
            self._following = asyncio.create_task(self._informer.run(), name="rayfleet-kuberay")
        try:
            async with asyncio.timeout(FIRST_LISTING_S):
                await self._informer.synced.wait()
        except TimeoutError:
            raise Flaky("the API server has not told yet which pods there are") from None

    async def _change(self, patch: Patching) -> None:
        """Patch the RayCluster as it is now; again when it has changed meanwhile."""
        async with self._changing:
            for _ in range(TRIES):
                try:
                    wanted = patch(await self._kube.get(RAY_CLUSTER, self._cluster))
                    if wanted:
                        await self._kube.patch(RAY_CLUSTER, self._cluster, wanted)
                    return
                except Conflict:
                    continue
                except NoSuchGroup as error:
                    raise Denied(str(error)) from error
                except (Forbidden, Invalid, NotFound) as error:
                    raise Denied(f"RayCluster {self._cluster}: {error}") from error
                except KubeError as error:
                    raise Flaky(str(error)) from error
        raise Flaky(f"RayCluster {self._cluster} changes faster than it can be patched")


def _released(cluster: Object, group: str, names: Sequence[str], there: Sequence[str]) -> Operations:
    return release_patch(find_group(cluster, group), names, there)
