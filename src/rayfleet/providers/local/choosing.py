"""Which hosts a launch may take, in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from rayfleet.contracts import LaunchRequest
from rayfleet.model import Resources
from rayfleet.providers.local.settings import HostForm


def places(request: LaunchRequest) -> tuple[str, ...]:
    """Return a name for each machine that a request asks for, the same at every repetition."""
    return tuple(f"{claim}/{host}" for claim in request.claims for host in range(request.hosts))


def fitting(hosts: Iterable[HostForm], request: LaunchRequest) -> tuple[HostForm, ...]:
    """Return the hosts that a request may have, the best first.

    A head goes to the host that is named for it, if one is. Workers go to those of their pool first, then to the
    smallest that is large enough; a host whose size nobody has written is taken for large enough, and last.
    """
    listed = tuple(hosts)
    named = any(host.head for host in listed)
    found = [
        (not (host.pool or host.head), _waste(host, request.pool.resources), number, host)
        for number, host in enumerate(listed)
        if (host.head if request.head and named else not host.head)
        and (host.head or host.pool in (None, request.pool.name))
        and (host.room is None or request.pool.resources.fits(host.room))
    ]
    return tuple(host for *_, host in sorted(found, key=lambda row: row[:3]))


def _waste(host: HostForm, needed: Resources) -> tuple[bool, tuple[int, ...]]:
    """Return how much more a host has than is needed, in an order of resources that is always the same."""
    if host.room is None:
        return True, ()
    return False, tuple((host.room - needed).get(name, 0) for name in ("GPU", "CPU", "memory"))
