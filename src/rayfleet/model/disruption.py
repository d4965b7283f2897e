"""Leaving that nobody has to: why a machine may be disrupted voluntarily, and how many at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rayfleet.model.window import Window
from rayfleet.model.word import Word

ALL: Final = 100
"""Percent."""


class Disruption(Word):
    """Why a machine is given back although nothing forces it to leave."""

    IDLE = "idle"
    DRIFTED = "drifted"
    EXPIRED = "expired"
    UNDERUSED = "underused"


@dataclass(frozen=True, slots=True)
class DisruptionBudget:
    """At most `nodes` machines (`percent`: that share of them, rounded up) may be leaving voluntarily at a time.

    `reasons` empty: for any reason. `pool` "": all workers together. `window` None: always; else only while it is
    open. Of several budgets that apply at a moment all hold.
    """

    nodes: int
    percent: bool = False
    reasons: tuple[Disruption, ...] = ()
    pool: str = ""
    window: Window | None = None

    @property
    def nodes_text(self) -> str:
        """Return the number as people write it: `3` or `10%`."""
        return f"{self.nodes}%" if self.percent else str(self.nodes)

    def applies(self, why: Disruption, pool: str) -> bool:
        """Say whether it is about machines of `pool` that leave for `why`; its window is another question."""
        return self.pool in ("", pool) and (not self.reasons or why in self.reasons)

    def allowed(self, machines: int) -> int:
        """Return how many of `machines` may be leaving at a time."""
        return -(-machines * self.nodes // ALL) if self.percent else self.nodes


def nodes_of(text: str) -> tuple[int, bool]:
    """Read `3` or `10%` as number and whether it is a percentage; ValueError when it is neither."""
    word = text.strip()
    percent = word.endswith("%")
    nodes = int(word.removesuffix("%"))
    if nodes < 0 or (percent and nodes > ALL):
        raise ValueError(f"{text} is neither a number of machines nor a share of 0% to 100%")
    return nodes, percent


def budgets_of(text: str) -> tuple[DisruptionBudget, ...]:
    """Read one budget for all reasons at all times, `3` or `10%`; ValueError when it is neither."""
    nodes, percent = nodes_of(text)
    return (DisruptionBudget(nodes, percent),)
