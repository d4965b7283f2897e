"""Every page in a real browser, from the record of 1,000 nodes and 100,000 events."""

import asyncio
import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from scripts.screenshots import NOW, PHONE, Recorded, inside, serving
from tests.e2e.dashboard.conftest import chart, connected

from rayfleet.dashboard.clusters import Entry
from rayfleet.reports.event_search import EventQuery
from rayfleet.reports.history import HistoryReader
from rayfleet.testing.big_record import Size, write_big_record
from rayfleet.testing.fake_jobs import FakeJobs
from rayfleet.testing.fake_state import FakeState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

INSIDE = ("jobs", "actors", "tasks", "groups", "memory", "logs")
PAGES = (
    "/", "/c/big", "/c/big/autoscaler", "/c/big/nodes", "/c/big/events", "/c/big/nodes/head",
    *(f"/c/big/{name}" for name in INSIDE), "/c/big/metrics", "/c/big/jobs/raysubmit_kT3wQvUe9XJm2ZpA",
)  # fmt: skip


UNFORESEEN = "the ledger is <b>locked</b>"


class Ordered(Recorded):
    """Clusters, of which one order fails as nobody has foreseen."""

    async def drain(self, cluster: str, node: str, why: str) -> str:
        if why == UNFORESEEN:
            raise OSError(why)
        return await super().drain(cluster, node, why)


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    record = tmp_path_factory.mktemp("big") / "history.sqlite"
    writer = threading.Thread(target=lambda: asyncio.run(write_big_record(record, NOW)))
    writer.start()
    writer.join()
    assert len(HistoryReader(record).search(EventQuery(limit=200_000))) >= 99_000
    return Ordered(
        [
            Entry("big", "up", record),
            Entry("fresh", "up", record.with_name("fresh")),
            Entry("gone", "down", record.with_name("none")),
        ],
        rays={"big": inside(NOW)},
    )


@pytest.fixture(scope="module")
def url(clusters: Recorded) -> Iterator[str]:
    with serving(clusters, NOW + 1) as address:
        yield address


def test_from_all_clusters_into_one_and_through_its_pages(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name=re.compile("big")).click()
    expect(page.get_by_role("status")).to_contain_text("no pool takes them now")
    for name in ("Autoscaler", "Nodes", "Events", "Jobs", "Actors", "Tasks", "Placement groups", "Memory", "Logs"):
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(page.get_by_role("navigation").get_by_role("link", name=name)).to_have_attribute("aria-current", "page")


