"""What people order, checked before it is written down: pure, given the policy and what exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any, Final

from rayfleet.launcher.errors import InvalidOrder, did_you_mean
from rayfleet.model import PRESENT, Claim, Order, OrderKind, Policy, Pool
from rayfleet.model.disruption import budgets_of
from rayfleet.planner.settings import MACHINES_MAX, BadOrder, part_text, section_of, with_part

NOTHING_TEXT: Final = "null"
_NOTHING: Final = frozenset({"null", "none", "~", ""})
_NODE_ID_LEAST: Final = 6
"""So many characters of a node's id name it. A slip of the pen or the name of a machine that is gone has fewer."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who orders, when (seconds since the epoch) and why."""

    by: str
    at: float
    why: str = ""

    def order(self, kind: OrderKind, target: str = "", value: str = "") -> Order:
        """Return an order of this author. Its id says what it is about, so a newer one replaces an older."""
        name = f"{kind.value}:{target}" if target else kind.value
        return Order(name, kind, target, value, self.by, self.why, self.at)


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that may be changed at run time. `optional`: null is a value too and means: no limit."""

    name: str
    what: str
    read: Callable[[str], Any]
    least: float = 0.0
    most: float = inf
    optional: bool = True


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


POLICY_SETTINGS: Final = (
    Setting("max_workers", "a number of machines", int, most=MACHINES_MAX),
    Setting("idle_timeout_s", "seconds", _seconds, optional=False),
    Setting("upscaling_speed", "a rate per machine that is up (1 doubles)", float),
    Setting("downscaling_speed", "a rate per machine that is up", float),
    Setting("max_usd_per_hour", "USD per hour", float),
    Setting("scale_down_utilization", "a share of what a pool's machines have (0.7: seven tenths)", float),
    Setting("consolidate_after_s", "seconds", _seconds, optional=False),
    Setting("consolidation_threshold", "a score from 0 to 1: saving / (saving + disruption)", float),
    Setting("max_age_s", "seconds", _seconds),
    Setting("max_age_grace_s", "seconds", _seconds),
    Setting("keep_starting_share", "a share of the machines in use of a pool (0: none is kept)", float, optional=False),
    Setting(
        "disruption_budgets",
        "a number of machines or a share such as 10% (100%: no budget)",
        budgets_of,
        optional=False,
    ),
    Setting(
        "spot_spread_margin",
        "how much dearer than the cheapest a spot offer may be to be used beside it (0.2: a fifth)",
        float,
    ),
    Setting("max_usd_per_day", "USD per day (UTC)", float),
    Setting("max_launches_per_min", "machines per minute", int),
)
POOL_SETTINGS: Final = (
    Setting("min_workers", "a number of machines", int, most=MACHINES_MAX, optional=False),
    Setting("max_workers", "a number of machines", int, most=MACHINES_MAX),
    Setting("priority", "a whole number, higher is tried first", int, least=-1_000_000, optional=False),
    Setting("idle_timeout_s", "seconds", _seconds),
    Setting("restartable", "true or false", _flag, optional=False),
    Setting("max_age_s", "seconds", _seconds),
    Setting("boot_timeout_s", "seconds", _seconds),
    Setting("max_age_grace_s", "seconds", _seconds),
)


def in_force(policy: Policy, standing: tuple[Order, ...]) -> Policy:
    """Return the policy with the settings that people have changed and that stand."""
    for order in standing:
        if order.kind is OrderKind.SET:
            policy = _with_setting(policy, order.target, order.value)
    return policy


def scale(policy: Policy, pool: str, count: int, author: Author) -> Order:
    """Return the order to hold `pool` at `count` machines until it is cleared.

    Raises:
        InvalidOrder: no such pool, or its limits forbid that many.
    """
    found = worker_pool(policy, pool)
    if not 0 <= count <= MACHINES_MAX:
        raise InvalidOrder(f"a pool cannot have {count} machines", f"give 0 to {MACHINES_MAX}")
    _within(found.max_workers, count, f"pool {pool}", f"{pool}.max_workers")
    _within(policy.max_workers, count, "the cluster", "max_workers")
    return author.order(OrderKind.SCALE, pool, str(count))


def unscale(policy: Policy, pool: str, author: Author) -> Order:
    """Return the order that lets `pool` follow its demand again.

    Raises:
        InvalidOrder: no such pool.
    """
    return author.order(OrderKind.UNSCALE, worker_pool(policy, pool).name)


def drain(claims: tuple[Claim, ...], node: str, author: Author) -> Order:
    """Return the order to empty a machine and give it back. `node`: a host, a claim, or (the start of) Ray's node id.

    Raises:
        InvalidOrder: nothing of that name exists, several do, or it is the head.
    """
    claim, host = _machine(claims, node)
    if claim.head:
        raise InvalidOrder(f"{node} is the head, and a cluster cannot do without it", "end the cluster: rayfleet down")
    if claim.foreign:
        raise InvalidOrder(f"{node} was joined by hand, so it is not ours to drain", "end it where it was started")
    return author.order(OrderKind.DRAIN, host)


def change(policy: Policy, key: str, value: str, author: Author) -> Order:
    """Return the order to set `key` (a setting of the policy, or POOL.setting) to `value`.

    Raises:
        InvalidOrder: no such key, or not a value of it.
    """
    if _part(policy, key, value) is not None:
        return author.order(OrderKind.SET, key, value.strip())
    setting = _setting(policy, key)
    return author.order(OrderKind.SET, key, _checked(setting, key, value))


def unset(policy: Policy, key: str, author: Author) -> Order:
    """Return the order that gives `key` back the value that the cluster's configuration has.

    Raises:
        InvalidOrder: no such key.
    """
    if section_of(key) is None:
        _setting(policy, key)
    return author.order(OrderKind.UNSET, key)


def configured(policy: Policy, key: str) -> str:
    """Return as text what `policy` says for `key`.

    Raises:
        InvalidOrder: no such key.
    """
    try:
        part = part_text(policy, key)
    except BadOrder:
        return "not there any more"
    if part is not None:
        return part
    field = _setting(policy, key).name
    pool = key.rpartition(".")[0]
    value = getattr(worker_pool(policy, pool) if pool else policy, field)
    if isinstance(value, tuple):
        return " and ".join(budget.nodes_text for budget in value) or "100%"
    return NOTHING_TEXT if value is None else repr(value)


def overrides(standing: tuple[Order, ...]) -> tuple[str, ...]:
    """Return, for people, those standing orders that override what the cluster's configuration says."""
    return tuple(_told(order) for order in standing if order.kind in (OrderKind.SET, OrderKind.SCALE))


