"""The planner by itself on the standing set of problems: price against a bound, processor time against Ray's planners.

The problems (`problems/cases.py`) are made from seeds: up to 100,000 tasks of up to 1,000 shapes over 5, 50 or 500
machine types, with selectors, placement groups and machines that run already. Time is the median of some calls of
`plan(snapshot)` in a warm process; what a plan defers until somebody looks is timed apart (`written_s`). Every plan is
checked from its --json by a checker that shares no code with the planner, and its price is set against the bound of a
linear programme that no plan can go below. Ray's planners v2 and v1 get the same problems in processes of their own,
where they finish within ten seconds. Growth is measured over three decades of each of tasks, shapes, offers and
machines. Beside the JSON `planner.svg` shows it all.
"""

from __future__ import annotations

import gc
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from benchmarks.problems import growth, memory, peers, picture
from benchmarks.problems.bound import least_usd_per_hour
from benchmarks.problems.cases import STANDING, case
from benchmarks.problems.checker import faults, usd_per_hour
from benchmarks.problems.goals import THOROUGH, WISHES
from benchmarks.problems.model import Case
from benchmarks.problems.ours import snapshot_of
from rayfleet.config.plan_out import plan_to_json
from rayfleet.model import Plan, Snapshot
from rayfleet.planner import plan
from rayfleet.planner.packing import kernel

RAY_FINISHES = frozenset({
    "homog_1000_t50", "mix10_1000_t50", "mix100_1000_t50", "mix100_1000_t50_s2", "mix100_1000_t50_s3",
    "cpu100_1000_t50",
    "mix100_1000_t5", "sel100_1000_t50", "mix10_200_t500", "gang_strictpack8gpu_x20", "gang_pack256_x4",
    "gang_spread64_x10", "gang_strictspread8_x20", "gang_strictspread64_x4", "gang_strictspread256_x1",
    "gang_mixed_x40_tasks2000", "mix10_1000_t50_ex100", "idle_t50_ex1000", "ray64175_prod", "ray65282_3000n",
})  # fmt: skip
"""Cases that Ray v2 plans within about ten seconds; the others it is not asked."""
RAY_LIMIT_S = 10.0
MEMORY_MIB = 200.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one case has shown. Seconds are of processor time; `written_s`: of writing down what the plan defers."""

    name: str
    bound: float
    usd_per_hour: float
    thorough_usd: float | None
    machines: int
    cpu_s: float
    thorough_s: float | None
    written_s: float
    v2: peers.Answer | None
    v1: peers.Answer | None

    def ratio(self, usd: float | None) -> float | None:
        """Return a price in parts of the bound; None without one."""
        return usd / self.bound if usd is not None and self.bound else None


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it; the picture goes to `folder`'s place for what is kept."""
    rows, samples, figures = [], {}, []
    for name in STANDING:
        row, seconds = measured(name, effort.calls)
        rows.append(row)
        samples[f"{name}_cpu_s"] = seconds
        figures += figures_of(row)
        print(line(row), flush=True)
    curves = growth.measure(effort.calls)
    samples |= {f"growth_{curve.of}_{size}_s": [cpu_s] for curve in curves for size, cpu_s in curve.points}
    used = memory.of_a_big_plan()
    figures.append(Figure("memory: plan of 100,000 tasks, 10,000 machines", "MiB", used, goal=Goal(MEMORY_MIB)))
    effort.out.mkdir(parents=True, exist_ok=True)
    picture.write(effort.out / "planner.svg", rows, curves)
    notes = (
        f"kernel: {kernel.NAME}", "Ray's schedulers do not look at prices",
        f"thorough: effort {THOROUGH}", f"picture: {effort.out / 'planner.svg'}",
    )  # fmt: skip
    samples["rows"] = [asdict(row) for row in rows]  # type: ignore[misc]  # kept as JSON beside the samples
    del folder
    return Measured(tuple(figures), samples, notes)


