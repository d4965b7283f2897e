"""A real cluster in Debian's Prometheus, found as Ray's own parts are: what dashboards ask for is there.

The scrape configuration is the one that the controller writes, but for its pace.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from scripts import grafana
from tests.e2e.cluster.fleet import Fleet
from tests.e2e.faults.site import is_program
from tests.e2e.metrics.watch import DEPLOY, Prometheus, hurried, until, watching

from rayfleet.providers.process import leftovers

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(600)]

NAME = "watched"
CONFIG = f"""
cluster_name: {NAME}
max_workers: 2
idle_timeout_minutes: 0.05
provider: {{type: process}}
monitoring_config:
  prometheus: {{enabled: true}}
head_node_type: head
available_node_types:
  head: {{resources: {{CPU: 0}}}}
  one: {{resources: {{CPU: 1, object_store_memory: 100e6}}, max_workers: 2}}
"""
ONE_TASK = """
import ray, time
ray.init(log_to_driver=False)
ray.get(ray.remote(num_cpus=1)(lambda: time.sleep(2)).remote())
"""
HOPELESS = """
import ray
ray.init(log_to_driver=False)
ray.get(ray.remote(num_cpus=64)(lambda: None).remote())
"""
RAYS = [
    "sum(autoscaler_active_nodes{%}) by (NodeType)",
    "sum(autoscaler_pending_nodes{%}) by (NodeType)",
    "sum(autoscaler_recently_failed_nodes{%}) by (NodeType)",
    'sum(autoscaler_cluster_resources{resource="memory",%})',
]
"""What Ray's generated dashboards ask an autoscaler for; % is a filter by session."""
NOT_SET = ("rayfleet_budget_usd_per_hour", "rayfleet_budget_usd_per_day", "rayfleet_offer_usd_per_hour")
"""What this cluster has none of; a 0 would not be true."""


@dataclass(frozen=True)
class Watched:
    """One cluster and who watches it."""

    fleet: Fleet
    prometheus: Prometheus

    @property
    def url(self) -> str:
        """Return where its figures are."""
        return str(self.fleet.json("metrics", NAME)["url"])


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    fleet = Fleet(folder / "state", folder)
    (folder / "watched.yaml").write_text(CONFIG)
    fleet("up", folder / "watched.yaml")
    try:
        scrape = fleet.home(NAME).scrape
        until(scrape.exists)
        quick = re.sub(r"(interval): 15s", r"\1: 1s", scrape.read_text())
        (watch := folder / "watch").mkdir()
        with watching(watch, quick, hurried((DEPLOY / "prometheus" / "rules.yml").read_text())) as prometheus:
            yield Watched(fleet, prometheus)
    finally:
        fleet("down", NAME, check=False)
        fleet.assert_nothing_is_left(NAME)


def test_the_controller_is_on_ray_s_list_and_so_are_ray_s_own_parts(watched: Watched) -> None:
    own = watched.url.removeprefix("http://").removesuffix("/metrics")
    until(lambda: watched.prometheus.values(f'up{{instance="{own}"}} == 1'))
    until(lambda: len(watched.prometheus.values("up == 1")) > 1)
    (labels, _) = until(lambda: watched.prometheus.values('autoscaler_active_nodes{NodeType="head"} == 1'))[0]
    assert (labels["RayClusterName"], labels["Namespace"]) == (NAME, "default")
    assert labels["SessionName"].startswith("session_")


def test_ray_s_own_figures_get_the_cluster_s_name_and_the_same_session(watched: Watched) -> None:
    labels, _ = until(lambda: watched.prometheus.values("ray_node_mem_total"))[0]
    assert (labels["RayClusterName"], labels["Namespace"]) == (NAME, "default")
    assert watched.prometheus.values(f'autoscaler_active_nodes{{SessionName="{labels["SessionName"]}"}}')


@pytest.mark.parametrize("query", RAYS)
def test_panels_of_ray_s_dashboards_show_this_cluster(watched: Watched, query: str) -> None:
    session = 'SessionName=~"session_.*"'
    assert until(lambda: watched.prometheus.values(query.replace("%", session)))


