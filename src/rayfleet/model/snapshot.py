"""All that the planner may know, frozen at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.model.ahead import Expected
from rayfleet.model.claim import Claim
from rayfleet.model.demand import Demand
from rayfleet.model.frozen import FrozenMap
from rayfleet.model.policy import OfferKey, Policy
from rayfleet.model.resources import Resources
from rayfleet.model.trouble import Trouble
from rayfleet.model.word import Word


class OutcomeKind(Word):
    """Which call has ended."""

    LAUNCH = "launch"
    DRAIN = "drain"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one call. `claims` are the claim ids that it was for; `trouble` None = done.

    `scope` (for OutOfStock, QuotaReached, Denied): which offers are affected; None = the claims' own.
    """

    kind: OutcomeKind
    claims: tuple[str, ...]
    at: float
    trouble: Trouble | None = None
    message: str = ""
    scope: OfferKey | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Offers that `scope` covers are not asked before `until`. `failures` in a row so far, the newest at `since`."""

    scope: OfferKey
    until: float
    trouble: Trouble
    failures: int = 1
    message: str = ""
    since: float = 0.0


class OrderKind(Word):
    """What people may order."""

    DRAIN = "drain"  # target: host or claim id
    SCALE = "scale"  # target: pool, value: number of machines to hold; stands until cleared
    UNSCALE = "unscale"  # target: pool; clears SCALE
    SET = "set"  # target: a field of the policy or "POOL.field", value: text; stands
    UNSET = "unset"  # target: as of SET; clears SET
    SHUTDOWN = "shutdown"  # stands: everything is released, the head last


@dataclass(frozen=True, slots=True)
class Order:
    """What a person wants. `id` is unique; `value` is text, checked where the order was given."""

    id: str
    kind: OrderKind
    target: str = ""
    value: str = ""
    by: str = ""
    why: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stray:
    """A machine that carries our tag but has no claim: adopted first, judged then.

    `standby`: it waits without Ray. `replica`: what the hosts of its replica have in common, "" where nobody says.
    """

    machine_id: str
    offer: OfferKey
    batch: str = ""
    launched_at: float = 0.0
    head: bool = False
    standby: bool = False
    replica: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The planner's whole input. Same snapshot, same plan, byte for byte.

    `serial`: claim ids made so far (the next claim gets the next number). `in_flight`:
    batches whose launch call has not ended. `engine_up`: whether Ray answered; when not,
    demand and node facts are missing, not empty. `effort`: iterations beyond the fast answer.
    `spent_today_usd`: spent from midnight (UTC) until `spent_at` (None: now). `launched_last_min`: machines asked for
    within the last minute, those that failed too; claims that were made since are counted in any case. `usage`: what
    the owner (`label=value`) of a quota uses, where somebody can tell. `expected`: a forecast; room is made for it in
    advance.
    """

    now: float = 0.0
    policy: Policy = Policy()
    claims: tuple[Claim, ...] = ()
    demand: Demand = Demand()
    backoffs: tuple[Backoff, ...] = ()
    orders: tuple[Order, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    strays: tuple[Stray, ...] = ()
    in_flight: tuple[str, ...] = ()
    listed_at: FrozenMap[float] = FrozenMap()
    serial: int = 0
    engine_up: bool = True
    effort: int = 0
    spent_today_usd: float = 0.0
    spent_at: float | None = None
    launched_last_min: int = 0
    usage: FrozenMap[Resources] = FrozenMap()
    expected: tuple[Expected, ...] = ()