def measured(name: str, calls: int) -> tuple[Row, list[float]]:
    """Plan a case, fast and with effort, and have Ray plan it. RuntimeError when a plan does not hold."""
    problem = case(name)
    wish = WISHES[name]
    seconds, fast, told = planned(problem, snapshot_of(problem), calls)
    began = time.process_time()
    plan_to_json(plan(snapshot_of(problem)), placements=True)
    written_s = max(0.0, time.process_time() - began - median(seconds))
    thorough = None
    if wish.thorough is not None:
        thorough = planned(problem, snapshot_of(problem, THOROUGH), 1)
    v2 = peers.run("v2", name, RAY_LIMIT_S) if name in RAY_FINISHES else None
    v1 = peers.run("v1", name, RAY_LIMIT_S) if name in RAY_FINISHES and peers.knows("v1", problem) else None
    machines = sum(launch.count for launch in fast.launches)
    row = Row(
        name, least_usd_per_hour(problem), usd_per_hour(problem, told),
        usd_per_hour(problem, thorough[2]) if thorough else None,
        machines, median(seconds), median(thorough[0]) if thorough else None, written_s, v2, v1,
    )  # fmt: skip
    return row, seconds


def planned(problem: Case, snapshot: Snapshot, calls: int) -> tuple[list[float], Plan, dict[str, Any]]:
    """Return the processor seconds of each call, the plan, and its JSON, which has been checked."""
    found = plan(snapshot)
    seconds = []
    for _ in range(calls):
        gc.collect()
        began = time.process_time()
        found = plan(snapshot)
        seconds.append(time.process_time() - began)
    told = plan_to_json(found, placements=True)
    wrong = faults(problem, told)
    if wrong or told["unmet"]:
        raise RuntimeError(f"the plan of {problem.name} leaves {told['unmet'][:2]} or is wrong: {wrong}")
    return seconds, found, told


def figures_of(row: Row) -> list[Figure]:
    """Return the figures of a case: time, price, price with effort."""
    wish = WISHES[row.name]
    found = [
        Figure(
            f"{row.name}: planning",
            "CPU s",
            row.cpu_s,
            row.v2.cpu_s if row.v2 else None,
            "Ray v2",
            goal=Goal(wish.cpu_s),
        )
    ]
    if row.bound:
        goal = Goal(wish.ratio, "ratio")
        found.append(Figure(f"{row.name}: price", "USD/h", row.usd_per_hour, row.bound, "bound", goal=goal))
    if row.thorough_usd is not None and wish.thorough is not None:
        goal = Goal(wish.thorough, "ratio")
        found.append(Figure(f"{row.name}: price, thorough", "USD/h", row.thorough_usd, row.bound, "bound", goal=goal))
    if row.v2 and row.v2.usd_per_hour:
        goal = Goal(1.0 + 1e-9, "ratio")
        found.append(Figure(f"{row.name}: price", "USD/h", row.usd_per_hour, row.v2.usd_per_hour, "Ray v2", goal=goal))
    return found


def line(row: Row) -> str:
    """Return one line of the table of cases."""
    cells = [f"{row.name:26}", f"{row.bound:10.2f}", _cell(row, row.cpu_s, row.usd_per_hour)]
    cells.append(_cell(row, row.thorough_s, row.thorough_usd))
    peers_of = (row.v2, row.v1)
    cells += [_cell(row, peer.cpu_s, peer.usd_per_hour) if peer else _cell(row, None, None) for peer in peers_of]
    return "  ".join(cells)


def _cell(row: Row, cpu_s: float | None, usd: float | None) -> str:
    if cpu_s is None or usd is None:
        return f"{'-':>18}"
    ratio = row.ratio(usd)
    return f"{cpu_s * 1e3:8.1f} ms {'':>6}" if ratio is None else f"{cpu_s * 1e3:8.1f} ms {ratio:5.3f}x"
