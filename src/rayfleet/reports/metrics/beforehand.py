"""The series that a cluster's policy lets one expect: they begin at 0, before anything of their kind happens.

To Prometheus a series that appears with 1 has always been 1: `increase` would miss the first of everything. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfleet.model import Market, OutcomeKind, Policy, Pool, ReasonCode, Trouble
from rayfleet.reports.events import KINDS
from rayfleet.reports.metrics import families as of
from rayfleet.reports.metrics.families import Family
from rayfleet.reports.metrics.samples import of_offer

RAY: Final = "ray"
"""Whom drains are asked of."""
OK: Final = "ok"
"""How a call ended that did not fail."""
DRAIN_OUTCOMES: Final = ("left", "deadline", "refused", "other")

Labels = tuple[str, ...]
Codes = tuple[ReasonCode, ...]

FAILURES: Final = (
    ReasonCode.BOOT_TIMEOUT, ReasonCode.REQUEST_TIMEOUT, ReasonCode.PROVISION_TIMEOUT, ReasonCode.NODE_DIED,
    ReasonCode.MACHINE_FAILED, ReasonCode.MACHINE_LOST, ReasonCode.REPLICA_BROKEN, ReasonCode.LAUNCH_FAILED,
)  # fmt: skip
"""Reasons for which a node goes that is not wanted to go."""
_LEAVES: Final = (
    ReasonCode.IDLE, ReasonCode.MAKES_ROOM, ReasonCode.DRIFTED, ReasonCode.OVER_MAX, ReasonCode.ORDERED,
    ReasonCode.SHUTDOWN,
)  # fmt: skip
"""Reasons for which Ray is asked to leave a node of any pool."""
_ENDS: Final = (ReasonCode.DRAINED, ReasonCode.DRAIN_DEADLINE, ReasonCode.UNNEEDED)
_LAUNCHES: Final = (
    ReasonCode.TASKS, ReasonCode.GANG, ReasonCode.REQUESTED, ReasonCode.MIN_WORKERS, ReasonCode.SCALE_ORDER,
    ReasonCode.REPLACEMENT,
)  # fmt: skip
"""Reasons for which machines of any pool are launched."""
_FINDINGS: Final = (
    ReasonCode.ADOPTED, ReasonCode.IMPOSSIBLE, ReasonCode.MACHINE_LOST, ReasonCode.RELEASE_FAILED, ReasonCode.BAD_ORDER,
    ReasonCode.BROKEN_INVARIANT, ReasonCode.UNKNOWN_POOL, ReasonCode.LAUNCH_FAILED, ReasonCode.ENGINE_DOWN,
    ReasonCode.WAITING_FOR_HEAD, ReasonCode.MIN_WORKERS, ReasonCode.SCALE_ORDER, ReasonCode.STANDBY,
)  # fmt: skip
"""What is said of anything that should not be, a minimum that cannot be held included."""
_OF_LAUNCHES: Final = (Trouble.OUT_OF_STOCK, Trouble.QUOTA_REACHED, Trouble.DENIED, Trouble.FLAKY)
_OF_RELEASES: Final = (Trouble.DENIED, Trouble.FLAKY)
_OF_DRAINS: Final = (Trouble.REFUSED, Trouble.FLAKY)
"""How each kind of call fails."""


def expected(policy: Policy) -> Iterator[tuple[Family, Labels]]:
    """Yield family and labels of every counter that may count under a policy."""
    for code in _FINDINGS:
        yield of.FOUND, (code.value,)
    for kind in KINDS:
        yield of.EVENTS, (kind,)
    yield from _calls(RAY, OutcomeKind.DRAIN, _OF_DRAINS)
    if policy.head:
        yield from _of_pool(policy.head, (ReasonCode.HEAD,), (ReasonCode.SHUTDOWN,))
    for pool in policy.pools:
        yield from _of_pool(pool, tuple(_launches(policy, pool)), tuple(_leaves(policy, pool)))
    pools = (*policy.pools, policy.head) if policy.head else policy.pools
    for place in dict.fromkeys(offer.provider or "" for pool in pools for offer in pool.offers):
        yield from _calls(place, OutcomeKind.LAUNCH, _OF_LAUNCHES)
        yield from _calls(place, OutcomeKind.RELEASE, _OF_RELEASES)


def _launches(policy: Policy, pool: Pool) -> Iterator[ReasonCode]:
    yield from _LAUNCHES
    if policy.buffers:
        yield ReasonCode.BUFFER
    if policy.scale_up_utilization:
        yield ReasonCode.UTILIZATION
    if policy.forecast:
        yield ReasonCode.FORECAST
    if pool.standby:
        yield ReasonCode.STANDBY


def _leaves(policy: Policy, pool: Pool) -> Iterator[ReasonCode]:
    yield from _LEAVES
    if any(offer.market is Market.SPOT for offer in pool.offers):
        yield ReasonCode.INTERRUPTED
    if policy.max_age_s is not None or pool.max_age_s is not None:
        yield ReasonCode.EXPIRED
    if policy.consolidation_threshold is not None:
        yield from (ReasonCode.UNDERUSED, ReasonCode.CHEAPER)
    if policy.max_usd_per_hour is not None:
        yield ReasonCode.OVER_BUDGET
    if policy.max_usd_per_day is not None:
        yield ReasonCode.OVER_DAY_BUDGET
    if policy.max_resources:
        yield ReasonCode.OVER_RESOURCES


def _of_pool(pool: Pool, launches: Codes, leaves: Codes) -> Iterator[tuple[Family, Labels]]:
    for offer in pool.offers:
        labels = of_offer(offer.key(pool.name))
        yield of.STOCK_OUTS, labels
        yield from ((of.LAUNCH_FAILURES, (*labels, trouble.value)) for trouble in _OF_LAUNCHES)
        yield from ((of.LAUNCHED, (*labels, code.value)) for code in launches)
    for market in dict.fromkeys(offer.market.value for offer in pool.offers):
        yield from ((of.GONE, (pool.name, market, code.value)) for code in (*FAILURES, *leaves, *_ENDS))
    yield from ((of.DRAINS, (pool.name, code.value)) for code in leaves)
    yield from ((of.DRAIN_ENDS, (pool.name, outcome)) for outcome in DRAIN_OUTCOMES)


def _calls(whom: str, call: OutcomeKind, troubles: tuple[Trouble, ...]) -> Iterator[tuple[Family, Labels]]:
    for result in (OK, *(trouble.value for trouble in troubles)):
        yield of.CALLS, (whom, call.value, result)
