"""Pages of what runs inside a cluster, over HTTP, from a pretended Ray."""

import re
import time

import pytest
from starlette.testclient import TestClient
from tests.unit.dashboard.asked import Asked, ask
from tests.unit.dashboard.conftest import Known

from rayfleet.dashboard.answers import PATIENCE_S

PAGES = ("/jobs", "/actors", "/tasks", "/groups", "/memory", "/logs")
TRAIN = "/c/alpha/jobs/raysubmit_kT3wQvUe9XJm2ZpA"


def said(page: Asked) -> str:
    return " ".join(page.text.split())


def test_jobs_are_the_newest_first_and_lead_to_their_pages(client: TestClient) -> None:
    rows = ask(client, "/c/alpha/jobs").rows()
    assert [row["state"] for row in rows] == ["RUNNING", "FAILED", "RUNNING", "SUCCEEDED"]
    assert [row["type"] for row in rows] == ["program", "submitted", "submitted", "submitted"]
    assert rows[1]["message"] == "ModuleNotFoundError: No module named 'evaluate'"
    assert rows[2]["href"] == TRAIN


def test_a_job_shows_how_it_is_and_what_it_prints(client: TestClient) -> None:
    page = ask(client, TRAIN)
    assert "python train.py --workers 8" in said(page)
    assert "40 min 1 s" in said(page)
    assert re.search(rf"Started \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {re.escape(time.tzname[0])}", said(page))
    assert "step 41200: loss 1.8114, 8 workers" in page.markup
    assert "Stop raysubmit_kT3wQvUe9XJm2ZpA?" in page.text


def test_a_program_that_joined_prints_elsewhere(client: TestClient) -> None:
    assert "no submitted job" in said(ask(client, "/c/alpha/jobs/04000000"))


def test_a_job_that_is_forgotten_says_so(client: TestClient) -> None:
    assert "nobody is not there" in said(ask(client, "/c/alpha/jobs/nobody"))


def test_actors_tell_where_they_are_what_they_hold_and_how_they_died(client: TestClient) -> None:
    page = ask(client, "/c/alpha/actors")
    rows = page.rows()
    assert [row["state"] for row in rows] == ["ALIVE"] * 9 + ["PENDING_CREATION"] * 2 + ["DEAD"]
    assert (rows[0]["node"], rows[0]["holds"]) == ("head", "1 CPU")
    assert {row["node"] for row in rows[1:9]} == {f"m{number}" for number in range(1, 7)}
    assert "the spot machine was taken away" in rows[-1]["why"]
    assert "12 actors" in said(page)


def test_what_an_actor_printed_is_one_click_away(client: TestClient) -> None:
    rows = ask(client, "/c/alpha/actors").rows()
    first = min(row["href"] for row in rows if row["class"] == "TrainWorker" and row["pid"] == 2100)
    assert "worker 0: checkpoint written" in ask(client, first).markup


def test_tasks_are_summed_up_and_failures_are_shown(client: TestClient) -> None:
    page = ask(client, "/c/alpha/tasks")
    (tokenize, step) = page.rows()
    numbers = [tokenize[name] for name in ("waiting", "running", "finished", "failed")]
    assert (tokenize["name"], numbers) == ("tokenize", [20, 12, 60, 2])
    assert (step["type"], step["running"]) == ("actor task", 8)
    assert "ValueError: shard 17 holds no text" in page.text
    assert "102 tasks" in said(page)


def test_the_overview_counts_tasks_once_ray_has_told(client: TestClient) -> None:
    ask(client, "/c/alpha/tasks")
    page = ask(client, "/c/alpha")
    assert "Tasks 20 running 20 waiting 60 finished 2 failed" in said(page)


def test_the_overview_is_there_without_ray(client: TestClient) -> None:
    page = ask(client, "/c/mute")
    assert "Asking Ray ..." in said(page)
    assert "Nodes ready" in said(page)
    assert "Asking Ray ..." not in said(ask(client, "/c/slow"))  # which is down: nobody is asked


