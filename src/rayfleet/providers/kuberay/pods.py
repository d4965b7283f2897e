"""Pods of a RayCluster -> machines. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rayfleet.config.rayio.policy import PROVIDER
from rayfleet.contracts import Machine, MachineState
from rayfleet.model import Market, OfferKey
from rayfleet.providers.kuberay.patches import GROUP_LABEL
from rayfleet.wire.kube.objects import Object, is_leaving, key_of, labels_of

NODE_TYPE_LABEL: Final = "ray.io/node-type"
REPLICA_LABEL: Final = "ray.io/worker-group-replica-name"
_HOPELESS: Final = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
}
"""What a waiting container says when waiting helps nobody."""


def machine(pod: Object) -> Machine:
    """Return the machine that a worker's pod is. Its id is the pod's name, which is its node's instance id."""
    state, message = _state(pod)
    return Machine(
        id=key_of(pod).name,
        offer=OfferKey(labels_of(pod).get(GROUP_LABEL, ""), PROVIDER, market=Market.ON_DEMAND),
        batch="",
        state=state,
        launched_at=_moment(pod["metadata"].get("creationTimestamp")),
        address=str((pod.get("status") or {}).get("podIP", "")),
        message=message,
        replica=labels_of(pod).get(REPLICA_LABEL, ""),
    )


def is_worker(pod: Object) -> bool:
    """Say whether a pod is a worker; the head's is not ours to count."""
    return labels_of(pod).get(NODE_TYPE_LABEL) == "worker"


def replicas_staying(pods: Iterable[Object], going: Iterable[str], hosts: int) -> int:
    """Return how many whole replicas exist of which no pod is on its way out."""
    named = set(going)
    staying = [pod for pod in pods if not is_leaving(pod) and key_of(pod).name not in named]
    return len(staying) // hosts


def _state(pod: Object) -> tuple[MachineState, str]:
    """Return how a pod is, and what it says when it does not come up."""
    status = pod.get("status") or {}
    if is_leaving(pod):
        return MachineState.STOPPING, ""
    if status.get("phase") in ("Failed", "Succeeded"):
        return MachineState.FAILED, str(status.get("message") or status.get("reason") or "the pod has ended")
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            return MachineState.FAILED, f"{waiting['reason']}: {waiting.get('message', '')}".removesuffix(": ")
    if status.get("phase") == "Running":
        return MachineState.RUNNING, ""
    return MachineState.STARTING, _unscheduled(status)


def _unscheduled(status: Object) -> str:
    """Return why no machine of the Kubernetes cluster takes the pod."""
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return ""


def _moment(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
