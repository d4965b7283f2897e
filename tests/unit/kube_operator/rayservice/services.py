"""RayServices and their clusters for tests, as the API server would give them, and what a look at them decides."""

import copy
from collections.abc import Hashable
from typing import Any

from tests.unit.kube_operator.raycluster.clusters import NOW, group, raycluster

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.rayservice.reconcile import reconcile
from rayfleet.kube_operator.rayservice.serve import ServeFact, probe
from rayfleet.kube_operator.rayservice.state import Service, new_cluster
from rayfleet.kube_operator.reconciling import Observed, Reconciled
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import POD, Kind, Object

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
