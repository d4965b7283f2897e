"""Verbs about a cluster elsewhere are run on its head: what `ssh` and `rsync` are told, as two programs note it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.cli.arguments import without_ray_flags
from rayfleet.contracts import Login, Machine, MachineState
from rayfleet.launcher import home as homes
from rayfleet.launcher import known, lease
from rayfleet.launcher.remote import where
from rayfleet.launcher.remote.machines import end_of_ray
from rayfleet.launcher.remote.where import Where
from rayfleet.model import Pool, Resources

CONFIG = {
    "cluster_name": "far",
    "provider": {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]},
    "auth": {"ssh_user": "me"},
    "head_node_type": "head",
    "available_node_types": {"head": {"resources": {}}, "w": {"resources": {"CPU": 1}}},
}
TELLS = """#!/bin/sh
echo "{name} $*" >> "$TOLD"
exit ${{CODE:-0}}
"""


class Typed:
    """A shell of a user's, in which `ssh` and `rsync` are programs that note what they are told."""

    def __init__(self, folder: Path) -> None:
        self.told_in = folder / "told"
        for name in ("ssh", "rsync"):
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(TELLS.format(name=name), encoding="utf-8")
            program.chmod(0o755)

    def run(self, *words: str, code: int = 0) -> str:
        """Type a command; return what was told, "" when nothing was."""
        self.told_in.unlink(missing_ok=True)
        result = CliRunner().invoke(app, list(words), prog_name="rayfleet")
        assert result.exit_code == code, result.output
        self.said = result.output
        return self.told_in.read_text(encoding="utf-8") if self.told_in.exists() else ""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Return a shell where cluster `far` is up, elsewhere."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far.yaml").write_text(json.dumps(CONFIG), encoding="utf-8")
    home = homes.create("far")
    home.write(home.config, json.dumps(CONFIG))
    where.save(home, Where("local", "m", "10.0.0.1", login=Login("me")))
    return Typed(tmp_path)


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["status"], "status"),
        (["status", "far", "--json"], "status far --json"),
        (["status", "far.yaml", "--watch"], "status far --watch"),
        (["why", "w"], "why w"),
        (["why", "far", "w"], "why far w"),
        (["why", "--shape", "CPU=4", "--pool", "w"], "why --shape CPU=4 --pool w"),
        (["history", "-n", "5", "far.yaml"], "history -n 5 far"),
        (["history", "export"], "history export"),
        (["metrics", "--json", "far.yaml"], "metrics --json far"),
        (["logs", "far", "-f"], "logs far -f"),
        (["scale", "w", "3"], "scale w 3"),
        (["scale", "far.yaml", "w", "3"], "scale far w 3"),
        (["scale", "far", "w", "--clear"], "scale far w --clear"),
        (["drain", "far", "m1"], "drain far m1"),
        (["set", "far.yaml", "max_workers=4"], "set far max_workers=4"),
        (["prices"], "prices"),
        (["prices", "far", "--refresh"], "prices far --refresh"),
        (["list", "nodes"], "list nodes"),
        (["list", "placement_groups", "far.yaml", "-f", "state=ALIVE"], "list placement_groups far -f state=ALIVE"),
        (["summary", "tasks", "far", "--json"], "summary tasks far --json"),
        (["memory", "far.yaml", "-n", "5"], "memory far -n 5"),
        (["logs", "far", "raylet.out", "--node-id", "ab"], "logs far raylet.out --node-id ab"),
        (["logs", "raylet.out", "--search", "x"], "logs raylet.out --search x"),
        (["logs", "actor", "far.yaml", "--id", "x"], "logs actor far --id x"),
        (["events", "far.yaml", "--follow"], "events far --follow"),
        (["top"], "top"),
        (["health", "far", "--cpus", "4"], "health far --cpus 4"),
        (["monitor", "far.yaml", "--lines", "7"], "logs --follow --lines 7"),
    ],
)
def test_verbs_that_go_to_the_head(shell: Typed, words: list[str], there: str) -> None:
    told = shell.run(*words)
    assert "me@10.0.0.1 exec bash -c " in told
    assert f"RAYFLEET_CLUSTER=far exec ~/.rayfleet/.bin/rayfleet {there}" in told


