"""What programs say and what the record tells come out in the order in which they happened."""

from pathlib import Path

from rayfleet.launcher.demo.drivers import Line
from rayfleet.launcher.demo.stage import Scene, Stage
from rayfleet.model import Claim, Host, OfferKey, Phase, Plan, Snapshot, TickReport
from rayfleet.reports.history import History, HistoryReader


def report(tick: int, now: float, phase: Phase) -> TickReport:
    claim = Claim("m2", OfferKey("cpu4"), phase, hosts=(Host("m2"),))
    return TickReport(tick, "demo", Snapshot(now=now), Plan(claims=(claim,)))


async def test_programs_and_record_are_told_as_one(tmp_path: Path) -> None:
    scenes: list[Scene] = []
    stage = Stage(scenes.append, began=1000.0)
    history, reader = History(tmp_path / "history.sqlite"), HistoryReader(tmp_path / "history.sqlite")

    await history.write(report(1, 1001.0, Phase.REQUESTED))
    stage.heard(Line(1003.0, "task 1 ran on vm"))
    await history.write(report(2, 1002.0, Phase.READY))
    stage.heard(Line(1002.5, "noise", error=True))
    stage.look(reader, last=True)
    stage.look(reader, last=True)
    await history.close()

    assert [(event.at, event.kind) for event in scenes[-1].events] == [(1002.0, "joined"), (1003.0, "program")]
    assert scenes[-1].report == stage.reports[-1]
    assert [each.tick for each in stage.reports] == [1, 2]


async def test_waiting_for_the_record_ends(tmp_path: Path) -> None:
    stage = Stage(lambda _: None, began=1000.0)
    assert not await stage.until(lambda _: False, limit_s=0.0)
    assert await stage.until(lambda _: True, limit_s=0.0)


def test_news_waits_until_nothing_older_can_come(tmp_path: Path) -> None:
    stage = Stage(lambda _: None, began=1000.0)
    stage.say("runs", "now")
    stage.say("runs", "long ago", at=1000.0)
    stage.look(HistoryReader(tmp_path / "none.sqlite"))
    assert [event.text for event in stage.events] == ["long ago"]
    stage.look(HistoryReader(tmp_path / "none.sqlite"), last=True)
    assert [event.text for event in stage.events] == ["long ago", "now"]
