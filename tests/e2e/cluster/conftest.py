"""State folders that end with nothing running in them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cluster.fleet import Fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Yield a state folder; every cluster in it is ended, whatever became of the tests."""
    folder = tmp_path_factory.mktemp("fleet")
    fleet = Fleet(folder / "state", folder)
    yield fleet
    clusters = folder / "state" / "rayfleet" / "clusters"
    names = [path.name for path in clusters.iterdir()] if clusters.is_dir() else []
    for name in names:
        fleet("down", name)
        fleet.assert_nothing_is_left(name)


@pytest.fixture
def scripts(fleet: Fleet) -> Path:
    """Return the folder in which commands are typed."""
    return fleet.folder
