"""Ray's service discovery is told where our metrics are: once, and again by each GCS that may not know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from rayfleet.engines.ray.engine import METRICS_KEY, SETTLE_S, RayEngine
from rayfleet.engines.ray.protobufs import autoscaler, generated
from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.model import Plan, Snapshot, TickReport

HEAD = autoscaler.NodeState(
    node_id=b"\x01" * 28,
    instance_id="head",
    status=autoscaler.NodeStatus.RUNNING,
    total_resources={"node:__internal_head__": 1},
)
REPORT = TickReport(1, "tests", Snapshot(), Plan())


@dataclass
class Session:
    """What a GCS says of itself."""

    name: str = "session_1"
    version: int = 1


class Gcs:
    """A GCS with a head, which keeps what it is told to keep."""

    def __init__(self) -> None:
        self.session = Session()
        self.kept: list[tuple[str, str]] = []
        self.server = grpc.aio.server()
        kv = generated("gcs_service_pb2")
        self._add("ray.rpc.autoscaler.AutoscalerStateService", "GetClusterResourceState", self._state)
        self._add("ray.rpc.autoscaler.AutoscalerStateService", "GetClusterStatus", self._status)
        self._add("ray.rpc.autoscaler.AutoscalerStateService", "ReportAutoscalingState", self._reported)
        self._add("ray.rpc.InternalKVGcsService", "InternalKVPut", self._put)
        self._kv = kv
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def _add(self, service: str, method: str, answer: Any) -> None:
        handlers = {method: grpc.unary_unary_rpc_method_handler(answer)}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def _state(self, _request: bytes, _context: Any) -> bytes:
        state = autoscaler.ClusterResourceState(
            cluster_session_name=self.session.name,
            cluster_resource_state_version=self.session.version,
            node_states=[HEAD],
        )
        return bytes(autoscaler.GetClusterResourceStateReply(cluster_resource_state=state).SerializeToString())

    async def _status(self, _request: bytes, _context: Any) -> bytes:
        return bytes(autoscaler.GetClusterStatusReply().SerializeToString())

    async def _reported(self, _request: bytes, _context: Any) -> bytes:
        return bytes(autoscaler.ReportAutoscalingStateReply().SerializeToString())

    async def _put(self, request: bytes, _context: Any) -> bytes:
        asked = self._kv.InternalKVPutRequest.FromString(request)
        assert asked.overwrite
        self.kept.append((asked.key.decode(), asked.value.decode()))
        return bytes(self._kv.InternalKVPutReply(added=True).SerializeToString())


@pytest.fixture
async def gcs() -> AsyncIterator[Gcs]:
    gcs = Gcs()
    await gcs.server.start()
    yield gcs
    await gcs.server.stop(None)


@pytest.fixture
async def engine(gcs: Gcs, tmp_path: Path) -> AsyncIterator[tuple[RayEngine, list[float]]]:
    now = [1000.0]
    settings = RaySettings("tests", str(tmp_path), "127.0.0.1", Ports(gcs.port, 1, 2), token_auth=False)
    engine = RayEngine(settings, lambda: now[0])
    yield engine, now
    await engine.close()


TOLD = (METRICS_KEY, "10.0.0.1:44217")


async def tick(engine: RayEngine) -> None:
    await engine.look()
    await engine.publish(REPORT)


async def test_nothing_is_told_when_nothing_is_offered(gcs: Gcs, engine: tuple[RayEngine, list[float]]) -> None:
    await tick(engine[0])
    assert gcs.kept == []
    assert engine[0].session == "session_1"


async def test_it_is_told_once_as_soon_as_there_is_a_session(gcs: Gcs, engine: tuple[RayEngine, list[float]]) -> None:
    ray, _ = engine
    ray.announce_metrics(TOLD[1])
    await ray.publish(REPORT)
    assert gcs.kept == []  # nobody has looked yet: there may be no head
    await tick(ray)
    await tick(ray)
    assert gcs.kept == [TOLD]


async def test_a_new_head_is_told_and_so_is_a_gcs_that_started_again(
    gcs: Gcs, engine: tuple[RayEngine, list[float]]
) -> None:
    ray, now = engine
    ray.announce_metrics(TOLD[1])
    gcs.session.version = 7
    await tick(ray)
    gcs.session.name = "session_2"
    await tick(ray)
    assert gcs.kept == [TOLD, TOLD]
    gcs.session = replace(gcs.session, version=2)
    with pytest.raises(Exception, match="has restarted"):
        await ray.look()
    now[0] += SETTLE_S
    await tick(ray)
    assert gcs.kept == [TOLD, TOLD, TOLD]


async def test_another_address_is_told(gcs: Gcs, engine: tuple[RayEngine, list[float]]) -> None:
    ray, _ = engine
    ray.announce_metrics(TOLD[1])
    await tick(ray)
    ray.announce_metrics("10.0.0.1:24001")
    await tick(ray)
    assert gcs.kept == [TOLD, (METRICS_KEY, "10.0.0.1:24001")]
