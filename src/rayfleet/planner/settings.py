"""Settings of a running cluster that are no plain fields of its policy: parts of it by name. Pure.

    buffer:NAME=5, buffer:NAME=20%, buffer:NAME=null      how large a buffer is
    standby:POOL=2, standby:POOL=10%                      how many machines of a pool wait on standby
    scale_up_pending_threshold=10 (30s; 10,30s; null)     how much waits before machines are launched for it
    scale_up_utilization:CPU=0.8 (null)                   how much of a resource may be in use before
    max_resources:GPU=16 (null)                           most of a resource that all workers may have
    timeouts:stockout_timeout_s=60                        a time-out, by its name
    quota:VALUE:GPU=4 (null)                              most of it for the owner of a quota

SET orders carry them as `target` and `value`; whoever writes an order checks it with the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

from rayfleet.model import UNITS, Buffer, FrozenMap, PendingThreshold, Policy, Pool, Quota, Standby, Timeouts, amount
from rayfleet.planner.weights import GIB


class BadOrder(ValueError):
    """An order that cannot be carried out; the text says why."""


MACHINES_MAX: Final = 100_000
"""No order asks for more machines: it would be a slip of the finger that every restart meets again."""
PERCENT_MAX: Final = 10_000.0
SHARE_MIN: Final = 0.01
NONE_WORDS: Final = frozenset({"", "null", "none", "~"})
NULL: Final = "null"


def whole(text: str) -> int:
    """Read a number of machines or pieces."""
    number = int(text)
    if not 0 <= number <= MACHINES_MAX:
        raise BadOrder(f"{text[:20]} is not a number of machines from 0 to {MACHINES_MAX:,}")
    return number


def number(text: str) -> float:
    """Read a finite number from 0 on."""
    found = float(text)
    if not 0 <= found < float("inf"):
        raise BadOrder(f"{text} is not a number from 0 on")
    return found


@dataclass(frozen=True, slots=True)
class Section:
    """Settings `name:KEY` (just `name` without `keyed`), of which `what` says what they are.

    `put(policy, key, text)` returns the changed policy, `get(policy, key)` the value as text.
    """

    name: str
    what: str
    put: Callable[[Policy, str, str], Policy]
    get: Callable[[Policy, str], str]
    keyed: bool = True


def section_of(target: str) -> tuple[Section, str] | None:
    """Return the section that `target` names and the key within it; None when it is a plain field."""
    name, _, key = target.partition(":")
    section = SECTIONS.get(name)
    return (section, key) if section is not None and bool(key) is section.keyed else None


def with_part(policy: Policy, target: str, value: str) -> Policy | None:
    """Return the policy with another value of a part; None when `target` is a plain field.

    Raises:
        BadOrder: no such part, or not a value of it.
    """
    found = section_of(target)
    if found is None:
        return None
    section, key = found
    try:
        return section.put(policy, key, value.strip())
    except BadOrder:
        raise
    except ValueError:
        raise BadOrder(f"{target} cannot be {value[:40]!r}; it is {section.what}") from None


def part_text(policy: Policy, target: str) -> str | None:
    """Return the value of a part as text; None when `target` is a plain field. BadOrder: no such part."""
    found = section_of(target)
    return None if found is None else found[0].get(policy, found[1])


def known(name: str, names: list[str], what: str) -> None:
    """Raise BadOrder when `name` is none of `names`."""
    if name not in names:
        raise BadOrder(f"there is no {what} {name!r}; there is {', '.join(names) or 'none'}")


# ---- buffers --------------------------------------------------------------------------------------------------------


def _buffers(policy: Policy) -> list[Buffer]:
    """Return all buffers, those of schedules too: an order about one stands also while its window is closed."""
    return [*policy.buffers, *(buffer for schedule in policy.schedules for buffer in schedule.buffers)]


def _put_buffer(policy: Policy, name: str, text: str) -> Policy:
    known(name, [buffer.name for buffer in _buffers(policy)], "buffer")
    count, percent = 0, 0.0
    if text.endswith("%"):
        percent = number(text[:-1])
        if percent > PERCENT_MAX:
            raise BadOrder(f"{text} is more than {PERCENT_MAX:g}%")
    elif text.lower() not in NONE_WORDS:
        count = whole(text)
    changed = (replace(b, count=count, percent=percent) if b.name == name else b for b in policy.buffers)
    return replace(policy, buffers=tuple(changed))


def _get_buffer(policy: Policy, name: str) -> str:
    known(name, [buffer.name for buffer in _buffers(policy)], "buffer")
    found = next(buffer for buffer in _buffers(policy) if buffer.name == name)
    return f"{found.percent:g}%" if found.percent and not found.count else str(found.count)


# ---- standby --------------------------------------------------------------------------------------------------------


def _put_standby(policy: Policy, name: str, text: str) -> Policy:
    pool, own = _with_standby(policy, name)
    rule = replace(own, count=0, percent=0.0)
    if text.endswith("%"):
        rule = replace(rule, percent=number(text[:-1]))
        if rule.percent > PERCENT_MAX:
            raise BadOrder(f"{text} is more than {PERCENT_MAX:g}%")
    elif text.lower() not in NONE_WORDS:
        rule = replace(rule, count=whole(text))
    changed = replace(pool, standby=rule)
    return replace(policy, pools=tuple(changed if one.name == name else one for one in policy.pools))


def _get_standby(policy: Policy, name: str) -> str:
    _, rule = _with_standby(policy, name)
    return f"{rule.percent:g}%" if rule.percent and not rule.count else str(rule.count)


def _with_standby(policy: Policy, name: str) -> tuple[Pool, Standby]:
    """Return a pool and how its machines wait; without that in its file nobody knows whether they can."""
    rules = {pool.name: (pool, pool.standby) for pool in policy.pools if pool.standby is not None}
    known(name, list(rules), "pool with `standby` in the cluster's file")
    return rules[name]


# ---- triggers -------------------------------------------------------------------------------------------------------


def _put_threshold(policy: Policy, _key: str, text: str) -> Policy:
    count: int | None = None
    age_s: float | None = None
    for part in text.split(",") if text.lower() not in NONE_WORDS else ():
        word = part.strip()
        if word.endswith("s"):
            age_s = number(word[:-1])
        else:
            count = whole(word)
    at_once = 0 in {count, age_s} or count is age_s is None
    return replace(policy, scale_up_pending_threshold=None if at_once else PendingThreshold(count, age_s))


def _get_threshold(policy: Policy, _key: str) -> str:
    return NULL if policy.scale_up_pending_threshold is None else str(policy.scale_up_pending_threshold)


def _put_target(policy: Policy, name: str, text: str) -> Policy:
    targets = dict(policy.scale_up_utilization)
    targets.pop(name, None)
    if text.lower() not in NONE_WORDS:
        targets[name] = number(text)
        if not SHARE_MIN <= targets[name] <= 1:
            raise BadOrder(f"{text} is not a share from {SHARE_MIN} to 1")
    return replace(policy, scale_up_utilization=FrozenMap(targets))


def _get_target(policy: Policy, name: str) -> str:
    return str(policy.scale_up_utilization.get(name, NULL))


# ---- limits ---------------------------------------------------------------------------------------------------------

_GIB_WORD: Final = "Gi"


def _put_most(policy: Policy, name: str, text: str) -> Policy:
    return replace(policy, max_resources=_limited(policy.max_resources, name, text))


def _limited(limits: FrozenMap[int], name: str, text: str) -> FrozenMap[int]:
    """Return limits with another one of a resource; "null" takes it away."""
    most = dict(limits)
    most.pop(name, None)
    if text.endswith(_GIB_WORD):
        most[name] = round(number(text.removesuffix(_GIB_WORD)) * GIB * UNITS)
    elif text.lower() not in NONE_WORDS:
        most[name] = round(number(text) * UNITS)
    return FrozenMap(most)


def _get_most(policy: Policy, name: str) -> str:
    return NULL if name not in policy.max_resources else str(amount(policy.max_resources[name]))


def _quota(policy: Policy, key: str) -> tuple[Quota, str]:
    """Return the quota and the resource that `VALUE:RESOURCE` names."""
    value, _, name = key.rpartition(":")
    known(value, [quota.value for quota in policy.quotas], "quota of")
    return next(quota for quota in policy.quotas if quota.value == value), name


def _put_quota(policy: Policy, key: str, text: str) -> Policy:
    old, name = _quota(policy, key)
    new = replace(old, max_resources=_limited(old.max_resources, name, text))
    return replace(policy, quotas=tuple(new if quota is old else quota for quota in policy.quotas))


def _get_quota(policy: Policy, key: str) -> str:
    quota, name = _quota(policy, key)
    return NULL if name not in quota.max_resources else str(amount(quota.max_resources[name]))


# ---- time-outs ------------------------------------------------------------------------------------------------------


def _put_timeout(policy: Policy, name: str, text: str) -> Policy:
    known(name, [field.name for field in fields(Timeouts)], "time-out")
    return replace(policy, timeouts=replace(policy.timeouts, **{name: number(text.removesuffix("s"))}))


def _get_timeout(policy: Policy, name: str) -> str:
    known(name, [field.name for field in fields(Timeouts)], "time-out")
    return f"{getattr(policy.timeouts, name):g}"


SECTIONS: Final[dict[str, Section]] = {
    section.name: section
    for section in (
        Section("buffer", "a number of pieces, or a percentage such as 20%", _put_buffer, _get_buffer),
        Section(
            "scale_up_pending_threshold",
            "a number of tasks, an age such as 30s, or both: 10,30s",
            _put_threshold,
            _get_threshold,
            keyed=False,
        ),
        Section("standby", "a number of machines, or a percentage such as 20%", _put_standby, _get_standby),
        Section("timeouts", "a number of seconds", _put_timeout, _get_timeout),
        Section("quota", "an amount of the resource, memory also as 16Gi", _put_quota, _get_quota),
        Section("max_resources", "an amount of the resource, memory also as 16Gi", _put_most, _get_most),
        Section("scale_up_utilization", "a share from 0.01 to 1", _put_target, _get_target),
    )
}
