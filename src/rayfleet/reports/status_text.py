"""A tick report as text, in the sections that users know from `ray status`, with the reasons beside them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo

from rayfleet.model import (
    LEAVING,
    STARTING,
    Ahead,
    Claim,
    Gang,
    Phase,
    ReasonCode,
    ReleaseMode,
    Selectors,
    Snapshot,
    TickReport,
    Unmet,
)
from rayfleet.reports import on_demand
from rayfleet.reports.amounts import amount, duration, shape
from rayfleet.reports.status_json import KNOWN_NODES, current_claims, status_json, status_schema, usage

__all__ = ["status_json", "status_schema", "status_text"]

_RULE = "-" * 63
_MOST_LINES = 20  # of one section; the rest is counted
_FAILURES = frozenset({
    ReasonCode.LAUNCH_FAILED, ReasonCode.BOOT_TIMEOUT, ReasonCode.REQUEST_TIMEOUT, ReasonCode.NODE_DIED,
    ReasonCode.MACHINE_FAILED, ReasonCode.MACHINE_LOST, ReasonCode.REPLICA_BROKEN, ReasonCode.RELEASE_FAILED,
})  # fmt: skip


def status_text(report: TickReport, zone: tzinfo | None = None, *, verbose: bool = False) -> str:
    """Return the state that a report holds, for people; the time of day in `zone`, None = this machine's.

    `verbose`: with what is in use on each node, all of them.
    """
    claims = current_claims(report)
    at = datetime.fromtimestamp(report.snapshot.now, UTC).astimezone(zone)
    lines = [
        f"======== Autoscaler status: {at:%Y-%m-%d %H:%M:%S.%f} ========",
        *_section("Node status"),
        *_block("Healthy", _healthy(claims), "(no healthy nodes)"),
        *_block("Pending", _pending(claims, report.snapshot.now), "(no pending nodes)"),
        *_block("Standby", _standby(claims), ""),
        *_block("Leaving", _leaving(claims), ""),
        *_block("Recent failures", _failures(report), "(no failures)"),
        "",
        *_section("Resources"),
        *_block("Usage", _usage(claims), "(no resources)"),
        "",
        *_block("Demands", _demands(report.snapshot), "(no resource demands)"),
        *(_nodes(claims) if verbose else ()),
        *_decision(report),
    ]
    return "\n".join(lines)


def _decision(report: TickReport) -> list[str]:
    """Return what Ray's own status does not have: reasons, orders, back-offs, cost, troubles."""
    blocks = [
        _block("Reasons", _reasons(report), ""),
        _block("Orders", _orders(report), ""),
        _block("Back-offs", backoff_lines(report, report.snapshot.now), ""),
        _block("Cost", cost_lines(report), ""),
        _block("Troubles", _troubles(report), ""),
    ]
    return [line for block in blocks if block for line in ("", *block)]


def _section(title: str) -> list[str]:
    return [title, _RULE]


def _block(title: str, lines: Iterable[str], when_empty: str) -> list[str]:
    """Return a titled block; nothing at all when it is empty and has no word for that."""
    found = list(lines) or ([when_empty] if when_empty else [])
    if not found:
        return []
    more = [f"... and {len(found) - _MOST_LINES} more"] if len(found) > _MOST_LINES else []
    return [f"{title}:", *(f" {line}" for line in (*found[:_MOST_LINES], *more))]


def _healthy(claims: tuple[Claim, ...]) -> Iterator[str]:
    counts: Counter[tuple[bool, str]] = Counter()
    for claim in claims:
        if claim.phase is Phase.READY:
            counts[(not claim.head, _name(claim))] += claim.count
    yield from (f"{count} {name}" for (_, name), count in sorted(counts.items()))


def _name(claim: Claim) -> str:
    return f"{claim.pool or 'unnamed'} (joined by hand)" if claim.foreign else claim.pool


def _pending(claims: tuple[Claim, ...], now: float) -> Iterator[str]:
    launching: Counter[str] = Counter()
    for claim in claims:
        if claim.phase is Phase.REQUESTED:
            launching[claim.pool] += claim.count
    yield from (f"{pool}, {count} launching" for pool, count in sorted(launching.items()))
    for claim in claims:
        if claim.phase is Phase.BOOTING:
            yield f"{claim.id}: {claim.pool}, starting Ray for {duration(now - claim.since)}"


def _standby(claims: tuple[Claim, ...]) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for claim in claims:
        if claim.phase is Phase.STANDBY:
            counts[claim.pool] += claim.count
    yield from (f"{count} {pool}" for pool, count in sorted(counts.items()))


def _leaving(claims: tuple[Claim, ...]) -> Iterator[str]:
    for claim in claims:
        if claim.phase in LEAVING:
            why = claim.ending or (claim.drain.reason if claim.drain else None)
            word = "draining" if claim.phase is Phase.DRAINING else "being released"
            yield f"{claim.id}: {claim.pool}, {word}" + (f" ({why.text})" if why else "")


def _failures(report: TickReport) -> Iterator[str]:
    for backoff in report.plan.backoffs:
        if backoff.until > report.snapshot.now:
            yield f"{backoff.scope.pool or 'every pool'}: {backoff.trouble}" + _because(backoff.message)
    for finding in report.plan.findings:
        if finding.reason.code in _FAILURES:
            yield f"{finding.subject}: {finding.reason.text}"


