"""The page of metrics, over HTTP, beside a program that answers as Prometheus and as an exporter do."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from scripts.screenshots import Recorded
from starlette.testclient import TestClient
from tests.unit.dashboard.asked import ask

from rayfleet.dashboard import prometheus
from rayfleet.dashboard.answers import NoFigures
from rayfleet.dashboard.clusters import Figures
from rayfleet.dashboard.readings.metrics import Kind, asked

NAMES = ["ray_tasks", "rows_done_total"]
EXPORTED = '# TYPE autoscaler_active_nodes gauge\nautoscaler_active_nodes{NodeType="head"} 1\n'


class Answers(BaseHTTPRequestHandler):
    """Series of cluster `alpha` alone; "bad" in a query is wrong."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        status, answer = 200, EXPORTED
        if parts.path.startswith("/strange"):
            answer = json.dumps({"data": {"result": [{"values": "no"}]}})
        elif parts.path.endswith("/values"):
            of_alpha = query.get("match[]", ['"alpha"'])[0]
            answer = json.dumps({"status": "success", "data": NAMES if '"alpha"' in of_alpha else []})
        elif parts.path.endswith("/query_range"):
            status, answer = self.curves(query)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer.encode())

    def curves(self, query: dict[str, list[str]]) -> tuple[int, str]:
        if "bad" in query["query"][0]:
            return 400, json.dumps({"status": "error", "error": "parse error: what is bad"})
        at = float(query["end"][0])
        found: Any = [
            {"metric": {"__name__": "s", "node": node}, "values": [[at - 60, "1"], [at, value]]}
            for node, value in (("head", "2.5"), ("m<1>", "4"))
        ]
        return 200, json.dumps({"status": "success", "data": {"resultType": "matrix", "result": found}})

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture(scope="module", autouse=True)
def known(clusters: Recorded, server: str) -> Iterator[None]:
    clusters.told |= {
        "alpha": Figures(f"{server}/metrics", server),
        "dead": Figures(f"{server}/metrics"),
        "broken": Figures(f"{server}/metrics", "http://127.0.0.1:9"),
        "empty": Figures(trouble="nobody controls cluster empty now", hint="rayfleet up empty"),
    }
    yield
    clusters.told.clear()


def test_a_series_is_drawn_for_a_span_of_time(client: TestClient) -> None:
    page = ask(client, "/c/alpha/metrics?series=rows_done_total&span=15%20min")
    (chart,) = page.charts()
    assert [line["name"] for line in chart["series"]] == ["node=head", "node=m<1>"]
    assert [value for _, value in chart["series"][1]["data"]] == [1.0, 4.0]
    assert chart["xAxis"]["max"] - chart["xAxis"]["min"] == 900_000
    assert "How much it grows per second" in page.text
    assert "ray_tasks" in page.text


def test_without_a_choice_the_first_one_is_drawn(client: TestClient) -> None:
    page = ask(client, "/c/alpha/metrics?series=not_there&span=never")
    (chart,) = page.charts()
    assert chart["xAxis"]["max"] - chart["xAxis"]["min"] == 3_600_000
    assert "per second" not in page.text


def test_without_a_prometheus_it_says_what_to_do_and_shows_what_is_now(client: TestClient) -> None:
    page = ask(client, "/c/dead/metrics")
    assert "no Prometheus is known for this cluster" in page.text
    assert "rayfleet metrics dead" in page.text
    assert "monitoring_config: {prometheus: {url: http://127.0.0.1:9090}}" in page.text
    (row,) = page.rows()
    assert (row["series"], row["labels"], row["value"]) == ("autoscaler_active_nodes", "NodeType=head", "1")


def test_a_prometheus_that_does_not_answer_is_told_beside_what_is_now(client: TestClient) -> None:
    page = ask(client, "/c/broken/metrics")
    assert "http://127.0.0.1:9/api/v1/label/__name__/values does not answer" in page.text
    assert [row["series"] for row in page.rows()] == ["autoscaler_active_nodes"]


def test_without_an_exporter_it_says_why(client: TestClient) -> None:
    page = ask(client, "/c/empty/metrics")
    assert "nobody controls cluster empty now" in page.text
    assert "rayfleet up empty" in page.text


def test_a_cluster_elsewhere_has_no_figures_here(client: TestClient) -> None:
    assert "Its record is on its head." in ask(client, "/c/far%20%3Cb%3E/metrics").text


async def test_where_nobody_says_of_which_cluster_it_is_all_are_offered(server: str) -> None:
    assert await prometheus.offered(server, "alpha", 0.0, 9.0) == prometheus.Offered(
        tuple(NAMES), (("RayClusterName", "alpha"),)
    )
    assert await prometheus.offered(server, "other", 0.0, 9.0) == prometheus.Offered(tuple(NAMES), ())


async def test_what_prometheus_has_against_a_query_is_told(server: str) -> None:
    with pytest.raises(NoFigures, match="parse error: what is bad"):
        await prometheus.curves(server, asked("bad", Kind.GAUGE, {}, now=9.0, span_s=9.0))


async def test_whoever_is_no_prometheus_is_told(server: str) -> None:
    question = asked("s", Kind.GAUGE, {}, now=9.0, span_s=9.0)
    with pytest.raises(NoFigures, match="answers what no Prometheus does"):
        await prometheus.curves(f"{server}/strange", question)
