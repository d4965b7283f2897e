"""A RayJob's life, phase by phase: what is done and what the status says."""

from collections.abc import Hashable
from typing import Any, ClassVar

import pytest
from tests.unit.kube_operator.raycluster.clusters import NOW, group, raycluster

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.rayjob.reconcile import FINALIZER, JobFact, reconcile, related
from rayfleet.kube_operator.reconciling import Call, Create, Delete, Observed, Patch, Reconciled
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import JOB, POD, RAY_CLUSTER, RAY_JOB, Key, Kind, Object

CLUSTER_SPEC = raycluster(group())["spec"]
READY = {"state": "ready"}


def rayjob(status: Object | None = None, meta: Object | None = None, **spec: Any) -> Object:
    metadata = {"name": "train", "namespace": "team", "uid": "uid-job", "generation": 2, "finalizers": [FINALIZER]}
    given = {"entrypoint": "python train.py", "rayClusterSpec": CLUSTER_SPEC, **spec}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata | (meta or {}),
        "spec": {key: value for key, value in given.items() if value is not None},
        "status": status or {},
    }


def phase(name: str, **more: Any) -> Object:
    """Return the status of a job in that phase, with its ids."""
    ids = {"jobId": "train-x", "rayClusterName": "train-c", "startTime": timestamp(NOW - 100)}
    url = {"dashboardURL": "train-c-head-svc.team.svc.cluster.local:8265"} if name == "Running" else {}
    return {"jobDeploymentStatus": name, **ids, **url, **more}


def cluster(status: Object | None = None, **meta: Any) -> Object:
    thing = raycluster(group(), status=status)
    thing["metadata"] = {"name": "train-c", "namespace": "team", "uid": "uid-c", **meta}
    return thing


def submitter(state: str = "", name: str = "train") -> Object:
    conditions = [{"type": state, "status": "True", "message": "BackoffLimitExceeded"}] if state else []
    metadata = {"name": name, "namespace": "team", "uid": "uid-s"}
    return {"metadata": metadata, "status": {"conditions": conditions}}


def look(thing: Object, *owned: tuple[Kind, Object], fact: JobFact | None = None, **seen: Any) -> Reconciled:
    things: dict[Kind, tuple[Object, ...]] = {}
    for kind, one in owned:
        things[kind] = (*things.get(kind, ()), one)
    facts: dict[Hashable, object] = {} if fact is None else {"job_status": fact}
    return reconcile(Observed(thing, NOW, things, facts=facts, **seen), OperatorSettings())


def state(done: Reconciled) -> tuple[str, str]:
    assert done.status is not None
    return done.status.get("jobDeploymentStatus", ""), done.status.get("reason", "")


def created(done: Reconciled) -> list[Kind]:
    return [action.kind for action in done.actions if isinstance(action, Create)]


def deleted(done: Reconciled) -> list[Kind]:
    return [action.kind for action in done.actions if isinstance(action, Delete)]


