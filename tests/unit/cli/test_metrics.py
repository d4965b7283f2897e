"""`metrics`: says where the figures are, in words and for programs; or why there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease
from rayfleet.launcher.home import Home

URL = "http://10.0.0.1:44217/metrics"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\n")
    home.write(home.metrics, json.dumps({"address": "10.0.0.1:44217"}))
    return home


def told(*words: str, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["metrics", *words], prog_name="rayfleet")
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_in_words_and_for_programs(home: Home) -> None:
    with lease.lease(home):
        assert told("one")[0] == (f"metrics of one: {URL}\n  the scrape configuration is written when the head is up\n")
        home.write(home.scrape, "scrape_configs: []\n")
        assert f"prometheus --config.file={home.scrape} --storage.tsdb.path=FOLDER" in told("one")[0]
        assert json.loads(told("one", "--json")[0]) == {"cluster": "one", "url": URL, "scrape": str(home.scrape)}


def test_a_controller_that_is_gone_offers_nothing(home: Home) -> None:
    home.write(home.controller, "{}")
    _, error = told("one", code=2)
    assert "nobody controls cluster one now" in error
