"""What was asked of the class, on disk before it is asked: it takes no client tokens, and may lose tags."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from rayfleet.contracts import Flaky
from rayfleet.model import Market, OfferKey

FILE: Final = "external-launches.json"
KEPT: Final = 5_000
"""Launches that are over and have no node any more are remembered up to so many: none is repeated later than that."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch. `before`: the nodes that there were when it was asked for; `made`: its own, as far as known.

    `done`: it was answered, so that it is never carried out again. `at`: seconds since the epoch.
    """

    offer: OfferKey
    head: bool
    count: int
    at: float
    before: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()
    done: bool = False


@dataclass(slots=True)
class Launches:
    """All launches of a cluster, by batch."""

    file: Path
    by_batch: dict[str, Launch] = field(default_factory=dict)

    def read(self) -> None:
        """Read the file, where there is one.

        Raises:
            Flaky: it cannot be read; nothing may be concluded.
        """
        try:
            raw: Mapping[str, Any] = json.loads(self.file.read_text())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise Flaky(f"{self.file} cannot be read: {error}") from error
        self.by_batch = {batch: _launch(word) for batch, word in raw.items()}

    def put(self, batch: str, launch: Launch) -> None:
        """Keep a launch, on disk when this returns.

        Raises:
            Flaky: it cannot be written; the launch must not be made.
        """
        kept = {**self.by_batch, batch: launch}
        new = self.file.with_suffix(".new")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w") as out:
                json.dump({name: _word(one) for name, one in kept.items()}, out)
                out.flush()
                os.fsync(out.fileno())
            new.replace(self.file)
        except OSError as error:
            raise Flaky(f"{self.file} cannot be written: {error}") from error
        self.by_batch = kept

    def forget(self, existing: Iterable[str]) -> None:
        """Drop the oldest launches that are over, where there are very many."""
        alive = set(existing)
        over = [name for name, one in self.by_batch.items() if one.done and not one.made & alive]
        for name in over[: max(0, len(over) - KEPT)]:
            del self.by_batch[name]

    def of_node(self, node_id: str) -> tuple[str, Launch] | None:
        """Return the launch that made a node, with its batch."""
        return next(((batch, one) for batch, one in self.by_batch.items() if node_id in one.made), None)

    def claimed(self) -> set[str]:
        """Return all nodes that are known to be some launch's."""
        return {node_id for one in self.by_batch.values() for node_id in one.made}


def _word(launch: Launch) -> dict[str, Any]:
    return asdict(launch) | {"before": sorted(launch.before), "made": sorted(launch.made)}


def _launch(word: Mapping[str, Any]) -> Launch:
    offer = dict(word["offer"])
    market = offer.pop("market")
    made = Launch(OfferKey(market=Market(market) if market else None, **offer), word["head"], word["count"], word["at"])
    return replace(made, before=frozenset(word["before"]), made=frozenset(word["made"]), done=word["done"])
