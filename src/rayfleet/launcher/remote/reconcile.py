"""The loop, run here for as long as one thing takes: until the head is ready, or until nothing is left."""

from __future__ import annotations

import asyncio
import getpass
import time
from dataclasses import dataclass, replace
from typing import Final

from rayfleet.contracts import Ledger, Machine, MachineState, Provider, ProviderError
from rayfleet.launcher.errors import LauncherError, TookTooLong
from rayfleet.launcher.orders import Author, shutdown
from rayfleet.launcher.progress import Progress, Step
from rayfleet.launcher.remote.parts import HeadOnly, Heads
from rayfleet.loop import Parts, Reconciler
from rayfleet.model import Claim, Order, OrderKind, Phase, TickReport, Trouble

HEADS_MAX: Final = 3
"""So many heads are tried; what is wrong with three of them is not the machine's fault."""
_LIST_AGAIN_S: Final = 1.0
LATE_S: Final = 60.0
"""So long after a launch was begun its machines may appear: no provider waits longer for an answer to a call."""
_LOOKS_MAX: Final = 5
"""Listings that show something after the loop saw nothing: a place may remember for a moment what is gone."""


class HeadFailed(LauncherError):
    """No head could be had; the message holds the last words of the last one."""


class _Watch:
    """A sink that tells the head's progress, and stops the loop when the head is ready or hopeless."""

    name = "watch"

    def __init__(self, view: HeadOnly, stop: asyncio.Event, progress: Progress) -> None:
        self.ready: str | None = None
        self.failed: dict[str, str] = {}
        self.stuck = ""
        self.waits = ""
        self.looked_at = ""
        self._view = view
        self._stop = stop
        self._progress = progress

    async def write(self, report: TickReport) -> None:
        self.waits = _trouble(report)
        for claim in report.plan.claims:
            if claim.head:
                self._see(claim)
        denied = [b.message for b in report.plan.backoffs if b.trouble is Trouble.DENIED]
        if denied:
            self.failed["denied"] = denied[-1]
        if self.ready or denied or len(self.failed) >= HEADS_MAX or self.stuck:
            self._stop.set()
        elif not any(claim.head for claim in report.plan.claims):
            self._progress(Step(_why_not(report)))

    async def close(self) -> None:
        pass

    def _see(self, claim: Claim) -> None:
        host = claim.hosts[0]
        machine = self.looked_at = host.machine_id or ""
        if claim.phase is Phase.READY and self._view.done(machine):
            self.ready = machine
        elif claim.phase is Phase.READY:
            self.stuck = self._view.trouble(machine)
            # A place that cannot be listed just now, or a head that does not answer, is waited for: say so.
            why = (self.waits or self._view.waits(machine)).splitlines()
            self._progress(Step(f"head {claim.id}: looking after it{f': {why[0]}' if why else ''}"))
        elif claim.ending is not None:
            self.failed[claim.id] = host.message or claim.ending.text
            self._progress(Step(f"head {claim.id}: given up: {self.failed[claim.id].splitlines()[0]}"))
        else:
            self._progress(Step(f"head {claim.id}: {claim.phase.value.lower()}"))


def _trouble(report: TickReport) -> str:
    """Return what the place has to say against it; "": nothing."""
    said = [backoff.message for backoff in report.plan.backoffs if backoff.message]
    troubles = list(report.troubles) or said
    return troubles[-1] if troubles else ""


def _why_not(report: TickReport) -> str:
    """Return why there is no head."""
    trouble = _trouble(report)
    return f"no head yet: {trouble.splitlines()[0]}" if trouble else "the head is asked for"


async def bring_head(parts: Parts, view: HeadOnly, progress: Progress, timeout_s: float) -> Machine:
    """Run the loop until the cluster has its head, and return that.

    Raises:
        HeadFailed: it was denied, or three were set up in vain; the message has the last one's last words.
        TookTooLong: it is not there in time.
    """
    stop = asyncio.Event()
    watch = _Watch(view, stop, progress)
    await _withdraw_shutdown(parts)
    try:
        async with asyncio.timeout(timeout_s):
            await Reconciler(replace(parts, sinks=(*parts.sinks, watch))).run(stop)
    except TimeoutError:
        said = next(reversed(watch.failed.values()), "") or watch.waits or view.waits(watch.looked_at)
        hint = "rayfleet up goes on where this stopped, rayfleet down ends it"
        raise TookTooLong("\n".join(["the head is not ready yet", *said.splitlines()]), hint) from None
    if watch.stuck:
        hint = "the head is left as it was; when that is put right: rayfleet up"
        raise HeadFailed(f"the head is there, and could not be brought up to date:\n{watch.stuck}", hint)
    if watch.ready is None:
        said = next(reversed(watch.failed.values()))
        tried = "" if "denied" in watch.failed else f"{len(watch.failed)} heads were tried in vain; of the last one:\n"
        raise HeadFailed(f"{tried}{said}", "when that is put right: rayfleet up; or else: rayfleet down")
    return next(machine for machine in view.machines if machine.id == watch.ready)