def test_the_clusters_are_listed_here(shell: Typed) -> None:
    assert shell.run("list") == ""
    assert "far" in shell.said


def test_a_head_that_does_not_answer_is_not_healthy(shell: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a script that is an answer; a mistake in the command is not."""
    monkeypatch.setenv("CODE", "255")
    shell.run("health", code=1)
    assert "the head of far does not answer" in shell.said
    monkeypatch.setenv("CODE", "1")
    shell.run("health", code=1)


def test_prices_of_a_file_or_a_cloud_are_told_here(shell: Typed) -> None:
    """The head knows what it knows; a file may have changed since, and a cloud is no cluster."""
    assert shell.run("prices", "far.yaml") == ""
    assert "nobody knows it" in shell.said
    assert shell.run("prices", "--cloud", "gcp", "--region", "us-east1", "--type", "e2-medium") == ""


def test_the_exit_code_is_that_of_the_head(shell: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODE", "3")
    shell.run("status", code=3)
    monkeypatch.setenv("CODE", "255")
    shell.run("status", code=2)
    assert "the head of far does not answer at 10.0.0.1" in shell.said


@pytest.mark.parametrize("words", [["exec", "--stop", "far", "ls"], ["submit", "--stop", "far", "script.py"]])
def test_a_lost_connection_does_not_keep_a_cluster_up_that_was_to_end(
    shell: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    """Here somebody holds the lease, which shows that its end was begun."""
    (tmp_path / "script.py").touch()
    monkeypatch.setenv("CODE", "255")
    with lease.lease(homes.find("far"), lease.UP):
        shell.run(*words, code=2)
    assert "controlled already: up" in shell.said


@pytest.mark.parametrize("word", ["far", "far.yaml"])
def test_start_brings_up_a_known_cluster_that_is_down(shell: Typed, word: str) -> None:
    """Here somebody holds the lease, which shows that the start was begun."""
    home = homes.find("far")
    home.remote.unlink()
    with lease.lease(home, lease.DOWN):
        shell.run("exec", "--start", word, "ls", code=2)
    assert "controlled already: down" in shell.said


@pytest.mark.parametrize(
    "words",
    [
        ["up", "ray.yaml", "--min-workers", "1"],
        ["up", "ray.yaml", "--restart-only"],
        ["down", "ray.yaml", "--workers-only"],
        ["down", "ray.yaml", "--keep-min-workers"],
    ],
)
def test_no_option_is_taken_and_ignored_in_kubernetes(shell: Typed, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "ray.yaml").write_text("apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: c}\n", "utf-8")
    shell.run(*words, code=2)
    assert "are for clusters on other computers" in shell.said


def test_files_of_this_machine_are_read_here(shell: Typed) -> None:
    assert shell.run("why", "--file", "nowhere.json", code=2) == ""
    assert shell.run("history", "export", "--write", "x.csv", code=2) == ""
    assert "redirect" in shell.said


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["exec", "ls"], "ls"),
        (["exec", "far.yaml", "--tmux", "python x.py"], "tmux new -d bash -c "),
        (["exec", "--screen", "far.yaml", "python x.py"], "screen -L -dm bash -c "),
        (["exec", "--no-config-cache", "--log-style", "pretty", "far", "ls", "-v"], "ls -v"),
        (["attach", "far.yaml", "--tmux"], "tmux attach || tmux new"),
        (["attach", "far.yaml", "-p", "8265", "-v"], "-L localhost:8265:localhost:8265"),
        (["attach", "far.yaml", "--node-ip", "10.0.0.2"], "me@10.0.0.2"),
        (["submit", "far.yaml", "x.py", "--size", "3"], "python ~/x.py --size 3"),
        (["submit", "far.yaml", "--job", "x.py", "a b"], "ray job submit -- python ~/x.py"),
        (["rsync-up", "far.yaml", "a", "~/b"], "a me@10.0.0.1:~/b"),
        (["rsync_down", "~/b", "a"], "me@10.0.0.1:~/b a"),
        (["dashboard", "far", "--ray", "-p", "9000"], "-L localhost:9000:localhost:8265"),
        (["dashboard", "far.yaml", "--no-open"], "rayfleet head-page 2"),
    ],
)
def test_verbs_of_rays_command_line(shell: Typed, tmp_path: Path, words: list[str], there: str) -> None:
    (tmp_path / "x.py").touch()
    assert there in shell.run(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["exec", "--tmux", "--screen", "far", "ls"], "contradict"),
        (["exec", "--tmux", "--stop", "far", "ls"], "nobody is here"),
        (["run", "--cluster", "far", "--", "ls"], "rayfleet exec runs it there"),
        (["env", "far"], "rayfleet exec runs a command there"),
        (["rsync-up", "far.yaml", "a"], "a source and a target"),
        (["dashboard", "far", "--login"], "of this machine's clusters"),
        (["up", "far.yaml", "--foreground"], "runs on its head"),
        (["up", "far.yaml", "--no-restart", "--restart-only"], "contradict"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(shell: Typed, words: list[str], message: str) -> None:
    assert shell.run(*words, code=2) == ""
    assert message in shell.said


def test_a_dry_run_takes_the_limits_that_up_would(shell: Typed, tmp_path: Path) -> None:
    place = {"type": "local", "head_ip": "h", "worker_ips": list("abcd")}
    many = {**CONFIG, "cluster_name": "many", "provider": place}
    many["available_node_types"] = {"head": {"resources": {}}, "w": {"resources": {"CPU": 1}, "min_workers": 1}}
    (tmp_path / "many.yaml").write_text(json.dumps(many), encoding="utf-8")
    assert shell.run("up", "many.yaml", "--dry-run", "--min-workers", "3", "--max-workers", "4", "--json") == ""
    told = json.loads(shell.said)
    assert {row["count"] for row in told["create"] if not row["head"]} == {3}
    shell.run("up", "far.yaml", "--dry-run", "--max-workers", "7", "--json")
    assert {"path": "policy.max_workers", "before": 2, "after": 7} in json.loads(shell.said)["changes"]


def test_what_is_for_clusters_elsewhere_is_refused_here(shell: Typed, tmp_path: Path) -> None:
    home = homes.create("near")
    home.write(home.config, "cluster_name: near\nprovider: {type: process}\n")
    home.write(home.controller, "{}")
    for words in (
        ["up", "near", "--dry-run", "--min-workers", "1"],
        ["exec", "--tmux", "near", "ls"],
        ["rsync-up", "near", "a", "b"],
        ["get-head-ip", "near"],
    ):
        shell.run(*words, code=2)
        assert "on other computers" in shell.said or "is on this machine" in shell.said


def test_the_head_has_an_address(shell: Typed) -> None:
    shell.run("get-head-ip", "far.yaml")
    assert shell.said == "10.0.0.1\n"


def test_flags_of_rays_command_line_that_mean_nothing_here() -> None:
    assert without_ray_flags(["a", "--log-color", "true", "-v", "b", "-v"], stops=True) == (["a", "b"], ["-v"])
    assert without_ray_flags(["a", "--log-style=record", "b", "-v"], stops=False) == (["a", "b"], [])
    assert without_ray_flags(["-v", "--", "-v"], stops=False) == ([], ["--", "-v"])


def test_the_end_of_a_workers_ray_is_of_that_workers_own(shell: Typed) -> None:
    """What belongs to a node is known by its machine's id: without it nothing would be ended."""
    pool = Pool("w", Resources.of({"CPU": 1}))
    machine = Machine("10.0.0.2-ab", pool.offers[0].key("w"), "b1", MachineState.RUNNING, address="10.0.0.2")
    line = end_of_ray(homes.find("far"), machine)
    assert line.startswith("export RAYFLEET_MACHINE_ID=10.0.0.2-ab RAYFLEET_ADDRESS=10.0.0.2; exec bash -c ")
    env = {**os.environ, "RAYFLEET_NODE": "far/10.0.0.2-ab"}
    child = subprocess.Popen(["sh", "-c", "echo; read -r _"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()  # its environment cannot be read from the moment on that it is started
        assert subprocess.run(["sh", "-c", line], check=False).returncode == 0
        assert child.wait(timeout=100) < 0
    finally:
        child.kill()
        child.communicate()
