"""The golden manifests: which chart with which values, and where they stand.

The commands are those of the users' guides with our charts' names; `python tests/unit/deploy/make_goldens.py` renders
them anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]
CHARTS: Final = ROOT / "deploy" / "helm"
VALUES: Final = HERE / "values"

FIRST: Final = ("myfirst-ray-cluster", "-n", "raycluster")
"""Release and namespace of Alibaba Cloud's guide."""


@dataclass(frozen=True, slots=True)
class Case:
    """One rendering. `arguments`: release, namespace, values, as typed after the chart's name."""

    name: str
    chart: str
    arguments: tuple[str, ...]

    @property
    def golden(self) -> Path:
        """Return the file of what is to come out."""
        return HERE / "golden" / f"{self.name}.yaml"

    def command(self) -> tuple[str, ...]:
        """Return what helm is given to render it without a cluster."""
        release, *rest = self.arguments
        return ("template", release, str(CHARTS / self.chart), *rest)


def _set(*values: str) -> tuple[str, ...]:
    return tuple(part for value in values for part in ("--set", value))


CLUSTERS: Final = (
    Case("cluster", "ray-cluster", FIRST),
    Case("cluster-default-namespace", "ray-cluster", ("mysecond-ray-cluster",)),
    Case("cluster-prometheus", "ray-cluster", (*FIRST, *_set("armsPrometheus.enable=true"))),
    Case(
        "cluster-fault-tolerance",
        "ray-cluster",
        (*FIRST, *_set("armsPrometheus.enable=true", "gcsFaultTolerance.enable=true")),
    ),
    Case("cluster-eci", "ray-cluster", (*FIRST, "-f", str(VALUES / "eci.yaml"))),
    Case(
        "cluster-fluent-bit",
        "ray-cluster",
        (*FIRST, "-f", str(ROOT / "deploy" / "logs" / "kubernetes" / "sidecar-values.yaml")),
    ),
    Case("cluster-kuberay-values", "ray-cluster", ("prod", "-n", "team", "-f", str(VALUES / "kuberay.yaml"))),
    Case("cluster-beside-kuberay", "ray-cluster", ("demo", "-f", str(VALUES / "beside-kuberay.yaml"))),
    Case(
        "cluster-monitors",
        "ray-cluster",
        (
            "demo",
            *_set("podMonitor.enabled=true", "serviceMonitor.enabled=true", "worker.disabled=true"),
            *_set("head.enableInTreeAutoscaling=false", "image.tag=nightly"),
        ),
    ),
)
OPERATORS: Final = (
    Case("operator", "rayfleet-operator", ("rayfleet-operator", "-n", "rayfleet-system")),
    Case(
        "operator-single-namespace",
        "rayfleet-operator",
        ("ours", "-n", "team", *_set("singleNamespaceInstall=true", "image.repository=registry/rayfleet")),
    ),
    Case(
        "operator-namespaces",
        "rayfleet-operator",
        (
            "ours",
            "-n",
            "system",
            *_set("watchNamespace={team-a,team-b}", "replicas=2", "image.tag=9", "autoscalerImage=own:1"),
            *_set("metrics.serviceMonitor.enabled=true", "metrics.serviceMonitor.selector.release=prometheus"),
            *_set("autoscaling=central"),
        ),
    ),
)
CASES: Final = (*CLUSTERS, *OPERATORS)


def documents(text: str) -> list[dict[str, Any]]:
    """Return the objects of a stream of YAML."""
    return [one for one in YAML(typ="safe").load_all(text) if one]


def of_kind(text: str, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a kind."""
    return (one for one in documents(text) if one["kind"] == kind)
