"""The hosts files that stand in for a cluster's DNS: every Service by its names, at the address of one pod. Pure.

There is no kube-proxy here, so a name leads to a pod directly: right for headless Services and for those with one pod,
where the port of the Service is that of the pod.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]
DOMAIN = "svc.cluster.local"


def address(endpoints: Json) -> str:
    """Return where a Service leads; "" while no pod is behind it."""
    for subset in endpoints.get("subsets") or ():
        for each in subset.get("addresses") or ():
            return str(each["ip"])
    return ""


def hosts(endpoints: Iterable[Json], namespace: str, own: Mapping[str, str]) -> str:
    """Return the hosts file of a pod in this namespace; `own`: name -> address of what comes first."""
    lines = ["127.0.0.1\tlocalhost", *(f"{ip}\t{name}" for name, ip in own.items())]
    for each in endpoints:
        ip = address(each)
        metadata = each["metadata"]
        if ip and metadata["name"] not in own:
            lines.append(f"{ip}\t{' '.join(_names(metadata['name'], metadata['namespace'], namespace))}")
    return "\n".join(lines) + "\n"


def _names(service: str, home: str, seen_from: str) -> list[str]:
    full = f"{service}.{home}"
    return [*([service] if home == seen_from else []), full, f"{full}.svc", f"{full}.{DOMAIN}"]
