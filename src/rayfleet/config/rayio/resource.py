"""A `ray.io` resource in a file -> its typed spec, and everything that is wrong with it or good to know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from rayfleet.config.document import Document
from rayfleet.config.forms import at, form_at, in_order, keys_of, problems_of
from rayfleet.config.problems import Path, Problem, did_you_mean, shown
from rayfleet.config.rayio.base import GROUP, Spec
from rayfleet.config.rayio.raycluster import AutoscalerOptions, RayClusterSpec
from rayfleet.config.rayio.raycronjob import RayCronJobSpec
from rayfleet.config.rayio.rayjob import RayJobSpec
from rayfleet.config.rayio.rayservice import RayServiceSpec
from rayfleet.config.rayio.sense import cluster_sense

SPECS: Final[Mapping[str, type[Spec]]] = {
    "RayCluster": RayClusterSpec,
    "RayJob": RayJobSpec,
    "RayService": RayServiceSpec,
    "RayCronJob": RayCronJobSpec,
}
VERSIONS: Final = ("v1", "v1alpha1")
_CLUSTERS: Final[Mapping[str, Path]] = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
"""Where a resource says what its cluster is like."""
_MAKERS: Final = {"RayJob": "RayJob", "RayService": "RayService", "RayCronJob": "RayJob"}
"""Whose RayCluster it will be."""
_NAME_MAX: Final = {"RayCluster": 53, "RayJob": 47, "RayService": 47, "RayCronJob": 36}
"""What is left of a name's 63 characters once everything that is made from it has its ending."""
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as far as it could be read. `spec` None: it has problems. `cluster` None: it runs on another's."""

    kind: str
    name: str
    namespace: str
    spec: Spec | None
    cluster: RayClusterSpec | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...]


def is_resource(value: object) -> bool:
    """Say whether a document's content is a resource of Ray's API group."""
    return isinstance(value, dict) and str(value.get("apiVersion", "")).startswith(f"{GROUP}/")


def resource(document: Document) -> Resource:
    """Read a resource; tell everything about it at once."""
    kind = document.value.get("kind")
    form = SPECS.get(kind) if isinstance(kind, str) else None
    problems = [*_group(document, known=form is not None), *_metadata(document)]
    notices = [document.problem((key,), *_dropped(key, _TOP), of_key=True) for key in set(document.value) - set(_TOP)]
    spec, cluster = None, None
    if form is not None:
        spec, wrong, odd = read_part(form, document, ("spec",))
        problems += wrong
        notices += odd
        cluster = _cluster(spec)
    if spec is not None:
        problems += _whose_cluster(document, spec)
    if cluster is not None:
        wrong, odd = cluster_sense(
            cluster, document, _CLUSTERS[kind], _MAKERS.get(kind, ""), whole=kind != "RayCronJob"
        )
        problems += wrong
        notices += odd
    meta = at(document.value, ("metadata",))
    name, namespace = (str(at(meta, (key,)) or "") for key in ("name", "namespace"))
    found = None if problems else spec
    return Resource(str(kind), name, namespace, found, cluster, tuple(in_order(problems)), tuple(in_order(notices)))


def read_part(form: type[Spec], document: Document, path: Path) -> tuple[Any | None, list[Problem], list[Problem]]:
    """Read the part of a document at `path`: the typed part (None when it has problems), problems, notices."""
    value = at(document.value, path)
    if not isinstance(value, dict):
        message = "is required" if value is None else f"must be a mapping of keys to values, not {shown(value)}"
        return None, [document.problem(path, message)], []
    form.model_rebuild()  # fields have the names of files only once a model is built
    notices: list[Problem] = []
    kept = _known(form, document, path, notices)
    try:
        # The API server takes no "3" for 3; only from JSON is a model both that strict and open to enumerations.
        return form.model_validate_json(json.dumps(kept), strict=True), [], notices
    except ValidationError as error:
        return None, [_quoted(one) for one in problems_of(form, document, path, error)], notices


def sidecar(document: Document) -> tuple[list[Problem], list[Problem]]:
    """Return problems and notices of a document that is all of `autoscalerOptions`."""
    _, problems, notices = read_part(AutoscalerOptions, document, ())
    return problems, notices


