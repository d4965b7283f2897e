"""Whether a plan holds what it promises, judged from its --json alone, without any code of the planner. Pure.

Told are a problem and what `rayfleet plan --json --placements` prints for it. Checked are: every placement is on a
machine that runs already or is launched; nobody gets more than a machine has; selectors are met; gangs are whole, their
bundles apart or together as their strategy says; all demand is placed once or said to be unmet; and the price.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.problems.model import Amounts, Case, Group, MachineType, meant

_EXACT = 1e-6
Json = Mapping[str, Any]


class _Machines:
    """What each machine has left, and of which type it is, by the name that placements use."""

    def __init__(self, case: Case, plan: Json) -> None:
        self.type: dict[str, MachineType] = {}
        self.free: dict[str, Amounts] = {}
        for node in case.nodes:
            self.type[node.name], self.free[node.name] = node.type, node.available
        self.usd_per_hour = 0.0
        number = 0
        for launch in plan["launch"]:
            bought = bought_type(case, launch)
            self.usd_per_hour += bought.usd_per_hour * launch["count"]
            for _ in range(launch["count"]):
                self.type[f"new:{number}"], self.free[f"new:{number}"] = bought, bought.resources
                number += 1


def bought_type(case: Case, launch: Json) -> MachineType:
    """Return the type that a launch of a plan means: by pool, and where there are several, by market and zone."""
    market = {"spot": "spot"}.get(launch["market"], "on-demand")
    found = [
        each
        for each in case.types
        if each.pool == launch["pool"]
        and each.labels.get("ray.io/market-type", market) == market
        and each.labels.get("ray.io/availability-zone", launch["zone"]) == launch["zone"]
    ]
    if len(found) != 1:
        raise ValueError(f"a launch of {len(found)} types: {launch}")
    return found[0]


def faults(case: Case, plan: Json) -> list[str]:
    """Return what is wrong with a plan, in words; empty when nothing is."""
    machines = _Machines(case, plan)
    return [*_loads(case, plan, machines), *_demand(case, plan), *_groups(case, plan)][:20]


def usd_per_hour(case: Case, plan: Json) -> float:
    """Return what the launches of a plan cost, by the prices of the problem."""
    return _Machines(case, plan).usd_per_hour


def _loads(case: Case, plan: Json, machines: _Machines) -> Iterator[str]:
    """Nobody gets more than a machine has, and selectors are met."""
    used: dict[str, defaultdict[str, float]] = {}
    for placement in plan["placements"]:
        on = placement["on"]
        if on not in machines.type:
            yield f"{placement} is on no machine"
            continue
        load = used.setdefault(on, defaultdict(float))
        for name, amount in _amounts(case, placement).items():
            load[name] += amount * placement["count"]
        if placement["kind"] == "tasks":
            selector = case.shapes[placement["index"]].selector
            if not meant(selector, machines.type[on].labels):
                yield f"{placement} is on {machines.type[on].name}, which {selector} does not mean"
    for on, load in used.items():
        for name, amount in load.items():
            if amount > machines.free[on].get(name, 0.0) * (1 + _EXACT) + _EXACT:
                yield f"{on}, a {machines.type[on].name}, gets {amount} {name} of {machines.free[on].get(name, 0.0)}"


def _amounts(case: Case, placement: Json) -> Amounts:
    if placement["kind"] == "tasks":
        return case.shapes[placement["index"]].resources
    return case.groups[placement["index"]].bundles[placement["bundle"]]


def _demand(case: Case, plan: Json) -> Iterator[str]:
    placed: defaultdict[tuple[str, int, int | None], int] = defaultdict(int)
    for placement in plan["placements"]:
        placed[placement["kind"], placement["index"], placement["bundle"]] += placement["count"]
    unmet = {(each["kind"], each["index"]): each["count"] for each in plan["unmet"]}
    for index, shape in enumerate(case.shapes):
        have = placed["tasks", index, None] + unmet.get(("tasks", index), 0)
        if have != shape.count:
            yield f"tasks {index}: {have} of {shape.count} are placed or unmet"
    for index, group in enumerate(case.groups):
        missing = group.count - unmet.get(("gang", index), 0)
        for bundle in range(len(group.bundles)):
            if placed["gang", index, bundle] != missing:
                yield f"gang {index}: bundle {bundle} is placed {placed['gang', index, bundle]} times, not {missing}"


def _groups(case: Case, plan: Json) -> Iterator[str]:
    """Bundles of a strict gang are apart or together.

    A plan says on which machine how many of each bundle are, not which of the equal gangs they belong to. So many gangs
    can be told apart if and only if no machine has more bundles (apart) than there are gangs, or if every machine has
    equally many of each bundle (together).
    """
    on: dict[int, defaultdict[str, defaultdict[int, int]]] = {}
    for placement in plan["placements"]:
        if placement["kind"] == "gang":
            of_machine = on.setdefault(placement["index"], defaultdict(lambda: defaultdict(int)))
            of_machine[placement["on"]][placement["bundle"]] += placement["count"]
    for index, of_machine in on.items():
        for machine, bundles in of_machine.items():
            yield from _group(index, case.groups[index], machine, bundles)


def _group(index: int, group: Group, machine: str, bundles: Mapping[int, int]) -> Iterator[str]:
    if group.strategy == "STRICT_SPREAD" and sum(bundles.values()) > group.count:
        yield f"gang {index}: {machine} has {sum(bundles.values())} bundles of {group.count} gangs that are apart"
    if group.strategy == "STRICT_PACK" and len({bundles.get(n, 0) for n in range(len(group.bundles))}) > 1:
        yield f"gang {index}: {machine} has a part of a gang that is together"
