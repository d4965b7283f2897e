"""A RayService that goes over by steps, at single moments; and clusters that another operator has made."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import NOW, group, raycluster
from tests.unit.kube_operator.rayservice.services import (
    CONFIG,
    cluster_for,
    condition,
    did,
    look,
    names,
    rayservice,
    running,
    serving,
    url,
)

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.rayservice.initializing import timeout_s
from rayfleet.kube_operator.rayservice.serve import ServeFact, probe
from rayfleet.kube_operator.rayservice.state import goal_hash
from rayfleet.kube_operator.reconciling import Call, Create, Delete, Patch
from rayfleet.wire.kube.objects import GATEWAY, HTTP_ROUTE, RAY_CLUSTER, Key, Kind, Object, key_of

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


def test_a_service_that_is_given_up_keeps_no_gateway() -> None:
    """Neither when it goes by steps still, nor when its spec was changed since."""
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": "InitializingTimeout",
        "message": "",
        "lastTransitionTime": timestamp(NOW),
    }
    for thing in (by_steps(), rayservice()):
        given_up = {**thing, "status": {"conditions": [ready]}}
        kinds = ((HTTP_ROUTE, "shop-route"), (GATEWAY, "shop-gateway"), (RAY_CLUSTER, "c1"))
        there = [(kind, {"metadata": {"name": name, "namespace": "team", "uid": name}}) for kind, name in kinds]
        gone = did(look(given_up, *there), Delete)
        assert [one.kind for one in gone] == [HTTP_ROUTE, GATEWAY, RAY_CLUSTER]
        assert {one.why for one in gone} == {"nothing served in time"}
        assert look(given_up).actions == ()


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
