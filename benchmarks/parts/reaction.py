"""From demand to launch request, on a default rayfleet cluster.

A driver submits a task for which there is no node; as soon as the record shows the launch, the task is cancelled, and
when rayfleet has cancelled the machine as well the next task follows, after a random pause of up to half a
second. Both times end with the provider call as the record has it: one begins when rayfleet received
the answer of Ray that showed the demand (also in the record), the other just before the driver's `.remote()`.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from benchmarks.driving import Driver, driver
from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from benchmarks.ours import Ours, ours
from benchmarks.samples import Spread

P50_S, MAX_S = 0.15, 0.5
_PAUSE_S = 0.5
_IDLE_TIMEOUT_S = 1.0  # a node may have joined before its task is taken back; the next submit wants none


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it."""
    pauses = random.Random(1)  # noqa: S311 - chance with a seed: no secret
    with ours(idle_timeout_s=_IDLE_TIMEOUT_S) as cluster, driver(cluster.environment, folder) as client:
        client.ask("nodes")
        both = []
        for _ in range(effort.submits):
            both.append(_react(cluster, client))
            time.sleep(pauses.uniform(0, _PAUSE_S))
    seen = [answer_s for answer_s, _ in both]
    submitted = [submit_s for _, submit_s in both]
    return Measured(
        figures(Spread.of(seen), Spread.of(submitted)),
        {"demand_to_launch_s": seen, "submit_to_launch_s": submitted},
    )


def figures(seen: Spread, submitted: Spread) -> tuple[Figure, ...]:
    """Return the figures of both times. The bounds of the first are its goals; Ray's own time is in `end_to_end`."""
    return (
        Figure("demand seen -> launch call, p50", "s", seen.p50, P50_S, "bound", goal=Goal(P50_S)),
        Figure("demand seen -> launch call, max", "s", seen.max, MAX_S, "bound", goal=Goal(MAX_S)),
        Figure("submit -> launch call, p50", "s", submitted.p50),
        Figure("submit -> launch call, max", "s", submitted.max),
    )


def _react(cluster: Ours, client: Driver) -> tuple[float, float]:
    """Return the seconds from Ray's answer, and from the submit, to the provider call."""
    submitted_at = client.ask("submit", resources={"CPU": 1}, run_s=0.0)["submitted_at"]
    launch = cluster.launch_after(submitted_at)
    client.ask("cancel")
    cluster.until_no_workers()
    if launch.latency_s is None:
        raise RuntimeError(f"the record does not say when the demand was seen: {launch}")
    return launch.latency_s, launch.at - submitted_at
