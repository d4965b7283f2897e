"""What the guides show of Ray's own dashboard, asked over HTTP as its page does."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.guides.desk import TIMEOUT_S, Cluster

pytestmark = [pytest.mark.guides, pytest.mark.ray, pytest.mark.timeout(900)]

OWN_METRIC = """
import ray, time
from ray.util.metrics import Counter

ray.init()

@ray.remote(num_cpus=0)
class Counting:
    def __init__(self):
        self.things = Counter("guide_things", description="Things that were counted.")

    def count(self):
        self.things.inc()

counting = Counting.options(name="counting", lifetime="detached", namespace="guides").remote()
ray.get(counting.count.remote())
head = next(node for node in ray.nodes() if "node:__internal_head__" in node["Resources"])
print(f"http://{head['NodeManagerAddress']}:{head['MetricsExportPort']}/metrics")
"""


def get(cluster: Cluster, path: str, *, token: bool = True) -> str:
    """Return a page, as one gets it who has the cluster's token."""
    env = cluster.env
    request = urllib.request.Request(env["RAY_API_SERVER_ADDRESS"] + path)
    if token:
        secret = Path(env["RAY_AUTH_TOKEN_PATH"]).read_text().strip()
        request.add_header("Authorization", f"Bearer {secret}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def ask(cluster: Cluster, path: str) -> Any:
    return json.loads(get(cluster, path))


def test_page(cluster: Cluster) -> None:
    assert "Ray Dashboard" in get(cluster, "/", token=False)
    is_usual = cluster.env["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:8265"
    assert is_usual == cluster.default_ports
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(cluster, "/api/jobs/", token=False)


def test_overview(cluster: Cluster) -> None:
    said = ask(cluster, "/api/cluster_status?format=1")["data"]["clusterStatus"]
    assert "Autoscaler status" in said
    assert "head" in said
    tasks = ask(cluster, "/api/v0/tasks/summarize")["data"]["result"]["result"]["node_id_to_summary"]["cluster"]
    assert tasks["total_tasks"] >= 3


def test_jobs(cluster: Cluster) -> None:
    cluster.desk.write("hello.py", "print('hello from a job')\n")
    cluster.desk.well("rayfleet", "submit", "hello.py")
    jobs = [job for job in ask(cluster, "/api/jobs/") if "hello.py" in (job["entrypoint"] or "")]
    assert [job["status"] for job in jobs] == ["SUCCEEDED"]
    assert "hello from a job" in ask(cluster, f"/api/jobs/{jobs[0]['submission_id']}/logs")["logs"]


def test_actors(cluster: Cluster) -> None:
    actors = ask(cluster, "/api/v0/actors?detail=1")["data"]["result"]["result"]
    resident = next(actor for actor in actors if actor["name"] == "resident")
    assert resident["state"] == "ALIVE"
    assert "required_resources" in resident


def test_nodes(cluster: Cluster) -> None:
    nodes = ask(cluster, "/api/v0/nodes?detail=1")["data"]["result"]["result"]
    head = next(node for node in nodes if node["is_head_node"])
    assert (head["node_id"], head["state"]) == (cluster.head["node_id"], "ALIVE")
    assert head["resources_total"]["object_store_memory"] > 0


def test_metrics(cluster: Cluster) -> None:
    """Of performance, of memory, and the user's own, at the address of the head's exporter."""
    url = cluster.program(OWN_METRIC).strip()
    wanted = ("ray_node_cpu_utilization", "ray_node_mem_used", "ray_guide_things")
    deadline = time.monotonic() + TIMEOUT_S
    while missing := [name for name in wanted if name not in page(url)]:
        assert time.monotonic() < deadline, f"never exported: {missing}"
        time.sleep(1)


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())
