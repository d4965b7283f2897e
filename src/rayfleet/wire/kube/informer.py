"""A cache that follows the API server: list once, then watch; list anew when the server has forgotten our version.

    list ---> watch ---(ended)---> watch from the last version seen
      ^         |
      '---------'--(410: too old)

Between a list and the one before it nothing was told, so its differences are told then. A kind that the server does not
know has no objects; it is asked for again and again, for it may be installed later. So is an optional kind that it
does not let us see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from rayfleet.wire.kube.errors import Expired, Forbidden, KubeError, NotFound
from rayfleet.wire.kube.kube import Change, Kube
from rayfleet.wire.kube.objects import Kind, Object, key_of
from rayfleet.wire.kube.store import Store

log = structlog.get_logger()

RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 30.0
WATCH_LEAST_S: Final = 1.0
"""A watch that ends sooner is followed by a pause."""
_UNREAD: Final = ("managedFields",)
"""Parts of an object's metadata that nobody here reads, and that take more room than all others."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Which objects are followed. `namespace` None: those of all namespaces. `optional`: it works without them too."""

    kind: Kind
    namespace: str | None = None
    selector: str = ""
    optional: bool = False


OnChange = Callable[[Object | None, Object | None], None]
"""Called with an object before and after a change: None before it was made, None after it has gone."""


class Informer:
    """Keeps `store` as the API server is, and tells each change once it is in the store."""

    def __init__(self, kube: Kube, followed: Followed, store: Store, on_change: OnChange) -> None:
        """Follow nothing yet: that is `run`."""
        self.store = store
        self.synced = asyncio.Event()
        """Set once the store holds all that there is."""
        self.current = False
        """Whether the store is as the server is, as far as anybody can tell: false while the server does not answer."""
        self._kube = kube
        self.followed = followed
        self._on_change = on_change

    async def run(self) -> None:
        """Follow for ever, through whatever the server does."""
        version, wait_s = "", RETRY_FIRST_S
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            try:
                version = version or await self._list()
                self.current = True
                self.synced.set()
                version = await self._watch(version)
                if loop.time() - began_at < WATCH_LEAST_S:  # whatever ends watches at once is not asked at once again
                    await asyncio.sleep(wait_s)
            except Expired:
                version = ""
            except NotFound as error:
                version = await self._without(error)
            except KubeError as error:
                if self.followed.optional and isinstance(error, Forbidden):
                    version = await self._without(error)
                    continue
                # What was told for long was told well: what went wrong before it is no sign of trouble any more.
                wait_s = RETRY_FIRST_S if loop.time() - began_at > RETRY_MAX_S else wait_s
                log.warning("cannot_follow", kind=self.followed.kind.plural, error=str(error), again_s=wait_s)
                # A version seen during the watch was lost with it; what is told twice does no harm.
                version, self.current = "", False
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MAX_S)
            else:
                wait_s = RETRY_FIRST_S

    async def _without(self, error: KubeError) -> str:
        """Do without the kind for a while; return the version to go on from: none."""
        quiet = self.followed.optional and self.synced.is_set()  # once is enough for what may well be absent
        kind = self.followed.kind.plural
        (log.debug if quiet else log.info)("kind_unknown", kind=kind, error=str(error), again_s=RETRY_MAX_S)
        self._forget_all()
        self.synced.set()
        await asyncio.sleep(RETRY_MAX_S)
        return ""

    def _forget_all(self) -> None:
        known = self.store.keys()
        for key in known:
            if self.followed.namespace in (None, key.namespace):
                self._tell(self.store.remove(key), None)

    async def _list(self) -> str:
        followed = self.followed
        listing = await self._kube.list(followed.kind, followed.namespace, followed.selector)
        # Informers of several namespaces share a store: what is of another is not missing here.
        known = self.store.keys()
        gone = {key for key in known if followed.namespace in (None, key.namespace)}
        for thing in listing.items:
            gone.discard(key_of(thing))
            self._put(thing)
        for key in gone:
            self._tell(self.store.remove(key), None)
        return listing.version

    async def _watch(self, version: str) -> str:
        """Take changes in until the watch ends; return the version it came to."""
        followed = self.followed
        async for seen in self._kube.watch(followed.kind, version, followed.namespace, followed.selector):
            version = seen.thing["metadata"]["resourceVersion"]
            if seen.change is Change.DELETED:
                before = self.store.remove(key_of(seen.thing))
                self._tell(before or seen.thing, None)
            elif seen.change is not Change.BOOKMARK:
                self._put(seen.thing)
        return version

    def _put(self, thing: Object) -> None:
        for part in _UNREAD:
            thing["metadata"].pop(part, None)
        before = self.store.put(thing)
        if before is None or _version(before) != _version(thing):
            self._tell(before, thing)

    def _tell(self, before: Object | None, after: Object | None) -> None:
        self._on_change(before, after)


def _version(thing: Object) -> object:
    return thing["metadata"].get("resourceVersion")
