"""The autoscaler of a RayCluster, with the operator that makes its pods, on virtual time: KubeRay's scenarios 1 to 15.

Real here are the loop, the planner, the provider, the operator and every patch; Ray, the kubelets and the API server
are pretended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.simulation.kubernetes import CLUSTER, Stage
from tests.unit.kube_operator.raycluster.clusters import container, group

from rayfleet.config.rayio.policy import policy_of
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.contracts import Machine
from rayfleet.kube_operator.autoscaler import follow_policy
from rayfleet.ledger.memory import MemoryLedger
from rayfleet.loop import Parts, Reconciler
from rayfleet.model import Bundle, Demand, Gang, Pool, RequestedDemand, Resources, Strategy
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.providers.kuberay import KubeRayProvider
from rayfleet.providers.kuberay.pods import is_worker, machine
from rayfleet.testing.fake_engine import FakeEngine, node_of
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.wire.kube.errors import KubeError, QuotaExceeded
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Kind, Object, key_of, labels_of

CPU = Resources.of({"CPU": 1})
FOR_EVER = 1e9


class Scene:
    """A stage with an autoscaled RayCluster on it, and its pretended Ray."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.clock = VirtualClock()
        self.pools: dict[str, Pool] = {}
        self.engine = FakeEngine(self.clock, self.pools, self._machines, join_s=1)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *groups: Object, **options: Any) -> None:
        """Apply a RayCluster, and start its autoscaler."""
        await self.stage.apply(*groups, enableInTreeAutoscaling=True, autoscalerOptions=options)
        self._read()
        self.engine.join_by_hand("head", Resources(), head=True)
        self.begin()

    def begin(self) -> None:
        """Start an autoscaler that remembers nothing."""
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
        reconciler = Reconciler(parts)
        self._tasks = [
            asyncio.create_task(reconciler.run()),
            asyncio.create_task(follow_policy(self.stage.kube, CLUSTER, reconciler)),
        ]

    async def restart(self) -> None:
        """Start another autoscaler, with an empty ledger, in place of this one."""
        await self.close()
        self.begin()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def edit(self, index: int = 0, **changes: Any) -> None:
        """Change a worker group, as a person with kubectl does."""
        group_path = f"/spec/workerGroupSpecs/{index}"
        patch = [{"op": "add", "path": f"{group_path}/{key}", "value": value} for key, value in changes.items()]
        await self.stage.kube.patch(RAY_CLUSTER, CLUSTER, patch)

    def workers(self, name: str = "") -> int:
        """Return how many worker pods there are, of a group or of all."""
        return sum(name in ("", labels_of(pod)["ray.io/group"]) for pod in self.stage.pods())

    def replicas(self) -> list[int]:
        """Return `replicas` of every group."""
        (cluster,) = self.stage.kube.things(RAY_CLUSTER)
        return [one.get("replicas", 0) for one in cluster["spec"]["workerGroupSpecs"]]

    def end(self, *indices: int) -> None:
        """End some of the actors, by the order of their start."""
        ending = [self.engine.tasks[index] for index in indices]
        for task in ending:
            task.ends_at = self.clock.now()

    def _read(self) -> RayClusterSpec:
        (cluster,) = self.stage.kube.things(RAY_CLUSTER)
        spec = RayClusterSpec.model_validate(cluster["spec"])
        self.pools.update({pool.name: pool for pool in policy_of(spec).pools})
        return spec

    def _machines(self) -> list[Machine]:
        self._read()
        return [machine(pod) for pod in self.stage.kube.things(POD) if is_worker(pod)]


Act = Callable[[Scene], Awaitable[Any]]


def on_scene(act: Act) -> Any:
    async def main() -> Any:
        stage = Stage()
        scene = Scene(stage)
        try:
            await stage.start()
            return await act(scene)
        finally:
            await scene.close()
            await stage.close()

    return run_virtual(main())


def with_limits(name: str, replicas: int = 0, **limits: object) -> Object:
    """Return a group whose pods have other limits than one processor."""
    template = {"spec": {"containers": [container("ray-worker", **limits)]}}
    return {**group(name, replicas), "template": template}


