"""What is found wrong with a cluster: with a place for its author's file, as a sentence for its status and events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from rayfleet.config.problems import Path
from rayfleet.config.rayio.base import Object
from rayfleet.config.rayio.raycluster import GroupSpec, RayClusterSpec

_ABOUT_RESOURCE: Final = "metadata"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to repair. `path`: from the cluster's spec, or from its resource where it begins with `metadata`.

    `text` says what is wrong and, after its last semicolon, what to do.
    """

    path: Path
    text: str

    @property
    def message(self) -> str:
        """Return what is wrong."""
        return self.text.rpartition("; ")[0] or self.text

    @property
    def hint(self) -> str:
        """Return what to do, "" where that is said already."""
        before, _, after = self.text.rpartition("; ")
        return after if before else ""

    def within(self, spec: Path) -> Path:
        """Return the path from the top of a resource whose cluster's spec is at `spec`."""
        return self.path if self.path[:1] == (_ABOUT_RESOURCE,) else (*spec, *self.path)


Findings = Iterator[Finding]


@dataclass(frozen=True)
class Manifest:
    """A cluster as its author wrote it. `name` "": it gets one later. `made_by`: a kind; "": a person applies it."""

    spec: RayClusterSpec
    name: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    made_by: str = ""

    @cached_property
    def ray_version(self) -> tuple[int, int] | None:
        """Return major and minor of Ray's version; None: not said."""
        return self.spec.ray_release

    @property
    def autoscaled(self) -> bool:
        """Say whether an autoscaler decides how many workers there are."""
        return self.spec.enable_in_tree_autoscaling

    def groups(self) -> Iterator[tuple[Path, str, GroupSpec]]:
        """Yield head and worker groups: where they stand, how they are called, what they are."""
        yield ("headGroupSpec",), "headGroupSpec", self.spec.head_group_spec
        for index, group in enumerate(self.spec.worker_group_specs):
            yield ("workerGroupSpecs", index), f"workerGroupSpecs[{index}] ({group.group_name})", group


def mapping(value: object) -> Object:
    """Return a mapping of a pod's template, empty where something else stands: the API server lets anything through."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[Object]:
    """Return the mappings of a list of a pod's template; what else stands there is left out."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def ray_container(group: GroupSpec) -> Object:
    """Return the container that runs Ray, empty where the template has none."""
    containers = mapping(group.template.get("spec")).get("containers")
    return mapping(containers[0]) if isinstance(containers, list) and containers else {}