def test_every_query_of_the_dashboards_has_an_answer(watched: Watched) -> None:
    """Once a worker has come, worked and gone, and something waits that nothing will serve."""
    watched.fleet.python(ONE_TASK)
    gone = f'rayfleet_gone_nodes_total{{RayClusterName="{NAME}"}}'
    until(lambda: watched.prometheus.values(gone))
    chosen = {"Namespace": "default", "RayClusterName": NAME, "SessionName": "session_.*", "__rate_interval": "30s"}
    queries = [
        (f"{panel['title']}: {target['expr']}", target["expr"])
        for of in grafana.dashboards().values()
        for panel in of["panels"]
        for target in panel.get("targets", ())
    ]
    unset = [name for name, query in queries if any(metric in query for metric in NOT_SET)]
    with watched.fleet.begun("run", "--", "python", "-c", HOPELESS):
        until(lambda: watched.prometheus.values('rayfleet_unmet_demand{reason="no_pool_fits"}'))
        silent: list[str] = []

        def answers(query: str) -> bool:
            return bool(watched.prometheus.values(re.sub(r"\$(\w+)", lambda found: chosen[found[1]], query)))

        def all_answer() -> bool:
            silent[:] = [name for name, query in queries if name not in unset and not answers(query)]
            return not silent

        try:
            until(all_answer)
        except AssertionError:
            pytest.fail("without an answer:\n" + "\n".join(silent))
        assert [name for name, query in queries if name in unset and answers(query)] == []


def test_a_controller_that_is_killed_is_told_and_so_is_its_return(watched: Watched) -> None:
    os.kill(watched.fleet.controller(NAME), signal.SIGKILL)
    until(lambda: "RayfleetControllerDown" in watched.prometheus.firing(NAME))
    until(lambda: ("RayfleetControllerDown", NAME, "firing") in watched.prometheus.receiver.told)
    watched.fleet("up", NAME)
    until(lambda: "RayfleetControllerDown" not in watched.prometheus.firing(NAME))
    until(lambda: ("RayfleetControllerDown", NAME, "resolved") in watched.prometheus.receiver.told)


def test_a_head_that_dies_is_told_and_the_next_one_has_us_on_its_list(watched: Watched) -> None:
    """Its service discovery file is another one, written by a Ray that was told nothing yet."""
    fleet, prometheus = watched.fleet, watched.prometheus
    head = next(machine for machine in fleet.status(NAME)["machines"] if machine["head"])
    (gcs,) = (
        process.key.pid
        for process in leftovers.left_behind(NAME, fleet.home(NAME).path)
        if process.machine_id == head["machine_id"] and is_program(process, "gcs_server")
    )
    os.kill(gcs, signal.SIGKILL)
    until(lambda: "RayfleetHeadDown" in prometheus.firing(NAME))
    until(lambda: "RayfleetHeadDown" not in prometheus.firing(NAME))
    own = watched.url.removeprefix("http://").removesuffix("/metrics")
    until(lambda: own in listed(fleet.home(NAME).scrape))
    until(lambda: prometheus.values(f'up{{instance="{own}"}} == 1'))


def listed(scrape: Path) -> set[str]:
    """Return what is on the list of Ray that a scrape configuration names."""
    (job,) = YAML(typ="safe").load(scrape.read_text())["scrape_configs"]
    (file,) = job["file_sd_configs"][0]["files"]
    with suppress(FileNotFoundError):
        return {target for group in json.loads(Path(file).read_text()) for target in group["targets"]}
    return set()


def test_a_cluster_that_is_ended_on_purpose_alarms_nobody(watched: Watched) -> None:
    watched.fleet("down", NAME)
    until(lambda: not watched.prometheus.get("targets")["activeTargets"])
    until(lambda: not watched.prometheus.firing(NAME))
    assert not watched.fleet.home(NAME).scrape.exists()
