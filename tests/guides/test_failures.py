"""What a task, an actor, an object and a node come to when they fail, on a cluster that replaces the node."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.guides.desk import Cluster

pytestmark = [pytest.mark.guides, pytest.mark.ray, pytest.mark.timeout(900)]

PROGRAM = Path(__file__).with_name("recovery.py")


@pytest.fixture(scope="module")
def facts(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    answer = cluster.by_run(f"{sys.executable} {PROGRAM} {tmp_path_factory.mktemp('marks')}")
    assert answer.code == 0, answer.text
    (said,) = [line for line in answer.out.splitlines() if line.startswith("{")]  # among the autoscaler's news
    found: dict[str, Any] = json.loads(said)
    return found


def test_task_is_retried(facts: dict[str, Any]) -> None:
    assert facts["task"] == "retried"
    assert facts["without_retries"] == "WorkerCrashedError"


def test_task_moves(facts: dict[str, Any], cluster: Cluster) -> None:
    assert facts["task_again_on"] != facts["node"]
    assert facts["node"] not in [machine["node_id"] for machine in cluster.machines()]


def test_what_depends_is_rebuilt(facts: dict[str, Any]) -> None:
    assert facts["used"] == 2_000_000


def test_object_is_rebuilt(facts: dict[str, Any]) -> None:
    """Its only copy was on the node that is gone."""
    assert facts["used"] == 2_000_000
    assert facts["actor_before"]["node"] == facts["node"]


def test_actor_restarts(facts: dict[str, Any]) -> None:
    assert facts["actor_before"]["node"] == facts["node"]
    assert facts["actor_after"]["node"] != facts["node"]


def test_actor_has_its_checkpoint(facts: dict[str, Any]) -> None:
    assert (facts["actor_before"]["count"], facts["actor_before"]["since_start"]) == (3, 3)
    assert (facts["actor_after"]["count"], facts["actor_after"]["since_start"]) == (3, 0)


def test_handle_goes_on(facts: dict[str, Any]) -> None:
    assert facts["actor_goes_on"] == 4
