"""What drivers are told: "Adding 2 node(s) of type cpu4.", in the words that Ray's users know. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from rayfleet.model import Claim, DemandKind, Gang, How, Plan, Reason, ReasonCode, TickReport, Unmet

_WORDS = {
    ReasonCode.IDLE: "idle",
    ReasonCode.UNNEEDED: "no longer needed",
    ReasonCode.OVER_MAX: "max number of worker nodes reached",
    ReasonCode.POOL_REMOVED: "outdated",
    ReasonCode.LAUNCH_FAILED: "launch failed",
    ReasonCode.BOOT_TIMEOUT: "launch failed",
    ReasonCode.NODE_DIED: "died",
    ReasonCode.MACHINE_FAILED: "died",
    ReasonCode.MACHINE_LOST: "lost",
    ReasonCode.SHUTDOWN: "cluster is shutting down",
}
_HOPELESS = frozenset({ReasonCode.NO_POOL_FITS, ReasonCode.GANG_TOO_WIDE, ReasonCode.GANG_APART})
"""Reasons that waiting does not cure; the others are news only to those who look."""


class Severity(StrEnum):
    """Ray's words for how grave an event is; drivers print from INFO on."""

    INFO = "INFO"
    WARNING = "WARNING"


@dataclass(frozen=True, slots=True)
class Event:
    """One line for drivers."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """What drivers have been told, so that nothing is said twice: claims that leave, and demand without hope."""

    leaving: frozenset[str] = frozenset()
    hopeless: frozenset[str] = frozenset()


def news(report: TickReport, told: Told) -> tuple[tuple[Event, ...], Told]:
    """Return the events of this tick and what has been told now."""
    plan = report.plan
    leaving = {claim.id: why for claim, why in _leaving(report) if claim.id not in told.leaving}
    pools = {claim.id: claim.pool for claim in report.snapshot.claims}
    existing = {claim.id for claim in (*report.snapshot.claims, *plan.claims)}
    never = [u for u in plan.unmet if u.reason.code in _HOPELESS and u.kind is not DemandKind.BUFFER]
    hopeless = {_warning(unmet): None for unmet in never}
    events = (
        *_added(plan),
        *_removed((pools[claim], why) for claim, why in leaving.items()),
        *(Event(Severity.WARNING, text) for text in hopeless if text not in told.hopeless),
    )
    return events, Told((told.leaving & existing) | leaving.keys(), frozenset(hopeless))


def _added(plan: Plan) -> Iterator[Event]:
    counts: Counter[str] = Counter()
    for launch in plan.launches:
        counts[launch.offer.pool] += 0 if launch.again else launch.count
    for pool, count in sorted(counts.items()):
        if count:
            yield Event(Severity.INFO, f"Adding {count} node(s) of type {pool}.")


def _removed(gone: Iterable[tuple[str, str]]) -> Iterator[Event]:
    for (pool, why), count in sorted(Counter(gone).items()):
        yield Event(Severity.INFO, f"Removing {count} nodes of type {pool} ({why}).")


def _leaving(report: TickReport) -> Iterator[tuple[Claim, str]]:
    """Yield the claims whose machines are given back, with the reason in a few words.

    A drain alone is no news: Ray may refuse it, and a drained node is given back soon after.
    """
    claims = {claim.id: claim for claim in report.snapshot.claims}
    for release in report.plan.releases:
        claim = claims.get(release.claim)
        if claim is not None and not claim.head:
            because = claim.drain.reason if release.how is How.END and claim.drain else release.reason
            yield claim, _in_short(because)


def _in_short(why: Reason) -> str:
    return _WORDS.get(why.code, why.code.value.replace("_", " "))


def _warning(unmet: Unmet) -> str:
    demand = unmet.demand
    if isinstance(demand, Gang):
        shapes = ", ".join(str(bundle.shape) for bundle in demand.bundles)
        subject = f"placement group {demand.strategy} of {shapes}"
    else:
        where = f" with label selector {demand.selectors[0]}" if demand.selectors else ""
        subject = f"{demand.shape}{where}"
    return f"No available node types can fulfill resource request {subject}: {unmet.reason.text}."
