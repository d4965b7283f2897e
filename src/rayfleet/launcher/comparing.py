"""How one plan differs from another, for people: money, machines, work that waits. Pure.

`diff` of the two as JSON (in `planning.difference`) is the whole of it, for programs; this is what somebody who asks
"what if" wants to know.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from rayfleet.model import DrainNodes, Plan, Release, Unmet
from rayfleet.planner.detours import offer_text
from rayfleet.reports.status_text import wanted_text


def changes(before: Plan, after: Plan) -> dict[str, Any]:
    """Return what changes in numbers: USD per hour, machines launched and leaving, and work without a place."""
    return {
        "usd_per_hour": round(after.cost.after - before.cost.after, 6),
        "launched": _launched(after).total() - _launched(before).total(),
        "leaving": len(_leaving(after)) - len(_leaving(before)),
        "unmet": sum(_unmet(after).values()) - sum(_unmet(before).values()),
    }


def comparison(before: Plan, after: Plan) -> list[str]:
    """Return the differences, one a line; nothing when the plans launch, end and leave the same."""
    lines = [
        *_counts("launch", _texts(_launched(before)), _texts(_launched(after))),
        *_of_leaving(before, after),
        *_counts("unmet ", _unmet(before), _unmet(after)),
    ]
    was, will = before.cost.after, after.cost.after
    if lines or was != will:
        same = "" if was != will else ": the same"
        lines.append(f"  cost    {was:.2f} -> {will:.2f} USD/h" + (same or f" ({will - was:+.2f})"))
    return lines


def _launched(plan: Plan) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for launch in plan.launches:
        found[launch.offer] += launch.count
    return found


def _texts(launched: Counter[Any]) -> Counter[str]:
    return Counter({offer_text(offer): count for offer, count in launched.items()})


def _leaving(plan: Plan) -> dict[str, str]:
    """Return each machine that starts to leave, with the reason."""
    acts: list[DrainNodes | Release] = [*plan.drains, *plan.releases]
    return {host: act.reason.text for act in acts for host in act.hosts}


def _of_leaving(before: Plan, after: Plan) -> list[str]:
    was, will = _leaving(before), _leaving(after)
    lines = [f"  leaves  {host} too: {why}" for host, why in will.items() if host not in was]
    kept = {kept.host: kept.reason.text for kept in after.kept}
    return lines + [f"  stays   {host}: {kept.get(host, 'nothing ends it')}" for host in was if host not in will]


def _unmet(plan: Plan) -> Counter[str]:
    found: Counter[str] = Counter()
    for unmet in plan.unmet:
        found[_work(unmet)] += unmet.count
    return found


def _work(unmet: Unmet) -> str:
    return f"{wanted_text(unmet)} ({unmet.kind.value})"


def _counts(word: str, was: Counter[str], will: Counter[str]) -> list[str]:
    names = dict.fromkeys((*was, *will))
    width = max((len(name) for name in names if was[name] != will[name]), default=0)
    return [
        f"  {word}  {name:<{width}}  {was[name]:,} -> {will[name]:,} ({will[name] - was[name]:+,})"
        for name in names
        if was[name] != will[name]
    ]
