"""What one sees of the demo: a line for each event, a picture of the machines, a table of times."""

import io

from rich.console import Console

from rayfleet.cli import demo
from rayfleet.launcher.demo import story
from rayfleet.launcher.demo.record import Event, Spread
from rayfleet.launcher.demo.stage import Scene
from rayfleet.launcher.demo.verdict import Figures, Verdict
from rayfleet.model import (
    Claim,
    Demand,
    Host,
    Kept,
    OfferKey,
    Phase,
    Plan,
    Policy,
    Pool,
    ReasonCode,
    Resources,
    Snapshot,
    TaskDemand,
    TickReport,
    reason,
)

CPU1, CPU4 = (Pool(f"cpu{n}", Resources.of({"CPU": n})) for n in (1, 4))
BUSY = reason(ReasonCode.BUSY, used="CPU 3")
EVENTS = (Event(103.0, "launches", "1 x cpu4: 3 tasks wait for machines"), Event(105.5, "joined", "m2 (cpu4)"))


def claim(name: str, pool: str, phase: Phase, used: float = 0) -> Claim:
    return Claim(name, OfferKey(pool), phase, hosts=(Host(name, used=Resources.of({"CPU": used})),))


def scene(events: tuple[Event, ...] = EVENTS) -> Scene:
    claims = (claim("m2", "cpu4", Phase.READY, used=3), claim("m3", "cpu1", Phase.BOOTING))
    snapshot = Snapshot(
        policy=Policy(pools=(CPU1, CPU4)),
        claims=claims,
        demand=Demand(tasks=(TaskDemand(Resources.of({"CPU": 1}), count=2),)),
    )
    report = TickReport(1, "demo", snapshot, Plan(claims=claims, kept=(Kept("m2", BUSY),)))
    return Scene(began=100.0, at=107.0, chapter="15 tasks of one CPU", report=report, events=events)


def drawn(what: Scene) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(demo.picture(what))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_event_is_one_line_with_the_seconds_since_the_beginning() -> None:
    assert demo.line(EVENTS[1], began=100.0) == "   5.5 s  joined    m2 (cpu4)"


def test_lines_are_printed_once() -> None:
    stream = io.StringIO()
    with demo.shown(stream) as show:
        show(scene(EVENTS[:1]))
        show(scene())
        show(scene())
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["launches", "joined"]


def test_the_picture_shows_machines_what_waits_and_the_news() -> None:
    lines = [" ".join(line.split()) for line in drawn(scene()).splitlines()]
    assert "rayfleet demo · 7 s · 15 tasks of one CPU" in lines[0]
    assert "m2 cpu4 READY 3/4 in use: CPU 3" in lines
    assert "m3 cpu1 BOOTING 0/1" in lines
    assert "waits: 2 x {CPU: 1}" in lines
    assert lines[-1] == "5.5 s joined m2 (cpu4)"


def test_the_picture_can_be_drawn_before_there_is_a_record() -> None:
    assert "waits: nothing" in drawn(Scene(100.0, 100.0, "a head without CPUs", None, ()))


FIGURES = Figures(4, 15, 15, Spread(0.021, 0.034), Spread(3.25, 4.5), 3.912, 0.51)


def test_the_table_has_a_row_for_each_workload() -> None:
    tasks, *_ = story.chapters(3.0)
    verdict = Verdict("demo-1", FIGURES, ((tasks, FIGURES),), 5.0, 1.5, 61.0, 0, ())
    first, row, total = demo.table(verdict)
    assert first[:2] == ("WORKLOAD", "NODES")
    assert row == ("tasks", "4", "15", "0.021 / 0.034", "3.250 / 4.500", "3.91", "0.51")
    assert total[0] == "all"
    assert demo.summary(verdict) == "15 tasks done; up in 5.0 s, down in 1.5 s, 0 processes left behind; 61 s in all"


def test_what_was_not_measured_is_a_dash() -> None:
    nothing = Figures(0, 0, 0, None, None, None, None)
    verdict = Verdict("demo-1", nothing, (), None, None, 1.0, None, ("not every workload was played",))
    assert demo.table(verdict)[-1] == ("all", "0", "0", "-", "-", "-", "-")
    assert demo.summary(verdict) == "0 tasks done; kept; 1 s in all"
