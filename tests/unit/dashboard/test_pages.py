"""Every page, over HTTP, from records: what it says, and what it says when there is nothing to say."""

import html

import pytest
from starlette.testclient import TestClient
from tests.unit.dashboard.asked import ask

from rayfleet.testing.big_record import Size

CONTROLS = {"q-btn", "q-btn-toggle", "nicegui-input", "nicegui-select", "nicegui-echart"}
PAGES = ("", "/autoscaler", "/nodes", "/events")
INSIDE = ("/jobs", "/actors", "/tasks", "/groups", "/memory", "/logs")


def test_all_clusters_are_on_one_page_those_that_need_somebody_first(client: TestClient) -> None:
    page = ask(client, "/")
    places = [page.markup.index(f'href="/c/{name}"') for name in ("broken", "dead", "alpha", "empty")]
    assert places == sorted(places)
    assert "5 up, 75 nodes ready" in page.text  # those without a controller have theirs as ever
    assert "Its controller is gone" in page.text


def test_a_damaged_record_is_said_on_its_card(client: TestClient) -> None:
    assert "Its record cannot be read" in ask(client, "/").text


def test_what_a_cluster_is_called_is_text(client: TestClient) -> None:
    page = ask(client, "/")
    assert "far &lt;b&gt;" in page.markup
    assert "<b>" not in page.markup.split('href="/c/far')[1].split("</a>")[0]


def test_overview_says_how_it_is_what_waits_and_what_it_costs(client: TestClient) -> None:
    text = ask(client, "/c/alpha").text
    for said in ("11 pieces of work wait", "8 starting, 7 leaving", "59% less than on-demand", "cpu16"):
        assert said in text
    assert "2 x {CPU: 256}" in " ".join(text.split())
    assert "no pool can ever hold {CPU: 256}" in text
    assert "has a place on nodes that are there or on their way" in text


def test_the_chart_has_demand_capacity_nodes_and_marks(client: TestClient) -> None:
    (chart,) = ask(client, "/c/alpha").charts()
    drawn = {series["name"]: series["data"] for series in chart["series"]}
    assert set(drawn) == {
        "Needed", "Capacity", "Coming", "Ready", "Starting", "Leaving",
        "Launches", "Drains and releases", "Out of stock", "Interruptions and failures",
    }  # fmt: skip
    assert [name for name, data in drawn.items() if not data] == []
    assert any("InsufficientInstanceCapacity" in reason for mark in drawn["Out of stock"] for reason in mark["reasons"])


def test_autoscaler_says_every_pools_answer(client: TestClient) -> None:
    text = " ".join(ask(client, "/c/alpha/autoscaler").text.split())
    for said in (
        "scale mem8 40 ada the nightly run needs room",
        "not for 1 min 14 s after OutOfStock: InsufficientInstanceCapacity, 4 times in a row",
        "gpu8 is at its maximum of 24",
        "9 without a place: backs off for 74 s more after OutOfStock",
        "has 96 CPU, 256 are needed",
    ):
        assert said in text


def test_nodes_are_a_table_and_a_chart_of_lives(client: TestClient) -> None:
    page = ask(client, "/c/alpha/nodes")
    rows = page.rows()
    assert len(rows) == Size(nodes=40).nodes
    assert rows[0]["id"] == "head"
    assert {row["health"] for row in rows} >= {"in use", "draining", "asked for"}
    (chart,) = page.charts()
    assert {series["name"] for series in chart["series"] if series["data"]} >= {"Ready", "Draining"}
    colours = {series["name"]: series["itemStyle"][":color"] for series in chart["series"]}
    assert len(set(colours.values())) == len(colours)


def test_a_node_has_a_page(client: TestClient) -> None:
    node = next(
        row for row in ask(client, "/c/alpha/nodes").rows() if row["health"] == "in use" and row["id"] != "head"
    )
    page = ask(client, node["href"])
    assert "What keeps it busy" in page.text
    assert "team" in page.text
    assert any("joined 120.0 s after" in row["text"] for row in page.rows())


def test_a_node_that_has_left_says_so_and_still_has_its_story(client: TestClient) -> None:
    page = ask(client, "/c/alpha/nodes/m1")
    assert "m1 is not there" in page.text
    assert any(row["kind"] == "gone" for row in page.rows())


