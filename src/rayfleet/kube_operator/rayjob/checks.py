"""What is wrong with a RayJob that the API server lets through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rayfleet.config.rayio.rayjob import DeletionPolicy, DeletionRule, DeletionStrategy, RayJobSpec, SubmissionMode
from rayfleet.kube_operator.rayjob.state import NAME_MAX, Run

_CLUSTER_GOES: Final = {DeletionPolicy.DELETE_CLUSTER, DeletionPolicy.DELETE_WORKERS}
_STAGES: Final = (DeletionPolicy.DELETE_WORKERS, DeletionPolicy.DELETE_CLUSTER, DeletionPolicy.DELETE_SELF)


def problems(run: Run) -> list[str]:
    """Return everything that is wrong, each with what to do."""
    spec = run.spec
    found = [*_name(run), *_cluster(spec), *_modes(spec), *_ends(spec)]
    if spec.deletion_strategy is not None:
        found += _deletion(spec, spec.deletion_strategy)
    return found


def _name(run: Run) -> Iterator[str]:
    if len(run.name) > NAME_MAX:
        yield f"metadata.name has {len(run.name)} characters; its cluster's name needs room, so at most {NAME_MAX}"


def _cluster(spec: RayJobSpec) -> Iterator[str]:
    if (spec.ray_cluster_spec is None) == (not spec.cluster_selector):
        yield "give one of rayClusterSpec and clusterSelector"
    own = spec.ray_cluster_spec
    if own is not None and own.upgrade_strategy is not None:
        yield "rayClusterSpec.upgradeStrategy is for RayClusters of their own; leave it out"
    if own is not None and own.auth_options is not None and own.auth_options.enable_k8s_token_auth:
        yield "rayClusterSpec.authOptions.enableK8sTokenAuth does not work with a RayJob; use mode: token"
    if not spec.cluster_selector:
        return
    if spec.suspend:
        yield "suspend would take a cluster away that is not this job's; leave it out with clusterSelector"
    if spec.backoff_limit:
        yield "backoffLimit makes a new cluster for each try; leave it out with clusterSelector"
    if spec.submission_mode is SubmissionMode.SIDECAR:
        yield "SidecarMode needs a head of its own; use another submissionMode with clusterSelector"


def _modes(spec: RayJobSpec) -> Iterator[str]:
    interactive = spec.submission_mode is SubmissionMode.INTERACTIVE
    if not spec.entrypoint and not interactive:
        yield "entrypoint is missing"
    if spec.submission_mode is SubmissionMode.SIDECAR and spec.submitter_pod_template is not None:
        yield "submitterPodTemplate is not used in SidecarMode; leave it out"
    if spec.submission_mode is SubmissionMode.SIDECAR and spec.submitter_config is not None:
        yield "submitterConfig is not used in SidecarMode; leave it out"
    if interactive and spec.backoff_limit:
        yield "backoffLimit cannot try again what a person submits; leave it out in InteractiveMode"
    try:
        resources = json.loads(spec.entrypoint_resources or "{}")
    except ValueError:
        resources = None
    if not isinstance(resources, dict):
        yield 'entrypointResources must be a JSON mapping such as {"custom": 1}'
    try:
        environment = YAML(typ="safe").load(spec.runtime_env_yaml or "{}")
    except YAMLError as error:
        yield f"runtimeEnvYAML is no YAML: {' '.join(str(error).split())[:200]}"
    else:
        if not isinstance(environment, dict):
            yield "runtimeEnvYAML must be a mapping such as pip: [requests]"


def _ends(spec: RayJobSpec) -> Iterator[str]:
    limits = {
        "backoffLimit": spec.backoff_limit,
        "ttlSecondsAfterFinished": spec.ttl_seconds_after_finished,
    }
    yield from (f"{name} must not be negative" for name, value in limits.items() if value < 0)
    deadlines = {
        "activeDeadlineSeconds": spec.active_deadline_seconds,
        "preRunningDeadlineSeconds": spec.pre_running_deadline_seconds,
    }
    yield from (f"{name} must be positive" for name, value in deadlines.items() if value is not None and value <= 0)
    if spec.ttl_seconds_after_finished > 0 and not spec.shutdown_after_job_finishes:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes: true"
    if spec.suspend and not spec.shutdown_after_job_finishes and not spec.cluster_selector:
        yield "suspend needs shutdownAfterJobFinishes: true"


def _deletion(spec: RayJobSpec, strategy: DeletionStrategy) -> Iterator[str]:
    legacy = (strategy.on_success, strategy.on_failure)
    if strategy.deletion_rules and any(legacy):
        yield "deletionStrategy has deletionRules and onSuccess or onFailure; give only deletionRules"
    if not strategy.deletion_rules and any(legacy) and not all(legacy):
        yield "deletionStrategy needs onSuccess and onFailure, or deletionRules instead"
    if spec.shutdown_after_job_finishes:
        yield "shutdownAfterJobFinishes and deletionStrategy say the same thing; give one of them"
    policies = {rule.policy for rule in strategy.deletion_rules} | {one.policy for one in legacy if one}
    if spec.cluster_selector and policies & _CLUSTER_GOES:
        yield "deletionStrategy would delete a cluster that is not this job's; leave that out with clusterSelector"
    own = spec.ray_cluster_spec
    if DeletionPolicy.DELETE_WORKERS in policies and own is not None and own.enable_in_tree_autoscaling:
        yield "DeleteWorkers would fight with the autoscaler; use DeleteCluster, or no autoscaling"
    yield from _rules(strategy.deletion_rules)


def _rules(rules: list[DeletionRule]) -> Iterator[str]:
    by_condition: dict[tuple[str | None, str | None], dict[DeletionPolicy, int]] = {}
    for index, rule in enumerate(rules):
        condition = rule.condition
        if (condition.job_status is None) == (condition.job_deployment_status is None):
            yield f"deletionRules[{index}].condition needs one of jobStatus and jobDeploymentStatus"
        if condition.ttl_seconds < 0:
            yield f"deletionRules[{index}].condition.ttlSeconds must not be negative"
        stages = by_condition.setdefault((condition.job_status, condition.job_deployment_status), {})
        if rule.policy in stages:
            yield f"deletionRules[{index}] repeats {rule.policy} for the same condition"
        stages[rule.policy] = condition.ttl_seconds
    for (job, deployment), stages in by_condition.items():
        times = [stages[policy] for policy in _STAGES if policy in stages]
        if times != sorted(times):
            yield f"deletionRules for {job or deployment}: ttlSeconds must grow from workers to cluster to job"
