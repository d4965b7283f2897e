"""Commands that need files alone: plan, replay, config, schema."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from rayfleet.cli.app import app
from rayfleet.config import load_scenario
from rayfleet.launcher import home as homes
from rayfleet.launcher import known
from rayfleet.model import TickReport
from rayfleet.planner import plan
from rayfleet.reports.history import History

SCENARIO = """
policy:
  pools:
    - {name: small, resources: {CPU: 2}, max_workers: 3, offers: [{usd_per_hour: 0.5}]}
demand:
  tasks: [{shape: {CPU: 1}, count: 5}, {shape: {CPU: 8}, count: 1}]
"""

CLUSTER = """
cluster_name: fine
provider: {type: process}
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}}
  small: {resources: {CPU: 2}, max_workers: 3}
"""


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin, prog_name="rayfleet")


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    return str(path)


def test_a_plan_for_programs(scenario: str) -> None:
    told = json.loads(run("plan", scenario, "--json", "--placements").stdout)
    assert [(launch["pool"], launch["count"]) for launch in told["launch"]] == [("small", 3)]
    assert [(unmet["shape"], unmet["count"]) for unmet in told["unmet"]] == [({"CPU": 8}, 1)]
    assert sum(placement["count"] for placement in told["placements"]) == 5
    assert 0 < told["planning_s"] < 5
    assert told["usd_per_hour"]["after"] == 1.5


def test_a_plan_for_people(scenario: str) -> None:
    lines = run("plan", scenario, "--placements").stdout.splitlines()
    assert lines[0].startswith("launch   3 x small")
    assert any(line.startswith("unmet    1 x {CPU: 8} (tasks[1]): ") for line in lines)
    assert any(line.startswith("           small: ") for line in lines)
    assert any(line.startswith("place    2 x tasks[0] on new:0") for line in lines)
    assert "cost     0.00 -> 1.50 USD/h" in lines


@pytest.fixture
async def red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> homes.Home:
    """Return a cluster that has recorded what the scenario says; `blue` is up beside it and has recorded nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    for home in (homes.create("blue"), homes.create("red")):
        home.write(home.config, f"cluster_name: {home.name}\n")
        home.write(home.controller, "{}")
    snapshot = load_scenario(SCENARIO, "red")
    history = History(home.history)
    await history.write(TickReport(1, "red", snapshot, plan(snapshot)))
    await history.close()
    return home


def test_a_word_that_is_a_cluster_is_planned_as_it_is_now(red: homes.Home, tmp_path: Path) -> None:
    """A file of that name is still reached, by its path."""
    (tmp_path / "red").write_text("policy: {pools: [{name: a, resources: {CPU: 1}}]}")
    assert run("plan", "red").stdout.startswith("launch   3 x small")
    assert run("plan", "./red").stdout.startswith("nothing to do")


def test_with_two_clusters_up_the_hint_can_be_followed(red: homes.Home) -> None:
    asked = run("plan")
    assert asked.exit_code == 2
    assert "several clusters are up: blue, red\n hint: name the one that you mean, as first argument" in asked.stderr
    assert run("plan", red.name).exit_code == 0


def test_without_a_word_it_is_the_only_cluster_that_is_up(red: homes.Home) -> None:
    homes.find("blue").controller.unlink()
    assert run("plan").stdout.startswith("launch   3 x small")


@pytest.mark.parametrize("effort", ["fast", "thorough", "7"])
def test_a_plan_with_effort_is_no_dearer(scenario: str, effort: str) -> None:
    told = json.loads(run("plan", scenario, "--json").stdout)
    longer = json.loads(run("plan", scenario, "--json", "--effort", effort).stdout)
    assert longer["usd_per_hour"]["after"] <= told["usd_per_hour"]["after"]
    assert longer["unmet"] == told["unmet"]


def test_an_effort_that_is_none_is_refused(scenario: str) -> None:
    answer = run("plan", scenario, "--effort", "much")
    assert answer.exit_code == 2
    assert "fast, thorough or a number" in answer.stderr


def test_a_plan_without_anything_to_do() -> None:
    result = run("plan", "-", stdin="policy: {pools: [{name: a, resources: {CPU: 1}}]}")
    assert result.exit_code == 0
    assert result.stdout.startswith("nothing to do\n")


def test_a_scenario_with_mistakes_is_refused_with_each_line() -> None:
    result = run("plan", "-", stdin="policy: {pols: []}\ndemnd: {}\n")
    assert result.exit_code == 2
    assert "did you mean pools?" in result.stderr
    assert "did you mean demand?" in result.stderr


def test_a_path_that_cannot_be_is_a_mistake_of_whoever_typed_it(scenario: str) -> None:
    result = run("plan", f"{scenario}/more")
    assert (result.exit_code, f"{scenario}/more cannot be read: Not a directory" in result.stderr) == (2, True)


