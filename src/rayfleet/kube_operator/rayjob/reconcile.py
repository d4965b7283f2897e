"""A RayJob as it is seen -> what is to be done, and its status. One function for each phase of its life."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.config.rayio.rayjob import DeletionPolicy, SubmissionMode
from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.names import CLUSTER_LABEL, HEAD, NODE_TYPE_LABEL
from rayfleet.kube_operator.raycluster.reconcile import OURS
from rayfleet.kube_operator.rayjob.checks import problems
from rayfleet.kube_operator.rayjob.deletion import due
from rayfleet.kube_operator.rayjob.state import ENDED, FINAL_REASONS, Phase, Run, Why
from rayfleet.kube_operator.rayjob.submission import (
    SUBMITTER,
    own_cluster,
    submit_call,
    submitter_job,
    submitter_name,
)
from rayfleet.kube_operator.reconciling import (
    Action,
    Call,
    Create,
    Delete,
    Emit,
    EventType,
    Observed,
    Patch,
    Probe,
    Reconciled,
    Related,
)
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import JOB, POD, RAY_CLUSTER, RAY_JOB, Kind, Object, is_leaving, key_of, uid_of

FINALIZER: Final = "ray.io/rayjob-finalizer"
JOB_STATUS: Final = "job_status"
GRACE_S: Final = 300.0
"""A job that ended waits so long for its submitter; one whose status cannot be had is given up after as long."""
PROBE_EVERY_S: Final = 3.0
LOOK_S: Final = 5.0
_SUBMITTED_BY_POD: Final = (SubmissionMode.K8S_JOB, SubmissionMode.SIDECAR)


@dataclass(frozen=True, slots=True)
class JobFact:
    """What Ray's job server said last. `status` "": it knows no such job; `error`: it said nothing."""

    status: str = ""
    message: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    error: str = ""


def reconcile(seen: Observed, settings: OperatorSettings) -> Reconciled:
    """Decide what a RayJob needs. Pure."""
    run = Run.read(seen)
    if run.spec.managed_by not in OURS:
        return Reconciled()
    if is_leaving(seen.thing):
        return _leaving(run, settings)
    if FINALIZER not in (seen.thing["metadata"].get("finalizers") or ()):
        return Reconciled((_finalizers([*(seen.thing["metadata"].get("finalizers") or ()), FINALIZER], run),))
    over = _over_time(run)
    if over is not None:
        return Reconciled(status=over)
    if run.spec.suspend and run.phase in (Phase.INITIALIZING, Phase.WAITING, Phase.RUNNING):
        return Reconciled(status=run.entered(Phase.SUSPENDING))
    return _BY_PHASE[run.phase](run, settings)


def related(thing: Object) -> tuple[Related, ...]:
    """Return what a RayJob depends on beside what it owns: the selected cluster, and the pod of a sidecar."""
    spec, status = thing["spec"], thing.get("status") or {}
    if spec.get("clusterSelector"):
        return (Related(RAY_CLUSTER, spec["clusterSelector"]),)
    if spec.get("submissionMode") == SubmissionMode.SIDECAR and status.get("rayClusterName"):
        return (Related(POD, {CLUSTER_LABEL: status["rayClusterName"], NODE_TYPE_LABEL: HEAD}),)
    return ()


# ---- phases ----------------------------------------------------------------------------------------------------------


def _new(run: Run, _settings: OperatorSettings) -> Reconciled:
    found = problems(run)
    if found:
        text = "; ".join(found)
        status = run.entered(Phase.VALIDATION_FAILED, reason=str(Why.VALIDATION), message=text)
        return Reconciled((Emit(EventType.WARNING, "InvalidRayJobSpec", text),), status)
    return Reconciled(status=run.cleared(Phase.SUSPENDED) if run.spec.suspend else run.started())


