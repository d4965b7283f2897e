"""How much more may exist: every limit that applies to a launch, counted down as launches are decided."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rayfleet.model import EXISTING, STARTING, Phase, Pool, Reason, ReasonCode, reason
from rayfleet.planner.draft import Draft

UNLIMITED = 2**62
CENT_PART = 1e-9
"""Sums of prices carry rounding errors; a budget is not exceeded by them."""


@dataclass(slots=True)
class Room:
    """What is left below each limit, in hosts (pools, cluster, speed) and USD per hour.

    `speed` per pool: how many more may be starting; minimums and gangs do not ask it.
    """

    pools: dict[str, int]
    cluster: int
    usd_per_hour: float
    speed: dict[str, int]
    starting: dict[str, int]

    @classmethod
    def of(cls, draft: Draft) -> Room:
        """Count what exists (leaving claims too) against the policy's limits."""
        policy = draft.policy
        hosts: dict[str, int] = {}
        starting: dict[str, int] = {}
        ready: dict[str, int] = {}
        usd = 0.0
        for claim in draft.claims.values():
            if claim.foreign or claim.phase not in EXISTING:
                continue
            usd += (draft.usd_per_hour(claim) or 0.0) * claim.count
            if claim.head:
                continue
            hosts[claim.pool] = hosts.get(claim.pool, 0) + claim.count
            if claim.phase in STARTING:
                starting[claim.pool] = starting.get(claim.pool, 0) + claim.count
            elif claim.phase is Phase.READY:
                ready[claim.pool] = ready.get(claim.pool, 0) + claim.count
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
        )

    def copy(self) -> Room:
        """Return an independent copy, for a try."""
        return Room(dict(self.pools), self.cluster, self.usd_per_hour, dict(self.speed), dict(self.starting))

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
        return more

    def most_hosts(self) -> int:
        """Return how many more hosts any pool may have, at most."""
        return min(self.cluster, sum(min(hosts, UNLIMITED // 2**20) for hosts in self.pools.values()))

    def replicas(self, pool: Pool, usd_per_hour: float | None) -> int:
        """Return how many more replicas of a pool may exist. How fast they may start is `at_once`."""
        count = min(self.pools[pool.name], self.cluster) // pool.hosts_per_replica
        if usd_per_hour and not math.isinf(self.usd_per_hour):
            count = min(count, int((self.usd_per_hour + CENT_PART) / (usd_per_hour * pool.hosts_per_replica)))
        return count

    def at_once(self, pool: Pool) -> int:
        """Return how many more replicas of a pool may be starting, by the upscaling speed."""
        return self.speed[pool.name] // pool.hosts_per_replica

    def take(self, pool: Pool, usd_per_hour: float | None, replicas: int) -> None:
        """Count launches down."""
        hosts = replicas * pool.hosts_per_replica
        self.pools[pool.name] -= hosts
        self.cluster -= hosts
        self.usd_per_hour = max(0.0, self.usd_per_hour - (usd_per_hour or 0.0) * hosts)
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
        if not hurried and self.speed[pool.name] < size and policy.upscaling_speed is not None:
            hits.append(
                reason(
                    ReasonCode.UPSCALING_SPEED,
                    upscaling_speed=policy.upscaling_speed,
                    starting=self.starting.get(pool.name, 0),
                )
            )
        return hits


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
