"""How Ray starts on machines that have nothing of rayfleet's: our commands, and users' own with ours in them."""

import json
import shlex
from pathlib import Path

import pytest
from ray.scripts.scripts import start as ray_start

from rayfleet.engines.ray.commands import Remote, client_exports, exports, ports, start_commands, start_script
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.engines.ray.shell_words import simple_commands
from rayfleet.engines.ray.users_commands import Wishes, flags_of, with_wishes
from rayfleet.model import Labels, Market, Offer, Pool, Resources

OURS = Wishes({"no-monitor": "", "num-cpus": "4"}, {"tier": "batch"}, frozenset({"autoscaling-config", "block"}))
ADDED = "--no-monitor --num-cpus=4 --labels=tier=batch"
GPU = Pool(
    "gpu",
    Resources.of({"CPU": 8, "GPU": 1, "memory": 64e9, "licence": 2}),
    Labels({"team": "red"}),
    offers=(Offer(zone="z1", market=Market.SPOT), Offer(zone="z2", market=Market.SPOT)),
)
HEAD = Pool("head", Resources.of({"CPU": 2}))


def settings(tmp_path: Path) -> RaySettings:
    return RaySettings("demo", str(tmp_path), "10.0.0.1", Ports(6379, 10001, 8265))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            "ulimit -n 65536; ray start --head --port=6379 --autoscaling-config=~/ray_bootstrap.yaml --temp-dir=/x",
            f"ulimit -n 65536; ray start {ADDED} --head --port=6379 --temp-dir=/x",
        ),
        ("ray stop", "ray stop"),
        (
            "ray stop && ray start --head --num-cpus 2",
            "ray stop && ray start --no-monitor --labels=tier=batch --head --num-cpus 2",
        ),
        ("ray start --head --autoscaling-config x.yaml --block", f"ray start {ADDED} --head"),
        ("sudo -E /opt/bin/ray start --head >log 2>&1 &", f"sudo -E /opt/bin/ray start {ADDED} --head >log 2>&1 &"),
        ("conda run -n e ray start --head # ray start", f"conda run -n e ray start {ADDED} --head # ray start"),
        ("if true; then ray start --head; fi", f"if true; then ray start {ADDED} --head; fi"),
        ("ray start \\\n  --head", f"ray start {ADDED} \\\n  --head"),
        (
            "ray start --head --dashboard-host $(hostname -i; echo a)",
            f"ray start {ADDED} --head --dashboard-host $(hostname -i; echo a)",
        ),
        ("ray start --labels 'tier=own,x=y'", "ray start --no-monitor --num-cpus=4 --labels=tier=own,x=y"),
        ('ray start --labels="$MINE"', 'ray start --no-monitor --num-cpus=4 --labels="$MINE"'),
        ("bash -lc 'ray start --head'", f"bash -lc 'ray start {ADDED} --head'"),
        ('bash -c "ray start --address=$RAY_HEAD_IP:6379"', f'bash -c "ray start {ADDED} --address=$RAY_HEAD_IP:6379"'),
        (
            "ray start --head --block 2>/dev/null",
            f"ray start {ADDED} --head 2>/dev/null",
        ),
        ("ray start --head --block > log 2>&1 &", f"ray start {ADDED} --head > log 2>&1 &"),
        ("ray start \\\n--block \\\n--head", f"ray start {ADDED} \\\n \\\n--head"),
        ("echo ray start", "echo ray start"),
        ("echo 'ray start'; ray status", "echo 'ray start'; ray status"),
    ],
)
def test_users_words_are_kept_and_ours_put_in(written: str, expected: str) -> None:
    assert with_wishes(written, OURS) == expected


def test_what_is_nested_with_quotes_of_its_own_is_the_same_for_the_inner_shell() -> None:
    written = """bash -c 'ray start --head --resources='\\''{"b": 2}'\\'''"""
    outer = shlex.split(with_wishes(written, OURS))
    assert outer[:2] == ["bash", "-c"]
    assert shlex.split(outer[2]) == ["ray", "start", *ADDED.split(), "--head", '--resources={"b": 2}']


def test_json_is_quoted_for_the_shell() -> None:
    line = with_wishes("ray start --head", Wishes({"resources": '{"a b":1}'}))
    assert shlex.split(line) == ["ray", "start", '--resources={"a b":1}', "--head"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a 'b c' \"d $e\" f\\ g", [["a", "b c", "d $e", "f g"]]),
        ("a;b&&c|d\ne", [["a"], ["b"], [], ["c"], ["d"], ["e"]]),
        ("a $(b; c 'd)') ${e:-f g} `h i`", [["a", "$(b; c 'd)')", "${e:-f g}", "`h i`"]]),
        ("a 'unclosed", [["a", "unclosed"]]),
        ("a 2>&1 &>x", [["a"]]),
        ("a >> x b 2> /y c3 <in d >", [["a", "b", "c3", "d"]]),
        ("a >&2; b", [["a"], ["b"]]),
    ],
)
def test_words_of_a_line(line: str, words: list[list[str]]) -> None:
    assert [[word.value for word in command] for command in simple_commands(line)] == words


