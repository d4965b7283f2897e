"""One screen about a cluster."""

from dataclasses import replace
from datetime import UTC

import pytest
from tests.unit.reports.examples import NOW, QUIET, REPORT

from rayfleet.reports.events import events_of
from rayfleet.reports.top_text import Screen, top_text

EVENTS = events_of(REPORT)
HERE = Screen(zone=UTC)


@pytest.fixture(scope="module")
def screen() -> list[str]:
    return top_text(REPORT, EVENTS, NOW + 5, "old news", HERE).splitlines()


def under(lines: list[str], title: str) -> list[str]:
    """Return the lines of a block."""
    rest = lines[lines.index(title) + 1 :]
    return rest[: rest.index("")] if "" in rest else rest


def test_what_it_costs_and_whether_it_is_well(screen: list[str]) -> None:
    assert screen[0].startswith("demo  22:13:25  tick 17  Ray answers  2.00 USD/h now, 2.50 USD/h after this plan")
    assert screen[1] == "WARNING: old news"


def test_hosts_by_pool_and_phase(screen: list[str]) -> None:
    start = screen.index("") + 1
    assert [line.split() for line in screen[start : start + 4]] == [
        ["NODES", "ready", "booting", "requested", "draining", "limits"],
        ["head", "1", "-", "-", "-", "-"],
        ["cpu4", "2", "1", "1", "1", "0..4"],
        ["gpu1", "-", "-", "-", "-", "1..any"],
    ]


def test_what_waits_and_why(screen: list[str]) -> None:
    assert under(screen, "WAITING") == [
        " 2 x {CPU: 1}: a machine is there, or comes",
        " 3 x {CPU: 64}, for 1 min 30 s: 3 wait: no pool can ever hold {CPU: 64}",
        " 2 x {CPU: 1} * 2 (STRICT_SPREAD): a machine is there, or comes",
        " 8 x {CPU: 1} by request_resources(): a machine is there, or comes",
    ]


def test_time_left_is_as_of_now(screen: list[str]) -> None:
    assert under(screen, "BACK-OFFS") == [" gpu1 on a: 25 s more after OutOfStock"]
    later = top_text(REPORT, (), NOW + 60, screen=HERE)
    assert "BACK-OFFS" not in later


def test_capacity_on_its_way_is_beside_what_there_is(screen: list[str]) -> None:
    assert " CPU                  1 of 12  (+8 on their way)" in under(screen, "RESOURCES")


def test_the_newest_events_are_last(screen: list[str]) -> None:
    assert len(under(screen, "EVENTS")) == len(EVENTS)
    assert under(screen, "EVENTS")[-1].endswith("trouble  provider fake: try again")


def test_it_fits_the_terminal() -> None:
    shown = top_text(REPORT, EVENTS * 20, NOW, screen=Screen(60, 30, UTC)).splitlines()
    assert len(shown) <= 30
    assert max(map(len, shown)) == 60
    assert "EVENTS" in shown


def test_a_quiet_cluster_and_one_whose_ray_is_silent() -> None:
    assert top_text(QUIET, (), NOW, screen=HERE).endswith("EVENTS\n none yet")
    silent = replace(QUIET, snapshot=replace(QUIET.snapshot, engine_up=False), error="Traceback\nValueError: x")
    shown = top_text(silent, (), NOW, screen=HERE)
    assert "Ray does not answer" in shown.splitlines()[0]
    assert "unknown: Ray does not answer" in shown
    assert "the last tick failed: ValueError: x" in shown