def _initializing(run: Run, settings: OperatorSettings) -> Reconciled:
    thing = _cluster(run)
    if thing is None:
        if run.spec.cluster_selector:
            selector = ",".join(f"{key}={value}" for key, value in run.spec.cluster_selector.items())
            return Reconciled(status=run.noted(message=f"no RayCluster has the labels {selector}"), again_s=10.0)
        return Reconciled(
            (Create(RAY_CLUSTER, own_cluster(run), failure="FailedCreateRayCluster"),), again_s=_left(run)
        )
    cluster_status = thing.get("status") or {}
    known: dict[str, Any] = {"rayClusterName": key_of(thing).name, "rayClusterStatus": cluster_status, "message": None}
    if cluster_status.get("state") != "ready":
        # Nobody says when a selected cluster changes: it is not the job's own.
        return Reconciled(status=run.noted(**known), again_s=_soonest(run, blind=bool(run.spec.cluster_selector)))
    url = Cluster.read(thing, settings).dashboard
    if run.spec.submission_mode is SubmissionMode.INTERACTIVE and not run.spec.job_id:
        return Reconciled(status=run.entered(Phase.WAITING, dashboardURL=url, **known))
    return Reconciled(status=run.entered(Phase.RUNNING, dashboardURL=url, **known))


def _waiting(run: Run, _settings: OperatorSettings) -> Reconciled:
    if run.spec.job_id:
        return Reconciled(status=run.entered(Phase.RUNNING, jobId=run.spec.job_id))
    return Reconciled(again_s=_left(run))


def _running(run: Run, settings: OperatorSettings) -> Reconciled:
    thing = _cluster(run)
    if thing is None:
        return Reconciled(status=run.failed(Why.APP, f"RayCluster {run.cluster_name} is gone"))
    url = f"http://{run.status['dashboardURL']}"
    cluster = Cluster.read(thing, settings)
    probe = Probe(JOB_STATUS, JOB_STATUS, url, run.job_id, PROBE_EVERY_S, cluster.token_secret)
    fact = run.seen.facts.get(JOB_STATUS)
    known = fact if isinstance(fact, JobFact) else None
    actions = _submission(run, cluster, url, known)
    status = _after(run, thing, known)
    # Nor when the container beside the head ends, for which a job that has ended waits.
    lags = run.spec.submission_mode is SubmissionMode.SIDECAR and known is not None and known.status in ENDED
    return Reconciled(tuple(actions), status, again_s=_soonest(run, blind=lags) or GRACE_S, probes=(probe,))


def _suspending(run: Run, _settings: OperatorSettings) -> Reconciled:
    """Take everything away before it may start anew."""
    things = [(RAY_CLUSTER, one) for one in run.seen.all(RAY_CLUSTER)] + [(JOB, one) for one in run.seen.all(JOB)]
    if not things:
        following = Phase.SUSPENDED if run.phase is Phase.SUSPENDING else Phase.NEW
        return Reconciled(status=run.cleared(following))
    why = "the job is suspended" if run.phase is Phase.SUSPENDING else "the job is tried again"
    return Reconciled(tuple(_delete(kind, one, why) for kind, one in things if not is_leaving(one)))


def _suspended(run: Run, _settings: OperatorSettings) -> Reconciled:
    return Reconciled() if run.spec.suspend else Reconciled(status=run.cleared(Phase.NEW))


def _ended(run: Run, _settings: OperatorSettings) -> Reconciled:
    if run.phase is Phase.FAILED and _may_retry(run):
        return Reconciled(status=run.entered(Phase.RETRYING))
    wanted = due(run)
    thing = next((one for one in run.seen.all(RAY_CLUSTER) if key_of(one).name == run.cluster_name), None)
    actions: list[Action] = []
    match wanted.policy:
        case DeletionPolicy.DELETE_SELF:
            actions = [_delete(RAY_JOB, run.thing, "its deletion rule says so")]
        case DeletionPolicy.DELETE_CLUSTER if thing is not None and not is_leaving(thing):
            actions = [_delete(RAY_CLUSTER, thing, "the job has ended")]
        case DeletionPolicy.DELETE_WORKERS if thing is not None:
            actions = _suspend_workers(thing)
    return Reconciled(tuple(actions), again_s=wanted.next_s)


def _invalid(run: Run, _settings: OperatorSettings) -> Reconciled:
    edited = run.status.get("observedGeneration") != run.thing["metadata"].get("generation", 0)
    return Reconciled(status=run.cleared(Phase.NEW)) if edited else Reconciled()


