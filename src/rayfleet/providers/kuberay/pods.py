"""Pods of a RayCluster -> machines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from rayfleet.config.rayio.policy import PROVIDER
from rayfleet.contracts import Machine, MachineState
from rayfleet.model import Market, OfferKey, Trouble
from rayfleet.providers.kuberay.patches import GROUP_LABEL
from rayfleet.providers.kuberay.waiting import hindrance, hopeless
from rayfleet.wire.kube.objects import Object, is_leaving, key_of, labels_of

NODE_TYPE_LABEL: Final = "ray.io/node-type"
REPLICA_LABEL: Final = "ray.io/worker-group-replica-name"


def machine(pod: Object, waited_s: float = 0.0) -> Machine:
    """Return the machine that a worker's pod is. Its id is the pod's name, which is its node's instance id.

    `waited_s`: for how long the pod has said what it says now.
    """
    state, message, trouble = _state(pod, waited_s)
    return Machine(
        id=key_of(pod).name,
        offer=OfferKey(labels_of(pod).get(GROUP_LABEL, ""), PROVIDER, market=Market.ON_DEMAND),
        batch="",
        state=state,
        launched_at=_moment(pod["metadata"].get("creationTimestamp")),
        address=str((pod.get("status") or {}).get("podIP", "")),
        message=message,
        trouble=trouble,
        replica=replica_of(pod),
    )


def is_worker(pod: Object) -> bool:
    """Say whether a pod is a worker; the head's is not ours to count."""
    return labels_of(pod).get(NODE_TYPE_LABEL) == "worker"


def replicas_staying(pods: Sequence[Object], going: Iterable[str], hosts: int) -> int:
    """Return how many whole replicas exist of which no pod is on its way out."""
    named = set(going)
    staying = [pod for pod in pods if not is_leaving(pod) and key_of(pod).name not in named]
    broken = {replica_of(pod) for pod in pods if is_leaving(pod) or key_of(pod).name in named} - {""}
    whole = {replica_of(pod) for pod in staying} - {""} - broken
    return len(whole) + sum(not replica_of(pod) for pod in staying) // hosts


def replica_of(pod: Object) -> str:
    """Return what the pods of one replica of several hosts have in common, "" where nobody says so."""
    return labels_of(pod).get(REPLICA_LABEL, "")


def _state(pod: Object, waited_s: float) -> tuple[MachineState, str, Trouble | None]:
    """Return how a pod is, what it says when it does not come up, and of which kind that is once it is hopeless."""
    status = pod.get("status") or {}
    if is_leaving(pod):
        return MachineState.STOPPING, "", None
    if status.get("phase") in ("Failed", "Succeeded"):
        return MachineState.FAILED, str(status.get("message") or status.get("reason") or "the pod has ended"), None
    if status.get("phase") == "Running":
        return MachineState.RUNNING, "", None
    word, text = hindrance(pod)
    trouble = hopeless(word, waited_s)
    return MachineState.STARTING if trouble is None else MachineState.FAILED, text, trouble


def _moment(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
