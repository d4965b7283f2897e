"""Many clusters, scaled by the operator itself, on virtual time.

Real here are the operator with its fleet of autoscalers, the loop, the planner, the provider, the ledger and every
patch; Ray, the kubelets and the API server are pretended.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from tests.simulation.kubernetes import Stage
from tests.unit.kube_operator.raycluster.clusters import group, raycluster
from tests.unit.reports.metrics.seen import scraped

from rayfleet.config.rayio.policy import policy_of
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.contracts import EngineRefuses, EngineView, Machine, StartScript
from rayfleet.kube_operator.raycluster.names import AUTOSCALER_ANNOTATION
from rayfleet.kube_operator.reconciling import Scaling
from rayfleet.kube_operator.settings import Autoscaling, OperatorSettings
from rayfleet.model import Pool, Resources, TickReport
from rayfleet.providers.kuberay.patches import launches
from rayfleet.providers.kuberay.pods import is_worker, machine
from rayfleet.testing.fake_engine import FakeEngine
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.wire.kube.errors import Forbidden, KubeError, Unavailable
from rayfleet.wire.kube.objects import (
    CONFIG_MAP,
    EVENT,
    POD,
    RAY_CLUSTER,
    ROLE,
    SECRET,
    Key,
    Kind,
    Object,
    key_of,
    labels_of,
)

CPU = Resources.of({"CPU": 1})


class Read(Collector):
    """What was read already."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


FOR_EVER = 1e9


class Line:
    """A connection to one pretended Ray, which outlives it. `wants`: the token that Ray wants to be shown."""

    def __init__(self, ray: FakeEngine, token: Callable[[], str], wants: Callable[[], str]) -> None:
        self.ray, self.closed = ray, False
        self._token, self._wants, self._shown = token, wants, ""

    async def look(self) -> EngineView:
        self._open()
        return await self.ray.look()

    async def pulse(self) -> Hashable:
        self._open()
        return await self.ray.pulse()

    @property
    def session(self) -> str:
        return "session_1"

    async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:
        await self.ray.drain(node_id, deadline, reason, voluntary=voluntary)

    async def publish(self, report: TickReport) -> None:
        await self.ray.publish(report)

    def start_script(self, pool: Pool, *, head: bool) -> StartScript:
        return self.ray.start_script(pool, head=head)

    async def close(self) -> None:
        self.closed, self._shown = True, ""

    def _open(self) -> None:
        self.closed = False
        self._shown = self._shown or self._token()
        if self._shown != self._wants():
            raise EngineRefuses("the token is another one")


