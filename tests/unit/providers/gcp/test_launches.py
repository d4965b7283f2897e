"""Which launches were asked for is on disk, survives a power cut, and does not grow for ever."""

import json
from pathlib import Path

from rayfleet.providers.gcp.launches import BEGUN, DONE, KEPT, Launches


def test_it_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "state" / "launches.jsonl"
    first = Launches(path)
    assert first.state("b1") == (0, "")
    first.note("b1", 0, BEGUN)
    first.note("b1", 0, DONE)
    first.note("b2", 3, "")
    first.note("b2", 3, "")
    again = Launches(path)
    assert (again.state("b1"), again.state("b2"), again.state("b3")) == ((0, DONE), (3, ""), (0, ""))
    assert len(path.read_text().splitlines()) == 3


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "launches.jsonl"
    path.write_text('["b1", 0, "done"]\n["b2", 0, "beg')
    launches = Launches(path)
    assert (launches.state("b1"), launches.state("b2")) == ((0, DONE), (0, ""))
    launches.note("b3", 0, BEGUN)
    assert Launches(path).state("b3") == (0, BEGUN)


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "launches.jsonl"
    path.write_text("".join(json.dumps([f"b{number}", 0, DONE]) + "\n" for number in range(2 * KEPT + 10)))
    launches = Launches(path)
    assert launches.state(f"b{KEPT + 9}") == (0, "")
    assert launches.state(f"b{KEPT + 10}") == (0, DONE)
    assert len(path.read_text().splitlines()) == KEPT
