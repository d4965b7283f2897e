"""Calls to Ray's GCS: the autoscaler service over gRPC, with the cluster's token and certificates. Knows no policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import grpc
import grpc.aio

from rayfleet.contracts import EngineDown, EngineError, EngineRefuses
from rayfleet.engines.ray.protobufs import autoscaler, generated

T = TypeVar("T")

_GROUPS: Final = "/ray.rpc.PlacementGroupInfoGcsService"
_SERVICE: Final = "/ray.rpc.autoscaler.AutoscalerStateService"
_JOBS: Final = "/ray.rpc.JobInfoGcsService"
_KV: Final = "/ray.rpc.InternalKVGcsService"
_RESOURCES: Final = "/ray.rpc.NodeResourceInfoGcsService"
_OPTIONS: Final = (
    # A cluster's state has no bound; the default limit of 4 MiB would make a large one unreadable.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # gRPC waits longer and longer (up to two minutes) between attempts to connect; a GCS is back within seconds.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Proxies are for the world outside; the head is one of ours.
    ("grpc.enable_http_proxy", 0),
)
_WORDS: Final = "grpc-status-details-bin"
_GONE: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


def no_tls() -> None:
    """Return that nothing is encrypted."""


class Gcs:
    """One GCS. The connection is made at the first call and survives restarts of the GCS."""

    def __init__(
        self,
        address: str,
        token: Callable[[], str],
        timeout_s: float = 5.0,
        tls: Callable[[], grpc.ChannelCredentials | None] = no_tls,
    ) -> None:
        """Take host:port; where the token ("" = none) of each call and the certificates of a connection come from."""
        self._tls = tls
        self._address = address
        self._token = token
        self._timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None

    async def state(self) -> Any:
        """Return the ClusterResourceState. Raises EngineDown."""
        request = autoscaler.GetClusterResourceStateRequest()
        reply = await self._call("GetClusterResourceState", request, autoscaler.GetClusterResourceStateReply)
        return reply.cluster_resource_state

    async def reported_version(self) -> int:
        """Return the version of the autoscaling state that the GCS holds, 0 when none. Raises EngineDown."""
        request = autoscaler.GetClusterStatusRequest()
        reply = await self._call("GetClusterStatus", request, autoscaler.GetClusterStatusReply)
        return int(reply.autoscaling_state.autoscaler_state_version)

    async def report(self, state: Any) -> None:
        """Replace the autoscaling state; the GCS ignores a version below the one it holds. Raises EngineDown."""
        request = autoscaler.ReportAutoscalingStateRequest(autoscaling_state=state)
        await self._call("ReportAutoscalingState", request, autoscaler.ReportAutoscalingStateReply)

    async def request_resources(self, constraint: Any) -> None:
        """Replace what `request_resources` asks for; an empty message clears it. Raises EngineDown."""
        request = autoscaler.RequestClusterResourceConstraintRequest(cluster_resource_constraint=constraint)
        await self._call("RequestClusterResourceConstraint", request, autoscaler.RequestClusterResourceConstraintReply)

    async def drain(self, node_id: str, message: str, deadline_ms: int, *, voluntary: bool) -> tuple[bool, str]:
        """Ask for a drain and return (accepted, why not). Raises EngineDown.

        The GCS says yes to unknown ids, and to draining the head: whoever calls must know better.
        """
        reasons = autoscaler.DrainNodeReason
        request = autoscaler.DrainNodeRequest(
            node_id=bytes.fromhex(node_id),
            reason=reasons.Value(f"DRAIN_NODE_REASON_{'IDLE_TERMINATION' if voluntary else 'PREEMPTION'}"),
            reason_message=message,
            deadline_timestamp_ms=deadline_ms,
        )
        reply = await self._call("DrainNode", request, autoscaler.DrainNodeReply)
        return bool(reply.is_accepted), str(reply.rejection_reason_message)

    async def draining(self) -> dict[str, float]:
        """Return by when nodes leave that are drained by force, seconds since the epoch. Raises EngineDown."""
        service = generated("gcs_service_pb2")
        request = service.GetDrainingNodesRequest()
        reply = await self._call("GetDrainingNodes", request, service.GetDrainingNodesReply, _RESOURCES)
        nodes = [each for each in reply.draining_nodes if each.draining_deadline_timestamp_ms > 0]
        return {each.node_id.hex(): each.draining_deadline_timestamp_ms / 1000 for each in nodes}

    async def resize(self, node_id: str, amounts: Mapping[str, float]) -> None:
        """Have a node offer as much. Raises EngineDown; EngineError for a node that is not there, and an older Ray."""
        if not hasattr(autoscaler, "ResizeRayletResourceInstancesRequest"):
            raise EngineError("this Ray is too old for nodes that grow")
        request = autoscaler.ResizeRayletResourceInstancesRequest(node_id=bytes.fromhex(node_id), resources=amounts)
        reply = autoscaler.ResizeRayletResourceInstancesReply
        await self._call("ResizeRayletResourceInstances", request, reply)

    async def placement_groups(self, limit: int) -> Any:
        """Return placement groups (PlacementGroupTableData), removed ones too. Raises EngineDown."""
        service = generated("gcs_service_pb2")
        request = service.GetAllPlacementGroupRequest(limit=limit)
        reply = await self._call("GetAllPlacementGroup", request, service.GetAllPlacementGroupReply, _GROUPS)
        return reply.placement_group_table_data

    async def jobs(self) -> Any:
        """Return all jobs (JobTableData), ended ones too, without what their submitters said. Raises EngineDown."""
        service = generated("gcs_service_pb2")  # 2 MiB that only this call needs
        request = service.GetAllJobInfoRequest(skip_submission_job_info_field=True, skip_is_running_tasks_field=True)
        reply = await self._call("GetAllJobInfo", request, service.GetAllJobInfoReply, _JOBS)
        return reply.job_info_list

    async def put(self, key: str, value: str) -> None:
        """Write a key of Ray's own table of keys, whatever it holds. Raises EngineDown."""
        service = generated("gcs_service_pb2")
        request = service.InternalKVPutRequest(key=key.encode(), value=value.encode(), overwrite=True)
        await self._call("InternalKVPut", request, service.InternalKVPutReply, _KV)

    async def close(self) -> None:
        """Let go of the connection; the next call makes a new one."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _call(self, method: str, request: Any, reply: Any, service: str = _SERVICE) -> Any:
        metadata, channel = self._credentials(), self._connected()
        call = channel.unary_unary(
            f"{service}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        return await _translated(call(request, timeout=self._timeout_s, metadata=metadata), self._address)

    def _credentials(self) -> tuple[tuple[str, str], ...]:
        """Return what each call shows: the token as it is now, since tokens of Kubernetes last an hour. EngineDown."""
        try:
            token = self._token()
        except OSError as error:
            raise EngineDown(f"the cluster's token cannot be read: {error}") from error
        return (("authorization", f"Bearer {token}"),) if token else ()

    def _connected(self) -> grpc.aio.Channel:
        """Return the connection. EngineDown."""
        if self._channel is None:
            try:
                credentials = self._tls()
            except OSError as error:
                raise EngineDown(f"the cluster's certificates cannot be read: {error}") from error
            if credentials is None:
                self._channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS)
            else:
                self._channel = grpc.aio.secure_channel(self._address, credentials, options=_OPTIONS)
        return self._channel


async def _translated(answer: Awaitable[T], address: str) -> T:
    """Await an answer, with gRPC's errors in the words of the contract."""
    try:
        return await answer
    except grpc.aio.AioRpcError as error:
        if error.code() in _GONE:
            raise EngineDown(f"Ray's GCS at {address} does not answer: {error.details()}") from error
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise EngineRefuses(f"Ray's GCS at {address} refuses the cluster's token: {error.details()}") from error
        raise EngineError(f"Ray's GCS at {address}: {error.code().name}: {_said(error)}") from error


def _said(error: grpc.aio.AioRpcError) -> str:
    """Return what Ray has to say about its refusal: its status has only the kind ("Invalid"), the words come behind."""
    words = dict(error.trailing_metadata() or ()).get(_WORDS)
    return words.decode(errors="replace") if isinstance(words, bytes) else str(error.details())
