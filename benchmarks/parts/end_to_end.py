"""A task that needs a new node, and the node's end, under rayfleet and under Ray's own autoscaler.

Both clusters are up at once on this machine: rayfleet with its process provider at its defaults, and Ray's v2 monitor
at its defaults with its fake_multinode provider; same node type, same idle time-out. They take turns, and in each pair
the other one begins. A turn: after a random pause of up to five seconds (Ray's period, so that no phase is favoured) a
driver submits one task; the task says when it runs and when it ends, and the driver watches Ray's node table until its
node is dead. Ratios are medians of the ratios of pairs. The launch call is read from rayfleet's record and from the
monitor's log.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.driving import Driver, driver
from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured, of_pairs
from benchmarks.ours import CPU1, ours
from benchmarks.samples import alternate
from benchmarks.stock import stock

IDLE_TIMEOUT_S = 3.0
RAY_PERIOD_S = 5.0
RATIO = 0.5
_RUN_S = 0.5


@dataclass(frozen=True, slots=True)
class Turn:
    """One task's life on one side, in seconds. `gone_s`: from its end to its node's, beyond the idle time-out."""

    launch_s: float
    first_task_s: float
    gone_s: float


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it."""
    pauses = random.Random(2)  # noqa: S311 - chance with a seed: no secret
    turns: dict[str, list[Turn]] = {"ours": [], "theirs": []}
    with (
        ours(pools={"cpu1": CPU1}, idle_timeout_s=IDLE_TIMEOUT_S) as cluster,
        stock(folder, idle_timeout_s=IDLE_TIMEOUT_S) as peer,
        driver(cluster.environment, folder) as our_client,
        driver(peer.environment, folder) as their_client,
    ):
        for pair in alternate(effort.pairs):
            for side in pair:
                time.sleep(pauses.uniform(0, RAY_PERIOD_S))
                if side == "ours":
                    turns[side].append(_turn(our_client, lambda moment: cluster.launch_after(moment).at))
                else:
                    turns[side].append(_turn(their_client, peer.launch_after))
        cluster.until_no_workers()
    return Measured(figures(turns["ours"], turns["theirs"]), samples(turns["ours"], turns["theirs"]))


def figures(our: Sequence[Turn], their: Sequence[Turn]) -> tuple[Figure, ...]:
    """Return the figures of turns that were taken in pairs. Pure."""
    found = samples(our, their)

    def figure(name: str, what: str, goal: Goal | None = None) -> Figure:
        return of_pairs(name, found[f"ours_{what}"], found[f"theirs_{what}"], "Ray v2", goal)

    return (
        figure("submit -> launch call", "launch_s"),
        figure("submit -> first task on a new node", "first_task_s", Goal(RATIO, "ratio")),
        figure("end of last task -> node gone, beyond the idle time-out", "gone_s", Goal(RATIO, "ratio")),
    )


def samples(our: Sequence[Turn], their: Sequence[Turn]) -> dict[str, list[float]]:
    """Return every single value. Pure."""
    found: dict[str, list[float]] = {}
    for side, turns in (("ours", our), ("theirs", their)):
        found[f"{side}_launch_s"] = [turn.launch_s for turn in turns]
        found[f"{side}_first_task_s"] = [turn.first_task_s for turn in turns]
        found[f"{side}_gone_s"] = [turn.gone_s for turn in turns]
    return found


def _turn(client: Driver, launch_after: Callable[[float], float]) -> Turn:
    submitted_at = client.ask("submit", resources={"CPU": 1}, run_s=_RUN_S)["submitted_at"]
    ran = client.ask("result")
    gone_at = client.ask("gone", node_id=ran["node_id"])["gone_at"]
    return Turn(
        launch_s=launch_after(submitted_at) - submitted_at,
        first_task_s=ran["started_at"] - submitted_at,
        gone_s=gone_at - ran["ended_at"] - IDLE_TIMEOUT_S,
    )