def test_placement_groups_tell_what_waits_and_why(client: TestClient) -> None:
    (waits, placed) = ask(client, "/c/alpha/groups").rows()
    assert (waits["name"], waits["placed"], waits["why"]) == ("evaluate", "0 of 4", "NO_RESOURCES")
    assert waits["bundles"] == "4 x 4 CPU, 1 GPU"
    assert (placed["placed"], placed["nodes"]) == ("8 of 8", "m1, m2, m3, m4, m5, m6")


def test_memory_tells_the_fullest_node_and_the_largest_objects(client: TestClient) -> None:
    page = ask(client, "/c/alpha/memory")
    first = page.rows()[0]
    assert (first["node"], first["store"], first["full"]) == ("m6", "84GiB of 200GiB", 0.42)
    assert "train.py:88 in load" in page.text
    assert "30 references" in said(page)


def test_logs_begin_with_the_head_and_offer_its_files(client: TestClient) -> None:
    page = ask(client, "/c/alpha/logs")
    assert "head (10.0.0.2)" in page.text
    assert "gcs_server.out" in page.text
    assert "Choose a file" in page.text


def test_a_log_that_is_named_in_the_address_is_shown(client: TestClient) -> None:
    page = ask(client, "/c/alpha/logs?file=worker-2101-02000000.out")
    assert "tokenize: shard 399 done" in page.markup


def test_the_controllers_own_log_is_among_the_nodes(client: TestClient) -> None:
    page = ask(client, "/c/alpha/logs?node=controller")
    assert "tick 42: all is well" in page.markup
    assert "one &lt;node&gt;" in page.markup
    assert "controller.out" in page.text
    assert "Controller" in ask(client, "/c/alpha/logs").text
    assert "a crash" in ask(client, "/c/alpha/logs?node=controller&file=controller.out").markup


def test_it_is_there_when_the_cluster_is_down(client: TestClient) -> None:
    page = ask(client, "/c/down/logs")
    assert "tick 42: all is well" in page.markup
    assert "cluster down is down" in said(page)


@pytest.mark.parametrize("file", ["../small.sqlite", "/etc/passwd", "..", "nothing"])
def test_no_other_file_of_this_machine_is_shown(client: TestClient, file: str) -> None:
    page = ask(client, f"/c/alpha/logs?node=controller&file={file}")
    assert "tick 42: all is well" in page.markup
    assert "root:" not in page.markup


@pytest.mark.parametrize("path", PAGES)
def test_a_cluster_that_is_down_says_what_to_do(client: TestClient, path: str) -> None:
    page = ask(client, f"/c/dead{path}")
    assert "cluster dead is down" in said(page)
    assert "rayfleet up dead" in said(page)


@pytest.mark.parametrize(("path", "questions"), [("/actors", 2), ("/tasks", 3), ("/groups", 2), ("/memory", 2)])
def test_a_ray_that_is_silent_is_asked_everything_at_once(
    client: TestClient, clusters: Known, path: str, questions: int
) -> None:
    before = len(clusters.asked)
    assert "Asking Ray ..." in said(ask(client, f"/c/slow{path}"))
    # What one page has asked already is still under way for the next.
    asked = clusters.asked[before:]
    assert 1 <= len(asked) <= questions
    assert asked[-1] - asked[0] < PATIENCE_S / 2


@pytest.mark.parametrize("path", PAGES)
def test_a_cluster_elsewhere_says_where_it_is(client: TestClient, path: str) -> None:
    assert "Its record is on its head" in ask(client, f"/c/far%20%3Cb%3E{path}").text


def test_a_log_that_is_not_there_says_so(client: TestClient) -> None:
    assert "no log nobody. rayfleet logs --node-id ID" in said(ask(client, "/c/alpha/logs?actor=nobody"))


def test_what_is_looked_for_in_a_log_is_text(client: TestClient) -> None:
    page = ask(client, "/c/alpha/logs?actor=<img src=x onerror=alert(1)>")
    assert "<img" not in page.markup


def test_a_nodes_page_leads_to_its_logs(client: TestClient) -> None:
    page = ask(client, "/c/alpha/nodes/head")
    assert 'href="/c/alpha/logs?node=' in page.markup
