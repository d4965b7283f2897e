"""A tick report as the JSON of `rayfleet status --json`. Pure. A stable interface: keys are only ever added.

Resources are in the user's amounts (memory in bytes), times in seconds (points in time since the epoch), money
in USD per hour. A machine is one host; the hosts of a replica share `replica`.
"""

from __future__ import annotations

from typing import Any

from rayfleet.config.plan_out import buffers_to_json
from rayfleet.model import (
    LEAVING,
    STARTING,
    Backoff,
    Claim,
    Demand,
    Gang,
    Host,
    NodeFact,
    Phase,
    Pool,
    Reason,
    Resources,
    Selectors,
    TickReport,
    Unmet,
)
from rayfleet.reports import on_demand

Json = dict[str, Any]

FORMAT = 1
KNOWN_NODES = frozenset({NodeFact.ALIVE, NodeFact.DRAINING})
"""Nodes of which Ray tells what is in use."""


def status_json(report: TickReport) -> Json:
    """Return the state that a report holds, as plain data for `json`."""
    plan, snapshot = report.plan, report.snapshot
    claims = current_claims(report)
    why = {kept.host: kept.reason for kept in plan.kept}
    return {
        "format": FORMAT,
        "cluster": report.cluster,
        "at": snapshot.now,
        "tick": report.tick,
        "engine_up": snapshot.engine_up,
        "machines": [_machine(claim, host, why.get(host.id)) for claim in claims for host in claim.hosts],
        "pools": [_pool(pool, claims) for pool in snapshot.policy.pools],
        "resources": {name: {"used": used, "total": total} for name, (used, total) in _usage(claims).items()},
        "demand": _demand(snapshot.demand),
        "unmet": [_unmet(unmet) for unmet in plan.unmet],
        "buffers": buffers_to_json(plan),
        "launching": [
            {"pool": launch.offer.pool, "count": launch.count, "reason": _reason(launch.reason)}
            for launch in plan.launches
        ],
        "backoffs": [_backoff(backoff) for backoff in plan.backoffs if backoff.until > snapshot.now],
        "orders": [
            {
                "id": o.id,
                "kind": o.kind.value,
                "target": o.target,
                "value": o.value,
                "by": o.by,
                "why": o.why,
                "at": o.at,
            }
            for o in plan.orders
        ],
        "findings": [{"subject": f.subject, "reason": _reason(f.reason)} for f in plan.findings],
        "usd_per_hour": _money(report, claims),
        "troubles": list(report.troubles),
        "error": report.error,
    }


def current_claims(report: TickReport) -> tuple[Claim, ...]:
    """Return the claims as decided, with foreign ones; as seen when nothing could be decided."""
    decided = {claim.id for claim in report.plan.claims}
    if report.error or not (decided or report.plan.actions):
        return report.snapshot.claims
    foreign = (claim for claim in report.snapshot.claims if claim.foreign and claim.id not in decided)
    return (*report.plan.claims, *foreign)


def usage(claims: tuple[Claim, ...]) -> dict[str, tuple[int, int]]:
    """Return used and total units by resource over all nodes that are alive."""
    used, total = Resources(), Resources()
    for claim in claims:
        for host in claim.hosts:
            if host.node in KNOWN_NODES and host.total is not None:
                used, total = used + host.used, total + host.total
    return {name: (used.get(name, 0), units) for name, units in total.items()}


def _usage(claims: tuple[Claim, ...]) -> dict[str, tuple[float, float]]:
    amounts = {
        name: Resources({"used": used, "total": total}).amounts() for name, (used, total) in usage(claims).items()
    }
    return {name: (both.get("used", 0), both.get("total", 0)) for name, both in amounts.items()}


def _machine(claim: Claim, host: Host, why: Reason | None) -> Json:
    why = claim.ending or (claim.drain.reason if claim.drain else None) or why
    offer = claim.offer
    return {
        "id": host.id,
        "replica": claim.id if claim.count > 1 else None,
        "pool": claim.pool,
        "phase": claim.phase.value,
        "head": claim.head,
        "foreign": claim.foreign,
        "provider": offer.provider,
        "region": offer.region,
        "zone": offer.zone,
        "market": offer.market.value if offer.market else None,
        "machine_id": host.machine_id,
        "machine": host.machine.value if host.machine else None,
        "node_id": host.node_id,
        "node": host.node.value if host.node else None,
        "resources": host.total.amounts() if host.total is not None else None,
        "used": host.used.amounts(),
        "labels": dict(host.labels),
        "idle_s": host.idle_s,
        "activity": list(host.activity),
        "created": claim.created,
        "since": claim.since,
        "usd_per_hour": claim.usd_per_hour,
        "reason": _reason(why) if why else None,
    }


def _pool(pool: Pool, claims: tuple[Claim, ...]) -> Json:
    mine = [claim for claim in claims if claim.pool == pool.name and not (claim.head or claim.foreign)]

    def hosts(*phases: Phase) -> int:
        return sum(claim.count for claim in mine if claim.phase in phases)

    return {
        "name": pool.name,
        "resources": pool.resources.amounts(),
        "labels": dict(pool.labels),
        "min_workers": pool.min_workers,
        "max_workers": pool.max_workers,
        "ready": hosts(Phase.READY),
        "starting": hosts(*STARTING),
        "leaving": hosts(*LEAVING),
        "standby": hosts(Phase.STANDBY),
    }


