"""When waiting is over, and what is told meanwhile."""

import pytest
from tests.unit.launcher.kube.things import condition, found, group, pod, ready, resource, waiting

from rayfleet.launcher.kube.outcome import SILENCE_S, STUCK_S, Outcome, progress, verdict
from rayfleet.wire.kube.objects import Object

CURRENT = {"state": "ready", "observedGeneration": 2}
ONE = [group(replicas=1)]


def outcome(thing: Object, *pods: Object, waited_s: float = 5.0, stuck_s: float = 0.0) -> Outcome:
    return verdict(found(thing, *pods).view, waited_s, stuck_s).outcome


@pytest.mark.parametrize(
    ("status", "pods", "expected"),
    [
        (CURRENT, (ready("h"), ready("w", group="small")), Outcome.READY),
        (CURRENT, (ready("h"), pod("w", group="small")), Outcome.WAITING),
        (CURRENT, (pod("h"), ready("w", group="small")), Outcome.WAITING),
        (CURRENT, (), Outcome.WAITING),
        # The operator has not yet looked at what was changed: its pods are those of before.
        ({"state": "ready", "observedGeneration": 1}, (ready("h"), ready("w", group="small")), Outcome.WAITING),
    ],
)
def test_a_cluster_is_ready_when_all_pods_are_and_its_operator_has_seen_the_change(
    status: Object, pods: tuple[Object, ...], expected: Outcome
) -> None:
    assert outcome(resource(status=status, workerGroupSpecs=ONE), *pods) is expected


def test_a_suspended_cluster_is_done_when_its_pods_are_gone() -> None:
    thing = resource(status=CURRENT, workerGroupSpecs=ONE, suspend=True)
    assert outcome(thing, ready("h")) is Outcome.WAITING
    assert outcome(thing) is Outcome.SUSPENDED


def test_nobody_who_takes_notice_is_a_failure_after_a_while() -> None:
    assert outcome(resource()) is Outcome.WAITING
    told = verdict(found(resource()).view, SILENCE_S, 0.0)
    assert told.outcome is Outcome.FAILED
    assert "nobody has taken notice of RayCluster team/demo" in told.why
    assert "install" in told.hint


def test_a_pod_that_does_not_start_fails_it_and_one_that_waits_for_a_machine_does_not() -> None:
    stuck = waiting("h", "ImagePullBackOff", "no such image")
    thing = resource(status=CURRENT)
    assert outcome(thing, stuck, stuck_s=STUCK_S - 1) is Outcome.WAITING
    told = verdict(found(thing, stuck).view, 100.0, STUCK_S)
    assert told.outcome is Outcome.FAILED
    assert told.why == "pod h does not start on n1: ImagePullBackOff: no such image"
    no_room = pod("h", phase="Pending", node="", conditions=[condition("PodScheduled", "False", "Unschedulable")])
    assert outcome(thing, no_room, waited_s=3000.0, stuck_s=3000.0) is Outcome.WAITING


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("RayJob", {"jobDeploymentStatus": "Initializing"}, Outcome.WAITING),
        ("RayJob", {"jobDeploymentStatus": "Running"}, Outcome.READY),
        ("RayJob", {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, Outcome.READY),
        ("RayJob", {"jobDeploymentStatus": "ValidationFailed", "message": "both"}, Outcome.FAILED),
        ("RayService", {"serviceStatus": "", "conditions": [condition("Ready", "False")]}, Outcome.WAITING),
        ("RayService", {"conditions": [condition("Ready", "True")]}, Outcome.READY),
    ],
)
def test_jobs_run_and_services_serve(kind: str, status: Object, expected: Outcome) -> None:
    assert outcome(resource(kind, status)) is expected


def test_what_is_told_meanwhile() -> None:
    thing = resource(status=CURRENT, workerGroupSpecs=[group(replicas=2)])
    pods = (ready("h"), waiting("w", "ErrImagePull", group="small"))
    assert list(progress(found(thing, *pods).view)) == [
        ("head", "head h: ready"),
        ("workers", "workers: 0/2 ready"),
        ("small", "  small: 1 does not start on n1: ErrImagePull"),
    ]
