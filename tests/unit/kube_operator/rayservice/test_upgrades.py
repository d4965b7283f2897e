"""A RayService's clusters: the first, the next one, and what changes without another."""

import copy
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import NOW, group, made, raycluster

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.rayservice.initializing import timeout_s
from rayfleet.kube_operator.rayservice.reconcile import reconcile
from rayfleet.kube_operator.rayservice.serve import ServeFact, probe, proxy_probe
from rayfleet.kube_operator.rayservice.state import RETIRED_ANNOTATION, Service, goal_hash, new_cluster
from rayfleet.kube_operator.reconciling import Call, Create, Delete, Observed, Patch, Reconciled
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import GATEWAY, HTTP_ROUTE, POD, RAY_CLUSTER, SERVICE, Key, Kind, Object, key_of

SETTINGS = OperatorSettings()
CONFIG = "applications:\n- name: fruit\n  import_path: fruit:app\n  deployments: [{name: Mango, num_replicas: 2}]\n"
HEAD_READY = {"type": "HeadPodReady", "status": "True", "reason": "x", "lastTransitionTime": timestamp(NOW)}


def rayservice(status: Object | None = None, config: str = CONFIG, meta: Object | None = None, **more: Any) -> Object:
    spec = {"serveConfigV2": config, "rayClusterConfig": raycluster(group())["spec"], **more}
    metadata = {"name": "shop", "namespace": "team", "uid": "uid-shop", "generation": 1, "resourceVersion": "7"}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": metadata | (meta or {}),
        "spec": spec,
        "status": status or {},
    }


def serving(active: str = "", pending: str = "") -> Object:
    return {
        "activeServiceStatus": {"rayClusterName": active} if active else {},
        "pendingServiceStatus": {"rayClusterName": pending} if pending else {},
    }


def cluster_for(thing: Object, name: str, annotations: Object | None = None, *, up: bool = True) -> Object:
    """Return the cluster that was made for a service as it is, under that name."""
    service = Service.read(Observed(thing, NOW), SETTINGS)
    made_for = copy.deepcopy(new_cluster(service, name))
    made_for["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": "3"}
    made_for["metadata"]["annotations"] |= annotations or {}
    made_for["status"] = {"conditions": [HEAD_READY] if up else []}
    return made_for


def url(name: str) -> str:
    return f"http://{name}-head-svc.team.svc.cluster.local:8265"


def running(name: str, status: str = "RUNNING", config: Object | None = None) -> tuple[Hashable, object]:
    told = config or {
        "name": "fruit",
        "import_path": "fruit:app",
        "deployments": [{"name": "Mango", "num_replicas": 2}],
    }
    fact = ServeFact(
        {"fruit": {"status": status, "deployed_app_config": told, "deployments": {"Mango": {"status": "HEALTHY"}}}}
    )
    return probe(url(name)).key, fact


def look(thing: Object, *owned: tuple[Kind, Object], facts: Any = (), pods: tuple[Object, ...] = ()) -> Reconciled:
    things: dict[Kind, tuple[Object, ...]] = {}
    for kind, one in owned:
        things[kind] = (*things.get(kind, ()), one)
    return reconcile(Observed(thing, NOW, things, related={POD: pods}, facts=dict(facts)), SETTINGS)


def names(done: Reconciled) -> tuple[str, str]:
    """Return which clusters the status names as active and pending."""
    assert done.status is not None
    return tuple(
        (done.status.get(f"{which}ServiceStatus") or {}).get("rayClusterName", "") for which in ("active", "pending")
    )


def did(done: Reconciled, kind: type) -> list[Any]:
    return [action for action in done.actions if isinstance(action, kind)]


def condition(done: Reconciled, kind: str) -> tuple[str, str]:
    assert done.status is not None
    return next((one["status"], one["reason"]) for one in done.status["conditions"] if one["type"] == kind)


