"""What people and programs are told about a resource and its pods."""

import pytest
from tests.unit.launcher.kube.things import condition, found, group, pod, ready, resource, waiting

from rayfleet.launcher.kube.view import Stage, cluster_name, lines, pod_view, view
from rayfleet.wire.kube.objects import Object

NO_ROOM = condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")
ENDED = {"name": "ray", "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}


@pytest.mark.parametrize(
    ("seen", "stage", "line"),
    [
        (ready("p"), Stage.READY, "ready"),
        (pod("p"), Stage.RUNNING, "runs, not ready yet"),
        (pod("p", phase="Pending"), Stage.STARTING, "starts on n1"),
        (
            pod("p", phase="Pending", node="", conditions=[NO_ROOM]),
            Stage.UNSCHEDULED,
            "waits for a machine: Unschedulable: 0/3 nodes are available",
        ),
        (waiting("p", "ContainerCreating"), Stage.STARTING, "starts on n1: ContainerCreating"),
        (waiting("p", "PodInitializing"), Stage.STARTING, "starts on n1"),
        (
            waiting("p", "ImagePullBackOff", "no such image"),
            Stage.STUCK,
            "does not start on n1: ImagePullBackOff: no such image",
        ),
        (
            pod("p", containerStatuses=[{**ENDED, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
            Stage.STUCK,
            "does not start on n1: CrashLoopBackOff; ray ended with 137 (OOMKilled)",
        ),
        (pod("p", phase="Failed", reason="Evicted", message="low on memory"), Stage.ENDED, "ended: low on memory"),
        (pod("p", phase="Failed", reason="Evicted"), Stage.ENDED, "ended: Evicted"),
    ],
)
def test_how_a_pod_is_and_why(seen: Object, stage: Stage, line: str) -> None:
    found_ = pod_view(seen)
    assert (found_.stage, found_.line) == (stage, line)


def test_a_pod_that_leaves_does_so_whatever_else_it_says() -> None:
    leaving = ready("p")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pod_view(leaving).stage is Stage.LEAVING


def test_a_cluster_for_people() -> None:
    status = {
        "state": "ready",
        "observedGeneration": 2,
        "conditions": [condition("HeadPodReady", "True", "HeadPodRunningAndReady")],
        "head": {"serviceName": "demo-head-svc"},
    }
    thing = resource(status=status, workerGroupSpecs=[group(replicas=2, numOfHosts=2)])
    pods = [
        ready("h"),
        *(waiting(f"w{n}", "ErrImagePull", group="small") for n in range(2)),
        ready("w2", group="small"),
    ]
    assert list(lines(view(thing, thing, pods))) == [
        "RayCluster team/demo: ready",
        "head      h  ready",
        "group     small: 4 desired, 1 ready, 3 pending (0 to 10)",
        "            2 does not start on n1: ErrImagePull",
        "condition HeadPodReady True (HeadPodRunningAndReady)",
        "service   demo-head-svc",
    ]


def test_the_same_for_programs() -> None:
    thing = resource(workerGroupSpecs=[group(replicas=1)])
    told = view(thing, thing, [pod("h", phase="Pending")]).as_json()
    assert (told["kind"], told["name"], told["namespace"], told["ready"]) == ("RayCluster", "demo", "team", False)
    assert (told["head"]["stage"], told["groups"][0]["pending"], told["groups"][0]["most"]) == ("starting", 1, 5)


@pytest.mark.parametrize(
    ("more", "desired"),
    [
        ({"replicas": 9}, 5),
        ({"replicas": 0, "minReplicas": 2}, 2),
        ({"replicas": 3, "suspend": True}, 0),
        ({"replicas": 3, "numOfHosts": 4}, 12),
    ],
)
def test_desired_is_what_the_operator_makes_of_the_counts(more: Object, desired: int) -> None:
    thing = resource(workerGroupSpecs=[group(**more)])
    assert [one.desired for one in view(thing, thing, []).groups] == [desired]


def test_a_suspended_cluster_wants_nobody() -> None:
    thing = resource(workerGroupSpecs=[group(replicas=3)], suspend=True)
    seen = view(thing, thing, [])
    assert (seen.suspended, seen.groups[0].desired) == (True, 0)


def test_limits_that_are_none() -> None:
    thing = resource(workerGroupSpecs=[{"groupName": "g"}])
    assert "(0 to any number)" in "\n".join(lines(view(thing, thing, [])))


@pytest.mark.parametrize(
    ("kind", "status", "name", "state", "message"),
    [
        ("RayJob", {"jobDeploymentStatus": "Running", "rayClusterName": "c1"}, "c1", "Running", ""),
        (
            "RayJob",
            {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": "exit 1"},
            "",
            "Failed FAILED",
            "exit 1",
        ),
        ("RayService", {"pendingServiceStatus": {"rayClusterName": "c2"}}, "c2", "", ""),
        (
            "RayService",
            {
                "serviceStatus": "",
                "activeServiceStatus": {"rayClusterName": "c1"},
                "pendingServiceStatus": {"rayClusterName": "c2"},
                "conditions": [condition("Ready", "False", "x", "no endpoints")],
            },
            "c1",
            "",
            "no endpoints",
        ),
    ],
)
def test_jobs_and_services_in_their_operators_words(
    kind: str, status: Object, name: str, state: str, message: str
) -> None:
    thing = resource(kind, status)
    seen = view(thing, None, [])
    assert (cluster_name(thing), seen.state, seen.message) == (name, state, message)


def test_a_cluster_before_any_operator_has_spoken() -> None:
    thing = resource()
    seen = found(thing).view
    assert not seen.heard
    assert next(lines(seen)) == "RayCluster team/demo: says nothing yet"
