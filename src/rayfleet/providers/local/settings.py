"""What a user may set in the `provider:` section for `type: local`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from rayfleet.model import Resources

Address = Annotated[str, StringConstraints(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]*$")]


_HOST_AND_PORT: Final = r"^([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?$"


def _no_labels(_labels: Any) -> None:
    raise ValueError(
        "are a node type's: give such hosts a type of their own in available_node_types, with its labels, and name it "
        "here as pool"
    )


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HostForm(_Section):
    """One host. What is left out is as for all: the login of `auth`, any pool, a size that nobody checks."""

    address: Address
    """How the other hosts reach it."""

    external_address: Address | None = None
    """How it is reached from elsewhere, when that is not the same."""

    ssh_user: str | None = None
    ssh_port: int | None = Field(default=None, ge=1, le=65535)

    pool: str | None = None
    """It is only used for this node type."""

    resources: dict[str, float] | None = None
    """What it has (memory in bytes): node types that need more do not get it, and the smallest that fits is taken."""

    head: bool = False
    """It carries the head, and nothing else."""

    labels: Annotated[Any, AfterValidator(_no_labels)] = None
    """Refused: planning knows machines by their pool, so hosts of one pool look the same to it."""

    @property
    def room(self) -> Resources | None:
        """Return its size; None: not known."""
        return None if self.resources is None else Resources.of(self.resources)


class Preflight(_Section):
    """What a host must be like to be taken. What is not demanded is a warning."""

    python: bool = False
    """Our own version of Python is there. Set-up commands may still have to install it."""

    ray: bool = False
    """Our own version of Ray is there. The same."""

    sudo: bool = False
    """The user may become root without a password."""

    clock_skew_max_s: float = Field(default=60.0, gt=0)
    disk_free_min_gib: float = Field(default=1.0, ge=0)

    head_ports: tuple[int, ...] = (6379, 8265, 10001)
    """Where nobody may listen on the head's host before it is taken: another Ray would be in the way."""


class Settings(_Section):
    """The `provider:` section of `type: local`. Times in seconds."""

    uses: ClassVar[tuple[str, ...]] = ("auth",)

    head_ip: Address | None = None
    """The host that carries the head."""

    worker_ips: tuple[Address, ...] = ()
    """The other hosts."""

    external_head_ip: Address | None = None
    """How the head's host is reached from elsewhere, when that is not `head_ip`."""

    hosts: tuple[HostForm, ...] = ()
    """More hosts, or more about those above (the same address)."""

    coordinator_address: Annotated[str, StringConstraints(pattern=_HOST_AND_PORT)] | None = None
    """`host:port` of the coordinator that hands out the hosts of a shared pool; no host is named here then."""

    coordinator_token_file: str | None = None
    """A file with what the coordinator wants to be shown, on the machine that launches."""

    host_keys: Literal["first", "known", "any"] = "first"
    """`first`: a host's first key is kept for the cluster and must stay. `known`: the user's known_hosts and ssh_config
    decide. `any`: as `first`, but a new key is taken too, as after a host was installed anew."""

    preflight: Preflight = Preflight()

    connect_timeout_s: float = Field(default=10.0, gt=0)
    """A host that takes longer to let us in, or to answer when it is looked at, does not answer."""

    unreachable_timeout_s: float = Field(default=300.0, ge=0)
    """A host that does not answer is listed as it was for so long; then its machine counts as lost."""

    grace_s: float = Field(default=10.0, ge=0)
    """What runs on a host that is given back has so long to end by itself before it is killed."""

    list_interval_s: float = Field(default=10.0, gt=0)
    """How often all hosts are looked at."""

    use_internal_ips: bool = False
    cache_stopped_nodes: bool = True
    disable_node_updaters: bool = False
    """Ray's keys; for hosts of one's own they mean nothing, in Ray neither."""

    @field_validator("worker_ips", mode="before")
    @classmethod
    def _none_is_none(cls, value: Any) -> Any:
        return () if value is None else value

    @model_validator(mode="after")
    def _sensible(self) -> Settings:
        if self.coordinator_address is None and not self.all_hosts():
            raise ValueError("names no host: set head_ip and worker_ips, or hosts, or coordinator_address")
        for key, named in (("worker_ips", self.worker_ips), ("hosts", [host.address for host in self.hosts])):
            twice = sorted({address for address in named if list(named).count(address) > 1})
            if twice:
                raise ValueError(f"{key}: {', '.join(twice)} is named twice")
        if self.head_ip in self.worker_ips:
            raise ValueError(f"{self.head_ip} is in worker_ips and is head_ip: a host is one machine")
        heads = [host.address for host in self.all_hosts() if host.head]
        if len(heads) > 1:
            raise ValueError(f"the head can only be on one of {', '.join(heads)}")
        return self

    def all_hosts(self) -> tuple[HostForm, ...]:
        """Return every host once, the head's first where one is named, then in the file's order.

        None where a coordinator has them: like Ray, what else is named is passed over then.
        """
        if self.coordinator_address is not None:
            return ()
        more = {host.address: host for host in self.hosts}
        return tuple(self._merged(address, more.get(address)) for address in dict.fromkeys(self._addresses()))

    def worker_hosts(self, pool: str) -> int:
        """Return how many hosts workers of a pool can have: without `min_workers`, so many are wanted."""
        named = [host for host in self.all_hosts() if not host.head]
        fitting = sum(host.pool in (None, pool) for host in named)
        # Without a host of its own, the head takes one of them.
        return fitting - (len(named) == len(self.all_hosts()))

    def _addresses(self) -> Iterator[str]:
        if self.head_ip is not None:
            yield self.head_ip
        yield from self.worker_ips
        yield from (host.address for host in self.hosts)

    def _merged(self, address: str, form: HostForm | None) -> HostForm:
        host = form or HostForm(address=address)
        if address != self.head_ip:
            return host
        external = host.external_address or self.external_head_ip
        return host.model_copy(update={"head": True, "external_address": external})
