"""From a record back to work: what ran where and what waited gives a trace that behaves alike."""

import pytest

from rayfleet.model import Plan, Policy, Resources, Strategy, TickReport
from rayfleet.reports.work_record import WorkRecord, WorkSeen, read_rows, work_in
from rayfleet.simulator.chance import always
from rayfleet.simulator.compare import result_json
from rayfleet.simulator.policies import Candidate
from rayfleet.simulator.recorded import scene_of_record, trace_of_record
from rayfleet.simulator.replays import Record, replay_record
from rayfleet.simulator.run import Setting, run
from rayfleet.simulator.scene import Scene
from rayfleet.simulator.trace import Trace, Work, parse_csv
from rayfleet.testing.snapshots import claim, gang, pool, snapshot, tasks

CPU16 = pool("cpu16", 0.8, CPU=16, memory=64e9)
POLICY = Policy(pools=(CPU16,), idle_timeout_s=60.0)
CALM = Scene(boot_s=always(30.0), join_s=always(5.0), api_s=always(0.5))


def record(*moments: tuple[float, tuple[object, ...]]) -> list[TickReport]:
    return [
        TickReport(n, "c", snapshot(CPU16, *parts, now=1000.0 + at), Plan())  # type: ignore[arg-type]  # claims and demand
        for n, (at, parts) in enumerate(moments)
    ]


def work(*moments: tuple[float, tuple[object, ...]]) -> list[WorkSeen]:
    return list(work_in(record(*moments)))


def cpu_seconds(trace: Trace) -> float:
    return sum(row.count * row.duration_s * row.shape.amounts()["CPU"] for row in trace.rows)


def test_what_waited_and_then_ran_has_its_wait_and_its_duration() -> None:
    trace = trace_of_record(
        "c",
        work(
            (0, (tasks(3, CPU=1),)),
            (40, (claim("m1", "cpu16", used={"CPU": 3}),)),
            (100, (claim("m1", "cpu16", used={"CPU": 1}),)),
            (160, (claim("m1", "cpu16"),)),
        ),
    )
    one = Resources.of({"CPU": 1})
    assert trace.rows == (Work(0.0, one, 60.0, 2), Work(0.0, one, 120.0, 1))


def test_use_of_a_kind_that_never_waited_is_a_piece_of_its_own() -> None:
    moments = work(
        (0, ()), (10, (claim("m1", "cpu16", used={"CPU": 5, "memory": 1e9}),)), (30, (claim("m1", "cpu16"),))
    )
    assert trace_of_record("c", moments).rows == (Work(10.0, Resources.of({"CPU": 5, "memory": 1e9}), 20.0),)


def test_a_host_that_goes_ends_its_work_and_the_end_of_the_record_all_other() -> None:
    both = (claim("m1", "cpu16", used={"CPU": 2}), claim("m2", "cpu16", used={"CPU": 3}))
    trace = trace_of_record("c", work((0, both), (50, both[:1]), (80, both[:1])))
    assert {(row.shape.amounts()["CPU"], row.duration_s) for row in trace.rows} == {(2, 80.0), (3, 50.0)}


def test_a_placement_group_comes_back_whole() -> None:
    group = gang(Strategy.STRICT_SPREAD, {"CPU": 4}, {"CPU": 4})
    used = (claim("m1", "cpu16", used={"CPU": 4}), claim("m2", "cpu16", used={"CPU": 4}))
    trace = trace_of_record("c", work((0, (group,)), (30, used), (90, ())))
    assert trace.rows == (Work(0.0, Resources.of({"CPU": 4}), 60.0, 2, Strategy.STRICT_SPREAD, "g0"),)


def test_a_record_without_ray_says_nothing() -> None:
    assert trace_of_record("c", work_in([TickReport(1, "c", snapshot(CPU16, engine_up=False), Plan())])).rows == ()


def simulated_record() -> tuple[list[TickReport], Trace, float]:
    """Return what the loop would record of some work, that work, and what it cost."""
    text = "submit_s,shape,count,duration_s\n0,CPU=1,40,300\n100,CPU=2,7,150\n900,CPU=1,20,60\n"
    trace, reports = parse_csv(text, "t.csv"), list[TickReport]()
    ran = run(Setting("was", POLICY, trace, CALM, reports=reports.append, every_tick=True))
    return reports, trace, sum(ran.tally.usd.values())


def test_the_record_of_a_simulation_gives_its_work_again() -> None:
    """Waits to the second; resources x seconds and cost within the ticks' five seconds of each task."""
    reports, trace, usd = simulated_record()
    again = trace_of_record("again", work_in(reports))
    assert again.tasks == trace.tasks
    assert cpu_seconds(again) == pytest.approx(cpu_seconds(trace), rel=0.05)
    told = result_json(run(Setting("again", POLICY, again, CALM)))
    assert told["usd"] == pytest.approx(usd, rel=0.05)
    assert scene_of_record(reports).boot_s.numbers[0] == pytest.approx(36, abs=6)


def test_a_record_under_another_policy_says_what_it_would_have_cost() -> None:
    reports, _, usd = simulated_record()
    half = Policy(pools=(pool("cheap", 0.4, CPU=16, memory=64e9),), idle_timeout_s=60.0)
    told = replay_record(Record("day", lambda: reports, lambda: work_in(reports)), Candidate("cheap", half)).as_json()
    assert [result["name"] for result in told["results"]] == ["as it was", "cheap"]
    assert told["recorded"]["usd"] == pytest.approx(usd, rel=0.15)
    assert told["recorded"]["ticks"] == len(reports)
    assert 0 < told["recorded"]["planned_otherwise"] <= len(reports)
    assert told["difference"]["usd"] == pytest.approx(-told["results"][0]["usd"] / 2, rel=0.05)


def test_rows_hold_only_what_changes_and_give_everything_again() -> None:
    reports, _, _ = simulated_record()
    rows = WorkRecord()
    told = [(report.snapshot.now, row) for report in reports if (row := rows.row(report)) is not None]
    assert len(told) < len(reports) / 2
    again = list(read_rows(told))
    every = {seen.at: seen for seen in work_in(reports)}
    assert [(seen.at, seen.used, seen.demand) for seen in again] == [
        (seen.at, every[seen.at].used, every[seen.at].demand) for seen in again
    ]
    assert trace_of_record("rows", again).rows == trace_of_record("rows", list(every.values())).rows


def test_rows_before_the_first_whole_one_are_passed_by() -> None:
    reports, _, _ = simulated_record()
    rows = WorkRecord()
    told = [(report.snapshot.now, row) for report in reports if (row := rows.row(report)) is not None]
    assert list(read_rows(told[1:])) == []
