"""What rayfleet says today about files and commands whose time has not come."""

from __future__ import annotations

from tests.guides.entries import Says
from tests.unit.config import guide_files

USAGE = 2
LATER = "is not available in this version"

RAYCLUSTER_REFUSED = Says(
    ("up", "ray-cluster.yaml"),
    USAGE,
    ("error: no way to a Kubernetes cluster",),
    {"ray-cluster.yaml": guide_files.RAYCLUSTER_V1},
)


def place_missing(place: str, *arguments: str, text: str = "") -> Says:
    """Return the answer to a cluster file of a place that is not built yet. `text`: that file, else a small one."""
    file = text or f"cluster_name: elsewhere\nprovider: {{type: {place}}}\navailable_node_types: {{head: {{}}}}\n"
    words = ("error: cluster.yaml:", f"provider.type: provider {place} {LATER} (installed: ")
    return Says(arguments or ("up", "cluster.yaml"), USAGE, words, {"cluster.yaml": file})


NO_ACK = place_missing("aliyun")


def noted(text: str, note: str) -> Says:
    """Return the answer to a file that is fine, with a note about what has no effect yet."""
    return Says(("config", "check", "cluster.yaml"), 0, (note, "cluster.yaml is fine"), {"cluster.yaml": text})
