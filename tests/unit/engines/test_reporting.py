"""What is told of a tick: events, the state behind `ray status`, the status block."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayfleet.contracts import EngineDown
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.events import Event, Severity, Told, news
from rayfleet.engines.ray.report_state import Attempts, attempts, autoscaling_state, next_version
from rayfleet.engines.ray.session_logs import append_events, append_status
from rayfleet.engines.ray.settings import new_settings
from rayfleet.engines.ray.status_block import status_block
from rayfleet.model import (
    Backoff,
    Bundle,
    Claim,
    Demand,
    DemandKind,
    Drain,
    Gang,
    Host,
    How,
    LabelSelector,
    Launch,
    OfferKey,
    Phase,
    Plan,
    Policy,
    Pool,
    Reason,
    ReasonCode,
    Release,
    RequestedDemand,
    Resources,
    Snapshot,
    Strategy,
    TaskDemand,
    TickReport,
    Trouble,
    Unmet,
    reason,
)

CPU4 = OfferKey("cpu4", "process")
GPU = OfferKey("gpu", "process")
IDLE = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
WAITING = reason(ReasonCode.TASKS, tasks=2)
HOPELESS = reason(ReasonCode.NO_POOL_FITS, shape="{GPU: 9}")
TASK = TaskDemand(Resources.of({"GPU": 9}), 2, (LabelSelector.parse({"zone": "a"}),))


def claim(number: int, phase: Phase = Phase.READY, **more: Any) -> Claim:
    fields: dict[str, Any] = {"hosts": (Host(f"c{number}", f"m{number}"),), "created": 5.0} | more
    return Claim(f"c{number}", fields.pop("offer", CPU4), phase, **fields)


def tick(plan: Plan, *claims: Claim, demand: Demand | None = None) -> TickReport:
    pools = (Pool("cpu4", Resources.of({"CPU": 4})),)
    return TickReport(1, "tests", Snapshot(policy=Policy(pools), claims=claims, demand=demand or Demand()), plan)


def launch(offer: OfferKey, count: int, *, again: bool = False) -> Launch:
    return Launch(offer, tuple(f"n{number}" for number in range(count)), "b", count, WAITING, again)


def release(number: int, how: How, why: Reason = IDLE) -> Release:
    return Release(f"c{number}", (f"c{number}",), (f"m{number}",), "process", how, why)


def texts(report: TickReport, told: Told = Told()) -> list[str]:  # noqa: B008 - a frozen value
    return [event.text for event in news(report, told)[0]]


# ---- events ----------------------------------------------------------------------------------------------------------


def test_launches_are_added_up_by_pool_and_repeated_calls_are_no_news() -> None:
    plan = Plan(launches=(launch(GPU, 1), launch(CPU4, 2), launch(CPU4, 3), launch(CPU4, 4, again=True)))
    assert texts(tick(plan)) == ["Adding 5 node(s) of type cpu4.", "Adding 1 node(s) of type gpu."]


def test_a_drained_machine_leaves_for_the_reason_of_its_drain_and_only_once() -> None:
    drained = claim(1, Phase.DRAINING, drain=Drain(IDLE, 1.0, 60.0))
    ended = release(1, How.END, reason(ReasonCode.DRAINED))
    dead = release(2, How.NOW, reason(ReasonCode.NODE_DIED))
    report = tick(Plan(releases=(ended, dead), claims=(drained, claim(2))), drained, claim(2))
    events, told = news(report, Told())
    assert [event.text for event in events] == [
        "Removing 1 nodes of type cpu4 (died).",
        "Removing 1 nodes of type cpu4 (idle).",
    ]
    again = tick(Plan(releases=(ended,), claims=(drained,)), drained)
    assert news(again, told) == ((), Told(frozenset({"c1"})))


def test_a_drain_that_ray_may_still_refuse_is_no_news() -> None:
    assert texts(tick(Plan(claims=(claim(1, Phase.DRAINING),)), claim(1))) == []


def test_the_head_leaves_in_silence() -> None:
    head = claim(1, head=True)
    assert texts(tick(Plan(releases=(release(1, How.NOW, reason(ReasonCode.SHUTDOWN)),)), head)) == []


def test_demand_without_hope_is_a_warning_once_until_it_changes() -> None:
    unmet = Unmet(DemandKind.TASKS, 0, TASK, 2, HOPELESS)
    patient = replace(unmet, reason=reason(ReasonCode.MAX_WORKERS, max_workers=2))
    report = tick(Plan(unmet=(unmet, replace(unmet, count=1), patient)))
    events, told = news(report, Told())
    assert events == (
        Event(
            Severity.WARNING,
            "No available node types can fulfill resource request {GPU: 9} with label selector {zone: a}: "
            "no pool can ever hold {GPU: 9}.",
        ),
    )
    assert news(report, told)[0] == ()
    assert news(tick(Plan()), told)[1].hopeless == frozenset()


def test_a_hopeless_group_is_named_with_its_bundles() -> None:
    gang = Gang(Strategy.STRICT_PACK, (Bundle(Resources.of({"CPU": 99})),) * 2)
    (text,) = texts(tick(Plan(unmet=(Unmet(DemandKind.GANG, 0, gang, 1, HOPELESS),))))
    assert "placement group STRICT_PACK of {CPU: 99}, {CPU: 99}" in text


# ---- the state behind `ray status` -----------------------------------------------------------------------------------


def test_each_pending_host_is_one_entry_since_ray_ignores_counts() -> None:
    replica = claim(1, Phase.REQUESTED, hosts=(Host("c1.0"), Host("c1.1")))
    plan = Plan(
        claims=(replica, claim(2, Phase.REQUESTED), claim(3, Phase.BOOTING), claim(4), claim(5, Phase.DRAINING))
    )
    state = autoscaling_state(tick(plan), 9, 7, lambda _shape, _where: None, {})
    assert [entry.ray_node_type_name for entry in state.pending_instance_requests] == ["cpu4"] * 3
    assert [(entry.instance_id, entry.details) for entry in state.pending_instances] == [("m3", "booting")]
    assert (state.autoscaler_state_version, state.last_seen_cluster_resource_state_version) == (9, 7)


def test_back_offs_are_failures_and_hopeless_tasks_are_echoed() -> None:
    plan = Plan(
        backoffs=(Backoff(GPU, 90.0, Trouble.OUT_OF_STOCK, 3, "none left"),),
        unmet=(
            Unmet(DemandKind.TASKS, 0, TASK, 2, HOPELESS),
            Unmet(DemandKind.TASKS, 1, TASK, 2, reason(ReasonCode.MAX_WORKERS, max_workers=1)),
        ),
    )
    asked = []

    def original(shape: Resources, where: Any) -> Any:
        asked.append((shape, where))

    state = autoscaling_state(tick(plan), 1, 1, original, {})
    (failure,) = state.failed_instance_requests
    assert (failure.ray_node_type_name, failure.count, failure.reason) == ("gpu", 3, "OutOfStock: none left")
    assert asked == [(TASK.shape, TASK.selectors)]


def test_a_failure_keeps_the_moment_at_which_it_was_first_seen() -> None:
    """Ray shows `start_ts` as the latest attempt; without one it would be in 1970."""
    known: Attempts = {}
    shown = []
    for now, failures in ((100.0, 1), (102.0, 1), (130.0, 2)):
        report = tick(Plan(backoffs=(Backoff(CPU4, now + 15, Trouble.FLAKY, failures),)))
        report = replace(report, snapshot=replace(report.snapshot, now=now))
        known = attempts(report, known)
        (failed,) = autoscaling_state(report, 1, 1, lambda _shape, _where: None, known).failed_instance_requests
        shown.append((failed.start_ts, failed.failed_ts))
    assert shown == [(100, 100), (100, 100), (130, 130)]


@pytest.mark.parametrize(
    ("held", "now", "expected"),
    [(0, 1000.0, 1_000_000), (1_000_000, 1000.0, 1_000_001), (5_000_000, 1000.0, 5_000_001)],
)
def test_a_version_is_never_ignored(held: int, now: float, expected: int) -> None:
    assert next_version(held, now) == expected


# ---- text ------------------------------------------------------------------------------------------------------------


def test_the_status_block_has_the_sections_of_ray_status() -> None:
    used = Resources.of({"CPU": 1})
    ready = claim(1, hosts=(Host("c1", total=Resources.of({"CPU": 4, "memory": 2**31, "node:x": 1}), used=used),))
    demand = Demand(
        tasks=(TaskDemand(Resources.of({"CPU": 1}), 15),),
        gangs=(Gang(Strategy.SPREAD, (Bundle(Resources.of({"CPU": 2})),) * 2, 3),),
        requested=(RequestedDemand(Resources.of({"GPU": 1}), 2),),
    )
    plan = Plan(
        claims=(ready, claim(2, Phase.BOOTING), claim(3, Phase.RELEASING)),
        backoffs=(Backoff(GPU, 90.0, Trouble.QUOTA_REACHED),),
    )
    lines = status_block(tick(plan, ready, demand=demand)).splitlines()
    for title, line in [
        ("Healthy:", " 1 cpu4"),
        ("Pending:", " 1 cpu4"),
        ("Leaving:", " 1 cpu4"),
        ("Recent failures:", " gpu: QuotaReached"),
        ("Usage:", " 1.0/4.0 CPU"),
        ("Constraints:", " {GPU: 1}: 2+ from request_resources()"),
        ("Demands:", " {CPU: 1}: 15+ pending tasks/actors"),
    ]:
        assert lines[lines.index(title) + 1] == line
    assert " 0.00GiB/2.00GiB memory" in lines
    assert " {CPU: 2} * 2 (SPREAD): 3+ pending placement groups" in lines
    assert not any("node:" in line for line in lines)


def test_an_empty_cluster_says_so() -> None:
    lines = status_block(tick(Plan())).splitlines()
    assert lines.count(" (no nodes)") == 2
    assert lines[lines.index("Healthy:") + 1 : lines.index("Leaving:")] == [
        " (no healthy nodes)",
        "Pending:",
        " (no pending nodes)",
    ]
    assert " (no resource demands)" in lines


async def test_a_disk_that_takes_no_log_keeps_nothing_from_rays_own_status(tmp_path: Path) -> None:
    settings = new_settings("tests", tmp_path, preferred_default=False)
    settings.save()
    (tmp_path / "logs" / "monitor.log").mkdir(parents=True)  # cannot be written
    settings.head_path.write_text(json.dumps({"logs_dir": str(tmp_path / "logs")}))
    engine = RayEngine(settings)
    with pytest.raises(EngineDown, match="does not answer"):  # nobody is there, but the GCS was asked
        await engine.publish(tick(Plan()))
    await engine.close()


def test_events_are_json_lines_as_rays_log_monitor_reads_them(tmp_path: Path) -> None:
    append_events(tmp_path, [], 1.0)
    assert not (tmp_path / "events").exists()
    append_events(tmp_path, [Event(Severity.INFO, "one"), Event(Severity.WARNING, "two")], 7.9)
    found = [json.loads(line) for line in (tmp_path / "events" / "event_AUTOSCALER.log").read_text().splitlines()]
    assert [(one["message"], one["severity"], one["source_type"], one["timestamp"]) for one in found] == [
        ("one", "INFO", "AUTOSCALER", "7"),
        ("two", "WARNING", "AUTOSCALER", "7"),
    ]
    assert len({one["event_id"] for one in found}) == 2


def test_both_status_logs_get_the_block_and_the_familiar_line(tmp_path: Path) -> None:
    append_status(tmp_path, "the block", 0.0364, 1700000000.5)
    for name in ("monitor.log", "autoscaler.log"):
        text = (tmp_path / name).read_text()
        assert "the block\n" in text
        assert ",500\tINFO -- The autoscaler took 0.036 seconds to complete the update iteration.\n" in text
