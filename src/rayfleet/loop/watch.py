"""Reasons to wake the loop before its interval has passed. They only wake it; they never act."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from rayfleet.contracts import EngineView, Ledger, LedgerUnavailable, Machine, fingerprint
from rayfleet.loop.parts import Cadence
from rayfleet.loop.poller import Poller

Wake = Callable[[str, float], None]
"""Called with why, and in how many seconds at the latest a tick is wanted."""

_LOOK_AGAIN_S = 0.5
"""A provider's interval is looked at so often."""
_BACK_OFF = 1.1
"""Slow enough that work which comes in steps of a second or two meets a watcher that is still awake."""

log = structlog.get_logger()


async def kept_up(watch: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """Run a watcher, and begin anew after `pause_s` when it fails, which is logged. Runs until cancelled.

    The loop would go on without it, but slowly, and nobody would be told why.
    """
    while True:
        try:
            await watch()
        except Exception:
            log.exception("watcher_failed")
        await asyncio.sleep(pause_s)


async def watch_engine(
    poller: Poller[EngineView], cadence: Cadence, wake: Wake, heard: Callable[[float], None]
) -> None:
    """Ask the engine, often while its answers change; wake the loop when demand or nodes did. Runs until cancelled.

    `heard` is told when the answer with the news was received.
    """
    seen: frozenset[object] | None = None
    idle: frozenset[str] = frozenset()
    pause_s = cadence.poll_busy_s
    while True:
        await poller.ask()
        view = poller.value
        now_seen, now_idle = (fingerprint(view), _idle(view)) if view else (None, idle)
        pause_s = min(pause_s * _BACK_OFF, cadence.poll_quiet_s)
        if now_seen != seen:
            pause_s = cadence.poll_busy_s
            if view:
                heard(view.received_at)
            wake("engine", 0.0)
        elif now_idle != idle:
            wake("idleness", cadence.idle_wake_s)
        seen, idle = now_seen, now_idle
        await asyncio.sleep(pause_s)


async def watch_provider(poller: Poller[tuple[Machine, ...]], interval_s: Callable[[], float], wake: Wake) -> None:
    """List machines at the provider's own interval; wake the loop when the listing changed. Runs until cancelled.

    The interval may become shorter at any moment, when the provider has news.
    """
    while True:
        before = poller.value
        if poller.due(interval_s()):
            await poller.ask()
        if poller.value != before:
            wake("machines", 0.0)
        await _slept(interval_s)


async def _slept(interval_s: Callable[[], float]) -> None:
    """Sleep for an interval that may change meanwhile."""
    clock = asyncio.get_running_loop().time
    began = clock()
    left_s = interval_s()
    while left_s > 0:
        await asyncio.sleep(min(left_s, _LOOK_AGAIN_S))
        left_s = began + interval_s() - clock()


async def watch_orders(ledger: Ledger, interval_s: float, wake: Wake) -> None:
    """Wake the loop when somebody gave an order. Runs until cancelled."""
    seen: tuple[object, ...] = ()
    while True:
        try:
            orders = (await ledger.load()).orders
        except LedgerUnavailable:  # the next tick meets the same and says so in its report
            orders = ()
        if set(orders) - set(seen):
            wake("order", 0.0)
        seen = orders
        await asyncio.sleep(interval_s)


def _idle(view: EngineView) -> frozenset[str]:
    return frozenset(node.id for node in view.nodes if node.idle_s > 0)
