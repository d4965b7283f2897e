"""Ingress, network policies and pods follow the spec where they are to, and nothing else does."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import (
    SETTINGS,
    as_seen,
    container,
    created,
    deleted,
    group,
    look,
    made,
    raycluster,
)

from rayfleet.kube_operator.reconciling import Patch
from rayfleet.kube_operator.settings import Autoscaling
from rayfleet.wire.kube.objects import INGRESS, NETWORK_POLICY, POD, Kind, Object, uid_of

EACH_OTHER = {"podSelector": {"matchLabels": {"ray.io/cluster": "demo"}}}


def with_ingress(meta: Object | None = None, **head: Any) -> Object:
    cluster = raycluster(meta=meta)
    cluster["spec"]["headGroupSpec"] |= {"enableIngress": True, **head}
    return cluster


def seen(cluster: Object, kind: Kind) -> list[tuple[Kind, Object]]:
    """Return what is made of a kind, as the API server would have it."""
    return [
        (kind, {**one, "metadata": {**one["metadata"], "uid": f"uid-{one['metadata']['name']}"}})
        for one in created(look(cluster), kind)
    ]


class TestIngress:
    def test_the_older_form_leads_to_the_dashboard_below_the_clusters_name(self) -> None:
        annotations = {"kubernetes.io/ingress.class": "nginx", "nginx.ingress.kubernetes.io/rewrite-target": "/$1"}
        (ingress,) = created(look(with_ingress({"annotations": annotations})), INGRESS)
        assert ingress["metadata"]["name"] == "demo-head-ingress"
        assert ingress["spec"]["ingressClassName"] == "nginx"
        assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/rewrite-target"] == "/$1"
        assert "kubernetes.io/ingress.class" not in ingress["metadata"]["annotations"]
        (rule,) = ingress["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        assert (path["path"], path["pathType"]) == ("/demo/(.*)", "ImplementationSpecific")
        assert path["backend"] == {"service": {"name": "demo-head-svc", "port": {"number": 8265}}}

    def test_the_options_say_host_path_and_certificate(self) -> None:
        tls = [{"hosts": ["ray.example.com"], "secretName": "cert"}]
        (ingress,) = created(look(with_ingress(ingressOptions={"host": "ray.example.com", "tls": tls})), INGRESS)
        (rule,) = ingress["spec"]["rules"]
        assert rule["host"] == "ray.example.com"
        assert (rule["http"]["paths"][0]["path"], rule["http"]["paths"][0]["pathType"]) == ("/", "Prefix")
        assert ingress["spec"]["tls"] == tls

    def test_it_follows_the_spec_and_goes_with_it(self) -> None:
        things = seen(with_ingress(), INGRESS)
        assert [one for one in look(with_ingress(), *things).actions if isinstance(one, Patch)] == []
        (patch,) = [one for one in look(with_ingress(ingressOptions={}), *things).actions if isinstance(one, Patch)]
        assert isinstance(patch.patch, list)
        assert [one["path"] for one in patch.patch] == ["/spec", "/metadata/annotations/rayfleet.io~1made-from"]
        assert list(deleted(look(raycluster(), *things))) == ["demo-head-ingress"]

    def test_one_that_somebody_else_made_is_let_be(self) -> None:
        ((kind, other),) = seen(with_ingress(), INGRESS)
        other = {**other, "metadata": {**other["metadata"], "annotations": {}}}
        assert deleted(look(raycluster(), (kind, other))) == {}
        assert created(look(with_ingress(ingressOptions={}), (kind, other)), INGRESS) == []


class TestNetworkPolicies:
    def policies(self, **options: Any) -> dict[str, Object]:
        found = created(look(raycluster(group("a"), group("b"), networkPolicy=options)), NETWORK_POLICY)
        return {one["metadata"]["name"]: one["spec"] for one in found}

    def test_there_is_one_for_the_head_and_one_for_each_group(self) -> None:
        found = self.policies()
        assert found.keys() == {"demo-head", "demo-a-worker", "demo-b-worker"}
        assert found["demo-a-worker"] == {
            "podSelector": {
                "matchLabels": {"ray.io/cluster": "demo", "ray.io/node-type": "worker", "ray.io/group": "a"}
            },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [EACH_OTHER]}],
            "egress": [{"to": [EACH_OTHER]}],
        }

    @pytest.mark.parametrize(("mode", "denied"), [("DenyAllIngress", "ingress"), ("DenyAllEgress", "egress")])
    def test_one_direction_leaves_the_other_open(self, mode: str, denied: str) -> None:
        for policy in self.policies(mode=mode).values():
            assert policy["policyTypes"] == [denied.capitalize()]
            assert {"ingress", "egress"} & policy.keys() == {denied}

    def test_rules_of_a_group_take_the_place_of_the_workers(self) -> None:
        dns, web = {"ports": [{"port": 53}]}, {"ports": [{"port": 443}]}
        found = self.policies(
            worker={"egress": [dns]}, workerGroups=[{"groupName": "b", "egress": [web]}], head={"ingress": [web]}
        )
        assert found["demo-a-worker"]["egress"][1:] == [dns]
        assert found["demo-b-worker"]["egress"][1:] == [web]
        assert found["demo-head"]["ingress"][1:] == [web]

    def test_the_operator_may_ask_the_head(self) -> None:
        settings = replace(SETTINGS, namespace="ray-system")
        done = look(raycluster(group("a"), networkPolicy={}), settings=settings)
        head, worker = (one["spec"] for one in created(done, NETWORK_POLICY))
        (rule,) = head["ingress"][1:]
        assert rule["ports"] == [{"protocol": "TCP", "port": 8265}]
        (operator,) = rule["from"]
        assert operator["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "ray-system"}}
        assert worker["ingress"][1:] == []

    def test_an_operator_that_scales_the_cluster_may_ask_its_gcs_too(self) -> None:
        settings = replace(SETTINGS, namespace="ray-system", autoscaling=Autoscaling.CENTRAL)
        cluster = raycluster(group("a"), networkPolicy={}, enableInTreeAutoscaling=True)
        cluster["spec"]["headGroupSpec"]["rayStartParams"] = {"port": "6400"}
        head, _ = (one["spec"] for one in created(look(cluster, settings=settings), NETWORK_POLICY))
        assert [port["port"] for port in head["ingress"][1]["ports"]] == [8265, 6400]

    def test_the_gcs_of_a_head_that_the_operator_scales_stays_open_when_the_next_head_is_another_s(self) -> None:
        settings = replace(SETTINGS, namespace="ray-system", autoscaling=Autoscaling.CENTRAL)
        cluster = raycluster(group("a"), networkPolicy={}, enableInTreeAutoscaling=True)
        head, _ = created(look(cluster, settings=settings))
        cluster["spec"]["idleTerminationOptions"] = {"timeoutSeconds": 60}
        done = look(cluster, (POD, as_seen(head)), settings=settings)
        policy, _ = (one["spec"] for one in created(done, NETWORK_POLICY))
        assert done.scaling is not None
        assert [port["port"] for port in policy["ingress"][1]["ports"]] == [8265, 6379]

    def test_they_go_with_the_field_and_with_their_group(self) -> None:
        cluster = raycluster(group("a"), group("b"), networkPolicy={})
        things = seen(cluster, NETWORK_POLICY)
        assert len(deleted(look(raycluster(group("a"), group("b")), *things))) == 3
        assert list(deleted(look(raycluster(group("a"), networkPolicy={}), *things))) == ["demo-b-worker"]


class TestRecreate:
    """KubeRay's scenario 20: a changed spec makes all pods new."""

    def cluster(self, image: str = "", *groups: Object, kind: str = "Recreate", **spec: Any) -> Object:
        cluster = raycluster(*(groups or (group(replicas=2),)), upgradeStrategy={"type": kind}, **spec)
        if image:
            template = {"spec": {"containers": [{**container("ray-head"), "image": image}]}}
            cluster["spec"]["headGroupSpec"] = {"rayStartParams": {}, "template": template}
        return cluster

    def test_all_pods_go_then_all_come_back(self) -> None:
        things = made(self.cluster())
        newer = self.cluster("ray:new")
        going = look(newer, *things)
        assert len(deleted(going)) == 3
        assert created(going) == []
        left = [one for one in things if one[0] != POD]
        fresh = created(look(newer, *left))
        assert len(fresh) == 3
        assert deleted(look(newer, *left, *((POD, as_seen(pod)) for pod in fresh))) == {}

    def test_a_repeat_from_an_old_look_spares_the_new_pods(self) -> None:
        old = [one for kind, one in made(self.cluster()) if kind == POD]
        newer = self.cluster("ray:new")
        new = [one for kind, one in made(newer) if kind == POD]
        done = look(newer, *((POD, pod) for pod in (old[0], new[1])))
        assert list(deleted(done)) == [old[0]["metadata"]["name"]]
        assert uid_of(new[1]) not in {getattr(one, "uid", "") for one in done.actions}

    @pytest.mark.parametrize(
        "more", [{"replicas": 5}, {"minReplicas": 1}, {"scaleStrategy": {"workersToDelete": ["nobody"]}}]
    )
    def test_scaling_changes_no_pod(self, more: dict[str, Any]) -> None:
        things = made(self.cluster())
        scaled = self.cluster("", {**group(replicas=2), **more})
        assert deleted(look(scaled, *things)) == {}

    def test_without_the_strategy_pods_stay(self) -> None:
        things = made(self.cluster())
        assert deleted(look(self.cluster("ray:new", kind="None"), *things)) == {}

    def test_pods_that_another_operator_marked_stay_until_the_spec_changes(self) -> None:
        theirs = []
        for kind, one in made(self.cluster()):
            marked = copy.deepcopy(one)
            if kind == POD:
                marked["metadata"]["annotations"]["ray.io/upgrade-strategy-recreate-hash"] = "Q1RS8J"
            theirs.append((kind, marked))
        assert deleted(look(self.cluster(), *theirs)) == {}
