"""Where claims, back-offs and orders survive a restart.

    LedgerError
     '- LedgerUnavailable   cannot be read or written now (full disk, lost connection)
                            -> nothing may be launched; tried again next tick

Each error names what the caller should do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rayfleet.model import Backoff, Claim, Order, Spent


class LedgerError(Exception):
    """The ledger could not do what was asked."""


class LedgerUnavailable(LedgerError):
    """The ledger cannot be read or written now."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that a ledger holds. `serial`: claim ids made so far, never decreasing. `spent`: today's money.

    `launched`: (when, how many machines) were asked for lately, those that failed since too; for the launch rate.
    """

    claims: tuple[Claim, ...] = ()
    backoffs: tuple[Backoff, ...] = ()
    orders: tuple[Order, ...] = ()
    serial: int = 0
    spent: Spent | None = None
    launched: tuple[tuple[float, int], ...] = ()


class Ledger(Protocol):
    """Durable memory of one cluster. One writer (the loop) of claims; anybody may add orders."""

    async def load(self) -> Record:
        """Return all that is held; the empty record for a new cluster.

        Raises:
            LedgerUnavailable.
        """
        ...

    async def save(self, record: Record, *, answered: tuple[str, ...] = ()) -> None:
        """Make claims, back-offs, serial, spending and launches of `record` the held ones, durably, all or nothing.

        Orders are only removed: those whose ids are in `answered`; `record.orders` is ignored.

        Raises:
            LedgerUnavailable: nothing was changed.
        """
        ...

    async def add_order(self, order: Order) -> None:
        """Add or replace (same id) an order.

        Raises:
            LedgerUnavailable.
        """
        ...

    async def close(self) -> None:
        """Let go of files or connections."""
        ...
