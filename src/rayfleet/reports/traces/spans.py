"""What becomes of each launch, as spans: from the demand that was seen to the first work of its machines.

    scale up 2 cpu4                         demand was seen ... every machine works, or is given up
    |-- plan                                the tick that decided it
    |-- request                             the provider's call, until it says yes or no
    |-- machine c1                          asked for ... its first work
    |   |-- provision                       asked for ... the provider lists it
    |   |-- boot                            listed ... set up, and its node has joined Ray
    |   `-- wait for work                   joined ... something of it is in use
    `-- machine c2 ...

Pure but for what it remembers. Moments are those of reports, so they are as exact as ticks are frequent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rayfleet.model import LEAVING, STARTING, Claim, Launch, OutcomeKind, Phase, TickReport
from rayfleet.model.claim import MachineFact

MACHINES_FOLLOWED: Final = 100
"""Of one launch so many machines have spans of their own."""
WORK_PATIENCE_S: Final = 600.0
"""A machine that has had no work for so long is not waited for: others have done what it was for."""

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a trace. `start`, `end`: seconds since the epoch. `parent` None: the whole. `error`: "" for none."""

    trace: int
    id: int
    parent: int | None
    name: str
    start: float
    end: float
    attributes: Attributes = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class _Machine:
    """One claim that is followed. Moments are None until they have come."""

    name: str
    asked: float
    up: float | None = None
    ready: float | None = None


@dataclass(slots=True)
class _ScaleUp:
    """One launch that is followed. `failed`: why machines of it never worked."""

    cluster: str
    launch: Launch
    seen: float
    trace: int
    root: int
    machines: dict[str, _Machine]
    asked: float
    end: float = 0.0
    is_answered: bool = False
    failed: list[str] = field(default_factory=list)

    def span(self, name: str, start: float, end: float, **more: object) -> Span:
        """Return a part of it, ended no earlier than it began: clocks of different parts may differ a little."""
        self.end = max(self.end, end)
        of = str(more.pop("of", ""))
        parent = _number(8, self.trace, of) if of else self.root
        attributes = {key: value for key, value in more.items() if isinstance(value, str | int | float) and value != ""}
        error = str(attributes.pop("error", ""))
        return Span(
            self.trace, _number(8, self.trace, of, name), parent, name, start, max(start, end), attributes, error
        )

    def machine(self, machine: _Machine, end: float, claim: Claim | None, error: str = "") -> Span:
        """Return the span that holds those of a machine."""
        self.end = max(self.end, end)
        hosts = claim.hosts if claim else ()
        told: dict[str, str | int | float] = {
            "rayfleet.claim": machine.name,
            "rayfleet.machine_id": ",".join(host.machine_id or "" for host in hosts),
            "rayfleet.node_id": ",".join(host.node_id or "" for host in hosts),
        }
        name = f"machine {machine.name}"
        return Span(
            self.trace, _number(8, self.trace, machine.name), self.root, name, machine.asked, max(machine.asked, end),
            {key: value for key, value in told.items() if value}, error,
        )  # fmt: skip

    def whole(self) -> Span:
        """Return the span that holds all others."""
        launch = self.launch
        offer, reason = launch.offer, launch.reason
        told: dict[str, str | int | float] = {
            "rayfleet.cluster": self.cluster,
            "rayfleet.pool": offer.pool,
            "rayfleet.machines": launch.count,
            "rayfleet.reason": reason.code.value,
            "rayfleet.reason.text": reason.text,
            "rayfleet.failed": len(self.failed),
            "cloud.provider": offer.provider or "",
            "cloud.region": offer.region or "",
            "cloud.availability_zone": offer.zone or "",
            "rayfleet.market": offer.market.value if offer.market else "",
        }
        attributes = {key: value for key, value in told.items() if value != ""}
        name = f"scale up {launch.count} {offer.pool}"
        error = "; ".join(dict.fromkeys(self.failed))
        return Span(self.trace, self.root, None, name, self.seen, max(self.seen, self.end), attributes, error)


