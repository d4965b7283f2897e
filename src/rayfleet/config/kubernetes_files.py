"""Files for Kubernetes that are brought here by mistake, told in one sentence."""

from __future__ import annotations

from rayfleet.config.document import Document
from rayfleet.config.problems import Problem

OUR_GROUP = "ray.io/"
SIDECAR_KEYS = {"upscalingMode", "idleTimeoutSeconds", "resources", "image", "imagePullPolicy", "env", "envFrom"}
CONTAINER_RESOURCES = {"limits", "requests"}

Told = tuple[tuple[Problem, ...], tuple[Problem, ...]]


def looks_like_kubernetes(document: Document) -> Told | None:
    """Return problems and notices for a Kubernetes file, None when it is none."""
    kind, group = document.value.get("kind"), document.value.get("apiVersion")
    if isinstance(kind, str) and isinstance(group, str):
        if group.startswith(OUR_GROUP):
            return (), (document.problem(("kind",), f"{kind} resources are not available in this version"),)
        return (document.problem(("kind",), f"a file of kind {kind} describes no Ray cluster"),), ()
    if _is_sidecar(document.value):
        message = "a part of spec.autoscalerOptions; RayCluster resources are not available in this version"
        return (), (document.problem((), message),)
    return None


def _is_sidecar(value: dict[str, object]) -> bool:
    resources = value.get("resources")
    shaped = resources is None or (isinstance(resources, dict) and set(resources) <= CONTAINER_RESOURCES)
    return bool(value) and set(value) <= SIDECAR_KEYS and shaped
