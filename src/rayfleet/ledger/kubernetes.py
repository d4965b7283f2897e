"""A ledger in a ConfigMap beside the RayCluster that it is about, and that it goes with.

One writer at a time: what it last read or wrote is kept, and every write names that version. Who finds that somebody
else has written since (another operator, that thinks it is the one) reads anew, and launches nothing before.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import replace
from typing import Final

from rayfleet.contracts import LedgerUnavailable, Record
from rayfleet.model import Order
from rayfleet.model.codec import CodecError, from_json, to_json
from rayfleet.wire.kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import CONFIG_MAP, Key, Object

RECORD: Final = "record"
"""The entry of the ConfigMap's `binaryData`: a Record as JSON, compressed: large clusters have many claims."""


class KubernetesLedger:
    """One ConfigMap. `labels` and `owner` (an owner reference) are what it is made with."""

    def __init__(self, kube: Kube, key: Key, owner: Object, labels: dict[str, str]) -> None:
        """Take the way to the API server, and which ConfigMap it is. No I/O yet."""
        self._kube = kube
        self._key = key
        self._owner = owner
        self._labels = labels
        self._held: Record | None = None
        self._version = ""  # of the ConfigMap; "" = there is none yet

    async def load(self) -> Record:
        """Return what is held; the API server is asked once, and after a write that failed."""
        if self._held is None:
            try:
                thing = await self._kube.get(CONFIG_MAP, self._key)
            except NotFound:
                self._version, self._held = "", Record()
            except KubeError as error:
                raise LedgerUnavailable(f"ConfigMap {self._key} cannot be read: {error}") from error
            else:
                self._held = self._read(thing)
                self._version = thing["metadata"]["resourceVersion"]
        return self._held

    async def save(self, record: Record, *, answered: tuple[str, ...] = ()) -> None:
        """Hold claims, back-offs, serial, spending and launches of `record`; drop the orders in `answered`."""
        held = await self.load()
        standing = tuple(order for order in held.orders if order.id not in answered)
        await self._write(replace(record, orders=standing, spent=record.spent or held.spent))

    async def add_order(self, order: Order) -> None:
        """Add or replace an order."""
        held = await self.load()
        others = tuple(one for one in held.orders if one.id != order.id)
        await self._write(replace(held, orders=(*others, order)))

    async def close(self) -> None:
        """Nothing to let go of: the connection is somebody else's."""

    def _read(self, thing: Object) -> Record:
        owners = thing["metadata"].get("ownerReferences") or ()
        if all(owner["uid"] != self._owner["uid"] for owner in owners):
            raise LedgerUnavailable(f"ConfigMap {self._key} belongs to somebody else; remove or rename it")
        try:
            packed = base64.b64decode(thing["binaryData"][RECORD], validate=True)
            return from_json(Record, zlib.decompress(packed))
        except (KeyError, TypeError, binascii.Error, zlib.error, CodecError) as error:
            raise LedgerUnavailable(f"ConfigMap {self._key} holds no record of ours ({error}); remove it") from error

    async def _write(self, record: Record) -> None:
        data = base64.b64encode(zlib.compress(to_json(record).encode())).decode()
        content = {"binaryData": {RECORD: data}}
        try:
            if self._version:
                patch = {"metadata": {"resourceVersion": self._version}, **content}
                thing = await self._kube.patch(CONFIG_MAP, self._key, patch)
            else:
                thing = await self._kube.create(CONFIG_MAP, {"metadata": self._metadata(), **content})
        except (AlreadyExists, Conflict) as error:
            self._held = None
            raise LedgerUnavailable(f"ConfigMap {self._key} was written by somebody else meanwhile") from error
        except KubeError as error:
            self._held = None  # it may have been written all the same
            raise LedgerUnavailable(f"ConfigMap {self._key} cannot be written: {error}") from error
        self._version, self._held = thing["metadata"]["resourceVersion"], record

    def _metadata(self) -> Object:
        key = self._key
        return {
            "name": key.name,
            "namespace": key.namespace,
            "labels": self._labels,
            "ownerReferences": [self._owner],
        }
