"""What no schema can say about a cluster's spec: names that meet, counts that cross, amounts that cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rayfleet.config.document import Document
from rayfleet.config.forms import at
from rayfleet.config.problems import Path, Problem, shown
from rayfleet.config.rayio.base import INT32_MAX
from rayfleet.config.rayio.checks import findings
from rayfleet.config.rayio.finding import Manifest
from rayfleet.config.rayio.policy import group_resources
from rayfleet.config.rayio.raycluster import GroupSpec, RayClusterSpec, WorkerGroupSpec

_CONTAINERS = ("template", "spec", "containers")


def cluster_sense(
    cluster: RayClusterSpec, document: Document, path: Path, made_by: str = "", *, whole: bool = True
) -> tuple[list[Problem], list[Problem]]:
    """Return problems and notices of the cluster that a document describes at `path`. `made_by`: as of a Manifest.

    `whole`: the cluster gets the document's annotations.
    """
    problems, notices = _sense(cluster, document, path)
    told = {problem.path for problem in problems}
    written = at(document.value, ("metadata", "annotations")) if whole else None
    texts = written.items() if isinstance(written, dict) else ()  # what is no text is told of already
    annotations = {key: value for key, value in texts if isinstance(value, str)}
    for finding in findings(Manifest(cluster, annotations=annotations, made_by=made_by)):
        problem = document.problem(finding.within(path), finding.message, finding.hint)
        if not any(problem.path.startswith(known) for known in told):
            problems.append(problem)
    return problems, notices


def _sense(cluster: RayClusterSpec, document: Document, path: Path) -> tuple[list[Problem], list[Problem]]:
    problems = [*_group(cluster.head_group_spec, document, (*path, "headGroupSpec"))]
    notices = [*_autoscaling(cluster, document, path)]
    names = Counter(group.group_name for group in cluster.worker_group_specs)
    for number, group in enumerate(cluster.worker_group_specs):
        here = (*path, "workerGroupSpecs", number)
        if names[group.group_name] > 1:
            problems.append(document.problem((*here, "groupName"), f"{group.group_name} is the name of several groups"))
        wrong = [*_group(group, document, here), *_counts(group, document, here)]
        if group.suspend and cluster.enable_in_tree_autoscaling:
            wrong.append(document.problem((*here, "suspend"), "cannot be with enableInTreeAutoscaling"))
        problems += wrong
        notices += [] if wrong else _remarks(group, document, here)
    return problems, notices


def _group(group: GroupSpec, document: Document, path: Path) -> Iterator[Problem]:
    containers = at(group.template, _CONTAINERS[1:])
    if not isinstance(containers, list) or not containers or not isinstance(containers[0], dict):
        yield document.problem((*path, *_CONTAINERS), "is required", "its first container is Ray's")
        return
    resources = containers[0].get("resources")
    parts = (resources, at(resources, ("limits",)), at(resources, ("requests",)))
    if not all(part is None or isinstance(part, dict) for part in parts):
        yield document.problem((*path, *_CONTAINERS, 0, "resources"), "must be limits and requests, each a mapping")
        return
    try:
        group_resources(group)
    except (ValueError, ArithmeticError) as error:
        yield document.problem(path, f"the amounts of a pod cannot be read: {error}")


def _counts(group: WorkerGroupSpec, document: Document, path: Path) -> Iterator[Problem]:
    counts = {"replicas": group.replicas, "minReplicas": group.min_replicas, "maxReplicas": group.max_replicas}
    for key, count in counts.items():
        if not 0 <= count <= INT32_MAX:
            yield document.problem((*path, key), f"must be between 0 and {INT32_MAX}, not {shown(count)}")
    if not 1 <= group.num_of_hosts <= INT32_MAX:
        yield document.problem((*path, "numOfHosts"), f"must be at least 1, not {shown(group.num_of_hosts)}")
    if 0 <= group.max_replicas < group.min_replicas:
        message = f"{group.min_replicas} is more than maxReplicas, {group.max_replicas}"
        yield document.problem((*path, "minReplicas"), message)


def _remarks(group: WorkerGroupSpec, document: Document, path: Path) -> Iterator[Problem]:
    start = max(group.min_replicas, min(group.replicas, group.max_replicas))
    if start != group.replicas and "replicas" in group.model_fields_set:
        limit = "minReplicas" if start > group.replicas else "maxReplicas"
        yield document.problem((*path, "replicas"), f"{group.replicas} is beyond {limit}: it counts as {start}")
    if "CPU" not in group_resources(group).amounts():
        message = f"group {shown(group.group_name)} says no number of processors: nothing is planned for CPUs there"
        yield document.problem((*path, *_CONTAINERS), message, "give Ray's container resources.limits.cpu")


def _autoscaling(cluster: RayClusterSpec, document: Document, path: Path) -> Iterator[Problem]:
    if cluster.enable_in_tree_autoscaling:
        return
    if cluster.autoscaler_options is not None:
        message = "has no effect without enableInTreeAutoscaling: true"
        yield document.problem((*path, "autoscalerOptions"), message, of_key=True)
    elif any(group.min_replicas < group.max_replicas for group in cluster.worker_group_specs):
        yield document.problem(path, "no enableInTreeAutoscaling: groups stay as large as their replicas say")
