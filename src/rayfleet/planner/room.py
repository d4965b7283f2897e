"""How much more may exist: every limit that applies to a launch, counted down as launches are decided."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from rayfleet.model import (
    EXISTING,
    NOTHING,
    STARTING,
    Claim,
    Phase,
    Policy,
    Pool,
    Reason,
    ReasonCode,
    Resources,
    amount,
    reason,
)
from rayfleet.planner.census import census, count
from rayfleet.planner.draft import Draft
from rayfleet.planner.spending import left_per_hour, spent_today

UNLIMITED = 2**62
CENT_PART = 1e-9
"""Sums of prices carry rounding errors; a budget is not exceeded by them."""


@dataclass(slots=True)
class Room:
    """What is left below each limit, in hosts (pools, cluster, speed, launches) and USD per hour.

    `speed` per pool: how many more may be starting; minimums and gangs do not ask it. `launches`: how many more may be
    launched within this minute; of a gang that is larger, all are, when any may. `today_per_hour`: what today's budget
    leaves for each hour. `resources`: units that are left of those that are limited.
    """

    pools: dict[str, int]
    cluster: int
    usd_per_hour: float
    speed: dict[str, int]
    starting: dict[str, int]
    launches: int = UNLIMITED
    today_per_hour: float = math.inf
    resources: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, draft: Draft, without: frozenset[str] = frozenset()) -> Room:
        """Count what exists (leaving claims too) against the policy's limits; what is on standby makes way for work.

        `without`: as if these claims did not exist.
        """
        policy = draft.policy
        counted = census(draft)
        if without:
            counted = count(draft, (claim for name, claim in draft.claims.items() if name not in without))
        hosts, starting = counted.workers(EXISTING), counted.workers(STARTING)
        ready, usd = counted.workers({Phase.READY}), counted.working_usd_per_hour
        most = policy.max_usd_per_hour
        return cls(
            pools={
                p.name: UNLIMITED if p.max_workers is None else max(0, p.max_workers - hosts.get(p.name, 0))
                for p in policy.pools
            },
            cluster=UNLIMITED if policy.max_workers is None else max(0, policy.max_workers - sum(hosts.values())),
            usd_per_hour=math.inf if most is None else max(0.0, most - usd),
            speed={
                p.name: _allowance(policy.upscaling_speed, p, ready.get(p.name, 0), starting.get(p.name, 0))
                for p in policy.pools
            },
            starting=starting,
            launches=_launches_left(draft),
            today_per_hour=_today_left(draft, usd),
            resources=_resources_left(draft, without),
        )

    def copy(self) -> Room:
        """Return an independent copy, for a try."""
        return replace(
            self,
            pools=dict(self.pools),
            speed=dict(self.speed),
            starting=dict(self.starting),
            resources=dict(self.resources),
        )

    def unlimited(self) -> Room:
        """Return a room without any limit over the same pools, for asking what would be needed."""
        free = dict.fromkeys(self.pools, UNLIMITED)
        return Room(free, UNLIMITED, math.inf, dict(free), dict(self.starting))

    def with_more(self, pool: Pool, usd_per_hour: float | None, replicas: int) -> Room:
        """Return the room there would be without some replicas of a pool, which are counted in this one."""
        hosts = replicas * pool.hosts_per_replica
        more = self.copy()
        more.pools[pool.name] = min(UNLIMITED, more.pools[pool.name] + hosts)
        more.cluster = min(UNLIMITED, more.cluster + hosts)
        more.usd_per_hour += (usd_per_hour or 0.0) * hosts
        more.today_per_hour += (usd_per_hour or 0.0) * hosts
        more.launches = min(UNLIMITED, more.launches + hosts)
        for name in more.resources:
            more.resources[name] += pool.resources.get(name, 0) * hosts
        return more

    def most_hosts(self) -> int:
        """Return how many more hosts any pool may have, at most."""
        return min(self.cluster, sum(min(hosts, UNLIMITED // 2**20) for hosts in self.pools.values()))

    def replicas(self, pool: Pool, usd_per_hour: float | None) -> int:
        """Return how many more replicas of a pool may exist. How fast they may start is `at_once`."""
        count = min(self.hosts(pool), self.cluster) // pool.hosts_per_replica
        money = self.money_per_hour()
        if usd_per_hour and not math.isinf(money):
            count = min(count, int((money + CENT_PART) / (usd_per_hour * pool.hosts_per_replica)))
        return max(0, count)

    def hosts(self, pool: Pool) -> int:
        """Return how many more hosts of a pool may exist, by its own limit and those on resources."""
        most = self.pools[pool.name]
        for name, left in self.resources.items():
            if units := pool.resources.get(name, 0):
                most = min(most, left // units)
        return max(0, most)

    def money_per_hour(self) -> float:
        """Return the USD per hour that are left; infinite without a limit."""
        return min(self.usd_per_hour, self.today_per_hour)

    def at_once(self, pool: Pool) -> int:
        """Return how many more replicas of a pool may be launched now, by the upscaling speed and the launch rate."""
        return max(0, min(self.speed[pool.name], self.launches)) // pool.hosts_per_replica

    def take(self, pool: Pool, usd_per_hour: float | None, replicas: int) -> None:
        """Count launches down."""
        hosts = replicas * pool.hosts_per_replica
        self.pools[pool.name] -= hosts
        self.cluster -= hosts
        usd = (usd_per_hour or 0.0) * hosts
        self.usd_per_hour = max(0.0, self.usd_per_hour - usd)
        self.today_per_hour = max(0.0, self.today_per_hour - usd)
        self.launches -= hosts
        for name in self.resources:
            self.resources[name] -= pool.resources.get(name, 0) * hosts
        self.speed[pool.name] = max(0, self.speed[pool.name] - hosts)
        self.starting[pool.name] = self.starting.get(pool.name, 0) + hosts

    def blockers(
        self, draft: Draft, pool: Pool, usd_per_hour: float | None, *, hurried: bool, hosts: int = 1
    ) -> list[Reason]:
        """Return every limit that keeps `hosts` more hosts (whole replicas) of a pool away; empty: there is room."""
        size = -(-hosts // pool.hosts_per_replica) * pool.hosts_per_replica
        policy = draft.policy
        hits: list[Reason] = []
        if self.cluster < size and policy.max_workers is not None:
            hits.append(reason(ReasonCode.MAX_WORKERS, max_workers=policy.max_workers))
        if self.pools[pool.name] < size and pool.max_workers is not None:
            hits.append(reason(ReasonCode.POOL_MAX_WORKERS, max_workers=pool.max_workers))
        if (usd_per_hour or 0.0) * size > self.usd_per_hour + CENT_PART and policy.max_usd_per_hour is not None:
            hits.append(reason(ReasonCode.BUDGET, max_usd_per_hour=policy.max_usd_per_hour))
        if (usd_per_hour or 0.0) * size > self.today_per_hour + CENT_PART and policy.max_usd_per_day is not None:
            spent_usd = spent_today(draft).usd
            hits.append(reason(ReasonCode.DAY_BUDGET, max_usd_per_day=policy.max_usd_per_day, spent_usd=spent_usd))
        hits += [_of_resource(policy, name, left) for name, left in self._lacking(pool, size)]
        if not hurried and self.speed[pool.name] < size and policy.upscaling_speed is not None:
            hits.append(
                reason(
                    ReasonCode.UPSCALING_SPEED,
                    upscaling_speed=policy.upscaling_speed,
                    starting=self.starting.get(pool.name, 0),
                )
            )
        if policy.max_launches_per_min is not None and self.launches < (1 if hurried else size):
            launched = policy.max_launches_per_min - self.launches
            hits.append(
                reason(ReasonCode.LAUNCH_RATE, launched=launched, max_launches_per_min=policy.max_launches_per_min)
            )
        return hits

    def _lacking(self, pool: Pool, hosts: int) -> list[tuple[str, int]]:
        """Return the limited resources of which too little is left for `hosts` of a pool, with what is left."""
        return [(name, left) for name, left in self.resources.items() if pool.resources.get(name, 0) * hosts > left]


FIRST_LAUNCHES = 5
"""So many may always be starting, however slow the speed."""


def _allowance(speed: float | None, pool: Pool, ready: int, starting: int) -> int:
    """Return how many more hosts of a pool may be starting: max(5, ceil(speed x READY)) in all.

    A replica is never split: when none is starting, one whole replica may.
    """
    if speed is None:
        return UNLIMITED
    most = max(FIRST_LAUNCHES, math.ceil(speed * ready))
    if starting == 0:
        most = max(most, pool.hosts_per_replica)
    return max(0, most - starting)


def _of_resource(policy: Policy, name: str, left: int) -> Reason:
    most = policy.max_resources[name]
    return reason(ReasonCode.MAX_RESOURCES, resource=name, have=amount(most - left), most=amount(most))


def _resources_left(draft: Draft, without: frozenset[str]) -> dict[str, int]:
    """Return what is left of each limited resource; may be negative."""
    left = dict(draft.policy.max_resources)
    if left:
        for claim in draft.workers():
            total = NOTHING if claim.id in without else total_of(draft, claim)
            for name in left:
                left[name] -= total.get(name, 0)
    return left


def total_of(draft: Draft, claim: Claim) -> Resources:
    """Return what all hosts of a claim have: as their nodes say, else as its pool says."""
    pool = draft.policy.pool(claim.pool)
    typical = pool.resources if pool else NOTHING
    total = Resources()
    for host in claim.hosts:
        total = total + (typical if host.total is None else host.total)
    return total


MINUTE_S = 60.0


def _launches_left(draft: Draft) -> int:
    """Return how many machines may be launched now: those of the last minute count, also where they failed since."""
    most = draft.policy.max_launches_per_min
    if most is None:
        return UNLIMITED
    made = sum(claim.count for claim in draft.workers() if claim.created > draft.now - MINUTE_S)
    return max(0, most - max(made, draft.snapshot.launched_last_min))


def _today_left(draft: Draft, usd_per_hour: float) -> float:
    most = left_per_hour(draft)
    return math.inf if most is None else max(0.0, most - usd_per_hour)
