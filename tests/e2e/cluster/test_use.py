"""One cluster from a file, and everything that a user does with it."""

import json
from pathlib import Path

import jsonschema
import pytest
from tests.e2e.cluster.fleet import LIMIT_S, Fleet, config
from tests.e2e.cluster.searching import command_lines, files_below, recorded

from rayfleet.engines.ray.settings import RaySettings
from rayfleet.providers.process.identity import cluster_root, cluster_tag

pytestmark = pytest.mark.ray

NAME = "used"
SEEN = 16
"""So many of a token's first characters are looked for: what shows them shows it, though it may cut the rest off."""

TASKS = """
import ray, time
ray.init(log_to_driver=False)

@ray.remote(num_cpus=1)
def where():
    time.sleep(1)
    return ray.get_runtime_context().get_node_id()

print(len(set(ray.get([where.remote() for _ in range(3)]))))
"""

TOO_LARGE = """
import ray
ray.init(log_to_driver=False)

@ray.remote(num_cpus=64)
def never():
    pass

ray.get(never.remote())
"""

HELD = """
import os, ray, sys, time

@ray.remote(num_cpus=1)
def hold(until):
    print("held", flush=True)
    while not os.path.exists(until):
        time.sleep(0.05)

ray.init()
ray.get(hold.remote(os.path.abspath(sys.argv[1])))
"""


@pytest.fixture(scope="module", autouse=True)
def up(fleet: Fleet) -> dict[str, object]:
    """Bring the cluster up and return what `up --json` says."""
    told: dict[str, object] = fleet.json("up", config(fleet.folder, NAME))
    return told


def test_up_says_how_to_reach_it(fleet: Fleet, up: dict[str, object]) -> None:
    assert up["cluster"] == NAME
    assert up["workers"] == 0
    (listed,) = fleet.json("list")
    assert (listed["name"], listed["state"], listed["address"]) == (NAME, "up", up["address"])
    assert fleet.machines(NAME) == {"head-1": "READY"}


def test_a_plain_script_makes_it_grow_and_its_end_makes_it_shrink(fleet: Fleet) -> None:
    nodes = int(fleet.python(TASKS).stdout)
    assert nodes >= 2
    fleet.wait(lambda: fleet.machines(NAME) == {"head-1": "READY"})


def test_status_is_what_its_schema_says_and_what_users_know(fleet: Fleet) -> None:
    jsonschema.validate(fleet.json("status"), json.loads(fleet("schema", "status").stdout))
    text = fleet("status").stdout
    assert all(line in text for line in ("Node status", "Healthy:\n 1 head", "Pending:", "Demands:"))


def test_variables_make_any_shell_a_client(fleet: Fleet) -> None:
    variables = fleet.json("env")
    exports = fleet("env").stdout
    assert all(f"export {name}=" in exports for name in variables)
    assert fleet("run", "--", "sh", "-c", "echo $RAYFLEET_CLUSTER $RAY_ADDRESS").stdout.split() == [
        NAME,
        variables["RAY_ADDRESS"],
    ]