def _known(form: type[BaseModel], document: Document, path: Path, notices: list[Problem]) -> Any:
    """Return the mapping at `path` without keys that its form does not have; each is told in `notices`."""
    kept = {}
    keys = keys_of(form)
    for key, value in at(document.value, path).items():
        if key not in keys:
            notices.append(document.problem((*path, key), *_dropped(key, keys), of_key=True))
            continue
        kept[key] = value
        below = form_at(form, (key, 0) if isinstance(value, list) else (key,))
        if below is not None and isinstance(value, dict):
            kept[key] = _known(below, document, (*path, key), notices)
        elif below is not None and isinstance(value, list):
            kept[key] = [
                _known(below, document, (*path, key, n), notices) if isinstance(one, dict) else one
                for n, one in enumerate(value)
            ]
    return kept


def _dropped(key: str, known: Any) -> tuple[str, str]:
    return "unknown key: the API server drops it", did_you_mean(key, known)


def _quoted(problem: Problem) -> Problem:
    """Add to a number where text belongs (`rayVersion: 2.9`) that quotes make it text."""
    return replace(problem, hint="quote it") if problem.message.startswith("must be text") else problem


def _group(document: Document, *, known: bool) -> Iterator[Problem]:
    version = str(document.value["apiVersion"]).partition("/")[2]
    kind = document.value.get("kind")
    if not known:
        hint = did_you_mean(kind, SPECS) or f"one of {', '.join(SPECS)}"
        yield document.problem(("kind",), f"{GROUP} has no kind {shown(kind)}", hint)
    if version not in VERSIONS or (kind == "RayCronJob" and version != VERSIONS[0]):
        yield document.problem(("apiVersion",), f"there is no {GROUP}/{version} {kind}", f"write {GROUP}/v1")


def _metadata(document: Document) -> Iterator[Problem]:
    name = at(document.value, ("metadata", "name"))
    kind = document.value.get("kind")
    place = ("metadata", "name")
    if name is None:
        yield document.problem(place, "is required")
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        yield document.problem(place, f"{shown(name)} is no name", "a-z, 0-9 and -, a letter first, no - last")
    elif isinstance(kind, str) and len(name) > _NAME_MAX.get(kind, len(name)):
        yield document.problem(place, f"has {len(name)} characters, and there is room for {_NAME_MAX[kind]}")
    for field in ("labels", "annotations"):
        yield from _texts(document, ("metadata", field))


def _texts(document: Document, path: Path) -> Iterator[Problem]:
    """Check that everything at `path` is text: the API server takes nothing else there."""
    value = at(document.value, path)
    if value is not None and not isinstance(value, dict):
        yield document.problem(path, f"must be a mapping of keys to text, not {shown(value)}")
        return
    for key, text in (value or {}).items():
        if not isinstance(text, str | None):
            yield document.problem((*path, key), f"must be text, not {shown(text)}", "quote it")


def _cluster(spec: Spec | None) -> RayClusterSpec | None:
    match spec:
        case RayClusterSpec():
            return spec
        case RayJobSpec():
            return spec.ray_cluster_spec
        case RayServiceSpec():
            return spec.ray_cluster_config
        case RayCronJobSpec():
            return spec.job_template.ray_cluster_spec
        case _:
            return None


def _whose_cluster(document: Document, spec: Spec) -> Iterator[Problem]:
    """Check that a job says where it runs, once."""
    inside: Path = ("spec", "jobTemplate") if isinstance(spec, RayCronJobSpec) else ("spec",)
    job = spec.job_template if isinstance(spec, RayCronJobSpec) else spec
    if not isinstance(job, RayJobSpec):
        return
    if job.ray_cluster_spec is None and not job.cluster_selector:
        yield document.problem(inside, "says nothing of a cluster", "give it rayClusterSpec, or clusterSelector")
    elif job.ray_cluster_spec is not None and job.cluster_selector:
        yield document.problem((*inside, "clusterSelector"), "excludes rayClusterSpec", "remove one of the two")
