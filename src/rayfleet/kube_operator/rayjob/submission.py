"""How a job gets to its cluster: by a Kubernetes Job, by a container beside the head, or by a call of ours.

All three may happen twice without a second run: the job has its id before anybody submits it.
"""

from __future__ import annotations

import copy
import json
import shlex
from typing import Any, Final

from ruamel.yaml import YAML

from rayfleet.config.rayio.rayjob import RayJobSpec, SubmissionMode
from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import DASHBOARD_PORT, Cluster
from rayfleet.kube_operator.raycluster.environment import authentication, credentials, merged
from rayfleet.kube_operator.rayjob.state import Run
from rayfleet.kube_operator.reconciling import Call
from rayfleet.wire.kube.objects import RAY_JOB, Key, Object, annotations_of, uid_of

SUBMITTER: Final = "ray-job-submitter"
MODE_LABEL: Final = "ray.io/job-submission-mode"
BACKOFF_LIMIT: Final = 2
"""How often a submitter's pod is tried again: following the job's output may break, and goes on."""
_RESOURCES: Final = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "200Mi"}}


def owner_reference(run: Run) -> Object:
    """Return what objects of this job carry, so that they go with it."""
    return {
        "apiVersion": RAY_JOB.api_version,
        "kind": RAY_JOB.name,
        "name": run.name,
        "uid": uid_of(run.thing),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def own_cluster(run: Run) -> Object:
    """Return the RayCluster of this try."""
    spec = copy.deepcopy(run.thing["spec"]["rayClusterSpec"])
    annotations = names.passed_on(annotations_of(run.thing))
    if run.spec.submission_mode is SubmissionMode.SIDECAR:
        annotations[names.NO_HEAD_RESTART_ANNOTATION] = "true"
        pod = spec["headGroupSpec"].setdefault("template", {}).setdefault("spec", {})
        pod["restartPolicy"] = "Never"
        pod["containers"] = [*(pod.get("containers") or [{"name": "ray-head"}]), _sidecar(run, pod)]
    return {
        "metadata": {
            "name": run.cluster_name,
            "namespace": run.namespace,
            "labels": (run.thing["metadata"].get("labels") or {})
            | {
                names.ORIGIN_NAME_LABEL: names.label_value(run.name),
                names.ORIGIN_KIND_LABEL: RAY_JOB.name,
                MODE_LABEL: str(run.spec.submission_mode),
            },
            "annotations": annotations,
            "ownerReferences": [owner_reference(run)],
        },
        "spec": spec,
    }


def submitter_job(run: Run, cluster: Cluster) -> Object:
    """Return the Kubernetes Job that submits the job and follows its output."""
    template = copy.deepcopy(run.spec.submitter_pod_template) or {}
    pod = template.setdefault("spec", {})
    head = (cluster.head.template.get("spec") or {}).get("containers") or [{}]
    first, *others = pod.get("containers") or [{}]
    container = {"name": SUBMITTER, "image": head[0].get("image", ""), "resources": dict(_RESOURCES), **first}
    url = f"http://{cluster.dashboard}"
    if not container.get("command"):
        container |= _shell(submit_command(run.spec, run.job_id, url))
    container["env"] = merged(container.get("env") or [], [], [*_environment(run, url), *authentication(cluster)])
    pod["containers"] = [container, *others]
    pod.setdefault("restartPolicy", "Never")
    labels = {names.ORIGIN_NAME_LABEL: names.label_value(run.name), names.ORIGIN_KIND_LABEL: RAY_JOB.name}
    labels[names.CLUSTER_LABEL] = cluster.name
    template["metadata"] = {
        **(template.get("metadata") or {}),
        "labels": ((template.get("metadata") or {}).get("labels") or {}) | labels,
    }
    config = run.spec.submitter_config
    limit = BACKOFF_LIMIT if config is None or config.backoff_limit is None else config.backoff_limit
    return {
        "metadata": {
            "name": submitter_name(run),
            "namespace": run.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(run)],
        },
        "spec": {"backoffLimit": limit, "template": template},
    }


