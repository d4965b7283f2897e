"""How much a run of the benchmarks measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Effort:
    """Sizes of one run. `pairs`: of ours and theirs; `submits`: reactions; `idle_s`: watched; `calls`: of each plan.

    `out`: where pictures are kept.
    """

    pairs: int = 5
    submits: int = 20
    idle_s: float = 60.0
    calls: int = 3
    out: Path = Path(__file__).parent / "out"
