"""The words between a coordinator and its clusters, as values and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

PORT: Final = 8375
"""Where a coordinator listens unless told otherwise."""

TOKEN_VARIABLE: Final = "RAYFLEET_COORDINATOR_TOKEN"  # noqa: S105 - the variable's name
"""The environment variable that has the token of a coordinator which asks for one."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Whose a host is. `since`: seconds since the epoch.

    `token`: of the call that asked for it, the same at every repetition; `sign`: makes the machine's id, a new one at
    every call; `about`: the cluster's own words about it, which the coordinator keeps and never reads.
    """

    cluster: str
    token: str
    sign: str
    about: str
    since: float


@dataclass(frozen=True, slots=True)
class PoolHost:
    """One host of a pool. `form`: its lines in the pool's file, with its `address`; `grant` None: it is free.

    `note`: why it was given back, when it could not be used. `listed`: still in the pool; one that is taken out
    of the pool while a cluster has it leaves when it is given back.
    """

    form: Mapping[str, Any]
    grant: Grant | None = None
    note: str = ""
    listed: bool = True

    @property
    def address(self) -> str:
        """Return its name: how the other hosts reach it."""
        return str(self.form["address"])

    def is_of(self, cluster: str) -> bool:
        """Say whether a cluster holds it."""
        return self.grant is not None and self.grant.cluster == cluster

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        grant = asdict(self.grant) if self.grant else None
        return {"host": dict(self.form), "grant": grant, "note": self.note, "listed": self.listed}


@dataclass(frozen=True, slots=True)
class Take:
    """A wish: `count` hosts in all under `token`, of `order`, the best first. The same one again changes nothing."""

    cluster: str
    token: str
    count: int
    order: tuple[str, ...]
    sign: str
    about: str


@dataclass(frozen=True, slots=True)
class Return:
    """A host that a cluster gives back. `sign`: of the grant that is meant; `note`: why it could not be used, or ""."""

    cluster: str
    address: str
    sign: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Adopt:
    """A host whose lease is a cluster's own although the coordinator does not know that: after it has lost its file."""

    cluster: str
    address: str
    token: str
    sign: str
    about: str
    since: float


def hosts_of(value: Any) -> tuple[PoolHost, ...]:
    """Read hosts from JSON.

    Raises:
        ValueError: it is something else.
    """
    try:
        return tuple(_host(row) for row in value)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no list of a pool's hosts: {error!r}") from error


def in_time_of(hosts: Iterable[PoolHost], ahead_s: float) -> tuple[PoolHost, ...]:
    """Return hosts with times of a clock that is so much ahead of the coordinator's."""
    return tuple(
        replace(host, grant=replace(host.grant, since=host.grant.since + ahead_s)) if host.grant else host
        for host in hosts
    )


def _host(row: Mapping[str, Any]) -> PoolHost:
    form, grant = dict(row["host"]), row["grant"]
    form["address"] = str(form["address"])
    return PoolHost(form, Grant(**grant) if grant else None, str(row["note"]), bool(row["listed"]))


def take_of(value: Mapping[str, Any]) -> Take:
    """Read a wish from JSON.

    Raises:
        ValueError: it is something else.
    """
    try:
        words = {key: str(value[key]) for key in ("cluster", "token", "sign", "about")}
        return Take(**words, count=int(value["count"]), order=tuple(map(str, value["order"])))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no wish for hosts: {error!r}") from error


def return_of(value: Mapping[str, Any]) -> Return:
    """Read what is given back from JSON.

    Raises:
        ValueError: it is something else.
    """
    try:
        return Return(*(str(value[key]) for key in ("cluster", "address", "sign", "note")))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no host that is given back: {error!r}") from error


def adopt_of(value: Mapping[str, Any]) -> Adopt:
    """Read what is said to be a cluster's own from JSON.

    Raises:
        ValueError: it is something else.
    """
    try:
        words = {key: str(value[key]) for key in ("cluster", "address", "token", "sign", "about")}
        return Adopt(**words, since=float(value["since"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no host that is somebody's: {error!r}") from error


def holders(hosts: Iterable[PoolHost]) -> str:
    """Return who has how many of some hosts, for people."""
    listed = tuple(hosts)
    count = Counter(host.grant.cluster for host in listed if host.grant)
    free = sum(host.grant is None for host in listed)
    said = [f"{name} holds {number}" for name, number in sorted(count.items(), key=lambda item: (-item[1], item[0]))]
    said += [f"{free} free"] if free else []
    return f"{len(listed)} host{'s' * (len(listed) != 1)}: {', '.join(said)}" if listed else "no hosts"