async def known_heads(ledger: Ledger) -> Heads:
    """Return what is known here of the cluster's heads, before anything is done."""
    claims = [claim for claim in (await ledger.load()).claims if claim.head]

    def machines(of: list[Claim]) -> frozenset[str]:
        return frozenset(host.machine_id for claim in of for host in claim.hosts if host.machine_id)

    batches = frozenset(claim.batch for claim in claims if claim.batch)
    return Heads(machines([claim for claim in claims if claim.phase is Phase.READY]), batches | machines(claims))


async def _withdraw_shutdown(parts: Parts) -> None:
    """Take back the order of a `down` that nobody finished: who asks for `up` now wants the cluster."""
    record = await parts.ledger.load()
    standing = tuple(order.id for order in record.orders if order.kind is OrderKind.SHUTDOWN)
    if standing:
        await parts.ledger.save(record, answered=standing)


@dataclass(frozen=True, slots=True)
class Left:
    """What a `down` has done. `there`: ids of machines that were listed when it began; `left`: of those still are."""

    there: tuple[str, ...]
    left: tuple[str, ...]


async def release_all(parts: Parts, progress: Progress, timeout_s: float) -> Left:
    """Run the loop under an order to shut down until nothing is left, and prove that by a listing.

    Raises:
        TookTooLong: something is still there.
        ProviderError: the listing cannot be had.
    """
    (provider,) = parts.providers.values()
    before = await listed(provider)
    late_s = await _late_s(parts, before)
    await parts.ledger.add_order(_order())
    try:
        async with asyncio.timeout(timeout_s):
            await Reconciler(replace(parts, sinks=(*parts.sinks, _Leaving(progress)))).run()
            left = await _proven(provider, late_s, progress)
    except TimeoutError:
        raise TookTooLong("machines are still there", "rayfleet down again goes on where this stopped") from None
    return Left(tuple(machine.id for machine in before), left)


async def _late_s(parts: Parts, there: tuple[Machine, ...]) -> float:
    """Return for how many seconds a machine may still appear: of a launch whose answer nobody has waited for.

    An `up` that is killed while it launches leaves such a one: the place may carry the call out after that.
    """
    seen = {machine.batch for machine in there}
    claims = (await parts.ledger.load()).claims
    lost = [c for c in claims if c.phase is Phase.REQUESTED and not c.accepted and c.batch not in seen]
    newest = max((claim.created for claim in lost), default=0.0)
    return min(LATE_S, max(0.0, newest + LATE_S - parts.clock.now()))


async def _proven(provider: Provider, late_s: float, progress: Progress) -> tuple[str, ...]:
    """Return what a listing still shows, after some looks, and after `late_s` at least."""
    if late_s:
        progress(Step(f"a launch was begun and its answer is not known: {late_s:.0f} s more to see what comes of it"))
    until = asyncio.get_running_loop().time() + late_s
    looks = 0
    while True:
        left = tuple(machine.id for machine in await listed(provider))
        if left:
            looks += 1
            await provider.release(left)
        elif asyncio.get_running_loop().time() >= until:
            return ()
        if looks >= _LOOKS_MAX:
            return left
        await asyncio.sleep(_LIST_AGAIN_S)


async def listed(provider: Provider) -> tuple[Machine, ...]:
    """List, also when the place is out of reach for a moment.

    Raises:
        ProviderError: it still is, or says no.
    """
    for _ in range(_LOOKS_MAX):
        try:
            return await provider.list()
        except ProviderError as error:
            if error.trouble is not Trouble.FLAKY:
                raise
            await asyncio.sleep(_LIST_AGAIN_S)
    return await provider.list()


def pick_head(machines: tuple[Machine, ...], known: str = "") -> Machine | None:
    """Return the head among machines, one that runs before others, then the `known` one; None when there is none."""
    heads = [machine for machine in machines if machine.head]
    return min(heads, key=lambda each: (each.state is not MachineState.RUNNING, each.id != known), default=None)


def _order() -> Order:
    return shutdown(Author(getpass.getuser(), time.time()))


class _Leaving:
    """A sink that tells how many machines are left."""

    name = "leaving"

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._most = 0

    async def write(self, report: TickReport) -> None:
        left = sum(claim.count for claim in report.plan.claims)
        self._most = max(self._most, left)
        self._progress(Step(f"{left} machines left", self._most - left, self._most))

    async def close(self) -> None:
        pass
