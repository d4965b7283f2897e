"""A RayService that goes over by steps where the Gateway API is not installed, and then is."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import Desk, apply_crds, operator
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.gateway_api import GROUP, definitions

pytestmark = pytest.mark.kubernetes

STEPS = {"maxSurgePercent": 50, "stepSizePercent": 25, "intervalSeconds": 5, "gatewayClassName": "test"}
CONTAINER = {"name": "ray-head", "image": "none"}


def rayservice() -> Any:
    cluster = {
        "rayVersion": "2.60.0",
        "enableInTreeAutoscaling": True,
        "headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"containers": [CONTAINER]}}},
        "workerGroupSpecs": [],
    }
    strategy = {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": STEPS}
    spec = {"serveConfigV2": "applications: []", "rayClusterConfig": cluster, "upgradeStrategy": strategy}
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "shop"}, "spec": spec}


def gateway_condition(desk: Desk) -> tuple[str, str]:
    conditions = (desk.get("rayservice", "shop").get("status") or {}).get("conditions") or ()
    return next(((one["reason"], one["message"]) for one in conditions if one["type"] == "GatewayReady"), ("", ""))


@pytest.mark.timeout(400)
def test_it_says_what_is_missing_and_goes_on_once_it_is_there(
    plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    kinds = [one["metadata"]["name"] for one in definitions()]
    plane.kubectl("delete", "crd", *kinds, "--ignore-not-found")
    apply_crds(plane)
    desk = Desk(plane, namespace)
    with operator(plane, tmp_path, "--namespace", namespace):
        desk.apply(rayservice())
        eventually(lambda: gateway_condition(desk)[0] == "GatewayApiMissing")
        assert f"Gateway and HTTPRoute of {GROUP}/v1" in gateway_condition(desk)[1]
        events = {one["reason"] for one in desk.get("events")["items"]}
        assert "GatewayApiMissing" in events
        (cluster,) = desk.names("rayclusters")
        listed = {"apiVersion": "v1", "kind": "List", "items": definitions()}
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(listed))
        eventually(lambda: gateway_condition(desk)[0] == "GatewayNotReady", within_s=120)
        assert desk.names("gateways") == ["shop-gateway"]
        assert desk.names("rayclusters") == [cluster]
        (gateway,) = desk.get("gateways")["items"]
        assert gateway["spec"]["gatewayClassName"] == "test"
        desk.kubectl("delete", "rayservice", "shop", "--timeout=60s")
        eventually(lambda: [*desk.names("gateways"), *desk.names("httproutes"), *desk.names("rayclusters")] == [])