class TestFirstCluster:
    def test_its_name_is_written_before_it_is_made(self) -> None:
        done = look(rayservice())
        active, pending = names(done)
        assert (active, pending.startswith("shop-"), done.actions) == ("", True, ())
        made_now = look(rayservice(serving(pending=pending)))
        (create,) = did(made_now, Create)
        assert (create.kind, key_of(create.thing).name) == (RAY_CLUSTER, pending)

    def test_serve_is_told_once_the_head_answers(self) -> None:
        thing = rayservice(serving(pending="c1"))
        assert look(thing, (RAY_CLUSTER, cluster_for(thing, "c1", up=False))).probes == ()
        asked = look(thing, (RAY_CLUSTER, cluster_for(thing, "c1")))
        assert ([one.target for one in asked.probes], did(asked, Call)) == ([url("c1")], [])
        empty = {probe(url("c1")).key: ServeFact()}
        (call,) = did(look(thing, (RAY_CLUSTER, cluster_for(thing, "c1")), facts=empty), Call)
        assert (call.target, call.arguments["applications"][0]["name"]) == (url("c1"), "fruit")
        silent = {probe(url("c1")).key: ServeFact(error="no route")}
        assert did(look(thing, (RAY_CLUSTER, cluster_for(thing, "c1")), facts=silent), Call) == []

    def test_it_serves_when_all_that_is_wanted_runs(self) -> None:
        thing = rayservice(serving(pending="c1"))
        mine = (RAY_CLUSTER, cluster_for(thing, "c1"))
        assert names(look(thing, mine, facts=[running("c1", "DEPLOYING")])) == ("", "c1")
        assert names(look(thing, mine, facts=[running("c1")])) == ("c1", "")
        other = {"name": "fruit", "import_path": "fruit:old"}
        assert names(look(thing, mine, facts=[running("c1", config=other)])) == ("", "c1")

    def test_services_lead_to_it_and_the_status_says_so(self) -> None:
        thing = rayservice(serving(active="c1"))
        done = look(thing, (RAY_CLUSTER, cluster_for(thing, "c1")), facts=[running("c1")])
        services = {key_of(one.thing).name: one.thing["spec"]["selector"] for one in did(done, Create)}
        assert services["shop-head-svc"]["ray.io/cluster"] == "c1"
        assert services["shop-serve-svc"] == {"ray.io/cluster": "c1", "ray.io/serve": "true"}
        assert done.status is not None
        applications = done.status["activeServiceStatus"]["applicationStatuses"]
        assert applications == {
            "fruit": {"status": "RUNNING", "serveDeploymentStatuses": {"Mango": {"status": "HEALTHY"}}}
        }
        assert condition(done, "Ready") == ("False", "Initializing")
        assert condition(done, "UpgradeInProgress") == ("False", "NoPendingCluster")


