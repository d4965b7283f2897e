"""The first word: ask every edge, empty the inbox, and freeze it all as one Snapshot."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rayfleet.contracts import (
    EngineError,
    EngineView,
    LedgerUnavailable,
    Machine,
    ProviderError,
    Record,
)
from rayfleet.loop.act import MINUTE_S, Inbox
from rayfleet.loop.clock_steps import not_ahead
from rayfleet.loop.join import Joined, Listing, Memory, join
from rayfleet.loop.parts import Parts
from rayfleet.loop.poller import Poller
from rayfleet.model import Claim, Demand, FrozenMap, NodeFact, Policy, Snapshot


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look gave. `held`: what the ledger holds; None: never readable so far, so nothing can be planned."""

    snapshot: Snapshot
    held: Record | None
    seen_at: float
    troubles: tuple[str, ...]


class Observer:
    """Keeps the newest answer of every edge and joins them on demand."""

    def __init__(self, parts: Parts, inbox: Inbox) -> None:
        """Observe `parts`; nothing is asked before the first `observe`."""
        self._parts = parts
        self._inbox = inbox
        self._record: Record | None = None
        self._memory = Memory()
        self._used: EngineView | None = None  # the view that the last snapshot was made from
        self._machines: frozenset[str] = frozenset()  # machine ids of ours whose nodes the engine may still show
        self._news_at: float | None = None  # when the engine first said what no snapshot has shown yet
        self._unknown: frozenset[str] = frozenset()  # instance ids that no listing has explained yet
        self.engine = Poller("engine", parts.engine.look, parts.clock, EngineError)
        self.listings: dict[str, Poller[tuple[Machine, ...]]] = {
            name: Poller(f"provider {name}", provider.list, parts.clock, ProviderError)
            for name, provider in parts.providers.items()
        }

    async def observe(self, policy: Policy) -> Sight:
        """Ask what is due and return a snapshot of everything."""
        trouble, _ = await asyncio.gather(self._read_ledger(), self._look())
        looked = self.engine.value
        here = _instances(looked)
        await self._list(force=self._has_unknown_nodes(here))
        now, view = self._parts.clock.now(), self.engine.value
        record = not_ahead(self._record or Record(), now, policy.timeouts)
        self._used = view
        joined = self._join(record.claims, view, here if view is looked else _instances(view))
        snapshot = Snapshot(
            now=now,
            policy=policy,
            claims=joined.claims,
            demand=view.demand if view else Demand(),
            backoffs=record.backoffs,
            orders=record.orders,
            outcomes=self._inbox.take() if self._record else (),
            strays=joined.strays,
            in_flight=tuple(sorted(self._inbox.launching)),
            listed_at=FrozenMap({n: p.asked_at for n, p in self.listings.items() if p.asked_at is not None}),
            serial=record.serial,
            engine_up=view is not None,
            spent_today_usd=record.spent.usd if record.spent else 0.0,
            spent_at=record.spent.at if record.spent else None,
            launched_last_min=sum(count for at, count in record.launched if at > now - MINUTE_S),
            expected=self._parts.expect(now) if self._parts.expect else (),
        )
        seen_at = view.received_at if view else 0.0
        seen_at, self._news_at = min(seen_at, self._news_at or seen_at), None
        edges = (self.engine.trouble, *(poller.trouble for poller in self.listings.values()))
        troubles = tuple(text for text in (trouble, *edges) if text)
        return Sight(snapshot, self._record, seen_at, troubles)

    def remember(self, held: Record) -> None:
        """Take what the ledger holds now: the next look may find it unreadable, and must not plan with what it held."""
        self._record = held

    def heard(self, at: float) -> None:
        """Remember when the engine had news that no snapshot has shown: demand to launch counts from there."""
        shown = self._used is not None and at <= self._used.received_at
        if not shown and self._news_at is None:
            self._news_at = at

    def expire_listings(self) -> None:
        """Have every provider listed by the next look: a call has just changed what there is."""
        for poller in self.listings.values():
            poller.tried_at = None

    async def close(self) -> None:
        """Give up questions that are under way."""
        await asyncio.gather(self.engine.close(), *(poller.close() for poller in self.listings.values()))

    # ---- asking ---------------------------------------------------------------------------------------

    async def _read_ledger(self) -> str:
        """Read the record, or keep the last one; return why it could not be read."""
        try:
            self._record = await self._parts.ledger.load()
        except LedgerUnavailable as error:
            return str(error)
        return ""

    async def _look(self) -> None:
        """Use the watcher's answer when it is fresh and not yet used, else ask."""
        cadence, engine = self._parts.cadence, self.engine
        used = engine.value is None or engine.value is self._used
        if used or engine.due(cadence.fresh_s):
            await engine.ask(cadence.look_patience_s)

    def _wake(self) -> None:
        self._inbox.wake("machines")

    async def _list(self, *, force: bool) -> None:
        cadence = self._parts.cadence
        asks = []
        for name, poller in self.listings.items():
            first = poller.unanswered
            if first or force or poller.due(self._parts.providers[name].list_interval_s):
                patience_s = cadence.first_list_patience_s if first else cadence.list_patience_s
                asks.append(poller.ask(patience_s, self._wake))  # this tick goes on without a late answer
        await asyncio.gather(*asks)

    def _has_unknown_nodes(self, here: frozenset[str]) -> bool:
        """Say whether a node has joined whose machine no listing has shown yet; asked once per node."""
        listed = {machine.id for poller in self.listings.values() for machine in poller.value or ()}
        unknown = here - listed - self._machines
        new, self._unknown = unknown - self._unknown, unknown
        return bool(new)

    # ---- joining --------------------------------------------------------------------------------------

    def _join(self, claims: tuple[Claim, ...], view: EngineView | None, here: frozenset[str]) -> Joined:
        """Join what is known. `here`: the machines of the view's nodes."""
        listings = {name: Listing(poller.value, poller.asked_at) for name, poller in self.listings.items()}
        joined = join(claims, listings, view, self._machines, self._memory)
        # Nodes that the engine has not seen die yet are still shown; when it does not answer, all may be.
        self._machines = (self._machines if view is None else self._machines & here) | joined.bound
        return joined


def _instances(view: EngineView | None) -> frozenset[str]:
    """Return the machines whose nodes the engine has not seen die."""
    shown = view.nodes if view else ()
    return frozenset([node.instance_id for node in shown if node.state is not NodeFact.DEAD and node.instance_id])
