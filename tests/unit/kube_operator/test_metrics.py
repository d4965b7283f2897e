"""KubeRay's names, from the resources as they are."""

from typing import Any

from rayfleet.kube_operator.metrics import families
from rayfleet.wire.kube.objects import RAY_CLUSTER, RAY_CRON_JOB, RAY_JOB, RAY_SERVICE, Kind, Object

BORN = "2026-01-01T00:00:00Z"
NONE: dict[Kind, list[Object]] = {RAY_CLUSTER: [], RAY_JOB: [], RAY_SERVICE: [], RAY_CRON_JOB: []}


def thing(name: str, status: Any = None, **metadata: Any) -> Object:
    born = {"name": name, "namespace": "team", "uid": f"uid-{name}", "creationTimestamp": BORN}
    return {"metadata": {**born, **metadata}, "status": status or {}}


def condition(kind: str, status: str, since: str) -> Object:
    return {"conditions": [{"type": kind, "status": status, "lastTransitionTime": since}]}


def told(kind: Kind, *things: Object) -> dict[tuple[str, ...], float]:
    """Return what is exported: name and labels without the subject's -> value."""
    found: dict[tuple[str, ...], float] = {}
    for family in families({**NONE, kind: things}):
        for sample in family.samples:
            more = [value for name, value in sample.labels.items() if name not in {"namespace", "uid"}]
            assert (sample.labels["namespace"], sample.labels["uid"]) == ("team", f"uid-{sample.labels['name']}")
            found[(sample.name, *more)] = sample.value
    return found


def test_a_cluster_tells_its_owner_and_how_long_it_took() -> None:
    owners = [{"kind": "RayJob", "name": "j", "uid": "u", "controller": True}]
    ready = thing("a", condition("RayClusterProvisioned", "True", "2026-01-01T00:01:30Z"), ownerReferences=owners)
    starting = thing("b", condition("RayClusterProvisioned", "False", "2026-01-01T00:00:05Z"))
    assert told(RAY_CLUSTER, ready, starting) == {
        ("kuberay_cluster_info", "a", "RayJob"): 1,
        ("kuberay_cluster_info", "b", "None"): 1,
        ("kuberay_cluster_condition_provisioned", "a", "true"): 1,
        ("kuberay_cluster_condition_provisioned", "b", "false"): 1,
        ("kuberay_cluster_provisioned_duration_seconds", "a"): 90,
    }


def test_a_job_tells_its_state_and_how_long_its_last_attempt_took() -> None:
    times = {"startTime": BORN, "endTime": "2026-01-01T00:00:40Z"}
    failed = thing("f", {"jobDeploymentStatus": "Failed", "failed": 2, **times})
    running = thing("r", {"jobDeploymentStatus": "Running", "startTime": BORN})
    assert told(RAY_JOB, failed, running, thing("n")) == {
        ("kuberay_job_info", "f"): 1,
        ("kuberay_job_info", "r"): 1,
        ("kuberay_job_info", "n"): 1,
        ("kuberay_job_deployment_status", "f", "Failed"): 1,
        ("kuberay_job_deployment_status", "r", "Running"): 1,
        ("kuberay_job_deployment_status", "n", "New"): 1,
        ("kuberay_job_execution_duration_seconds", "f", "Failed", "2"): 40,
    }


def test_a_service_tells_whether_it_answers_and_whether_it_is_replaced() -> None:
    assert told(RAY_SERVICE, thing("s", condition("Ready", "True", BORN))) == {
        ("kuberay_service_info", "s"): 1,
        ("kuberay_service_condition_ready", "s", "true"): 1,
        ("kuberay_service_condition_upgrade_in_progress", "s", "false"): 1,
    }


def test_a_cron_job_is_told_too() -> None:
    assert told(RAY_CRON_JOB, thing("c")) == {("rayfleet_cron_job_info", "c"): 1}
