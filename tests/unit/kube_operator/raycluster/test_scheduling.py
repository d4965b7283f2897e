"""Pods for another scheduler: its name, its labels, and for how many there must be room."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.kube_operator.raycluster.clusters import SETTINGS, created, group, look, raycluster

from rayfleet.kube_operator.raycluster.names import AUTOSCALER_ANNOTATION
from rayfleet.wire.kube.objects import Object, annotations_of, labels_of

YUNIKORN = {"yunikorn.apache.org/app-id": "train-7", "yunikorn.apache.org/queue": "root.team"}
GROUPS, GROUP = "yunikorn.apache.org/task-groups", "yunikorn.apache.org/task-group-name"


def pods(scheduler: str, *groups: Object, labels: Object, notes: Object | None = None, **spec: Any) -> list[Object]:
    meta = {"labels": labels, "annotations": notes or {}}
    return created(look(raycluster(*groups, meta=meta, **spec), settings=replace(SETTINGS, batch_scheduler=scheduler)))


def test_pods_of_a_queue_are_yunikorn_s() -> None:
    for pod in pods("yunikorn", group(), labels=YUNIKORN):
        assert pod["spec"]["schedulerName"] == "yunikorn"
        assert {"applicationId": "train-7", "queue": "root.team"}.items() <= labels_of(pod).items()
        assert GROUPS not in annotations_of(pod)


def test_a_gang_has_room_for_the_head_and_all_minimums() -> None:
    resources = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    inside = {"nodeSelector": {"pool": "gpu"}, "containers": [{"name": "ray", "resources": resources}]}
    placed = group("gpu", minReplicas=2, numOfHosts=4, template={"spec": inside})
    made = pods("yunikorn", placed, labels={**YUNIKORN, "ray.io/gang-scheduling-enabled": "true"})
    head, *workers = made
    assert len(workers) == 8
    assert annotations_of(head)[GROUP] == "headgroup"
    assert {annotations_of(pod)[GROUP] for pod in workers} == {"gpu"}
    (groups,) = {annotations_of(pod)[GROUPS] for pod in made}
    gib = str(2**30)
    assert json.loads(groups) == [
        {"name": "headgroup", "minMember": 1, "minResource": {"cpu": "2", "memory": str(2 * 2**30)}},
        {
            "name": "gpu",
            "minMember": 8,
            "minResource": {"cpu": "500m", "memory": gib},
            "nodeSelector": {"pool": "gpu"},
        },
    ]


def test_a_gang_counts_the_autoscaler_beside_the_head() -> None:
    labels = {**YUNIKORN, "ray.io/gang-scheduling-enabled": "true"}
    (head,) = pods("yunikorn", labels=labels, enableInTreeAutoscaling=True)
    (only,) = json.loads(annotations_of(head)[GROUPS])
    assert only["minResource"] == {"cpu": "2500m", "memory": str(2 * 2**30 + 512 * 2**20)}


def test_a_gang_counts_no_autoscaler_where_the_operator_scales() -> None:
    labels = {**YUNIKORN, "ray.io/gang-scheduling-enabled": "true"}
    (head,) = pods("yunikorn", labels=labels, notes={AUTOSCALER_ANNOTATION: "central"}, enableInTreeAutoscaling=True)
    (only,) = json.loads(annotations_of(head)[GROUPS])
    assert only["minResource"] == {"cpu": "2", "memory": str(2 * 2**30)}


def test_a_gang_that_its_author_describes_is_left_as_it_is() -> None:
    labels = {**YUNIKORN, "ray.io/gang-scheduling-enabled": "true"}
    (head,) = pods("yunikorn", labels=labels, notes={GROUPS: "[]"})
    assert annotations_of(head)[GROUPS] == "[]"


def test_pods_of_a_queue_are_kai_s() -> None:
    for pod in pods("kai-scheduler", group(), labels={"kai.scheduler/queue": "team"}):
        assert pod["spec"]["schedulerName"] == "kai-scheduler"
        assert labels_of(pod)["kai.scheduler/queue"] == "team"


def test_a_template_that_names_a_scheduler_keeps_it() -> None:
    own = group(template={"spec": {"schedulerName": "mine", "containers": [{"name": "ray"}]}})
    head, worker = pods("yunikorn", own, labels=YUNIKORN)
    assert (head["spec"]["schedulerName"], worker["spec"]["schedulerName"]) == ("yunikorn", "mine")
    assert "applicationId" not in labels_of(worker)


@pytest.mark.parametrize("labels", [{}, YUNIKORN])
def test_without_one_nothing_is_said(labels: Object) -> None:
    for pod in pods("", group(), labels=labels):
        assert "schedulerName" not in pod["spec"]
        assert "queue" not in labels_of(pod)
