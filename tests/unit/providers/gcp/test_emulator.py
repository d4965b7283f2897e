"""The emulator is strict: what Google would not take, it does not take either."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from rayfleet.testing.clouds.gcp import GcpEmulator

ZONE = "/compute/v1/projects/test-project/zones/us-central1-a"
BODY: dict[str, Any] = {
    "name": "m1",
    "machineType": "zones/us-central1-a/machineTypes/n1-standard-1",
    "disks": [{"boot": True}],
    "networkInterfaces": [{"network": "global/networks/default"}],
}


def call(cloud: GcpEmulator, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(cloud.endpoint + path, data, method=verb)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize(
    ("body", "query", "said"),
    [
        ({"machineTyp": "x"}, "", "unknown field machineTyp in Instance"),
        ({"scheduling": {"provisioningModel": "CHEAP"}}, "", "provisioningModel must be one of"),
        ({"scheduling": [{"preemptible": True}]}, "", "scheduling must be an object"),
        ({"disks": {}}, "", "disks must be a list"),
        ({"canIpForward": "yes"}, "", "must be true or false"),
        ({"name": "Not_A_Name"}, "", "name must match"),
        ({}, "?wait=1", "unknown query parameter wait"),
        ({"labels": {"Bad": "x"}}, "", "resource.labels"),
        ({"machineType": "zones/us-west1-a/machineTypes/n1-standard-1"}, "", "resource.machineType"),
        ({"networkInterfaces": []}, "", "network interface is required"),
        ({"scheduling": {"instanceTerminationAction": "DELETE"}}, "", "needs provisioningModel SPOT"),
    ],
)
def test_mistakes_are_refused(cloud: GcpEmulator, body: dict[str, Any], query: str, said: str) -> None:
    status, answer = call(cloud, "POST", f"{ZONE}/instances{query}", BODY | body)
    assert status == 400
    assert said in answer["error"]["message"]
    assert not cloud.account.machines


def test_what_is_right_is_taken_and_once_per_request_id(cloud: GcpEmulator) -> None:
    first = call(cloud, "POST", f"{ZONE}/instances?requestId=r1", BODY)
    again = call(cloud, "POST", f"{ZONE}/instances?requestId=r1", BODY)
    assert first == again
    assert call(cloud, "POST", f"{ZONE}/instances?requestId=r2", BODY)[0] == 409
    assert call(cloud, "GET", f"{ZONE}/instances/m1")[1]["status"] == "PROVISIONING"
    assert call(cloud, "GET", f"{ZONE}/instances/m2")[0] == 404
    assert call(cloud, "GET", "/compute/v1/projects/other/aggregated/instances")[0] == 404


def test_pages_and_filters(cloud: GcpEmulator) -> None:
    for number in range(5):
        body = BODY | {"name": f"m{number}", "labels": {"team": "a" if number else "b"}}
        assert call(cloud, "POST", f"{ZONE}/instances", body)[0] == 200
    _, first = call(cloud, "GET", f"{ZONE}/instances?maxResults=3&filter=labels.team=a")
    _, second = call(
        cloud, "GET", f"{ZONE}/instances?maxResults=3&filter=labels.team=a&pageToken={first['nextPageToken']}"
    )
    assert [item["name"] for item in first["items"] + second["items"]] == ["m1", "m2", "m3", "m4"]
    assert "nextPageToken" not in second
    assert call(cloud, "GET", f"{ZONE}/instances?filter=what%20is%20this")[0] == 400


def test_labels_change_under_their_fingerprint_only(cloud: GcpEmulator) -> None:
    call(cloud, "POST", f"{ZONE}/instances", BODY)
    mark = call(cloud, "GET", f"{ZONE}/instances/m1")[1]["labelFingerprint"]
    body = {"labels": {"a": "b"}, "labelFingerprint": mark}
    assert call(cloud, "POST", f"{ZONE}/instances/m1/setLabels", body)[0] == 200
    assert call(cloud, "POST", f"{ZONE}/instances/m1/setLabels", body)[0] == 412
    assert call(cloud, "GET", f"{ZONE}/instances/m1")[1]["labels"] == {"a": "b"}


def test_operations_get_on_by_being_looked_at(cloud: GcpEmulator) -> None:
    _, operation = call(cloud, "POST", f"{ZONE}/instances", BODY)
    path = f"{ZONE}/operations/{operation['name']}"
    assert operation["status"] == "RUNNING"
    assert [call(cloud, "GET", path)[1]["status"] for _ in range(2)] == ["RUNNING", "DONE"]
    _, other = call(cloud, "POST", f"{ZONE}/instances", BODY | {"name": "m2"})
    assert call(cloud, "POST", f"{ZONE}/operations/{other['name']}/wait")[1]["status"] == "DONE"
    assert len(call(cloud, "GET", f"{ZONE}/operations")[1]["items"]) == 2
    assert call(cloud, "GET", f"{ZONE}/operations/none")[0] == 404


def test_it_can_be_told_over_http(cloud: GcpEmulator) -> None:
    fault = {"action": "compute.instances.insert", "status": 403, "reason": "quotaExceeded", "message": "full"}
    assert call(cloud, "POST", "/_fault", fault)[0] == 200
    status, answer = call(cloud, "POST", f"{ZONE}/instances", BODY)
    assert (status, answer["error"]["errors"][0]["reason"]) == (403, "quotaExceeded")
    assert call(cloud, "POST", f"{ZONE}/instances", BODY)[0] == 200
    assert call(cloud, "POST", "/_preempt", {"name": "m1"})[0] == 200
    assert call(cloud, "GET", f"{ZONE}/instances/m1")[1]["status"] == "STOPPING"
    assert call(cloud, "GET", "/_log")[1]["calls"][:2] == ["compute.instances.insert"] * 2
    assert call(cloud, "POST", "/_fault", {"acton": "x"})[0] == 400


def test_an_answer_that_google_would_not_give_fails_the_test() -> None:
    cloud = GcpEmulator()
    cloud.__enter__()
    call(cloud, "POST", f"{ZONE}/instances", BODY)
    cloud.account.named("m1").body["invented"] = 1
    assert call(cloud, "GET", f"{ZONE}/instances/m1")[0] == 501
    with pytest.raises(AssertionError, match="unknown field invented"):
        cloud.__exit__()
