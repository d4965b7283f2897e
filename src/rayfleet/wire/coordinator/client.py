"""A coordinator's calls, and the real ones over HTTP. Each answers with the whole pool as it is afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp

from rayfleet.wire.coordinator.terms import PORT, Adopt, PoolHost, Return, Take, hosts_of, in_time_of

ANSWER_S: Final = 10.0
_ERRORS: Final = 400
_FAULTS: Final = 500
_SHOWN: Final = 200


class CoordinatorError(Exception):
    """A coordinator did not answer, or not as one does; the same call may be made again."""


class CoordinatorRefuses(CoordinatorError):
    """It does not let us in, or there is a mistake in what it was asked: asking again does not help."""


class Coordinator(Protocol):
    """Who knows which cluster has which host of a shared pool. Every call may be repeated.

    Raises, each of them: CoordinatorError, CoordinatorRefuses.
    """

    @property
    def name(self) -> str:
        """Return where it is, for people."""
        ...

    async def hosts(self) -> tuple[PoolHost, ...]:
        """Return the pool."""
        ...

    async def take(self, wish: Take) -> tuple[PoolHost, ...]:
        """Have hosts granted, as many as are free; what was granted under the token before counts."""
        ...

    async def give_back(self, host: Return) -> tuple[PoolHost, ...]:
        """Give one back; one that is somebody else's by now is left alone."""
        ...

    async def adopt(self, host: Adopt) -> tuple[PoolHost, ...]:
        """Tell that one is ours; one that is somebody else's by its books stays that."""
        ...

    async def free(self, address: str) -> tuple[PoolHost, ...]:
        """Take one back from whoever has it, without asking: for people who know that its holder is no more."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class HttpCoordinator:
    """A coordinator that is somewhere else."""

    def __init__(self, address: str, token: str, now: Callable[[], float]) -> None:
        """Take `host:port` (or a host alone), what it wants to be shown ("": nothing), and this machine's clock."""
        self._now = now
        self.name = address if ":" in address.rpartition("]")[2] else f"{address}:{PORT}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def hosts(self) -> tuple[PoolHost, ...]:
        """Return the pool."""
        return await self._call("GET", "hosts")

    async def take(self, wish: Take) -> tuple[PoolHost, ...]:
        """Have hosts granted."""
        return await self._call("POST", "take", asdict(wish))

    async def give_back(self, host: Return) -> tuple[PoolHost, ...]:
        """Give one back."""
        return await self._call("POST", "give-back", asdict(host))

    async def adopt(self, host: Adopt) -> tuple[PoolHost, ...]:
        """Tell that one is ours."""
        return await self._call("POST", "adopt", asdict(host))

    async def free(self, address: str) -> tuple[PoolHost, ...]:
        """Take one back."""
        return await self._call("POST", "free", {"address": address})

    async def close(self) -> None:
        """Nothing is kept open: calls are few."""

    async def _call(self, method: str, verb: str, body: Mapping[str, Any] | None = None) -> tuple[PoolHost, ...]:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.request(method, f"http://{self.name}/v1/{verb}", json=body) as answer,
            ):
                status, text = answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise CoordinatorError(
                f"the coordinator at {self.name} does not answer: {str(error) or type(error).__name__}"
            ) from error
        if status >= _ERRORS:
            raise _refusal(self.name, status, text)
        try:
            said = json.loads(text)
            return in_time_of(hosts_of(said["hosts"]), self._now() - float(said["now"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CoordinatorRefuses(f"what answers at {self.name} is no coordinator: {text[:_SHOWN]!r}") from error


def _refusal(name: str, status: int, said: str) -> CoordinatorError:
    try:
        why = json.loads(said)["error"]
    except (ValueError, KeyError, TypeError):
        why = said[:_SHOWN]
    text = f"the coordinator at {name} says {status}: {why}"
    return CoordinatorError(text) if status >= _FAULTS else CoordinatorRefuses(text)


def token_in(path: str) -> str:
    """Return the token that a file holds.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
    """
    return Path(path).expanduser().read_text(encoding="utf-8").strip()