def test_1_two_actors_are_two_workers_and_each_goes_with_its_actor() -> None:
    async def act(scene: Scene) -> list[int]:
        await scene.start(group(replicas=0, maxReplicas=3), idleTimeoutSeconds=10)
        counts = []
        for _ in range(2):
            scene.engine.submit(CPU, run_s=FOR_EVER)
            await asyncio.sleep(20)
            counts.append(scene.workers())
        for _ in range(2):
            scene.end(0)
            await asyncio.sleep(30)
            counts.append(scene.workers())
        return counts

    assert on_scene(act) == [1, 2, 1, 0]


def test_2_a_gpu_actor_scales_the_gpu_group_and_only_it() -> None:
    async def act(scene: Scene) -> list[tuple[int, int]]:
        gpu = with_limits("gpu", cpu="1", **{"nvidia.com/gpu": 1})
        await scene.start(group("cpu", 0), gpu, idleTimeoutSeconds=10)
        scene.engine.submit(Resources.of({"GPU": 1}), run_s=FOR_EVER)
        await asyncio.sleep(20)
        during = scene.workers("cpu"), scene.workers("gpu")
        scene.end(0)
        await asyncio.sleep(30)
        return [during, (scene.workers("cpu"), scene.workers("gpu"))]

    assert on_scene(act) == [(0, 1), (0, 0)]


def test_3_a_slice_of_several_hosts_comes_and_goes_as_a_whole() -> None:
    async def act(scene: Scene) -> list[tuple[int, list[int]]]:
        hosts = {**with_limits("tpu", cpu="1", **{"google.com/tpu": 4}), "numOfHosts": 4}
        await scene.start(hosts, idleTimeoutSeconds=10)
        scene.engine.submit(Resources.of({"TPU": 4}), count=4, run_s=FOR_EVER)
        await asyncio.sleep(30)
        seen = [(scene.workers(), scene.replicas())]
        scene.engine.submit(Resources.of({"TPU": 4}), run_s=FOR_EVER)
        await asyncio.sleep(30)
        seen.append((scene.workers(), scene.replicas()))
        scene.end(0, 1, 2, 3, 4)
        await asyncio.sleep(60)
        return [*seen, (scene.workers(), scene.replicas())]

    assert on_scene(act) == [(4, [1]), (8, [2]), (0, [0])]


def test_slices_that_an_autoscaler_finds_are_kept_and_given_back_whole() -> None:
    """It starts with an empty ledger while slices of four hosts run: one of them in use, the other idle."""

    async def act(scene: Scene) -> list[tuple[int, list[int]]]:
        hosts = {**with_limits("tpu", cpu="1", **{"google.com/tpu": 4}), "numOfHosts": 4}
        await scene.start(hosts, idleTimeoutSeconds=100)
        scene.engine.submit(Resources.of({"TPU": 4}), count=8, run_s=FOR_EVER)
        await asyncio.sleep(30)
        seen = [(scene.workers(), scene.replicas())]
        pods = {key_of(pod).name: labels_of(pod)["ray.io/worker-group-replica-index"] for pod in scene.stage.pods()}
        in_first = {node_of(name) for name, replica in pods.items() if replica == "0"}
        await scene.restart()
        await asyncio.sleep(60)
        kept = {key_of(pod).name for pod in scene.stage.pods()}
        assert kept == set(pods)
        seen.append((scene.workers(), scene.replicas()))
        scene.end(*(n for n, task in enumerate(scene.engine.tasks) if task.node in in_first))
        await asyncio.sleep(200)
        left = {labels_of(pod)["ray.io/worker-group-replica-index"] for pod in scene.stage.pods()}
        assert left == {"1"}
        return [*seen, (scene.workers(), scene.replicas())]

    assert on_scene(act) == [(8, [2]), (8, [2]), (4, [1])]


def test_4_an_actor_with_a_custom_resource_scales_the_group_that_has_it() -> None:
    async def act(scene: Scene) -> tuple[int, int]:
        special = {**group("special", 0), "rayStartParams": {"resources": '\'"{\\"Custom\\": 2}"\''}}
        await scene.start(group("plain", 0), special, idleTimeoutSeconds=10)
        scene.engine.submit(Resources.of({"Custom": 1}), count=3, run_s=FOR_EVER)
        await asyncio.sleep(20)
        return scene.workers("plain"), scene.workers("special")

    assert on_scene(act) == (0, 2)


