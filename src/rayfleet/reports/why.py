"""Why a pool, a machine or a shape is as it is, from the record. Pure.

What is asked about is looked up in this order: a pool; a machine (by any of its names: ours, the provider's, the
engine's); a shape; a reason's code. Nothing: everything that waits, starts or leaves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches

from rayfleet.model import LEAVING, STARTING, Claim, Gang, Host, Phase, Pool, ReasonCode, Resources, TickReport, Unmet
from rayfleet.model.meanings import MEANINGS
from rayfleet.planner.whynot import Question, why_not
from rayfleet.reports.amounts import duration, shape
from rayfleet.reports.events import Event
from rayfleet.reports.status_json import current_claims
from rayfleet.reports.status_text import unmet_text, wanted_text
from rayfleet.reports.why_launch import launch_lines, not_launched, remedy

_MOST_EVENTS = 10
_MOST_NAMES = 12


class NothingLike(LookupError):
    """No pool, machine, shape or code goes by the name that was asked about. `hint`: names near it, or all."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep both, in words for the user."""
        super().__init__(message)
        self.hint = hint


def why(report: TickReport, subject: str = "", events: Iterable[Event] = ()) -> list[str]:
    """Return the answer as lines. `events`: what happened lately, oldest first; those about the subject are shown.

    Raises:
        NothingLike: there is no such pool, machine or shape, and nothing was recorded of it.
    """
    subject = subject.strip()
    if not subject:
        return _everything(report)
    pool = report.snapshot.policy.pool(subject)
    if pool is not None:
        return [*_of_pool(report, pool), *_lately(events, {subject}, report)]
    found = [(claim, host) for claim in current_claims(report) for host in claim.hosts if _is(subject, claim, host)]
    if found:
        names = {claim.id for claim, _ in found}
        return [
            *(line for claim, host in found for line in _of_host(report, claim, host)),
            *_lately(events, names, report),
        ]
    asked = parse_shape(subject)
    if asked is not None:
        return _of_shape(report, Question(asked))
    if subject in MEANINGS:
        return _of_code(ReasonCode(subject))
    told = _lately(events, {subject}, report)
    if not told:
        raise _unknown(report, subject)
    return [f"{subject} is not here (any more)", *told]


def why_shape(report: TickReport, question: Question, pool: str = "") -> list[str]:
    """Return where work of a shape goes and what is to be said of every offer, or of those of one pool.

    Raises:
        NothingLike: there is no such pool.
    """
    if pool:
        known_pool(report, pool)
    if question.count is not None:
        return launch_lines(why_not(report.snapshot, report.plan, question), pool)
    return _of_shape(report, question, pool)


def known_pool(report: TickReport, name: str) -> Pool:
    """Return a worker pool by its name.

    Raises:
        NothingLike: there is none.
    """
    pools = report.snapshot.policy.pools
    found = next((pool for pool in pools if pool.name == name), None)
    if found is None:
        raise NothingLike(f"there is no pool {name}", _near(name, [pool.name for pool in pools], "pools"))
    return found


def parse_shape(text: str) -> Resources | None:
    """Read `{"CPU": 1}`, `{CPU: 1, GPU: 0.5}`, `CPU:1,GPU:1` or `CPU=1`; None when it is no shape."""
    try:
        pairs = list(json.loads(text).items())
    except (ValueError, AttributeError):
        pairs = [tuple(re.split(r"[:=](?=[^:=]*$)", part)) for part in text.strip("{} ").split(",")]
    try:
        return Resources.of({str(name).strip(" '\""): float(value) for name, value in pairs})
    except (ValueError, TypeError, OverflowError):
        return None


# ---- everything ---------------------------------------------------------------------------------------


def _everything(report: TickReport) -> list[str]:
    claims = current_claims(report)
    moving = [claim for claim in claims if claim.phase in STARTING | LEAVING]
    plan = report.plan
    lines = [
        *(f"trouble: {text}" for text in report.troubles),
        *(f"launches {launch.count} {launch.offer.pool}: {launch.reason.text}" for launch in plan.launches),
        *(line for claim in moving for host in claim.hosts for line in _of_host(report, claim, host)[:1]),
        *_of_all_unmet(plan.unmet),
        *(f"{finding.subject}: {finding.reason.text}" for finding in plan.findings),
        *(f"{kept.host} stays: {kept.reason.text}" for kept in plan.kept),
    ]
    return lines or ["nothing waits, nothing starts, nothing leaves"]


# ---- a pool -------------------------------------------------------------------------------------------


def _of_pool(report: TickReport, pool: Pool) -> list[str]:
    claims = [claim for claim in current_claims(report) if claim.pool == pool.name and not claim.foreign]

    def hosts(phases: Iterable[Phase]) -> int:
        return sum(claim.count for claim in claims if claim.phase in phases)

    most = "no maximum" if pool.max_workers is None else f"maximum {pool.max_workers}"
    counts = f"{hosts([Phase.READY])} ready, {hosts(STARTING)} starting, {hosts(LEAVING)} leaving"
    if waiting := hosts([Phase.STANDBY]):
        counts += f", {waiting} on standby"
    now = report.snapshot.now
    return [
        f"pool {pool.name} {shape(pool.resources)}: {counts}; minimum {pool.min_workers}, {most}",
        *(f"launches {a.count}: {a.reason.text}" for a in report.plan.launches if a.offer.pool == pool.name),
        *(
            f"is not asked for {duration(backoff.until - now)}: {backoff.trouble} {backoff.message}".rstrip()
            for backoff in report.plan.backoffs
            if backoff.scope.pool in {"", pool.name} and backoff.until > now
        ),
        *_refused(report, pool),
        *([] if pool == report.snapshot.policy.head else not_launched(report, pool.name)),
        *(line for claim in claims for host in claim.hosts for line in _of_host(report, claim, host)[:1]),
    ]


