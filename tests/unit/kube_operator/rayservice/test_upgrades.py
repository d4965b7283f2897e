"""A RayService's clusters: the first, the next one, and what changes without another."""

import copy

import pytest
from tests.unit.kube_operator.raycluster.clusters import NOW, group, made, raycluster
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

from rayfleet.kube_operator.rayservice.serve import ServeFact, probe, proxy_probe
from rayfleet.kube_operator.rayservice.state import GOAL_ANNOTATION, RETIRED_ANNOTATION
from rayfleet.kube_operator.reconciling import Call, Create, Delete, Patch, Reconciled
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, SERVICE, Key, Object, key_of


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

    def test_a_group_that_is_added_half_way_goes_to_the_cluster_that_is_on_its_way(self) -> None:
        grown = raycluster(group(), group("more"), rayVersion="2.61.0")["spec"]
        upgrading = rayservice(serving("c1", "c2"), rayClusterConfig=grown)
        old, new = cluster_for(TestUpgrade.OLD, "c1"), cluster_for(TestUpgrade.NEW, "c2")
        done = look(upgrading, (RAY_CLUSTER, old), (RAY_CLUSTER, new))
        assert [one.key.name for one in did(done, Patch) if one.kind == RAY_CLUSTER] == ["c2"]

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


def test_annotations_of_a_service_are_those_of_its_clusters_too() -> None:
    asked = {"rayfleet.io/autoscaler": "central", GOAL_ANNOTATION: "theirs"}
    made = cluster_for(rayservice(meta={"annotations": asked}), "shop-a")["metadata"]["annotations"]
    assert made["rayfleet.io/autoscaler"] == "central"
    assert made[GOAL_ANNOTATION] != "theirs"