def test_5_many_tasks_reach_the_maximum_and_it_stays_there() -> None:
    async def act(scene: Scene) -> list[int]:
        await scene.start(group(replicas=0, maxReplicas=3), idleTimeoutSeconds=10**6)
        scene.engine.submit(CPU, count=60, run_s=2)
        await asyncio.sleep(30)
        during = scene.workers()
        await asyncio.sleep(600)
        return [during, scene.workers()]

    assert on_scene(act) == [3, 3]


def test_6_a_minimum_that_is_raised_is_kept_and_counted() -> None:
    async def act(scene: Scene) -> list[int]:
        await scene.start(group(replicas=0, maxReplicas=5), idleTimeoutSeconds=10)
        await scene.edit(minReplicas=2)
        await asyncio.sleep(30)
        kept = scene.workers()
        scene.engine.submit(CPU, count=3, run_s=FOR_EVER)
        await asyncio.sleep(30)
        return [kept, scene.workers(), *scene.replicas()]

    assert on_scene(act) == [2, 3, 3]


def test_7_a_maximum_that_is_raised_or_lowered_holds_with_demand_there() -> None:
    async def act(scene: Scene) -> list[int]:
        await scene.start(group(replicas=0, maxReplicas=2), idleTimeoutSeconds=10)
        scene.engine.submit(CPU, count=5, run_s=FOR_EVER)
        counts = []
        for most in (2, 3, 1):
            await scene.edit(maxReplicas=most)
            await asyncio.sleep(400)
            counts.append(scene.workers())
        return counts

    assert on_scene(act) == [2, 3, 1]


def test_8_each_group_has_its_own_idle_time() -> None:
    async def act(scene: Scene) -> list[tuple[int, int]]:
        quick = {**with_limits("quick", cpu="1"), "idleTimeoutSeconds": 10}
        slow = {**with_limits("slow", cpu="2"), "idleTimeoutSeconds": 30}
        await scene.start(quick, slow)
        scene.engine.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(10)
        scene.engine.submit(Resources.of({"CPU": 2}), run_s=FOR_EVER)
        await asyncio.sleep(10)
        scene.end(0, 1)
        seen = []
        for _ in range(2):
            await asyncio.sleep(20)
            seen.append((scene.workers("quick"), scene.workers("slow")))
        return seen

    assert on_scene(act) == [(0, 1), (0, 0)]


def test_9_where_there_is_only_a_gpu_group_it_takes_cpu_work() -> None:
    async def act(scene: Scene) -> int:
        await scene.start(with_limits("gpu", cpu="1", **{"nvidia.com/gpu": 1}))
        scene.engine.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(20)
        return scene.workers("gpu")

    assert on_scene(act) == 1


def test_10_an_idle_worker_that_a_pending_group_needs_is_kept() -> None:
    async def act(scene: Scene) -> list[int]:
        await scene.start(group(replicas=1, maxReplicas=2), idleTimeoutSeconds=6)
        await asyncio.sleep(4)
        (kept,) = [key_of(pod).name for pod in scene.stage.pods()]
        scene.stage.boot_s = 15
        scene.engine.demand = Demand(gangs=(Gang(Strategy.STRICT_SPREAD, (Bundle(CPU), Bundle(CPU))),))
        await asyncio.sleep(30)
        return [scene.workers(), sum(key_of(pod).name == kept for pod in scene.stage.pods())]

    assert on_scene(act) == [2, 1]


def test_11_request_resources_is_met() -> None:
    async def act(scene: Scene) -> list[int]:
        await scene.start(group(replicas=0), idleTimeoutSeconds=10)
        scene.engine.demand = Demand(requested=(RequestedDemand(CPU, 3),))
        await asyncio.sleep(60)
        during = scene.workers()
        scene.engine.demand = Demand()
        await asyncio.sleep(60)
        return [during, scene.workers()]

    assert on_scene(act) == [3, 0]