class TestStart:
    def test_its_ids_are_in_the_status_before_anything_is_made(self) -> None:
        done = look(rayjob())
        assert done.actions == ()
        assert state(done) == ("Initializing", "")
        assert done.status is not None
        assert done.status["jobId"].startswith("train-")
        assert done.status["rayClusterName"].startswith("train-")
        assert done.status["startTime"] == timestamp(NOW)

    def test_the_first_thing_of_all_is_the_finalizer(self) -> None:
        done = look(rayjob(meta={"finalizers": []}))
        assert [action for action in done.actions if isinstance(action, Patch)] == list(done.actions)
        assert done.status is None

    def test_then_comes_its_cluster_and_the_job_when_that_is_ready(self) -> None:
        job = rayjob(phase("Initializing"))
        assert created(look(job)) == [RAY_CLUSTER]
        assert state(look(job, (RAY_CLUSTER, cluster({"state": ""})))) == ("Initializing", "")
        done = look(job, (RAY_CLUSTER, cluster(READY)))
        assert state(done) == ("Running", "")
        assert done.status is not None
        assert done.status["dashboardURL"] == "train-c-head-svc.team.svc.cluster.local:8265"

    def test_its_annotations_are_the_cluster_s_too(self) -> None:
        handed_on = {"ray.io/ft-enabled": "true", "rayfleet.io/autoscaler": "central"}
        notes = {**handed_on, "kubectl.kubernetes.io/last-applied-configuration": "{}"}
        job = rayjob(phase("Initializing"))
        job["metadata"]["annotations"] = notes
        (made,) = (action.thing for action in look(job).actions if isinstance(action, Create))
        assert made["metadata"]["annotations"] == handed_on

    def test_what_the_cluster_says_is_in_the_status(self) -> None:
        """KubeRay's scenario 37: a quota that holds up the cluster is seen at the job."""
        told = {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreateHeadPod"}]}
        done = look(rayjob(phase("Initializing")), (RAY_CLUSTER, cluster(told)))
        assert done.status is not None
        assert done.status["rayClusterStatus"] == told

    def test_an_interactive_job_waits_for_its_id(self) -> None:
        spec: Any = {"submissionMode": "InteractiveMode", "entrypoint": None}
        assert state(look(rayjob(phase("Initializing"), **spec), (RAY_CLUSTER, cluster(READY)))) == ("Waiting", "")
        done = look(rayjob(phase("Waiting"), jobId="mine", **spec), (RAY_CLUSTER, cluster(READY)))
        assert state(done) == ("Running", "")
        assert done.status is not None
        assert done.status["jobId"] == "mine"

    def test_a_selected_cluster_is_used_and_none_is_made(self) -> None:
        """KubeRay's scenario 40."""
        job = rayjob(phase("Initializing", rayClusterName=""), rayClusterSpec=None, clusterSelector={"team": "a"})
        (wanted,) = related(job)
        assert (wanted.kind, wanted.labels) == (RAY_CLUSTER, {"team": "a"})
        nothing = look(job)
        assert nothing.actions == ()
        assert nothing.status is not None
        assert nothing.status["message"] == "no RayCluster has the labels team=a"
        done = look(job, related={RAY_CLUSTER: (cluster(READY),)})
        assert state(done) == ("Running", "")
        assert done.status is not None
        assert done.status["rayClusterName"] == "train-c"


class TestSubmission:
    JOB = rayjob(phase("Running"))
    CLUSTER = (RAY_CLUSTER, cluster(READY))

    def test_a_submitter_is_made_once(self) -> None:
        done = look(self.JOB, self.CLUSTER)
        (action,) = done.actions
        assert isinstance(action, Create)
        (container,) = action.thing["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "rayproject/ray:2.60.0"
        assert "--submission-id train-x -- python train.py" in container["args"][0]
        assert look(self.JOB, self.CLUSTER, (JOB, submitter())).actions == ()

    def test_the_operator_itself_submits_what_the_server_does_not_know(self) -> None:
        """KubeRay's scenario 42. Until the server has said that it knows no such job, nothing is submitted."""
        job = rayjob(phase("Running"), submissionMode="HTTPMode", runtimeEnvYAML="env_vars: {A: '1'}")
        assert look(job, self.CLUSTER).actions == ()
        (call,) = look(job, self.CLUSTER, fact=JobFact()).actions
        assert isinstance(call, Call)
        assert call.arguments == {
            "submission_id": "train-x",
            "entrypoint": "python train.py",
            "runtime_env": {"env_vars": {"A": "1"}},
        }
        assert look(job, self.CLUSTER, fact=JobFact("PENDING")).actions == ()
        assert look(job, self.CLUSTER, fact=JobFact(error="no route")).actions == ()

    def test_beside_the_head_a_container_submits_and_the_head_does_not_come_back(self) -> None:
        """KubeRay's scenario 45."""
        (action,) = look(rayjob(phase("Initializing"), submissionMode="SidecarMode")).actions
        assert isinstance(action, Create)
        head = action.thing["spec"]["headGroupSpec"]["template"]["spec"]
        assert [container["name"] for container in head["containers"]] == ["ray-head", "ray-job-submitter"]
        assert head["restartPolicy"] == "Never"
        assert action.thing["metadata"]["annotations"] == {"ray.io/disable-provisioned-head-restart": "true"}


class TestEnd:
    CLUSTER = (RAY_CLUSTER, cluster(READY))

    @pytest.mark.parametrize(
        ("status", "expected", "counts"),
        [
            ("SUCCEEDED", ("Complete", ""), (1, 0)),
            ("STOPPED", ("Complete", ""), (0, 0)),
            ("FAILED", ("Failed", "AppFailed"), (0, 1)),
        ],
    )
    def test_how_the_job_ended_is_how_it_ends(
        self, status: str, expected: tuple[str, str], counts: tuple[int, int]
    ) -> None:
        """KubeRay's scenarios 28, 29 and 31."""
        done = look(rayjob(phase("Running")), self.CLUSTER, (JOB, submitter("Complete")), fact=JobFact(status))
        assert state(done) == expected
        assert done.status is not None
        assert (done.status.get("succeeded", 0), done.status.get("failed", 0)) == counts
        assert done.status["jobStatus"] == status

    def test_it_waits_for_the_submitter_but_not_for_ever(self) -> None:
        """KubeRay's scenario 36."""
        job = rayjob(phase("Running"))
        things = (self.CLUSTER, (JOB, submitter()))
        just, long = JobFact("SUCCEEDED", ended_at=NOW - 10), JobFact("SUCCEEDED", ended_at=NOW - 301)
        assert state(look(job, *things, fact=just)) == ("Running", "")
        assert state(look(job, *things, fact=long)) == ("Complete", "")

    def test_a_submitter_that_fails_before_the_job_exists_is_a_failure(self) -> None:
        """KubeRay's scenario 30."""
        done = look(rayjob(phase("Running")), self.CLUSTER, (JOB, submitter("Failed")), fact=JobFact())
        assert state(done) == ("Failed", "SubmissionFailed")
        assert done.status is not None
        assert "jobStatus" not in done.status

    def test_a_status_that_cannot_be_had_is_given_up_after_a_while(self) -> None:
        silent = JobFact(error="no route to host")
        first = look(rayjob(phase("Running")), self.CLUSTER, (JOB, submitter()), fact=silent)
        assert first.status is not None
        assert first.status["jobStatusCheckFailureStartTime"] == timestamp(NOW)
        since = {"jobStatusCheckFailureStartTime": timestamp(NOW - 301)}
        later = look(rayjob(phase("Running", **since)), self.CLUSTER, (JOB, submitter()), fact=silent)
        assert state(later) == ("Failed", "JobStatusCheckTimeoutExceeded")
        again = look(rayjob(phase("Running", **since)), self.CLUSTER, (JOB, submitter()), fact=JobFact("RUNNING"))
        assert again.status is not None
        assert "jobStatusCheckFailureStartTime" not in again.status

    @pytest.mark.parametrize("name", ["Initializing", "Waiting", "Running"])
    def test_the_deadline_of_all_phases(self, name: str) -> None:
        """KubeRay's scenario 33."""
        done = look(rayjob(phase(name), activeDeadlineSeconds=100), self.CLUSTER)
        assert state(done) == ("Failed", "DeadlineExceeded")

    @pytest.mark.parametrize(("name", "over"), [("Initializing", True), ("Waiting", True), ("Running", False)])
    def test_the_deadline_of_the_start(self, name: str, over: bool) -> None:
        """KubeRay's scenario 39."""
        done = look(rayjob(phase(name), preRunningDeadlineSeconds=60), self.CLUSTER)
        assert (done.status is not None and done.status.get("reason") == "PreRunningDeadlineExceeded") is over

    def test_attempts_that_are_left_are_made_on_a_new_cluster(self) -> None:
        """KubeRay's scenario 44: two retries are three attempts."""
        phases = []
        for failed in (1, 2, 3):
            done = look(rayjob(phase("Failed", reason="AppFailed", failed=failed), backoffLimit=2))
            phases.append(done.status and done.status["jobDeploymentStatus"])
        assert phases == ["Retrying", "Retrying", None]
        over = look(rayjob(phase("Failed", reason="DeadlineExceeded", failed=1), backoffLimit=2))
        assert over.status is None
        going = look(rayjob(phase("Retrying", failed=1)), self.CLUSTER, (JOB, submitter("Failed")))
        assert sorted(kind.name for kind in deleted(going)) == ["Job", "RayCluster"]
        gone = look(rayjob(phase("Retrying", failed=1)))
        assert gone.status == {"jobDeploymentStatus": "", "failed": 1, "observedGeneration": 2}


class TestAfterwards:
    """KubeRay's scenarios 28 and 41: what remains, and for how long."""

    CLUSTER = (RAY_CLUSTER, cluster(READY))
    THREE: ClassVar = [
        {"policy": policy, "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": seconds}}
        for policy, seconds in (("DeleteWorkers", 15), ("DeleteCluster", 35), ("DeleteSelf", 55))
    ]

    def after(self, seconds: float, **spec: Any) -> Reconciled:
        ended = {"endTime": timestamp(NOW - seconds), "jobStatus": "SUCCEEDED"}
        return look(rayjob(phase("Complete", **ended), **spec), self.CLUSTER)

    def test_by_default_everything_stays(self) -> None:
        assert self.after(10**6).actions == ()

    def test_the_cluster_goes_after_its_time(self) -> None:
        spec: Any = {"shutdownAfterJobFinishes": True, "ttlSecondsAfterFinished": 30}
        early, late = self.after(10, **spec), self.after(30, **spec)
        assert (deleted(early), early.again_s) == ([], 20.0)
        assert deleted(late) == [RAY_CLUSTER]

    @pytest.mark.parametrize(
        ("seconds", "done", "again_s"),
        [(14, [], 1.0), (15, ["Patch"], 20.0), (35, ["RayCluster"], 20.0), (55, ["RayJob"], None)],
    )
    def test_stages_come_one_after_the_other(self, seconds: float, done: list[str], again_s: float | None) -> None:
        result = self.after(seconds, deletionStrategy={"deletionRules": self.THREE})
        kinds = [action.kind.name if isinstance(action, Delete) else type(action).__name__ for action in result.actions]
        assert (kinds, result.again_s) == (done, again_s)

    def test_rules_for_another_end_do_nothing(self) -> None:
        failed = [{"policy": "DeleteSelf", "condition": {"jobDeploymentStatus": "Failed", "ttlSeconds": 0}}]
        assert self.after(100, deletionStrategy={"deletionRules": failed}).actions == ()
        legacy = {"onSuccess": {"policy": "DeleteCluster"}, "onFailure": {"policy": "DeleteNone"}}
        assert deleted(self.after(0, deletionStrategy=legacy)) == [RAY_CLUSTER]


class TestSuspend:
    """KubeRay's scenario 46."""

    def test_everything_goes_before_it_counts_as_suspended(self) -> None:
        spec: Any = {"suspend": True, "shutdownAfterJobFinishes": True}
        assert state(look(rayjob(phase("Running"), **spec), (RAY_CLUSTER, cluster(READY)))) == ("Suspending", "")
        going = look(rayjob(phase("Suspending"), **spec), (RAY_CLUSTER, cluster(READY)), (JOB, submitter()))
        assert len(deleted(going)) == 2
        gone = look(rayjob(phase("Suspending"), **spec))
        assert gone.status == {"jobDeploymentStatus": "Suspended", "observedGeneration": 2}

    def test_made_suspended_nothing_is_made(self) -> None:
        done = look(rayjob(suspend=True, shutdownAfterJobFinishes=True))
        assert (done.actions, state(done)) == ((), ("Suspended", ""))

    def test_resumed_it_starts_anew(self) -> None:
        assert look(rayjob({"jobDeploymentStatus": "Suspended"}, suspend=True)).status is None
        assert state(look(rayjob({"jobDeploymentStatus": "Suspended"}))) == ("", "")

    def test_resumed_half_way_it_is_first_taken_away(self) -> None:
        going = look(rayjob(phase("Suspending")), (RAY_CLUSTER, cluster(READY)))
        assert deleted(going) == [RAY_CLUSTER]


LEAVING = {"deletionTimestamp": timestamp(NOW), "resourceVersion": "8"}


class TestDeletion:
    def test_the_job_is_stopped_and_then_let_go(self) -> None:
        thing = rayjob(phase("Running"), meta=LEAVING)
        stop, release = look(thing, (RAY_CLUSTER, cluster(READY))).actions
        assert isinstance(stop, Call)
        assert (stop.call, stop.arguments) == ("stop_job", {"job_id": "train-x"})
        assert isinstance(release, Patch)
        assert release.kind == RAY_JOB
        assert release.patch == {"metadata": {"resourceVersion": "8", "finalizers": []}}
        (alone,) = look(thing).actions
        assert alone == release
        assert look(rayjob(phase("Running"), meta={**LEAVING, "finalizers": ["other"]})).actions == ()

    def test_a_job_that_has_ended_is_only_let_go(self) -> None:
        thing = rayjob(phase("Complete", jobStatus="SUCCEEDED"), meta={"deletionTimestamp": timestamp(NOW)})
        assert [type(action) for action in look(thing).actions] == [Patch]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"runtimeEnvYAML": "{a: ["}, "runtimeEnvYAML is no YAML"),
        ({"runtimeEnvYAML": "- a"}, "must be a mapping"),
        ({"clusterSelector": {"a": "b"}}, "one of rayClusterSpec and clusterSelector"),
        ({"rayClusterSpec": None}, "one of rayClusterSpec and clusterSelector"),
        ({"entrypoint": None}, "entrypoint is missing"),
        ({"backoffLimit": -1}, "backoffLimit must not be negative"),
        ({"activeDeadlineSeconds": 0}, "activeDeadlineSeconds must be positive"),
        ({"ttlSecondsAfterFinished": 5}, "needs shutdownAfterJobFinishes"),
        ({"suspend": True}, "suspend needs shutdownAfterJobFinishes"),
        ({"submissionMode": "SidecarMode", "submitterPodTemplate": {}}, "not used in SidecarMode"),
        ({"submissionMode": "InteractiveMode", "backoffLimit": 1}, "leave it out in InteractiveMode"),
        (
            {"rayClusterSpec": None, "clusterSelector": {"a": "b"}, "submissionMode": "SidecarMode"},
            "SidecarMode needs a head of its own",
        ),
        (
            {
                "deletionStrategy": {"deletionRules": list(reversed(TestAfterwards.THREE))},
                "shutdownAfterJobFinishes": True,
            },
            "say the same thing",
        ),
        (
            {"deletionStrategy": {"onSuccess": {"policy": "DeleteSelf"}}},
            "needs onSuccess and onFailure",
        ),
        (
            {
                "deletionStrategy": {
                    "deletionRules": [
                        {"policy": "DeleteCluster", "condition": {"jobStatus": "FAILED", "ttlSeconds": 9}},
                        {"policy": "DeleteSelf", "condition": {"jobStatus": "FAILED", "ttlSeconds": 8}},
                    ]
                }
            },
            "ttlSeconds must grow",
        ),
    ],
)
def test_what_cannot_work_is_said_at_once(spec: Object, says: str) -> None:
    """KubeRay's scenario 32."""
    done = look(rayjob(**spec))
    assert state(done) == ("ValidationFailed", "ValidationFailed")
    assert done.status is not None
    assert says in done.status["message"]


