"""Nodes as a kubelet registers them, their heartbeat, and the addresses of their pods. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

VERSION = "v1.20.2"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
POD_NETWORK = "10.244"
NODE_NETWORK = "10.245"
ADDRESSES = 65_536
BYTE = 256


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node: Kubernetes quantities as text, `resources` for GPUs and the like, taints as in its API."""

    name: str
    cpu: str = "64"
    memory: str = "256Gi"
    pods: int = 1000
    resources: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()


def numbered(count: int, like: NodeSpec | None = None) -> tuple[NodeSpec, ...]:
    """Return that many nodes named node-1, node-2, ..., otherwise alike."""
    kind = like or NodeSpec("")
    names = (f"{kind.name or 'node'}-{number}" for number in range(1, count + 1))
    return tuple(
        NodeSpec(name, kind.cpu, kind.memory, kind.pods, kind.resources, kind.labels, kind.taints) for name in names
    )


def node_object(spec: NodeSpec, ip: str, now: str, *, port: int = 10250) -> Json:
    """Return the Node to register; `port`: where its kubelet answers for logs and exec, if it does."""
    labels = {"kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    metadata = {"name": spec.name, "labels": {**labels, **spec.labels}}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": {"taints": list(spec.taints)},
        "status": node_status(spec, ip, now, port),
    }


def node_status(spec: NodeSpec, ip: str, now: str, port: int) -> Json:
    """Return the status of a node that is well."""
    resources = {"cpu": spec.cpu, "memory": spec.memory, "pods": str(spec.pods), "ephemeral-storage": "1Ti"}
    resources |= spec.resources
    healthy = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
    return {
        "capacity": resources,
        "allocatable": resources,
        "conditions": [
            {"type": kind, "status": value, "reason": "Pretended", "lastHeartbeatTime": now, "lastTransitionTime": now}
            for kind, value in healthy.items()
        ],
        "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": spec.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "pretended://1",
            "kernelVersion": "",
            "kubeProxyVersion": VERSION,
            "kubeletVersion": VERSION,
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "",
            "systemUUID": "",
        },
    }


def lease(name: str, renewed: str) -> Json:
    """Return a node's heartbeat; `renewed` is RFC 3339 with microseconds."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed},
    }


class Addresses:
    """Hands out the addresses of a /16, lowest first, and takes them back."""

    def __init__(self, network: str) -> None:
        self.network = network
        self._next = 2  # the first is the gateway
        self._free: list[str] = []
        self._held: set[str] = set()

    def take(self, wanted: str = "") -> str:
        """Return a free address, the wanted one if it is; RuntimeError: none is left."""
        address = wanted if wanted and wanted not in self._held else ""
        while not address or address in self._held:
            address = self._free.pop() if self._free else self._fresh()
        self._held.add(address)
        return address

    def give_back(self, address: str) -> None:
        """Take back an address of a pod that is gone."""
        if address in self._held:
            self._held.remove(address)
            self._free.append(address)

    def _fresh(self) -> str:
        while self._next % BYTE in (0, BYTE - 1):
            self._next += 1
        if self._next >= ADDRESSES:
            raise RuntimeError(f"all addresses of {self.network}.0.0/16 are taken")
        address = f"{self.network}.{self._next // BYTE}.{self._next % BYTE}"
        self._next += 1
        return address
