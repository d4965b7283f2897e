"""The command itself beside a real cluster: it is found, a browser shows it, and a drain is carried out."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.cluster.fleet import Fleet, config
from tests.e2e.dashboard.conftest import connected

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "shown"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Yield a state folder with a cluster of one worker that is up."""
    folder = tmp_path_factory.mktemp("shown")
    fleet = Fleet(folder / "state", folder)
    path = config(folder, NAME)
    path.write_text(path.read_text().replace("max_workers: 3}", "min_workers: 1, max_workers: 3}"))
    try:
        fleet("up", path)
        yield fleet
    finally:
        fleet("down", NAME)
        fleet.assert_nothing_is_left(NAME)


@pytest.fixture(scope="module")
def url(fleet: Fleet) -> Iterator[str]:
    with fleet.begun("dashboard", "--no-open", "--port", "0") as command:
        assert command.stdout is not None
        said = command.stdout.readline()
        yield said.split()[4].rstrip("/")
        fleet.interrupted(command)
        assert command.returncode == 0


def test_a_real_cluster_is_shown_as_it_is(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name=re.compile(NAME)).click()
    expect(page.get_by_role("status")).to_contain_text("All is well")
    for path in (
        "",
        "/autoscaler",
        "/nodes",
        "/events",
        "/jobs",
        "/actors",
        "/tasks",
        "/groups",
        "/memory",
        "/metrics",
        "/logs",
    ):
        page.goto(f"{url}/c/{NAME}{path}")
        expect(page.get_by_role("navigation")).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)


def test_demand_appears_and_a_node_joins_without_a_reload(page: Page, url: str, fleet: Fleet) -> None:
    page.goto(f"{url}/c/{NAME}")
    expect(page.get_by_role("definition").first).to_have_text("2")
    fleet("scale", NAME, "one", "2")
    expect(page.get_by_role("definition").first).to_have_text("3", timeout=60_000)


PROGRAM = """
import time
import ray

ray.init()


@ray.remote
class Counter:
    def count(self):
        print("counted here", flush=True)
        return 1


@ray.remote
def work():
    return 2


counter = Counter.remote()
print("counted", ray.get(counter.count.remote()) + ray.get(work.remote()), flush=True)
held = ray.put(bytes(2**20))
time.sleep(300)
"""


def test_a_job_is_submitted_looked_into_and_stopped(page: Page, url: str, fleet: Fleet) -> None:
    program = fleet.folder / "shown.py"
    program.write_text(PROGRAM)
    page.goto(f"{url}/c/{NAME}/jobs")
    page.get_by_label("Command").fill(f"{sys.executable} {program}")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/jobs/raysubmit_"))
    job = page.url
    expect(page.get_by_role("log")).to_contain_text("counted 3", timeout=120_000)
    page.goto(f"{url}/c/{NAME}/tasks")
    expect(page.get_by_role("row", name=re.compile("work normal task 0 0 1 0"))).to_be_visible()
    page.goto(f"{url}/c/{NAME}/memory")
    expect(page.get_by_role("row", name=re.compile("head"))).to_be_visible()
    page.goto(f"{url}/c/{NAME}/actors")
    row = page.get_by_role("row", name=re.compile("Counter.*ALIVE"))
    expect(row).to_be_visible()
    row.get_by_role("link").click()
    expect(page.get_by_role("log")).to_contain_text("counted here")
    page.goto(f"{url}/c/{NAME}/logs?file=raylet.out")
    expect(page.get_by_role("log")).to_contain_text("raylet")
    page.goto(job)
    page.get_by_role("button", name="Stop ...").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("STOPPED", exact=True)).to_be_visible()


def test_a_job_gets_the_runtime_environment_that_was_typed(page: Page, url: str) -> None:
    page.goto(f"{url}/c/{NAME}/jobs")
    connected(page)
    page.get_by_label("Command").fill(f"{sys.executable} -c 'import os; print(os.environ[\"LEVEL\"])'")
    page.get_by_text("Runtime environment").click()
    page.get_by_label("As JSON").fill('{"env_vars": {"LEVEL": "level of debug"}}')
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/jobs/raysubmit_"))
    expect(page.get_by_role("log")).to_contain_text("level of debug", timeout=120_000)


def test_the_controllers_own_log_is_searched_and_followed(page: Page, url: str, fleet: Fleet) -> None:
    page.goto(f"{url}/c/{NAME}/logs")
    connected(page)
    page.get_by_label("Node", exact=True).fill("Contr")
    page.get_by_role("option", name="Controller").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("controller_started")
    with (fleet.home(NAME).logs / "controller.log").open("a") as file:
        file.write("a line that comes\n")
    expect(log).to_contain_text("a line that comes")
    page.get_by_label("Search this log").fill("LINE that")
    expect(log).to_have_text("a line that comes")
    page.reload()  # the address tells which log it is
    expect(log).to_contain_text("controller_started")


def test_a_node_that_is_drained_here_leaves(page: Page, url: str, fleet: Fleet) -> None:
    node = min(name for name, phase in fleet.machines(NAME, "one").items() if phase == "READY")
    page.goto(f"{url}/c/{NAME}/nodes/{node}")
    page.get_by_role("button", name="Drain ...").click()
    page.get_by_label("Reason, for the history").fill("shown to a test")
    page.get_by_role("button", name=f"Drain {node}").click()
    expect(page.get_by_text(f"{node} is to leave")).to_be_visible()
    fleet.wait(lambda: node not in fleet.machines(NAME))
    expect(page.get_by_text(f"{node} is not there")).to_be_visible(timeout=20_000)


def test_a_controller_that_is_gone_is_said(page: Page, url: str, fleet: Fleet) -> None:

    page.goto(f"{url}/c/{NAME}")
    expect(page.get_by_role("status")).not_to_contain_text("gone")
    os.kill(fleet.controller(NAME), signal.SIGKILL)
    expect(page.get_by_role("status")).to_contain_text("Its controller is gone", timeout=20_000)


def test_others_have_to_log_in(page: Page, fleet: Fleet) -> None:
    with fleet.begun("dashboard", "--no-open", "--port", "0", "--login") as command:
        assert command.stdout is not None
        at = command.stdout.readline().split()[4]
        token_file = fleet.state / "rayfleet" / "dashboard-token"
        assert str(token_file) in command.stdout.readline()
        page.goto(f"{at}c/{NAME}")
        expect(page.get_by_label("Token")).to_be_visible()
        page.get_by_label("Token").fill(token_file.read_text().strip())
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("navigation")).to_be_visible()
        assert page.url == f"{at}c/{NAME}"
        page.get_by_role("link", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert fleet.interrupted(command) == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may act as another user")
def test_another_user_of_this_machine_has_to_log_in(url: str) -> None:
    command = ["curl", "--silent", "--include", "--header", "X-Forwarded-For: 127.0.0.1", f"{url}/c/{NAME}/jobs"]
    mine = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    theirs = subprocess.run(command, capture_output=True, text=True, check=True, user="nobody").stdout
    assert mine.startswith("HTTP/1.1 200")
    assert theirs.startswith("HTTP/1.1 303")
    assert "location: /login" in theirs
