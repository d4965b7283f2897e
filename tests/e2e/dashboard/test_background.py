"""The dashboard that `up` starts: one for all clusters, shown by a browser, gone by itself after the last cluster."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.cluster.fleet import Fleet, config

from rayfleet.cli import page as pages
from rayfleet.launcher import page as served
from rayfleet.providers.process import procfs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "watched"


class Shown(Fleet):
    """A shell in which dashboards are not switched off."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, pages.VARIABLE: "on"}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv(pages.VARIABLE, "on")
    fleet = Shown(tmp_path / "state", tmp_path)
    try:
        yield fleet
    finally:
        fleet("dashboard", "--stop")
        fleet("down", NAME)
        fleet.assert_nothing_is_left(NAME)


def note(fleet: Fleet) -> Any:
    return json.loads((fleet.state / "rayfleet" / "dashboard.json").read_text())


def test_up_starts_it_and_the_next_up_finds_it(fleet: Shown, page: Page) -> None:
    path = config(fleet.folder, NAME)
    assert "dashboard     http" not in fleet("up", path, "--no-dashboard").stdout
    assert served.there() is None

    said = fleet("up", path).stdout
    found = served.there()
    assert found is not None
    url = f"{found.url}c/{NAME}"
    assert f"  dashboard     {url}\n" in said
    page.goto(url)
    expect(page.get_by_role("status")).to_contain_text("All is well", timeout=60_000)

    assert json.loads(fleet("up", path, "--json").stdout)["page"] == url
    assert served.there() == found
    assert f"is at {url} in the background" in fleet("dashboard", NAME, "--no-open").stdout

    page.goto("about:blank")
    fleet("dashboard", "--stop")
    fleet.wait(lambda: not found.holder.alive)
    assert json.loads(fleet("up", path, "--json").stdout)["page"]
    assert served.there() != found


def test_it_ends_by_itself_after_the_last_cluster(fleet: Shown, page: Page) -> None:
    fleet("up", config(fleet.folder, NAME), "--no-dashboard")
    found = served.ensure(pages.opened, pages.command("--linger", "0.5"))  # as `up`, with less patience
    process = found.holder.process
    page.goto(found.url)
    expect(page.get_by_role("link", name=NAME)).to_be_visible()
    fleet("down", NAME)
    expect(page.get_by_role("link", name=NAME)).to_contain_text("down")
    assert procfs.is_alive(process)  # somebody looks
    page.goto("about:blank")
    assert os.waitpid(process.pid, 0)[1] == 0
    assert served.there() is None
    assert (fleet.state / "rayfleet" / "dashboard.log").read_text() == ""
