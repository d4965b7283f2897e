"""Snapshot -> scenario file: the exact inverse of scenario.py. What has its default is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from rayfleet.config.budget_form import budget_to_json
from rayfleet.config.policy_form import shared_to_json
from rayfleet.config.scenario import filled_offer
from rayfleet.config.scenario_form import FORMAT
from rayfleet.config.standby_form import standby_to_json
from rayfleet.model import (
    DEFAULT_OFFERS,
    Bundle,
    Claim,
    Demand,
    Expected,
    Gang,
    Host,
    Market,
    Offer,
    OfferKey,
    Outcome,
    Phase,
    Policy,
    Pool,
    Reason,
    ReleaseMode,
    RequestedDemand,
    Resources,
    Selectors,
    Snapshot,
    TaskDemand,
    Timeouts,
)

Json = dict[str, Any]


def snapshot_to_json(snapshot: Snapshot) -> Json:
    """Return the scenario that `snapshot_from_json` turns into an equal snapshot; plain JSON values only."""
    policy = snapshot.policy
    return _without(
        {"removed_pools": [], "machines": [], "demand": {}, "backoff": [], "orders": [], "outcomes": [], "strays": [],
         "in_flight": [], "listed_at": {}, "engine_up": True, "effort": 0,
         "spent_today_usd": 0.0, "spent_at": None, "launched_last_min": 0, "usage": {}, "expected": []},
        {
            "format": FORMAT,
            "now": snapshot.now,
            "policy": _policy(policy),
            "removed_pools": _removed_pools(snapshot),
            "machines": [row for claim in snapshot.claims for row in _rows(claim, policy)],
            "demand": demand_to_json(snapshot.demand),
            "backoff": [
                {**origin_to_json(b.scope), "until": b.until, "reason": b.trouble.value}
                | _without(
                    {"failures": 1, "message": "", "since": 0.0},
                    {"failures": b.failures, "message": b.message, "since": b.since},
                )
                for b in snapshot.backoffs
            ],
            "orders": [_order(order) for order in snapshot.orders],
            "outcomes": [_outcome(outcome) for outcome in snapshot.outcomes],
            "strays": [
                {"machine_id": s.machine_id, **origin_to_json(s.offer)}
                | _without(_STRAY_DEFAULTS, {name: getattr(s, name) for name in _STRAY_DEFAULTS})
                for s in snapshot.strays
            ],
            "in_flight": list(snapshot.in_flight),
            "listed_at": dict(snapshot.listed_at),
            "serial": snapshot.serial,
            "engine_up": snapshot.engine_up,
            "effort": snapshot.effort,
            "spent_today_usd": snapshot.spent_today_usd,
            "spent_at": snapshot.spent_at,
            "launched_last_min": snapshot.launched_last_min,
            "expected": [_expected(one) for one in snapshot.expected],
            "usage": {owner: used.amounts() for owner, used in snapshot.usage.items()},
        },
    )  # fmt: skip


def _without(defaults: Mapping[str, Any], values: Json) -> Json:
    """Drop the entries that have their default; a key that `defaults` does not name stays."""
    missing = object()
    return {key: value for key, value in values.items() if defaults.get(key, missing) != value}


def _policy(policy: Policy) -> Json:
    default = Policy()
    names = (
        "max_workers",
        "idle_timeout_s",
        "upscaling_speed",
        "downscaling_speed",
        "max_usd_per_hour",
        "spot_spread_margin",
        "max_age_s",
        "consolidation_threshold",
        "consolidate_after_s",
        "scale_down_utilization",
    )
    limits = {name: getattr(policy, name) for name in names if getattr(policy, name) != getattr(default, name)}
    if policy.disruption_budgets:
        limits["disruption_budgets"] = [budget_to_json(budget) for budget in policy.disruption_budgets]
    head = {"head": _pool(policy.head)} if policy.head else {}
    times = {f.name: getattr(policy.timeouts, f.name) for f in fields(Timeouts)}
    changed = _without({f.name: f.default for f in fields(Timeouts)}, times)
    return {
        **limits,
        **head,
        "pools": [_pool(p) for p in policy.pools],
        **({"timeouts": changed} if changed else {}),
    } | (shared_to_json(policy))


def _pool(pool: Pool) -> Json:
    default = Pool("", Resources())
    names = (
        "min_workers",
        "max_workers",
        "priority",
        "hosts_per_replica",
        "idle_timeout_s",
        "max_age_s",
        "max_age_grace_s",
        "restartable",
        "boot_timeout_s",
    )
    row: Json = {"name": pool.name, "resources": pool.resources.amounts()}
    if pool.labels:
        row["labels"] = dict(pool.labels)
    row |= {name: getattr(pool, name) for name in names if getattr(pool, name) != getattr(default, name)}
    if pool.standby is not None:
        row["standby"] = standby_to_json(pool.standby)
    if pool.offers != DEFAULT_OFFERS:
        row["offers"] = [_offer(offer) for offer in pool.offers]
    return row


def _offer(offer: Offer) -> Json:
    defaults = {"provider": None, "region": None, "zone": None, "usd_per_hour": None, "standby_usd_per_hour": 0.0}
    row = {"provider": offer.provider, "region": offer.region, "zone": offer.zone, "market": offer.market.value}
    prices = {"usd_per_hour": offer.usd_per_hour, "standby_usd_per_hour": offer.standby_usd_per_hour}
    return _without(defaults, row | prices)


def origin_to_json(key: OfferKey) -> Json:
    """Return the parts of an origin that are known."""
    return _without({"pool": "", "provider": None, "region": None, "zone": None, "market": None}, _origin(key))


def _origin(key: OfferKey) -> Json:
    return {
        "pool": key.pool,
        "provider": key.provider,
        "region": key.region,
        "zone": key.zone,
        "market": _market(key.market),
    }


def _market(market: Market | None) -> str | None:
    return None if market is None else market.value


def _removed_pools(snapshot: Snapshot) -> list[str]:
    known = {pool.name for pool in snapshot.policy.pools} | (
        {snapshot.policy.head.name} if snapshot.policy.head else set()
    )
    used = [claim.pool for claim in snapshot.claims]
    used += [stray.offer.pool for stray in snapshot.strays] + [backoff.scope.pool for backoff in snapshot.backoffs]
    return sorted({name for name in used if name} - known)


_STRAY_DEFAULTS: Json = {"batch": "", "launched_at": 0.0, "head": False, "standby": False, "replica": ""}


def _rows(claim: Claim, policy: Policy) -> Iterable[Json]:
    """Yield one row for each host; a claim without hosts is one row that says so."""
    shared = _claim(claim, policy)
    alone = len(claim.hosts) == 1 and claim.hosts[0].id == claim.id
    if not claim.hosts:
        yield {"id": claim.id, **shared, "hosts": 0}
    for host in claim.hosts:
        yield {"id": host.id, **({} if alone else {"replica": claim.id}), **shared, **_host(host)}


def _claim(claim: Claim, policy: Policy) -> Json:
    origin, price = _machine_origin(claim.offer, policy, waits=claim.standby)
    row = {**origin, **({} if price == claim.usd_per_hour else {"usd_per_hour": claim.usd_per_hour})}
    plain = {
        "phase": claim.phase.value,
        "head": claim.head,
        "foreign": claim.foreign,
        "found": claim.found,
        "drifted": claim.drifted,
        "make": claim.make,
        "accepted": claim.accepted,
        "batch": claim.batch,
        "since": claim.since,
        "created": claim.created,
        "listed_at": claim.listed_at,
        "retry_at": claim.retry_at,
        "unseen_since": claim.unseen_since,
        "ending": claim.ending and reason_to_json(claim.ending),
        "reuse": claim.reuse,
    }
    if claim.standby is not (claim.phase is Phase.STANDBY):
        row["standby"] = claim.standby
    if claim.drain:
        mode = claim.drain.mode
        row |= {} if mode is ReleaseMode.END else {"mode": mode.value}
        asked = {"deadline": claim.drain.deadline, "asked_at": claim.drain.asked_at}
        plain |= {**asked, "drain_reason": reason_to_json(claim.drain.reason)}
    return row | _without(_CLAIM_DEFAULTS, plain)


_CLAIM_DEFAULTS: Json = {
    "phase": Phase.READY.value, "head": False, "foreign": False, "found": False, "drifted": False, "make": "",
    "accepted": True, "batch": "", "since": 0.0, "created": 0.0, "listed_at": None, "retry_at": None,
    "unseen_since": None, "ending": None, "reuse": False,
}  # fmt: skip


def _machine_origin(key: OfferKey, policy: Policy, *, waits: bool) -> tuple[Json, float | None]:
    """Return the least that a reader fills up to `key`, and the price that it will take for it."""
    pool = policy.pool(key.pool)
    given = {"zone": key.zone, "market": key.market}
    found, price = filled_offer(pool, key.pool, given, waits=waits)
    if found != key:
        given = {"provider": key.provider, "region": key.region, **given}
        _, price = filled_offer(pool, key.pool, given, waits=waits)
    return {"pool": key.pool, **given, "market": _market(key.market)}, price


def _host(host: Host) -> Json:
    plain = {
        "used": host.used.amounts(),
        "total": None if host.total is None else host.total.amounts(),
        "labels": dict(host.labels),
        "idle_s": host.idle_s,
        "activity": list(host.activity),
        "interrupt_at": host.interrupt_at,
        "do_not_disrupt": host.do_not_disrupt,
        "machine_id": host.machine_id,
        "node_id": host.node_id,
        "machine": host.machine and host.machine.value,
        "node": host.node and host.node.value,
        "message": host.message,
        "trouble": host.trouble and host.trouble.value,
    }
    return _without(_HOST_DEFAULTS, plain)


_HOST_DEFAULTS: Json = {
    "used": {}, "total": None, "labels": {}, "idle_s": 0.0, "activity": [], "interrupt_at": None,
    "do_not_disrupt": False, "machine_id": None, "node_id": None, "machine": None, "node": None,
    "message": "", "trouble": None,
}  # fmt: skip


def reason_to_json(reason: Reason) -> Json:
    """Return a reason with its numbers, so that it can be read back."""
    row: Json = {"code": reason.code.value}
    if reason.details:
        row["details"] = dict(reason.details)
    if reason.chain:
        row["chain"] = [reason_to_json(part) for part in reason.chain]
    return row


def demand_to_json(demand: Demand) -> Json:
    """Return the `demand` section."""
    sections: Json = {
        "tasks": [_task(task) for task in demand.tasks],
        "gangs": [gang_to_json(gang) for gang in demand.gangs],
        "requested": [_requested(requested) for requested in demand.requested],
    }
    return {name: listed for name, listed in sections.items() if listed}


def _expected(one: Expected) -> Json:
    row: Json = {"name": one.name, **_shape(one.shape, one.selectors), "count": one.count}
    return row if one.error_percent is None else {**row, "error_percent": one.error_percent}


def _task(task: TaskDemand) -> Json:
    row = _shape(task.shape, task.selectors) | {"count": task.count}
    return row | _without({"age_s": 0.0, "labels": {}}, {"age_s": task.age_s, "labels": dict(task.labels)})


def _requested(requested: RequestedDemand) -> Json:
    return _shape(requested.shape, requested.selectors) | {"count": requested.count}


def gang_to_json(gang: Gang) -> Json:
    """Return one row of `demand.gangs`."""
    row: Json = {"strategy": gang.strategy.value, "bundles": [_bundle(bundle) for bundle in gang.bundles]}
    row["count"] = gang.count
    more = {
        "age_s": gang.age_s,
        "placed": dict(gang.placed),
        "labels": dict(gang.labels),
        "same_label": gang.same_label,
    }
    return row | _without({"age_s": 0.0, "placed": {}, "labels": {}, "same_label": None}, more)


def _bundle(bundle: Bundle) -> Json:
    return _shape(bundle.shape, bundle.selectors) if bundle.selectors else bundle.shape.amounts()


def _shape(shape: Resources, selectors: Selectors) -> Json:
    row: Json = {"shape": shape.amounts()}
    return {**row, "selectors": [s.expressions() for s in selectors]} if selectors else row


def _order(order: Any) -> Json:
    row = {"target": order.target, "value": order.value, "by": order.by, "why": order.why, "at": order.at}
    defaults = {"target": "", "value": "", "by": "", "why": "", "at": 0.0}
    return {"id": order.id, "kind": order.kind.value, **_without(defaults, row)}


def _outcome(outcome: Outcome) -> Json:
    row: Json = {"kind": outcome.kind.value, "claims": list(outcome.claims), "at": outcome.at}
    if outcome.trouble is not None:
        row["reason"] = outcome.trouble.value
    if outcome.message:
        row["message"] = outcome.message
    if outcome.scope is not None:
        row["scope"] = origin_to_json(outcome.scope)
    return row