_BY_PHASE: Final[Mapping[Phase, Callable[[Run, OperatorSettings], Reconciled]]] = {
    Phase.NEW: _new,
    Phase.INITIALIZING: _initializing,
    Phase.WAITING: _waiting,
    Phase.RUNNING: _running,
    Phase.SUSPENDING: _suspending,
    Phase.RETRYING: _suspending,
    Phase.SUSPENDED: _suspended,
    Phase.COMPLETE: _ended,
    Phase.FAILED: _ended,
    Phase.VALIDATION_FAILED: _invalid,
}


# ---- while it runs ---------------------------------------------------------------------------------------------------


def _submission(run: Run, cluster: Cluster, url: str, known: JobFact | None) -> list[Action]:
    """Return what gets the job to its cluster, in the modes in which that is ours to do."""
    mode = run.spec.submission_mode
    if mode is SubmissionMode.K8S_JOB and _submitter(run) is None and run.job_status not in ENDED:
        return [Create(JOB, submitter_job(run, cluster), failure="FailedCreateSubmitter")]
    if mode is SubmissionMode.HTTP and known is not None and not known.status and not known.error:
        return [submit_call(run, url, cluster.token_secret)]
    return []


def _after(run: Run, cluster: Object, known: JobFact | None) -> Object:
    """Return the status after what the job server and the submitter say."""
    state, told = _submitter_state(run)
    fields: dict[str, Any] = {"rayClusterStatus": cluster.get("status") or {}}
    if known is None or known.error or not known.status:
        return _unknown(run, known, state, told, fields)
    fields |= {"jobStatus": known.status, "message": known.message or None, "jobStatusCheckFailureStartTime": None}
    times = {"startTime": known.started_at, "endTime": known.ended_at}
    fields["rayJobInfo"] = {name: timestamp(at) for name, at in times.items() if at is not None} or None
    if known.status not in ENDED:
        return run.noted(**fields)
    if run.spec.submission_mode in _SUBMITTED_BY_POD and not state:
        return _submitter_lags(run, known, fields)
    return _finished(run, known, fields)


def _finished(run: Run, known: JobFact, fields: Mapping[str, Any]) -> Object:
    if known.status == "FAILED":
        message = known.message or "the job failed"
        return {**run.failed(Why.APP, message), **{key: value for key, value in fields.items() if value is not None}}
    succeeded = run.status.get("succeeded", 0) + (known.status == "SUCCEEDED")
    return run.entered(Phase.COMPLETE, endTime=timestamp(run.seen.now), succeeded=succeeded, reason=None, **fields)


def _submitter_lags(run: Run, known: JobFact, fields: Mapping[str, Any]) -> Object:
    """Return the status of a job that ended while its submitter still shows its output; it has some time for that."""
    since = known.ended_at
    if since is None or run.seen.now - since < GRACE_S:
        return run.noted(**fields)
    if known.status != "FAILED":
        return _finished(run, known, fields)
    return run.failed(Why.GRACE, f"the job ended {GRACE_S:.0f} s ago, and its submitter has not")


def _unknown(run: Run, known: JobFact | None, state: str, told: str, fields: dict[str, Any]) -> Object:
    """Return the status while nothing is known of the job: not yet submitted, or its server does not answer."""
    if known is None:  # an operator that was just started has not asked yet: the job may have ended long ago
        return run.noted(**fields)
    if state == "failed" and not (known.error and run.job_status):
        return run.failed(Why.SUBMISSION, f"the submitter failed: {told}")
    if not known.error and state != "done":
        return run.noted(**fields)
    failing_s = run.age_s("jobStatusCheckFailureStartTime")
    if failing_s is not None and failing_s > GRACE_S:
        why = known.error or f"the submitter is done, and the job server knows no job {run.job_id}"
        return run.failed(Why.STATUS_CHECK, f"the job's status could not be had for {GRACE_S:.0f} s: {why}")
    if failing_s is None:
        fields["jobStatusCheckFailureStartTime"] = timestamp(run.seen.now)
    return run.noted(**fields)


def _submitter(run: Run) -> Object | None:
    return next((one for one in run.seen.all(JOB) if key_of(one).name == submitter_name(run)), None)


