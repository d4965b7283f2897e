"""The page of metrics in a browser, beside a real cluster and Debian's Prometheus: before there is one, and then."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.cluster.fleet import Fleet, config
from tests.e2e.dashboard.conftest import chart, connected
from tests.e2e.metrics.watch import Prometheus, until, watching

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(400)]

NAME = "measured"
PROGRAM = """
import time
import ray
from ray.util.metrics import Counter, Gauge, Histogram

ray.init()
rows = Gauge("shown_rows", description="Rows of the test.")
done = Counter("shown_done", description="What is done.")
took = Histogram("shown_took_s", description="How long.", boundaries=[1.0, 2.0, 4.0])
while True:
    rows.set(42)
    done.inc(2)
    took.observe(1.5)
    time.sleep(0.2)
"""
SERIES = "The series over time"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("measured")
    fleet = Fleet(folder / "state", folder)
    try:
        fleet("up", config(folder, NAME))
        yield fleet
    finally:
        fleet("down", NAME)
        fleet.assert_nothing_is_left(NAME)


@pytest.fixture(scope="module")
def url(fleet: Fleet) -> Iterator[str]:
    with fleet.begun("dashboard", "--no-open", "--port", "0") as command:
        assert command.stdout is not None
        yield f"{command.stdout.readline().split()[4]}c/{NAME}/metrics"
        fleet.interrupted(command)


@pytest.fixture(scope="module")
def prometheus(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Yield a Prometheus that scrapes the cluster, and a program of it with metrics of its own."""
    scrape = fleet.home(NAME).scrape
    until(scrape.exists)
    quick = re.sub(r"(interval): 15s", r"\1: 1s", scrape.read_text())
    program = fleet.folder / "measuring.py"
    program.write_text(PROGRAM)
    with (
        watching(tmp_path_factory.mktemp("watch"), quick, "groups: []\n") as found,
        fleet.begun("run", "--", "python", program),
    ):
        until(lambda: found.values('ray_shown_took_s_count{RayClusterName="measured"}'))
        yield found


def test_before_there_is_a_prometheus_the_figures_of_now_are_there(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_text("no Prometheus is known for this cluster")).to_be_visible()
    expect(page.get_by_role("row", name="autoscaler_active_nodes NodeType=head")).to_contain_text("1")
    page.get_by_label("Search values now").fill("autoscaler_active")
    expect(page.get_by_role("row")).to_have_count(4)  # with that of the columns
    expect(page.get_by_role("alert")).to_have_count(0)


def test_series_of_ray_and_of_programs_are_drawn(page: Page, url: str, fleet: Fleet, prometheus: Prometheus) -> None:
    path = Path(config(fleet.folder, NAME))
    path.write_text(f"{path.read_text()}monitoring_config: {{prometheus: {{url: {prometheus.url}}}}}\n")
    page.goto(url)
    expect(page.get_by_text("no Prometheus is known for this cluster")).to_be_visible()
    fleet("up", path)
    chosen = page.get_by_role("combobox", name="Series")
    expect(chosen).to_be_visible(timeout=60_000)
    expect(page.get_by_text("no Prometheus is known")).to_have_count(0)
    connected(page)

    chosen.click()
    chosen.fill("shown_rows")  # by the keyboard alone from here on
    expect(page.get_by_role("option")).to_have_count(1)
    chosen.press("ArrowDown")
    chosen.press("Enter")
    page.wait_for_url(re.compile(r"series=ray_shown_rows&span=1"))
    until(lambda: drawn(page) == {42.0})

    page.goto(f"{url}?series=ray_shown_done_total&span=15 min")
    expect(page.get_by_text("How much it grows per second")).to_be_visible()
    until(lambda: any(5 < value < 15 for value in drawn(page)))

    page.goto(f"{url}?series=ray_shown_took_s&span=15 min")
    until(lambda: {line["name"] for line in lines(page)} == {"half are below", "90% are below", "99% are below"})
    until(lambda: all(1 <= value <= 2 for value in drawn(page)))
    page.get_by_role("button", name="6 h").click()
    page.wait_for_url(re.compile(r"span=6"))
    until(lambda: span_s(page) == 6 * 3600)


def test_a_prometheus_that_is_gone_is_told(page: Page, url: str, fleet: Fleet) -> None:
    path = Path(config(fleet.folder, NAME))
    path.write_text(f"{path.read_text()}monitoring_config: {{prometheus: {{url: 'http://127.0.0.1:9'}}}}\n")
    fleet("up", path)
    page.goto(url)
    expect(page.get_by_role("alert").filter(has_text="does not answer")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("row", name="autoscaler_active_nodes NodeType=head")).to_be_visible()


def lines(page: Page) -> list[dict[str, Any]]:
    shown = page.get_by_label(SERIES)
    return list(chart(page, SERIES)["series"]) if shown.count() and shown.is_visible() else []


def drawn(page: Page) -> set[float]:
    return {value for line in lines(page) for _, value in line["data"] if value is not None}


def span_s(page: Page) -> float:
    (axis,) = chart(page, SERIES)["xAxis"]
    return float(axis["max"] - axis["min"]) / 1000
