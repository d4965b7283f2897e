"""What is around every page: it says when what is shown is not new."""

import pytest
from nicegui import ui
from scripts.screenshots import Recorded
from starlette.requests import Request
from starlette.testclient import TestClient
from tests.unit.dashboard.asked import ask
from tests.unit.dashboard.conftest import NOW

from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.pages.frame import Frame
from rayfleet.dashboard.readings.shared import Readings
from rayfleet.dashboard.site import Site


async def cannot() -> None:
    raise KeyError("of another release")


async def can() -> None:
    return None


@pytest.fixture(scope="module")
def framed(client: TestClient, clusters: Recorded) -> TestClient:
    """Return the server with two more pages: one that cannot be brought up to date, one whose cluster has changed."""
    site = Site(clusters, Readings(lambda: NOW), now=lambda: NOW + 40.0)
    alpha = next(entry for entry in clusters.entries if entry.name == "alpha")

    @ui.page("/cannot")
    async def _(request: Request) -> None:
        await Frame(site, request, "cannot", entry=alpha).follow(cannot)

    @ui.page("/changed")
    async def _(request: Request) -> None:
        await Frame(site, request, "changed", entry=Entry("alpha", "down", alpha.history)).follow(can)

    @ui.page("/removed")
    async def _(request: Request) -> None:
        await Frame(site, request, "removed", entry=Entry("beta", "up", alpha.history)).follow(can)

    @ui.page("/failing")
    async def _() -> None:
        raise OSError("the folder <b> is gone")

    return client


def test_an_error_that_nobody_foresaw_is_said_on_the_page(framed: TestClient) -> None:
    text = ask(framed, "/cannot").text
    assert "This page cannot be brought up to date" in text
    assert "KeyError: 'of another release'" in text


@pytest.mark.parametrize(("path", "state"), [("/changed", "up"), ("/removed", "removed")])
def test_the_state_beside_the_name_is_that_of_now(framed: TestClient, path: str, state: str) -> None:
    assert f">{state}</span>" in ask(framed, path).markup


def test_a_controller_that_is_silent_stands_out(framed: TestClient) -> None:
    assert '<span class="down">40 s ago</span>' in ask(framed, "/changed").markup


def test_a_page_that_cannot_be_made_says_why_and_leads_back(framed: TestClient) -> None:
    answer = framed.get("/failing")
    assert (answer.status_code, "Something went wrong" in answer.text) == (500, True)
    assert "OSError: the folder &lt;b&gt; is gone" in answer.text
    assert 'href="/"' in answer.text