def submitter_name(run: Run) -> str:
    """Return the submitter's name: one for each try, so that a try never follows the job of another."""
    tries = run.status.get("failed", 0)
    return run.name if not tries else names.trimmed(f"{run.name}-{tries}", names.POD_NAME_MAX)


def submit_call(run: Run, url: str, secret: Key | None = None) -> Call:
    """Return the call that submits the job, for the mode in which nobody else does."""
    spec = run.spec
    resources = json.loads(spec.entrypoint_resources) if spec.entrypoint_resources else {}
    body: dict[str, Any] = {
        "submission_id": run.job_id,
        "entrypoint": spec.entrypoint,
        "runtime_env": runtime_env(spec),
        "metadata": spec.metadata,
        "entrypoint_num_cpus": spec.entrypoint_num_cpus or None,
        "entrypoint_num_gpus": spec.entrypoint_num_gpus or None,
        "entrypoint_resources": resources or None,
    }
    told = {key: value for key, value in body.items() if value}
    return Call("submit_job", url, told, failure="FailedSubmit", secret=secret)


def submit_command(spec: RayJobSpec, job_id: str, url: str) -> str:
    """Return the shell line that waits for the job server, submits the job unless it is there, and shows its output."""
    flags = ["--address", url, "--no-wait", "--submission-id", job_id]
    if spec.runtime_env_yaml:
        flags += ["--runtime-env-json", json.dumps(runtime_env(spec))]
    if spec.metadata:
        flags += ["--metadata-json", json.dumps(spec.metadata)]
    if spec.entrypoint_num_cpus:
        flags += ["--entrypoint-num-cpus", f"{spec.entrypoint_num_cpus:g}"]
    if spec.entrypoint_num_gpus:
        flags += ["--entrypoint-num-gpus", f"{spec.entrypoint_num_gpus:g}"]
    if spec.entrypoint_resources:
        flags += ["--entrypoint-resources", spec.entrypoint_resources]
    address, known = shlex.quote(url), shlex.quote(job_id)
    return (
        f"until ray job list --address {address} > /dev/null 2>&1; do echo waiting for {address}; sleep 2; done; "
        f"if ! ray job status --address {address} {known} > /dev/null 2>&1; "
        f"then ray job submit {shlex.join(flags)} -- {spec.entrypoint}; fi; "
        f"ray job logs --address {address} --follow {known}"
    )


def runtime_env(spec: RayJobSpec) -> dict[str, Any]:
    """Return the job's runtime environment."""
    read = YAML(typ="safe").load(spec.runtime_env_yaml) if spec.runtime_env_yaml else {}
    return dict(read or {})


def _sidecar(run: Run, pod: Object) -> Object:
    """Return the container beside the head that submits the job."""
    head = (pod.get("containers") or [{}])[0]
    url = f"http://127.0.0.1:{DASHBOARD_PORT}"
    return {
        "name": SUBMITTER,
        "image": head.get("image", ""),
        "resources": dict(_RESOURCES),
        "env": [*_environment(run, url), *_credentials(run)],
        **_shell(submit_command(run.spec, run.job_id, url)),
    }


def _credentials(run: Run) -> list[Object]:
    """Return what lets the container beside the head show the token of a cluster that is about to be made."""
    own = run.spec.ray_cluster_spec
    return [] if own is None else credentials(own.auth_options, run.cluster_name)


def _environment(run: Run, url: str) -> list[Object]:
    return [
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        {"name": "RAY_DASHBOARD_ADDRESS", "value": url.removeprefix("http://")},
        {"name": "RAY_JOB_SUBMISSION_ID", "value": run.job_id},
    ]


def _shell(line: str) -> Object:
    return {"command": ["/bin/bash", "-ce", "--"], "args": [line]}
