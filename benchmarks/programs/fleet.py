"""The operator over many RayClusters, with an API server in memory in the same process: prints its figures as JSON.

Kubelets are pretended: a pod runs at once. Time and processor seconds are until all clusters are ready, the
API server's part among them; memory is that of the process with everything in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from benchmarks.fleet import cluster
from benchmarks.machine import usage

from rayfleet.kube_operator.reconciling import Call, Probe
from rayfleet.kube_operator.runtime.operator import Edges, Operator
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.wire.kube.kube import Change
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Key, Object, key_of


class Silent:
    """Servers of clusters: nobody is asked, there are no jobs."""

    async def ask(self, probe: Probe) -> object:
        """Answer nothing."""
        raise AssertionError(f"nobody was to be asked {probe}")

    async def call(self, call: Call) -> None:
        """Do nothing."""
        raise AssertionError(f"nobody was to be told {call}")


async def main(size: int) -> dict[str, Any]:
    """Bring up `size` clusters."""
    kube = FakeKube(now=time.time)
    edges = Edges(kube, OperatorSettings(), "bench", time.time, Silent())
    operator = asyncio.create_task(Operator(edges).run())
    kubelet = asyncio.create_task(_run_pods(kube))
    began, cpu = time.monotonic(), time.process_time()
    for number in range(size):
        await kube.create(RAY_CLUSTER, cluster(f"cluster-{number:05}"))
    everyone = asyncio.create_task(_all_ready(kube, size))
    await asyncio.wait((operator, kubelet, everyone), return_when=asyncio.FIRST_COMPLETED)
    if not everyone.done():
        raise RuntimeError("the operator or the kubelet ended before all clusters were ready")
    figures = {
        "s": time.monotonic() - began,
        "cpu_s": time.process_time() - cpu,
        "memory_mib": usage(os.getpid()).rss_mib,
        "created": sum(n for call, n in kube.calls.items() if call.startswith("create ")) - size,
        "written": sum(n for call, n in kube.calls.items() if call.startswith(("patch ", "delete "))),
    }
    operator.cancel()
    kubelet.cancel()
    await asyncio.gather(operator, kubelet, return_exceptions=True)
    return figures


async def _run_pods(kube: FakeKube) -> None:
    async for seen in kube.watch(POD, "0"):
        if seen.change is Change.ADDED:
            kube.set_status(POD, key_of(seen.thing), _running(seen.thing))
            await asyncio.sleep(0)


async def _all_ready(kube: FakeKube, size: int) -> None:
    ready: set[Key] = set()
    async for seen in kube.watch(RAY_CLUSTER, "0"):
        if _is_ready(seen.thing):
            ready.add(key_of(seen.thing))
        if len(ready) == size:
            return


def _is_ready(thing: Object) -> bool:
    return (thing.get("status") or {}).get("state") == "ready"


def _running(pod: Object) -> Object:
    containers = [{"name": one["name"], "ready": True, "state": {"running": {}}} for one in pod["spec"]["containers"]]
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "podIP": "10.0.0.1",
        "containerStatuses": containers,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1])))))