class ScaleUps:
    """Follows launches. What was launched before it was made is not followed."""

    def __init__(self) -> None:
        """Follow nothing yet."""
        self._open: dict[str, _ScaleUp] = {}

    def take(self, report: TickReport) -> list[Span]:
        """Take one report; return the spans that have ended with it, each after those that it holds."""
        if report.error or not report.saved:
            return []  # the next tick finds, and tells, it again
        found: list[Span] = []
        after = {claim.id: claim for claim in report.plan.claims} if self._open else {}
        for scale_up in tuple(self._open.values()):
            found += _answered(scale_up, report)
            found += _moved(scale_up, after, report.snapshot.now)
            if not scale_up.machines:
                found.append(scale_up.whole())
                del self._open[scale_up.launch.batch]
        for launch in report.plan.launches:
            if launch.standby is None and not launch.again and launch.batch not in self._open:
                found += self._begin(launch, report)
        return found

    def _begin(self, launch: Launch, report: TickReport) -> Iterator[Span]:
        timings, now = report.timings, report.snapshot.now
        asked = timings.acted_at or now
        trace = _number(16, report.cluster, launch.batch, now)
        followed = launch.claims[:MACHINES_FOLLOWED]
        machines = {name: _Machine(name, asked) for name in followed}
        seen = min(timings.seen_at or now, asked)
        begun = _ScaleUp(report.cluster, launch, seen, trace, _number(8, trace), machines, asked)
        self._open[launch.batch] = begun
        planned = min(now + timings.plan_s, asked)
        yield begun.span("plan", min(now, planned), planned, **{"rayfleet.tick": report.tick})


def _answered(scale_up: _ScaleUp, report: TickReport) -> Iterator[Span]:
    """Yield the provider's call, once it has ended for all."""
    if scale_up.is_answered:
        return
    mine = {*scale_up.launch.claims}
    for outcome in report.snapshot.outcomes:
        if outcome.kind is OutcomeKind.LAUNCH and mine & {*outcome.claims}:
            scale_up.is_answered = True
            trouble = outcome.trouble.value if outcome.trouble else ""
            error = f"{trouble}: {outcome.message}".removesuffix(": ") if trouble else ""
            yield scale_up.span("request", scale_up.asked, outcome.at, error=error)
            return


def _moved(scale_up: _ScaleUp, after: Mapping[str, Claim], now: float) -> Iterator[Span]:
    for machine in tuple(scale_up.machines.values()):
        claim = after.get(machine.name)
        yield from _steps(scale_up, machine, claim, now)
        end = _end(machine, claim, now)
        if end is not None:
            error = _why_not(claim) if machine.ready is None else ""
            scale_up.failed += [error] if error else []
            del scale_up.machines[machine.name]
            yield scale_up.machine(machine, end, claim, error)


def _steps(scale_up: _ScaleUp, machine: _Machine, claim: Claim | None, now: float) -> Iterator[Span]:
    """Yield the steps that a machine has taken since it was last looked at."""
    if claim is None or claim.phase not in STARTING | {Phase.READY}:
        return
    is_ready = claim.phase is Phase.READY
    if machine.up is None and (is_ready or all(host.machine is MachineFact.PRESENT for host in claim.hosts)):
        machine.up = now
        yield scale_up.span("provision", machine.asked, now, of=machine.name)
    if machine.ready is None and machine.up is not None and is_ready:
        machine.ready = max(claim.since, machine.up)
        yield scale_up.span("boot", machine.up, machine.ready, of=machine.name)
    if machine.ready is not None and _works(claim) and not claim.head:
        yield scale_up.span("wait for work", machine.ready, now, of=machine.name)


def _end(machine: _Machine, claim: Claim | None, now: float) -> float | None:
    """Return when there is nothing more to be seen of a machine; None: there is."""
    if claim is None or claim.phase in LEAVING or claim.phase is Phase.FAILED:
        return now
    if machine.ready is None:
        return None
    if claim.head:
        return machine.ready  # work goes to others, mostly
    if _works(claim):
        return now
    return machine.ready if now - machine.ready > WORK_PATIENCE_S else None


def _works(claim: Claim) -> bool:
    return any(host.used for host in claim.hosts)


def _why_not(claim: Claim | None) -> str:
    """Return why a machine never worked."""
    why = (claim.ending or (claim.drain.reason if claim.drain else None)) if claim else None
    return why.text if why else "it is gone"


def _number(size: int, *words: object) -> int:
    """Return a number of so many bytes that is the same for the same words, and never 0."""
    text = "\0".join(map(str, words)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest()) or 1
