"""The server of the dashboard in the background, as `up` starts it: on a socket that is open already.

python -m rayfleet.cli.page_server [--linger SECONDS] SOCKET
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys

from rayfleet.cli.dashboard import built
from rayfleet.dashboard.listening import Listening
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
