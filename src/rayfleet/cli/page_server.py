"""The server of the dashboard in the background, as `up` starts it: on a socket that is open already.

python -m rayfleet.cli.page_server [--linger SECONDS] SOCKET
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from pathlib import Path

from rayfleet.cli.dashboard import built
from rayfleet.dashboard.listening import Listening, listen
from rayfleet.dashboard.login import token_of
from rayfleet.launcher import page


def main(arguments: list[str]) -> int:
    """Serve until no cluster has been up for a while; return the exit code."""
    parser = argparse.ArgumentParser(prog="rayfleet.cli.page_server")
    parser.add_argument("--linger", type=float, default=page.LINGER_S, metavar="SECONDS")
    parser.add_argument("socket", type=int)
    given = parser.parse_args(arguments)
    opened = socket.socket(fileno=given.socket)
    asyncio.run(_serve(Listening(opened, *opened.getsockname()[:2]), given.linger))
    return 0


async def _serve(listening: Listening, linger_s: float) -> None:
    gate, _ = built((), asks=False)
    from rayfleet.dashboard import server

    over = page.until_unwanted(linger_s, lambda: server.open_pages() > 0)
    await server.serve(gate, listening, lambda: None, over)


async def serve_on_head(port: int) -> None:
    """Serve whoever logs in, on loopback, until standard input ends; print the token as JSON once it answers.

    Raises:
        PortTaken: somebody else listens there.
    """
    gate, token_file = built((), asks=True)
    from rayfleet.dashboard import server

    def tell() -> None:
        print(json.dumps({"token": token_of(Path(token_file))}), flush=True)

    await server.serve(gate, listen("127.0.0.1", port), tell, _input_ends())


async def _input_ends() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