def test_the_timeline_is_drawn_and_follows_its_tools(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big")
    name = "Demand, capacity and nodes over time"
    expect(page.locator(f'[aria-label="{name}"] canvas')).to_be_visible()
    connected(page)
    before = chart(page, name)
    assert {series["name"]: bool(series["data"]) for series in before["series"]}["Launches"]
    page.get_by_role("button", name="15 min").click()
    page.wait_for_function(_span_is(name), arg=15 * 60_000)
    page.get_by_label("Resource", exact=True).click()
    page.get_by_role("option", name="GPU").click()
    page.wait_for_function(f"() => {_options(name)}.yAxis.some(axis => axis.name === 'GPU')")


def _options(name: str) -> str:
    return f"getElement(document.querySelector('[aria-label=\"{name}\"]').id.slice(1)).chart.getOption()"


def _span_is(name: str) -> str:
    return f"span => {{ const axis = {_options(name)}.xAxis[0]; return Math.abs(axis.max - axis.min - span) < 1000; }}"


def test_a_thousand_nodes_can_be_searched_and_sorted(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big/nodes")
    expect(page.get_by_text("1,000 nodes")).to_be_visible()
    rows = page.locator("table.q-table tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_label("Search nodes").fill("gpu8")
    expect(rows.first).to_contain_text("gpu8")
    page.get_by_label("Search nodes").fill("")
    page.locator("th", has_text="CPU").first.click()
    page.locator("th", has_text="CPU").first.click()
    expect(rows.first).to_contain_text("88%")
    expect(page.locator('[aria-label="Lives of nodes over time"] canvas')).to_be_visible()


def test_tables_are_sorted_by_keys_too_and_keep_the_focus(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big/nodes")
    connected(page)
    head, rows = page.get_by_role("columnheader", name="CPU"), page.locator("table.q-table tbody tr")
    expect(head).to_have_attribute("aria-sort", "none")
    head.focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.keyboard.press("Space")
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(rows.first).to_contain_text("88%")
    link = rows.first.get_by_role("link")
    link.focus()
    # What draws the rows anew, as each change of the cluster does.
    page.evaluate("() => getElement(document.querySelector('.q-table__container').id.slice(1)).$forceUpdate()")
    page.wait_for_timeout(300)
    expect(link).to_be_focused()


def test_events_are_found_among_all_of_them(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big/events")
    rows = page.locator("table.q-table tbody tr")
    expect(rows).to_have_count(100)
    page.get_by_label("Search events").fill("InsufficientInstanceCapacity")
    expect(rows.first).to_contain_text("failed")
    page.get_by_label("Search events").fill("m1 joined")
    expect(rows.first).to_contain_text("joined")
    page.get_by_label("Search events").fill("<img src=x onerror=alert(1)>")
    expect(page.get_by_text("Nothing that fits has happened.")).to_be_visible()
    page.get_by_label("Search events").fill("")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Older").click()
    expect(rows).to_have_count(200)


def test_what_if_plans_and_says_what_would_be_else(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big/autoscaler")
    page.get_by_label("Limit to change").fill("max_workers")
    page.get_by_role("option", name="max_workers", exact=True).click()
    page.get_by_label("Value").fill("1500")
    page.get_by_role("button", name="Plan").click()
    expect(page.get_by_text("max_workers = 1500")).to_be_visible()
    expect(page.get_by_text("USD per hour afterwards")).to_be_visible()
    page.get_by_label("Value").fill("plenty")
    page.get_by_label("Value").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("max_workers = plenty cannot be")


def test_why_it_waits_opens_and_stays_open(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big/autoscaler")
    page.get_by_text("2 x {CPU: 256}").click()
    answer = page.get_by_text("has 96 CPU, 256 are needed")
    expect(answer).to_be_visible()
    page.wait_for_timeout(2500)  # two looks of the page later
    expect(answer).to_be_visible()


def test_a_node_is_drained_only_when_that_is_meant(page: Page, url: str, clusters: Recorded) -> None:
    page.goto(f"{url}/c/big/nodes/head")
    expect(page.get_by_role("heading", name="head")).to_be_visible()
    expect(page.get_by_role("button", name="Drain ...")).to_be_hidden()
    page.goto(f"{url}/c/big/nodes")
    page.get_by_label("Search nodes").fill("in use")
    expect(page.locator("table.q-table tbody tr", has_text="draining")).to_have_count(0)
    page.locator("table.q-table tbody tr a").nth(3).click()
    page.wait_for_url(re.compile("/nodes/m"))
    name = page.url.rsplit("/", 1)[1]
    page.get_by_role("button", name="Drain ...").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("dialog", name="Drain")).to_be_hidden()
    assert clusters.orders == []
    page.get_by_role("button", name="Drain ...").click()
    page.get_by_label("Reason, for the history").fill("a broken disk")
    page.get_by_role("button", name=f"Drain {name}").click()
    expect(page.get_by_text(f"{name} is to leave")).to_be_visible()
    assert clusters.orders == [("big", name, "a broken disk")]


def test_an_order_that_fails_is_not_met_with_silence(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big/nodes")
    page.get_by_label("Search nodes").fill("in use")
    expect(page.locator("table.q-table tbody tr", has_text="draining")).to_have_count(0)
    page.locator("table.q-table tbody tr a").nth(3).click()
    page.get_by_role("button", name="Drain ...").click()
    page.get_by_label("Reason, for the history").fill(UNFORESEEN)
    page.get_by_role("button", name=re.compile("Drain m")).click()
    expect(page.get_by_text(f"That failed: OSError: {UNFORESEEN}")).to_be_visible()


def test_a_job_is_submitted_followed_and_stopped(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big/jobs")
    page.get_by_label("Command").fill("python new.py")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/c/big/jobs/raysubmit_"))
    expect(page.get_by_role("log")).to_contain_text("this is what python new.py prints")
    page.get_by_role("button", name="Stop ...").click()
    page.get_by_role("button", name="Let it run").click()
    expect(page.get_by_role("dialog", name="Stop")).to_be_hidden()
    page.get_by_role("button", name="Stop ...").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("STOPPED", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Stop ...")).to_be_hidden()


def test_a_job_has_the_runtime_environment_that_was_typed(page: Page, url: str, clusters: Recorded) -> None:
    page.goto(f"{url}/c/big/jobs")
    connected(page)
    page.get_by_label("Command").fill("python typed.py")
    page.get_by_text("Runtime environment").click()
    page.get_by_label("As JSON").fill('{"pip": ["requests",]}')
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("The runtime environment is no JSON")).to_be_visible()
    page.get_by_label("As JSON").fill('{"pip": ["requests"], "env_vars": {"A": "b"}}')
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/c/big/jobs/raysubmit_"))
    jobs = clusters.rays["big"].jobs
    assert isinstance(jobs, FakeJobs)
    assert jobs.environments[page.url.rpartition("/")[2]] == {"pip": ["requests"], "env_vars": {"A": "b"}}


def test_an_empty_command_is_no_job(page: Page, url: str, clusters: Recorded) -> None:
    before = [*_state(clusters).job_rows]
    page.goto(f"{url}/c/big/jobs")
    connected(page)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Write the command that is to run")).to_be_visible()
    assert _state(clusters).job_rows == before


def _state(clusters: Recorded) -> FakeState:
    state = clusters.rays["big"].state
    assert isinstance(state, FakeState)
    return state


def test_a_log_of_a_node_is_found_searched_and_passed_on_by_its_address(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big/logs")
    page.get_by_label("Node", exact=True).fill("m3")
    page.get_by_role("option", name=re.compile("m3")).click()
    page.get_by_label("File", exact=True).fill("worker")
    page.get_by_role("option", name="worker-2101-02000000.out").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("tokenize: shard 399 done")
    page.get_by_label("Search this log").fill("SHARD 17 done")
    expect(log).to_have_text("tokenize: shard 17 done, 917 kB")
    page.get_by_label("Search this log").fill("nothing of that kind")
    expect(page.get_by_text("None of its 400 lines has that.")).to_be_visible()
    page.reload()
    expect(log).to_contain_text("tokenize: shard 399 done")


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_shows_a_page_without_scrolling_sideways(page: Page, url: str, path: str) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(url + path)
    page.wait_for_timeout(1000)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_theme_is_chosen_and_kept(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big")
    connected(page)
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("body.body--dark")).to_be_visible()
    page.reload()
    expect(page.locator("body.body--dark")).to_be_visible()


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big")
    connected(page)
    seen = []
    for _ in range(20):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(_FOCUSED))
    names = [name for name, _ in seen]
    assert names[0] == "Skip to the content"
    assert {"rayfleet", "Autoscaler", "Nodes", "Events", "1 h"} <= set(names)
    assert [name for name, visible in seen if not visible] == []


_FOCUSED = """() => { const e = document.activeElement, s = getComputedStyle(e);
 const field = e.closest('.q-field--focused');
 const visible = s.outlineStyle !== 'none' || s.boxShadow !== 'none' || field !== null;
 return [(e.innerText || e.getAttribute('aria-label') || '').trim(), visible]; }"""


def test_the_link_past_the_header_leads_to_the_content(page: Page, url: str) -> None:
    page.goto(f"{url}/c/big")
    connected(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#main') !== null && location.hash") == "#main"


def test_a_cluster_without_a_record_has_a_page_all_the_same(page: Page, url: str) -> None:
    page.goto(f"{url}/c/gone")
    expect(page.get_by_text("Nothing recorded yet")).to_be_visible()


def test_what_comes_is_shown_without_a_reload(page: Page, url: str, clusters: Recorded) -> None:
    record = next(entry.history for entry in clusters.entries if entry.name == "fresh")
    assert record is not None
    page.goto(f"{url}/c/fresh")
    expect(page.get_by_text("Nothing recorded yet")).to_be_visible()
    # The browser's driver has a loop in this thread.
    writer = threading.Thread(target=lambda: asyncio.run(write_big_record(record, NOW, Size(20, 6, changes=4))))
    writer.start()
    writer.join()
    expect(page.get_by_text("Nodes ready", exact=True)).to_be_visible()
    assert page.get_by_text("Nothing recorded yet").count() == 0
