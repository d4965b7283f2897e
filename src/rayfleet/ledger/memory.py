"""A ledger that lasts as long as its process: for tests, simulations and throw-away clusters."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from rayfleet.contracts import Record
from rayfleet.model import Order


class MemoryLedger:
    """Holds one record. Every call yields once, so that concurrent tasks interleave as with a real one."""

    def __init__(self, record: Record | None = None) -> None:
        """Start from `record`, or empty."""
        self.record = record or Record()
        self.saves = 0

    async def load(self) -> Record:
        """Return what is held."""
        await asyncio.sleep(0)
        return self.record

    async def save(self, record: Record, *, answered: tuple[str, ...] = ()) -> None:
        """Hold claims, back-offs, serial and spending of `record`; drop the orders in `answered`."""
        await asyncio.sleep(0)
        standing = tuple(order for order in self.record.orders if order.id not in answered)
        self.record = replace(record, orders=standing, spent=record.spent or self.record.spent)
        self.saves += 1

    async def add_order(self, order: Order) -> None:
        """Add or replace an order."""
        await asyncio.sleep(0)
        others = tuple(held for held in self.record.orders if held.id != order.id)
        self.record = replace(self.record, orders=(*others, order))

    async def close(self) -> None:
        """Nothing to let go of; the record stays readable."""
