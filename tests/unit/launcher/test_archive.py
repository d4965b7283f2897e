"""What is kept of a cluster can be read where it is kept, is whole, and holds no secret."""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.contracts import Login
from rayfleet.contracts.state import NodeState
from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.launcher import archive as archives
from rayfleet.launcher import home as homes
from rayfleet.launcher import node_logs
from rayfleet.launcher.errors import LauncherError, NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.looking import Opening
from rayfleet.launcher.remote import where
from rayfleet.launcher.remote.where import Where
from rayfleet.model import Plan, Policy, Snapshot, TickReport
from rayfleet.reports.history import History, HistoryReader
from rayfleet.testing.fake_state import FakeState

S3Client = Any
"""boto3 makes its classes as it runs."""
CONFIG = """
cluster_name: one
provider: {type: process}
setup_commands: ["export DB_PASSWORD=s3cr3t", "curl -H 'Authorization: Bearer s3cr3t' https://me:s3cr3t@h"]
docker: {image: x, container_name: x, run_options: ["-e HF_TOKEN=s3cr3t"]}
monitoring_config: {alerting: {slack_webhook: "https://hooks.slack.com/services/s3cr3t"}}
"""
NOW = 1_763_890_860.0  # 2025-11-23 09:41 UTC


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = homes.create("one")
    home.write(home.config, CONFIG)
    (home.logs / "controller.log").write_text("a line\n", encoding="utf-8")
    (home.logs / "controller.log.1").write_text("an older line\n", encoding="utf-8")
    (home.path / "ray-token").write_text("t0k3n", encoding="utf-8")
    return home


async def test_the_record_is_copied_while_it_is_written_to(home: Home, tmp_path: Path) -> None:
    history = History(home.history)
    for tick in range(1, 4):
        await history.write(TickReport(tick, "one", Snapshot(100.0 + tick, Policy(max_workers=tick)), Plan()))
    kept = archives.archive(home, str(tmp_path / "kept"), NOW)  # the last pages are in its write-ahead log
    await history.write(TickReport(4, "one", Snapshot(105.0, Policy()), Plan()))
    await history.close()
    assert kept.at == str(tmp_path / "kept" / "one" / "20251123T094100Z")
    assert sorted(kept.files) == [
        "config.json", "history.sqlite", "logs/controller.log", "logs/controller.log.1", "manifest.json", "status.json",
    ]  # fmt: skip
    folder = Path(kept.at)
    reader = HistoryReader(folder / "history.sqlite")
    assert [row.tick for row in reader.ticks()] == [1, 2, 3]
    assert (folder / "logs" / "controller.log").read_text(encoding="utf-8") == "a line\n"