class Sea:
    """A stage whose operator scales all clusters itself, and a pretended Ray for each of them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.rays: dict[str, FakeEngine] = {}
        self.lines: list[tuple[str, Line]] = []
        self.token = ""
        self._listed: defaultdict[str, list[Machine]] = defaultdict(list)
        self._listed_at = -1
        stage.settings = OperatorSettings(autoscaling=Autoscaling.CENTRAL)
        stage.engine = self._connect

    async def add(self, name: str, *groups: Object, meta: Object | None = None, **spec: Any) -> FakeEngine:
        """Make a cluster; return its Ray."""
        wanted = raycluster(*groups, enableInTreeAutoscaling=True, **spec)
        wanted["metadata"] = {"name": name, "namespace": "team", **(meta or {})}
        pools = {pool.name: pool for pool in policy_of(RayClusterSpec.model_validate(wanted["spec"])).pools}
        ray = FakeEngine(VirtualClock(), pools, lambda: self._machines(name), join_s=1)
        ray.join_by_hand("head", Resources(), head=True)
        self.rays[name] = ray
        await self.stage.kube.create(RAY_CLUSTER, wanted)
        return ray

    def workers(self, name: str) -> int:
        return len([pod for pod in self.stage.pods() if labels_of(pod)["ray.io/cluster"] == name])

    def cluster(self, name: str) -> Object:
        (found,) = (one for one in self.stage.kube.things(RAY_CLUSTER) if key_of(one).name == name)
        return found

    def replicas(self, name: str) -> int:
        return int(self.cluster(name)["spec"]["workerGroupSpecs"][0]["replicas"])

    async def until(self, name: str, replicas: int) -> float:
        """Return after how many seconds a cluster wants so many workers."""
        clock = VirtualClock()
        began = clock.now()
        while self.replicas(name) != replicas:
            await asyncio.sleep(0.01)
            assert clock.now() < began + 60, f"{name} wants {self.replicas(name)}"
        return clock.now() - began

    def open_lines(self) -> list[str]:
        return [name for name, line in self.lines if not line.closed]

    def _connect(self, key: Key, scaling: Scaling, token: Callable[[], str]) -> Line:
        assert scaling.head.startswith(f"{key.name}-head-")
        line = Line(self.rays[key.name], token, lambda: self.token)
        self.lines.append((key.name, line))
        return line

    def _machines(self, name: str) -> list[Machine]:
        if self._listed_at != self.stage.kube.version:
            self._listed_at = self.stage.kube.version
            self._listed = defaultdict(list)
            for pod in self.stage.kube.things(POD):
                if is_worker(pod):
                    self._listed[labels_of(pod)["ray.io/cluster"]].append(machine(pod))
        return self._listed[name]


Act = Callable[[Sea], Awaitable[Any]]


def at_sea(act: Act) -> Any:
    async def main() -> Any:
        stage = Stage()
        sea = Sea(stage)
        try:
            await stage.start()
            return await act(sea)
        finally:
            await stage.close()
            assert sea.open_lines() == [], "connections were left open"

    return run_virtual(main())


def quick(**more: Any) -> Object:
    """Return a group of which idle workers go after ten seconds."""
    return {**group(replicas=0, maxReplicas=9), "idleTimeoutSeconds": 10, **more}


def test_three_clusters_grow_and_shrink_each_by_its_own_work() -> None:
    async def act(sea: Sea) -> list[list[int]]:
        rays = [await sea.add(name, quick()) for name in "abc"]
        await asyncio.sleep(20)
        for count, ray in enumerate(rays, start=1):
            ray.submit(CPU, count=count, run_s=60)
        seen = []
        for wait_s in (30, 120):
            await asyncio.sleep(wait_s)
            seen.append([sea.workers(name) for name in "abc"])
        return [*seen, [ray.done for ray in rays]]

    assert at_sea(act) == [[1, 2, 3], [0, 0, 0], [1, 2, 3]]


def whose(series: list[dict[str, Any]]) -> set[str]:
    return {each["common"]["RayClusterName"] for each in series}


def test_the_operator_tells_the_figures_of_all_that_it_scales() -> None:
    """Each series once, under the cluster's own labels; a cluster that sleeps has no moment of a last tick."""

    async def act(sea: Sea) -> list[dict[str, list[dict[str, Any]]]]:
        seen = []
        rays = {name: await sea.add(name, quick()) for name in ("busy", "calm")}
        await asyncio.sleep(60)
        rays["busy"].submit(CPU, count=2, run_s=FOR_EVER)
        await sea.until("busy", 2)
        await asyncio.sleep(5)
        rays["busy"].submit(CPU, count=20, run_s=FOR_EVER)  # more than there may be: it goes on waiting
        await asyncio.sleep(5)
        for name in ("calm", "busy"):
            told = list(sea.stage.operator.fleet.figures())
            assert len({metric.name for metric in told}) == len(told)
            seen.append(scraped(generate_latest(Read(told)).decode()))
            await sea.stage.kube.delete(RAY_CLUSTER, Key("team", name))
            await asyncio.sleep(5)
        return seen

    both, one = at_sea(act)
    common = {"Namespace": "team", "SessionName": "session_1"}
    assert [series["common"] for series in both["rayfleet_info"]] == [
        {**common, "RayClusterName": "busy"}, {**common, "RayClusterName": "calm"},
    ]  # fmt: skip
    assert whose(both["rayfleet_pending_demand"]) == {"busy", "calm"}
    assert whose([series for series in both["rayfleet_unmet_demand"] if series["value"]]) == {"busy"}
    assert whose(both["rayfleet_last_tick_timestamp_seconds"]) == {"busy"}
    assert {name for of in one.values() for name in whose(of)} == {"busy"}


def test_no_autoscaler_is_beside_the_head_and_no_rights_are_given_for_one() -> None:
    async def act(sea: Sea) -> tuple[list[str], int, object]:
        await sea.add("a", quick())
        await asyncio.sleep(10)
        (head,) = sea.stage.pods("head")
        named = [one["name"] for one in head["spec"]["containers"]]
        return named, len(sea.stage.kube.things(ROLE)), head["spec"].get("serviceAccountName")

    assert at_sea(act) == (["ray-head"], 0, None)


