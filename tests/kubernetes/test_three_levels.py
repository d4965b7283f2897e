"""The three levels of scaling together: requests bring replicas, replicas pods, pods machines; and all go again.

Real are the control plane, the operator in its pod, Ray, Serve, and every process in the pods; for the cloud's cluster
autoscaler stands `tests.kubernetes.node_pool`, whose machines are this one by other names.
"""

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.request import urlopen

import pytest
from tests.kubernetes.node_pool import NodePool, at_work
from tests.kubernetes.operating import Desk
from tests.kubernetes.real_pods import NEEDS_ROOT, forwarded
from tests.kubernetes.real_ray import LABELLED, NEEDS_SERVE, Head, group, operated, raycluster, until_workers
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.nodes import NodeSpec
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, NEEDS_ROOT, NEEDS_SERVE]

MACHINE = NodeSpec("machine", cpu="3", memory="64Gi", labels=LABELLED)  # an operator, a head and one worker
MORE = NodeSpec("pool", cpu="1", memory="16Gi", labels=LABELLED)
REPLICAS = 3
PEOPLE = 9
SCALED_S = 300.0
APP = """
import socket, time
import ray
from ray import serve

ray.init(log_to_driver=False, logging_level="error")
serve.start(http_options={"host": "0.0.0.0"})

@serve.deployment(
    ray_actor_options={"num_cpus": 1},
    max_ongoing_requests=2,
    autoscaling_config={
        "min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 1, "metrics_interval_s": 1,
        "look_back_period_s": 3, "upscale_delay_s": 1, "downscale_delay_s": 5,
    },
)
class Where:
    def __call__(self, request):
        time.sleep(0.3)
        return socket.gethostbyname(socket.gethostname())

serve.run(Where.bind(), name="where")
"""


@pytest.fixture
def cloud(plane: ControlPlane) -> Iterator[Background[ProcessKubelet]]:
    with operated(plane, "three-levels", MACHINE) as kubelet:
        yield kubelet


class Crowd:
    """People who ask and ask again: where they were answered, and what went wrong."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: set[str] = set()
        self.problems: list[str] = []
        self.over = threading.Event()

    def ask(self) -> None:
        """Be one of them until it is over."""
        while not self.over.is_set():
            try:
                with urlopen(self.url, timeout=60) as answer:
                    self.answers.add(answer.read().decode())
            except OSError as problem:
                self.problems.append(repr(problem))
                self.over.wait(0.5)


@contextmanager
def asking(url: str) -> Iterator[Crowd]:
    """Have a crowd ask inside the block."""
    crowd = Crowd(url)
    with ThreadPoolExecutor(PEOPLE) as people:
        for _ in range(PEOPLE):
            people.submit(crowd.ask)
        try:
            yield crowd
        finally:
            crowd.over.set()


def deploy(head: Head) -> None:
    """Run the application; it stays when this program has ended."""
    words = ["kubectl", "-n", head.desk.namespace, "exec", head.name, "-c", "ray-head", "--", "python", "-c", APP]
    done = subprocess.run(
        words, env=head.desk.plane.environment, capture_output=True, text=True, timeout=SCALED_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
def test_requests_bring_replicas_pods_and_machines_and_all_go_again(
    plane: ControlPlane, cloud: Background[ProcessKubelet], namespace: str
) -> None:
    desk, head = Desk(plane, namespace), Head(Desk(plane, namespace))
    pool = NodePool(plane, cloud, MORE, REPLICAS - 1)
    desk.apply(raycluster(group(REPLICAS), enableInTreeAutoscaling=True, autoscalerOptions={"idleTimeoutSeconds": 8}))
    head.until_ready()
    with at_work(pool):
        deploy(head)
        until_workers(desk, 1)
        assert pool.ever == []

        with forwarded(plane, namespace, "svc/demo-head-svc", 8000) as address, asking(f"http://{address}/") as crowd:
            eventually(lambda: len(desk.workers()) == REPLICAS, within_s=SCALED_S)
            eventually(lambda: len(pool.names) == REPLICAS - 1, within_s=SCALED_S)
            eventually(lambda: len(crowd.answers) == REPLICAS, within_s=SCALED_S)
        assert crowd.problems == []

        eventually(lambda: len(desk.workers()) == 1, within_s=SCALED_S)
        eventually(lambda: pool.names == [] or used(desk) == set(pool.names), within_s=SCALED_S)
        assert len(pool.names) < REPLICAS - 1
    desk.kubectl("delete", "raycluster", "demo", "--timeout=58s")


def used(desk: Desk) -> set[str]:
    """Return the nodes of the workers: Serve may have kept the replica of any of them."""
    return {one["spec"]["nodeName"] for one in desk.get("pods", "-l", "ray.io/node-type=worker")["items"]}
