"""A driver whose task, actor, object and node fail; prints as JSON what came of each. Argument: a folder for marks."""

import json
import os
import pathlib
import signal
import sys
import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

MARKS = pathlib.Path(sys.argv[1])
BLOB_BYTES = 2_000_000


def first_time(name: str) -> bool:
    """Say whether this is the first call with that name, in any process."""
    seen = (MARKS / name).exists()
    (MARKS / name).touch()
    return not seen


def here() -> str:
    """Return the node that this runs on."""
    return str(ray.get_runtime_context().get_node_id())


@ray.remote(num_cpus=1, max_retries=2)
def fragile() -> str:
    """End its worker the first time."""
    if first_time("task"):
        os._exit(1)
    return "retried"


@ray.remote(num_cpus=1, max_retries=0)
def hopeless() -> None:
    """End its worker each time."""
    os._exit(1)


@ray.remote(num_cpus=2)
def make() -> tuple[str, bytes]:
    """Make an object, on a machine of two CPUs."""
    return here(), b"x" * BLOB_BYTES


@ray.remote(num_cpus=1)
def use(made: tuple[str, bytes]) -> int:
    """Depend on that object."""
    return len(made[1])


@ray.remote(num_cpus=1, max_retries=2)
def last() -> str:
    """End the node that it runs on, the first time: its worker's parent is the raylet."""
    if first_time("node"):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return here()


class Counted:
    """An actor that writes its count down at each step."""

    def __init__(self) -> None:
        """Take the count up where it was written down."""
        checkpoint = MARKS / "checkpoint"
        self.count = int(checkpoint.read_text()) if checkpoint.exists() else 0
        self.since_start = 0

    def add(self) -> None:
        """Count."""
        self.count += 1
        self.since_start += 1
        (MARKS / "checkpoint").write_text(str(self.count))

    def say(self) -> dict[str, Any]:
        """Return the counts, and where it lives."""
        return {"count": self.count, "since_start": self.since_start, "node": here()}


def main() -> None:
    """Let everything fail."""
    ray.init()
    said: dict[str, Any] = {"task": ray.get(fragile.remote())}
    try:
        ray.get(hopeless.remote())
    except ray.exceptions.WorkerCrashedError as error:
        said["without_retries"] = type(error).__name__
    blob = make.remote()
    ray.wait([blob], fetch_local=False)
    (there,) = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU") == 2]
    on_it = NodeAffinitySchedulingStrategy(there, soft=True)
    counted = ray.remote(num_cpus=1, max_restarts=2, max_task_retries=-1)(Counted)
    actor = counted.options(scheduling_strategy=on_it).remote()
    ray.get([actor.add.remote() for _ in range(3)])
    said["actor_before"] = ray.get(actor.say.remote())
    said["node"] = there
    said["task_again_on"] = ray.get(last.options(scheduling_strategy=on_it).remote())
    said["actor_after"] = ray.get(actor.say.remote())
    ray.get(actor.add.remote())
    said["actor_goes_on"] = ray.get(actor.say.remote())["count"]
    said["used"] = ray.get(use.remote(blob))
    print(json.dumps(said))


main()
