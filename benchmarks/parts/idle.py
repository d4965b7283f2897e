"""What the controller costs when nothing happens, beside Ray's monitor.

Both clusters of `end_to_end` are up, each with one worker that its minimum keeps. After a time to settle, the processor
time of the one process that controls (rayfleet's controller; Ray's monitor) is read from /proc at the beginning and at
the end of the same stretch of time, and its resident memory at the end. Machines, heads and agents are not counted on
either side.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from benchmarks.machine import Usage, usage
from benchmarks.ours import CPU1, ours
from benchmarks.stock import stock

CPU_PERCENT, RSS_MIB = 1.0, 130.0
PEER = "Ray's monitor"
_SETTLE_S = 15.0
_NEVER_S = 3600.0


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it."""
    with (
        ours(pools={"cpu1": {**CPU1, "min_workers": 1}}, idle_timeout_s=_NEVER_S) as cluster,
        stock(folder, idle_timeout_s=_NEVER_S, min_workers=1) as peer,
    ):
        pids = cluster.controller_pid, peer.monitor_pid
        time.sleep(_SETTLE_S)
        before, began = [usage(pid) for pid in pids], time.monotonic()
        time.sleep(effort.idle_s)
        after, took_s = [usage(pid) for pid in pids], time.monotonic() - began
    percents = [cpu_percent(was, now, took_s) for was, now in zip(before, after, strict=True)]
    (our_percent, their_percent), (our, their) = percents, after
    cpu = Figure("idle controller, CPU", "% of a core", our_percent, their_percent, PEER, goal=Goal(CPU_PERCENT))
    rss = Figure("idle controller, RSS", "MiB", our.rss_mib, their.rss_mib, PEER, goal=Goal(RSS_MIB))
    return Measured((cpu, rss), notes=(f"watched for {took_s:.0f} s",))


def cpu_percent(before: Usage, after: Usage, took_s: float) -> float:
    """Return the processor time between two looks, in percent of one core. Pure."""
    return 100 * (after.cpu_s - before.cpu_s) / took_s
