"""Those who are told, without anybody: in memory on virtual time, and as servers for webhooks and mail on this machine.

FakeReceiver("slack", hangs=True)                       never answers
with WebhookServer() as hooks: hooks.address("/slack")  keeps what is posted, and answers as it is told to
with MailServer() as mail: mail.port                    keeps letters
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedRWPair
from types import TracebackType
from typing import Any, Self

from rayfleet.reports.alerts.message import Message
from rayfleet.reports.alerts.receiver import NotDelivered

HOST = "127.0.0.1"


@dataclass(slots=True)
class FakeReceiver:
    """Remembers messages; fails the first `failures` times (`again`: it may work later), or hangs for ever."""

    label: str = "fake"
    failures: int = 0
    again: bool = True
    hangs: bool = False
    takes_s: float = 0.0
    tries: int = 0
    got: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        """Remember it, fail or hang."""
        self.tries += 1
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(self.takes_s)
        if self.tries <= self.failures:
            raise NotDelivered("it answers 503", again=self.again)
        self.got.append(message)


@dataclass(frozen=True, slots=True)
class Post:
    """One request: its path with the query, and its body."""

    path: str
    body: Any
    content_type: str


Answer = tuple[int, bytes]


class WebhookServer:
    """Takes posts on a port of this machine. `answers`: path -> status and body; all others get 200 and `ok`.

    A path that begins with /hang gets no answer until the server is closed; `hangs` says that somebody waits for one.
    """

    def __init__(self, answers: dict[str, Answer] | None = None) -> None:
        """Start nothing yet."""
        self.posts: list[Post] = []
        self.answers = dict(answers or {})
        self.hangs, self.closing = threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def address(self, path: str = "/") -> str:
        """Return the web address of a path here."""
        return f"http://{HOST}:{self.port}{path}"

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of who hangs, and end."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(server: WebhookServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            kind = self.headers.get("Content-Type", "")
            server.posts.append(Post(self.path, json.loads(raw) if "json" in kind else raw, kind))
            plain = self.path.partition("?")[0]
            if plain.startswith("/hang"):
                server.hangs.set()
                server.closing.wait()
                return
            status, body = server.answers.get(plain, (200, b"ok"))
            self.send_response(status)
            if 300 <= status < 400:  # noqa: PLR2004 - sent elsewhere
                self.send_header("Location", server.address("/elsewhere"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    return Handler


@dataclass(frozen=True, slots=True)
class Letter:
    """One e-mail as the server got it."""

    sender: str
    to: tuple[str, ...]
    text: str


class MailServer:
    """Takes mail (SMTP, in plain text) on a port of this machine. `refuses`: addresses that it knows nothing of."""

    def __init__(self, refuses: frozenset[str] = frozenset()) -> None:
        """Listen; nobody is answered yet."""
        self.letters: list[Letter] = []
        self._refuses = refuses
        self._listening = socket.create_server((HOST, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self._listening.getsockname()[1])

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take nobody any more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                self._converse(stream)

    def _converse(self, stream: BufferedRWPair) -> None:
        heard: Callable[[], bytes] = stream.readline

        def say(line: bytes) -> None:
            stream.write(line + b"\r\n")
            stream.flush()

        sender, to = "", list[str]()
        say(b"220 here")
        while line := heard().decode().strip():
            word, _, rest = line.partition(" ")
            known = rest.rpartition("<")[2].partition(">")[0]
            match word.upper():
                case "MAIL":
                    sender, to = known, []
                case "RCPT" if known in self._refuses:
                    say(b"550 nobody of that name")
                    continue
                case "RCPT":
                    to.append(known)
                case "DATA":
                    say(b"354 go on")
                    self.letters.append(Letter(sender, tuple(to), _until_dot(heard)))
                case "QUIT":
                    say(b"221 bye")
                    return
                case _:
                    pass
            say(b"250 ok")


def _until_dot(heard: Callable[[], bytes]) -> str:
    lines = list[str]()
    while (line := heard().decode().rstrip("\r\n")) != ".":
        lines.append(line)
    return "\n".join(lines)
