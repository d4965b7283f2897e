"""What a pod that does not come up waits for, since when, and when waiting is no use any more.

image, configuration   -> `IMAGE_S`, for registries have bad moments; then nobody but the user can help
no machine takes it    -> as long as anything changes about it: machines are added, others leave; without any change
                          for `UNSCHEDULABLE_S`, none will come
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rayfleet.model import Trouble
from rayfleet.wire.kube.objects import Object, key_of, uid_of

IMAGE_S: Final = 60.0
UNSCHEDULABLE_S: Final = 300.0
"""Whoever adds machines to a Kubernetes cluster has brought one by then, and a new machine is a change."""
_NEVER: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_SOMETIMES: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "CreateContainerConfigError"})
UNSCHEDULABLE: Final = "Unschedulable"


class Waiting:
    """Since when each pod says what it says now. Time is the caller's, in seconds."""

    def __init__(self) -> None:
        """Know of no pod."""
        self._since: dict[str, tuple[str, float]] = {}

    def look(self, pods: Iterable[Object], now: float) -> dict[str, float]:
        """Return for how long each pod has said the same, by name; pods that are gone are forgotten."""
        since: dict[str, tuple[str, float]] = {}
        waited: dict[str, float] = {}
        for pod in pods:
            mark, said = f"{key_of(pod)}/{uid_of(pod)}", _mark(pod)
            before = self._since.get(mark)
            since[mark] = before if before is not None and before[0] == said else (said, now)
            waited[key_of(pod).name] = now - since[mark][1]
        self._since = since
        return waited


def hindrance(pod: Object) -> tuple[str, str]:
    """Return what keeps a pod from coming up: a word, and its place's own text; empty for nothing that is told."""
    status = pod.get("status") or {}
    for state in _waiting_containers(status):
        if state.get("reason") in _NEVER | _SOMETIMES:
            return str(state["reason"]), f"{state['reason']}: {state.get('message', '')}".removesuffix(": ")
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return UNSCHEDULABLE, f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return "", ""


def hopeless(word: str, waited_s: float) -> Trouble | None:
    """Return what kind of failure it is to have waited so long for this, None while there is hope."""
    if word in _NEVER or (word in _SOMETIMES and waited_s >= IMAGE_S):
        return Trouble.DENIED
    return Trouble.OUT_OF_STOCK if word == UNSCHEDULABLE and waited_s >= UNSCHEDULABLE_S else None


def _mark(pod: Object) -> str:
    """Return what a change of tells that something goes on; a registry's messages count its tries, and tell nothing."""
    word, text = hindrance(pod)
    return text if word == UNSCHEDULABLE else "image" if word else ""


def _waiting_containers(status: Object) -> Iterator[Object]:
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        yield (container.get("state") or {}).get("waiting") or {}
