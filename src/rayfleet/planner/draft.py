"""The one mutable thing of a plan: it lives for one call of `plan` and every step adds to it.

Steps read the snapshot and what the steps before them decided; nothing outlives the call.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rayfleet.model import (
    EXISTING,
    NOTHING,
    Ahead,
    Backoff,
    Claim,
    Deferred,
    DrainNodes,
    Finding,
    Launch,
    OfferKey,
    Order,
    Phase,
    Policy,
    Reason,
    ReasonCode,
    Release,
    Snapshot,
    Timeouts,
    Unmet,
)
from rayfleet.planner.batch import Batch
from rayfleet.planner.census import Census
from rayfleet.planner.names import natural

VOLUNTARY = frozenset(
    {ReasonCode.IDLE, ReasonCode.DRIFTED, ReasonCode.EXPIRED, ReasonCode.UNDERUSED, ReasonCode.CHEAPER}
) | {ReasonCode.MAKES_ROOM}
"""Reasons for which nothing forces a machine to leave."""

_ENDED = frozenset({ReasonCode.RESTARTABLE, ReasonCode.GRACE})
"""What says that work is ended all the same."""


def may_refuse(why: Reason) -> bool:
    """Say whether Ray may refuse a drain: when nothing forces it, and the machine was not in use when it was asked."""
    return why.code in VOLUNTARY and not any(link.code in _ENDED for link in why.chain)


@dataclass(slots=True)
class Draft:
    """What has been decided so far.

    `policy` is the effective one (orders applied). `claims` are those that exist, by id, the oldest first;
    `taken` the ids of the snapshot's claims. `held` says why nothing may be scaled (engine down, head
    missing, shutting down), None when everything may. `scheduled`: which schedule is on, by pool ("": the cluster).
    `ahead`: what is to be kept free. `fresh` are the claims that this plan launches.
    `outgoing`: READY claims that are being replaced, and why; `rolling`: pools whose outdated machines are replaced as
    disruption budgets say. `counted`, `counted_before`: see `census`; claims change by `keep` and `drop` alone.
    """

    snapshot: Snapshot
    policy: Policy
    claims: dict[str, Claim] = field(default_factory=dict)
    backoffs: list[Backoff] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    drains: list[DrainNodes] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unmet: list[Unmet] = field(default_factory=list)
    scale_orders: dict[str, Reason] = field(default_factory=dict)
    scheduled: dict[str, Reason] = field(default_factory=dict)
    ahead: tuple[Ahead, ...] = ()
    overlaid: dict[OfferKey, Reason] = field(default_factory=dict)
    shutdown: Reason | None = None
    held: Reason | None = None
    outgoing: dict[str, Reason] = field(default_factory=dict)
    rolling: frozenset[str] = frozenset()
    serial: int = 0
    taken: frozenset[str] = frozenset()
    fresh: list[Batch] = field(default_factory=list)
    prices: dict[tuple[str | int | None, ...], float | None] = field(default_factory=dict)
    counted: Census | None = None
    counted_before: Census | None = None

    @property
    def now(self) -> float:
        """Return the moment that is planned for."""
        return self.snapshot.now

    @property
    def timeouts(self) -> Timeouts:
        """Return the policy's time-outs."""
        return self.policy.timeouts

    def find(self, subject: str, reason: Reason) -> None:
        """Note something that should not be."""
        self.findings.append(Finding(subject, reason))

    def keep(self, claim: Claim) -> None:
        """Write a new state of a claim."""
        self.claims[claim.id] = claim
        self.counted = None

    def drop(self, claim: Claim) -> None:
        """Forget a claim that is gone."""
        del self.claims[claim.id]
        self.counted = None

    def next_id(self, pool: str) -> str:
        """Return the id of one more claim of `pool`."""
        while True:
            self.serial += 1
            name = f"{pool}-{self.serial}"
            # A machine may carry such a name without the ledger having given it (hand-written, adopted elsewhere).
            if name not in self.claims and name not in self.taken:
                return name

    def next_ids(self, pool: str, count: int) -> tuple[str, tuple[str, ...]]:
        """Return the ids of `count` more claims of `pool`: the first of them, and all."""
        first = self.serial + 1
        if first <= self._highest():
            names = tuple(self.next_id(pool) for _ in range(count))
            return names[0], names
        self.serial += count
        end = first + count
        return f"{pool}-{first}", Deferred(lambda: (f"{pool}-{number}" for number in range(first, end))).as_tuple()

    def _highest(self) -> int:
        """Return the highest number that any known name ends with: above it every name is new."""
        return max((natural(name)[1] for name in self.taken.union(self.claims)), default=0)

    def token(self, first: str) -> str:
        """Return the client token of the call that launches `first` and others.

        The time is in it because providers remember tokens for longer than a lost ledger remembers its serial.
        """
        return f"{first}@{self.now:.0f}"

    def workers(self) -> list[Claim]:
        """Return existing claims that limits are about: neither the head, nor joined by hand, nor on standby."""
        return [
            c for c in self.claims.values() if not c.head and not c.foreign and not c.standby and c.phase in EXISTING
        ]

    def on_standby(self) -> list[Claim]:
        """Return the claims whose machines wait, the oldest first."""
        return [claim for claim in self.claims.values() if claim.phase is Phase.STANDBY]

    def is_replaced(self, claim: Claim) -> bool:
        """Say whether a claim holds no place any more: another is launched for what it does."""
        return claim.id in self.outgoing or (claim.drifted and claim.pool not in self.rolling)

    def usd_per_hour(self, claim: Claim) -> float | None:
        """Return the price of one host of a claim: its own, else its offer's; None when unknown."""
        return self.listed_usd_per_hour(claim.offer) if claim.usd_per_hour is None else claim.usd_per_hour

    def listed_usd_per_hour(self, offer: OfferKey) -> float | None:
        """Return what an offer costs now; None when unknown, or there is no such offer any more."""
        # Members of an enumeration hash slowly and are single objects, so that their identity does as well.
        key = (offer.pool, offer.provider, offer.region, offer.zone, id(offer.market))
        if key not in self.prices:
            self.prices[key] = _listed_price(self.policy, offer)
        return self.prices[key]


def _listed_price(policy: Policy, key: OfferKey) -> float | None:
    pool = policy.pool(key.pool)
    offers = pool.offers if pool else ()
    return next((offer.usd_per_hour for offer in offers if key.covers(offer.key(key.pool))), None)


def is_used(claim: Claim) -> bool:
    """Say whether any host of a claim runs something."""
    for host in claim.hosts:  # noqa: SIM110 - asked of every claim in every plan, and a generator takes thrice as long
        if host.used:
            return True
    return False


def idle_s(claim: Claim) -> float:
    """Return for how long all hosts of a claim have been idle, in seconds; 0 when one is used."""
    return 0.0 if is_used(claim) else min((host.idle_s for host in claim.hosts), default=0.0)


def used_share(claim: Claim, policy: Policy) -> float:
    """Return the highest used fraction of any resource of any host, 0..1."""
    pool = policy.pool(claim.pool)
    share = 0.0
    for host in claim.hosts:
        total = host.total or (pool.resources if pool else NOTHING)
        share = max([share, *(used / total[name] for name, used in host.used.items() if total.get(name))])
    return share


def moved(claim: Claim, phase: Phase, now: float, **changes: object) -> Claim:
    """Return the claim in another phase, entered now."""
    return replace(claim, phase=phase, since=now, **changes)  # type: ignore[arg-type]  # field names are checked by replace
