"""Step 4: what people ordered becomes the effective policy, and drains.

SET, SCALE and SHUTDOWN stand until replaced or cleared; DRAIN, UNSCALE and UNSET are answered at once. An order that
cannot be carried out is answered with a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, assert_never

from rayfleet.model import LEAVING, Claim, Order, OrderKind, Policy, Pool, ReasonCode, Snapshot, reason
from rayfleet.model.disruption import budgets_of
from rayfleet.planner import leaving
from rayfleet.planner.draft import Draft, may_refuse
from rayfleet.planner.schedules import apply_schedules
from rayfleet.planner.settings import NONE_WORDS, BadOrder, number, section_of, whole, with_part


def _any_whole(text: str) -> int:
    return int(text)


def _flag(text: str) -> bool:
    words = {"true": True, "false": False}
    if text.strip().lower() not in words:
        raise BadOrder(f"{text[:20]} is neither true nor false")
    return words[text.strip().lower()]


POLICY_FIELDS: Final[dict[str, Callable[[str], object]]] = {
    "max_workers": whole,
    "idle_timeout_s": number,
    "upscaling_speed": number,
    "downscaling_speed": number,
    "max_usd_per_hour": number,
    "max_usd_per_day": number,
    "scale_down_utilization": number,
    "consolidate_after_s": number,
    "consolidation_threshold": number,
    "max_age_s": number,
    "max_age_grace_s": number,
    "keep_starting_share": number,
    "spot_spread_margin": number,
    "disruption_budgets": budgets_of,
    "max_launches_per_min": whole,
}
"""What SET may change for the cluster."""

POOL_FIELDS: Final[dict[str, Callable[[str], object]]] = {
    "max_workers": whole,
    "min_workers": whole,
    "idle_timeout_s": number,
    "max_age_s": number,
    "boot_timeout_s": number,
    "max_age_grace_s": number,
    "restartable": _flag,
    "priority": _any_whole,
}
"""What SET may change for one pool, as `POOL.field`."""

_NEVER_NONE: Final = frozenset(
    {"min_workers", "priority", "disruption_budgets", "restartable", "consolidate_after_s"}
) | {"keep_starting_share"}


def apply_orders(draft: Draft) -> None:
    """Carry out every order, the oldest first; a later one overrides an earlier one."""
    standing: dict[tuple[OrderKind, str], Order] = {}
    for order in sorted(draft.snapshot.orders, key=lambda o: (o.at, o.id)):
        try:
            _apply(draft, order, standing)
        except ValueError as error:
            draft.answered.append(order.id)
            draft.find(order.id, reason(ReasonCode.BAD_ORDER, order=order.id, why=str(error)))
    draft.orders.extend(standing.values())
    # Only now: what was cleared must leave no trace in the policy, and a held size goes before limits that were set.
    for order in _of(OrderKind.SET, standing):
        draft.policy = _set(draft.policy, order)
    for order in _of(OrderKind.SCALE, standing):
        _hold(draft, order)


def effective_policy(snapshot: Snapshot) -> Policy:
    """Return the policy as open schedules, and then people's standing orders, have changed it."""
    draft = Draft(snapshot, snapshot.policy)
    apply_schedules(draft)
    apply_orders(draft)
    return draft.policy


def _apply(draft: Draft, order: Order, standing: dict[tuple[OrderKind, str], Order]) -> None:
    match order.kind:
        case OrderKind.DRAIN:
            _drain(draft, order)
            draft.answered.append(order.id)
        case OrderKind.SCALE:
            _known_pool(draft.policy, order.target)
            whole(order.value)
            _stand(draft, order, standing)
        case OrderKind.UNSCALE:
            _known_pool(draft.policy, order.target)
            _clear(draft, order, OrderKind.SCALE, standing)
        case OrderKind.SET:
            _set(draft.policy, order)  # to know now whether it can be
            _stand(draft, order, standing)
        case OrderKind.UNSET:
            if section_of(order.target) is None:
                _settable(draft.policy, order.target)
            _clear(draft, order, OrderKind.SET, standing)
        case OrderKind.SHUTDOWN:
            draft.shutdown = reason(ReasonCode.SHUTDOWN)
            _stand(draft, order, standing)
        case _:
            assert_never(order.kind)


