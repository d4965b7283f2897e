"""How a node's start is described, and the parts of starting that need no Ray."""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet.engines.ray import head_boot, node_main
from rayfleet.engines.ray.boot import start_script
from rayfleet.engines.ray.environment import client_environment
from rayfleet.engines.ray.head_traces import Traces
from rayfleet.engines.ray.settings import Ports, RaySettings, choose_ports, free_ports, is_free, new_settings
from rayfleet.model import FrozenMap, Market, Offer, Pool, Resources

POOL = Pool("cpu4", Resources.of({"CPU": 4, "gold": 2, "memory": 10**9}), FrozenMap({"zone": "a"}))


@pytest.fixture
def settings(tmp_path: Path) -> RaySettings:
    return RaySettings("demo", str(tmp_path / "demo"), "10.0.0.1", Ports(6379, 10001, 8265))


# ---- settings --------------------------------------------------------------------------------------------------------


def test_settings_survive_their_file_and_keep_their_token(settings: RaySettings) -> None:
    settings.save()
    token = settings.token()
    settings.save()
    assert RaySettings.load(Path(settings.folder)) == settings
    assert settings.token() == token
    assert len(token) == 64
    for file in Path(settings.folder).iterdir():
        assert file.stat().st_mode & 0o077 == 0, "the token is nobody else's"


def test_keys_of_a_newer_version_are_ignored(settings: RaySettings) -> None:
    settings.save()
    file = Path(settings.folder) / "ray.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"from_the_future": 1}))
    assert RaySettings.load(Path(settings.folder)) == settings


def test_ports_are_free_different_and_not_the_kernels(tmp_path: Path) -> None:
    found = free_ports(50)
    assert len(set(found)) == 50
    assert all(24000 <= port < 26000 for port in found)
    with socket.socket() as taken:
        taken.bind(("", 0))  # not one of those: they are as free for everybody else
        taken.listen()
        assert not is_free(taken.getsockname()[1])
    ports = choose_ports(preferred_default=False)
    assert not ports.default
    assert not {6379, 10001, 8265} & {ports.gcs_port, ports.client_port, ports.dashboard_port}
    assert new_settings("second", tmp_path, preferred_default=False).temp_dir == ""


def test_clients_find_everything_but_the_token_itself(settings: RaySettings) -> None:
    settings.save()
    environment = client_environment(settings)
    assert environment == {
        "RAY_ADDRESS": "10.0.0.1:6379",
        "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:8265",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(settings.token_path),
    }


# ---- the start script ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [True, False])
def test_the_script_is_pure_and_holds_no_token(settings: RaySettings, *, head: bool) -> None:
    settings.save()
    script = start_script(settings, POOL, head=head)
    assert script == start_script(settings, POOL, head=head)
    assert settings.token() not in json.dumps([list(script.argv), dict(script.env)])
    assert script.env["RAY_AUTH_TOKEN_PATH"] == str(settings.token_path)
    assert script.env["RAY_enable_autoscaler_v2"] == "1"
    assert int(script.env["RAY_max_resource_shapes_per_load_report"]) >= 5000
    assert int(script.env["RAY_gcs_pull_resource_loads_period_milliseconds"]) <= 100
    spec = json.loads(script.argv[-1])
    assert spec["resources"] == {"CPU": 4, "gold": 2, "memory": 10**9}
    assert spec["labels"] == {"ray.io/market-type": "on-demand", "ray.io/node-group": "cpu4", "zone": "a"}


def test_a_node_has_the_labels_that_all_offers_of_its_pool_agree_on(settings: RaySettings) -> None:
    offers = (Offer(market=Market.SPOT, zone="a"), Offer(market=Market.ON_DEMAND, zone="a"))
    script = start_script(settings, replace(POOL, offers=offers), head=False)
    labels = {"ray.io/availability-zone": "a", "ray.io/node-group": "cpu4", "zone": "a"}
    assert json.loads(script.argv[-1])["labels"] == labels


def test_only_a_heads_processes_fork_without_the_handlers_of_grpc(settings: RaySettings) -> None:
    """Ray's server for `ray://` forks for each client; the handlers kill the child now and then."""
    assert start_script(settings, POOL, head=True).env["GRPC_ENABLE_FORK_SUPPORT"] == "0"
    assert "GRPC_ENABLE_FORK_SUPPORT" not in start_script(settings, POOL, head=False).env


def test_a_worker_starts_without_the_packages_of_its_environment(settings: RaySettings) -> None:
    argv = start_script(settings, POOL, head=False).argv
    assert argv[1:3] == ("-I", "-S")
    assert Path(argv[3]).name == "node_main.py"