def test_what_is_no_record_cannot_be_replayed(scenario: str) -> None:
    result = run("replay", "-", stdin="[]")
    assert result.exit_code == 2
    assert "error: standard input" in result.stderr


def test_a_good_file_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "fine.yaml"
    path.write_text(CLUSTER)
    assert run("config", "check", str(path)).stdout.endswith("fine.yaml is fine\n")
    told = json.loads(run("config", "check", str(path), "--json").stdout)
    assert (told["ok"], told["can_run"]) == (True, True)
    shown = json.loads(run("config", "show", str(path)).stdout)
    assert (shown["cluster_name"], shown["policy"]["max_workers"]) == ("fine", 2)


def test_a_file_that_up_cannot_run_is_not_called_fine(tmp_path: Path) -> None:
    path = tmp_path / "later.yaml"
    path.write_text(CLUSTER.replace("type: process", "type: pods"))
    verdict = "nothing is wrong as far as it can be checked without provider pods"
    result = run("config", "check", str(path))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"{path}: {verdict}; `rayfleet up` cannot run it in this version"
    told = json.loads(run("config", "check", str(path), "--json").stdout)
    assert (told["ok"], told["can_run"]) == (True, False)
    refused = run("up", str(path))
    assert refused.exit_code == 2
    assert "not available in this version" in refused.stderr


def test_an_object_store_that_no_machine_has_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `config check`, and of `up` (whose cluster cannot be started here, as its folder cannot be made)."""
    path = tmp_path / "large.yaml"
    path.write_text(CLUSTER.replace("resources: {CPU: 2}", "resources: {CPU: 2, object_store_memory: 90Ti}"))
    note = f"note: {path}:7:52: available_node_types.small.resources.object_store_memory: is 92,160.0 GiB, but "
    told = run("config", "check", str(path)).stdout
    assert told.startswith(note)
    assert told.endswith("large.yaml is fine\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(path))
    up = run("up", str(path))
    assert up.exit_code == 2
    assert up.stderr.startswith(note)


def test_every_mistake_of_a_file_is_told_with_its_line() -> None:
    wrong = CLUSTER.replace("max_workers", "max_worker").replace("provider", "providr")
    result = run("config", "check", "-", stdin=wrong)
    assert result.exit_code == 2
    assert "standard input:3" in result.stderr
    assert "did you mean provider?" in result.stderr
    assert "did you mean max_workers?" in result.stderr
    told = run("config", "check", "-", "--json", stdin=wrong)
    assert told.exit_code == 2
    assert len(json.loads(told.stdout)["problems"]) == 2


@pytest.mark.parametrize("of", ["scenario", "cluster", "status"])
def test_every_format_has_a_schema(of: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(run("schema", of).stdout))


def test_a_launch_that_did_not_happen_is_explained_from_a_scenario(scenario: str) -> None:
    result = run("why", "--file", scenario, "--shape", "CPU=8", "--pool", "small")
    assert result.exit_code == 0
    assert "1 without a place: no pool can ever hold {CPU: 8}" in result.stdout
    assert "what to do: Ask for less" in result.stdout
    assert re.search(r"small \(on-demand\) +0.5 USD/h +has 2 CPU, 8 are needed", result.stdout)
    told = json.loads(run("why", "--file", scenario, "--shape", "CPU=8", "--json").stdout)
    assert told["launch"]["offers"][0]["reason"]["details"] == {"resource": "CPU", "have": 2, "need": 8}


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["NOSUCH"], "pools: small; machines:"),
        (["smalll"], "did you mean small"),
        (["--shape", "CPU=1", "--pool", "smol"], "did you mean small?"),
        (["small", "--shape", "CPU=1"], "give a subject, or options"),
        (["--tick", "1"], "give one of them"),
    ],
)
def test_why_of_what_is_not_there_is_a_mistake(words: list[str], hint: str, scenario: str) -> None:
    result = run("why", "--file", scenario, *words)
    assert result.exit_code == 2
    assert hint in result.stderr
    assert result.stdout == ""


def test_why_of_another_tick_of_the_record(red: homes.Home) -> None:
    assert json.loads(run("why", "red", "--tick", "1", "--json").stdout)["tick"] == 1
    assert "no record of tick 9" in run("why", "red", "--tick", "9").stderr
    assert "is no moment" in run("why", "red", "--at", "soon").stderr


def test_a_record_is_asked_in_any_folder(red: homes.Home, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    copied.joinpath("history.sqlite").write_bytes(red.history.read_bytes())
    assert json.loads(run("why", "--record", str(copied), "--tick", "1", "--json").stdout)["tick"] == 1
    assert run("history", "--record", str(copied)).stdout == run("history", "red").stdout
    assert "there is no record in nowhere" in run("why", "--record", "nowhere").stderr
    assert "cluster red beside --record" in run("history", "red", "--record", str(copied)).stderr
