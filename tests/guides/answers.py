"""What rayfleet says about files and commands whose time has not come, or whose cloud is not here."""

from __future__ import annotations

from collections.abc import Mapping

from tests.guides.entries import Says
from tests.unit.config import guide_files

USAGE = 2

RAYCLUSTER_REFUSED = Says(
    ("up", "ray-cluster.yaml"),
    USAGE,
    ("error: no way to a Kubernetes cluster",),
    {"ray-cluster.yaml": guide_files.RAYCLUSTER_V1},
)


def dry_run(text: str, *words: str) -> Says:
    """Return what is said of a cloud's file without asking that cloud: what would be made, and what it costs."""
    return Says(("up", "cluster.yaml", "--dry-run"), 0, (*words, "nothing was done"), {"cluster.yaml": text})


def not_tried(kind: str, cloud: str) -> str:
    """Return what is to be said of a row that needs that cloud."""
    emulated = f"its own client library against an emulator (`tests/conformance/test_{kind}.py`)"
    return f"`--dry-run` says what would be made and what it costs; tried with {emulated}, never on {cloud} itself"


def not_up(name: str, *arguments: str, files: Mapping[str, str]) -> Says:
    """Return the answer where a command needs a cluster that nobody has brought up."""
    return Says(arguments, USAGE, (f"error: no cluster is called '{name}'", "rayfleet up"), files)
