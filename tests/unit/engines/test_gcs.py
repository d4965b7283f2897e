"""Calls to a GCS: which token each shows, and what is told when there is none to show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from rayfleet.contracts import EngineDown
from rayfleet.engines.ray.gcs import Gcs
from rayfleet.engines.ray.protobufs import autoscaler
from rayfleet.engines.ray.settings import TlsFiles
from rayfleet.engines.ray.tls import files_of


class Listening:
    """A GCS that answers everything with nothing, and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.server = grpc.aio.server()
        answer = grpc.unary_unary_rpc_method_handler(self._answer)
        service = "ray.rpc.autoscaler.AutoscalerStateService"
        handlers = {"GetClusterResourceState": answer}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def _answer(self, _request: bytes, context: Any) -> bytes:
        self.shown += [value for key, value in context.invocation_metadata() if key == "authorization"]
        reply: bytes = autoscaler.GetClusterResourceStateReply().SerializeToString()
        return reply


@pytest.fixture
async def gcs() -> AsyncIterator[Listening]:
    listening = Listening()
    await listening.server.start()
    yield listening
    await listening.server.stop(None)


async def test_a_token_that_changes_is_shown_as_it_is_at_each_call(gcs: Listening, tmp_path: Path) -> None:
    """Tokens of Kubernetes end after an hour, and connections live on."""
    file = tmp_path / "token"
    calls = Gcs(f"127.0.0.1:{gcs.port}", file.read_text)
    for token in ("of this hour", "of the next"):
        file.write_text(token)
        await calls.state()
    await calls.close()
    assert gcs.shown == ["Bearer of this hour", "Bearer of the next"]


async def test_without_token_none_is_shown(gcs: Listening) -> None:
    calls = Gcs(f"127.0.0.1:{gcs.port}", lambda: "")
    await calls.state()
    await calls.close()
    assert gcs.shown == []


async def test_a_token_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    calls = Gcs("127.0.0.1:1", (tmp_path / "none").read_text)
    with pytest.raises(EngineDown, match="cannot be read"):
        await calls.state()


def test_ray_s_own_variables_name_the_files() -> None:
    files = {"RAY_TLS_SERVER_CERT": "/c", "RAY_TLS_SERVER_KEY": "/k", "RAY_TLS_CA_CERT": "/a"}
    assert files_of({"RAY_USE_TLS": "1", **files}) == TlsFiles("/c", "/k", "/a")
    assert files_of({"RAY_USE_TLS": "0", **files}) is None
    assert files_of(files) is None
    with pytest.raises(FileNotFoundError, match="RAY_TLS_SERVER_KEY, RAY_TLS_CA_CERT is not"):
        files_of({"RAY_USE_TLS": "true", "RAY_TLS_SERVER_CERT": "/c"})
