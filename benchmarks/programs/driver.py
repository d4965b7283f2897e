"""A Ray driver that does what it is told, one JSON command per line, and answers each with one line.

    submit {resources, run_s}  -> {submitted_at}            one task; it waits for a node
    alive  {known}             -> {alive_at, node_id}       the first living node that is not among `known`
    result {}                  -> {started_at, ended_at, node_id}
    cancel {}                  -> {}                        forget the task
    gone   {node_id}           -> {gone_at}                 when Ray says that the node is dead
    nodes  {}                  -> {nodes}                   ids of the living ones

All times are seconds since the epoch, on the one clock of this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

import ray

_LOOK_S = 0.02


@ray.remote(num_cpus=0, max_retries=0)
def work(run_s: float) -> dict[str, Any]:
    """Say when and where it runs."""
    started_at = time.time()
    time.sleep(run_s)
    node_id = ray.get_runtime_context().get_node_id()
    return {"started_at": started_at, "ended_at": time.time(), "node_id": node_id}


class Driver:
    """The commands; at most one task at a time."""

    def __init__(self) -> None:
        """Start without a task."""
        self._task: Any = None

    def submit(self, resources: dict[str, float], run_s: float) -> dict[str, Any]:
        """Submit the task."""
        others = dict(resources)
        options = {"num_cpus": others.pop("CPU", 0), "resources": others or None}
        submitted_at = time.time()
        self._task = work.options(**options).remote(run_s)
        return {"submitted_at": submitted_at}

    def alive(self, known: list[str]) -> dict[str, Any]:
        """Wait for a new node."""
        while not (new := [node for node in living() if node not in known]):
            time.sleep(_LOOK_S)
        return {"alive_at": time.time(), "node_id": new[0]}

    def result(self) -> dict[str, Any]:
        """Wait for the task."""
        answer: dict[str, Any] = ray.get(self._task)
        return answer

    def cancel(self) -> dict[str, Any]:
        """Take the task back."""
        ray.cancel(self._task)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self._task)
        return {}

    def gone(self, node_id: str) -> dict[str, Any]:
        """Wait until the node is dead."""
        while node_id in living():
            time.sleep(_LOOK_S)
        return {"gone_at": time.time()}

    def nodes(self) -> dict[str, Any]:
        """Return the living nodes."""
        return {"nodes": living()}


def living() -> list[str]:
    """Return the ids of the nodes that Ray calls alive."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def main() -> None:
    """Connect, then answer until there are no more commands."""
    # Ray prints what it thinks its users want to know: that goes where errors go, and answers have a way of their own.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    ray.init(logging_level="error", log_to_driver=False)
    driver = Driver()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(driver, command.pop("do"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