def _of(kind: OrderKind, standing: dict[tuple[OrderKind, str], Order]) -> list[Order]:
    return [order for order in standing.values() if order.kind is kind]


def _clear(draft: Draft, order: Order, kind: OrderKind, standing: dict[tuple[OrderKind, str], Order]) -> None:
    cleared = standing.pop((kind, order.target), None)
    draft.answered.extend([cleared.id, order.id] if cleared else [order.id])


def _stand(draft: Draft, order: Order, standing: dict[tuple[OrderKind, str], Order]) -> None:
    replaced = standing.pop((order.kind, order.target), None)
    if replaced:
        draft.answered.append(replaced.id)
    standing[order.kind, order.target] = order


def _known_pool(policy: Policy, name: str) -> Pool:
    for pool in policy.pools:
        if pool.name == name:
            return pool
    raise BadOrder(f"there is no pool {name!r}; pools are {', '.join(p.name for p in policy.pools) or 'none'}")


def _settable(policy: Policy, target: str) -> tuple[Pool | None, str, Callable[[str], object]]:
    """Return what SET's `target` is: a pool (None: the cluster), its field, and how that is read."""
    name, _, field = target.rpartition(".")
    fields = POOL_FIELDS if name else POLICY_FIELDS
    if field not in fields:
        raise BadOrder(f"{field!r} cannot be set; what can: {', '.join(fields)}")
    return _known_pool(policy, name) if name else None, field, fields[field]


def _set(policy: Policy, order: Order) -> Policy:
    changed = with_part(policy, order.target, order.value)
    if changed is not None:
        return changed
    pool, field, read = _settable(policy, order.target)
    try:
        value = None if order.value.strip().lower() in NONE_WORDS else read(order.value)
    except BadOrder:
        raise
    except ValueError:
        kind = "whole number" if read in {whole, _any_whole} else "number"
        raise BadOrder(f"{order.value.strip()[:20]!r} is no {kind}") from None
    if value is None and (field in _NEVER_NONE or (pool is None and field == "idle_timeout_s")):
        raise BadOrder(f"{field} needs a number")
    changes: dict[str, object] = {field: value}
    if pool is None:
        return replace(policy, **changes)  # type: ignore[arg-type]  # each value was read as its field's type
    return _with_pool(policy, replace(pool, **changes))  # type: ignore[arg-type]  # as above


def _with_pool(policy: Policy, changed: Pool) -> Policy:
    return replace(policy, pools=tuple(changed if pool.name == changed.name else pool for pool in policy.pools))


def _hold(draft: Draft, order: Order) -> None:
    pool = _known_pool(draft.policy, order.target)
    count = whole(order.value)
    draft.scale_orders[pool.name] = reason(
        ReasonCode.SCALE_ORDER, by=order.by or "somebody", pool=pool.name, count=count
    )
    draft.policy = _with_pool(draft.policy, replace(pool, min_workers=count, max_workers=count))


def _drain(draft: Draft, order: Order) -> None:
    claim = _target(draft, order.target)
    if claim.head:
        raise BadOrder(f"{order.target} is the head, which is only released by a shutdown")
    if claim.foreign:
        raise BadOrder(f"{order.target} was joined by hand and is not ours to release")
    # An idle drain may still be refused, and then the machine would stay.
    if claim.phase not in LEAVING or (claim.drain and may_refuse(claim.drain.reason)):
        why = reason(ReasonCode.ORDERED, by=order.by or "somebody", why=order.why or "drain")
        leaving.dismiss(draft, claim, why)


def _target(draft: Draft, name: str) -> Claim:
    if name in draft.claims:
        return draft.claims[name]
    for claim in draft.claims.values():
        if any(name in {host.id, host.machine_id, host.node_id} for host in claim.hosts):
            return claim
    raise BadOrder(f"there is no machine {name!r}")