def test_12_a_group_that_is_added_at_run_time_is_used() -> None:
    async def act(scene: Scene) -> list[tuple[int, int]]:
        await scene.start(group("cpu", 1), idleTimeoutSeconds=10)
        gpu = with_limits("gpu", cpu="1", **{"nvidia.com/gpu": 1})
        await scene.stage.kube.patch(
            RAY_CLUSTER, CLUSTER, [{"op": "add", "path": "/spec/workerGroupSpecs/0", "value": gpu}]
        )
        scene.engine.submit(Resources.of({"GPU": 1}), run_s=FOR_EVER)
        await asyncio.sleep(30)
        during = scene.workers("cpu"), scene.workers("gpu")
        scene.end(0)
        await asyncio.sleep(30)
        return [during, (scene.workers("cpu"), scene.workers("gpu"))]

    assert on_scene(act)[0][1] == 1
    assert on_scene(act)[1] == (0, 0)


def test_13_gangs_are_packed_or_spread() -> None:
    async def act(scene: Scene) -> list[int]:
        await scene.start(with_limits("two", cpu="2"), idleTimeoutSeconds=5)
        counts = []
        for strategy in (Strategy.STRICT_PACK, Strategy.PACK, Strategy.STRICT_SPREAD):
            scene.engine.demand = Demand(gangs=(Gang(strategy, (Bundle(CPU), Bundle(CPU))),))
            await asyncio.sleep(30)
            counts.append(scene.workers())
            scene.engine.demand = Demand()
            await asyncio.sleep(60)
        return counts

    assert on_scene(act) == [1, 1, 2]


def test_15_conservative_upscaling_asks_for_five_first() -> None:
    async def act(scene: Scene) -> tuple[int, int]:
        await scene.start(group(replicas=0, maxReplicas=20), upscalingMode="Conservative", idleTimeoutSeconds=60)
        scene.engine.submit(CPU, count=10, run_s=FOR_EVER)
        first = 0
        while not first:
            await asyncio.sleep(0.05)
            first = scene.replicas()[0]
        await asyncio.sleep(60)
        return first, scene.workers()

    assert on_scene(act) == (5, 10)


def test_a_number_that_a_person_raised_is_used_and_one_that_was_lowered_is_taken_back() -> None:
    async def act(scene: Scene) -> list[int]:
        await scene.start(group(replicas=0), idleTimeoutSeconds=60)
        await scene.edit(replicas=3)
        await asyncio.sleep(20)
        raised = scene.workers()
        scene.engine.submit(CPU, count=4, run_s=FOR_EVER)
        await asyncio.sleep(20)
        await scene.edit(replicas=1)
        await asyncio.sleep(20)
        return [raised, scene.workers()]

    assert on_scene(act) == [3, 4]


def test_a_pod_that_somebody_elses_deletion_holds_does_not_hold_us_up() -> None:
    async def act(scene: Scene) -> tuple[int, list[str]]:
        await scene.start(group(replicas=1), idleTimeoutSeconds=600)
        await asyncio.sleep(10)
        (stuck,) = [key_of(pod).name for pod in scene.stage.pods()]
        await scene.edit(scaleStrategy={"workersToDelete": [stuck]})
        scene.engine.submit(CPU, count=3, run_s=FOR_EVER)
        await asyncio.sleep(30)
        return scene.workers(), [key_of(pod).name for pod in scene.stage.pods() if key_of(pod).name == stuck]

    assert on_scene(act) == (3, [])


def test_a_group_that_a_quota_holds_up_is_passed_over_within_minutes() -> None:
    """Also pods that nobody waits for any more are not asked for: nothing comes of them when there is room again."""

    async def act(scene: Scene) -> list[tuple[int, list[int]]]:
        full = True

        def refuse(verb: str, kind: Kind, thing: Object) -> KubeError | None:
            held = full and (verb, kind) == ("create", POD) and labels_of(thing)["ray.io/group"] == "first"
            return QuotaExceeded(f'pods "{key_of(thing).name}" is forbidden: exceeded quota: team') if held else None

        scene.stage.kube.refuse = refuse
        await scene.start({**group("first", 0), "priority": 10}, group("second", 0), idleTimeoutSeconds=1000)
        scene.engine.submit(CPU, count=3, run_s=FOR_EVER)
        await asyncio.sleep(60)
        seen = [(scene.workers("second"), scene.replicas())]
        full = False
        await asyncio.sleep(120)
        return [*seen, (scene.workers("first"), scene.replicas())]

    assert on_scene(act) == [(3, [0, 3]), (0, [0, 3])]