async def test_it_says_what_it_holds_and_holds_no_secret(home: Home, tmp_path: Path) -> None:
    history = History(home.history)
    await history.write(TickReport(1, "one", Snapshot(100.0, Policy()), Plan()))
    await history.close()
    folder = Path(archives.archive(home, str(tmp_path / "kept"), NOW).at)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["format"], manifest["cluster"], manifest["at"]) == (1, "one", NOW)
    for name, row in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert (row["bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert b"s3cr3t" not in content
        assert b"t0k3n" not in content
        assert (folder / name).stat().st_mode & 0o077 == 0
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["monitoring"]["alerting"]["receivers"] == ["slack"]
    assert config["bootstrap"]["docker"]["run_options"] == ["-e HF_TOKEN=..."]


def test_without_a_record_the_logs_are_kept(home: Home, tmp_path: Path) -> None:
    home.write(home.config, "of: another\nrelease: ?\n")
    kept = archives.archive(home, str(tmp_path / "kept"), NOW)
    assert sorted(kept.files) == ["logs/controller.log", "logs/controller.log.1", "manifest.json"]


def test_nothing_to_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(NotRunning, match="has recorded nothing yet"):
        archives.archive(homes.create("new"), str(tmp_path / "kept"), NOW)


def test_a_folder_that_cannot_be_written(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LauncherError, match="cannot be written"):
        archives.archive(home, str(tmp_path / "file"), NOW)


def test_what_is_not_whole_has_no_manifest(home: Home, tmp_path: Path) -> None:
    there = tmp_path / "kept" / "one" / "20251123T094100Z"
    there.mkdir(parents=True)
    (there / "logs").write_text("in the way", encoding="utf-8")
    with pytest.raises(LauncherError, match="cannot be written"):
        archives.archive(home, str(tmp_path / "kept"), NOW)
    assert sorted(path.name for path in there.iterdir()) == ["config.json", "logs"]


# ---- Ray's nodes -----------------------------------------------------------------------------------------------------


NODES = {
    "aa": {"raylet.out": ["one", "two"], "gcs_server.out": ["head"]},
    "bb": {
        "raylet.out": [f"line {number}" for number in range(node_logs.LINES + 1)],
        "../../.bashrc": ["no"],
        "old/": ["no"],
    },
    "dd": {"old/worker.err": ["x" * 100]},
}


def ray(**changed: Any) -> FakeState:
    """Return a cluster of a head bb and two workers, one of them dead and one that does not answer."""
    states = {"aa": "ALIVE", "bb": "ALIVE", "cc": "ALIVE", "dd": "ALIVE", "ee": "DEAD"}
    rows = [NodeState(name, is_head_node=name == "bb", state=state) for name, state in states.items()]
    return FakeState(node_rows=rows, logs=NODES, **changed)


def kept_of(home: Home, to: Path, state: FakeState, mib: int = 1) -> archives.Archived:
    RaySettings(home.name, str(home.path), "127.0.0.1", Ports(1, 2, 3)).save()
    return archives.archive(home, str(to), NOW, mib, Opening(lambda _settings: state))


def test_what_nodes_have_written_is_kept_from_its_end_the_heads_first(home: Home, tmp_path: Path) -> None:
    state = ray()
    kept = kept_of(home, tmp_path / "kept", state)
    names = sorted(name for name in kept.files if name.startswith("nodes/"))
    assert names == [
        "nodes/aa/gcs_server.out", "nodes/aa/raylet.out", "nodes/bb/raylet.out", "nodes/dd/old/worker.err",
    ]  # fmt: skip
    nodes = Path(kept.at) / "nodes"
    assert (nodes / "aa" / "raylet.out").read_text(encoding="utf-8") == "one\ntwo\n"
    lines = (nodes / "bb" / "raylet.out").read_text(encoding="utf-8").splitlines()
    assert (len(lines), lines[0], lines[-1]) == (node_logs.LINES, "line 1", f"line {node_logs.LINES}")
    assert [(each.what, each.why) for each in kept.missing] == [
        ("bb/raylet.out", "only its end is kept"), ("cc", "no node cc"),
    ]  # fmt: skip
    manifest = json.loads((Path(kept.at) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["missing"] == kept.as_json()["missing"]
    assert {*names} <= manifest["files"].keys()
    assert state.closed


def test_it_ends_where_the_size_is_reached(tmp_path: Path) -> None:
    missing = asyncio.run(node_logs.gather(ray(), tmp_path, 100))
    (head,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert head.relative_to(tmp_path) == Path("bb/raylet.out")
    assert head.read_bytes().endswith(f"\nline {node_logs.LINES}\n".encode())
    assert head.stat().st_size == 100
    assert {each.what: each.why for each in missing}["aa/raylet.out"] == "the size of 100 bytes is reached"


def test_a_cluster_that_is_down_has_no_nodes_and_the_rest_is_kept(home: Home, tmp_path: Path) -> None:
    kept = kept_of(home, tmp_path / "kept", ray(down="Ray does not answer"))
    assert [(each.what, each.why) for each in kept.missing] == [("nodes", "Ray does not answer")]
    home.settings.unlink()
    kept = archives.archive(home, str(tmp_path / "kept"), NOW, 1)
    assert [(each.what, each.why) for each in kept.missing] == [("nodes", "cluster one is down")]
    assert "logs/controller.log" in kept.files


def test_unless_it_is_asked_for_nobody_looks(home: Home, tmp_path: Path) -> None:
    state = ray()
    assert kept_of(home, tmp_path / "kept", state, 0).missing == ()
    assert state.calls == []


# ---- buckets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """Return a client of a place on this machine that speaks S3, with a bucket `kept`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    client = boto3.client("s3")
    client.create_bucket(Bucket="kept")
    yield client
    server.stop()


def test_a_bucket(home: Home, bucket: S3Client) -> None:
    kept = archives.archive(home, "s3://kept/rayfleet/", NOW)
    assert kept.at == "s3://kept/rayfleet/one/20251123T094100Z"
    rows = bucket.list_objects_v2(Bucket="kept")["Contents"]
    names = {row["Key"].removeprefix("rayfleet/one/20251123T094100Z/"): row["Size"] for row in rows}
    assert names == kept.files
    log = bucket.get_object(Bucket="kept", Key="rayfleet/one/20251123T094100Z/logs/controller.log")
    assert log["Body"].read() == b"a line\n"


def test_a_bucket_that_is_not_there(home: Home, bucket: S3Client) -> None:
    with pytest.raises(LauncherError, match=r"the bucket gone cannot be written: .*NoSuchBucket") as error:
        archives.archive(home, "s3://gone", NOW)
    assert "AWS_ENDPOINT_URL_S3" in error.value.hint
    with pytest.raises(LauncherError, match="names no bucket"):
        archives.archive(home, "s3://", NOW)


# ---- elsewhere -------------------------------------------------------------------------------------------------------

SSH = """#!/bin/sh
echo "ssh $*" >> "$TOLD"
case "$*" in *" archive "*) cat "$ANSWER";; esac
"""
RSYNC = """#!/bin/sh
for to; do :; done
echo "rsync" >> "$TOLD"
echo kept > "$to/manifest.json"
"""


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a cluster elsewhere; `ssh` and `rsync` are programs that note what they are told."""
    (tmp_path / "bin").mkdir()
    for name, text in (("ssh", SSH), ("rsync", RSYNC)):
        (tmp_path / "bin" / name).write_text(text, encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.setenv("ANSWER", str(tmp_path / "answer"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = homes.create("far")
    home.write(home.config, CONFIG)
    where.save(home, Where("local", "m1", "10.0.0.1", login=Login("me")))
    return home


def answers(folder: Path, at: str) -> None:
    told = {"cluster": "far", "at": at, "bytes": 5, "files": {"manifest.json": 5}}
    (folder / "answer").write_text(json.dumps(told), encoding="utf-8")


def test_the_head_of_a_cluster_elsewhere_keeps_it_and_it_is_fetched(far: Home, tmp_path: Path) -> None:
    answers(tmp_path, f".rayfleet/.archive/{int(NOW)}/far/STAMP")
    kept = archives.from_head(far, str(tmp_path / "kept"), NOW)
    assert kept.at == str(tmp_path / "kept" / "far" / "STAMP")
    assert (Path(kept.at) / "manifest.json").read_text(encoding="utf-8") == "kept\n"
    told = (tmp_path / "told").read_text(encoding="utf-8")
    first, _, last = told.partition("\nrsync\n")
    assert " archive far --to " in first
    assert "rm -rf" in last


def test_to_a_bucket_it_goes_from_the_head_itself(far: Home, tmp_path: Path) -> None:
    answers(tmp_path, "s3://kept/far/STAMP")
    assert archives.from_head(far, "s3://kept", NOW).at == "s3://kept/far/STAMP"
    (told,) = (tmp_path / "told").read_text(encoding="utf-8").splitlines()
    assert "archive far --to s3://kept --json" in told


def test_a_head_that_does_not_get_done_is_not_waited_for(far: Home, tmp_path: Path) -> None:
    slow = SSH.replace('cat "$ANSWER"', "exec sleep 60")
    (tmp_path / "bin" / "ssh").write_text(slow, encoding="utf-8")
    with pytest.raises(LauncherError, match=r"head of far was not done within 1 s") as error:
        archives.from_head(far, str(tmp_path / "kept"), NOW, within_s=1)
    assert "--timeout SECONDS" in error.value.hint
    assert "rm -rf" in (tmp_path / "told").read_text(encoding="utf-8"), "nothing is left there"


def test_a_way_back_that_does_not_end_is_given_up(far: Home, tmp_path: Path) -> None:
    answers(tmp_path, f".rayfleet/.archive/{int(NOW)}/far/STAMP")
    (tmp_path / "bin" / "rsync").write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    with pytest.raises(LauncherError, match=r"could not be fetched: rsync was not done within 1 s"):
        archives.from_head(far, str(tmp_path / "kept"), NOW, within_s=1)


def test_how_long_it_may_take_is_said_where_one_looks() -> None:
    told = CliRunner().invoke(app, ["archive", "--help"], terminal_width=120).stdout
    assert "--timeout" in told
    assert f"{archives.WITHIN_S:.0f} seconds" in told


def test_its_nodes_logs_are_asked_for_there(far: Home, tmp_path: Path) -> None:
    told = {"cluster": "far", "at": "s3://kept/far/STAMP", "files": {}, "missing": [{"what": "cc", "why": "gone"}]}
    (tmp_path / "answer").write_text(json.dumps(told), encoding="utf-8")
    assert archives.from_head(far, "s3://kept", NOW, 500).missing == (node_logs.Missing("cc", "gone"),)
    assert "--to s3://kept --node-logs 500 --json" in (tmp_path / "told").read_text(encoding="utf-8")
