"""Who is attached to a real cluster, as its GCS tells it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from tests.e2e.engine.real_cluster import RealCluster, eventually, said_by

from rayfleet.engines.ray.drivers import RayDrivers
from rayfleet.engines.ray.engine import RayEngine

Drive = Callable[[str], subprocess.Popen[str]]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


async def test_a_driver_is_attached_while_it_lives_and_counted_when_it_has_ended(
    cluster: RealCluster, engine: RayEngine, drive: Drive
) -> None:
    drivers = RayDrivers(cluster.settings)
    before = await eventually(drivers.look, lambda seen: not seen.attached)
    program = drive("say('here')\ntime.sleep(600)\n")
    assert said_by(program) == "here"
    during = await drivers.look()
    cluster.end(program)
    after = await eventually(drivers.look, lambda seen: not seen.attached)
    await drivers.close()
    assert during.attached
    assert during.ended == before.ended
    assert after.ended == before.ended + 1
