"""The pure halves of the parts, and what they read from logs and /proc."""

import json
import time

import pytest
from benchmarks.__main__ import PARTS, Part
from benchmarks.machine import Usage, cpu_ticks, too_busy
from benchmarks.parts import boot, end_to_end, idle, rack, reaction, ssh
from benchmarks.parts.end_to_end import Turn
from benchmarks.samples import Spread
from benchmarks.stock import NODE_TYPE, config, launch_times

LOG = """\
2026-11-22 13:00:01,500 INFO monitor.py:1 -- Using Autoscaling Config:
2026-11-22 13:00:05,250 INFO node_provider.py:485 -- Launching 1 nodes of type cpu1.
2026-11-22 13:00:05,750 INFO node_provider.py:489 -- Launched 1 nodes of type cpu1.
"""


def test_the_monitors_log_tells_when_nodes_were_asked_for() -> None:
    assert launch_times(LOG) == [time.mktime((2026, 11, 22, 13, 0, 5, 0, 0, -1)) + 0.25]


def test_the_stock_side_has_the_same_idle_timeout_and_node_type() -> None:
    told = json.loads(json.dumps(config("127.0.0.1:7000", idle_timeout_s=3.0, min_workers=1)))
    assert told["idle_timeout_minutes"] * 60 == pytest.approx(3.0)
    assert told["available_node_types"][NODE_TYPE]["resources"]["CPU"] == 1
    assert told["available_node_types"][NODE_TYPE]["min_workers"] == 1
    assert told["provider"]["gcs_address"] == "127.0.0.1:7000"


def test_processor_time_is_read_past_any_name() -> None:
    assert cpu_ticks("17 (a) b (c) S 1 17 17 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 99 1 1") == 300


def test_processor_time_in_percent_of_a_core() -> None:
    assert idle.cpu_percent(Usage(10.0, 50.0), Usage(10.6, 60.0), took_s=60.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("load", "cores", "busy"), [(0.9, 2, False), (1.1, 2, True), (3.0, 8, False)])
def test_a_busy_machine_is_told(load: float, cores: int, busy: bool) -> None:
    assert too_busy(load, cores) is busy


def test_the_goals_of_the_reaction() -> None:
    quick, slow = Spread(0.01, 0.02, 0.4, 20), Spread(0.01, 0.2, 0.6, 20)
    assert [figure.holds for figure in reaction.figures(quick, slow)] == [True, True, None, None]
    assert [figure.holds for figure in reaction.figures(slow, quick)] == [False, False, None, None]


def test_the_goals_of_end_to_end_are_about_ratios_of_pairs() -> None:
    our = [Turn(0.2, 2.0, 0.1), Turn(0.2, 2.0, 0.1), Turn(0.2, 9.0, 0.1)]
    their = [Turn(2.5, 5.0, 3.0)] * 3
    launch, first, gone = end_to_end.figures(our, their)
    assert (launch.holds, first.holds, gone.holds) == (None, True, True)
    assert first.ratio == 0.4
    assert (first.ours, first.theirs) == (2.0, 5.0)
    assert end_to_end.samples(our, their)["ours_first_task_s"] == [2.0, 2.0, 9.0]


def test_boots_are_compared_in_pairs() -> None:
    samples = {"ours_alive_s": [1.0], "theirs_alive_s": [2.0], "ours_task_s": [3.0], "theirs_task_s": [4.0]}
    assert [figure.ratio for figure in boot.figures(samples)] == [0.5, 0.75]


def test_the_goal_of_fifty_hosts_is_about_the_longest_turn() -> None:
    samples = {f"{side}, {name}": [value] for name in ssh.EXCHANGES for side, value in (("ours", 1.0), ("theirs", 2.0))}
    first, *compared = ssh.figures({"from start to set up": [3.0, 11.0, 4.0], **samples})
    assert (first.ours, first.holds) == (11.0, False)
    assert [figure.ratio for figure in compared] == [0.5, 0.5]
    assert ssh.figures({"from start to set up": [3.0], **samples})[0].holds


def test_a_rack_is_as_slow_as_its_slowest_turn_whose_parts_add_up() -> None:
    turns = [rack.Turn(2.0, 7.0, 9.0, ()), rack.Turn(3.0, 8.0, 11.0, ())]
    whole, *parts = rack.figures(turns)
    assert (whole.ours, whole.holds, [part.ours for part in parts]) == (11.0, False, [3.0, 5.0, 3.0])
    assert rack.figures(turns[:1])[0].holds


@pytest.mark.parametrize("name", PARTS)
def test_every_part_says_how_it_measures(name: str) -> None:
    title, _, how = Part.of(name).method.partition("\n\n")
    assert title.endswith(".")
    assert len(how.split()) >= 40
