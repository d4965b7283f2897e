"""Which runs of a RayCronJob are made, and which are no longer kept."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycronjob.reconcile import reconcile
from rayfleet.kube_operator.reconciling import Create, Delete, Emit, Observed, Reconciled
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import RAY_JOB, Object, key_of

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0


def cron(schedule: str = "0 * * * *", last: float | None = NOON - HOUR, name: str = "nightly", **spec: Any) -> Object:
    metadata = {"name": name, "namespace": "team", "uid": "uid-cron", "creationTimestamp": timestamp(NOON - 90 * HOUR)}
    status = {} if last is None else {"lastScheduleTime": timestamp(last)}
    spec = {"schedule": schedule, "jobTemplate": {"entrypoint": "true"}, **spec}
    return {"apiVersion": "ray.io/v1", "kind": "RayCronJob", "metadata": metadata, "spec": spec, "status": status}


def run(name: str, phase: str, age_s: float = 0.0) -> Object:
    metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "creationTimestamp": timestamp(NOON - age_s)}
    return {"metadata": metadata, "status": {"jobDeploymentStatus": phase}}


def look(thing: Object, *runs: Object, now: float = NOON + 1) -> Reconciled:
    return reconcile(Observed(thing, now, {RAY_JOB: runs} if runs else {}), OperatorSettings())


def made(done: Reconciled) -> list[str]:
    return [key_of(action.thing).name for action in done.actions if isinstance(action, Create)]


def removed(done: Reconciled) -> list[str]:
    return [action.key.name for action in done.actions if isinstance(action, Delete)]


def test_a_run_is_made_when_it_is_due_and_only_once() -> None:
    """KubeRay's scenario 48: no two runs for one moment."""
    done = look(cron())
    assert made(done) == [f"nightly-{int(NOON) // 60}"]
    assert done.again_s == HOUR - 1
    assert done.status is None  # one that the API server refuses is tried again
    there = look(cron(concurrencyPolicy="Replace"), run(f"nightly-{int(NOON) // 60}", ""))
    assert (there.actions, there.status) == ((), {"lastScheduleTime": timestamp(NOON)})
    again = look(cron(last=NOON))
    assert (made(again), again.again_s) == ([], HOUR - 1)
    assert made(look(cron(), now=NOON)) == made(done)
    assert made(look(cron(), now=NOON - 1)) == []


def test_annotations_of_a_cron_job_are_those_of_its_runs_too() -> None:
    """And by them of the runs' clusters, which have many of their switches there."""
    thing = cron()
    notes = {"rayfleet.io/autoscaler": "central", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    thing["metadata"]["annotations"] = notes | {"ray.io/cronjob-scheduled-timestamp": "of somebody else"}
    (run,) = (action.thing for action in look(thing).actions if isinstance(action, Create))
    assert run["metadata"]["annotations"] == {
        "rayfleet.io/autoscaler": "central",
        "ray.io/cronjob-scheduled-timestamp": timestamp(NOON),
    }


def test_of_many_missed_runs_only_the_last_is_made_up_for() -> None:
    assert made(look(cron("*/5 * * * *", last=NOON - 24 * HOUR))) == [f"nightly-{int(NOON) // 60}"]
    late = NOON + 120
    assert len(made(look(cron(), now=late))) == 1
    assert made(look(cron(missedRuns="Skip"), now=late)) == []
    assert made(look(cron(startingDeadlineSeconds=60), now=late)) == []
    assert len(made(look(cron(startingDeadlineSeconds=180), now=late))) == 1


def test_suspended_it_makes_no_run_and_goes_on_afterwards() -> None:
    assert made(look(cron(suspend=True))) == []


def test_what_was_due_before_it_was_made_is_not_run() -> None:
    young = cron(last=None)
    young["metadata"]["creationTimestamp"] = timestamp(NOON + 0.5)
    assert made(look(young, now=NOON + 30)) == []


def test_the_time_zone_counts() -> None:
    evening = cron("0 13 * * *", timeZone="Europe/Berlin", last=NOON - 24 * HOUR)
    assert made(look(evening)) == [f"nightly-{int(NOON) // 60}"]
    assert made(look(cron("0 13 * * *", last=NOON - 23 * HOUR))) == []


@pytest.mark.parametrize(("policy", "count", "gone"), [("Allow", 1, []), ("Forbid", 0, []), ("Replace", 1, ["old"])])
def test_a_run_that_goes_on_when_the_next_is_due(policy: str, count: int, gone: list[str]) -> None:
    done = look(cron(concurrencyPolicy=policy), run("old", "Running"))
    assert (len(made(done)), removed(done)) == (count, gone)


def test_runs_beyond_the_limits_go_the_oldest_first() -> None:
    runs = [run(f"ok{age}", "Complete", age) for age in (3, 1, 2)] + [run("bad", "Failed", 9), run("on", "Running", 99)]
    done = look(cron(last=NOON, successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0), *runs)
    assert removed(done) == ["ok3", "ok2", "bad"]
    assert removed(look(cron(last=NOON), *runs)) == []


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (cron("every hour"), "no cron line"),
        (cron("TZ=UTC 0 * * * *"), "use timeZone"),
        (cron(timeZone="Mars/Olympus"), "not known"),
        (cron(name="c" * 37), "at most 36"),
    ],
)
def test_what_cannot_work_is_said(thing: Object, says: str) -> None:
    (action,) = look(thing).actions
    assert isinstance(action, Emit)
    assert says in action.message
