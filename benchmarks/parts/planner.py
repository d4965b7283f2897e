"""The planner by itself on waiting work in an empty cluster: processor time of `plan(snapshot)`, and the plan's cost.

Cases are made from a seed (`workloads`): one-CPU tasks, and tasks of a hundred shapes with GPUs and custom resources,
over 50 machine types with prices. The time is the median of some calls in a warm process, from a ready snapshot to the
plan with all its reasons. Time and cost are set against Ray v2's `ResourceDemandScheduler.schedule` on the same work,
where that finishes in about ten seconds; the cost of one-CPU tasks also against the bound that no plan can beat.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from statistics import median

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Measured
from benchmarks.workloads import Case, case, least_usd_per_hour
from rayfleet.model import Demand, Offer, Plan, Policy, Pool, Resources, Snapshot, TaskDemand
from rayfleet.planner import plan
from rayfleet.planner.invariants import check

CASES = ("homog_1000_t50", "homog_100000_t50", "mix100_1000_t50", "mix100_10000_t50")
RAY_FINISHES = frozenset({"homog_1000_t50", "mix100_1000_t50"})


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it. `folder` is not needed."""
    del folder
    figures: list[Figure] = []
    samples: dict[str, list[float]] = {}
    for name in CASES:
        own, seconds = _of_case(case(name), effort.calls)
        figures += own
        samples[f"{name}_cpu_s"] = seconds
    return Measured(tuple(figures), samples, ("Ray v2's scheduler does not look at prices",))


def snapshot_of(problem: Case) -> Snapshot:
    """Return the snapshot of a case. Pure."""
    pools = tuple(
        Pool(each.name, Resources.of(each.resources), offers=(Offer(each.usd_per_hour),)) for each in problem.types
    )
    tasks = tuple(TaskDemand(Resources.of(shape.resources), shape.count) for shape in problem.shapes)
    return Snapshot(now=1000.0, policy=Policy(pools=pools), demand=Demand(tasks=tasks))


def _of_case(problem: Case, calls: int) -> tuple[list[Figure], list[float]]:
    seconds, decided = _plans(snapshot_of(problem), calls)
    cpu_s, usd = median(seconds), decided.cost.after
    peer_cpu_s, peer_usd = _of_ray(problem) if problem.name in RAY_FINISHES else (None, None)
    found = [
        Figure(f"{problem.name}: planning", "CPU s", cpu_s, peer_cpu_s, "Ray v2"),
        Figure(f"{problem.name}: cost", "USD/h", usd, peer_usd, "Ray v2"),
    ]
    if len(problem.shapes) == 1:
        found.append(Figure(f"{problem.name}: cost", "USD/h", usd, least_usd_per_hour(problem), "bound"))
    return found, seconds


def _plans(snapshot: Snapshot, calls: int) -> tuple[list[float], Plan]:
    decided = plan(snapshot)
    if decided.unmet or check(snapshot, decided):
        raise RuntimeError("the plan leaves work that fits, or breaks an invariant")
    seconds = []
    for _ in range(calls):
        gc.collect()
        began = time.process_time()
        plan(snapshot)
        seconds.append(time.process_time() - began)
    return seconds, decided


def _of_ray(problem: Case) -> tuple[float, float]:
    """Return Ray's processor time and cost."""
    from benchmarks.stock_planner import schedule

    found = schedule(problem.types, problem.shapes)
    if found.infeasible:
        raise RuntimeError(f"Ray leaves {found.infeasible} requests of {problem.name}")
    prices = {each.name: each.usd_per_hour for each in problem.types}
    return found.cpu_s, sum(prices[name] * count for name, count in found.nodes.items())
