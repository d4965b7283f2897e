"""Volumes that a pod gets beside those of its template."""

from __future__ import annotations

from typing import Final

from rayfleet.kube_operator.raycluster.start_command import container_limits, container_requests
from rayfleet.wire.kube.objects import Object

SHARED_MEMORY: Final = "shared-mem"


def share(pod: Object, name: str, mount: Object, volume: Object) -> None:
    """Mount a volume into the Ray container, unless the template has something at that path. `mount`: but its name."""
    container = pod["spec"]["containers"][0]
    mounts = container.get("volumeMounts") or []
    if any(known["mountPath"] == mount["mountPath"] for known in mounts):
        return
    container["volumeMounts"] = [*mounts, {"name": name, **mount}]
    volumes = pod["spec"].get("volumes") or []
    if all(known["name"] != name for known in volumes):
        pod["spec"]["volumes"] = [*volumes, {"name": name, **volume}]


def share_memory(pod: Object) -> None:
    """Give Ray's object store memory to live in, unless the template has: as much as the container may use."""
    container = pod["spec"]["containers"][0]
    size = container_limits(container).get("memory", container_requests(container).get("memory"))
    volume: Object = {"medium": "Memory"} | ({"sizeLimit": size} if size is not None else {})
    share(pod, SHARED_MEMORY, {"mountPath": "/dev/shm"}, {"emptyDir": volume})  # noqa: S108 - the pod's