def test_a_name_that_leaves_no_room_for_its_cluster_is_refused_until_edited() -> None:
    done = look(rayjob(meta={"name": "j" * 48}))
    assert done.status is not None
    assert "at most 47" in done.status["message"]
    same, edited = look(rayjob(done.status)), look(rayjob({**done.status, "observedGeneration": 1}))
    assert same.status is None
    assert state(edited) == ("", "")


def test_a_job_that_somebody_else_manages_is_left_alone() -> None:
    """KubeRay's scenario 35."""
    assert look(rayjob(managedBy="kueue.x-k8s.io/multikueue")) == Reconciled()


def test_the_pod_of_a_sidecar_is_related() -> None:
    (wanted,) = related(rayjob(phase("Running"), submissionMode="SidecarMode"))
    assert (wanted.kind, wanted.labels["ray.io/cluster"]) == (POD, "train-c")


class TestNothingHangsAndNothingLies:
    CLUSTER: ClassVar[tuple[Kind, Object]] = (RAY_CLUSTER, cluster(READY))

    def test_an_operator_that_was_just_started_asks_before_it_blames_the_submitter(self) -> None:
        """The job may have succeeded, and only its output could not be followed to the end."""
        done = look(rayjob(phase("Running", jobStatus="RUNNING")), self.CLUSTER, (JOB, submitter("Failed")))
        assert state(done) == ("Running", "")
        silent = JobFact(error="no route")
        job = rayjob(phase("Running", jobStatus="RUNNING"))
        assert state(look(job, self.CLUSTER, (JOB, submitter("Failed")), fact=silent)) == ("Running", "")
        told = look(job, self.CLUSTER, (JOB, submitter("Failed")), fact=JobFact("SUCCEEDED"))
        assert state(told) == ("Complete", "")

    def test_a_submitter_that_is_done_with_a_job_that_nobody_knows_is_no_reason_to_wait_for_ever(self) -> None:
        """The head was replaced after the job's end, or the submitter's own command submitted something else."""
        things = (self.CLUSTER, (JOB, submitter("Complete")))
        first = look(rayjob(phase("Running")), *things, fact=JobFact())
        assert first.status is not None
        assert first.status["jobStatusCheckFailureStartTime"] == timestamp(NOW)
        since = {"jobStatusCheckFailureStartTime": timestamp(NOW - 301)}
        later = look(rayjob(phase("Running", **since)), *things, fact=JobFact())
        assert state(later) == ("Failed", "JobStatusCheckTimeoutExceeded")

    def test_what_nobody_tells_is_looked_at_soon(self) -> None:
        """A selected cluster, and the container beside the head, are no objects of the job."""
        spec: Any = {"rayClusterSpec": None, "clusterSelector": {"team": "a"}}
        waits = look(rayjob(phase("Initializing", rayClusterName=""), **spec), related={RAY_CLUSTER: (cluster(),)})
        assert waits.again_s == 5.0
        beside = rayjob(phase("Running"), submissionMode="SidecarMode")
        assert look(beside, self.CLUSTER, fact=JobFact("SUCCEEDED", ended_at=NOW - 1)).again_s == 5.0
        assert look(beside, self.CLUSTER, fact=JobFact("RUNNING")).again_s == 300.0

    def test_resources_that_are_no_json_are_said_at_once(self) -> None:
        done = look(rayjob(entrypointResources="{a: 1", submissionMode="HTTPMode"))
        assert state(done) == ("ValidationFailed", "ValidationFailed")

    def test_a_cluster_of_somebody_else_is_never_taken_away(self) -> None:
        """A rule that was added after the checks."""
        rules = [{"policy": "DeleteCluster", "condition": {"jobStatus": "SUCCEEDED"}}]
        spec: Any = {
            "rayClusterSpec": None,
            "clusterSelector": {"a": "b"},
            "deletionStrategy": {"deletionRules": rules},
        }
        job = rayjob(phase("Complete", jobStatus="SUCCEEDED", endTime=timestamp(NOW - 9)), **spec)
        assert look(job, related={RAY_CLUSTER: (cluster(READY),)}).actions == ()


