"""What a pod's own status says, in the words that decisions need."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from rayfleet.kube_operator.raycluster.names import GROUP_LABEL, HOST_INDEX_LABEL, REPLICA_INDEX_LABEL, Slot
from rayfleet.wire.kube.objects import Object, labels_of


class Health(StrEnum):
    """How a pod is."""

    PENDING = "pending"
    RUNNING = "running"
    READY = "ready"
    ENDED = "ended"
    """Over, and nothing will start it again."""


def health(pod: Object) -> Health:
    """Return how a pod is, from its status."""
    status = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if phase in ("Failed", "Succeeded"):
        return Health.ENDED
    if phase != "Running":
        return Health.PENDING
    if pod["spec"].get("restartPolicy") == "Never" and terminated(pod) is not None:
        return Health.ENDED
    return Health.READY if condition(pod, "Ready") == "True" else Health.RUNNING


def condition(pod: Object, kind: str) -> str:
    """Return the status of a pod's condition: "True", "False", "Unknown"; "" when it has none such."""
    return str(_condition(pod, kind).get("status", ""))


def why_not(pod: Object, kind: str) -> tuple[str, str]:
    """Return reason and message of a pod's condition."""
    found = _condition(pod, kind)
    return str(found.get("reason", "")), str(found.get("message", ""))


def terminated(pod: Object) -> Object | None:
    """Return how the Ray container ended, None while it has not."""
    container = ray_status(pod)
    ended = (container.get("state") or {}).get("terminated")
    return ended if isinstance(ended, dict) else None


def ray_status(pod: Object) -> Object:
    """Return the status of the Ray container, empty before it has one."""
    name = pod["spec"]["containers"][0]["name"]
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((status for status in statuses if status["name"] == name), {})


def slot_of(pod: Object) -> Slot:
    """Return where a pod stands; pods that are not of our making stand at their group's place 0."""
    labels = labels_of(pod)
    return Slot(labels.get(GROUP_LABEL, ""), _index(labels, REPLICA_INDEX_LABEL), _index(labels, HOST_INDEX_LABEL))


def moment(text: str | None) -> float:
    """Return a timestamp of Kubernetes in seconds since the epoch; 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def created_at(thing: Object) -> float:
    """Return when an object was made, in seconds since the epoch."""
    return moment(thing["metadata"].get("creationTimestamp"))


def _condition(pod: Object, kind: str) -> Object:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})


def _index(labels: dict[str, str], name: str) -> int:
    text = labels.get(name, "0")
    return int(text) if text.isdecimal() else 0
