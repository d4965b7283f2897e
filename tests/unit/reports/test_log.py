"""The log: one line per event, with codes as plain words."""

from __future__ import annotations

from structlog.testing import capture_logs

from rayfleet.model import How, Plan, ReasonCode, Release, Snapshot, TickReport, reason
from rayfleet.reports.log import Log


def released(how: How) -> TickReport:
    idle = reason(ReasonCode.IDLE, idle_s=61.0, idle_timeout_s=60.0)
    release = Release("cpu-1", ("cpu-1",), ("m1",), None, how, idle)
    return TickReport(7, "prod", Snapshot(now=100.0), Plan(releases=(release,)))


async def test_a_release_is_one_line_with_its_code_as_a_word() -> None:
    with capture_logs() as lines:
        await Log().write(released(How.NOW))
    (line,) = lines
    assert (line["event"], line["cluster"], line["tick"], line["subject"]) == ("release", "prod", 7, "cpu-1")
    assert repr(line["code"]) == "'idle'"
    assert line["log_level"] == "info"


async def test_a_quiet_tick_says_nothing() -> None:
    with capture_logs() as lines:
        await Log().write(TickReport(8, "prod", Snapshot(now=101.0), Plan()))
    assert lines == []


async def test_a_failed_tick_is_an_error() -> None:
    with capture_logs() as lines:
        await Log().write(TickReport(9, "prod", Snapshot(), Plan(), error="Traceback\nValueError: no"))
    assert [(line["event"], line["log_level"]) for line in lines] == [("error", "error")]
