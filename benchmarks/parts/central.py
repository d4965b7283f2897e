"""RayClusters that the operator scales itself: what they cost while nothing goes on, and how soon demand is met.

A real control plane runs on loopback, with kubelets whose pods only say that they run, and a program that answers in
place of their GCSs. The operator is a process of its own, as its users start it, with `--autoscaling central`. Once all
clusters are ready and asleep, its processor time and memory are taken over a stretch in which nothing happens. Then
demand comes up in ten clusters, each at a moment of its own: the time is from then until the RayCluster's `replicas`
say so, as a watch tells. The first demand meets a cluster that sleeps, those after it one that is awake. Not part of
the default run: the first time on a machine it builds the control plane, which takes minutes.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from benchmarks.fleet import cluster
from benchmarks.machine import usage
from benchmarks.parts.operator import CLUSTERS_PATH, apply_crds, bring_up, operator, programs
from rayfleet.engines.ray.settings import free_ports
from rayfleet.testing.kubernetes.api import Api
from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

SIZES: Final = (100,)
PROBED: Final = 10
STEPS: Final = 6
"""Demand comes so often in each cluster that is probed; the first time it sleeps."""
FALL_ASLEEP_S: Final = 40.0
BETWEEN_S: Final = 2.5
PATIENCE_S: Final = 30.0
LOOPBACK: Final = "127.44"
SEED: Final = 4
AWAKE_S, ASLEEP_S, STEADY_PERCENT = 0.2, 10.0, 5.0

Waits = dict[str, list[float]]


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it for every size, on a fresh control plane each."""
    figures: list[Figure] = []
    samples: Waits = {}
    for size in SIZES:
        ports = free_ports(1 + PROBED)
        with (
            ControlPlane(programs()) as plane,
            Background(StatusKubelet(plane.access, size // 30 + 3, pod_network=LOOPBACK)) as _kubelet,
            _fake_gcs(ports) as gcs,
        ):
            apply_crds(plane)
            with operator(plane, folder, "--autoscaling", "central") as pid:
                figures += asyncio.run(_of_size(size, (plane, gcs, ports, pid), effort, samples))
    return Measured(tuple(figures), samples, ("GCSs are pretended; the control plane shares the cores",))


Stage = tuple[ControlPlane, "subprocess.Popen[str]", list[int], int]


async def _of_size(size: int, stage: Stage, effort: Effort, samples: Waits) -> list[Figure]:
    plane, gcs, ports, pid = stage
    await bring_up(plane, [_cluster(number, ports) for number in range(size)])
    await asyncio.sleep(FALL_ASLEEP_S)
    before, began = usage(pid), time.monotonic()
    await asyncio.sleep(effort.idle_s)
    percent = 100 * (usage(pid).cpu_s - before.cpu_s) / (time.monotonic() - began)
    rss_mib = usage(pid).rss_mib
    asleep, awake = await _probe(plane, gcs, ports)
    samples |= {f"{size} asleep": asleep, f"{size} awake": awake}
    name = f"{size} RayClusters scaled by the operator"
    return [
        Figure(f"{name}, all asleep: CPU", "% of a core", percent, goal=Goal(STEADY_PERCENT)),
        Figure(f"{name}, all asleep: RSS", "MiB", rss_mib),
        Figure(f"{name}, demand to patch, asleep: longest", "s", max(asleep), goal=Goal(ASLEEP_S)),
        Figure(f"{name}, demand to patch, awake: p50", "s", median(awake), goal=Goal(AWAKE_S)),
        Figure(f"{name}, demand to patch, awake: longest", "s", max(awake)),
    ]


async def _probe(plane: ControlPlane, gcs: subprocess.Popen[str], ports: list[int]) -> tuple[list[float], list[float]]:
    """Return how long demand took to be met in clusters that slept, and in those that were awake."""
    wanted: dict[str, tuple[int, asyncio.Future[float]]] = {}
    telling, chance = asyncio.Lock(), random.Random(SEED)  # noqa: S311 - spreads moments

    async def meet(number: int, demand: int) -> float:
        met = asyncio.get_running_loop().create_future()
        wanted[f"cluster-{number}"] = (demand, met)
        async with telling:
            at = await asyncio.to_thread(_tell, gcs, ports[1 + number], demand)
        async with asyncio.timeout(PATIENCE_S):
            return float(await met) - at

    async def one(number: int, starts_s: float) -> list[float]:
        await asyncio.sleep(starts_s)
        waits = []
        for demand in range(1, STEPS + 1):
            waits.append(await meet(number, demand))
            await asyncio.sleep(BETWEEN_S)
        return waits

    async with _watching(plane, wanted):
        found = await asyncio.gather(*(one(number, chance.uniform(0, 10)) for number in range(PROBED)))
    return [waits[0] for waits in found], [wait for waits in found for wait in waits[1:]]


@asynccontextmanager
async def _watching(plane: ControlPlane, wanted: dict[str, tuple[int, asyncio.Future[float]]]) -> AsyncIterator[None]:
    """Inside the block, tell who waits for it when a RayCluster wants so many workers."""

    async def watch(api: Api) -> None:
        async for event in api.watch(CLUSTERS_PATH):
            demand, met = wanted.get(event.object["metadata"]["name"], (0, None))
            if met is not None and not met.done():
                replicas = event.object["spec"]["workerGroupSpecs"][0].get("replicas", 0)
                if replicas >= demand:
                    met.set_result(time.time())

    async with Api(plane.access) as api:
        watching = asyncio.create_task(watch(api))
        await asyncio.sleep(1)
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _cluster(number: int, ports: list[int]) -> dict[str, Any]:
    """Return a cluster without workers; all but those that are probed have the same GCS."""
    made = cluster(f"cluster-{number}")
    spec = made["spec"]
    spec["enableInTreeAutoscaling"] = True
    spec["headGroupSpec"]["rayStartParams"] = {"port": str(ports[1 + number] if number < PROBED else ports[0])}
    spec["workerGroupSpecs"][0] |= {"replicas": 0, "minReplicas": 0, "maxReplicas": 50}
    return made


@contextmanager
def _fake_gcs(ports: list[int]) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "benchmarks.programs.fake_gcs", *map(str, ports)]
    running = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        _answer(running)
        yield running
    finally:
        running.terminate()
        running.communicate(timeout=30)


def _tell(gcs: subprocess.Popen[str], port: int, demand: int) -> float:
    """Have demand come up; return when it did."""
    if gcs.stdin is None:
        raise RuntimeError("the fake GCS was started without a way to tell it anything")
    gcs.stdin.write(json.dumps({"port": port, "demand": demand}) + "\n")
    gcs.stdin.flush()
    return float(_answer(gcs)["at"])


def _answer(gcs: subprocess.Popen[str]) -> dict[str, Any]:
    line = gcs.stdout.readline() if gcs.stdout else ""
    if not line:
        raise RuntimeError("the fake GCS has ended")
    answer: dict[str, Any] = json.loads(line)
    return answer
