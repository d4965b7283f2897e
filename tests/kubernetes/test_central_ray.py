"""A real Ray cluster that the operator scales itself: no autoscaler is beside the head."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import Desk, apply_crds, operator
from tests.kubernetes.real_pods import NEEDS_ROOT
from tests.kubernetes.real_ray import BOOT_S, Head, group, machine, raycluster, until_ready_workers, until_workers
from tests.kubernetes.test_autoscaled_ray import ENDED, MADE
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.control_plane import ControlPlane

pytestmark = [pytest.mark.kubernetes, NEEDS_ROOT]


@pytest.fixture
def desk(plane: ControlPlane, namespace: str) -> Iterator[Desk]:
    """This machine as a node, on which the operator runs as a process."""
    apply_crds(plane)
    with machine(plane):
        yield Desk(plane, namespace)


def reasons(desk: Desk) -> set[str]:
    """Return the reasons of all events that RayClusters have."""
    return {one["reason"] for one in desk.get("events")["items"] if one["involvedObject"]["kind"] == "RayCluster"}


@pytest.mark.timeout(900)
def test_actors_scale_a_cluster_that_the_operator_scales_itself(
    plane: ControlPlane, desk: Desk, tmp_path: Path
) -> None:
    """A token is asked for, and the operator is started again in between."""
    head = Head(desk)
    with operator(plane, tmp_path, "--autoscaling", "central"):
        autoscaled: dict[str, Any] = {"enableInTreeAutoscaling": True, "autoscalerOptions": {"idleTimeoutSeconds": 8}}
        desk.apply(raycluster(group(3), authOptions={"mode": "token"}, **autoscaled))
        eventually(head.until_ready, within_s=BOOT_S)
        assert [one["name"] for one in head.status()["containerStatuses"]] == ["ray-head"]
        head.python(MADE, "actor1", "1")
        until_ready_workers(desk, 1)
        first = desk.workers()
        claims = desk.get("configmap", "demo-autoscaler-ledger")["metadata"]["ownerReferences"]
        assert [owner["kind"] for owner in claims] == ["RayCluster"]
    with operator(plane, tmp_path, "--autoscaling", "central"):
        head.python(MADE, "actor2", "1")
        until_ready_workers(desk, 2)
        assert set(first) < set(desk.workers())
        head.python(MADE, "too-big", "2")
        status = eventually(lambda: text if "2.0/2.0 CPU" in (text := head.types("ray", "status")) else "")
        assert "{'CPU': 2.0}" in status
        eventually(lambda: {"ScalingUp", "CannotFit"} <= reasons(desk))
        for left, name in ((1, "actor1"), (0, "actor2")):
            head.python(ENDED, name)
            until_workers(desk, left)
        assert "ScalingDown" in reasons(desk)
        desk.kubectl("delete", "raycluster", "demo", "--timeout=60s")
        eventually(lambda: desk.names("pods") == [])
        eventually(lambda: "demo-autoscaler-ledger" not in desk.names("configmaps"))
    log = (tmp_path / "operator.log").read_text(encoding="utf-8")
    assert f"cluster='{desk.namespace}/demo'" in log
    assert "autoscaler_failed" not in log