def test_what_a_cluster_had_before_it_went_down_is_not_shown_as_what_it_has(client: TestClient) -> None:
    card = ask(client, "/").markup.split('href="/c/slow"')[1].split("</a>")[0]
    assert "<p>It is down.</p>" in card
    assert "Per hour" not in card
    assert "Cost per hour, last" in ask(client, "/c/slow").text
    assert "Cost per hour, last" not in ask(client, "/c/dead").text


def test_a_nodes_page_says_that_nobody_looks_after_it(client: TestClient) -> None:
    page = ask(client, "/c/dead/nodes/head")
    assert "Its controller is gone" in page.text


def test_a_node_of_a_cluster_elsewhere_is_not_said_to_have_left(client: TestClient) -> None:
    text = ask(client, "/c/far%20%3Cb%3E/nodes/m1").text
    assert "Its record is on its head" in text
    assert "may have left" not in text


def test_events_are_the_newest_first(client: TestClient) -> None:
    rows = ask(client, "/c/alpha/events").rows()
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert {"launch", "gone", "drain", "ready"} <= {row["kind"] for row in rows}


@pytest.mark.parametrize("path", PAGES)
def test_a_cluster_without_a_record_says_so(client: TestClient, path: str) -> None:
    text = ask(client, f"/c/empty{path}").text
    assert "Nothing" in text or "nothing" in text


@pytest.mark.parametrize("path", PAGES)
def test_a_damaged_record_is_an_answer_too(client: TestClient, path: str) -> None:
    text = ask(client, f"/c/broken{path}").text
    assert "cannot be read" in text
    assert "move it away when it is damaged" in text


@pytest.mark.parametrize("path", PAGES)
def test_a_cluster_elsewhere_says_where_its_record_is(client: TestClient, path: str) -> None:
    assert "Its record is on its head" in ask(client, f"/c/far%20%3Cb%3E{path}").text


@pytest.mark.parametrize("path", ["/c/none", "/c/none/nodes/m1", "/nowhere", "/c/alpha/nowhere"])
def test_dead_ends_lead_back(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert 'href="/"' in answer.text


@pytest.mark.parametrize("path", ["/", *(f"/c/alpha{path}" for path in PAGES + INSIDE), "/c/alpha/nodes/head"])
def test_a_page_has_one_title_of_the_first_order(client: TestClient, path: str) -> None:
    page = ask(client, path)
    own = sum(each["props"].get("tag") == "h1" for each in page.elements)
    assert own + page.markup.replace('<h1 id="drain-title"', "").count("<h1") == 1


def test_a_name_in_a_dead_end_is_text(client: TestClient) -> None:
    answer = client.get("/c/%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>" not in answer.text
    answer = client.get("/c/%3Cb%3Ex")
    assert "&lt;b&gt;x" in answer.text


@pytest.mark.parametrize("path", ["/", *(f"/c/alpha{path}" for path in PAGES + INSIDE)])
def test_pages_can_be_used_without_a_mouse_and_without_eyes(client: TestClient, path: str) -> None:
    page = ask(client, path)
    assert 'href="#main"' in page.markup
    assert any(each["props"].get("id") == "main" for each in page.elements)
    controls = [each for each in page.elements if each.get("tag") in CONTROLS]
    unnamed = [each for each in controls if not (each["props"].get("label") or each["props"].get("aria-label"))]
    assert controls
    assert unnamed == []


def test_the_style_sheet_is_ours(client: TestClient) -> None:
    answer = client.get("/rayfleet/page.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert ":focus-visible" in answer.text
    assert html.unescape(answer.text) == answer.text


@pytest.mark.parametrize(("cookie", "dark"), [("dark", True), ("light", False), ("nonsense", None), ("", None)])
def test_the_theme_that_somebody_chose_is_kept(client: TestClient, cookie: str, dark: bool | None) -> None:
    client.cookies.set("rayfleet_theme", cookie)
    try:
        page = ask(client, "/")
    finally:
        client.cookies.clear()
    assert [each["props"]["value"] for each in page.elements if each.get("tag") == "nicegui-dark_mode"] == [dark]
