"""Tells the GCS that a node's raylet has died: `python -m rayfleet.engines.ray.farewell GCS_ADDRESS NODE_ID`.

A program of its own, run by `node_main` only when it is needed: it takes gRPC, which a node's start must not wait for.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import grpc

from rayfleet.engines.ray.protobufs import common, generated

_METHOD: Final = "/ray.rpc.NodeInfoGcsService/UnregisterNode"
_TIMEOUT_S: Final = 3.0


def say_farewell(gcs_address: str, node_id: str) -> None:
    """Have the GCS call the node dead now. Raises grpc.RpcError when it does not answer."""
    service = generated("gcs_service_pb2")
    death = common.NodeDeathInfo(
        reason=common.NodeDeathInfo.Reason.Value("UNEXPECTED_TERMINATION"), reason_message="its raylet has ended"
    )
    request = service.UnregisterNodeRequest(node_id=bytes.fromhex(node_id), node_death_info=death)
    token_path = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    token = Path(token_path).read_text(encoding="utf-8").strip() if token_path else ""
    with grpc.insecure_channel(gcs_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(
            _METHOD,
            request_serializer=service.UnregisterNodeRequest.SerializeToString,
            response_deserializer=service.UnregisterNodeReply.FromString,
        )
        call(request, timeout=_TIMEOUT_S, metadata=[("authorization", f"Bearer {token}")] if token else [])


if __name__ == "__main__":
    say_farewell(*sys.argv[1:3])
