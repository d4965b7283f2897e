"""Whoever takes traces over OTLP/HTTP, on this machine: decodes what is sent, and answers as it is told to.

with OtlpReceiver() as receiver: receiver.endpoint   for OTEL_EXPORTER_OTLP_ENDPOINT; receiver.spans() is what came
"""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HOST = "127.0.0.1"


@dataclass(slots=True)
class Post:
    """One request: its path, its headers in small letters, and what was in it."""

    path: str
    headers: dict[str, str]
    request: ExportTraceServiceRequest


@dataclass(slots=True)
class OtlpReceiver:
    """A server at a free port of this machine while its block runs. `status`: what it answers."""

    status: int = 200
    posts: list[Post] = field(default_factory=list)
    _server: ThreadingHTTPServer = field(init=False)

    def __enter__(self) -> Self:
        """Start to listen."""
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """Return its address."""
        return f"http://{HOST}:{self._server.server_port}"

    def spans(self) -> dict[str, Any]:
        """Return all spans that came, by name."""
        resources = [one for post in self.posts for one in post.request.resource_spans]
        return {span.name: span for one in resources for scope in one.scope_spans for span in scope.spans}

    def resource(self) -> dict[str, str]:
        """Return who spoke first."""
        told = self.posts[0].request.resource_spans[0].resource.attributes
        return {each.key: each.value.string_value for each in told}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
                request = ExportTraceServiceRequest.FromString(plain)
                receiver.posts.append(Post(self.path, headers, request))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                """Say nothing."""

        return Handler