def _submitter_state(run: Run) -> tuple[str, str]:
    """Return whether the submitter is "done", "failed" or "" (neither), and what it says."""
    if run.spec.submission_mode is SubmissionMode.SIDECAR:
        return _sidecar_state(run)
    job = _submitter(run)
    for condition in ((job or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return "done" if condition["type"] == "Complete" else "failed", str(condition.get("message", ""))
    return "", ""


def _sidecar_state(run: Run) -> tuple[str, str]:
    for pod in run.seen.related.get(POD, ()):
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (container.get("state") or {}).get("terminated")
            if container["name"] == SUBMITTER and ended:
                return "done" if ended.get("exitCode") == 0 else "failed", str(ended.get("reason", ""))
    return "", ""


# ---- the rest --------------------------------------------------------------------------------------------------------


def _cluster(run: Run) -> Object | None:
    """Return the cluster of this try: the job's own, or the one that is selected."""
    own = [one for one in run.seen.all(RAY_CLUSTER) if key_of(one).name == run.cluster_name]
    selected = run.seen.related.get(RAY_CLUSTER, ()) if run.spec.cluster_selector else ()
    named = [one for one in selected if key_of(one).name == run.cluster_name]
    return next(iter([*own, *named, *selected]), None)


def _over_time(run: Run) -> Object | None:
    """Return the status of a job that took too long, None while it has not."""
    age_s = run.age_s("startTime")
    if age_s is None or run.phase not in (Phase.INITIALIZING, Phase.WAITING, Phase.RUNNING):
        return None
    active, starting = run.spec.active_deadline_seconds, run.spec.pre_running_deadline_seconds
    if active is not None and age_s >= active:
        return run.failed(Why.DEADLINE, f"the job was active for longer than {active} s")
    if starting is not None and run.phase is not Phase.RUNNING and age_s >= starting:
        return run.failed(Why.PRE_RUNNING_DEADLINE, f"the job did not run within {starting} s")
    return None


def _left(run: Run) -> float | None:
    """Return the seconds until the next deadline, None without one."""
    age_s = run.age_s("startTime") or 0.0
    limits = [run.spec.active_deadline_seconds]
    if run.phase is not Phase.RUNNING:
        limits.append(run.spec.pre_running_deadline_seconds)
    return min((max(limit - age_s, 0.1) for limit in limits if limit is not None), default=None)


def _soonest(run: Run, *, blind: bool) -> float | None:
    """Return when to look again: at the next deadline, and soon when what is waited for does not tell by itself."""
    waits = [wait_s for wait_s in (_left(run), LOOK_S if blind else None) if wait_s is not None]
    return min(waits, default=None)


def _may_retry(run: Run) -> bool:
    final = run.status.get("reason") in FINAL_REASONS
    return not final and run.status.get("failed", 0) <= run.spec.backoff_limit


def _leaving(run: Run, settings: OperatorSettings) -> Reconciled:
    """Stop the job as well as may be, and let go."""
    held = run.thing["metadata"].get("finalizers") or ()
    if FINALIZER not in held:
        return Reconciled()
    rest, stop, thing = [name for name in held if name != FINALIZER], [], _cluster(run)
    if thing is not None and run.job_id and run.status.get("dashboardURL") and run.job_status not in ENDED:
        url, secret = f"http://{run.status['dashboardURL']}", Cluster.read(thing, settings).token_secret
        stop = [Call("stop_job", url, {"job_id": run.job_id}, secret=secret)]
    return Reconciled((*stop, _finalizers(rest, run)))


def _finalizers(names: list[str], run: Run) -> Patch:
    # The list is replaced as a whole: not if somebody has changed it since it was seen.
    version = run.thing["metadata"].get("resourceVersion")
    return Patch(RAY_JOB, key_of(run.thing), {"metadata": {"resourceVersion": version, "finalizers": names}})


def _suspend_workers(cluster: Object) -> list[Action]:
    """Return the patch that takes all workers away and leaves the head, with its logs."""
    groups = cluster["spec"].get("workerGroupSpecs") or ()
    missing = [index for index, group in enumerate(groups) if not group.get("suspend")]
    patch: list[dict[str, object]] = []
    for index in missing:
        path = f"/spec/workerGroupSpecs/{index}"
        patch.append({"op": "test", "path": f"{path}/groupName", "value": groups[index]["groupName"]})
        patch.append({"op": "add", "path": f"{path}/suspend", "value": True})
    return [Patch(RAY_CLUSTER, key_of(cluster), patch)] if patch else []


def _delete(kind: Kind, thing: Object, why: str) -> Delete:
    return Delete(kind, key_of(thing), uid_of(thing), why)
