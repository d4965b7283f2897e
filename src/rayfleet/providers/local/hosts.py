"""Which hosts a cluster may look at and take: those of its file. `pooled` has the other kind."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rayfleet.contracts import LaunchRequest
from rayfleet.model import OfferKey
from rayfleet.providers.local.lease import Lease
from rayfleet.providers.local.settings import HostForm, Settings


@dataclass(frozen=True, slots=True)
class Reserved:
    """A host that may be leased now, under this machine's id."""

    host: HostForm
    id: str


@dataclass(frozen=True, slots=True)
class Promised:
    """A machine that a coordinator knows as ours: what its lease says, or will say. `sign`: of its grant."""

    id: str
    batch: str
    offer: OfferKey
    head: bool
    since: float
    sign: str


class Hosts(Protocol):
    """Where hosts come from. Raises, each coroutine: Flaky, Denied."""

    @property
    def place(self) -> str:
        """Return what names the hosts, for people."""
        ...

    async def ours(self, known: Iterable[str]) -> tuple[HostForm, ...]:
        """Return the hosts that may have a lease of ours; `known`: addresses of those that had one."""
        ...

    async def all(self) -> tuple[HostForm, ...]:
        """Return all hosts that there are."""
        ...

    def promised(self, address: str) -> Promised | None:
        """Return what is ours at an address by the newest answer, whatever is on the host itself."""
        ...

    async def reserve(
        self, request: LaunchRequest, count: int, order: tuple[HostForm, ...]
    ) -> tuple[tuple[Reserved, ...], str]:
        """Return at most `count` hosts to try now, those of `order` first; and why there are not more."""
        ...

    async def drop(self, address: str, machine_id: str, note: str = "") -> None:
        """Let a host go that has no lease of ours. `note`: why it could not be used."""
        ...

    async def confirm(self, address: str, lease: Lease) -> None:
        """Tell that a host has a lease of ours."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class OwnHosts:
    """The hosts of the cluster's own file: whoever finds one free may have it."""

    place = "the file"

    def __init__(self, settings: Settings) -> None:
        """Take the file's section."""
        self._hosts = settings.all_hosts()

    async def ours(self, known: Iterable[str]) -> tuple[HostForm, ...]:  # noqa: ARG002 - all are looked at
        """Return all: a lease may be on any."""
        return self._hosts

    async def all(self) -> tuple[HostForm, ...]:
        """Return all."""
        return self._hosts

    def promised(self, address: str) -> Promised | None:  # noqa: ARG002 - nobody promises anything
        """Return nothing: only leases count."""
        return None

    async def reserve(
        self,
        request: LaunchRequest,  # noqa: ARG002 - it has chosen already
        count: int,
        order: tuple[HostForm, ...],
    ) -> tuple[tuple[Reserved, ...], str]:
        """Return the first of them."""
        return tuple(Reserved(host, f"{host.address}-{new_sign()}") for host in order[:count]), ""

    async def drop(self, address: str, machine_id: str, note: str = "") -> None:
        """Do nothing: nobody else keeps books."""

    async def confirm(self, address: str, lease: Lease) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


def new_sign() -> str:
    """Return what tells one use of a host from the next: Ray remembers the ids of dead machines."""
    return os.urandom(3).hex()
