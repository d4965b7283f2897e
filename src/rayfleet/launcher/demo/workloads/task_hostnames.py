"""Fifteen tasks that sleep, and say where they ran.

    python task_hostnames.py [--tasks 15] [--sleep 3]

An ordinary Ray script: it asks for one CPU per task and knows nothing of who provides them.
"""

import argparse
import socket
import time

import ray


@ray.remote(num_cpus=1)
def where_am_i(sleep_s: float) -> tuple[str, str, float]:
    """Return host, node id and the moment of starting; then sleep, so that no two tasks share a CPU."""
    started_at = time.time()
    time.sleep(sleep_s)
    return socket.gethostname(), ray.get_runtime_context().get_node_id(), started_at


def main() -> None:
    """Submit all tasks at once and print each as it ends."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tasks", type=int, default=15, help="how many tasks")
    options.add_argument("--sleep", type=float, default=3.0, help="seconds that each one takes")
    given = options.parse_args()

    ray.init()
    submitted_at = time.time()
    waiting = [where_am_i.remote(given.sleep) for _ in range(given.tasks)]
    number = {ref: i for i, ref in enumerate(waiting, start=1)}
    print(f"{given.tasks} tasks submitted", flush=True)

    nodes = set()
    while waiting:
        done, waiting = ray.wait(waiting)
        for ref in done:
            host, node, started_at = ray.get(ref)
            nodes.add(node)
            # On one machine all hosts have one name: the node id tells them apart.
            started_after = f"{started_at - submitted_at:.2f} s after submission"
            print(f"task {number[ref]} ran on {host}, node {node[:8]}, {started_after}", flush=True)
    print(f"{given.tasks} tasks ran on {len(nodes)} nodes")


if __name__ == "__main__":
    main()
