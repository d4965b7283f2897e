"""Where the page listens. Apart from the server, so that whoever only opens the port loads nothing else."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

FIRST_PORT: Final = 8300
_PORTS_TRIED: Final = 100


class PortTaken(OSError):
    """Nobody can listen there; the message says where."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that listens, and where. The port is ours from here on."""

    socket: socket.socket
    host: str
    port: int

    @property
    def url(self) -> str:
        """Return what to open in a browser on this machine."""
        everywhere = self.host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        name = "localhost" if everywhere else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}/"


def listen(host: str, port: int | None) -> Listening:
    """Listen on a port; None: 8300, or the next one that is free.

    Raises:
        PortTaken: somebody else listens there, or it is not an address of this machine.
    """
    ports = range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED) if port is None else (port,)
    last: OSError | None = None
    for each in ports:
        try:
            opened = _open(host, each)
        except OSError as error:
            last = error
        else:
            return Listening(opened, host, opened.getsockname()[1])
    where = f"port {port}" if port is not None else f"any port from {ports[0]} to {ports[-1]}"
    raise PortTaken(f"{where} of {host} cannot be had: {last}")


def _open(host: str, port: int) -> socket.socket:
    family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(family, kind, number)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened
