"""A cluster that nobody uses is suspended or deleted: our autoscaler asks, the operator does it, on virtual time."""

import asyncio
from typing import Any, Self

from tests.simulation.kubernetes import CLUSTER, Stage, on_stage
from tests.unit.kube_operator.raycluster.clusters import group

from rayfleet.kube_operator.idleness import follow_use
from rayfleet.testing.fake_drivers import FakeDrivers
from rayfleet.wire.kube.errors import Unavailable
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, ROLE, Object


class Watched:
    """A RayCluster with these options, and the part of its autoscaler that looks at drivers."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.stage, self.options, self.drivers = stage, options, FakeDrivers()

    async def __aenter__(self) -> Self:
        spec = {"enableInTreeAutoscaling": True, **({"idleTerminationOptions": self.options} if self.options else {})}
        await self.stage.apply(group(replicas=2), **spec)
        await asyncio.sleep(20)
        self._task = asyncio.create_task(follow_use(self.stage.kube, CLUSTER, self.drivers, self._now))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def pods(self) -> int:
        return len(self.stage.kube.things(POD))

    def spec(self) -> Object:
        (cluster,) = self.stage.kube.things(RAY_CLUSTER)
        spec: Object = cluster["spec"]
        return spec

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def test_it_is_suspended_after_the_time_out_and_can_be_had_again() -> None:
    async def act(stage: Stage) -> list[object]:
        async with Watched(stage, timeoutSeconds=300) as scene:
            await asyncio.sleep(280)
            seen: list[object] = [scene.pods()]
            await asyncio.sleep(60)
            seen += [scene.pods(), scene.spec()["idleSuspend"], stage.status()["state"]]
            await stage.kube.patch(RAY_CLUSTER, CLUSTER, {"spec": {"idleSuspend": False}})
            await asyncio.sleep(250)  # it has as long again
            seen += [scene.pods()]
            await asyncio.sleep(100)
            return [*seen, scene.pods()]

    assert on_stage(act) == [3, 0, True, "suspended", 3, 0]


def test_a_driver_keeps_it_and_so_does_one_that_came_and_went_between_two_looks() -> None:
    async def act(stage: Stage) -> list[int]:
        async with Watched(stage, timeoutSeconds=100) as scene:
            scene.drivers.start()
            await asyncio.sleep(300)
            seen = [scene.pods()]
            scene.drivers.end()
            for _ in range(4):
                await asyncio.sleep(80)
                scene.drivers.start()
                scene.drivers.end()
            seen.append(scene.pods())
            await asyncio.sleep(150)
            return [*seen, scene.pods()]

    assert on_stage(act) == [3, 3, 0]


def test_nothing_is_concluded_from_a_ray_that_does_not_answer() -> None:
    async def act(stage: Stage) -> list[int]:
        async with Watched(stage, timeoutSeconds=60) as scene:
            await asyncio.sleep(50)
            scene.drivers.down = True
            await asyncio.sleep(600)
            seen = [scene.pods()]
            scene.drivers.down = False
            await asyncio.sleep(50)
            seen.append(scene.pods())
            await asyncio.sleep(60)
            return [*seen, scene.pods()]

    assert on_stage(act) == [3, 3, 0]


def test_with_delete_nothing_is_left() -> None:
    """The finalizer holds the resource until its pods are gone: the autoscaler that asked is in one of them."""

    async def act(stage: Stage) -> tuple[list[Object], list[Object], set[str]]:
        async with Watched(stage, timeoutSeconds=60, policy="Delete"):
            (role,) = stage.kube.things(ROLE)
            (rule,) = (rule for rule in role["rules"] if rule["resources"] == ["rayclusters"])
            await asyncio.sleep(120)
            return list(stage.kube.things(RAY_CLUSTER)), list(stage.kube.things(POD)), set(rule["verbs"])

    assert on_stage(act) == ([], [], {"get", "patch", "delete"})


def test_options_that_come_later_bring_the_right_to_delete() -> None:
    async def act(stage: Stage) -> tuple[int, list[str]]:
        async with Watched(stage) as scene:
            await asyncio.sleep(600)
            looks = scene.drivers.looks
            options = {"timeoutSeconds": 3600, "policy": "Delete"}
            await stage.kube.patch(RAY_CLUSTER, CLUSTER, {"spec": {"idleTerminationOptions": options}})
            await asyncio.sleep(10)
            (role,) = stage.kube.things(ROLE)
            return looks, next(rule["verbs"] for rule in role["rules"] if rule["resources"] == ["rayclusters"])

    assert on_stage(act) == (0, ["get", "patch", "delete"])


def test_an_api_server_that_is_away_only_delays_it() -> None:
    async def act(stage: Stage) -> tuple[int, int]:
        async with Watched(stage, timeoutSeconds=60) as scene:
            stage.kube.refuse = lambda verb, kind, _: (
                Unavailable("no route") if (verb, kind) == ("patch", RAY_CLUSTER) else None
            )
            await asyncio.sleep(200)
            kept = scene.pods()
            stage.kube.refuse = lambda *_: None
            await asyncio.sleep(60)
            return kept, scene.pods()

    assert on_stage(act) == (3, 0)