class TestUpgrade:
    OLD = rayservice(serving(active="c1"))
    NEW = rayservice(serving(active="c1"), rayClusterConfig=raycluster(group(), rayVersion="2.61.0")["spec"])

    def test_another_cluster_is_made_beside_the_one_that_serves(self) -> None:
        """KubeRay's scenario 51."""
        c1 = (RAY_CLUSTER, cluster_for(self.OLD, "c1"))
        active, pending = names(look(self.NEW, c1))
        assert (active, pending != "") == ("c1", True)
        upgrading = {**self.NEW, "status": serving("c1", "c2")}
        c2 = (RAY_CLUSTER, cluster_for(self.NEW, "c2"))
        done = look(upgrading, c1, c2, facts=[running("c1"), (probe(url("c2")).key, ServeFact())])
        assert condition(done, "UpgradeInProgress") == ("True", "BothActivePendingClustersExist")
        assert [call.target for call in did(done, Call)] == [url("c2")]
        assert did(done, Delete) == []
        assert names(look(upgrading, c1, c2, facts=[running("c1"), running("c2")])) == ("c2", "")

    def test_the_one_that_serves_is_not_told_what_is_meant_for_the_next_one(self) -> None:
        """KubeRay's scenario 55: cluster and configuration change together, and the next cluster is not there yet."""
        told = CONFIG.replace("num_replicas: 2", "num_replicas: 5")
        upgrading = rayservice(serving("c1", "c2"), told, rayClusterConfig=self.NEW["spec"]["rayClusterConfig"])
        done = look(upgrading, (RAY_CLUSTER, cluster_for(self.OLD, "c1")), facts=[running("c1")])
        assert ([key_of(one.thing).name for one in did(done, Create)][:1], did(done, Call)) == (["c2"], [])

    def test_the_switch_waits_until_somebody_answers_on_the_other_side(self) -> None:
        """A cluster of a head alone has nobody behind the names until its head is let into traffic."""
        upgrading = {**self.NEW, "status": serving("c1", "c2")}
        clusters = tuple(
            (RAY_CLUSTER, cluster_for(thing, name)) for thing, name in ((self.OLD, "c1"), (self.NEW, "c2"))
        )
        serves = tuple(serving_pods(clusters[0][1]))
        (head,) = (one for one in serving_pods(clusters[1][1]) if "-head-" in key_of(one).name)
        facts = [running("c1"), running("c2")]
        waiting = look(upgrading, *clusters, facts=facts, pods=(*serves, without_label(head)))
        assert names(waiting) == ("c1", "c2")
        assert key_of(head).name in [one.key.name for one in did(waiting, Patch)]
        assert waiting.again_s == 2.0
        assert names(look(upgrading, *clusters, facts=facts, pods=(*serves, head))) == ("c2", "")

    def test_the_old_one_goes_some_time_after_the_switch(self) -> None:
        """KubeRay's scenario 53."""
        switched = {**self.NEW, "status": serving("c2")}
        c2 = (RAY_CLUSTER, cluster_for(self.NEW, "c2"))
        done = look(switched, (RAY_CLUSTER, cluster_for(self.OLD, "c1")), c2)
        (patch,) = [one for one in did(done, Patch) if one.key.name == "c1"]
        assert patch.patch == {"metadata": {"annotations": {RETIRED_ANNOTATION: f"{NOW:.0f}"}}}
        assert done.again_s == 60.0
        for ago_s, gone in ((59, []), (60, ["c1"])):
            retired = cluster_for(self.OLD, "c1", {RETIRED_ANNOTATION: f"{NOW - ago_s:.0f}"})
            later = look(switched, (RAY_CLUSTER, retired), c2)
            assert [one.key.name for one in did(later, Delete)] == gone

    def test_the_names_follow_the_switch(self) -> None:
        before = look(self.OLD, (RAY_CLUSTER, cluster_for(self.OLD, "c1")))
        services = [(SERVICE, one.thing) for one in did(before, Create)]
        switched = {**self.NEW, "status": serving("c2")}
        done = look(switched, (RAY_CLUSTER, cluster_for(self.NEW, "c2")), *services)
        selectors = [one.patch[0]["value"]["ray.io/cluster"] for one in did(done, Patch) if one.kind == SERVICE]
        assert selectors == ["c2", "c2"]

    def test_taken_back_half_way_the_one_that_serves_goes_on(self) -> None:
        half_way = {**self.OLD, "status": serving("c1", "c2")}
        c1, c2 = cluster_for(self.OLD, "c1"), cluster_for(self.NEW, "c2")
        assert names(look(half_way, (RAY_CLUSTER, c1), (RAY_CLUSTER, c2), facts=[running("c2")])) == ("c1", "")

    def test_without_upgrades_only_serve_is_told(self) -> None:
        """KubeRay's scenario 55."""
        still = {**self.NEW, "spec": {**self.NEW["spec"], "upgradeStrategy": {"type": "None"}}}
        assert names(look(still, (RAY_CLUSTER, cluster_for(self.OLD, "c1")))) == ("c1", "")


