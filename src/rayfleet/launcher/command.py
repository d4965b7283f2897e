"""Orders of people, from a wish to a line in the ledger; the loop answers them."""

from __future__ import annotations

import asyncio
import getpass
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rayfleet.launcher import lease, orders, suspension, view
from rayfleet.launcher.errors import NotRunning, TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.orders import Author
from rayfleet.launcher.progress import Progress, Step
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import PRESENT, Order, OrderKind, TickReport
from rayfleet.reports.status_json import current_claims

WAIT_TIMEOUT_S: Final = 600.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """What was ordered, in words, and the orders themselves. `done`: it is so already, not only ordered."""

    text: str
    orders: tuple[Order, ...]
    done: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        told = [{"id": o.id, "kind": o.kind.value, "target": o.target, "value": o.value} for o in self.orders]
        return {"done": self.done, "orders": told}


async def scale(home: Home, pool: str, count: int, why: str = "") -> Answer:
    """Hold `pool` at `count` machines until cleared.

    Raises:
        InvalidOrder: no such pool, or its limits forbid that many; nothing was ordered.
        NotRunning: nobody would answer.
    """
    report = _standing(home)
    order = orders.scale(orders.in_force(report.snapshot.policy, report.plan.orders), pool, count, _author(why))
    await _give(home, order)
    return Answer(f"pool {pool} is to have {count} machines; --clear lets it follow its demand again", (order,))


async def unscale(home: Home, pool: str, why: str = "") -> Answer:
    """Let `pool` follow its demand again.

    Raises:
        InvalidOrder, NotRunning: see `scale`.
    """
    order = orders.unscale(_standing(home).snapshot.policy, pool, _author(why))
    await _give(home, order)
    return Answer(f"pool {pool} follows its demand again", (order,))


async def drain(home: Home, node: str, why: str = "") -> Answer:
    """Empty a machine and give it back.

    Raises:
        InvalidOrder: it does not exist, is the head, or was joined by hand; nothing was ordered.
        NotRunning: see `scale`.
    """
    order = orders.drain(current_claims(_standing(home)), node, _author(why))
    await _give(home, order)
    return Answer(f"{order.target} is to leave: nothing new starts on it", (order,))


async def until_done(home: Home, given: Answer, progress: Progress) -> Answer:
    """Wait until what `scale` or `drain` has ordered is so.

    Raises:
        NotRunning, TookTooLong: it is not so yet; the order stands.
    """
    (order,) = given.orders
    if order.kind is OrderKind.SCALE:
        await _until(home, lambda report: _pool_step(report, order.target, int(order.value)), progress)
        return replace(given, text=f"pool {order.target} has {order.value} machines", done=True)
    await _until(home, lambda report: _leaving_step(report, order.target), progress)
    return replace(given, text=f"{order.target} has left", done=True)


async def change(
    home: Home, changes: Sequence[tuple[str, str]], why: str = "", *, cleared: Sequence[str] = ()
) -> Answer:
    """Change settings of the policy (key, value as text), and give those of `cleared` the configuration's values back.

    All are checked before the first is ordered.

    Raises:
        InvalidOrder, NotRunning: see `scale`.
    """
    policy, author = _standing(home).snapshot.policy, _author(why)
    changed = tuple(orders.change(policy, key, value, author) for key, value in changes)
    unset_ = tuple(orders.unset(policy, key, author) for key in cleared)
    await _give(home, *changed, *unset_)
    lines = [f"{order.target} = {order.value}" for order in changed]
    lines += [f"{key} = {orders.configured(policy, key)}, as configured" for key in cleared]
    return Answer("\n".join(lines), (*changed, *unset_))


async def unset(home: Home, keys: Sequence[str], why: str = "") -> Answer:
    """Give settings of the policy back the values of the configuration; all are checked before the first is ordered.

    Raises:
        InvalidOrder, NotRunning: see `scale`.
    """
    return await change(home, (), why, cleared=keys)


def _author(why: str) -> Author:
    return Author(getpass.getuser(), time.time(), why)


def _standing(home: Home) -> TickReport:
    """Return the newest report of the cluster, which must have a controller: without one no order is ever answered."""
    if lease.controller(home) is None:
        suspension.refuse(home)
        state = "has no controller" if home.is_up else "is down"
        raise NotRunning(f"cluster {home.name} {state}", f"rayfleet up {home.name}")
    return view.latest(home)


async def _give(home: Home, *given: Order) -> None:
    ledger = SqliteLedger(home.ledger)
    try:
        for order in given:
            await ledger.add_order(order)
    finally:
        await ledger.close()
    if (running := lease.controller(home)) is not None:
        running.send(signal.SIGUSR1)


async def _until(home: Home, step: Callable[[TickReport], Step | None], progress: Progress) -> None:
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while (told := step(view.latest(home))) is not None:
        progress(told)
        if lease.controller(home) is None:
            raise NotRunning(f"the controller of {home.name} is gone; the order stands", f"rayfleet up {home.name}")
        if time.monotonic() > deadline:
            raise TookTooLong(f"not done yet: {told.text}; the order stands", f"rayfleet why {home.name}")
        await asyncio.sleep(_POLL_S)


def _pool_step(report: TickReport, pool: str, count: int) -> Step | None:
    ready, existing = view.ready(report, pool), view.existing(report, pool)
    if ready == existing == count:
        return None
    return Step(f"{pool}: {ready} ready of {existing}, {count} wanted", min(ready, count), count)


def _leaving_step(report: TickReport, host: str) -> Step | None:
    for claim in report.plan.claims:
        if claim.phase in PRESENT and any(each.id == host for each in claim.hosts):
            return Step(f"{host} is {claim.phase.value.lower()}")
    return None
