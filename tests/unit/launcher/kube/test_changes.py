"""What a file changes: named line by line, and sent as a patch that leaves everything else alone."""

import json
from typing import Any

import pytest
from tests.unit.launcher.kube.things import group, resource

from rayfleet.launcher.kube.changes import LAST_APPLIED, changed, last_applied, marked
from rayfleet.launcher.kube.manifest import Manifest
from rayfleet.launcher.kube.up import steps
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.wire.kube.objects import RAY_CLUSTER, SECRET, Key, Object


def wanted(*groups: Object, **spec: Any) -> Object:
    thing = resource(workerGroupSpecs=list(groups), **spec)
    del thing["metadata"]["generation"]
    return thing


def live(applied: Object, **more: Any) -> Object:
    """Return what is there after `applied` was: the server and others have added `more` to its groups."""
    thing = marked(applied)
    thing["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 1}
    groups = [{**one, "numOfHosts": 1, **more} for one in thing["spec"]["workerGroupSpecs"]]
    return {**thing, "spec": {**thing["spec"], "suspend": False, "workerGroupSpecs": groups}, "status": {"state": "x"}}


async def applied(there: Object, patch: Object) -> Object:
    kube = FakeKube()
    await kube.create(RAY_CLUSTER, there)
    await kube.patch(RAY_CLUSTER, Key("team", "demo"), patch)
    (thing,) = kube.things(RAY_CLUSTER)
    return thing


def test_the_same_file_again_changes_nothing() -> None:
    file = wanted(group(replicas=1))
    assert changed(live(file), file) == changed(live(file, idleTimeoutSeconds=5), file)
    assert changed(live(file), file).lines == ()
    assert changed(live(file), file).patch == {}


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (
            wanted(group(replicas=1)),
            wanted(group(replicas=3)),
            ("spec.workerGroupSpecs[small].replicas: 1 -> 3",),
        ),
        (
            wanted(group(idleTimeoutSeconds=5)),
            wanted(group()),
            ("spec.workerGroupSpecs[small].idleTimeoutSeconds: 5 -> left out",),
        ),
        (wanted(group()), wanted(group(), group("b")), ("spec.workerGroupSpecs: 1 items -> 2 items",)),
        (wanted(), wanted(rayVersion="2.60.0"), ("spec.rayVersion: nothing -> 2.60.0",)),
        (wanted(rayVersion="2.60.0"), wanted(), ("spec.rayVersion: 2.60.0 -> left out",)),
    ],
)
async def test_each_change_is_named_and_comes_true(before: Object, after: Object, lines: tuple[str, ...]) -> None:
    there = live(before)
    found = changed(there, after)
    assert found.lines == lines
    now = await applied(there, found.patch)
    assert changed(now, after).lines == ()
    assert last_applied(now) == after


async def test_what_others_have_set_stays() -> None:
    there = live(wanted(group(replicas=1)))
    there["metadata"]["labels"] = {"theirs": "1"}
    now = await applied(there, changed(there, wanted(group(replicas=2))).patch)
    assert now["metadata"]["labels"] == {"theirs": "1"}
    assert now["spec"]["suspend"] is False


async def test_the_autoscalers_counts_stay_while_the_file_does_not_change_its_mind() -> None:
    """A file that is applied again, by a person or by GitOps, takes nobody's workers away."""
    before = wanted(group(replicas=1), enableInTreeAutoscaling=True)
    there = live(before, replicas=4, scaleStrategy={"workersToDelete": ["w1"]})
    assert changed(there, before).lines == ()
    found = changed(there, wanted(group(replicas=1, maxReplicas=9), enableInTreeAutoscaling=True))
    assert found.lines == ("spec.workerGroupSpecs[small].maxReplicas: 5 -> 9",)
    now = (await applied(there, found.patch))["spec"]["workerGroupSpecs"][0]
    assert (now["replicas"], now["scaleStrategy"]) == (4, {"workersToDelete": ["w1"]})
    asked = changed(there, wanted(group(replicas=2), enableInTreeAutoscaling=True))
    assert asked.lines == ("spec.workerGroupSpecs[small].replicas: 4 -> 2",)


def test_without_autoscaling_the_file_has_the_last_word() -> None:
    before = wanted(group(replicas=1))
    assert changed(live(before, replicas=4), before).lines == ("spec.workerGroupSpecs[small].replicas: 4 -> 1",)


def test_the_note_is_kubectls() -> None:
    file = wanted()
    note = marked(file)["metadata"]["annotations"][LAST_APPLIED]
    assert LAST_APPLIED == "kubectl.kubernetes.io/last-applied-configuration"
    assert (json.loads(note), note[-1]) == (file, "\n")


async def test_a_secret_changes_without_being_shown() -> None:
    kube = FakeKube()
    meta = {"name": "s", "namespace": "team"}
    await kube.create(SECRET, marked({"metadata": meta, "data": {"password": "b2xk"}}))
    wanted_ = Manifest(RAY_CLUSTER, wanted(), ((SECRET, {"metadata": meta, "data": {"password": "bmV3"}}),))
    step, _ = await steps(kube, wanted_)
    assert step.lines == ("change Secret team/s", "  data.password")
    assert step.changes.patch["data"] == {"password": "bmV3"}


def test_a_resource_that_nobody_has_applied_is_only_added_to() -> None:
    there = resource(rayVersion="2.9.0", workerGroupSpecs=[])
    assert changed(there, wanted(suspend=True)).lines == ("spec.suspend: nothing -> true",)