class TestToken:
    """KubeRay's scenarios 38, 42 and 45."""

    AUTH: ClassVar[Object] = {**CLUSTER_SPEC, "authOptions": {"mode": "token"}}

    def tokened(self) -> tuple[Kind, Object]:
        return RAY_CLUSTER, {**cluster(READY), "spec": self.AUTH}

    def test_every_question_and_call_names_the_secret_of_the_cluster(self) -> None:
        job = rayjob(phase("Running"), submissionMode="HTTPMode", rayClusterSpec=self.AUTH)
        done = look(job, self.tokened(), fact=JobFact())
        secret = Key("team", "train-c")
        assert [probe.secret for probe in done.probes] == [secret]
        assert [action.secret for action in done.actions if isinstance(action, Call)] == [secret]
        leaving = look({**job, "metadata": {**job["metadata"], **LEAVING}}, self.tokened())
        assert [action.secret for action in leaving.actions if isinstance(action, Call)] == [secret]

    def test_the_container_beside_the_head_shows_the_token(self) -> None:
        job = rayjob(phase("Initializing"), submissionMode="SidecarMode", rayClusterSpec=self.AUTH)
        (create,) = (action for action in look(job).actions if isinstance(action, Create))
        beside = create.thing["spec"]["headGroupSpec"]["template"]["spec"]["containers"][1]
        variables = {one["name"]: one for one in beside["env"]}
        assert variables["RAY_AUTH_MODE"]["value"] == "token"
        source = variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
        assert source == {"name": "train-c", "key": "auth_token"}