class TestInPlace:
    def test_another_serve_configuration_goes_to_the_same_cluster(self) -> None:
        """KubeRay's scenario 54."""
        thing = rayservice(serving(active="c1"), config=CONFIG.replace("num_replicas: 2", "num_replicas: 5"))
        done = look(thing, (RAY_CLUSTER, cluster_for(thing, "c1")), facts=[running("c1")])
        assert [call.arguments["applications"][0]["deployments"] for call in did(done, Call)] == [
            [{"name": "Mango", "num_replicas": 5}]
        ]
        assert names(done) == ("c1", "")

    @pytest.mark.parametrize(
        ("groups", "patched"),
        [((group(replicas=4),), True), ((group(), group("more")), True), ((group(),), False)],
    )
    def test_counts_and_groups_at_the_end_change_the_same_cluster(
        self, groups: tuple[Object, ...], patched: bool
    ) -> None:
        before = rayservice(serving(active="c1"))
        after = rayservice(serving(active="c1"), rayClusterConfig=raycluster(*groups)["spec"])
        done = look(after, (RAY_CLUSTER, cluster_for(before, "c1")))
        assert names(done) == ("c1", "")
        assert any(one.kind == RAY_CLUSTER for one in did(done, Patch)) is patched

    def test_what_an_autoscaler_set_stays(self) -> None:
        scaled = raycluster(group(), enableInTreeAutoscaling=True)["spec"]
        thing = rayservice(serving(active="c1"), rayClusterConfig=scaled)
        cluster = cluster_for(thing, "c1")
        cluster["spec"]["workerGroupSpecs"][0]["replicas"] = 7
        assert did(look(thing, (RAY_CLUSTER, cluster)), Patch) == []


def serving_pods(cluster: Object) -> list[Object]:
    """Return the pods of a cluster, all of them ready and in traffic."""
    pods = [copy.deepcopy(one) for kind, one in made(cluster) if kind == POD]
    for pod in pods:
        pod["metadata"]["labels"]["ray.io/serve"] = "true"
    return pods


def without_label(pod: Object) -> Object:
    kept = {name: value for name, value in pod["metadata"]["labels"].items() if name != "ray.io/serve"}
    return {**pod, "metadata": {**pod["metadata"], "labels": kept}}


def head_labels(done: Reconciled) -> list[str]:
    return [one.patch["metadata"]["labels"]["ray.io/serve"] for one in did(done, Patch) if one.kind == POD]


class TestTraffic:
    def test_the_head_gets_traffic_while_its_proxy_answers(self) -> None:
        """KubeRay's scenario 57."""
        thing = rayservice(serving(active="c1"))
        cluster = cluster_for(thing, "c1")
        pods = tuple(one for kind, one in made(cluster) if kind == POD)
        key = proxy_probe("10.244.1.2").key
        labels = []
        for fact in ({}, {key: True}, {key: False}):
            done = look(thing, (RAY_CLUSTER, cluster), facts=fact, pods=pods)
            labels += head_labels(done)
        assert labels == ["false", "true", "false"]
        kept_out = {**thing, "spec": {**thing["spec"], "excludeHeadPodFromServeSvc": True}}
        done = look(kept_out, (RAY_CLUSTER, cluster), facts={key: True}, pods=pods)
        assert [one.patch["metadata"]["labels"]["ray.io/serve"] for one in did(done, Patch) if one.kind == POD] == [
            "false"
        ]

    def test_an_operator_that_was_just_started_takes_nobody_out_of_traffic(self) -> None:
        thing = rayservice(serving(active="c1"))
        cluster = cluster_for(thing, "c1")
        done = look(thing, (RAY_CLUSTER, cluster), pods=tuple(serving_pods(cluster)))
        assert head_labels(done) == []

    def test_it_is_ready_while_somebody_serves(self) -> None:
        thing = rayservice(serving(active="c1"))
        cluster = cluster_for(thing, "c1")
        pods = tuple(one for kind, one in made(cluster) if kind == POD)
        done = look(thing, (RAY_CLUSTER, cluster), pods=pods)
        assert condition(done, "Ready") == ("True", "NonZeroServeEndpoints")
        assert done.status is not None
        assert (done.status["numServeEndpoints"], done.status["serviceStatus"]) == (1, "Running")
        lost = look({**thing, "status": done.status}, (RAY_CLUSTER, cluster))
        assert condition(lost, "Ready") == ("False", "ZeroServeEndpoints")