def _refused(report: TickReport, pool: Pool) -> Iterator[str]:
    for unmet in report.plan.unmet:
        for verdict in unmet.pools:
            if verdict.pool == pool.name:
                yield f"does not take {unmet.count} x {wanted_text(unmet)}: {verdict.reason.text}"


# ---- a machine ----------------------------------------------------------------------------------------


def _is(subject: str, claim: Claim, host: Host) -> bool:
    node = host.node_id or ""
    return subject in {claim.id, host.id, host.machine_id, node} or (len(subject) >= 6 and node.startswith(subject))  # noqa: PLR2004 - as much as people copy of a node id


def _of_host(report: TickReport, claim: Claim, host: Host) -> list[str]:
    """Return the machine's state with its reason, then what is known of it."""
    snapshot = report.snapshot
    kept = next((kept.reason for kept in report.plan.kept if kept.host == host.id), None)
    reason = claim.ending or (claim.drain.reason if claim.drain else None) or kept
    state = f"{host.id} ({claim.pool}) is {claim.phase} for {duration(snapshot.now - claim.since)}"
    lines = [state + (f": {reason.text}" if reason else "")]
    if claim.foreign:
        lines = [f"{host.id} ({claim.pool or 'no pool'}) was joined by hand: it counts as capacity and is left alone"]
    if claim.drain:
        lines.append(f"  is released in {duration(claim.drain.deadline - snapshot.now)} at the latest")
    names = [f"machine {host.machine_id}" if host.machine_id else "", f"node {host.node_id}" if host.node_id else ""]
    if any(names):
        lines.append("  " + ", ".join(name for name in names if name))
    lines += [f"  {text}" for text in host.activity]
    tasks = [placement for placement in report.plan.placements if placement.on == host.id]
    lines += [f"  expected to take {p.count} of {p.kind} demand {p.index}" for p in tasks]
    return lines


# ---- a shape ------------------------------------------------------------------------------------------


def _of_shape(report: TickReport, question: Question, pool: str = "") -> list[str]:
    demand, plan, asked = report.snapshot.demand, report.plan, question.shape
    waiting = sum(task.count for task in demand.tasks if task.shape == asked)
    gangs = sum(gang.count for gang in demand.gangs if any(bundle.shape == asked for bundle in gang.bundles))
    wished = sum(wish.count for wish in demand.requested if wish.shape == asked)
    head = f"{shape(asked)}: {waiting} tasks, {gangs} placement groups and {wished} requested bundles wait"
    answer = why_not(report.snapshot, plan, question)
    unmet = [found for found in plan.unmet if _asks_for(found, asked)]
    if unmet and not answer.supposed and len({found.kind for found in unmet}) > 1:
        return [head, *_of_all_unmet(tuple(unmet)), *launch_lines(replace(answer, unmet=0), pool)]
    return [head, *launch_lines(answer, pool)]


def _asks_for(unmet: Unmet, asked: Resources) -> bool:
    demand = unmet.demand
    if isinstance(demand, Gang):
        return any(bundle.shape == asked for bundle in demand.bundles)
    return demand.shape == asked


def _of_all_unmet(unmet: Iterable[Unmet]) -> Iterator[str]:
    """Yield what waits with the verdicts of the pools, and what to do: once for what has the same cause."""
    told: set[str] = set()
    for found in unmet:
        yield from _of_unmet(found)
        for line in remedy(found.reason):
            if line not in told:
                told.add(line)
                yield f"  {line}"


def _of_unmet(unmet: Unmet) -> list[str]:
    verdicts = (f"  {verdict.pool}: {verdict.reason.text}" for verdict in unmet.pools)
    return [f"{unmet_text(unmet)}: {unmet.reason.text}", *verdicts]


# ---- a code -------------------------------------------------------------------------------------------


def _of_code(code: ReasonCode) -> list[str]:
    meaning = MEANINGS[code]
    details = (f"  {key}: {what}" for key, what in meaning.details.items())
    return [f"{code.value}: {meaning.says}", *details, f"what to do: {meaning.do}"]


# ---- both ---------------------------------------------------------------------------------------------


def _lately(events: Iterable[Event], names: set[str], report: TickReport) -> list[str]:
    mine = [event for event in events if not names.isdisjoint({event.pool, *event.subject.split(",")})]
    now = report.snapshot.now
    return [f"{duration(now - event.at)} ago: {event.text}" for event in mine[-_MOST_EVENTS:]]


def _unknown(report: TickReport, subject: str) -> NothingLike:
    pools = [pool.name for pool in report.snapshot.policy.pools]
    hosts = [host.id for claim in current_claims(report) for host in claim.hosts]
    close = get_close_matches(subject, [*pools, *hosts], n=3) or get_close_matches(subject, MEANINGS)
    hint = f"did you mean {' or '.join(close)}?" if close else f"pools: {_listed(pools)}; machines: {_listed(hosts)}"
    return NothingLike(f"there is no pool, machine, shape or reason {subject}", hint)


def _near(name: str, names: list[str], what: str) -> str:
    close = get_close_matches(name, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"{what}: {_listed(names)}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "none") + more
