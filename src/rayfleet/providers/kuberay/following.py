"""Which pods a RayCluster has now: followed by a watch of one's own, or known to somebody else already."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol

import structlog

from rayfleet.contracts import Flaky
from rayfleet.wire.kube.informer import Followed, Informer
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import POD, Key, Object
from rayfleet.wire.kube.store import Store

log = structlog.get_logger()

FIRST_LISTING_S: Final = 10.0


class Pods(Protocol):
    """The pods of one RayCluster, head and workers."""

    @property
    def current(self) -> bool:
        """Say whether they are as the API server has them, as far as anybody can tell."""
        ...

    async def follow(self) -> None:
        """Begin to follow them, and wait until they are known.

        Raises:
            Flaky: the API server has not told yet which there are.
        """
        ...

    def now(self) -> tuple[Object, ...]:
        """Return them."""
        ...

    async def close(self) -> None:
        """Stop following."""
        ...


class FollowedPods:
    """Pods by a watch of their own."""

    def __init__(self, kube: Kube, cluster: Key) -> None:
        """Take the way to the API server; no I/O yet."""
        self._store = Store()
        selector = f"ray.io/cluster={cluster.name}"
        self._informer = Informer(kube, Followed(POD, cluster.namespace, selector), self._store, lambda *_: None)
        self._following: asyncio.Task[None] | None = None

    @property
    def current(self) -> bool:
        """Say whether the watch is up."""
        return self._informer.current

    async def follow(self) -> None:
        """Follow the pods from the first call on, and wait until they are known. Raises Flaky."""
        if self._following is None or self._following.done():
            if self._following is not None:
                log.error("following_ended", error=str(self._following.exception()))
            self._following = asyncio.create_task(self._informer.run(), name="rayfleet-kuberay")
        try:
            async with asyncio.timeout(FIRST_LISTING_S):
                await self._informer.synced.wait()
        except TimeoutError:
            raise Flaky("the API server has not told yet which pods there are") from None

    def now(self) -> tuple[Object, ...]:
        """Return what the watch has told."""
        return tuple(self._store)

    async def close(self) -> None:
        """End the watch."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
            self._following = None
