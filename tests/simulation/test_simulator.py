"""The simulator as a whole: it drives the production loop, skips only ticks that decide nothing, and repeats itself."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet.model import Market, Offer, OfferKey, Policy, Resources
from rayfleet.simulator.chance import Spread, always
from rayfleet.simulator.compare import compare, result_json
from rayfleet.simulator.generators import generated
from rayfleet.simulator.page import page
from rayfleet.simulator.peer import as_peer, peer_planner
from rayfleet.simulator.run import Ran, Setting, run
from rayfleet.simulator.scene import Scene, Stock
from rayfleet.simulator.table import lines
from rayfleet.simulator.trace import Trace, Work, parse_csv
from rayfleet.testing.snapshots import pool

CALM = Scene(boot_s=always(30.0), join_s=always(5.0), api_s=always(0.5))
CPU16 = pool("cpu16", 0.8, CPU=16, memory=64e9)
POLICY = Policy(pools=(CPU16,), idle_timeout_s=60.0)
ABOUT_ONE = Spread("lognormal", (1.0, 0.3))
WILD = Scene(spot_interruptions_per_hour=4.0, boot_failures=0.05, api_errors=0.05, run_time=ABOUT_ONE, price=ABOUT_ONE)


def work(text: str) -> Trace:
    return parse_csv(f"submit_s,shape,count,duration_s,gang,labels\n{text}\n", "trace.csv")


def simulated(trace: Trace, policy: Policy = POLICY, scene: Scene = CALM, **more: object) -> Ran:
    return run(replace(Setting("mine", policy, trace, scene, checked=True), **more))  # type: ignore[arg-type]  # fields


# ---- what comes out -----------------------------------------------------------------------------------


def test_the_figures_of_a_case_that_can_be_counted_by_hand() -> None:
    """32 tasks at 0 s: two machines are up after a listing (0.5 s), a launch (0.5), 30 and 5 s; they run for 100 s.

    They have been idle for 60 s at 196 s; the tick at 200 s drains them, the next ones release them.
    """
    ran = simulated(work("0,CPU=1,32,100,,"))
    told = result_json(ran)
    assert told["tasks"] == {"submitted": 32, "done": 32, "left": 0, "retried": 0}
    assert told["wait_s"] == dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "max"), 36.0)
    assert told["machines"]["launched"] == told["machines"]["peak"] == 2
    assert told["machines"]["left"] == 0
    paid_s = [span.ended_s - span.launched_s for span in ran.tally.spans]
    assert all(195 <= seconds <= 212 for seconds in paid_s)
    assert told["usd"] == pytest.approx(sum(paid_s) / 3600 * 0.8, abs=1e-4)
    assert told["utilisation"]["CPU"] == pytest.approx(3200 / (16 * sum(paid_s)), abs=1e-3)
    assert told["launch_reasons"] == {"tasks": 2}
    assert told["late"] == {"goal_s": 60.0, "count": 0, "share": 0.0}


def test_placement_groups_are_placed_whole_and_kept() -> None:
    """Three machines for the spread one, and a whole one for the packed one."""
    ran = simulated(work("0,CPU=8,3,50,STRICT_SPREAD,\n0,CPU=8,2,50,STRICT_PACK,"))
    assert (ran.tally.done, ran.left, ran.counts.launched) == (5, 0, 4)


def test_labels_choose_the_pool() -> None:
    batch = pool("batch", 1.0, CPU=4, labels={"tier": "batch"})
    ran = simulated(work("0,CPU=1,2,20,,tier=batch"), Policy(pools=(CPU16, batch), idle_timeout_s=30.0))
    assert {span.pool for span in ran.tally.spans} == {"batch"}
    assert ran.left == 0


def test_work_that_fits_nowhere_is_given_up_and_said() -> None:
    ran = simulated(work("0,CPU=64,1,20,,\n0,CPU=1,1,20,,"))
    assert (ran.tally.done, ran.left, ran.machines_left) == (1, 1, 0)
    assert "no_pool_fits" in ran.tally.unmet_reasons


def test_minimums_stay_and_the_simulation_ends_all_the_same() -> None:
    ran = simulated(
        work("0,CPU=1,1,20,,"), Policy(pools=(pool("cpu4", 1.0, CPU=4, min_workers=3),), idle_timeout_s=30.0)
    )
    assert (ran.machines_left, ran.left) == (3, 0)


def test_a_head_runs_work_too_and_is_there_from_the_beginning() -> None:
    policy = replace(POLICY, head=pool("head", 0.1, CPU=2))
    ran = simulated(work("10,CPU=1,2,20,,"), policy)
    assert ran.tally.wait_percentiles((100,)) == [0.0]
    assert [span.pool for span in ran.tally.spans] == ["head"]


def test_a_stock_out_goes_to_the_next_offer() -> None:
    both = replace(CPU16, offers=(Offer(0.2, Market.SPOT), Offer(0.8)))
    scene = replace(CALM, stock=(Stock(OfferKey("", market=Market.SPOT), 0),))
    ran = simulated(work("0,CPU=16,3,100,,"), Policy(pools=(both,), idle_timeout_s=60.0), scene)
    assert sorted(span.market for span in ran.tally.spans) == ["on_demand"] * 3
    assert (ran.left, ran.counts.out_of_stock >= 1) == (0, True)


def test_an_interrupted_machine_loses_its_work_which_is_done_elsewhere() -> None:
    spot = replace(CPU16, offers=(Offer(0.2, Market.SPOT),))
    scene = replace(CALM, spot_interruptions_per_hour=10.0, spot_notice_s=20.0)
    ran = simulated(work("0,CPU=16,4,600,,"), Policy(pools=(spot,), idle_timeout_s=60.0), scene)
    assert ran.counts.interrupted > 0
    assert (ran.tally.retried > 0, ran.left) == (True, 0)


# ---- skipped ticks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["bursty:hours=1,bursts=4,tasks=80", "training:hours=1,gangs=5,duration_s=600"])
@pytest.mark.parametrize("crashes", [0.0, 3.0])
def test_skipped_ticks_would_have_decided_nothing(word: str, crashes: float) -> None:
    """Listings cost no time here, for they are made with ticks, and their phase would shift what follows."""
    scene = replace(CALM, api_s=always(0.0), list_interval_s=5.0, crashes_per_hour=crashes)
    gpu = pool("gpu8", 8.0, CPU=64, GPU=8, memory=256e9)
    policy = Policy(pools=(CPU16, gpu), idle_timeout_s=60.0)
    trace = generated(word, seed=5)
    some, every = (simulated(trace, policy, scene, every_tick=each) for each in (False, True))
    assert some.tally.ticks < every.tally.ticks / 2
    told, told_every = result_json(some), result_json(every)
    for key in ("usd", "tasks", "wait_s", "machines", "launch_reasons", "gang_restarts"):
        assert told[key] == pytest.approx(told_every[key], rel=1e-6), key


# ---- the same again -----------------------------------------------------------------------------------

_REPORT = """
import hashlib, json, sys
sys.path.insert(0, {root!r})
from tests.simulation.test_simulator import report
print(report())
"""


def report() -> str:
    """Return a digest of everything that is reported of a wild comparison."""
    spot = replace(CPU16, offers=(Offer(0.2, Market.SPOT, "a"), Offer(0.8, zone="b")))
    policy = Policy(pools=(spot, pool("gpu", 4.0, CPU=8, GPU=2)), idle_timeout_s=60.0)
    trace = generated("bursty:hours=1,bursts=4,tasks=60", seed=9)
    ours = Setting("ours", policy, trace, WILD, seed=9)
    peer = replace(ours, name="ray-v2", policy=as_peer(policy), planner=peer_planner("ray-v2", policy))
    compared = compare([ours, peer])
    text = json.dumps(compared.as_json()) + page(compared)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_same_seed_gives_the_same_report_byte_for_byte_in_any_process() -> None:
    code = _REPORT.format(root=str(Path.cwd()))
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "4711")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == len(hashlib.sha256().hexdigest())


def test_another_seed_gives_another_world() -> None:
    trace = work("0,CPU=16,8,100,,")
    waits = {simulated(trace, scene=Scene(), seed=seed).tally.wait_sum_s for seed in (1, 2)}
    assert len(waits) == 2


# ---- side by side -------------------------------------------------------------------------------------


def test_a_peer_takes_the_dearer_machine_where_prices_decide() -> None:
    """Ray v2 knows no prices: of two equal types it takes the first in its order, whatever that costs."""
    policy = Policy(pools=(pool("a-dear", 2.0, CPU=16), pool("b-cheap", 0.5, CPU=16)), idle_timeout_s=60.0)
    trace = work("0,CPU=4,16,120,,")
    ours = Setting("ours", policy, trace, CALM)
    peer = replace(ours, name="ray-v2", policy=as_peer(policy), planner=peer_planner("ray-v2", policy))
    told = compare([ours, peer]).as_json()
    mine, theirs = told["results"]
    assert mine["tasks"]["done"] == theirs["tasks"]["done"] == 16
    assert mine["usd"] < theirs["usd"]
    cost = next(line for line in lines(told) if line.label == "cost")
    assert cost.best == {0}


def test_a_peer_launches_at_most_ten_at_a_time() -> None:
    """40 machines at once: with Ray's limits their launches come in several rounds, and work waits longer."""
    policy = Policy(pools=(pool("cpu1", 0.1, CPU=1),), idle_timeout_s=60.0)
    setting = Setting("ours", policy, work("0,CPU=1,40,300,,"), CALM)
    peer = replace(setting, policy=as_peer(policy), planner=peer_planner("ray-v2", policy))
    mine, theirs = run(setting), run(peer)
    assert mine.left == theirs.left == 0
    assert mine.counts.launched == theirs.counts.launched == 40
    assert theirs.tally.wait_percentiles((100,))[0] > mine.tally.wait_percentiles((100,))[0] + 10


def test_the_page_stands_alone() -> None:
    """It loads nothing, names every policy, and shows names as text whatever is in them."""
    compared = compare(
        [Setting("<b>bold</b>", Policy(pools=(pool("cpu4", 1.0, CPU=4),)), work("0,CPU=1,4,60,,"), CALM)]
    )
    html = page(compared)
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "<b>bold" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<svg") == html.count("</svg>") == 5
    assert "nan" not in html


def test_a_trace_may_be_empty() -> None:
    ran = simulated(Trace("empty", ()))
    assert (ran.counts.launched, ran.left) == (0, 0)
    assert "nan" not in json.dumps(result_json(ran)).lower()


def test_fractions_and_custom_resources_count() -> None:
    own = pool("own", 1.0, CPU=4, ssd=2)
    ran = simulated(Trace("t", (Work(0.0, Resources.of({"CPU": 0.5, "ssd": 1}), 60.0, 4),)), Policy(pools=(own,)))
    assert (ran.counts.launched, ran.left) == (2, 0)
