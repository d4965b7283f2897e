"""Which cluster has which host of a pool, and how that changes. Pure; every change may be repeated.

    free --take--> a cluster's --give back--> free
                      |  ^
                free (by people)  adopt (its lease says so)

A host is at one cluster, or at none: that is all the state there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rayfleet.wire.coordinator.terms import Adopt, Grant, PoolHost, Return, Take


@dataclass(frozen=True, slots=True)
class Book:
    """The pool, in the order of its file."""

    hosts: tuple[PoolHost, ...] = ()

    def offering(self, forms: Iterable[Mapping[str, Any]]) -> Book:
        """Return it with these hosts on offer. One that is no longer there leaves as soon as no cluster has it."""
        known = {host.address: host for host in self.hosts}
        listed = [
            replace(known.pop(form["address"], PoolHost(form)), form=form, listed=True) for form in map(dict, forms)
        ]
        return Book((*listed, *(replace(host, listed=False) for host in known.values() if host.grant is not None)))

    def take(self, wish: Take, now: float) -> Book:
        """Grant a cluster free hosts until it has as many under its token as it wishes for, or none is left.

        A host that could not be used before comes last: what was wrong with it may be so still.
        """
        held = sum(host.is_of(wish.cluster) and _token(host) == wish.token for host in self.hosts)
        free = {host.address: host for host in self.hosts if host.grant is None}
        fitting = [free[address] for address in dict.fromkeys(wish.order) if address in free]
        fitting.sort(key=lambda host: bool(host.note))
        grant = Grant(wish.cluster, wish.token, wish.sign, wish.about, now)
        return self._changed(replace(host, grant=grant, note="") for host in fitting[: max(0, wish.count - held)])

    def give_back(self, given: Return) -> Book:
        """Free a host that the cluster has by that very grant; any other is left alone."""
        return self._changed(
            replace(host, grant=None, note=given.note)
            for host in self.hosts
            if host.address == given.address and host.is_of(given.cluster) and _sign(host) == given.sign
        )

    def adopt(self, own: Adopt) -> Book:
        """Note whose a host is by its lease, when it is nobody's here."""
        grant = Grant(own.cluster, own.token, own.sign, own.about, own.since)
        return self._changed(
            replace(host, grant=grant, note="")
            for host in self.hosts
            if host.address == own.address and host.grant is None
        )

    def free(self, address: str) -> Book:
        """Take a host back from whoever has it.

        Raises:
            KeyError: there is no such host.
        """
        (host,) = [host for host in self.hosts if host.address == address] or (None,)
        if host is None:
            raise KeyError(address)
        return self._changed((replace(host, grant=None, note=""),))

    def _changed(self, changes: Iterable[PoolHost]) -> Book:
        """Return it with some hosts as they are now; one that is off the list and free is gone."""
        new = {host.address: host for host in changes}
        hosts = (new.get(host.address, host) for host in self.hosts)
        return Book(tuple(host for host in hosts if host.listed or host.grant is not None))


def _token(host: PoolHost) -> str:
    return host.grant.token if host.grant else ""


def _sign(host: PoolHost) -> str:
    return host.grant.sign if host.grant else ""
