"""The tutorial on one machine, typed in from its first line to its last: its files, its programs, its commands."""

from collections.abc import Iterator

import pytest
from tests.e2e.demo.leftovers import processes_of
from tests.e2e.typing_in import Reader

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody in an empty folder, with the page; whatever happens, the cluster ends."""
    found = Reader("tutorials/laptop.md", tmp_path_factory.mktemp("reader"))
    found.save_files()
    try:
        yield found
    finally:
        found.type("rayfleet down", anyhow=True)


def test_from_the_first_line_to_the_last(reader: Reader) -> None:
    said = {line: reader.type(line) for line in reader.lines(without=("--watch",))}
    assert "cluster laptop is up" in said["rayfleet up laptop.yaml"]
    ran = said["rayfleet run -- python work.py"]
    assert [f"task {n} ran on node " in ran for n in range(8)] == [True] * 8
    assert said["rayfleet top"].startswith("laptop  ")
    assert reader.shown_after("""rayfleet why '{"CPU": 64}'""") in said["""rayfleet why '{"CPU": 64}'"""]
    assert "ready" in said["rayfleet history"]
    assert "pool small is to have 2 machines" in said["rayfleet scale small 2"]
    assert "follows its demand again" in said["rayfleet scale small --clear"]
    assert "idle_timeout_s = 120.0" in said["rayfleet set idle_timeout_s=120"]
    assert "as configured" in said["rayfleet set --clear idle_timeout_s"]
    assert "cluster laptop is down" in said["rayfleet down"]
    assert processes_of(reader.folder) == []
