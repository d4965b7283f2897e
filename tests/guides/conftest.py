"""One reader, and the one default cluster that most of the tests share."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from tests.guides.desk import DEFAULT_PORTS, IDLE_S, Cluster, Desk, are_free

RESIDENT = """
import ray

ray.init(namespace="guides")

@ray.remote(num_cpus=0)
class Resident:
    def __init__(self):
        self.held = ray.put(b"x" * 300_000)

    def here(self):
        return True

@ray.remote(num_cpus=0)
def small_task():
    return 1

resident = Resident.options(name="resident", lifetime="detached").remote()
ray.get([resident.here.remote(), *(small_task.remote() for _ in range(3))])
"""


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="session")
def cluster(desk: Desk) -> Iterator[Cluster]:
    """What `rayfleet up` starts, with a short idle time-out, and one actor that needs no CPU."""
    were_free = are_free(DEFAULT_PORTS)
    try:
        answer = desk.well("rayfleet", "up")
        default_ports = bool(re.search(r"Ray address +\S+:6379\n", answer))
        # Somebody else may have taken them in between; then they are not free now.
        assert default_ports or not were_free or not are_free(DEFAULT_PORTS), "the first cluster takes Ray's own ports"
        desk.well("rayfleet", "set", f"idle_timeout_s={IDLE_S}")
        found = Cluster(desk, "default", default_ports)
        found.program(RESIDENT)
        found.until_jobs_start()
        yield found
    finally:
        desk.well("rayfleet", "down", "default")
    deadline = time.monotonic() + 10
    while left := desk.processes():  # the controller, which has said that it is done, ends
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