class TestSuspend:
    """KubeRay's scenario 59."""

    def test_everything_goes_before_it_is_suspended(self) -> None:
        thing = rayservice(serving(active="c1"), suspend=True)
        asked = look(thing, (RAY_CLUSTER, cluster_for(thing, "c1")))
        assert asked.actions == ()
        assert condition(asked, "Suspending") == ("True", "SuspendRequested")
        suspending = {**thing, "status": asked.status}
        going = look(suspending, (RAY_CLUSTER, cluster_for(thing, "c1")))
        assert [one.key.name for one in did(going, Delete)] == ["c1"]
        gone = look(suspending)
        assert condition(gone, "Suspended") == ("True", "SuspendComplete")
        assert names(gone) == ("", "")
        assert look({**thing, "status": gone.status}).actions == ()
        resumed = look({**rayservice(), "status": gone.status})
        assert names(resumed)[1] != ""


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (rayservice(config="a: ["), "serveConfigV2 is no YAML"),
        (rayservice(config="a: 1"), "a list of applications"),
        (rayservice(meta={"name": "s" * 48}), "at most 47"),
        (rayservice(rayClusterDeletionDelaySeconds=-1), "must not be negative"),
        (rayservice(meta={"annotations": {"ray.io/initializing-timeout": "soon"}}), "give a time such as 30m"),
    ],
)
def test_what_cannot_work_is_said(thing: Object, says: str) -> None:
    """KubeRay's scenario 60."""
    done = look(thing)
    assert condition(done, "Ready") == ("False", "ValidationFailed")
    assert done.status is not None
    assert any(says in one["message"] for one in done.status["conditions"])


STEPS = {"maxSurgePercent": 20, "stepSizePercent": 10, "intervalSeconds": 30, "gatewayClassName": "istio"}


def by_steps(status: Object | None = None, autoscaled: bool = True, **changed: Any) -> Object:
    """Return a service that goes over by steps; an option that is None is left out."""
    options = {name: value for name, value in (STEPS | changed).items() if value is not None}
    strategy = {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": options}
    cluster = raycluster(group(), enableInTreeAutoscaling=autoscaled)["spec"]
    return rayservice(status, rayClusterConfig=cluster, upgradeStrategy=strategy)


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (by_steps(autoscaled=False), "enableInTreeAutoscaling"),
        (by_steps(maxSurgePercent=0), "maxSurgePercent must be from 1 to 100 and is 0"),
        (by_steps(maxSurgePercent=101), "maxSurgePercent must be from 1 to 100 and is 101"),
        (by_steps(stepSizePercent=None), "stepSizePercent must be from 1 to 100 and is missing"),
        (by_steps(stepSizePercent=0), "stepSizePercent must be from 1 to 100 and is 0"),
        (by_steps(stepSizePercent=30), "stepSizePercent (30) must not be more than maxSurgePercent (20)"),
        (by_steps(intervalSeconds=None), "intervalSeconds must be at least 1 and is missing"),
        (by_steps(intervalSeconds=0), "intervalSeconds must be at least 1 and is 0"),
        (by_steps(gatewayClassName=None), "gatewayClassName is missing"),
        (rayservice(upgradeStrategy={"type": "NewClusterWithIncrementalUpgrade"}), "clusterUpgradeOptions is missing"),
    ],
)
def test_steps_that_lead_nowhere_are_refused(thing: Object, says: str) -> None:
    """KubeRay's scenario 60."""
    done = look(thing)
    assert condition(done, "Ready") == ("False", "ValidationFailed")
    assert done.status is not None
    assert any(says in one["message"] for one in done.status["conditions"])
    assert (did(done, Create), did(done, Delete)) == ([], [])


def test_steps_of_the_default_surge_are_fine() -> None:
    assert names(look(by_steps(maxSurgePercent=None)))[1] != ""


