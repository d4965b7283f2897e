"""Pods that grow in place before others are launched, with the loop, the planner and the operator, on virtual time."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.simulation.kubernetes import CLUSTER, Stage, on_stage
from tests.simulation.test_kuberay_autoscaler import CPU, FOR_EVER, Scene
from tests.unit.kube_operator.raycluster.clusters import group

from rayfleet.config.rayio.policy import policy_of
from rayfleet.kube_operator.autoscaler import follow_policy, growing_engine
from rayfleet.ledger.memory import MemoryLedger
from rayfleet.loop import Parts, Reconciler
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.providers.kuberay import KubeRayProvider
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Object, is_leaving, key_of

GROWTH = {"groups": {"small": {"max-cpu": "4", "max-memory": "4Gi", "resize-timeout": 60}}}


class Growing(Scene):
    """A scene whose autoscaler lets pods grow, and whose kubelets make them larger - or not."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.room = True

    async def start(self, *groups: Object, **options: Any) -> None:
        await super().start(*groups, **options)
        patch = {"metadata": {"annotations": {"ray.io/ippr": json.dumps(GROWTH)}}}
        await self.stage.kube.patch(RAY_CLUSTER, CLUSTER, patch)
        await asyncio.sleep(10)

    def begin(self) -> None:
        provider = KubeRayProvider(self.stage.kube, CLUSTER)
        parts = Parts(
            cluster="demo",
            policy=policy_of(self._read()),
            providers={"kuberay": provider},
            engine=self.engine,
            ledger=MemoryLedger(),
            plan=plan,
            clock=self.clock,
            check=check,
        )
        engine = growing_engine(self.stage.kube, parts)
        reconciler = Reconciler(Parts(**{**{name: getattr(parts, name) for name in parts.__slots__}, "engine": engine}))
        self._tasks = [
            asyncio.create_task(reconciler.run()),
            asyncio.create_task(follow_policy(self.stage.kube, CLUSTER, reconciler, engine)),
            asyncio.create_task(self._resize()),
        ]

    async def _resize(self) -> None:
        """Make pods as large as they ask, a second late; with no room, say so."""
        while True:
            await asyncio.sleep(1)
            for pod in self.stage.kube.things(POD):
                statuses = (pod.get("status") or {}).get("containerStatuses")
                asked = pod["spec"]["containers"][0]["resources"]
                if not statuses or is_leaving(pod) or statuses[0].get("resources") == asked:
                    continue
                grown = self.room or "resources" not in statuses[0]
                conditions = [one for one in pod["status"]["conditions"] if one["type"] != "PodResizePending"]
                if grown:
                    statuses = [{**statuses[0], "resources": asked}]
                else:
                    full = {"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "full"}
                    conditions.append(full)
                status = {**pod["status"], "containerStatuses": statuses, "conditions": conditions}
                self.stage.kube.set_status(POD, key_of(pod), status)

    def sizes(self) -> list[str]:
        return [pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] for pod in self.stage.pods()]


def on_scene(act: Callable[[Growing], Awaitable[Any]]) -> Any:
    async def main(stage: Stage) -> Any:
        scene = Growing(stage)
        try:
            return await act(scene)
        finally:
            await scene.close()

    return on_stage(main)


def small(**more: Any) -> Object:
    resources = {amount: {"cpu": "1", "memory": "1Gi"} for amount in ("limits", "requests")}
    template = {"spec": {"containers": [{"name": "ray-worker", "image": "ray", "resources": resources}]}}
    return {**group("small", 1), "template": template, **more}


def test_a_pod_grows_before_another_is_launched() -> None:
    async def act(scene: Growing) -> tuple[list[str], list[float], int]:
        await scene.start(small(), idleTimeoutSeconds=600)
        scene.engine.submit(CPU, count=4, run_s=FOR_EVER)
        await asyncio.sleep(30)
        running = sum(task.node is not None for task in scene.engine.tasks)
        cpus = [node.total.amounts()["CPU"] for node in scene.engine.nodes.values() if node.machine_id]
        return scene.sizes(), cpus, running

    assert on_scene(act) == (["4000m"], [4], 4)


def test_what_does_not_fit_even_then_is_launched() -> None:
    async def act(scene: Growing) -> tuple[int, int]:
        await scene.start(small(), idleTimeoutSeconds=600)
        scene.engine.submit(CPU, count=6, run_s=FOR_EVER)
        await asyncio.sleep(60)
        return scene.workers(), sum(task.node is not None for task in scene.engine.tasks)

    workers, running = on_scene(act)
    assert running == 6
    assert workers in (2, 3)  # the second one starts small, and grows or not as the moment has it


def test_on_a_full_machine_others_are_launched_and_the_pod_is_as_it_was() -> None:
    async def act(scene: Growing) -> tuple[list[str], int]:
        await scene.start(small(), idleTimeoutSeconds=600)
        scene.room = False
        scene.engine.submit(CPU, count=3, run_s=FOR_EVER)
        await asyncio.sleep(60)
        return sorted(scene.sizes()), sum(task.node is not None for task in scene.engine.tasks)

    assert on_scene(act) == (["1", "1", "1000m"], 3)


@pytest.mark.parametrize("known", [True, False])
def test_an_api_server_without_it_is_asked_once_and_launches_happen_as_ever(known: bool) -> None:
    async def act(scene: Growing) -> list[str]:
        if not known:
            scene.stage.kube.subresources = frozenset({"pods/log"})
        await scene.start(small(), idleTimeoutSeconds=600)
        scene.engine.submit(CPU, count=2, run_s=FOR_EVER)
        await asyncio.sleep(30)
        return scene.sizes()

    assert on_scene(act) == (["4000m"] if known else ["1", "1"])


def test_an_autoscaler_that_starts_anew_ends_what_another_began() -> None:
    async def act(scene: Growing) -> tuple[list[float], int]:
        await scene.start(small(), idleTimeoutSeconds=600)
        scene.engine.submit(CPU, count=4, run_s=FOR_EVER)
        while scene.sizes() == ["1"]:  # noqa: ASYNC110 - the very moment after it has begun
            await asyncio.sleep(0.05)
        await scene.restart()
        await asyncio.sleep(30)
        return [node.total.amounts()["CPU"] for node in scene.engine.nodes.values() if node.machine_id], scene.workers()

    assert on_scene(act) == ([4], 1)
