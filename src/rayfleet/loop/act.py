"""The third word: make the plan true. Never waits for a provider or the engine.

ledger.save  -> one task per call -> Outcome -> inbox -> next Snapshot
  (first)         (bounded)                      (wakes the loop)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog

from rayfleet.contracts import DrainRefused, EngineError, LaunchRequest, LedgerUnavailable, ProviderError, Record
from rayfleet.loop.join import Kept, lasting
from rayfleet.loop.parts import Parts
from rayfleet.model import (
    DrainNodes,
    Launch,
    OfferKey,
    Outcome,
    OutcomeKind,
    Plan,
    Release,
    ReleaseMode,
    Snapshot,
    Spent,
    Trouble,
)

log = structlog.get_logger()

MINUTE_S = 60.0
SPENDING_S = 60.0
"""How old what the ledger says of today's money may become."""
CALLS_AT_ONCE = 8
"""Launches, and apart from them releases, that one provider is asked for at the same time."""


@dataclass(slots=True)
class Inbox:
    """Outcomes that the next snapshot will carry, and batches whose launch has not ended."""

    wake: Callable[[str], None]
    outcomes: list[Outcome] = field(default_factory=list)
    launching: set[str] = field(default_factory=set)

    def add(self, outcome: Outcome) -> None:
        """Take the end of a call and wake the loop."""
        self.outcomes.append(outcome)
        self.wake(f"{outcome.kind} ended")

    def take(self) -> tuple[Outcome, ...]:
        """Return all outcomes and forget them."""
        taken, self.outcomes = tuple(self.outcomes), []
        return taken

    def put_back(self, outcomes: Iterable[Outcome]) -> None:
        """Keep outcomes for the next tick, because this one could not remember what they meant."""
        self.outcomes[:0] = outcomes


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of a plan. `acted_at`: when its calls were begun, 0 when there were none.

    `held`: what the ledger holds now; None when the plan could not be saved.
    """

    held: Record | None = None
    acted_at: float = 0.0
    troubles: tuple[str, ...] = ()

    @property
    def saved(self) -> bool:
        """Say whether the ledger holds the plan."""
        return self.held is not None


class Actor:
    """Saves plans and starts their calls."""

    def __init__(self, parts: Parts, inbox: Inbox) -> None:
        """Act on `parts`; ends of calls go to `inbox`."""
        self._parts = parts
        self._inbox = inbox
        self._calls: set[asyncio.Task[None]] = set()
        self._leaving: set[str] = set()  # machine and node ids whose release or drain has not ended
        self._slots: dict[tuple[str, OutcomeKind], asyncio.Semaphore] = {}
        self._kept: Kept = {}

    async def act(self, snapshot: Snapshot, plan: Plan, held: Record) -> Acted:
        """Save `plan`, then begin what it asks for. `held`: what the ledger holds now.

        When it cannot be saved nothing is launched; claims that the ledger knows may leave all the same.
        """
        troubles: tuple[str, ...] = ()
        saved: Record | None = None
        try:
            saved = await self._save(snapshot, plan, held)
        except LedgerUnavailable as error:
            held_back = f"; {len(plan.launches)} launches are held" if plan.launches else ""
            troubles = (f"{error}{held_back}",)
        known = {claim.id for claim in (held.claims if troubles else plan.claims)}
        heads = frozenset(claim.id for claim in plan.claims if claim.head)
        launches = () if troubles else plan.launches
        begun = [
            *(
                self._launch(snapshot, launch, heads)
                for launch in launches
                if launch.batch not in self._inbox.launching
            ),
            *(self._drain(drain) for drain in plan.drains if drain.claim in known),
            *self._release(release for release in plan.releases if release.claim in known),
        ]
        if any(begun):
            await asyncio.sleep(0)  # lets the calls begin, so that the time below is theirs
            return Acted(saved, self._parts.clock.now(), troubles)
        return Acted(saved, 0.0, troubles)

    @property
    def busy(self) -> bool:
        """Say whether any call is under way."""
        return bool(self._calls)

    async def close(self, patience_s: float) -> None:
        """Let calls end for `patience_s`, then give them up; the ledger knows what they were for."""
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=patience_s)
            for call in late:
                call.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _save(self, snapshot: Snapshot, plan: Plan, held: Record) -> Record:
        """Save what differs from `held`; return what the ledger holds then."""
        claims, launched = lasting(plan.claims, held.claims, self._kept), self._launched(snapshot.now, plan, held)
        same = (claims, plan.backoffs, plan.serial) == (held.claims, held.backoffs, held.serial)
        same = same and launched == held.launched
        if same and not plan.answered and not _spending_is_due(plan.spent, held.spent):
            return held
        standing = tuple(order for order in held.orders if order.id not in plan.answered)
        record = Record(claims, plan.backoffs, standing, plan.serial, plan.spent, launched)
        await self._parts.ledger.save(record, answered=plan.answered)
        return record

    def _launched(self, now: float, plan: Plan, held: Record) -> tuple[tuple[float, int], ...]:
        """Return when machines were asked for within the last minute, with those that this plan asks for.

        Held by the ledger, because a launch that fails leaves no claim, and a restart would forget it.
        """
        heads = {claim.id for claim in plan.claims if claim.head} if plan.launches else set()
        begun = [x for x in plan.launches if x.batch not in self._inbox.launching and heads.isdisjoint(x.claims)]
        if not begun:
            return held.launched
        lately = [(at, count) for at, count in held.launched if at > now - MINUTE_S]
        return (*lately, (now, sum(launch.count for launch in begun)))

    # ---- the three kinds of call: each says whether it was begun ------------------------------------

    def _launch(self, snapshot: Snapshot, launch: Launch, heads: frozenset[str]) -> bool:
        provider = self._parts.provider(launch.offer.provider)
        head = not heads.isdisjoint(launch.claims)
        pool = snapshot.policy.head if head else snapshot.policy.pool(launch.offer.pool)
        if pool is None:
            log.error("launch_without_pool", pool=launch.offer.pool, batch=launch.batch)
            return False
        hosts = launch.count // len(launch.claims)
        request = LaunchRequest(launch.batch, launch.offer, pool, launch.claims, hosts, head, launch.reuse)
        self._inbox.launching.add(launch.batch)
        call = self._parts.launch_call(launch, request)
        self._begin(OutcomeKind.LAUNCH, launch.claims, call, (provider.name, launch.batch))
        return True

    def _drain(self, drain: DrainNodes) -> bool:
        ids = tuple(node for node in drain.node_ids if node not in self._leaving)
        if not ids:
            return False

        async def ask_one(node: str) -> None:
            await self._parts.engine.drain(node, drain.deadline, drain.reason.text, voluntary=drain.voluntary)

        async def ask() -> None:
            if drain.voluntary:  # nobody is asked any more when one has refused, because none can be called back
                for node in ids:
                    await ask_one(node)
                return
            answers = await asyncio.gather(*map(ask_one, ids), return_exceptions=True)
            for trouble in filter(None, answers):
                raise trouble

        self._begin(OutcomeKind.DRAIN, (drain.claim,), ask, ("engine", ""), ids)
        return True

    def _release(self, releases: Iterable[Release]) -> list[bool]:
        """Ask each provider once for all that it gets back in this tick."""
        wanted: dict[str, tuple[list[str], list[str]]] = {}
        begun: list[bool] = []
        for release in releases:
            provider = self._parts.provider(release.provider)
            fresh = [machine for machine in release.machine_ids if machine not in self._leaving]
            if release.mode is ReleaseMode.STOP:
                begun.append(bool(fresh) and self._stop(release, tuple(fresh)))
                continue
            claims, machines = wanted.setdefault(provider.name, ([], []))
            claims += [release.claim] if fresh else []
            machines += fresh
        begun += [self._release_from(name, tuple(c), tuple(m)) for name, (c, m) in sorted(wanted.items()) if m]
        return begun

    def _stop(self, release: Release, machines: tuple[str, ...]) -> bool:
        """Have the machines of one claim wait on standby: an error is about this claim alone."""
        place = self._parts.provider(release.provider).name

        async def ask() -> None:
            await self._parts.keeper(release.provider).stop(machines, release.wait)

        self._begin(OutcomeKind.RELEASE, (release.claim,), ask, (place, ""), machines)
        return True

    def _release_from(self, name: str, claims: tuple[str, ...], machines: tuple[str, ...]) -> bool:
        provider = self._parts.provider(name)
        self._begin(OutcomeKind.RELEASE, claims, lambda: provider.release(machines), (name, ""), machines)
        return True

    # ---- one call -----------------------------------------------------------------------------------

    def _begin(
        self,
        kind: OutcomeKind,
        claims: tuple[str, ...],
        work: Callable[[], Awaitable[None]],
        token: tuple[str, str],
        leaving: tuple[str, ...] = (),
    ) -> None:
        """Run `work` beside the loop. `token`: whose slots it takes, and its batch ("" for none)."""
        place, batch = token
        slots = self._slots.setdefault((place, kind), asyncio.Semaphore(CALLS_AT_ONCE))
        self._leaving.update(leaving)

        async def run() -> None:
            try:
                async with slots:
                    outcome = await self._ended(kind, claims, work)
            finally:
                self._inbox.launching.discard(batch)
                self._leaving.difference_update(leaving)
            self._inbox.add(outcome)

        task = asyncio.create_task(run(), name=f"{kind} {batch or ','.join(claims[:3])}")
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _ended(self, kind: OutcomeKind, claims: tuple[str, ...], work: Callable[[], Awaitable[None]]) -> Outcome:
        """Wait for the call and say in data how it ended."""
        trouble, message, scope = await _trouble(work, kind, claims)
        return Outcome(kind, claims, self._parts.clock.now(), trouble, message, scope)


def _spending_is_due(now: Spent | None, held: Spent | None) -> bool:
    """Say whether today's money is to be written down for its own sake: it grows all the time, a minute may be lost."""
    if now is None or (held is None and not now.usd):
        return False
    return held is None or (now.usd != held.usd and now.at - held.at >= SPENDING_S)


async def _trouble(
    work: Callable[[], Awaitable[None]], kind: OutcomeKind, claims: tuple[str, ...]
) -> tuple[Trouble | None, str, OfferKey | None]:
    try:
        await work()
    except ProviderError as error:
        return error.trouble, str(error), error.scope
    except DrainRefused as error:
        return Trouble.REFUSED, str(error), None
    except EngineError as error:
        return Trouble.FLAKY, str(error), None
    except Exception as error:
        log.exception("unexpected_error", call=str(kind), claims=claims[:10])
        return Trouble.FLAKY, f"unexpected {type(error).__name__}: {error}", None
    return None, "", None
