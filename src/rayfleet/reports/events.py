"""What happened in a tick, one event per action, joined node, failure or finding. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rayfleet.model import (
    STARTING,
    Claim,
    DrainNodes,
    How,
    Launch,
    Outcome,
    Phase,
    Reason,
    Release,
    ReleaseMode,
    TickReport,
)

MEANINGS: Final[Mapping[str, str]] = {
    "launch": "machines of a pool were asked for; `subject` is the pool, `latency_s` how long after Ray's answer",
    "ready": "a machine has joined; the text says how long after it was asked for",
    "drain": "Ray was asked to leave a machine",
    "release": "a machine is given back",
    "stop": "a machine is stopped, to wait on standby",
    "gone": "a machine is there no more",
    "failed": "a call to the provider or to Ray failed; `code` is the word of the contract, such as `OutOfStock`",
    "finding": "something was seen that should not be, or that was dealt with without an action",
    "trouble": "an edge (provider, engine, ledger) did not answer as it should; told once while it lasts",
    "error": "a tick failed unexpectedly; the next one runs",
}
"""Kind -> what has happened; public, and only ever added to."""
KINDS: Final = tuple(MEANINGS)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    `kind`: one of KINDS. `subject`: what it is
    about - a pool for launches, else a claim, or the name of an edge. `code`: a reason code, or the word of a failure.
    `latency_s`: for launches, from the engine's answer to the provider call; for ready, since the machine was asked
    for; None when it is not known.
    """

    at: float
    kind: str
    subject: str
    pool: str = ""
    count: int = 1
    code: str = ""
    text: str = ""
    latency_s: float | None = None


def events_of(report: TickReport, troubles_before: tuple[str, ...] = ()) -> tuple[Event, ...]:
    """Return the events of one tick, in the order in which they came to be. Troubles that last are told once."""
    return (
        *_endings(report),
        *_moves(report),
        *_findings(report),
        *_launches(report),
        *_departures(report),
        *_troubles(report, troubles_before),
    )


def _launches(report: TickReport) -> Iterator[Event]:
    """Yield launches that were really begun: what the ledger could not save was held."""
    timings = report.timings
    known = timings.seen_at and timings.acted_at
    latency_s = max(0.0, timings.acted_at - timings.seen_at) if known else None
    at = timings.acted_at or report.snapshot.now
    for launch in report.plan.launches if report.saved else ():
        yield _launch(at, launch, latency_s)


def _launch(at: float, launch: Launch, latency_s: float | None) -> Event:
    again = " again" if launch.again else ""
    verb = "start" if launch.reuse else "prepare" if launch.standby else "launch"
    text = f"{verb} {launch.count} {launch.offer.pool}{again}: {launch.reason.text}"
    return Event(
        at, "launch", launch.offer.pool, launch.offer.pool, launch.count, launch.reason.code.value, text, latency_s
    )


def _departures(report: TickReport) -> Iterator[Event]:
    pools = {claim.id: claim.pool for claim in report.snapshot.claims}
    at = report.timings.acted_at or report.snapshot.now
    for drain in report.plan.drains:
        yield _departure(at, "drain", drain, pools.get(drain.claim, ""))
    for release in report.plan.releases:
        if release.mode is ReleaseMode.STOP:
            yield _departure(at, "stop", release, pools.get(release.claim, ""))
        elif release.how is not How.END or release.machine_ids:
            yield _departure(at, "release", release, pools.get(release.claim, ""))


def _departure(at: float, verb: str, action: DrainNodes | Release, pool: str) -> Event:
    code, text = action.reason.code.value, f"{verb} {action.claim}: {action.reason.text}"
    return Event(at, verb, action.claim, pool, len(action.hosts), code, text)


def _moves(report: TickReport) -> Iterator[Event]:
    for before, now in moves(report):
        yield _gone(report.snapshot.now, before) if now is None else _ready(report.snapshot.now, now)


def moves(report: TickReport) -> Iterator[tuple[Claim, Claim | None]]:
    """Yield claims that have become ready, as they were and as they are, and claims that are gone (None).

    What could not be saved is found, and told, again.
    """
    after = {claim.id: claim for claim in report.plan.claims}
    if report.error or not report.saved or not after.keys() | {claim.id for claim in report.snapshot.claims}:
        return
    started = {machine for launch in report.plan.launches for machine in launch.reuse}
    for before in report.snapshot.claims:
        now = after.get(before.id)
        if now is None and any(host.machine_id in started for host in before.hosts):
            continue  # its machine works under another name from now on
        became_ready = now is not None and now.phase is Phase.READY and before.phase in STARTING
        if became_ready or (now is None and not before.foreign):
            yield before, now


def _ready(at: float, claim: Claim) -> Event:
    text = f"{claim.id} ({claim.pool}) joined {at - claim.created:.1f} s after it was asked for"
    return Event(at, "ready", claim.id, claim.pool, claim.count, "ready", text, at - claim.created)


def _gone(at: float, claim: Claim) -> Event:
    why: Reason | None = claim.ending or (claim.drain.reason if claim.drain else None)
    because = f": {why.text}" if why else ""
    return Event(
        at, "gone", claim.id, claim.pool, claim.count, why.code.value if why else "", f"{claim.id} is gone{because}"
    )


def _endings(report: TickReport) -> Iterator[Event]:
    """Yield calls that failed."""
    pools = {claim.id: claim.pool for claim in report.snapshot.claims}
    for outcome in report.snapshot.outcomes:
        if outcome.trouble is not None:
            yield _failure(outcome, pools)


def _failure(outcome: Outcome, pools: dict[str, str]) -> Event:
    subject = ",".join(outcome.claims)
    pool = next((pools[claim] for claim in outcome.claims if claim in pools), "")
    code = outcome.trouble.value if outcome.trouble else ""
    text = f"{outcome.kind} of {subject} failed: {code}" + (f": {outcome.message}" if outcome.message else "")
    return Event(outcome.at, "failed", subject, pool, len(outcome.claims), code, text)


def _findings(report: TickReport) -> Iterator[Event]:
    pools = {claim.id: claim.pool for claim in report.snapshot.claims}
    for finding in report.plan.findings:
        code, text = finding.reason.code.value, f"{finding.subject}: {finding.reason.text}"
        yield Event(report.snapshot.now, "finding", finding.subject, pools.get(finding.subject, ""), 1, code, text)


def _troubles(report: TickReport, before: tuple[str, ...]) -> Iterator[Event]:
    for text in report.troubles:
        if text not in before:
            yield Event(report.snapshot.now, "trouble", text.split(":")[0], text=text)
    if report.error:
        last = report.error.strip().splitlines()[-1]
        yield Event(report.snapshot.now, "error", "tick", code=last.split(":")[0], text=f"the tick failed: {last}")