def _because(message: str) -> str:
    return f" ({message})" if message else ""


def _usage(claims: tuple[Claim, ...]) -> Iterator[str]:
    for name, (used, total) in usage(claims).items():
        if not name.startswith("node:"):
            yield f"{amount(name, used)}/{amount(name, total)} {name}"


def _nodes(claims: tuple[Claim, ...]) -> Iterator[str]:
    """Yield a block for each node that Ray knows, the head first, as `ray status -v` has them."""
    for claim in sorted(claims, key=lambda claim: not claim.head):
        for host in claim.hosts:
            if host.node in KNOWN_NODES and host.total is not None:
                yield from ("", f"Node: {host.id} ({_name(claim)})", f" Id: {host.node_id}", " Usage:")
                for name, total in host.total.items():
                    if not name.startswith("node:"):
                        yield f"  {amount(name, host.used.get(name, 0))}/{amount(name, total)} {name}"
                if host.idle_s:
                    yield f" Idle: {duration(host.idle_s)}"
                yield from (" Activity:", *(f"  {line}" for line in host.activity or ("(no activity)",)))


def _demands(snapshot: Snapshot) -> Iterator[str]:
    demand = snapshot.demand
    if not snapshot.engine_up:
        yield "(unknown: Ray does not answer)"
    for task in demand.tasks:
        yield f"{shape(task.shape)}: {task.count} pending tasks/actors{_where(task.selectors)}"
    for gang in demand.gangs:
        yield f"{gang_text(gang)}: {gang.count} pending placement groups"
    for wish in demand.requested:
        yield f"{shape(wish.shape)}: {wish.count} from request_resources(){_where(wish.selectors)}"


def gang_text(gang: Gang) -> str:
    """Return a gang as in `{CPU: 1} * 2 (STRICT_SPREAD)`."""
    counts = Counter(f"{shape(bundle.shape)}{_where(bundle.selectors)}" for bundle in gang.bundles)
    return ", ".join(f"{text} * {count}" for text, count in counts.items()) + f" ({gang.strategy})"


def _where(selectors: Selectors) -> str:
    return f" on {' else '.join(str(selector) for selector in selectors)}" if selectors else ""


def _reasons(report: TickReport) -> Iterator[str]:
    plan = report.plan
    for launch in plan.launches:
        held = "" if report.saved else " (held: the ledger cannot be written)"
        verb = "start" if launch.reuse else "prepare" if launch.standby else "launch"
        yield f"{verb} {launch.count} {launch.offer.pool}: {launch.reason.text}{held}"
    for claim in plan.claims:
        if claim.phase in STARTING and claim.head:
            yield f"{claim.id}: the head is starting"
    yield from (f"drain {drain.claim}: {drain.reason.text}" for drain in plan.drains)
    for release in plan.releases:
        verb = "stop" if release.mode is ReleaseMode.STOP else "release"
        yield f"{verb} {release.claim}: {release.reason.text}"
    for unmet in plan.unmet:
        yield f"{unmet_text(unmet)}: {unmet.reason.text}"
        yield from (f"   {verdict.pool}: {verdict.reason.text}" for verdict in unmet.pools)


def unmet_text(unmet: Unmet) -> str:
    """Return `3 x {CPU: 1} wait`, or what a buffer lacks."""
    if isinstance(unmet.demand, Ahead):
        return f"buffer {unmet.demand.name} lacks {unmet.count} x {shape(unmet.demand.shape)}"
    return f"{unmet.count} x {wanted_text(unmet)} wait"


def wanted_text(unmet: Unmet) -> str:
    """Return what is asked for: a shape, or a gang."""
    return gang_text(unmet.demand) if isinstance(unmet.demand, Gang) else shape(unmet.demand.shape)


def _orders(report: TickReport) -> Iterator[str]:
    for order in report.plan.orders:
        what = " ".join(word for word in (order.kind.value, order.target, order.value) if word)
        yield f"{what}, by {order.by or 'somebody'}{_because(order.why)}"


def backoff_lines(report: TickReport, now: float) -> Iterator[str]:
    """Yield what is left alone for how long, as of a moment: `cpu4 on a/spot: 25 s more after OutOfStock`."""
    for backoff in report.plan.backoffs:
        if backoff.until > now:
            scope = backoff.scope
            place = "/".join(part for part in (scope.provider, scope.region, scope.zone, scope.market) if part)
            name = f"{scope.pool or 'every pool'}{' on ' + place if place else ''}"
            yield f"{name}: {duration(backoff.until - now)} more after {backoff.trouble}"


def cost_lines(report: TickReport) -> Iterator[str]:
    """Yield what the machines cost an hour, and will; nothing when nothing is known to cost anything."""
    cost = report.plan.cost
    if cost.before or cost.after:
        unpriced = f", {cost.unpriced} machines without a price" if cost.unpriced else ""
        same = on_demand.compare(cost, current_claims(report), report.snapshot.policy).usd_per_hour
        against = f" ({same:.2f} on demand)" if f"{same:.2f}" != f"{cost.after:.2f}" else ""
        yield f"{cost.before:.2f} USD/h now, {cost.after:.2f} USD/h after this plan{against}{unpriced}"


def _troubles(report: TickReport) -> Iterator[str]:
    yield from report.troubles
    if report.error:
        yield f"the last tick failed: {report.error.strip().splitlines()[-1]}"
