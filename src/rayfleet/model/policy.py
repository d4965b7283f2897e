"""What the planner may see of the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.model.ahead import Buffer, Forecast, Schedule
from rayfleet.model.disruption import DisruptionBudget
from rayfleet.model.frozen import NO_LABELS, FrozenMap, Labels
from rayfleet.model.labels import ANYWHERE, MARKET_LABEL, NODE_GROUP_LABEL, ZONE_LABEL, LabelSelector
from rayfleet.model.quota import Quota
from rayfleet.model.resources import Resources
from rayfleet.model.standby import Standby, StandbyMode
from rayfleet.model.timeouts import Timeouts
from rayfleet.model.triggers import PendingThreshold
from rayfleet.model.word import Word


class Market(Word):
    """How a machine is bought."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True)
class OfferKey:
    """Identity of an offer, a back-off or a machine's origin. None means: any, or not known."""

    pool: str
    provider: str | None = None
    region: str | None = None
    zone: str | None = None
    market: Market | None = None

    def covers(self, other: OfferKey) -> bool:
        """Say whether every key that this one names is the same in `other`."""
        mine = (self.provider, self.region, self.zone, self.market)
        theirs = (other.provider, other.region, other.zone, other.market)
        return self.pool in ("", other.pool) and all(m in (None, t) for m, t in zip(mine, theirs, strict=True))


@dataclass(frozen=True, slots=True)
class Offer:
    """One way of getting a machine of a pool. `usd_per_hour` None = price unknown.

    `standby_usd_per_hour`: what one costs while it is stopped, which mostly is its disk.
    `counted_usd_per_hour` is the planner's: no file has it. Nor has one `on_demand_usd_per_hour`: what such a machine
    costs on demand, by the catalogue, where the offer is bought otherwise; for reports only.
    """

    usd_per_hour: float | None = None
    market: Market = Market.ON_DEMAND
    zone: str | None = None
    region: str | None = None
    provider: str | None = None
    counted_usd_per_hour: float | None = None
    standby_usd_per_hour: float = 0.0
    on_demand_usd_per_hour: float | None = None

    def resting_usd_per_hour(self, mode: StandbyMode) -> float | None:
        """Return the price of a machine that waits on standby; None when it is not known."""
        return self.standby_usd_per_hour if mode is StandbyMode.STOPPED else self.usd_per_hour

    @property
    def compared(self) -> float | None:
        """Return the price that offers are compared by: what overlays have made of it, else its own."""
        return self.usd_per_hour if self.counted_usd_per_hour is None else self.counted_usd_per_hour

    def key(self, pool: str) -> OfferKey:
        """Return the identity of this offer within `pool`."""
        return OfferKey(pool, self.provider, self.region, self.zone, self.market)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the offers in `scope` whose labels `labels` means count as when they are compared.

    One of `usd_per_hour` (instead of the price), `multiply` and `add` (never below 0). `real`: it is what they cost.
    """

    scope: OfferKey
    labels: LabelSelector = ANYWHERE
    usd_per_hour: float | None = None
    multiply: float | None = None
    add: float | None = None
    why: str = ""
    real: bool = False


DEFAULT_OFFERS: tuple[Offer, ...] = (Offer(),)


@dataclass(frozen=True, slots=True)
class Pool:
    """One kind of machine and how many there may be. Counts are hosts, not replicas.

    `priority`: higher is tried first, above price. `max_workers` None = no cap.
    `idle_timeout_s`, `max_age_s`, `max_age_grace_s` None = the policy's. `boot_timeout_s` None = that of the policy's
    time-outs. `standby`: how many more wait without Ray; they count in no maximum.
    """

    name: str
    resources: Resources
    labels: Labels = NO_LABELS
    min_workers: int = 0
    max_workers: int | None = None
    priority: int = 0
    hosts_per_replica: int = 1
    idle_timeout_s: float | None = None
    offers: tuple[Offer, ...] = DEFAULT_OFFERS
    restartable: bool = False
    max_age_s: float | None = None
    standby: Standby | None = None
    boot_timeout_s: float | None = None
    max_age_grace_s: float | None = None

    @property
    def make(self) -> str:
        """Return what its machines are made as, in words that change when machines have to be made anew."""
        labels = ", ".join(f"{key}: {value}" for key, value in self.labels.items())
        return f"{self.resources} {{{labels}}} x{self.hosts_per_replica}"


@dataclass(frozen=True, slots=True)
class Policy:
    """All limits and preferences of one cluster.

    `head`: the pool of one that carries the head, when the loop is to start it;
    None when somebody else does. Speeds: None = no rate limit. `scale_up_pending_threshold` None: machines are
    launched for the first task that waits. `scale_up_utilization`: resource -> share of it (0..1] that may be in use
    before more is launched. `max_resources`: resource -> most units that all workers together may have (0 is none at
    all). `max_usd_per_day`: from midnight to midnight, UTC. `max_launches_per_min`: machines; the head is free.
    `gangs_same_label`: a label key on which the machines of every gang agree that names none itself.
    `spot_spread_margin`: spot machines are spread over offers that cost at most that share more than the cheapest one;
    None = the cheapest only. `keep_starting_share`: of machines on their way that nothing needs any more, so many stay
    as this share of those of their pool that are in use. `max_age_grace_s`: what runs on a machine at its maximum age
    may go on for so long and is ended then, restartable or not; None: it is not ended.
    """

    pools: tuple[Pool, ...] = ()
    head: Pool | None = None
    max_workers: int | None = None
    idle_timeout_s: float = 60.0
    upscaling_speed: float | None = None
    downscaling_speed: float | None = None
    max_usd_per_hour: float | None = None
    spot_spread_margin: float | None = None
    disruption_budgets: tuple[DisruptionBudget, ...] = ()
    max_age_s: float | None = None
    consolidation_threshold: float | None = None
    consolidate_after_s: float = 600.0
    scale_down_utilization: float | None = None
    timeouts: Timeouts = Timeouts()
    buffers: tuple[Buffer, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    scale_up_pending_threshold: PendingThreshold | None = None
    scale_up_utilization: FrozenMap[float] = FrozenMap()
    max_resources: FrozenMap[int] = FrozenMap()
    max_usd_per_day: float | None = None
    max_launches_per_min: int | None = None
    gangs_same_label: str | None = None
    overlays: tuple[Overlay, ...] = ()
    quotas: tuple[Quota, ...] = ()
    forecast: Forecast | None = None
    keep_starting_share: float = 0.25
    max_age_grace_s: float | None = None

    @property
    def replaces_machines(self) -> bool:
        """Say whether machines may be replaced for their age or price, or be consolidated."""
        aged = self.max_age_s is not None or any(pool.max_age_s is not None for pool in self.pools)
        return aged or self.consolidation_threshold is not None

    def pool(self, name: str) -> Pool | None:
        """Return the worker pool or head pool of that name, or None."""
        known = (*self.pools, self.head) if self.head else self.pools
        return next((pool for pool in known if pool.name == name), None)


def offer_labels(pool: Pool | None, key: OfferKey) -> Labels:
    """Return the labels of a node: its pool's name and what its offer says, overridden by what its pool says."""
    said = {NODE_GROUP_LABEL: key.pool, MARKET_LABEL: "spot" if key.market is Market.SPOT else "on-demand"}
    if key.zone is not None:
        said[ZONE_LABEL] = key.zone
    labels = Labels(said)
    return labels.merged(pool.labels) if pool and pool.labels else labels