class TestBySteps:
    """What is said and done at one moment of an upgrade by steps; its course is told on virtual time."""

    OLD = by_steps(serving("c1"))
    CHANGED = copy.deepcopy(OLD)
    CHANGED["spec"]["rayClusterConfig"]["rayVersion"] = "2.61.0"

    def half_way(self, **more: Any) -> Object:
        shares = {"active": (80, 60), "pending": (40, 40)}
        status = {
            f"{which}ServiceStatus": {
                "rayClusterName": name,
                "targetCapacity": shares[which][0],
                "trafficRoutedPercent": shares[which][1],
                "lastTrafficMigratedTime": timestamp(NOW - 60),
            }
            for which, name in (("active", "c1"), ("pending", "c2"))
        }
        return {**self.CHANGED, "status": status, **more}

    def clusters(self) -> tuple[tuple[Kind, Object], ...]:
        old, new = cluster_for(self.OLD, "c1"), cluster_for(self.CHANGED, "c2")
        return (RAY_CLUSTER, old), (RAY_CLUSTER, new)

    def test_gateway_and_route_are_as_kuberay_makes_them(self) -> None:
        done = look(self.half_way(), *self.clusters())
        (gateway,) = (one.thing for one in did(done, Create) if one.kind == GATEWAY)
        assert key_of(gateway) == Key("team", "shop-gateway")
        listener = {"name": "http", "protocol": "HTTP", "port": 80}
        assert gateway["spec"] == {"gatewayClassName": "istio", "listeners": [listener]}
        assert gateway["metadata"]["ownerReferences"][0]["name"] == "shop"
        done = look(self.half_way(), *self.clusters(), (GATEWAY, gateway))
        (route,) = (one.thing for one in did(done, Create) if one.kind == HTTP_ROUTE)
        assert key_of(route) == Key("team", "shop-httproute")
        assert route["spec"]["parentRefs"] == [{"name": "shop-gateway", "namespace": "team"}]
        (rule,) = route["spec"]["rules"]
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
        assert rule["backendRefs"] == [
            {"name": "c1-serve-svc", "namespace": "team", "port": 8000, "weight": 60},
            {"name": "c2-serve-svc", "namespace": "team", "port": 8000, "weight": 40},
        ]

    def test_what_the_api_server_adds_to_a_route_is_no_reason_to_write_it(self) -> None:
        gateway = (GATEWAY, self.made(GATEWAY))
        route = self.made(HTTP_ROUTE, gateway)
        route["spec"]["parentRefs"][0] |= {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            backend |= {"group": "", "kind": "Service"}
        done = look(self.half_way(), *self.clusters(), gateway, (HTTP_ROUTE, route))
        assert [one for one in did(done, Patch) if one.kind in (GATEWAY, HTTP_ROUTE)] == []
        route["spec"]["rules"][0]["backendRefs"][0]["weight"] = 61
        done = look(self.half_way(), *self.clusters(), gateway, (HTTP_ROUTE, route))
        assert [one.kind for one in did(done, Patch) if one.kind in (GATEWAY, HTTP_ROUTE)] == [HTTP_ROUTE]

    def made(self, kind: Kind, *there: tuple[Kind, Object]) -> Object:
        done = look(self.half_way(), *self.clusters(), *there)
        return next(copy.deepcopy(one.thing) for one in did(done, Create) if one.kind == kind)

    def test_each_cluster_is_told_its_share_and_only_the_next_one_the_rest(self) -> None:
        """The share goes with Serve's own configuration, by the same call."""
        thing = self.half_way()
        thing["spec"] = {**thing["spec"], "serveConfigV2": CONFIG.replace("num_replicas: 2", "num_replicas: 5")}
        (_, old), (_, new) = running("c1"), (None, ServeFact())
        facts = {probe(url("c1")).key: old, probe(url("c2")).key: new}
        calls = {one.target: one for one in did(look(thing, *self.clusters(), facts=facts), Call)}
        counts = {
            name: calls[url(name)].arguments["applications"][0]["deployments"][0]["num_replicas"]
            for name in ("c1", "c2")
        }
        assert counts == {"c1": 2, "c2": 5}
        assert {name: calls[url(name)].arguments["target_capacity"] for name in ("c1", "c2")} == {"c1": 80, "c2": 40}
        assert {one.call for one in calls.values()} == {"put_serve_config"}

    def test_who_was_told_its_share_is_left_alone(self) -> None:
        facts = {}
        for name, share in (("c1", 80.0), ("c2", 40.0)):
            key, fact = running(name)
            assert isinstance(fact, ServeFact)
            facts[key] = replace(fact, target_capacity=share)
        assert did(look(self.half_way(), *self.clusters(), facts=facts), Call) == []


# The hash of a cluster's spec is written on it, and compared by every later operator: another way to make it would
# replace every cluster of every service on the day of the operator's own upgrade.
WRITTEN_BY_THE_OPERATORS_BEFORE = "lmmdftf7hznnmcgt6khknnd9"


class TestAnotherOperator:
    """KubeRay's scenario 62: the operator before this one made the cluster."""

    def test_clusters_keep_their_hash(self) -> None:
        assert goal_hash(raycluster(group())["spec"]) == WRITTEN_BY_THE_OPERATORS_BEFORE

    def test_a_cluster_that_kuberay_has_made_goes_on_to_serve(self) -> None:
        """Its hash is another one, of the same spec."""
        thing = rayservice(serving("c1"))
        theirs = {"ray.io/hash-without-replicas-and-workers-to-delete": "9Q7T0", "ray.io/kuberay-version": "v1.5.0"}
        cluster = cluster_for(thing, "c1", theirs)
        cluster["spec"]["workerGroupSpecs"][0]["replicas"] = 3
        assert names(look(thing, (RAY_CLUSTER, cluster))) == ("c1", "")
        other = copy.deepcopy(cluster)
        other["spec"]["rayVersion"] = "2.59.0"
        assert names(look(thing, (RAY_CLUSTER, other)))[1] != ""

    def test_an_upgrade_that_was_under_way_goes_on(self) -> None:
        """A status without shares, as it was before there were any."""
        thing = {**TestBySteps.CHANGED, "status": serving("c1", "c2")}
        clusters = TestBySteps().clusters()
        done = look(thing, *clusters)
        assert done.status is not None
        shares = [done.status[f"{which}ServiceStatus"]["targetCapacity"] for which in ("active", "pending")]
        assert (names(done), shares, did(done, Delete)) == (("c1", "c2"), [100, 0], [])


@pytest.mark.parametrize(
    ("given", "seconds"), [("30m", 1800), ("1h30m", 5400), ("90", 90), ("1.5m", 90), ("500ms", 0.5), ("", None)]
)
def test_times_are_read_as_kuberay_reads_them(given: str, seconds: float | None) -> None:
    assert timeout_s(rayservice(meta={"annotations": {"ray.io/initializing-timeout": given}})) == seconds


@pytest.mark.parametrize("given", ["soon", "0", "-5m", "0s", "5 m"])
def test_times_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(ValueError, match="give a time such as 30m"):
        timeout_s(rayservice(meta={"annotations": {"ray.io/initializing-timeout": given}}))


def test_a_service_that_somebody_else_manages_is_left_alone() -> None:
    assert look(rayservice(managedBy="kueue.x-k8s.io/multikueue")) == Reconciled()


def test_a_cluster_that_somebody_deleted_is_replaced() -> None:
    thing = rayservice(serving(active="c1"))
    active, pending = names(look(thing))
    assert (active, pending != "") == ("", True)


def test_the_secret_of_each_cluster_is_named_with_what_it_is_asked() -> None:
    """KubeRay's scenario 60."""
    auth = {"mode": "token", "secretName": "mine"}
    thing = rayservice(serving(pending="c1"), rayClusterConfig=raycluster(group(), authOptions=auth)["spec"])
    cluster = (RAY_CLUSTER, cluster_for(thing, "c1"))
    done = look(thing, cluster, facts=[(probe(url("c1")).key, ServeFact())])
    assert [one.secret for one in (*done.probes, *did(done, Call))] == [Key("team", "mine")] * 2
