"""Each alert is fired by the fault that it is for, in Debian's Prometheus, and reaches somebody by its Alertmanager.

The clusters are pretend ones with a real loop and a real exporter. The rules are those of deploy/, which wait for
seconds here; that they wait for as long as they say is shown by promtool, on time that it makes up.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from ruamel.yaml import YAML
from tests.e2e.metrics.pretending import CPU, QUICK, pretended
from tests.e2e.metrics.watch import DEPLOY, LIMIT_S, Prometheus, hurried, until, watching

from rayfleet.contracts import Flaky, LaunchRequest
from rayfleet.model import Offer, OfferKey, Pool, Resources

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RULES = DEPLOY / "prometheus" / "rules.yml"
SCRAPE = "global: {scrape_interval: 1s, evaluation_interval: 1s}\nscrape_configs:\n"
POOL = Pool("small", CPU, offers=(Offer(1.0),))
FIRED: set[str] = set()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with watching(tmp_path_factory.mktemp("watch"), SCRAPE, hurried(RULES.read_text())) as prometheus:
        yield prometheus


async def fires(prometheus: Prometheus, cluster: str, alert: str) -> None:
    """Wait until an alert fires for a cluster, and somebody was told."""
    await so(lambda: alert in prometheus.firing(cluster))
    await so(lambda: (alert, cluster, "firing") in prometheus.receiver.told)
    FIRED.add(alert)


async def so(happened: Callable[[], object]) -> None:
    """Wait, without holding up the loop, until something is so."""
    await asyncio.to_thread(until, happened)


async def scraped(prometheus: Prometheus, address: str, series: str) -> None:
    """Have an address scraped, and wait until it was."""
    prometheus.scrape(address)
    await so(lambda: prometheus.values(f'{series}{{instance="{address}"}}'))


# ---- as they are -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["promtool", "check", "rules", "rules.yml"],
        ["promtool", "test", "rules", "rules_test.yml"],
        ["promtool", "check", "config", "--syntax-only", "prometheus.yml"],
        ["amtool", "check-config", "alertmanager.yml"],
    ],
    ids=" ".join,
)
def test_debian_s_own_tools_take_the_files(command: list[str]) -> None:
    done = subprocess.run(command, cwd=RULES.parent, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- each by its fault -----------------------------------------------------------------------------------------------


async def test_work_that_nothing_will_serve(prometheus: Prometheus) -> None:
    async with pretended("unmet", POOL) as cluster:
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_info")
        cluster.engine.submit(Resources.of({"GPU": 8}))
        await fires(prometheus, "unmet", "RayfleetUnmetDemand")
        cluster.engine.tasks.clear()
        await so(lambda: ("RayfleetUnmetDemand", "unmet", "resolved") in prometheus.receiver.told)


async def test_launches_that_fail(prometheus: Prometheus) -> None:
    async with pretended("flaky", POOL) as cluster:
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_launch_failures_total")
        cluster.provider.fail("launch", Flaky("busy"), times=20)
        cluster.engine.submit(CPU, 3, run_s=60)
        await fires(prometheus, "flaky", "RayfleetLaunchFailures")


async def test_a_pool_of_which_nothing_can_be_had(prometheus: Prometheus) -> None:
    async with pretended("empty", POOL) as cluster:
        cluster.place.capacity["small"] = 0
        cluster.engine.submit(CPU)
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_stock_outs_total")
        await fires(prometheus, "empty", "RayfleetStockOut")


async def test_a_budget_that_keeps_work_waiting(prometheus: Prometheus) -> None:
    async with pretended("poor", POOL, max_usd_per_hour=1.5) as cluster:
        cluster.engine.submit(CPU, 3, run_s=60)
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_budget_usd_per_hour")
        await fires(prometheus, "poor", "RayfleetBudgetReached")
        assert prometheus.values('rayfleet_cost_usd_per_hour{RayClusterName="poor"}')[0][1] == 1.0


async def test_a_head_that_does_not_answer_and_answers_again(prometheus: Prometheus) -> None:
    async with pretended("headless", POOL) as cluster:
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_pending_demand")
        cluster.engine.down = True
        await fires(prometheus, "headless", "RayfleetHeadDown")
        cluster.engine.down = False
        await so(lambda: not prometheus.firing("headless"))


async def test_a_ledger_that_cannot_be_written(prometheus: Prometheus) -> None:
    async with pretended("full", POOL) as cluster:
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_info")
        cluster.ledger.write_error = "the disk is full"
        cluster.engine.submit(CPU)
        await fires(prometheus, "full", "RayfleetLedgerNotSaved")


async def test_ticks_that_fail(prometheus: Prometheus) -> None:
    async with pretended("broken", POOL) as cluster:
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_info")
        cluster.raises.append("boom")
        await fires(prometheus, "broken", "RayfleetTicksFail")


async def test_a_loop_that_stands_still_and_then_a_controller_that_is_gone(prometheus: Prometheus) -> None:
    async with pretended("stuck", POOL) as cluster:
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_last_tick_timestamp_seconds")
        await cluster.stand_still()
        await fires(prometheus, "stuck", "RayfleetControllerStale")
        await cluster.endpoint.close()
        await fires(prometheus, "stuck", "RayfleetControllerDown")
        prometheus.scrape()  # ended on purpose
        await so(lambda: "RayfleetControllerDown" not in prometheus.firing("stuck"))


async def test_machines_that_come_and_go(prometheus: Prometheus) -> None:
    async with pretended("restless", POOL) as cluster:
        cluster.engine.submit(CPU, run_s=0.2)
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_gone_nodes_total")
        cluster.engine.submit(CPU, 20, run_s=0.2)
        await fires(prometheus, "restless", "RayfleetNodeChurn")


async def test_machines_that_are_lost(prometheus: Prometheus) -> None:
    quick = replace(QUICK, backoff_first_s=0.2, backoff_max_s=0.5)
    async with pretended("crumbling", POOL, quick) as cluster:
        cluster.engine.submit(CPU, 2, run_s=600)
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_gone_nodes_total")
        for _ in range(200):  # until enough of them were lost
            for machine in cluster.place.existing():
                cluster.place.vanish(machine.id)
            if "RayfleetNodesFail" in await asyncio.to_thread(prometheus.firing, "crumbling"):
                break
            await asyncio.sleep(1.0)
        await fires(prometheus, "crumbling", "RayfleetNodesFail")


async def test_a_machine_that_nobody_remembers(prometheus: Prometheus) -> None:
    async with pretended("forgetful", POOL) as cluster:
        await scraped(prometheus, cluster.endpoint.address, "rayfleet_info")
        cluster.place.make(LaunchRequest("another", OfferKey("small"), POOL, ("another",)))
        await fires(prometheus, "forgetful", "RayfleetOrphanFound")


def test_each_alert_has_its_fault() -> None:
    loaded = YAML(typ="safe").load(RULES.read_text(encoding="utf-8"))
    assert {rule["alert"] for group in loaded["groups"] for rule in group["rules"] if "alert" in rule} == FIRED
