"""Three tasks that must be on three different nodes, and one that must be on a node with the label tier=spot.

    python spread_and_label.py

An ordinary Ray script: a STRICT_SPREAD placement group of two CPUs each for the three, a label selector for the one.
"""

import time

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

BUNDLES = 3


@ray.remote(num_cpus=1)
def where_am_i() -> tuple[str, dict[str, str], float]:
    """Return the node's id and labels, and the moment."""
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_node_labels(), time.time()


def main() -> None:
    """Ask for everything at once, then print where it went."""
    ray.init()
    submitted_at = time.time()
    labelled = where_am_i.options(label_selector={"tier": "spot"}).remote()
    group = placement_group([{"CPU": 2}] * BUNDLES, strategy="STRICT_SPREAD")
    members = [
        where_am_i.options(
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
        ).remote()
        for index in range(BUNDLES)
    ]
    print(f"a group of {BUNDLES} bundles and a task for tier=spot submitted", flush=True)

    nodes = set()
    for index, ref in enumerate(members):
        node, _, started_at = ray.get(ref)
        nodes.add(node)
        print(f"bundle {index} ran on node {node[:8]}, {started_at - submitted_at:.2f} s after submission", flush=True)
    print(f"{BUNDLES} bundles ran on {len(nodes)} nodes", flush=True)

    node, labels, started_at = ray.get(labelled)
    tier = labels.get("tier", "none")
    print(f"labelled task ran on node {node[:8]}, tier {tier}, {started_at - submitted_at:.2f} s after submission")
    remove_placement_group(group)


if __name__ == "__main__":
    main()
