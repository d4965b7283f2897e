"""Create an actor that stays when this program has ended.

    python detached_actor.py NAME

An ordinary Ray script: the actor wants one CPU for as long as it lives; `terminate_detached_actor.py NAME` ends it.
"""

import sys
import time

import ray

NAMESPACE = "examples"


@ray.remote(num_cpus=1)
class Resident:
    """Lives on one node until somebody ends it."""

    def node(self) -> str:
        """Return the id of the node that it lives on."""
        return str(ray.get_runtime_context().get_node_id())


def main(name: str) -> None:
    """Create the actor `name` and wait until it answers."""
    ray.init(namespace=NAMESPACE)
    created_at = time.time()
    actor = Resident.options(name=name, lifetime="detached").remote()
    node = ray.get(actor.node.remote())
    print(f"{name} lives on node {node[:8]}, {time.time() - created_at:.2f} s after its creation")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        sys.exit(__doc__)
    main(sys.argv[1])