def test_flags_that_the_shell_expands_are_not_known() -> None:
    lines = ["ulimit -n 1; ray start --head --port 6380 --dashboard-port=$PORT", "ray start --block"]
    assert flags_of(lines) == {"head": "", "port": "6380", "block": ""}


def test_a_users_head_is_where_its_command_says() -> None:
    assert ports(Remote(("ray start --head --port=7000 --ray-client-server-port 7001",))) == Ports(7000, 7001, 8265)
    assert ports(Remote()) == Ports(6379, 10001, 8265)


def ray_flags(line: str) -> dict[str, object]:
    """Return what Ray itself makes of a line's `ray start`, or fail as it does."""
    for words in simple_commands(line):
        values = [word.value for word in words]
        if values[:2] == ["ray", "start"]:
            known = [value for value in values[2:] if not value.startswith("${") and "$" not in value]
            found: dict[str, object] = ray_start.make_context("start", known).params
            return found
    raise AssertionError(line)


def test_our_head_is_one_that_ray_understands_and_runs_no_monitor(tmp_path: Path) -> None:
    (line,) = start_commands(settings(tmp_path), HEAD, Remote(), head=True)
    found = ray_flags(line)
    assert {name: found[name] for name in ("head", "no_monitor", "include_dashboard")} == {
        "head": True, "no_monitor": True, "include_dashboard": True,
    }  # fmt: skip
    assert (found["port"], found["ray_client_server_port"], found["dashboard_port"]) == (6379, 10001, 8265)
    assert (found["num_cpus"], found["num_gpus"], found["memory"]) == (2, 0, None)
    assert line.startswith('export RAYFLEET_NODE=demo/"$RAYFLEET_MACHINE_ID"; ')


def test_our_worker_joins_with_what_its_pool_offers(tmp_path: Path) -> None:
    (line,) = start_commands(settings(tmp_path), GPU, Remote(), head=False)
    found = ray_flags(line)
    assert found["address"] == "10.0.0.1:6379"
    assert (found["num_cpus"], found["num_gpus"], found["memory"]) == (8, 1, 64_000_000_000)
    assert json.loads(str(found["resources"])) == {"licence": 2.0}
    assert found["labels"] == "ray.io/market-type=spot,ray.io/node-group=gpu,team=red"  # its zone differs by offer


def test_who_says_nothing_of_resources_has_what_ray_finds(tmp_path: Path) -> None:
    bare = Pool("bare", Resources())
    (worker,) = start_commands(settings(tmp_path), bare, Remote(), head=False)
    (owned,) = start_commands(settings(tmp_path), bare, Remote(sized_head=False), head=True)
    (cloud,) = start_commands(settings(tmp_path), bare, Remote(), head=True)
    assert "num-cpus" not in worker
    assert "num-cpus" not in owned
    assert ray_flags(cloud)["num_cpus"] == 0


def test_users_own_head_and_workers(tmp_path: Path) -> None:
    own = Remote(
        ("ray stop", "ulimit -n 65536; ray start --head --port=6379 --autoscaling-config=~/c.yaml"),
        ("ray stop", "ray start --address=$RAY_HEAD_IP:6379 --num-gpus=2"),
    )
    stop, head = start_commands(settings(tmp_path), HEAD, own, head=True)
    assert stop == 'export RAYFLEET_NODE=demo/"$RAYFLEET_MACHINE_ID"; ray stop'
    assert ray_flags(head)["no_monitor"]
    assert "autoscaling-config" not in head
    _, worker = start_commands(settings(tmp_path), GPU, own, head=False)
    assert "--no-monitor" not in worker
    assert worker.count("--num-gpus") == 1
    assert "--address=$RAY_HEAD_IP:6379 --num-gpus=2" in worker


def test_the_environment_names_the_token_file_of_the_machine_and_never_the_token(tmp_path: Path) -> None:
    lines = exports(settings(tmp_path), GPU, head=False)
    assert 'export RAY_AUTH_TOKEN_PATH="$HOME/.rayfleet/demo/ray-token"' in lines
    assert 'export RAY_CLOUD_INSTANCE_ID="$RAYFLEET_MACHINE_ID"' in lines
    assert {"export RAY_HEAD_IP=10.0.0.1", "export RAY_NODE_TYPE_NAME=gpu", "export RAY_enable_autoscaler_v2=1"} <= {
        *lines
    }
    assert not any(str(tmp_path) in line for line in (*lines, *client_exports(settings(tmp_path))))
    head = exports(settings(tmp_path), HEAD, head=True)
    assert 'export RAY_HEAD_IP="${RAYFLEET_ADDRESS:-10.0.0.1}"' in head


async def test_the_engine_of_a_remote_place_needs_nothing_of_ours_there(tmp_path: Path) -> None:
    engine = RayEngine(settings(tmp_path), remote=Remote())
    script = engine.start_script(GPU, head=False)
    assert script == start_script(settings(tmp_path), GPU, Remote(), head=False)
    assert script.argv[:2] == ("/bin/bash", "-lc")
    assert "rayfleet.engines" not in script.argv[2]
    await engine.close()
