"""One simulation in a process of its own: prints its processor seconds, memory and figures as a line of JSON."""

from __future__ import annotations

import json
import resource
import sys
import time

from rayfleet.model import Offer, Policy, Pool, Resources
from rayfleet.simulator.compare import result_json
from rayfleet.simulator.generators import generated
from rayfleet.simulator.run import Setting, run

CPUS = 8


def main(word: str, machines: int, min_workers: int) -> None:
    """Simulate the work that `word` asks for on machines of 8 CPUs."""
    pool = Pool("cpu8", Resources.of({"CPU": CPUS, "memory": 64e9}), min_workers=min_workers, offers=(Offer(0.4),))
    policy = Policy(pools=(pool,), max_workers=machines, idle_timeout_s=300.0)
    trace = generated(word, seed=0)
    began = time.process_time()
    ran = run(Setting("bench", policy, trace))
    cpu_s = time.process_time() - began
    told = result_json(ran)
    kept = {key: told[key] for key in ("end_s", "tasks", "machines", "ticks", "problems")}
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": cpu_s, "memory_mib": mib, **kept}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
