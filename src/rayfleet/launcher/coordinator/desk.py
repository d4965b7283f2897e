"""The coordinator itself, whoever asks: a change is written down before it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from rayfleet.launcher.coordinator.book import Book
from rayfleet.launcher.coordinator.store import Store
from rayfleet.wire.coordinator.client import CoordinatorRefuses
from rayfleet.wire.coordinator.terms import Adopt, PoolHost, Return, Take

log = structlog.get_logger("rayfleet.coordinator")


class Desk:
    """The contract of `rayfleet.wire.coordinator.client.Coordinator` over a file. Changes come one after the other."""

    name = "here"

    def __init__(self, store: Store, book: Book, now: Callable[[], float] = time.time) -> None:
        """Take what is known; whoever makes a desk holds the store alone."""
        self._store = store
        self._book = book
        self._now = now

    async def hosts(self) -> tuple[PoolHost, ...]:
        """Return the pool."""
        return self._book.hosts

    async def take(self, wish: Take) -> tuple[PoolHost, ...]:
        """Have hosts granted."""
        return self._becomes(self._book.take(wish, self._now()))

    async def give_back(self, host: Return) -> tuple[PoolHost, ...]:
        """Give one back."""
        return self._becomes(self._book.give_back(host))

    async def adopt(self, host: Adopt) -> tuple[PoolHost, ...]:
        """Note whose one is."""
        return self._becomes(self._book.adopt(host))

    async def free(self, address: str) -> tuple[PoolHost, ...]:
        """Take one back.

        Raises:
            CoordinatorRefuses: there is no such host.
        """
        try:
            return self._becomes(self._book.free(address))
        except KeyError:
            raise CoordinatorRefuses(f"there is no host {address} in the pool") from None

    async def close(self) -> None:
        """Do nothing: all is on disk."""

    def _becomes(self, book: Book) -> tuple[PoolHost, ...]:
        if book != self._book:
            self._store.save(book)
            _tell(self._book, book)
            self._book = book
        return self._book.hosts


def _tell(before: Book, after: Book) -> None:
    """Log which hosts changed hands."""
    old = {host.address: host.grant for host in before.hosts}
    new = {host.address: host.grant for host in after.hosts}
    notes = {host.address: host.note for host in after.hosts}
    for address in old | new:
        was, now = old.get(address), new.get(address)
        if was != now:
            log.info(
                "host_given" if now else "host_free",
                host=address,
                cluster=now.cluster if now else "",
                was=was.cluster if was else "",
                **({"note": notes[address]} if notes.get(address) else {}),
            )
