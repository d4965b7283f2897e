"""A RayCronJob as it is seen -> the run that is due, and runs that are no longer kept.

A run's name is made from the minute that it was due at: whoever makes it again meets it. After a time without an
operator, or suspended, at most one run is made up for, never one for each that was missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from rayfleet.config.rayio.raycronjob import ConcurrencyPolicy, MissedRuns, RayCronJobSpec
from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycluster.health import created_at, moment
from rayfleet.kube_operator.raycluster.names import label_value, passed_on
from rayfleet.kube_operator.raycluster.reconcile import OURS
from rayfleet.kube_operator.reconciling import Action, Create, Delete, Emit, EventType, Observed, Reconciled
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.model import Window
from rayfleet.planner.windows import next_change, opened_at
from rayfleet.wire.kube.objects import RAY_CRON_JOB, RAY_JOB, Object, annotations_of, is_leaving, key_of, uid_of

NAME_LABEL: Final = "ray.io/cronjob-name"
SCHEDULED_ANNOTATION: Final = "ray.io/cronjob-scheduled-timestamp"
NAME_MAX: Final = 36
LATE_S: Final = 60.0
"""A run that is later than this has been missed."""
_MINUTE_S: Final = 60
_FOR_EVER_S: Final = 1e11


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs that exist, oldest first."""

    going: tuple[Object, ...]
    succeeded: tuple[Object, ...]
    failed: tuple[Object, ...]


def reconcile(seen: Observed, settings: OperatorSettings) -> Reconciled:  # noqa: ARG001 - every kind's is called so
    """Decide what a RayCronJob needs. Pure."""
    thing = seen.thing
    spec = RayCronJobSpec.model_validate(thing["spec"])
    if spec.job_template.managed_by not in OURS or is_leaving(thing):
        return Reconciled()
    found = list(problems(thing, spec))
    if found:
        return Reconciled((Emit(EventType.WARNING, "InvalidRayCronJobSpec", "; ".join(found)),))
    runs = _runs(seen)
    old = tuple(_too_old(spec, runs))
    next_s = _wait_s(spec, seen.now)
    due = _due(spec, seen)
    if due is not None and any(key_of(run).name == _run_name(thing, due) for run in seen.all(RAY_JOB)):
        # Written down only once it is there: a run that could not be made is tried again, not lost.
        status = {**(thing.get("status") or {}), "lastScheduleTime": timestamp(due)}
        return Reconciled(old, status, again_s=next_s)
    if spec.suspend or due is None or (runs.going and spec.concurrency_policy is ConcurrencyPolicy.FORBID):
        return Reconciled(old, again_s=next_s)
    replaced = runs.going if spec.concurrency_policy is ConcurrencyPolicy.REPLACE else ()
    actions = (
        *old,
        *(_delete(run, "a newer run takes its place") for run in replaced),
        Create(RAY_JOB, _run(thing, due)),
    )
    return Reconciled(actions, again_s=next_s)


def problems(thing: Object, spec: RayCronJobSpec) -> Iterator[str]:
    """Yield what is wrong, each with what to do."""
    if len(key_of(thing).name) > NAME_MAX:
        yield f"metadata.name must have at most {NAME_MAX} characters: the names of its runs and clusters are longer"
    if "TZ=" in spec.schedule:
        yield "schedule must not have a time zone; use timeZone"
    else:
        try:
            CronSim(spec.schedule, datetime.fromtimestamp(0, ZoneInfo("UTC")))
        except CronSimError as error:
            yield f"schedule {spec.schedule!r} is no cron line: {error}"
    try:
        ZoneInfo(spec.time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        yield f"timeZone {spec.time_zone!r} is not known; write it as Europe/Berlin"


# ---- when ------------------------------------------------------------------------------------------------------------


def _wait_s(spec: RayCronJobSpec, now: float) -> float | None:
    """Return the seconds until the next run is due, None when there is none any more."""
    following = next_change(_window(spec), now)
    return None if following is None else following - now


def _due(spec: RayCronJobSpec, seen: Observed) -> float | None:
    """Return when the run that is to be made was due, None for none."""
    last = opened_at(_window(spec), seen.now)
    scheduled = (seen.thing.get("status") or {}).get("lastScheduleTime")
    if last is None or last <= max(moment(scheduled), created_at(seen.thing)):
        return None
    late_s = seen.now - last
    limits = [spec.starting_deadline_seconds, LATE_S if spec.missed_runs is MissedRuns.SKIP else None]
    return None if any(limit is not None and late_s > limit for limit in limits) else last


def _window(spec: RayCronJobSpec) -> Window:
    """Return a window that opens with every run and stays open: its opening is the newest run."""
    return Window(spec.schedule, _FOR_EVER_S, spec.time_zone or "UTC")


# ---- runs ------------------------------------------------------------------------------------------------------------


def _run_name(thing: Object, due: float) -> str:
    return f"{key_of(thing).name}-{int(due) // _MINUTE_S}"


def _run(thing: Object, due: float) -> Object:
    key = key_of(thing)
    return {
        "metadata": {
            "name": _run_name(thing, due),
            "namespace": key.namespace,
            "labels": {NAME_LABEL: label_value(key.name)},
            "annotations": {**passed_on(annotations_of(thing)), SCHEDULED_ANNOTATION: timestamp(due)},
            "ownerReferences": [
                {
                    "apiVersion": RAY_CRON_JOB.api_version,
                    "kind": RAY_CRON_JOB.name,
                    "name": key.name,
                    "uid": uid_of(thing),
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": thing["spec"]["jobTemplate"],
    }


def _runs(seen: Observed) -> Runs:
    going, succeeded, failed = [], [], []
    for run in sorted(seen.all(RAY_JOB), key=lambda run: (created_at(run), key_of(run).name)):
        match (run.get("status") or {}).get("jobDeploymentStatus"):
            case "Complete":
                succeeded.append(run)
            case "Failed" | "ValidationFailed":
                failed.append(run)
            case _:
                going.append(run)
    return Runs(tuple(going), tuple(succeeded), tuple(failed))


def _too_old(spec: RayCronJobSpec, runs: Runs) -> Iterator[Action]:
    limits = (
        (runs.succeeded, spec.successful_jobs_history_limit),
        (runs.failed, spec.failed_jobs_history_limit),
    )
    for ended, limit in limits:
        if limit is not None:
            yield from (_delete(run, "newer runs are kept") for run in ended[: max(len(ended) - limit, 0)])


def _delete(run: Object, why: str) -> Delete:
    return Delete(RAY_JOB, key_of(run), uid_of(run), why)
