"""RayClusters brought up by the operator: a head and two workers each, from apply to all of them ready.

A real control plane (etcd, API server, controller manager, scheduler) runs on loopback, with kubelets whose pods only
say that they run. The operator is a process of its own, as its users start it. All RayClusters are created at once,
over 32 connections; the time is from the first create until the last one's `status.state` is `ready`. Processor time
and resident memory are the operator's alone, from /proc, then again over a stretch in which nothing changes. KubeRay's
figure is its own published one, on machines that were much larger, so it is named and is no goal. Not part of the
default run: the first time on a machine it builds the control plane, which takes minutes.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from benchmarks.machine import Usage, usage
from rayfleet.testing.kubernetes.access import kubeconfig
from rayfleet.testing.kubernetes.api import Api
from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

ROOT: Final = Path(__file__).parents[2]
CRDS: Final = ROOT / "deploy" / "helm" / "rayfleet-operator" / "crds"
SIZES: Final = (100, 1000)
PATIENCE_S: Final = 900.0
KUBERAY_S: Final = 258.0
"""KubeRay's published time for 1,000 clusters."""
READY_S, CPU_S, STEADY_PERCENT, RSS_MIB = 120.0, 40.0, 5.0, 400.0
_PATH: Final = "/apis/ray.io/v1/namespaces/default/rayclusters"
_CONNECTIONS: Final = 32


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it for every size, on a fresh control plane each."""
    figures: list[Figure] = []
    for size in SIZES:
        figures += _of_size(size, effort, folder)
    return Measured(tuple(figures), notes=("pods only say that they run; the control plane shares the cores",))


def _of_size(size: int, effort: Effort, folder: Path) -> Iterator[Figure]:
    with ControlPlane(_programs()) as plane, Background(StatusKubelet(plane.access, size // 30 + 3)) as _kubelet:
        plane.kubectl("apply", "-f", str(CRDS))
        for path in sorted(CRDS.glob("*.yaml")):
            plane.kubectl("wait", "--for=condition=Established", f"crd/{path.stem}", "--timeout=30s")
        with _operator(plane, folder) as pid:
            time.sleep(5)
            before, began = usage(pid), time.monotonic()
            asyncio.run(_bring_up(plane, size))
            took_s, after = time.monotonic() - began, usage(pid)
            time.sleep(10)
            quiet, watched = usage(pid), time.monotonic()
            time.sleep(effort.idle_s)
            percent = 100 * (usage(pid).cpu_s - quiet.cpu_s) / (time.monotonic() - watched)
            yield from _figures(size, took_s, after.cpu_s - before.cpu_s, (percent, usage(pid)))


def _figures(size: int, took_s: float, cpu_s: float, steady: tuple[float, Usage]) -> Iterator[Figure]:
    goals = size == max(SIZES)
    percent, now = steady
    theirs, whose = (KUBERAY_S, "KubeRay, as published") if goals else (None, "")
    ready = Goal(READY_S) if goals else None
    yield Figure(f"{size} RayClusters ready", "s", took_s, theirs, whose, goal=ready)
    yield Figure(f"{size} RayClusters, the operator's CPU", "s", cpu_s, goal=Goal(CPU_S) if goals else None)
    yield Figure(f"{size} RayClusters, then: CPU", "% of a core", percent, goal=Goal(STEADY_PERCENT) if goals else None)
    yield Figure(f"{size} RayClusters, then: RSS", "MiB", now.rss_mib, goal=Goal(RSS_MIB) if goals else None)


@contextmanager
def _operator(plane: ControlPlane, folder: Path) -> Iterator[int]:
    config = folder / "kubeconfig.json"
    config.write_text(kubeconfig(plane.access), encoding="utf-8")
    with (folder / "operator.log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "rayfleet", "operator"],
            env={**os.environ, "KUBECONFIG": str(config)},
            stdout=log,
            stderr=log,
        )
    try:
        yield running.pid
    finally:
        running.terminate()
        running.wait(30)


async def _bring_up(plane: ControlPlane, size: int) -> None:
    """Create all clusters and wait until every one says that it is ready.

    Raises:
        TimeoutError: they are not, after a quarter of an hour.
    """
    waiting = {f"cluster-{number}" for number in range(size)}
    async with Api(plane.access, connections=_CONNECTIONS) as api, asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(api.request("POST", _PATH, _cluster(name)) for name in sorted(waiting)))
        while waiting:
            await asyncio.sleep(1)
            for thing in (await api.request("GET", _PATH))["items"]:
                if (thing.get("status") or {}).get("state") == "ready":
                    waiting.discard(thing["metadata"]["name"])


def _cluster(name: str) -> dict[str, Any]:
    def template(container: str) -> dict[str, Any]:
        limits = {"cpu": "100m", "memory": "100Mi"}
        return {"spec": {"containers": [{"name": container, "image": "ray", "resources": {"limits": limits}}]}}

    group = {
        "groupName": "small",
        "replicas": 2,
        "maxReplicas": 5,
        "rayStartParams": {},
        "template": template("ray-worker"),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": {"rayStartParams": {}, "template": template("ray-head")},
            "workerGroupSpecs": [group],
        },
    }


def _programs() -> Path:
    """Return the folder of the control plane's programs, built when they are not there yet."""
    done = subprocess.run([ROOT / "scripts" / "kubernetes_plane.sh"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip().splitlines()[-1])
