"""`simulate`, `plan --what-if`, `history export` and `replay --policy`, as people type them."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rayfleet.cli.app import app
from rayfleet.launcher import home as homes
from rayfleet.launcher import known
from rayfleet.model import Policy, TickReport
from rayfleet.reports.history import History
from rayfleet.simulator.run import Setting, run
from rayfleet.simulator.trace import parse_csv, read_trace
from rayfleet.testing.snapshots import pool

POLICY = """
policy:
  idle_timeout_s: 60
  pools:
    - {name: small, resources: {CPU: 4}, max_workers: 3, offers: [{usd_per_hour: 0.5}]}
"""
TRACE = "submit_s,shape,count,duration_s\n0,CPU=1,8,60\n"


def told(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="rayfleet")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that has a trace and a policy."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(POLICY)
    Path("trace.csv").write_text(TRACE)
    return tmp_path


def test_a_table_for_people() -> None:
    result = told("simulate", "trace.csv", "--policy", "a.yaml", "--peer", "ray-v2")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("8 tasks in 1 rows over")
    assert lines[1].split() == ["a", "ray-v2"]
    assert next(line for line in lines if line.startswith("tasks done")).split() == ["tasks", "done", "8", "8"]


def test_work_that_is_never_done_says_why() -> None:
    Path("big.csv").write_text(TRACE + "0,CPU=64,2,60\n")
    result = told("simulate", "big.csv", "-p", "a.yaml", "--until", "3600")
    assert "a: 2 tasks were never done (no_pool_fits; rayfleet why CODE says what that means)" in result.stdout


def test_json_for_programs_and_a_page() -> None:
    result = told("simulate", "trace.csv", "-p", "a.yaml", "--json", "--html", "report.html", "--check")
    said = json.loads(result.stdout)
    assert said["results"][0]["machines"]["launched"] == 2
    assert said["results"][0]["problems"] == []
    assert Path("report.html").read_text().startswith("<!doctype html>")


def test_a_cluster_file_is_a_policy_too() -> None:
    Path("cluster.yaml").write_text(
        "cluster_name: fine\nprovider: {type: process}\nhead_node_type: head\navailable_node_types:\n"
        "  head: {resources: {CPU: 0}}\n  small: {resources: {CPU: 4}, max_workers: 3}\nmax_workers: 3\n"
    )
    said = json.loads(told("simulate", "trace.csv", "-p", "cluster.yaml", "--json").stdout)
    assert said["results"][0]["tasks"] == {"submitted": 8, "done": 8, "left": 0, "retried": 0}


def test_made_work_can_be_kept() -> None:
    assert told("simulate", "bursty:hours=1,tasks=10", "--seed", "3", "--write", "kept.csv").exit_code == 0
    assert read_trace(Path("kept.csv")).tasks > 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trace.csv",), "there is no policy"),
        (("trace.csv", "-p", "none.yaml"), "there is no file none.yaml"),
        (("weekly", "-p", "a.yaml"), "generators are diurnal"),
        (("none.csv", "-p", "a.yaml"), "there is no file none.csv"),
        (("trace.csv", "-p", "a.yaml", "--peer", "karpenter"), "peers are ray-v2"),
        (("trace.csv", "-p", "a.yaml", "-p", "a.yaml"), "two policies have the same file name"),
        (("diurnal:hours=no", "-p", "a.yaml"), "it takes hours=24"),
        (("trace.csv", "-p", "trace.csv"), "trace.csv"),
    ],
)
def test_mistakes_are_told_in_one_block(words: tuple[str, ...], said: str) -> None:
    result = told("simulate", *words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


# ---- what if ------------------------------------------------------------------------------------------


@pytest.fixture
def scenario() -> str:
    Path("s.yaml").write_text(POLICY + "demand:\n  tasks: [{shape: {CPU: 1}, count: 20}]\n")
    return "s.yaml"


def test_what_if_says_what_would_be_otherwise(scenario: str) -> None:
    said = json.loads(told("plan", scenario, "--what-if", "small.max_workers=5", "--json").stdout)
    assert [(launch["pool"], launch["count"]) for launch in said["launch"]] == [("small", 5)]
    assert said["what_if"] == ["small.max_workers=5"]
    assert any("count" in line for line in said["difference"])
    lines = told("plan", scenario, "--what-if", "small.max_workers=5").stdout.splitlines()
    assert lines[0] == "if small.max_workers=5:"
    assert lines[lines.index("compared with now:") + 1 :] == [
        "  launch  small (on-demand)  3 -> 5 (+2)",
        "  unmet   {CPU: 1} (tasks)  8 -> 0 (-8)",
        "  cost    1.50 -> 2.50 USD/h (+1.00)",
    ]
    assert said["changes"] == {"usd_per_hour": 1.0, "launched": 2, "leaving": 0, "unmet": -8}


def test_what_if_nothing_depends_on_it(scenario: str) -> None:
    assert told("plan", scenario, "--what-if", "max_workers=200").stdout.rstrip().endswith("the same plan")


def test_what_if_names_the_machines_that_would_leave_or_stay() -> None:
    Path("idle.yaml").write_text(POLICY + "machines: [{id: m1, pool: small, idle_s: 90}]\nnow: 1000\n")
    longer = told("plan", "idle.yaml", "--what-if", "idle_timeout_s=3600").stdout
    assert "  stays   m1: idle for 90 of 3600 s" in longer.splitlines()
    Path("kept.yaml").write_text(POLICY + "machines: [{id: m1, pool: small, idle_s: 30}]\nnow: 1000\n")
    sooner = told("plan", "kept.yaml", "--what-if", "idle_timeout_s=20").stdout
    assert "  leaves  m1 too: idle for 30 s (time-out 20 s)" in sooner.splitlines()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("colour=red", "cannot be set"),
        ("max_workers", "is not KEY=VALUE"),
        ("max_worker=3", "did you mean max_workers"),
        ("small.max_worker=3", "did you mean small.max_workers"),
        ("small.max_workers=many", "'many' is no whole number"),
        ("idle_timeout_s=soon", "'soon' is no number"),
        ("big.max_workers=3", "there is no pool 'big'"),
    ],
)
def test_what_if_of_something_that_cannot_be_set(scenario: str, change: str, said: str) -> None:
    result = told("plan", scenario, "--what-if", change)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


# ---- records ------------------------------------------------------------------------------------------


@pytest.fixture
def day() -> homes.Home:
    """Return a cluster with a record of some work."""
    home = homes.create("day")
    home.write(home.config, "cluster_name: day\n")
    return home


async def write(home: homes.Home, reports: list[TickReport]) -> None:
    history = History(home.history)
    for report in reports:
        await history.write(report)
    await history.close()


def recorded() -> list[TickReport]:
    reports: list[TickReport] = []
    policy = Policy(pools=(replace(pool("small", 0.5, CPU=4), max_workers=3),), idle_timeout_s=60.0)
    run(Setting("was", policy, parse_csv(TRACE, "t"), reports=reports.append))
    return reports


def test_a_record_becomes_a_trace_and_is_replayed_under_another_policy(day: homes.Home) -> None:
    asyncio.run(write(day, recorded()))
    exported = told("history", "export", "day")
    assert exported.exit_code == 0, exported.stderr
    trace = parse_csv(exported.stdout, "exported")
    assert trace.tasks == 8
    Path("b.yaml").write_text(POLICY.replace("0.5", "0.25"))
    said = json.loads(told("replay", "day", "--policy", "b.yaml", "--json").stdout)
    was, other = said["results"]
    assert other["usd"] == pytest.approx(was["usd"] / 2, rel=0.01)
    assert said["difference"]["usd"] < 0
    text = told("replay", "day", "--policy", "b.yaml", "--html", "r.html").stdout
    assert "b instead: -0." in text
    assert "USD (-50%), +0.0 s mean wait" in text
    assert re.search(r"planned again under b: 0 of \d+ ticks would do something else", text)
    assert Path("r.html").exists()


def test_a_record_that_is_empty_says_so(day: homes.Home) -> None:
    result = told("replay", "day", "--policy", "a.yaml")
    assert (result.exit_code, "holds no recorded tick" in result.stderr) == (2, True)