def _told(order: Order) -> str:
    joint = "=" if order.kind is OrderKind.SET else " to "
    return f"{order.kind.value} {order.target}{joint}{order.value} (by {order.by or 'somebody'})"


def shutdown(author: Author) -> Order:
    """Return the order to give everything back, the head last."""
    return author.order(OrderKind.SHUTDOWN)


def worker_pool(policy: Policy, name: str) -> Pool:
    """Return the worker pool of that name.

    Raises:
        InvalidOrder: there is none, or it is the head's.
    """
    for pool in policy.pools:
        if pool.name == name:
            return pool
    if policy.head is not None and policy.head.name == name:
        raise InvalidOrder(f"pool {name} is the head's: it always has one machine")
    raise InvalidOrder(f"there is no pool {name!r}", did_you_mean(name, [pool.name for pool in policy.pools]))


def _within(limit: int | None, count: int, whose: str, key: str) -> None:
    if limit is not None and count > limit:
        raise InvalidOrder(f"{whose} may have at most {limit} machines, not {count}", f"rayfleet set {key}={count}")


def _machine(claims: tuple[Claim, ...], node: str) -> tuple[Claim, str]:
    present = [(claim, host) for claim in claims if claim.phase in PRESENT for host in claim.hosts]
    exact = [(c, h.id) for c, h in present if node in (h.id, c.id, h.machine_id, h.node_id)]
    part = len(node) >= _NODE_ID_LEAST
    likely = exact or [(c, h.id) for c, h in present if part and (h.node_id or "").startswith(node)]
    if not likely:
        names = [host.id for claim, host in present if not claim.head]
        raise InvalidOrder(f"no machine is called {node!r}", did_you_mean(node, names) or "no machine is up")
    # Hosts of one replica leave together, so any of them stands for all.
    if len({claim.id for claim, _ in likely}) > 1:
        raise InvalidOrder(f"{node!r} fits several machines: {', '.join(host for _, host in likely)}")
    return likely[0]


def _setting(policy: Policy, key: str) -> Setting:
    pool, dot, name = key.rpartition(".")
    table = POOL_SETTINGS if dot else POLICY_SETTINGS
    if dot:
        worker_pool(policy, pool)
    for setting in table:
        if setting.name == name:
            return setting
    keys = [f"{pool}{dot}{setting.name}" for setting in table]
    raise InvalidOrder(f"there is no setting {key!r}", did_you_mean(key, keys))


def _part(policy: Policy, key: str, text: str) -> Policy | None:
    try:
        return with_part(policy, key, text)
    except BadOrder as error:
        raise InvalidOrder(str(error)) from None


def _with_setting(policy: Policy, key: str, text: str) -> Policy:
    changed = _part(policy, key, text)
    if changed is not None:
        return changed
    setting = _setting(policy, key)
    change: dict[str, Any] = {setting.name: None if text == NOTHING_TEXT else setting.read(text)}
    name = key.rpartition(".")[0]
    if not name:
        return replace(policy, **change)
    pools = (replace(pool, **change) if pool.name == name else pool for pool in policy.pools)
    return replace(policy, pools=tuple(pools))


def _checked(setting: Setting, key: str, text: str) -> str:
    word = text.strip()
    if word.lower() in _NOTHING:
        if setting.optional:
            return NOTHING_TEXT
        raise InvalidOrder(f"{key} needs a value", f"it is {setting.what}")
    try:
        value = setting.read(word)
    except ValueError:
        hint = f"it is {setting.what}" + (", or null for none" if setting.optional else "")
        raise InvalidOrder(f"{key} cannot be {text!r}", hint) from None
    if isinstance(value, tuple):  # disruption budgets, which an order holds as they were typed
        return word
    if not isfinite(value) or not setting.least <= value <= setting.most:
        span = f"{setting.least:g} or more" if setting.most == inf else f"{setting.least:g} to {setting.most:.0f}"
        raise InvalidOrder(f"{key} cannot be {text}", f"it is {setting.what}, {span}")
    return repr(value)
