"""RayClusters brought up by the operator: a head and two workers each, from apply to all of them ready.

A real control plane (etcd, API server, controller manager, scheduler) runs on loopback, with kubelets whose pods only
say that they run. The operator is a process of its own, as its users start it. All RayClusters are created at once,
over 32 connections; the time is from the first create until the last one's `status.state` is `ready`. Processor time
and resident memory are the operator's alone, from /proc, then again over a stretch in which nothing changes. KubeRay's
figure is its own published one, on machines that were much larger, so it is named and is no goal. For fleets that are
larger still the API server is one in memory, in the operator's own process. `operator.svg` shows how it all grows. Not
part of the default run: the first time on a machine it builds the control plane, which takes minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from benchmarks.fleet import cluster
from benchmarks.growth_picture import Curve, svg
from benchmarks.machine import Usage, usage
from rayfleet.testing.kubernetes.access import kubeconfig
from rayfleet.testing.kubernetes.api import Api
from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

ROOT: Final = Path(__file__).parents[2]
CRDS: Final = ROOT / "deploy" / "helm" / "rayfleet-operator" / "crds"
SIZES: Final = (100, 300, 1000, 3000)
FAKED: Final = (100, 300, 1000, 3000, 10_000)
GOALS_AT: Final = 1000
PROGRAM: Final = "benchmarks.programs.fleet"
PATIENCE_S: Final = 1800.0
KUBERAY_S: Final = 258.0
"""KubeRay's published time for 1,000 clusters."""
READY_S, CPU_S, STEADY_PERCENT, RSS_MIB, WRITES = 120.0, 40.0, 5.0, 400.0, 4.0
CLUSTERS_PATH: Final = "/apis/ray.io/v1/namespaces/default/rayclusters"
_CONNECTIONS: Final = 32


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it for every size, on a fresh control plane each; then with an API server in memory."""
    figures: list[Figure] = []
    ready, processor, memory = [], [], []
    for size in SIZES:
        found = _of_size(size, effort, folder)
        figures += _figures(found)
        ready.append((size, found.ready_s))
        processor.append((size, found.cpu_s))
        memory.append((size, found.later.rss_mib))
    faked = [(size, _faked(size)) for size in FAKED]
    for size, told in faked:
        figures.append(Figure(f"{size} RayClusters in memory, API server's part too", "CPU s", told["cpu_s"]))
        figures.append(Figure(f"{size} RayClusters in memory: RSS", "MiB", told["memory_mib"]))
    writes = max(told["written"] / size for size, told in faked)
    figures.append(Figure("writes a cluster beside the objects made, most", "writes", writes, goal=Goal(WRITES)))
    curves = (
        Curve("RayClusters: until ready", tuple(ready)),
        Curve("RayClusters: operator's CPU", tuple(processor)),
        Curve("RayClusters: operator's memory", tuple(memory), _in_mib),
        Curve("in memory: CPU with API server", tuple((size, told["cpu_s"]) for size, told in faked)),
        Curve("in memory: all memory", tuple((size, told["memory_mib"]) for size, told in faked), _in_mib),
    )
    picture = effort.out / "operator.svg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(svg("How an operator grows with its RayClusters; dashed is linear growth", curves), "utf-8")
    return Measured(
        tuple(figures),
        notes=("pods only say that they run; the control plane shares the cores", f"picture: {picture}"),
    )


@dataclass(frozen=True, slots=True)
class Fleet:
    """What one fleet took. `quiet_percent`: of a core, when nothing changes; `later`: what is used then."""

    size: int
    ready_s: float
    cpu_s: float
    quiet_percent: float
    later: Usage


def _in_mib(value: float) -> str:
    return f"{value:,.0f} MiB"


def _faked(size: int) -> dict[str, float]:
    words = [sys.executable, "-m", PROGRAM, str(size)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _of_size(size: int, effort: Effort, folder: Path) -> Fleet:
    with ControlPlane(programs()) as plane, Background(StatusKubelet(plane.access, size // 30 + 3)) as _kubelet:
        apply_crds(plane)
        with operator(plane, folder) as pid:
            time.sleep(5)
            before, began = usage(pid), time.monotonic()
            asyncio.run(bring_up(plane, [cluster(f"cluster-{number}") for number in range(size)]))
            took_s, after = time.monotonic() - began, usage(pid)
            time.sleep(10)
            quiet, watched = usage(pid), time.monotonic()
            time.sleep(effort.idle_s)
            percent = 100 * (usage(pid).cpu_s - quiet.cpu_s) / (time.monotonic() - watched)
            return Fleet(size, took_s, after.cpu_s - before.cpu_s, percent, usage(pid))


def _figures(found: Fleet) -> Iterator[Figure]:
    def goal(value: float) -> Goal | None:
        return Goal(value) if found.size == GOALS_AT else None

    size = found.size
    theirs, whose = (KUBERAY_S, "KubeRay, as published") if size == GOALS_AT else (None, "")
    yield Figure(f"{size} RayClusters ready", "s", found.ready_s, theirs, whose, goal=goal(READY_S))
    yield Figure(f"{size} RayClusters, the operator's CPU", "s", found.cpu_s, goal=goal(CPU_S))
    yield Figure(f"{size} RayClusters, then: CPU", "% of a core", found.quiet_percent, goal=goal(STEADY_PERCENT))
    yield Figure(f"{size} RayClusters, then: RSS", "MiB", found.later.rss_mib, goal=goal(RSS_MIB))


def apply_crds(plane: ControlPlane) -> None:
    """Have the API server serve RayClusters."""
    plane.kubectl("apply", "-f", str(CRDS))
    for path in sorted(CRDS.glob("*.yaml")):
        plane.kubectl("wait", "--for=condition=Established", f"crd/{path.stem}", "--timeout=30s")


@contextmanager
def operator(plane: ControlPlane, folder: Path, *argv: str) -> Iterator[int]:
    """Run an operator inside the block, as its users do; return its process id."""
    config = folder / "kubeconfig.json"
    config.write_text(kubeconfig(plane.access), encoding="utf-8")
    with (folder / "operator.log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "rayfleet", "operator", *argv],
            env={**os.environ, "KUBECONFIG": str(config)},
            stdout=log,
            stderr=log,
        )
    try:
        yield running.pid
    finally:
        running.terminate()
        running.wait(30)


async def bring_up(plane: ControlPlane, clusters: Iterable[dict[str, Any]]) -> None:
    """Create all clusters and wait until every one says that it is ready.

    Raises:
        TimeoutError: they are not, after a quarter of an hour.
    """
    wanted = {one["metadata"]["name"]: one for one in clusters}
    waiting = set(wanted)
    async with Api(plane.access, connections=_CONNECTIONS) as api, asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(api.request("POST", CLUSTERS_PATH, one) for one in wanted.values()))
        while waiting:
            await asyncio.sleep(1)
            for thing in (await api.request("GET", CLUSTERS_PATH))["items"]:
                if (thing.get("status") or {}).get("state") == "ready":
                    waiting.discard(thing["metadata"]["name"])


def programs() -> Path:
    """Return the folder of the control plane's programs, built when they are not there yet."""
    done = subprocess.run([ROOT / "scripts" / "kubernetes_plane.sh"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip().splitlines()[-1])
