"""The front of the pretended Alibaba Cloud: HTTP, the faults that it is told to make, and the log of all calls."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from rayfleet.testing.clouds.aliyun_wire import Refused


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` calls of `action` ("*": any) whose parameters are as `where` says.

    `after`: the call is carried out, and its answer is lost. `code` "": no error, only the delay.
    """

    action: str
    code: str = ""
    message: str = "as told"
    status: int = 403
    times: int = 1
    delay_s: float = 0.0
    after: bool = False
    where: dict[str, str] = field(default_factory=dict)

    def happen(self) -> None:
        """End the call as it should end; nothing where there is only a delay."""
        if self.code:
            raise Refused(self.code, self.message, self.status)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that came: its parameters without the signature, and the code that it ended in ("": it worked)."""

    action: str
    parameters: dict[str, str]
    code: str = ""


class Service(Protocol):
    """What stands behind the front."""

    faults: list[Fault]
    log: list[Call]

    def answered(self, action: str, parameters: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Carry a call out; return HTTP status and body."""
        ...

    def forced(self, word: Mapping[str, Any]) -> None:
        """Do what `POST /_instance` asks."""
        ...

    def metadata(self, address: str, what: str) -> str | None:
        """Return what the machine at an address is told about itself."""
        ...


def handler(ecs: Service) -> type[BaseHTTPRequestHandler]:
    """Return what answers requests for a service."""

    class Handler(BaseHTTPRequestHandler):
        """The front: signatures are not checked."""

        protocol_version = "HTTP/1.1"
        wbufsize = 64 * 1024  # an answer in one piece: in two, the second waits for the other side's acknowledgement
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """Answer a call, or one of ours."""
            length = int(self.headers.get("Content-Length") or 0)
            body, url = self.rfile.read(length), urllib.parse.urlsplit(self.path)
            if url.path == "/_fault":
                ecs.faults.append(Fault(**json.loads(body)))
                self._answer(200, {})
            elif url.path == "/_instance":
                ecs.forced(json.loads(body))
                self._answer(200, {})
            else:
                query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                self._answer(*ecs.answered(self.headers.get("x-acs-action", ""), query))

        def do_PUT(self) -> None:
            """Give a machine the token with which it asks about itself."""
            known = self.path == "/latest/api/token"
            self._write(200 if known else 404, b"token" if known else b"", "text/plain")

        def do_GET(self) -> None:
            """Show the log, or tell a machine about itself."""
            if self.path == "/_log":
                self._answer(200, {"calls": [asdict(call) for call in ecs.log]})
                return
            told = ecs.metadata(str(self.client_address[0]), self.path.removeprefix("/latest/"))
            self._write(404 if told is None else 200, (told or "").encode(), "text/plain")

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            self._write(status, json.dumps(body).encode(), "application/json")

        def _write(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the server's
            """Keep quiet; `/_log` has everything."""

    return Handler
