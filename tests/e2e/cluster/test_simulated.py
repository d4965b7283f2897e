"""The same work on a real cluster and in the simulator: as many machines, and as many at once.

The real cluster's own record gives the trace (`rayfleet history export`); the tolerance is printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.e2e.cluster.fleet import Fleet

from rayfleet.model import Policy, Pool, Resources
from rayfleet.simulator.chance import always
from rayfleet.simulator.compare import result_json
from rayfleet.simulator.run import Setting, run
from rayfleet.simulator.scene import Scene
from rayfleet.simulator.trace import parse_csv

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(300)]

TOLERANCE = 1
"""Machines that the two may differ by: the record knows work by what hosts use, to a fraction of a second."""
IDLE_S = 4.0
CALM = Scene(stop_s=always(0.5), api_s=always(0.0), list_interval_s=0.5)

REAL = """
import json, subprocess, sys, time, ray, rayfleet

def workers(status):
    return sum(not m["head"] for m in status["machines"])

def told(*words):
    return subprocess.run([sys.executable, "-m", "rayfleet", *words], check=True, capture_output=True, text=True).stdout

with rayfleet.LocalCluster(pools={"two": {"CPU": 2}}, name="mirror", idle_timeout_s=4, max_workers=4) as cluster:
    ray.init(log_to_driver=False)

    @ray.remote(num_cpus=1)
    def work(seconds):
        time.sleep(seconds)

    ray.get([work.remote(8) for _ in range(5)])
    cluster.wait_for(lambda status: workers(status) == 0)
    time.sleep(6)    # what the simulator does a second later is still apart from what comes next
    ray.get([work.remote(5) for _ in range(8)])
    cluster.wait_for(lambda status: workers(status) == 0)
    events = json.loads(told("history", "mirror", "--json", "-n", "1000"))
    print(json.dumps({"trace": told("history", "export", "mirror"), "events": events}))
"""


def test_the_simulator_launches_what_the_real_cluster_launched(fleet: Fleet) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REAL], env=fleet.environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    launched = sum(event["count"] for event in told["events"] if event["kind"] == "launch" and event["pool"] == "two")
    trace = parse_csv(told["trace"], "mirror")
    policy = Policy((Pool("two", Resources.of({"CPU": 2})),), max_workers=4, idle_timeout_s=IDLE_S)
    scene = replace(CALM, boot_s=always(0.5), join_s=always(0.5))
    ran = run(Setting("mirror", policy, trace, scene, tick_s=0.5))
    ours = result_json(ran)["machines"]
    print(
        f"real {launched} launches, model {ours['launched']}, at most {ours['peak']} at once; "
        f"{trace.tasks} tasks in the record of 13; allowed {TOLERANCE}"
    )
    assert ran.left == 0
    assert trace.tasks == pytest.approx(13, abs=TOLERANCE)
    assert ours["launched"] == pytest.approx(launched, abs=TOLERANCE)
    assert ours["peak"] == pytest.approx(4, abs=TOLERANCE)