def test_clusters_that_hang_hold_up_nobody_and_are_asked_less_and_less() -> None:
    """Six of them, each of which takes five seconds to say nothing."""

    async def act(sea: Sea) -> tuple[float, int]:
        lively = await sea.add("lively", quick())
        hung = [await sea.add(f"hung{n}", quick()) for n in range(6)]
        await asyncio.sleep(20)
        for ray in hung:
            ray.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(15)
        for ray in hung:
            ray.look_s, ray.down = 5.0, True
        await asyncio.sleep(60)
        lively.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(12)
        lively.submit(CPU, run_s=FOR_EVER)
        took_s = await sea.until("lively", 2)
        before = [ray.pulses + ray.looks for ray in hung]
        await asyncio.sleep(300)
        return took_s, max(ray.pulses + ray.looks - old for ray, old in zip(hung, before, strict=True))

    took_s, asked = at_sea(act)
    assert took_s <= 0.3
    assert asked <= 300 / 8


def test_a_ray_that_does_not_answer_for_long_is_told_to_people() -> None:
    async def act(sea: Sea) -> list[str]:
        ray = await sea.add("a", quick())
        await asyncio.sleep(60)
        ray.down = True
        await asyncio.sleep(15)
        early = len(sea.stage.kube.things(EVENT))
        await asyncio.sleep(120)
        return [one["reason"] for one in sea.stage.kube.things(EVENT)][early:]

    assert at_sea(act) == ["RayDoesNotAnswer"]


def test_after_a_new_head_and_a_suspension_it_is_scaled_as_before() -> None:
    async def act(sea: Sea) -> list[int]:
        ray = await sea.add("a", quick())
        await asyncio.sleep(20)
        ray.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(20)
        seen = [sea.workers("a")]
        (head,) = sea.stage.pods("head")
        await sea.stage.kube.delete(POD, key_of(head))
        await asyncio.sleep(30)
        ray.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(30)
        seen.append(sea.workers("a"))
        for suspend in (True, False):
            await sea.stage.kube.patch(RAY_CLUSTER, Key("team", "a"), {"spec": {"suspend": suspend}})
            await asyncio.sleep(60)
            seen.append(sea.workers("a"))
        return seen

    assert at_sea(act) == [1, 2, 0, 2]


def test_one_that_hung_is_scaled_again_once_it_answers() -> None:
    async def act(sea: Sea) -> int:
        ray = await sea.add("a", quick())
        await asyncio.sleep(20)
        ray.look_s, ray.down = 5.0, True
        await asyncio.sleep(300)
        ray.submit(CPU, count=2, run_s=FOR_EVER)
        ray.look_s, ray.down = 0.0, False
        await asyncio.sleep(20)
        return sea.workers("a")

    assert at_sea(act) == 2


def test_clusters_in_which_nothing_goes_on_cost_one_question_in_nine_seconds_and_no_write() -> None:
    """Some of them keep a worker that nobody uses, because their minimum says so."""

    async def act(sea: Sea) -> tuple[Counter[str], int, int, int]:
        rays = [await sea.add(f"c{n}", quick(minReplicas=n % 2, replicas=n % 2)) for n in range(6)]
        await asyncio.sleep(120)
        calls, looks = Counter(sea.stage.kube.calls), sum(ray.looks for ray in rays)
        pulses = [ray.pulses for ray in rays]
        await asyncio.sleep(270)
        asked = [ray.pulses - before for ray, before in zip(rays, pulses, strict=True)]
        return sea.stage.kube.calls - calls, sum(ray.looks for ray in rays) - looks, min(asked), max(asked)

    calls, looks, least, most = at_sea(act)
    assert (calls, looks) == (Counter(), 0)
    assert 270 / 10 <= least <= most <= 270 / 8


def test_demand_is_met_in_a_moment_where_something_goes_on_and_within_ten_seconds_elsewhere() -> None:
    async def act(sea: Sea) -> tuple[float, float]:
        ray = await sea.add("a", quick())
        await asyncio.sleep(300)
        ray.submit(CPU, run_s=FOR_EVER)
        asleep_s = await sea.until("a", 1)
        await asyncio.sleep(30)
        ray.submit(CPU, run_s=FOR_EVER)
        return asleep_s, await sea.until("a", 2)

    asleep_s, awake_s = at_sea(act)
    assert asleep_s <= 10
    assert awake_s <= 0.3


