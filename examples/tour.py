"""A tour of rayfleet from Python, cell by cell.

Run it whole (`python examples/tour.py`, a minute or two), or cell by cell in an editor that knows `# %%`, or as a
notebook (`jupytext --to notebook examples/tour.py`). It needs no cluster: it starts one of its own, and ends it.
"""

# %% [markdown]
# ## A cluster as large as its work
# It has a head without CPUs, and pools of three kinds of machines, none of which exists yet. For as long as it is up,
# `ray.init()` finds it. In a script, `with rayfleet.LocalCluster(...) as cluster:` does the same and ends it by itself.

# %%
import atexit
import subprocess
import sys
import time

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

import rayfleet

cluster = rayfleet.LocalCluster(
    pools={
        "cpu1": {"resources": {"CPU": 1}, "max_workers": 3},
        "cpu4": {"resources": {"CPU": 4}, "max_workers": 1},
        "spot": {"resources": {"CPU": 1}, "labels": {"tier": "spot"}, "max_workers": 1},
    },
    idle_timeout_s=3,
)
atexit.register(cluster.stop)  # whatever happens in a cell, nothing stays behind
cluster.start()
ray.init(namespace="tour")
print(f"the head is up after {cluster.head_ready_s:.1f} s; dashboard of Ray: {cluster.dashboard_url}")


# %% [markdown]
# Workers by pool, and a way to wait for a number of them. `status()` is what `rayfleet status --json` prints.


# %%
def workers(status: dict) -> dict[str, int]:
    """Return how many workers of each pool are up; {"...": 1} is added while any is on its way in or out."""
    moving = any(pool["starting"] or pool["leaving"] for pool in status["pools"])
    return {pool["name"]: pool["ready"] for pool in status["pools"] if pool["ready"]} | ({"...": 1} if moving else {})


def wait_for(**wanted: int) -> None:
    """Wait until there are exactly these workers."""
    began = time.monotonic()
    found = workers(cluster.wait_for(lambda status: workers(status) == wanted))
    print(f"  workers after {time.monotonic() - began:.1f} s: {found or 'none'}")


wait_for()

# %% [markdown]
# ## Tasks
# Five tasks of one CPU wait: a machine of four CPUs and one of one CPU are exactly enough. When they are done, both go.


# %%
@ray.remote(num_cpus=1)
def where_am_i(sleep_s: float = 2.0) -> str:
    """Return the id of the node that this runs on."""
    time.sleep(sleep_s)
    return str(ray.get_runtime_context().get_node_id())


nodes = ray.get([where_am_i.remote() for _ in range(5)])
print(f"five tasks ran on {len(set(nodes))} nodes")
wait_for()

# %% [markdown]
# ## An actor
# It keeps its machine for as long as it lives.


# %%
@ray.remote(num_cpus=1)
class Counter:
    """Counts."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.count = 0

    def up(self) -> int:
        """Count one more."""
        self.count += 1
        return self.count


counter = Counter.remote()
print("the actor counts:", ray.get([counter.up.remote() for _ in range(3)]))
wait_for(cpu1=1)
ray.kill(counter)
wait_for()

# %% [markdown]
# ## A placement group
# Three bundles on three different machines, all or nothing.

# %%
group = placement_group([{"CPU": 1}] * 3, strategy="STRICT_SPREAD")
spread = [
    where_am_i.options(
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=bundle)
    ).remote(0.0)
    for bundle in range(3)
]
print(f"three bundles ran on {len(set(ray.get(spread)))} nodes")
wait_for(cpu1=3)
remove_placement_group(group)
wait_for()

# %% [markdown]
# ## Labels
# This task wants a machine with the label tier=spot, so one of that pool comes.

# %%
node = ray.get(where_am_i.options(label_selector={"tier": "spot"}).remote(0.0))
labels = next(machine["labels"] for machine in cluster.status()["machines"] if machine["node_id"] == node)
print("the labelled task ran where tier is", labels["tier"])
wait_for()

# %% [markdown]
# ## Capacity ahead of time
# Four CPUs are wanted whatever waits, and kept although idle, until they are not wanted any more. Ray's own
# `ray.autoscaler.sdk.request_resources` does the same from inside a driver.

# %%
cluster.request_resources(num_cpus=4)
wait_for(cpu4=1)
cluster.request_resources()
wait_for()

# %% [markdown]
# ## Limits at run time
# Two machines of pool cpu1 are all that there may be: three tasks share them. Then the limits are as before.

# %%
cluster.set_policy(max_workers=2, pools={"cpu4": {"max_workers": 0}, "spot": {"max_workers": 0}})
print(f"three tasks ran on {len(set(ray.get([where_am_i.remote() for _ in range(3)])))} nodes")
cluster.set_policy(max_workers=None, pools={"cpu4": {"max_workers": 1}, "spot": {"max_workers": 1}})
wait_for()

# %% [markdown]
# ## Why?
# Work that no machine can ever hold waits for ever; the record says which pools there are and what each one lacks.
# In a notebook this is `!rayfleet why`.

# %%
impossible = where_am_i.options(num_cpus=64).remote()
cluster.wait_for(lambda status: bool(status["unmet"]))
subprocess.run([sys.executable, "-m", "rayfleet", "why", cluster.name], check=True)
ray.cancel(impossible)

# %% [markdown]
# ## The end

# %%
ray.shutdown()
cluster.stop()
print("the cluster is gone")