def _demand(demand: Demand) -> Json:
    return {
        "tasks": [
            {"shape": d.shape.amounts(), "count": d.count, "selectors": _selectors(d.selectors), "age_s": d.age_s}
            for d in demand.tasks
        ],
        "gangs": [_gang(gang) for gang in demand.gangs],
        "requested": [
            {"shape": d.shape.amounts(), "count": d.count, "selectors": _selectors(d.selectors)}
            for d in demand.requested
        ],
    }


def _gang(gang: Gang) -> Json:
    bundles = [{"shape": b.shape.amounts(), "selectors": _selectors(b.selectors)} for b in gang.bundles]
    return {"strategy": gang.strategy.value, "bundles": bundles, "count": gang.count, "age_s": gang.age_s}


def _selectors(selectors: Selectors) -> list[dict[str, str]]:
    return [selector.expressions() for selector in selectors]


def _money(report: TickReport, claims: tuple[Claim, ...]) -> Json:
    cost = report.plan.cost
    same = on_demand.compare(cost, claims, report.snapshot.policy)
    return {
        "before": cost.before,
        "after": cost.after,
        "unpriced": cost.unpriced,
        "on_demand": same.usd_per_hour,
        "uncompared": same.uncompared,
    }


def _unmet(unmet: Unmet) -> Json:
    demand = unmet.demand
    what = _gang(demand) if isinstance(demand, Gang) else {"shape": demand.shape.amounts()}
    return {
        "kind": unmet.kind.value,
        **what,
        "count": unmet.count,
        "reason": _reason(unmet.reason),
        "pools": [{"pool": verdict.pool, "reason": _reason(verdict.reason)} for verdict in unmet.pools],
    }


def _backoff(backoff: Backoff) -> Json:
    scope = backoff.scope
    return {
        "pool": scope.pool,
        "provider": scope.provider,
        "region": scope.region,
        "zone": scope.zone,
        "market": scope.market.value if scope.market else None,
        "until": backoff.until,
        "trouble": backoff.trouble.value,
        "failures": backoff.failures,
        "message": backoff.message,
    }


def _reason(reason: Reason) -> Json:
    return {"code": reason.code.value, "text": reason.text}


# ---- its schema -------------------------------------------------------------------------------------


def status_schema() -> Json:
    """Return the JSON Schema of `status_json`'s answer."""
    text, number, whole, yes = {"type": "string"}, {"type": "number"}, {"type": "integer"}, {"type": "boolean"}
    amounts = {"type": "object", "additionalProperties": number}
    labels = {"type": "object", "additionalProperties": text}
    why = _object(code=text, text=text)
    selectors = _list(labels)
    bundle = _object(shape=amounts, selectors=selectors)
    task = _object(shape=amounts, count=whole, selectors=selectors, age_s=number)
    gang = _object(strategy=text, bundles=_list(bundle), count=whole, age_s=number)
    requested = _object(shape=amounts, count=whole, selectors=selectors)
    place = {
        "pool": text,
        "provider": _maybe(text),
        "region": _maybe(text),
        "zone": _maybe(text),
        "market": _maybe(text),
    }
    machine = _object(
        **place, id=text, replica=_maybe(text), phase=text, head=yes, foreign=yes, machine_id=_maybe(text),
        machine=_maybe(text), node_id=_maybe(text), node=_maybe(text), resources=_maybe(amounts), used=amounts,
        labels=labels, idle_s=number, activity=_list(text), created=number, since=number,
        usd_per_hour=_maybe(number), reason=_maybe(why),
    )  # fmt: skip
    pool = _object(
        name=text, resources=amounts, labels=labels, min_workers=whole, max_workers=_maybe(whole),
        ready=whole, starting=whole, leaving=whole, standby=whole,
    )  # fmt: skip
    unmet = {
        "type": "object",
        "required": ["kind", "count", "reason", "pools"],
        "properties": {"kind": text, "count": whole, "reason": why, "pools": _list(_object(pool=text, reason=why))},
    }
    order = _object(id=text, kind=text, target=text, value=text, by=text, why=text, at=number)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rayfleet status --json",
        **_object(
            format={"const": FORMAT}, cluster=text, at=number, tick=whole, engine_up=yes,
            machines=_list(machine), pools=_list(pool),
            resources={"type": "object", "additionalProperties": _object(used=number, total=number)},
            demand=_object(tasks=_list(task), gangs=_list(gang), requested=_list(requested)),
            unmet=_list(unmet), buffers=_list(_object(name=text, shape=amounts, count=whole, unmet=whole)),
            launching=_list(_object(pool=text, count=whole, reason=why)),
            backoffs=_list(_object(**place, until=number, trouble=text, failures=whole, message=text)),
            orders=_list(order), findings=_list(_object(subject=text, reason=why)),
            usd_per_hour=_object(before=number, after=number, unpriced=whole, on_demand=number, uncompared=whole),
            troubles=_list(text), error=text,
        ),
    }  # fmt: skip


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _maybe(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}
