"""Stands for the cloud's own SDK: calls, words and errors that are not ours. A real provider has no such file.

What matters is how it differs from the contract, as every cloud does: it has its own ids, states and error codes, knows
tags, and takes a client token per machine.
"""

import itertools
from dataclasses import dataclass, field


class ApiError(Exception):
    """The only error of this SDK; `code` says which."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code and a message."""
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(slots=True)
class Server:
    """A server, as the place describes it."""

    id: str
    token: str
    size: str
    tags: dict[str, str]
    user_data: str
    status: str = "provisioning"
    started: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Place:
    """All servers of one account.

    `quota`: servers at most; `stock` by size (absent: plenty); `failing`: codes that the next calls end in.
    """

    quota: int = 1000
    stock: dict[str, int] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)
    servers: dict[str, Server] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def create_server(self, token: str, size: str, tags: dict[str, str], user_data: str) -> None:
        """Create one server; the same token again creates nothing."""
        self._maybe_fail()
        if token in self.tokens:
            return
        if len(self.servers) >= self.quota:
            raise ApiError("LimitExceeded", f"this account may have {self.quota} servers")
        if self.stock.get(size, 1) < 1:
            raise ApiError("InsufficientCapacity", f"no {size} left")
        if size in self.stock:
            self.stock[size] -= 1
        self.tokens.add(token)
        server = Server(f"srv-{next(self._numbers):06d}", token, size, tags, user_data)
        self.servers[server.id] = server

    async def describe_servers(self, tag: tuple[str, str]) -> list[Server]:
        """Return the servers with a tag. Each is one step further than at the last look."""
        self._maybe_fail()
        key, value = tag
        found = [server for server in self.servers.values() if server.tags.get(key) == value]
        for server in found:
            if server.status == "provisioning":
                server.status = "active"
            elif server.status == "halting":
                server.status = "halted"
        return found

    async def halt_server(self, server_id: str) -> None:
        """Switch a server off; its disk stays, and so does what is written on it."""
        self._maybe_fail()
        if server_id not in self.servers:
            raise ApiError("NotFound", server_id)
        if self.servers[server_id].status != "halted":
            self.servers[server_id].status = "halting"

    async def boot_server(self, server_id: str, token: str, user_data: str) -> None:
        """Switch a server on again; the same token again does nothing."""
        self._maybe_fail()
        server = self.servers.get(server_id)
        if server is None:
            raise ApiError("NotFound", server_id)
        if token not in server.started and server.status in ("halting", "halted"):
            server.started.add(token)
            server.status, server.user_data = "provisioning", user_data

    async def delete_server(self, server_id: str) -> None:
        """Delete a server."""
        self._maybe_fail()
        if server_id not in self.servers:
            raise ApiError("NotFound", server_id)
        del self.servers[server_id]

    def _maybe_fail(self) -> None:
        if self.failing:
            raise ApiError(self.failing.pop(0), "as told")


_PLACES: dict[str, Place] = {}


def place_at(endpoint: str) -> Place:
    """Return the place of that name, the same one every time, as a cloud is."""
    return _PLACES.setdefault(endpoint, Place())
