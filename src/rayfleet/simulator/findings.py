"""What a comparison has found, in sentences: the titles of its page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rayfleet.simulator.table import duration

_ALIKE: Final = 0.02
"""Costs this near to each other are called the same."""
_ALIKE_S: Final = 2.0
"""So are waits."""
_MANY_TIMES: Final = 2.0


def title(results: Sequence[dict[str, Any]]) -> str:
    """Return the finding of the whole: which policy is cheapest, by how much, and what that does to waits."""
    if len(results) == 1:
        return f"{results[0]['name']} costs ${results[0]['usd']:,.2f}"
    cheap, *others = sorted(results, key=lambda result: float(result["usd"]))
    if not others[-1]["usd"]:
        return "None of these policies costs anything"
    dear = others[-1]
    if cheap["usd"] >= dear["usd"] * (1 - _ALIKE):
        return f"{_names(results)} cost the same"
    less = 1 - cheap["usd"] / dear["usd"]
    return f"{cheap['name']} costs {less:.0%} less than {dear['name']}, and its work waits {_waits(cheap, dear)}"


def _waits(one: dict[str, Any], other: dict[str, Any]) -> str:
    more = one["wait_s"]["p95"] - other["wait_s"]["p95"]
    if abs(more) <= max(_ALIKE_S, _ALIKE * other["wait_s"]["p95"]):
        return "as long"
    return f"{duration(abs(more))} {'longer' if more > 0 else 'less'} (at 95 %)"


def _names(results: Sequence[dict[str, Any]]) -> str:
    *first, last = [str(result["name"]) for result in results]
    return f"{', '.join(first)} and {last}"


def of_cost(results: Sequence[dict[str, Any]]) -> str:
    """Return the title of the curves of cost."""
    ends = sorted(results, key=lambda result: float(result["usd"]))
    return "Cost: " + ", ".join(f"{result['name']} ends at ${result['usd']:,.2f}" for result in ends)


def of_waits(results: Sequence[dict[str, Any]]) -> str:
    """Return the title of the curves of waits."""
    times = {duration(result["wait_s"]["p95"]) for result in results}
    if len(times) == 1 and len(results) > 1:
        return f"Waits: 95 of 100 tasks run within {times.pop()} with each policy"
    told = [f"{duration(result['wait_s']['p95'])} with {result['name']}" for result in results]
    return f"Waits: 95 of 100 tasks run within {', '.join(told)}"


def of_use(result: dict[str, Any], resource: str) -> str:
    """Return the title of one policy's timeline."""
    used = result["utilisation"].get(resource)
    machines = f"at most {result['machines']['peak']:,} machines"
    if used is None:
        return f"{result['name']}: {machines}"
    return f"{result['name']}: {used:.0%} of the {resource}s that were paid for were in use; {machines}"


def versus(usd: float, cheapest: float) -> str:
    """Return how a cost compares with the least."""
    if not cheapest or usd <= cheapest:
        return "the cheapest" if usd <= cheapest else "the cheapest costs nothing"
    more = usd / cheapest
    return f"{more:.1f} x the cheapest" if more >= _MANY_TIMES else f"{more - 1:.0%} above the cheapest"


def never_done(result: dict[str, Any]) -> str:
    """Return how much work was never done with a policy, and why it waited, the most frequent reason first."""
    reasons = sorted(result["unmet_reasons"].items(), key=lambda pair: (-pair[1], pair[0]))
    why = f" ({', '.join(code for code, _ in reasons)}; rayfleet why CODE says what that means)" if reasons else ""
    return f"{result['name']}: {result['tasks']['left']:,} tasks were never done{why}"


def of_replay(told: dict[str, Any]) -> list[str]:
    """Return what a record says, how often the other policy plans otherwise, and what it changes, a line each."""
    recorded, changes, (was, other) = told["recorded"], told["difference"], told["results"]
    ticks, name = recorded["ticks"], other["name"]
    share = f" ({changes['usd'] / was['usd']:+.0%})" if was["usd"] else ""
    return [
        (
            f"recorded: {ticks:,} ticks that cost ${recorded['usd']:,.2f}, gaps of more than 2 min left out; "
            f"'{was['name']}' is the same work simulated under the recorded policy"
        ),
        f"planned again under {name}: {recorded['planned_otherwise']:,} of {ticks:,} ticks would do something else",
        (
            f"{name} instead: {changes['usd']:+,.2f} USD{share}, {changes['wait_mean_s']:+.1f} s mean wait, "
            f"{changes['wait_p95_s']:+.1f} s at 95 %, {changes['launched']:+,} machines launched"
        ),
    ]
