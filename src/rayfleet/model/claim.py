"""Claims: our intent to have a machine, with what is known of it.

    REQUESTED --> BOOTING --> READY --> DRAINING --> RELEASING --> gone
        |            |          |                        ^
        |            |          '--(lost, died)----------|
        '------------'---(cancelled, timed out)----------'
        FAILED(reason): the provider said no; kept for one plan, then gone
        STANDBY: its machine waits without Ray; made so, or stopped after a drain. Reused by a claim that is REQUESTED

A claim is written to the ledger *before* the provider is called. It stands for
one replica: one host, or several that live and die together.
"""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.model.frozen import NO_LABELS, Labels
from rayfleet.model.policy import OfferKey
from rayfleet.model.reason import Reason
from rayfleet.model.resources import NOTHING, Resources
from rayfleet.model.standby import ReleaseMode
from rayfleet.model.trouble import Trouble
from rayfleet.model.word import Word


class Phase(Word):
    """Where a claim is in its life."""

    REQUESTED = "REQUESTED"
    BOOTING = "BOOTING"
    READY = "READY"
    DRAINING = "DRAINING"
    RELEASING = "RELEASING"
    FAILED = "FAILED"
    STANDBY = "STANDBY"


STARTING = frozenset({Phase.REQUESTED, Phase.BOOTING})
CAPACITY = frozenset({Phase.REQUESTED, Phase.BOOTING, Phase.READY})
"""Phases whose claims count as capacity and towards minimums."""
LEAVING = frozenset({Phase.DRAINING, Phase.RELEASING})
EXISTING = CAPACITY | LEAVING
"""Phases whose claims count towards maximums and cost, unless they are or were on standby."""
PRESENT = EXISTING | {Phase.STANDBY}
"""Phases whose claims have machines, or are about to, and cost something."""


class MachineFact(Word):
    """What the provider's newest listing says of a host's machine."""

    PRESENT = "present"
    ABSENT = "absent"
    FAILED = "failed"
    STANDBY = "standby"


class NodeFact(Word):
    """What the engine says of a host's node."""

    ALIVE = "alive"
    DRAINING = "draining"
    DEAD = "dead"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of a claim, with the facts of this snapshot.

    `id` is the name that people see: the claim's id, or `<claim>.<n>` for hosts of a
    replica. `machine` and `node` None: no fact in this snapshot, believe the phase
    (hand-written scenarios; engine or provider out of reach). `total` None: as its
    pool says. `labels` override the pool's. `idle_s` counts only when nothing is used.
    `message`: what the provider says of a machine that failed or cannot be had yet; `trouble`: which kind of thing that
    is (None: no such thing).
    """

    id: str
    machine_id: str | None = None
    node_id: str | None = None
    machine: MachineFact | None = None
    node: NodeFact | None = None
    total: Resources | None = None
    used: Resources = NOTHING
    labels: Labels = NO_LABELS
    idle_s: float = 0.0
    activity: tuple[str, ...] = ()
    interrupt_at: float | None = None
    do_not_disrupt: bool = False
    message: str = ""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Drain:
    """Why and until when a claim is being drained. `deadline`: the claim is released then. `mode`: what comes after."""

    reason: Reason
    asked_at: float
    deadline: float
    mode: ReleaseMode = ReleaseMode.END


@dataclass(frozen=True, slots=True)
class Claim:
    """One replica that we want, ask for, have, or give back.

    `offer` is where it comes from; `since` when `phase` was entered and `created` when
    the claim was first written (seconds, as `Snapshot.now`); `batch` is the client
    token of the provider call. `accepted`: the provider has said yes. `listed_at`: time of
    the newest listing of its provider (None: never listed, or READY and listed since it was made).
    `drain` while DRAINING; `ending` is why it is RELEASING or FAILED; `retry_at`: no
    idle drain (READY) or repeated release (RELEASING) before then. `unseen_since`: READY, and its node is
    unknown to a reachable engine since then. `usd_per_hour` is per host. `head`: carries the head, is
    never released but by a shutdown.
    `make`: as what it was launched (`Pool.make`), "" when that is not known; `drifted`: not as its pool is now.
    `found`: somebody else asked for it, at a place whose machines carry no tags; it was there before the claim.
    `foreign`: joined by hand; capacity that is never released and not counted in limits.
    `standby`: STANDBY, or RELEASING after it: it works for nobody and counts in no maximum; `usd_per_hour` is what it
    costs so. `reuse`: its machines were on standby and are started for it.
    """

    id: str
    offer: OfferKey
    phase: Phase = Phase.READY
    hosts: tuple[Host, ...] = ()
    since: float = 0.0
    created: float = 0.0
    batch: str = ""
    accepted: bool = True
    head: bool = False
    foreign: bool = False
    found: bool = False
    drifted: bool = False
    make: str = ""
    drain: Drain | None = None
    ending: Reason | None = None
    retry_at: float | None = None
    usd_per_hour: float | None = None
    listed_at: float | None = None
    unseen_since: float | None = None
    standby: bool = False
    reuse: bool = False

    @property
    def pool(self) -> str:
        """Return the name of the claim's pool."""
        return self.offer.pool

    @property
    def count(self) -> int:
        """Return the number of hosts."""
        return len(self.hosts)
