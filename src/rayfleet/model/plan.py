"""What the planner decided, with every reason."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.model.ahead import Ahead
from rayfleet.model.claim import Claim
from rayfleet.model.demand import DemandKind, Gang, RequestedDemand, TaskDemand
from rayfleet.model.policy import OfferKey
from rayfleet.model.reason import Reason
from rayfleet.model.snapshot import Backoff, Order
from rayfleet.model.spending import Spent
from rayfleet.model.standby import ReleaseMode, StandbyMode
from rayfleet.model.word import Word


class How(Word):
    """How a machine leaves."""

    DRAIN = "drain"  # Ray is asked to leave first
    CANCEL = "cancel"  # it was not ready yet
    NOW = "now"  # nothing to ask: lost, died, timed out
    END = "end"  # second half of a drain or a repeated release; not listed as a start


@dataclass(frozen=True, slots=True)
class Launch:
    """Ask the offer's provider for these claims in one call under the token `batch`.

    `count` is hosts (machines). `again`: the same batch was asked before (after a crash, or Flaky). `reuse`: machines
    on standby that are started for the claims, in their order; empty: new ones are made. `standby`: they are made to
    wait without Ray, in this way.
    """

    offer: OfferKey
    claims: tuple[str, ...]
    batch: str
    count: int
    reason: Reason
    again: bool = False
    reuse: tuple[str, ...] = ()
    standby: StandbyMode | None = None


@dataclass(frozen=True, slots=True)
class DrainNodes:
    """Ask the engine to drain the nodes of a claim by `deadline` (seconds, as `Snapshot.now`).

    `voluntary`: the reason is idleness and Ray may refuse; otherwise it is told. `mode`: what comes after.
    """

    claim: str
    hosts: tuple[str, ...]
    node_ids: tuple[str, ...]
    deadline: float
    reason: Reason
    voluntary: bool
    mode: ReleaseMode = ReleaseMode.END


@dataclass(frozen=True, slots=True)
class Release:
    """Give the machines of a claim back to their provider; with `mode` STOP they wait on standby instead.

    `wait`: how they wait then.
    """

    claim: str
    hosts: tuple[str, ...]
    machine_ids: tuple[str, ...]
    provider: str | None
    how: How
    reason: Reason
    mode: ReleaseMode = ReleaseMode.END
    wait: StandbyMode = StandbyMode.STOPPED


Action = Launch | DrainNodes | Release


@dataclass(frozen=True, slots=True)
class PoolVerdict:
    """Why a pool does not take a demand."""

    pool: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Unmet:
    """Demand that this plan does not serve. `index` is the position in its demand list; `count` tasks or gangs.

    The list of buffers is the plan's own `ahead`.
    """

    kind: DemandKind
    index: int
    demand: TaskDemand | Gang | RequestedDemand | Ahead
    count: int
    reason: Reason
    pools: tuple[PoolVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """Why a host that exists stays."""

    host: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Placement:
    """Where demand goes.

    `on` is a host id, or `new:<n>` for the n-th launched host of this plan (in order of `launches`).
    """

    on: str
    pool: str
    kind: DemandKind
    index: int
    bundle: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be, seen in passing."""

    subject: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Cost:
    """USD per hour of all that exists, before and after this plan; machines without a price are counted."""

    before: float = 0.0
    after: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision.

    `claims`, `backoffs`, `serial` and `answered` (order ids that are done) are what the ledger must hold *before*
    any action is taken; actions follow from them. `orders` are those that still stand. `ahead`: what is to be kept
    free, in the order that placements and unmet demand of kind buffer count in. `spent`: today, until now; kept
    with the claims.
    """

    launches: tuple[Launch, ...] = ()
    drains: tuple[DrainNodes, ...] = ()
    releases: tuple[Release, ...] = ()
    unmet: tuple[Unmet, ...] = ()
    kept: tuple[Kept, ...] = ()
    placements: tuple[Placement, ...] = ()
    findings: tuple[Finding, ...] = ()
    cost: Cost = Cost()
    claims: tuple[Claim, ...] = ()
    backoffs: tuple[Backoff, ...] = ()
    orders: tuple[Order, ...] = ()
    answered: tuple[str, ...] = ()
    serial: int = 0
    ahead: tuple[Ahead, ...] = ()
    spent: Spent | None = None

    @property
    def actions(self) -> tuple[Action, ...]:
        """Return all that has to be done, launches first."""
        return (*self.launches, *self.drains, *self.releases)