def test_the_exit_code_is_the_commands_own(fleet: Fleet) -> None:
    assert fleet("run", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert fleet("exec", "exit 8", check=False).returncode == 8
    assert fleet("exec", NAME, "sh", "-c", "exit 9", check=False).returncode == 9
    missing = fleet("run", "--", "no-such-command", check=False)
    assert (missing.returncode, "there is no command 'no-such-command'" in missing.stderr) == (127, True)


def test_a_job_is_followed_to_its_end(fleet: Fleet, scripts: Path) -> None:
    """Two at a time, for Ray takes its time to start one."""
    (scripts / "good.py").write_text("import sys; print('arguments', *sys.argv[1:])")
    (scripts / "bad.py").write_text("import sys; print('about to fail'); sys.exit(3)")
    with fleet.begun("submit", NAME, "bad.py") as bad:
        good = fleet("submit", "good.py", "--size", "10")
        shown, errors = bad.communicate(timeout=LIMIT_S)
    assert "arguments --size 10" in good.stdout
    assert (bad.returncode, "about to fail" in shown) == (1, True)
    assert "ended as FAILED" in errors
    assert fleet("submit", "nosuch.py", check=False).returncode == 2


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_stop_it(fleet: Fleet, scripts: Path) -> None:
    (scripts / "long.py").write_text("import time; print('begun', flush=True); time.sleep(60)")
    with fleet.begun("submit", "long.py") as command:
        assert command.stdout is not None
        assert any("begun" in line for line in command.stdout)
        errors = fleet.interrupted(command)
    assert command.returncode == 130
    job = errors.split("job ")[1].split()[0]
    assert f"ray job stop {job}" in errors
    assert "stopped" in fleet("run", "--", "ray", "job", "stop", job).stdout


def test_a_pool_is_held_and_let_go(fleet: Fleet) -> None:
    assert fleet.json("scale", "one", "2", "--wait")["done"]
    assert list(fleet.machines(NAME, "one").values()) == ["READY", "READY"]
    assert "ordered" in fleet("why", "one").stdout
    fleet("scale", "one", "--clear")
    fleet.wait(lambda: fleet.machines(NAME, "one") == {})


def test_a_machine_is_drained_while_a_program_works_on_it(fleet: Fleet, scripts: Path) -> None:
    """And no process shows the token meanwhile: not of the cluster, nor of those who use it."""
    ray = RaySettings.load(fleet.home(NAME).path)
    (scripts / "held.py").write_text(HELD)
    with fleet.begun("run", "--", "python", "held.py", scripts / "enough") as program:
        assert program.stdout is not None
        assert any("held" in line for line in program.stdout)
        (machine,) = fleet.machines(NAME).keys() - {"head-1"}
        assert fleet("why", machine).stdout.startswith(f"{machine} (one) is READY")
        with fleet.begun("drain", machine, "--wait", "--why", "a test") as drain:
            fleet.wait(lambda: fleet.machines(NAME)[machine] == "DRAINING")
            lines = command_lines()
            (scripts / "enough").touch()
            left, _ = drain.communicate(timeout=LIMIT_S)
        shown = "".join(program.communicate(timeout=LIMIT_S))
    assert left == f"{machine} has left\n"
    assert machine not in fleet.machines(NAME)
    assert (program.returncode, ray.token()[:SEEN] in shown) == (0, False), shown
    raylets = [line for line in lines if line.split(" ")[0].endswith("/raylet") and f"={ray.gcs_address} " in line]
    assert len(raylets) >= 2, "the head's and its own"
    assert [line for line in lines if ray.token()[:SEEN] in line] == []


def test_a_setting_is_changed_and_a_wrong_one_is_not(fleet: Fleet) -> None:
    fleet("set", "idle_timeout_s=4", "one.max_workers=2")
    fleet.wait(lambda: {"idle_timeout_s", "one.max_workers"} <= {o["target"] for o in fleet.status(NAME)["orders"]})
    wrong = fleet("set", "idle_timeout_s=5", "one.max_worker=1", check=False)
    assert wrong.returncode == 2
    assert "did you mean one.max_workers?" in wrong.stderr
    assert "\n  standing orders: set idle_timeout_s=4.0 (by " in fleet("up", config(fleet.folder, NAME)).stdout
    assert fleet("scale", "one", "3", check=False).returncode == 2
    assert fleet("drain", "head-1", check=False).returncode == 2
    assert fleet("set", "--clear", "one.max_workers").stdout == "one.max_workers = 3, as configured\n"
    fleet.wait(lambda: "one.max_workers" not in {o["target"] for o in fleet.status(NAME)["orders"]})


def test_what_no_pool_fits_is_told_with_each_reason(fleet: Fleet) -> None:
    with fleet.begun("run", "--", "python", "-c", TOO_LARGE):
        fleet.wait(lambda: fleet.status(NAME)["unmet"] != [])
        told = fleet("why", '{"CPU": 64}').stdout
        assert all(pool in told for pool in ("one", "two"))
        assert fleet("plan").stdout.startswith("unmet ")


def test_what_happened_is_on_record_and_can_be_planned_again(fleet: Fleet, scripts: Path) -> None:
    kinds = {event["kind"] for event in fleet.json("history", "-n", "500")}
    assert {"launch", "ready", "drain", "release", "gone"} <= kinds
    (scripts / "tick.json").write_text(fleet("history", "--tick", "last").stdout)
    assert fleet("replay", "tick.json").stdout == "the same plan, byte for byte\n"
    assert "controller_started" in fleet("logs", "--lines", "100000").stdout


def test_the_token_is_in_one_file_that_only_its_user_can_read(fleet: Fleet) -> None:
    """Every search here also finds what it should, so that one which finds no token means something."""
    home = fleet.home(NAME)
    ray, machines = RaySettings.load(home.path), cluster_root(None, cluster_tag(NAME, home.path))
    secret, session = ray.token()[:SEEN], Path(json.loads(ray.head_path.read_text())["logs_dir"]).parent
    assert ray.token_path.stat().st_mode & 0o777 == 0o600
    assert [folder.stat().st_mode & 0o077 for folder in (home.path, machines)] == [0, 0]

    files = dict(files_below(fleet.folder, machines, session))
    names = {path.name for path in files}
    assert {
        "controller.log",
        "ledger.sqlite",
        "history.sqlite",
        "gcs_server.out",
        "monitor.log",
        "autoscaler.log",
    } <= names
    assert any(name.startswith("job-driver-") for name in names)
    assert [path for path, content in files.items() if secret.encode() in content] == [ray.token_path]

    history = fleet("history", "--json", "-n", "1000").stdout
    gone = next(event["subject"] for event in json.loads(history) if event["kind"] == "gone")
    told = {
        "reports": (recorded(home.history), gone),
        "history": (history, gone),
        "status": (fleet("status", "--json").stdout, NAME),
        "logs": (fleet("logs", "--lines", "100000").stdout, gone),
        "env": (fleet("env").stdout, str(ray.token_path)),
    }
    assert {what: (known in text, secret in text) for what, (text, known) in told.items()} == dict.fromkeys(
        told, (True, False)
    )


def test_the_doctor_finds_nothing_wrong_with_it(fleet: Fleet) -> None:
    findings = {finding["what"]: finding["state"] for finding in fleet.json("doctor")["findings"]}
    assert findings[f"cluster {NAME}"] == "ok"


def test_watching_ends_with_ctrl_c(fleet: Fleet) -> None:
    with fleet.begun("status", "--watch") as watch:
        assert watch.stdout is not None
        assert any("Node status" in line for line in watch.stdout)
        fleet.interrupted(watch)
    assert watch.returncode == 0
