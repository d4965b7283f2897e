"""One real head for all tests of the engine; nodes come and go with the tests."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from tests.e2e.engine.real_cluster import RealCluster, eventually, view_where

from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.settings import is_free
from rayfleet.model import Pool


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    real = RealCluster(tmp_path_factory.mktemp("ray"))
    yield real
    real.close()


@pytest.fixture
def drive(cluster: RealCluster) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts drivers that end with the test, also when it fails, so that no other test sees their demand."""
    started = []

    def one(code: str) -> subprocess.Popen[str]:
        started.append(cluster.driver(code))
        return started[-1]

    yield one
    cluster.end(*started)


@pytest.fixture
def start(cluster: RealCluster) -> Iterator[Callable[[str, Pool], subprocess.Popen[str]]]:
    """Starts nodes that end with the test, also when it fails."""
    started = []

    def one(machine: str, of: Pool) -> subprocess.Popen[str]:
        started.append(cluster.start(machine, of))
        return started[-1]

    yield one
    cluster.end(*started)


@pytest.fixture
async def engine(cluster: RealCluster) -> AsyncIterator[RayEngine]:
    """An engine of the test's own, when the head is up and nobody waits for anything any more."""
    assert cluster.head.poll() is None, f"the head has ended: {cluster.output('head')}"
    ray = RayEngine(cluster.settings)
    await view_where(ray, lambda view: not view.demand and cluster.settings.head_path.exists())
    # The client server and the dashboard come up some seconds after the head's node has joined.
    for port in (cluster.settings.ports.client_port, cluster.settings.ports.dashboard_port):
        await eventually(lambda port=port: asyncio.to_thread(is_free, port), lambda free: not free)  # type: ignore[misc]
    yield ray
    await ray.close()
