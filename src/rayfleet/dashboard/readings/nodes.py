"""The nodes there are, one row each, and all that is known of one. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.dashboard.readings.amounts import charted, number, title_of
from rayfleet.dashboard.readings.seen import Mood
from rayfleet.model import LEAVING, NOTHING, PRESENT, STARTING, Claim, Host, NodeFact, Phase, ReasonCode, TickReport
from rayfleet.reports.amounts import duration, shape
from rayfleet.reports.status_json import current_claims


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node. `health`: in a word, and how urgent. `cpu`: share of its CPUs in use, 0 to 1; None: it has none.

    `age_s`: since it was asked for; `in_phase_s`: in its phase. `why`: why it stays or leaves.
    """

    id: str
    pool: str
    phase: str
    mood: Mood
    health: str
    age_s: float
    in_phase_s: float
    cpu: float | None
    used: str
    place: str
    usd_per_hour: float | None
    why: str
    can_leave: bool


def node_rows(report: TickReport) -> tuple[NodeRow, ...]:
    """Return every node, the head first, then those that come or go, then by pool and name."""
    why = _stays(report)
    found = [
        (claim, _row(report, claim, host, why))
        for claim in current_claims(report)
        if claim.phase in PRESENT
        for host in claim.hosts
    ]
    found.sort(key=lambda each: (not each[0].head, each[0].phase not in _MOVING, each[0].pool, _natural(each[1].id)))
    return tuple(row for _, row in found)


_MOVING = STARTING | LEAVING


def _natural(name: str) -> tuple[str, int, str]:
    digits = "".join(letter for letter in name if letter.isdigit())
    return (name.rstrip("0123456789."), int(digits[:15] or 0), name)


def _row(report: TickReport, claim: Claim, host: Host, why: dict[str, str]) -> NodeRow:
    now = report.snapshot.now
    mood, word = _health(claim, host)
    total = host.total.get("CPU", 0) if host.total is not None else 0
    cpu = host.used.get("CPU", 0) / total if total else None
    return NodeRow(
        id=host.id,
        pool=claim.pool or "joined by hand",
        phase=claim.phase.value,
        mood=mood,
        health=word,
        age_s=max(0.0, now - claim.created),
        in_phase_s=max(0.0, now - claim.since),
        cpu=cpu,
        used=_used(host),
        place=" ".join(_place(claim)),
        usd_per_hour=claim.usd_per_hour,
        why=_why(claim, host, why),
        can_leave=not claim.head and not claim.foreign and claim.phase not in LEAVING,
    )


def _place(claim: Claim) -> tuple[str, ...]:
    offer = claim.offer
    market = offer.market.value.replace("_", "-") if offer.market else None
    return tuple(part for part in (offer.provider, offer.zone or offer.region, market) if part)


def _health(claim: Claim, host: Host) -> tuple[Mood, str]:
    if host.interrupt_at is not None:
        return Mood.BAD, "will be interrupted"
    if host.trouble is not None:
        return Mood.BAD, host.message or host.trouble.value
    if claim.phase is not Phase.READY:
        return _COMES_OR_GOES[claim.phase]
    if host.node in {NodeFact.DEAD, NodeFact.ABSENT} or claim.unseen_since is not None:
        return Mood.BAD, "Ray does not see it"
    return (Mood.GOOD, "in use") if host.used else (Mood.GOOD, "idle")


_COMES_OR_GOES = {
    Phase.REQUESTED: (Mood.BUSY, "asked for"),
    Phase.BOOTING: (Mood.BUSY, "booting"),
    Phase.DRAINING: (Mood.WARN, "draining"),
    Phase.RELEASING: (Mood.WARN, "being released"),
    Phase.FAILED: (Mood.BAD, "failed"),
    Phase.STANDBY: (Mood.OFF, "on standby"),
}


def _used(host: Host) -> str:
    total = host.total
    if total is None:
        return ""
    names = [name for name in total if not name.startswith(("node:", "accelerator_type:", "object_store"))]
    return ", ".join(
        f"{number(charted(name, host.used.get(name, 0)))}/{number(charted(name, total[name]))} {title_of(name)}"
        for name in sorted(names, key=lambda name: (name not in {"CPU", "GPU"}, name))
    )


def _why(claim: Claim, host: Host, why: dict[str, str]) -> str:
    leaving = claim.ending or (claim.drain.reason if claim.drain else None)
    return leaving.text if leaving else why.get(host.id, "")


def _stays(report: TickReport) -> dict[str, str]:
    """Return why each host stays; of what is in use the amounts have a column of their own."""
    return {
        kept.host: "in use" if kept.reason.code is ReasonCode.BUSY else kept.reason.text for kept in report.plan.kept
    }


@dataclass(frozen=True, slots=True)
class NodeDetail:
    """All that is known of a node: its row, facts (name, value), labels, and what Ray says runs there.

    `node_id`: its id in Ray; "" before it has one.
    """

    row: NodeRow
    node_id: str
    facts: tuple[tuple[str, str], ...]
    resources: tuple[tuple[str, float, float], ...]
    labels: tuple[tuple[str, str], ...]
    activity: tuple[str, ...]


def node_detail(report: TickReport, node: str) -> NodeDetail | None:
    """Return what is known of the node of that name; None when there is none."""
    found = [(claim, host) for claim in current_claims(report) for host in claim.hosts if host.id == node]
    if not found:
        return None
    claim, host = found[0]
    why = _stays(report)
    total = NOTHING if host.total is None else host.total
    names = sorted({*total, *host.used})
    return NodeDetail(
        _row(report, claim, host, why),
        host.node_id or "",
        tuple(_facts(report, claim, host)),
        tuple(
            (title_of(name), charted(name, host.used.get(name, 0)), charted(name, total.get(name, 0)))
            for name in names
            if not name.startswith("node:")
        ),
        tuple(sorted(host.labels.items())),
        host.activity,
    )


def _facts(report: TickReport, claim: Claim, host: Host) -> list[tuple[str, str]]:
    now, pool = report.snapshot.now, report.snapshot.policy.pool(claim.pool)
    facts = [
        ("Pool", f"{claim.pool} {shape(pool.resources)}" if pool else claim.pool or "joined by hand"),
        ("Phase", f"{claim.phase.value} for {duration(now - claim.since)}"),
        ("Asked for", f"{duration(now - claim.created)} ago"),
        ("Ray's node", f"{host.node_id or 'none yet'}{f' ({host.node.value})' if host.node else ''}"),
        ("Machine", f"{host.machine_id or 'none yet'}{f' ({host.machine.value})' if host.machine else ''}"),
        ("Place", ", ".join(_place(claim)) or "not told"),
        ("Price", "not known" if claim.usd_per_hour is None else f"{claim.usd_per_hour:g} USD per hour"),
    ]
    if claim.phase is Phase.READY and not host.used:
        facts.append(("Idle for", duration(host.idle_s)))
    if claim.drain:
        facts.append(("Is released in", f"{duration(claim.drain.deadline - now)} at the latest"))
    if host.interrupt_at is not None:
        facts.append(("Is interrupted in", duration(host.interrupt_at - now)))
    flags = [word for word, on in (("drifted", claim.drifted), ("do not disrupt", host.do_not_disrupt)) if on]
    return [*facts, *([("Marked", ", ".join(flags))] if flags else [])]
