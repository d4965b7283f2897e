"""Cluster files of the guides, and what rayfleet says where it needs a cloud or a later release. No cluster is here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.guides.catalogue import ENTRIES
from tests.guides.entries import Checks, Entry, Says
from tests.unit.config import guide_files
from typer.testing import CliRunner, Result

from rayfleet.cli.app import app
from rayfleet.testing.fake_receivers import WebhookServer

pytestmark = pytest.mark.guides

FILES = [entry for entry in ENTRIES if isinstance(entry.proof, Checks)]
TODAY = [entry for entry in ENTRIES if isinstance(entry.proof, Says)]


def name(entry: Entry) -> str:
    return entry.id


class Newcomer:
    """Somebody without any cluster. The command line runs in this process: there are too many rows for one each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def types(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), prog_name="rayfleet")

    def has(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text, encoding="utf-8")


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Newcomer:
    monkeypatch.setenv("HOME", str(tmp_path))  # without a key or an account of any cloud
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("RAYFLEET_CLUSTER", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))  # which does not exist: there is no Kubernetes
    monkeypatch.chdir(tmp_path)
    return Newcomer(tmp_path)


@pytest.mark.parametrize("entry", FILES, ids=name)
def test_file_passes_alone(entry: Entry, newcomer: Newcomer) -> None:
    assert isinstance(entry.proof, Checks)
    newcomer.has("cluster.yaml", entry.proof.file)
    answer = newcomer.types("config", "check", "cluster.yaml")
    assert (answer.exit_code, answer.stderr) == (0, "")
    part = " as a part of spec.autoscalerOptions of a RayCluster" if "autoscalerOptions" in answer.stdout else ""
    assert answer.stdout.splitlines()[-1].endswith(f"cluster.yaml is fine{part}")
    for note in entry.proof.notes:
        assert note in answer.stdout


@pytest.mark.parametrize("entry", TODAY, ids=name)
def test_today(entry: Entry, newcomer: Newcomer) -> None:
    assert isinstance(entry.proof, Says)
    for file, text in entry.proof.files.items():
        newcomer.has(file, text)
    answer = newcomer.types(*entry.proof.arguments)
    assert answer.exit_code == entry.proof.code, answer.output
    for word in entry.proof.words:
        assert word in answer.output
    assert "Traceback" not in answer.output
    kept = [path.name for path in (newcomer.folder / "state").rglob("*")]
    assert not {"remote.json", "ledger.sqlite", "cluster.yaml"} & set(kept), "nothing may be launched or count as up"


def test_the_webhook_of_the_guide_is_heard(newcomer: Newcomer) -> None:
    with WebhookServer() as slack:
        newcomer.has("cluster.yaml", guide_files.ALERTS.replace("https://hooks.slack.com/...", slack.address("/mine")))
        answer = newcomer.types("alerts", "test", "cluster.yaml")
    assert (answer.exit_code, answer.output) == (0, "ok    slack\n")
    (post,) = slack.posts
    assert post.path == "/mine"
    assert "test of alerts" in post.body["text"]