def test_arguments_of_a_head(settings: RaySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLEET_MACHINE_ID", "m1")
    spec = json.loads(start_script(settings, Pool("head", Resources.of({"CPU": 1.5, "gold": 2})), head=True).argv[-1])
    arguments = head_boot.start_arguments(spec, "/t", [1, 2, 3, 4])
    assert arguments[:3] == ["start", "--head", "--no-monitor"]
    for wanted in (
        "--num-cpus=2",
        "--num-gpus=0",
        '--resources={"gold": 2}',
        "--labels=ray.io/market-type=on-demand,ray.io/node-group=head",
        "--port=6379",
        "--dashboard-port=8265",
        "--ray-client-server-port=10001",
        "--include-dashboard=true",
        "--temp-dir=/t",
    ):
        assert wanted in arguments
    assert not any(argument.startswith("--memory") for argument in arguments), "Ray's default, as nothing was said"


def test_a_dead_heads_note_is_removed_and_a_strangers_kept(
    settings: RaySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYFLEET_MACHINE_DIR", str(tmp_path))
    spec = {"temp_dir": str(tmp_path / "t"), "host": "10.0.0.1", "gcs_port": 6379}
    note = tmp_path / "t" / "ray_current_cluster"
    head_boot.prepare_temp_dir(spec)
    note.write_text("10.0.0.1:6379")
    head_boot.prepare_temp_dir(spec)
    assert not note.exists()
    note.write_text("10.0.0.2:6379")
    head_boot.prepare_temp_dir(spec)
    assert note.exists()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Return a temporary directory that other Ray has used: one session, which is the latest."""
    (tmp_path / "session_1_99/logs").mkdir(parents=True)
    (tmp_path / "session_latest").symlink_to(tmp_path / "session_1_99")
    return tmp_path


def session(of: Path, name: str) -> Path:
    """Do as Ray does at the start of a head called `name`."""
    (of / name / "logs").mkdir(parents=True)
    (of / name / "logs" / "gcs_server.out").write_text("a\nthe port is taken\n")
    (of / "session_latest").unlink(missing_ok=True)
    (of / "session_latest").symlink_to(of / name)
    return of / name


def test_a_start_that_failed_takes_back_its_session_and_no_other(shared: Path) -> None:
    earlier = shared / f"session_1_{os.getpid()}"  # a process of the same number, long ago
    earlier.mkdir()
    traces = Traces.before(shared, shared / "gcs")
    ours = session(shared, f"session_2_{os.getpid()}")
    (shared / f"session_2_1{os.getpid()}").mkdir()  # somebody else starts at the same time
    (shared / f"session_3_{os.getpid()}").symlink_to(earlier)
    assert traces.own() == [ours]
    assert traces.last_words() == ["gcs_server.out: a", "gcs_server.out: the port is taken"]
    traces.take_back()
    assert sorted(path.name for path in shared.iterdir()) == sorted(
        [earlier.name, "session_1_99", f"session_2_1{os.getpid()}", f"session_3_{os.getpid()}", "session_latest"]
    )
    assert (shared / "session_latest").readlink() == shared / "session_1_99"


def test_a_start_that_made_nothing_takes_nothing_back(shared: Path) -> None:
    before = sorted(shared.rglob("*"))
    traces = Traces.before(shared, shared / "gcs")
    assert (traces.own(), traces.last_words()) == ([], [])
    traces.take_back()
    assert sorted(shared.rglob("*")) == before


def test_a_session_that_was_taken_up_is_ours_only_when_this_start_made_it_anew(shared: Path) -> None:
    """With tables that are kept the session has the name that its first start gave it."""
    (shared / "gcs").mkdir()
    (shared / "gcs/session_name").write_text("session_0_5")
    traces = Traces.before(shared, shared / "gcs")
    ours = session(shared, "session_0_5")
    assert traces.own() == [ours]
    assert Traces.before(shared, shared / "gcs").own() == []


def test_a_later_start_of_somebody_else_keeps_being_the_latest(shared: Path) -> None:
    traces = Traces.before(shared, shared / "gcs")
    session(shared, f"session_2_{os.getpid()}")
    theirs = session(shared, "session_3_7")
    traces.take_back()
    assert (shared / "session_latest").readlink() == theirs


def test_a_link_to_a_session_that_is_gone_is_not_put_back(shared: Path) -> None:
    traces = Traces.before(shared, shared / "gcs")
    session(shared, f"session_2_{os.getpid()}")
    shutil.rmtree(shared / "session_1_99")
    traces.take_back()
    assert not (shared / "session_latest").is_symlink()


# ---- on the machine --------------------------------------------------------------------------------------------------


def test_flags_of_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLEET_MACHINE_ID", "m1")
    spec = {"resources": {"CPU": 0.5, "gold": 2}, "labels": {"zone": "a"}, "object_store_bytes": 100}
    flags = node_main.node_flags(spec, "10.0.0.9", "/s")
    assert flags["--static_resource_list"] == "CPU,0.5,gold,2,object_store_memory,100,node:10.0.0.9,1.0"
    assert flags["--object_store_memory"] == "100"
    assert flags["--labels"] == '{"zone": "a"}'
    assert flags["--maximum_startup_concurrency"] == "1"
    assert flags["--node-name"] == "m1"
    own = {"resources": {"object_store_memory": 7}, "labels": {}, "object_store_bytes": 100}
    assert node_main.node_flags(own, "10.0.0.9", "/s")["--object_store_memory"] == "7"


def test_flags_replace_those_that_are_there_and_agents_yield() -> None:
    argv = ["/raylet", "--labels={}", "--x_agent_command=python a.py", "--other=1"]
    node_main.set_flags(argv, {"--labels": '{"a": "b"}', "--new": "2"})
    assert argv[1] == '--labels={"a": "b"}'
    assert argv[2].endswith("python a.py")
    assert argv[2].startswith("--x_agent_command=")
    assert argv[3:] == ["--other=1", "--new=2"]


def test_a_node_finds_itself_in_its_environment() -> None:
    own = {"RAYFLEET_MACHINE_ID": "m1", "PATH": "/bin", "LANG": "C"}
    found = node_main.node_environment({"pool": "cpu4", "python": "/venv/bin/python"}, own)
    assert found["RAY_CLOUD_INSTANCE_ID"] == "m1"
    assert found["RAY_NODE_TYPE_NAME"] == "cpu4"
    assert found["PATH"] == f"/venv/bin{os.pathsep}/bin"
    assert found["LANG"] == "C"


@pytest.mark.parametrize("name", ["x" * 90, "a b"])
def test_a_short_directory_stands_in_for_a_long_or_blank_one(tmp_path: Path, name: str) -> None:
    machine_dir = tmp_path / name
    machine_dir.mkdir()
    short = node_main.socket_safe(str(machine_dir), "session_1")
    assert len(short) < 30
    assert Path(short).stat().st_mode & 0o077 == 0
    assert node_main.socket_safe(str(machine_dir), "session_1") == short, "the same after a restart"
    node_main.remove_short_dir(str(machine_dir))
    assert not Path(short).exists()


def test_a_session_shares_the_heads_logs_on_its_machine_and_has_its_own_elsewhere(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    machines = [tmp_path / "m1", tmp_path / "m2"]
    for machine in machines:
        machine.mkdir()
    (tmp_path / "logs").mkdir()
    here = node_main.make_session_dir(str(machines[0]), {"session_name": "s", "logs_dir": str(logs)})
    away = node_main.make_session_dir(str(machines[1]), {"session_name": "s", "logs_dir": "/nowhere/logs"})
    base = Path(here)
    assert (base / "logs").resolve() == logs.resolve()
    assert (Path(away) / "logs" / "old").is_dir()
    node_main.remove_short_dir(str(machines[0]))
    node_main.remove_short_dir(str(machines[1]))


def test_what_is_reserved_is_nobody_elses_until_we_end() -> None:
    name = f"test-{os.getpid()}"
    assert node_main.reserve(name)
    assert not node_main.reserve(name)
    assert len({node_main.own_address() for _ in range(5)}) == 5


def test_ports_for_agents_are_not_given_twice_and_never_those_of_clusters() -> None:
    found = node_main.reserve_ports(40)
    assert len(set(found)) == 40
    assert all(20000 <= port < 32000 and not 23000 <= port < 26000 for port in found)


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (["/x/raylet", "--a"], "raylet"),
        (["/x/gcs_server"], "gcs_server"),
        (["/x/python", "-u", "/ray/log_monitor.py", "--b"], "log_monitor.py"),
        (["/x/python", "-m", "ray.util.client.server"], "python"),
    ],
)
def test_processes_of_a_head_are_named_by_their_command_line(argv: list[str], kind: str) -> None:
    assert node_main.kind_of(argv) == kind


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "raylet.out"
    assert node_main.last_lines(str(log)) == []
    log.write_text("x" * 20_000 + "\none\n\ntwo\n")
    assert node_main.last_lines(str(log))[-2:] == ["one", "two"]
