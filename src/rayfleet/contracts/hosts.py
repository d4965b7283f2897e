"""Hosts that somebody owns: what there is to know of them that a listing of machines cannot tell.

Machines that were made for a cluster are the place's to list, whether they answer or not. Of a host of one's own only
the host itself knows what runs there: while it is out of reach, nobody may say that nothing does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rayfleet.contracts.provider import ProviderContext


@dataclass(frozen=True, slots=True)
class SilentHost:
    """A host that did not answer when it was looked at last, and why.

    `machine_id`, `pool`: the cluster's machine that may still be there; "": none is known to be. `head`: it is the
    cluster's head.
    """

    address: str
    why: str
    machine_id: str = ""
    pool: str = ""
    head: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class HostFinding:
    """One thing about a host that is not as it should be. `what`: one word, for programs. `fatal`: it is of no use."""

    what: str
    text: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One host before a cluster takes it (pre-flight). `head`: the file names it for the head.

    `facts`: what it says of itself, in words, by name; empty when it does not answer.
    """

    address: str
    head: bool
    facts: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[HostFinding, ...] = ()

    @property
    def usable(self) -> bool:
        """Say whether it can be taken."""
        return not any(finding.fatal for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "findings": [asdict(each) for each in self.findings], "usable": self.usable}


Preflight = Callable[["ProviderContext", Any, Callable[[HostCheck], None]], Awaitable[tuple[HostCheck, ...]]]
"""Looks at every host: what the provider would be built from, SSH as in `wire.ssh.session`, who is told of each."""


@runtime_checkable
class KeepsHosts(Protocol):
    """What a provider of such hosts (`ProviderKind.keeps_hosts`) can tell beside its machines."""

    def silent(self) -> tuple[SilentHost, ...]:
        """Return the hosts that did not answer the last listing, in the order of the file."""
        ...

    def remembered(self) -> Mapping[str, Any]:
        """Return what the cluster had on hosts when they answered last, as JSON: for `learn` on another computer."""
        ...

    def learn(self, told: Mapping[str, Any]) -> None:
        """Take over what another computer remembers, where that is newer. Nothing is asked of a host."""
        ...
