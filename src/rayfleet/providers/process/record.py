"""What is remembered of one machine, as a value and as JSON.

QUEUED --> STARTING --> RUNNING --> (ended by itself with 0: gone)
  ^  '--(retry)--'|         |
  |               '---------'--> FAILED    (until it is released)
  '-- any of them, when released --> STOPPING --> gone
                                         '--(to wait on standby)--> RESTING --(started)--> QUEUED

A machine that rests is a record and nothing else: it costs nothing, and starts as a new one does, under its old id.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rayfleet.contracts import StartScript
from rayfleet.model import FrozenMap, Market, OfferKey
from rayfleet.providers.process.procfs import ProcessKey

Slot = tuple[str, str, int]
"""Batch, claim and host number: what one machine was asked for. Never filled twice."""


class Stage(StrEnum):
    """Where a machine is in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class Record:
    """One machine. Times in seconds since the epoch.

    `process` None while STARTING: written before the process was started, and nobody has yet said which it became.
    `boot`: the kernel's boot id that `process` belongs to. `not_before`: earliest next attempt. `kill_at`: when
    a machine that was asked to end is killed; None = not asked yet. `keeps`: its pool has machines on standby, so that
    one whose node has left in order rests. `rests`: STOPPING, to rest and not to be gone. `started_for`: the newest
    batch that it was started for after a rest.
    """

    id: str
    slot: Slot
    offer: OfferKey
    script: StartScript
    head: bool
    queued_at: float
    stage: Stage = Stage.QUEUED
    attempt: int = 0
    not_before: float = 0.0
    process: ProcessKey | None = None
    boot: str = ""
    spawned_at: float = 0.0
    kill_at: float | None = None
    message: str = ""
    keeps: bool = False
    rests: bool = False
    started_for: str = ""

    def to_json(self) -> str:
        """Return the record as one JSON object."""
        plain = asdict(self) | {"script": {"argv": self.script.argv, "env": dict(self.script.env)}}
        return json.dumps(plain, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Read what `to_json` wrote. ValueError, KeyError or TypeError when it is something else."""
        raw: dict[str, Any] = json.loads(text)
        batch, claim, host = raw.pop("slot")
        offer, script, process = raw.pop("offer"), raw.pop("script"), raw.pop("process")
        market = offer.pop("market")
        return cls(
            slot=(batch, claim, int(host)),
            offer=OfferKey(market=Market(market) if market else None, **offer),
            script=StartScript(tuple(script["argv"]), FrozenMap(script["env"])),
            stage=Stage(raw.pop("stage")),
            process=ProcessKey(**process) if process else None,
            **raw,
        )
