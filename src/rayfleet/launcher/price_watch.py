"""The controller's prices: the cloud is asked now and then, and what it says reaches the next plan.

    every 24 h on demand, every hour spot --ask--> the user's cache --the file is read again--> the reconciler's policy

It is a task beside the loop, whose ticks never wait for it; whatever goes wrong leaves prices as they are, and is told
once. The cache may also be changed by others (`rayfleet prices --refresh`), which is noticed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from rayfleet.config import ClusterSpec
from rayfleet.contracts import Clock, Denied, ProviderError, ProviderKind
from rayfleet.launcher.price_asking import Wanted, ask, wanted_of
from rayfleet.launcher.repricing import moves, repriced
from rayfleet.model import Market, Policy
from rayfleet.wire.catalogue.files import changed_ns

log = structlog.get_logger("rayfleet.prices")

_HOUR_S: Final = 3600.0


class HasPolicy(Protocol):
    """Whose plans follow its policy: a Reconciler."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often, in seconds. `look_s`: whether the cache was changed; `first_s`: after the start; `jitter`: a share.

    `flaky_s`, `denied_s`: until the next asking after a failure.
    """

    look_s: float = 30.0
    first_s: float = 60.0
    spot_s: float = _HOUR_S
    on_demand_s: float = 24 * _HOUR_S
    flaky_s: float = _HOUR_S
    denied_s: float = 24 * _HOUR_S
    jitter: float = 0.2

    def of(self, market: Market) -> float:
        """Return how often prices of a market are asked for."""
        return self.spot_s if market is Market.SPOT else self.on_demand_s


INTERVALS: Final = Intervals()


class PriceWatch:
    """Keeps the prices of one cluster's policy. `read` returns its file as the catalogue now prices it."""

    def __init__(
        self,
        kind: ProviderKind,
        read: Callable[[], Awaitable[ClusterSpec]],
        target: HasPolicy,
        clock: Clock,
        intervals: Intervals = INTERVALS,
    ) -> None:
        """Take who is asked, and whose policy is changed; no I/O yet."""
        self._kind = kind
        self._read = read
        self._target = target
        self._clock = clock
        self._intervals = intervals
        self._due: dict[Market, float] = {}
        self._seen_ns = changed_ns(kind.name)
        self._failing: set[Market] = set()

    async def run(self) -> None:
        """Ask and look until cancelled."""
        spec = await self._read()
        wanted = wanted_of(spec) if spec.refresh_prices and self._kind.prices else ()
        # Where many clusters start at once, not all of them ask at once.
        chance = random.Random(spec.name)  # noqa: S311 - no secret
        first = self._now() + self._spread(self._intervals.first_s, chance)
        self._due = {market: self._due.get(market, first) for market in sorted({one.market for one in wanted})}
        while True:
            await asyncio.sleep(self._intervals.look_s)
            for market in [market for market, at in self._due.items() if at <= self._now()]:
                mine = [one for one in wanted if one.market is market]
                again_s = await self._ask(spec.provider_settings, market, mine)
                self._due[market] = self._now() + self._spread(again_s, chance)
            await self._look()

    async def _ask(self, settings: Any, market: Market, wanted: list[Wanted]) -> float:
        """Ask; return in how many seconds to ask again."""
        try:
            answer = await ask(self._kind, settings, wanted, self._clock.now())
        except (ProviderError, OSError) as error:
            if market not in self._failing:
                note = "prices stay as they are; refresh_prices: false in the file ends the asking"
                log.warning("prices_not_refreshed", market=str(market), reason=str(error), note=note)
            self._failing.add(market)
            return self._intervals.denied_s if isinstance(error, Denied) else self._intervals.flaky_s
        if market in self._failing:
            self._failing.remove(market)
            log.info("prices_refreshed_again", market=str(market), told=len(answer.told))
        return self._intervals.of(market)

    async def _look(self) -> None:
        """Reprice the policy when the cache has changed, by whomever."""
        changed = changed_ns(self._kind.name)
        if changed == self._seen_ns:
            return
        self._seen_ns = changed
        fresh = (await self._read()).policy
        before = self._target.policy
        self._target.policy = repriced(before, fresh)
        if moved := [str(one) for one in moves(before, self._target.policy)]:
            log.info("prices_changed", offers=moved)

    def _spread(self, interval_s: float, chance: random.Random) -> float:
        return interval_s * (1 + self._intervals.jitter * chance.random())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
