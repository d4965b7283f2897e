"""Files for Kubernetes: `ray.io` resources, alone or among others; parts of them; and what is brought by mistake."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rayfleet.config.checked import Checked
from rayfleet.config.cluster_spec import ClusterSpec, Registry
from rayfleet.config.document import Document
from rayfleet.config.problems import Problem
from rayfleet.config.rayio.policy import PROVIDER, group_resources, policy_of
from rayfleet.config.rayio.resource import Resource, is_resource, resource, sidecar
from rayfleet.model import Policy, Pool

HEAD_GROUP: Final = "headgroup"
RUNNABLE: Final = ("RayCluster", "RayJob", "RayService")
"""Kinds that `up` takes."""
SIDECAR_KEYS: Final = {"upscalingMode", "idleTimeoutSeconds", "resources", "image", "imagePullPolicy", "env", "envFrom"}
CONTAINER_RESOURCES: Final = {"limits", "requests"}
_OURS: Final = re.compile(r"""apiVersion["']?\s*:\s*["']?ray\.io/""")


def may_be_manifest(text: str) -> bool:
    """Say whether a text holds a `ray.io` resource by its looks, without reading it as YAML."""
    return _OURS.search(text) is not None


def has_resource(documents: Sequence[Document]) -> bool:
    """Say whether one of the documents is a `ray.io` resource."""
    return any(is_resource(document.value) for document in documents)


def manifest(documents: Sequence[Document], registry: Registry) -> Checked:
    """Return what is to be said about documents of which at least one is a `ray.io` resource."""
    found = [(document, resource(document)) for document in documents if is_resource(document.value)]
    problems = tuple(problem for _, each in found for problem in each.problems)
    notices = tuple(notice for _, each in found for notice in each.notices)
    document, first = found[0]
    if len(found) > 1:
        message = f"a second resource, {found[1][1].kind} {found[1][1].name}"
        hint = "`rayfleet up` takes one a file; kubectl apply takes them all"
        notices += (found[1][0].problem(("kind",), message, hint),)
    if problems:
        return Checked(None, problems, notices)
    spec = _spec(document, first, registry, notices)
    return Checked(spec, (), notices, can_run=len(found) == 1 and first.kind in RUNNABLE)


def looks_like_kubernetes(document: Document) -> Checked | None:
    """Return what is to be said about a file of other kinds, or a part of a resource; None when it is neither."""
    kind, group = document.value.get("kind"), document.value.get("apiVersion")
    if isinstance(kind, str) and isinstance(group, str):
        return Checked(None, (document.problem(("kind",), f"a file of kind {kind} describes no Ray cluster"),), ())
    if _is_sidecar(document.value):
        problems, notices = sidecar(document)
        part = "a part of spec.autoscalerOptions of a RayCluster"
        return Checked(None, tuple(problems), (document.problem((), part), *notices), part=part)
    return None


def _spec(document: Document, found: Resource, registry: Registry, notices: tuple[Problem, ...]) -> ClusterSpec:
    policy = Policy()
    if found.cluster is not None:
        head = Pool(HEAD_GROUP, group_resources(found.cluster.head_group_spec))
        policy = replace(policy_of(found.cluster), head=head)
    kind = registry.get(PROVIDER)
    place = {"cluster": found.name, **({"namespace": found.namespace} if found.namespace else {})}
    settings = kind.settings.model_validate(place) if kind is not None else None
    return ClusterSpec(found.name, policy, PROVIDER, settings, notes=notices, raw=document.value)


def _is_sidecar(value: dict[str, object]) -> bool:
    resources = value.get("resources")
    shaped = resources is None or (isinstance(resources, dict) and set(resources) <= CONTAINER_RESOURCES)
    return bool(value) and set(value) <= SIDECAR_KEYS and shaped