@pytest.mark.parametrize("call", range(1, 20))
def test_killed_after_any_write_the_next_operator_launches_nothing_twice(call: int) -> None:
    async def act(sea: Sea) -> tuple[list[int], list[int], int]:
        counted = 0

        def kill_then(verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            nonlocal counted
            counted += verb in ("create", "patch", "delete")
            return Unavailable("the operator is gone") if counted >= call else None

        rays = [await sea.add(name, quick()) for name in "ab"]
        await asyncio.sleep(20)
        sea.stage.kube.refuse = kill_then
        for ray in rays:
            ray.submit(CPU, count=2, run_s=FOR_EVER)
        await asyncio.sleep(12)
        await sea.stage.kill()
        sea.stage.kube.refuse = lambda _verb, _kind, _thing: None
        await sea.stage.start()
        await asyncio.sleep(60)
        gone = sea.stage.kube.calls["delete pods"]
        return [sea.workers(name) for name in "ab"], [sea.replicas(name) for name in "ab"], gone

    assert at_sea(act) == ([2, 2], [2, 2], 0)


def test_who_takes_over_knows_the_claims_of_the_one_before() -> None:
    async def act(sea: Sea) -> tuple[list[str], list[str], int]:
        ray = await sea.add("a", quick())
        await asyncio.sleep(20)
        ray.submit(CPU, count=2, run_s=FOR_EVER)
        await asyncio.sleep(30)
        before = [claim.id for claim in ray.reports[-1].plan.claims if not claim.foreign]
        await sea.stage.start()
        await asyncio.sleep(30)
        (ledger,) = sea.stage.kube.things(CONFIG_MAP)
        assert [owner["name"] for owner in ledger["metadata"]["ownerReferences"]] == ["a"]
        after = [claim.id for claim in ray.reports[-1].plan.claims if not claim.foreign]
        return before, after, len(launches(sea.cluster("a")))

    before, after, launched = at_sea(act)
    assert before == after
    assert (len(after), launched) == (2, 1)


@pytest.mark.parametrize("change", ["delete", "suspend", "off", "managed"])
def test_a_cluster_that_is_not_to_be_scaled_any_more_is_let_go(change: str) -> None:
    async def act(sea: Sea) -> tuple[int, list[str], int]:
        for name in "ab":
            await sea.add(name, quick())
        await asyncio.sleep(20)
        key = Key("team", "a")
        if change == "delete":
            await sea.stage.kube.delete(RAY_CLUSTER, key)
        else:
            what = {"off": "enableInTreeAutoscaling", "managed": "managedBy"}.get(change, "suspend")
            value = {"off": False, "managed": "kueue.x-k8s.io/multikueue"}.get(change, True)
            await sea.stage.kube.patch(RAY_CLUSTER, key, {"spec": {what: value}})
        await asyncio.sleep(20)
        asked = sea.rays["a"].pulses
        await asyncio.sleep(60)
        return len(sea.stage.operator.fleet), sea.open_lines(), sea.rays["a"].pulses - asked

    assert at_sea(act) == (1, ["b"], 0)


def test_a_cluster_may_choose_for_itself_and_keeps_what_its_head_was_made_with() -> None:
    async def act(sea: Sea) -> list[int]:
        beside = {"annotations": {AUTOSCALER_ANNOTATION: "sidecar"}}
        await sea.add("a", quick(), meta=beside)
        await asyncio.sleep(20)
        seen = [len(sea.stage.operator.fleet)]
        await sea.stage.kube.patch(
            RAY_CLUSTER, Key("team", "a"), {"metadata": {"annotations": {AUTOSCALER_ANNOTATION: "central"}}}
        )
        await asyncio.sleep(20)
        seen.append(len(sea.stage.operator.fleet))
        (head,) = sea.stage.pods("head")
        await sea.stage.kube.delete(POD, key_of(head))
        await asyncio.sleep(30)
        (head,) = sea.stage.pods("head")
        return [*seen, len(head["spec"]["containers"]), len(sea.stage.operator.fleet)]

    assert at_sea(act) == [0, 0, 1, 1]


def test_a_policy_that_a_person_changes_holds_at_once_also_in_a_cluster_that_sleeps() -> None:
    """Here it sleeps with work that waits: five minutes long nothing could be done about it."""

    async def act(sea: Sea) -> tuple[int, float]:
        ray = await sea.add("a", quick(maxReplicas=1))
        ray.submit(CPU, count=3, run_s=FOR_EVER)
        await asyncio.sleep(400)
        looks = ray.looks
        await asyncio.sleep(60)
        patch = [{"op": "add", "path": "/spec/workerGroupSpecs/0/maxReplicas", "value": 3}]
        looks = ray.looks - looks
        await sea.stage.kube.patch(RAY_CLUSTER, Key("team", "a"), patch)
        return looks, await sea.until("a", 3)

    looks, took_s = at_sea(act)
    assert looks <= 1
    assert took_s <= 1


def test_what_was_decided_is_told_as_events_of_the_cluster() -> None:
    async def act(sea: Sea) -> set[tuple[str, str, str]]:
        ray = await sea.add("a", quick())
        await asyncio.sleep(20)
        ray.submit(CPU, run_s=30)
        ray.submit(Resources.of({"GPU": 1}), run_s=1)
        await asyncio.sleep(120)
        events = sea.stage.kube.things(EVENT)
        return {(one["involvedObject"]["name"], one["type"], one["reason"]) for one in events}

    told = at_sea(act)
    assert told >= {("a", "Normal", "ScalingUp"), ("a", "Normal", "ScalingDown"), ("a", "Warning", "CannotFit")}


@pytest.mark.parametrize("verb", ["get", "create"])
def test_an_operator_that_may_not_write_down_what_it_does_says_so(verb: str) -> None:
    """Roles that somebody else has made, for an operator of before."""

    async def act(sea: Sea) -> tuple[set[str], int]:
        forbidden = Forbidden("configmaps is forbidden")
        sea.stage.kube.refuse = lambda said, kind, _: forbidden if (said, kind) == (verb, CONFIG_MAP) else None
        ray = await sea.add("a", quick())
        ray.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(60)
        events = sea.stage.kube.things(EVENT)
        return {one["message"] for one in events if one["reason"] == "AutoscalerFailed"}, sea.replicas("a")

    told, replicas = at_sea(act)
    assert ["configmaps is forbidden" in text for text in told] == [True]
    assert replicas == 0


def test_the_token_of_a_cluster_is_shown_and_read_anew_when_it_is_refused() -> None:
    async def act(sea: Sea) -> list[int]:
        sea.stage.kube.refuse = lambda _verb, _kind, _thing: None
        secret = {"metadata": {"name": "words", "namespace": "team"}, "data": {"auth_token": "b25l"}}
        await sea.stage.kube.create(SECRET, secret)
        sea.token = "one"
        ray = await sea.add("a", quick(), authOptions={"mode": "token", "secretName": "words"})
        await asyncio.sleep(20)
        ray.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(20)
        seen = [sea.workers("a")]
        sea.token = "two"
        for _, line in sea.lines:
            await line.close()
        await sea.stage.kube.patch(SECRET, Key("team", "words"), {"data": {"auth_token": "dHdv"}})
        ray.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(60)
        return [*seen, sea.workers("a")]

    assert at_sea(act) == [1, 2]


def test_an_operator_that_was_overtaken_launches_nothing() -> None:
    """Its ledger is not the newest: somebody else has written since."""

    async def act(sea: Sea) -> list[int]:
        ray = await sea.add("a", quick())
        await asyncio.sleep(20)
        ray.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(20)
        seen = [sea.replicas("a")]
        conflicts = 0

        def refuse(verb: str, kind: Kind, thing: Object) -> KubeError | None:
            nonlocal conflicts
            conflicts += (verb, kind) == ("patch", CONFIG_MAP)
            return Unavailable("no") if (verb, kind) == ("patch", CONFIG_MAP) else None

        sea.stage.kube.refuse = refuse
        ray.submit(CPU, run_s=FOR_EVER)
        await asyncio.sleep(20)
        seen.append(sea.replicas("a"))
        sea.stage.kube.refuse = lambda _verb, _kind, _thing: None
        await asyncio.sleep(20)
        assert conflicts
        return [*seen, sea.replicas("a")]

    assert at_sea(act) == [1, 1, 2]
