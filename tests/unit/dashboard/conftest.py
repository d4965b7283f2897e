"""One server for all tests of pages: the framework keeps its routes in one place per process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from scripts.screenshots import Recorded, inside
from starlette.testclient import TestClient

from rayfleet.dashboard.clusters import Entry, Inside
from rayfleet.dashboard.gate import Door
from rayfleet.dashboard.login import Tries
from rayfleet.dashboard.readings.shared import Readings
from rayfleet.dashboard.server import build, style
from rayfleet.dashboard.site import Site
from rayfleet.testing.big_record import Size, write_big_record

NOW = 1_700_000_000.0
SMALL = Size(nodes=40, ticks=20, changes=8)


@dataclass
class Known(Recorded):
    """Clusters, of which `slow` and `mute` have a Ray that never answers. `asked`: when it was asked (seconds)."""

    asked: list[float] = field(default_factory=list)

    @asynccontextmanager
    async def inside(self, cluster: str) -> AsyncIterator[Inside]:
        if cluster in {"slow", "mute"}:
            self.asked.append(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
        async with super().inside(cluster) as found:
            yield found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboard")


@pytest.fixture(scope="session")
def record(folder: Path) -> Path:
    path = folder / "small.sqlite"
    asyncio.run(write_big_record(path, NOW, SMALL))
    return path


@pytest.fixture(scope="session")
def clusters(folder: Path, record: Path) -> Known:
    damaged = folder / "damaged.sqlite"
    damaged.write_bytes(b"this is no database" * 100)
    logs = folder / "logs"
    logs.mkdir()
    (logs / "controller.log").write_text("tick 41: one <node>\ntick 42: all is well\n")
    (logs / "controller.out").write_text("a crash\n")
    return Known(
        [
            Entry("alpha", "up", record, logs=logs),
            Entry("broken", "up", damaged),
            Entry("dead", "no controller", record),
            Entry("down", "down", record, logs=logs),
            Entry("empty", "up", folder / "none.sqlite"),
            Entry("far <b>", "up", None, "Its record is on its head."),
            Entry("mute", "up", record),
            Entry("slow", "down", record),
        ],
        rays={"alpha": inside(NOW)},
    )


@pytest.fixture(scope="session")
def client(clusters: Known) -> Iterator[TestClient]:
    """Return somebody on this machine who looks at the pages."""
    clock = lambda: NOW + 1.0  # noqa: E731 - the moment at which everybody looks
    site = Site(clusters, Readings(clock), now=clock)
    gate = build(site, Door(None, Tries(clock), style=style()))
    with TestClient(gate, base_url="http://localhost:8300", raise_server_exceptions=False) as opened:
        yield opened
