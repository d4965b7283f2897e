"""One real head for all tests of the engine; nodes come and go with the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from rayfleet.engines.ray.engine import RayEngine
from tests.e2e.engine.real_cluster import RealCluster, view_where


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    real = RealCluster(tmp_path_factory.mktemp("ray"))
    yield real
    real.close()


@pytest.fixture
async def engine(cluster: RealCluster) -> AsyncIterator[RayEngine]:
    """An engine of the test's own, when the head is up and nobody waits for anything any more."""
    ray = RayEngine(cluster.settings)
    await view_where(ray, lambda view: not view.demand and cluster.settings.head_path.exists())
    yield ray
    await ray.close()
