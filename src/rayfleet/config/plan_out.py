"""Plan -> the JSON that `rayfleet plan --json` prints. A stable interface: keys are only ever added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rayfleet.config.scenario_out import gang_to_json
from rayfleet.model import (
    Ahead,
    Cost,
    DemandKind,
    Gang,
    How,
    Launch,
    Placement,
    Plan,
    PoolVerdict,
    Reason,
    ReleaseMode,
    Resources,
    Unmet,
)

Json = dict[str, Any]

MONEY_DIGITS = 6


def plan_to_json(plan: Plan, *, planning_s: float | None = None, placements: bool = False) -> Json:
    """Return what a plan does: `launch`, `release`, `unmet`, `usd_per_hour`; counts are machines, tasks or gangs.

    `planning_s`: CPU seconds that the caller measured for the plan; left out when None.
    `placements`: also say where each piece of demand goes.
    """
    result: Json = {
        "launch": _launches(plan),
        "release": list(_releases(plan)),
        "unmet": [_unmet(unmet) for unmet in plan.unmet],
        "usd_per_hour": _cost(plan.cost),
    }
    if plan.ahead:
        result["buffers"] = buffers_to_json(plan)
    if placements:
        result["placements"] = [_placement(placement) for placement in plan.placements]
    if planning_s is not None:
        result["planning_s"] = planning_s
    return result


def reason_text(reason: Reason) -> Json:
    """Return a reason as readers see it."""
    return {"code": reason.code.value, "text": reason.text}


def _launches(plan: Plan) -> list[Json]:
    groups: dict[tuple[Any, ...], list[Launch]] = {}
    for launch in plan.launches:
        groups.setdefault((launch.offer, launch.again, launch.standby), []).append(launch)
    return [_launch(group) for group in groups.values()]


def _launch(group: list[Launch]) -> Json:
    """Return one entry for all launches of an offer; several reasons are joined, the largest gives the code."""
    offer, counts = group[0].offer, _counts(group)
    main = max(counts, key=lambda reason: counts[reason])
    row: Json = {"pool": offer.pool, "zone": offer.zone, "market": offer.market and offer.market.value}
    row |= {key: value for key, value in (("provider", offer.provider), ("region", offer.region)) if value}
    row["count"] = sum(counts.values())
    row["reason"] = {"code": main.code.value, "text": "; ".join(reason.text for reason in counts)}
    if len(counts) > 1:
        row["reasons"] = [{**reason_text(reason), "count": count} for reason, count in counts.items()]
    reused = sum(launch.count for launch in group if launch.reuse)
    row |= {"reuse": reused} if reused else {}
    row |= {"standby": group[0].standby.value} if group[0].standby else {}
    return row | ({"again": True} if group[0].again else {})


def _counts(group: list[Launch]) -> dict[Reason, int]:
    counts: dict[Reason, int] = {}
    for launch in group:
        counts[launch.reason] = counts.get(launch.reason, 0) + launch.count
    return counts


def _releases(plan: Plan) -> Iterator[Json]:
    """Yield every machine that starts to leave; the second half of a drain is no start."""
    for drain in plan.drains:
        for host in drain.hosts:
            row = {"id": host, "how": How.DRAIN.value, "reason": reason_text(drain.reason)}
            yield row if drain.mode is ReleaseMode.END else {**row, "mode": drain.mode.value}
    for release in plan.releases:
        for host in release.hosts if release.how is not How.END else ():
            yield {"id": host, "how": release.how.value, "reason": reason_text(release.reason)}


def _unmet(unmet: Unmet) -> Json:
    demand = unmet.demand
    row: Json = {"kind": unmet.kind.value, "index": unmet.index}
    if isinstance(demand, Gang):
        total = Resources()
        for bundle in demand.bundles:
            total += bundle.shape
        whole = gang_to_json(demand)
        row |= {"shape": total.amounts(), "strategy": whole["strategy"], "bundles": whole["bundles"]}
    else:
        row["shape"] = demand.shape.amounts()
        if demand.selectors:
            row["selectors"] = [selector.expressions() for selector in demand.selectors]
    if isinstance(demand, Ahead):
        row["name"] = demand.name
    return row | {
        "count": unmet.count,
        "reason": reason_text(unmet.reason),
        "pools": [_verdict(verdict) for verdict in unmet.pools],
    }


def _verdict(verdict: PoolVerdict) -> Json:
    return {"pool": verdict.pool, "reason": reason_text(verdict.reason)}


def buffers_to_json(plan: Plan) -> list[Json]:
    """Return what is kept free: `count` wanted, of which `unmet` has no place."""
    missing = {unmet.index: unmet.count for unmet in plan.unmet if unmet.kind is DemandKind.BUFFER}
    return [
        {"name": ahead.name, "shape": ahead.shape.amounts(), "count": ahead.count, "unmet": missing.get(index, 0)}
        for index, ahead in enumerate(plan.ahead)
    ]


def _cost(cost: Cost) -> Json:
    return {
        "before": round(cost.before, MONEY_DIGITS),
        "after": round(cost.after, MONEY_DIGITS),
        "unpriced": cost.unpriced,
    }


def _placement(placement: Placement) -> Json:
    return {
        "on": placement.on,
        "pool": placement.pool,
        "kind": placement.kind.value,
        "index": placement.index,
        "bundle": placement.bundle,
        "count": placement.count,
    }


def diff(recorded: Json, again: Json) -> list[str]:
    """Return the differences of two plans as lines of text, `- ` recorded and `+ ` new; empty: the same decision.

    Wall-clock figures are no part of a decision and are not compared.
    """
    lines: list[str] = []
    for key in dict.fromkeys([*recorded, *again]):
        if key != "planning_s" and recorded.get(key) != again.get(key):
            lines += _changes(key, recorded.get(key), again.get(key))
    return lines


def _changes(key: str, old: Any, new: Any) -> Iterator[str]:
    before, after = (value if isinstance(value, list) else [value] for value in (old, new))
    same = True
    for sign, rows, others in (("-", before, after), ("+", after, before)):
        for row in rows:
            if row is not None and row not in others:
                same = False
                yield f"{sign} {key}: {_line(row)}"
    if same:
        yield f"~ {key}: the same entries, another order or number: {len(before)} before, {len(after)} now"


def _line(row: Any) -> str:
    if not isinstance(row, dict):
        return str(row)
    return ", ".join(f"{k} {v.get('text', v) if isinstance(v, dict) else v}" for k, v in row.items() if v is not None)
