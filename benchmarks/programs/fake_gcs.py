"""Pretended GCSs of many clusters: a head each, no workers, and as much demand as they are told.

python -m benchmarks.programs.fake_gcs PORT ...

Commands are JSON, one on a line, and answered by one line:

    {"port": 6379, "demand": 3}   -> {"at": seconds since the epoch}   so many tasks of one CPU wait there from then on

Many clusters may be reached at one port, at other loopback addresses each; then they are all told the same.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import grpc
import grpc.aio

from rayfleet.engines.ray.protobufs import autoscaler
from rayfleet.engines.ray.view import HEAD_RESOURCE

_SERVICE = "ray.rpc.autoscaler.AutoscalerStateService"


class Gcs:
    """What one port says."""

    def __init__(self) -> None:
        """Know of no demand."""
        self.demand = 0
        self._version = 0
        self._reported = 0

    async def state(self, _request: Any, _context: Any) -> Any:
        """Answer what a look asks."""
        self._version += 1
        head = autoscaler.NodeState(
            node_id=bytes([1] * 28),
            status=autoscaler.IDLE,
            idle_duration_ms=self._version,
            total_resources={HEAD_RESOURCE: 1.0, "memory": 2e9, "object_store_memory": 1e9},
            available_resources={HEAD_RESOURCE: 1.0, "memory": 2e9, "object_store_memory": 1e9},
        )
        request = autoscaler.ResourceRequest(resources_bundle={"CPU": 1.0})
        waiting = [autoscaler.ResourceRequestByCount(request=request, count=self.demand)] if self.demand else []
        state = autoscaler.ClusterResourceState(
            cluster_resource_state_version=self._version,
            cluster_session_name="session",
            node_states=[head],
            pending_resource_requests=waiting,
        )
        return autoscaler.GetClusterResourceStateReply(cluster_resource_state=state)

    async def status(self, _request: Any, _context: Any) -> Any:
        """Answer what was reported last."""
        state = autoscaler.AutoscalingState(autoscaler_state_version=self._reported)
        return autoscaler.GetClusterStatusReply(autoscaling_state=state)

    async def report(self, request: Any, _context: Any) -> Any:
        """Take a report."""
        self._reported = request.autoscaling_state.autoscaler_state_version
        return autoscaler.ReportAutoscalingStateReply()

    def handler(self) -> Any:
        """Return what a server hands calls to."""
        calls = {
            "GetClusterResourceState": (self.state, autoscaler.GetClusterResourceStateRequest),
            "GetClusterStatus": (self.status, autoscaler.GetClusterStatusRequest),
            "ReportAutoscalingState": (self.report, autoscaler.ReportAutoscalingStateRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                answer, request_deserializer=asked.FromString, response_serializer=_as_bytes
            )
            for name, (answer, asked) in calls.items()
        }
        return grpc.method_handlers_generic_handler(_SERVICE, handlers)


def _as_bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


async def serve(ports: list[int]) -> None:
    """Answer at all ports, on every address of this machine, and do what is told until nothing more is."""
    places, servers = {port: Gcs() for port in ports}, []
    for port, gcs in places.items():
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers((gcs.handler(),))
        server.add_insecure_port(f"0.0.0.0:{port}")
        await server.start()
        servers.append(server)
    print(json.dumps({"serving": len(servers)}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        told = json.loads(line)
        places[told["port"]].demand = told["demand"]
        print(json.dumps({"at": time.time()}), flush=True)
    await asyncio.gather(*(server.stop(None) for server in servers))


if __name__ == "__main__":
    asyncio.run(serve([int(port) for port in sys.argv[1:]]))
