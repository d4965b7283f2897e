"""A controller offers its figures while it works; a port that is taken costs it a line in the log and nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import asdict
from pathlib import Path
from urllib.request import urlopen

import pytest
from ruamel.yaml import YAML
from structlog.testing import capture_logs

from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.metrics import offered, scrape_text, where
from rayfleet.reports.metrics.sink import About, Metrics
from rayfleet.wiring import Exporter

METRICS = Metrics(About("one", "default", "process", "1"), lambda: "session_1")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    settings = RaySettings("one", str(home.path), "127.0.0.1", Ports(1, 2, 3))
    home.write(home.settings, json.dumps(asdict(settings)))
    return home


def head_up(home: Home, session: str) -> None:
    (home.path / "head.json").write_text(json.dumps({"session_dir": session}))


async def test_figures_are_there_while_the_controller_works_and_ray_is_told_where(home: Home) -> None:
    told: list[str] = []
    with lease.lease(home):
        async with offered(home, Exporter(METRICS, None, told.append)):
            found = where(home)
            with await asyncio.to_thread(urlopen, found.url) as answer:
                assert b"rayfleet_info{" in answer.read()
            assert told == [found.url.removeprefix("http://").removesuffix("/metrics")]
        assert not home.metrics.exists()


async def test_a_taken_port_is_told_and_stops_nothing(home: Home) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        worked, told = False, list[str]()
        with capture_logs() as lines:
            async with offered(home, Exporter(METRICS, port, told.append)):
                worked = True
    assert worked
    assert told == []
    (line,) = lines
    assert line["error"] == f"metrics cannot be offered at 127.0.0.1:{port}: somebody else listens there"
    assert not home.metrics.exists()


async def test_a_file_that_wants_none_gets_none(home: Home) -> None:
    async with offered(home, None):
        assert not home.metrics.exists()


async def test_where_a_controller_that_was_killed_offered_them_is_forgotten(home: Home) -> None:
    home.write(home.metrics, json.dumps({"address": "127.0.0.1:1"}))
    async with offered(home, None):
        with lease.lease(home), pytest.raises(LauncherError, match="offers no metrics"):
            where(home)


async def test_the_scrape_configuration_is_written_when_a_head_is_up(home: Home) -> None:
    head_up(home, "/tmp/ray/session_1")
    async with offered(home, Exporter(METRICS, None, list[str]().append)):
        await asyncio.sleep(0)  # lets the task that writes it begin
        assert home.scrape.read_text() == scrape_text(home, "default")
    assert home.scrape.exists()  # Ray's own nodes are found by it, and us again when we are back


def test_what_is_scraped_is_ray_s_own_list_with_the_labels_of_the_cluster(home: Home) -> None:
    assert scrape_text(home, "default") == ""  # no head so far
    head_up(home, "/tmp/ray/session_1")
    config = YAML(typ="safe").load(scrape_text(home, "default"))
    (job,) = config["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == ["/tmp/ray/prom_metrics_service_discovery.json"]
    assert job["honor_labels"]
    labels = {rule["target_label"]: rule["replacement"] for rule in job["relabel_configs"]}
    assert labels == {"Namespace": "default", "RayClusterName": "one"}
    head_up(home, "/elsewhere/session_2")
    assert "/elsewhere/prom_metrics_service_discovery.json" in scrape_text(home, "default")


def test_without_controller_or_without_figures_one_is_told_what_to_do(home: Home) -> None:
    with pytest.raises(LauncherError, match="nobody controls cluster one now"):
        where(home)
    with lease.lease(home), pytest.raises(LauncherError, match="offers no metrics"):
        where(home)


def test_a_cluster_that_is_down_offers_nothing(home: Home) -> None:
    for path in (home.metrics, home.scrape):
        path.write_text("{}")
    home.forget_ray()
    assert not home.metrics.exists()
    assert not home.scrape.exists()
