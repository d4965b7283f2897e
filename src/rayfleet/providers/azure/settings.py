"""What a user may set in the `provider:` section for `type: azure`: Ray's keys, and a few of our own."""

from ipaddress import ip_address
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Settings(BaseModel):
    """The `provider:` section of `type: azure`. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uses: ClassVar[frozenset[str]] = frozenset(
        {"auth", "node_config", "head_node_config", "worker_node_config", "instance_type"}
    )

    location: str
    """Azure's name of the region, such as westus2."""

    resource_group: str
    """Where everything is made; it is created when it does not exist, and never deleted."""

    subscription_id: str | None = None
    """null: AZURE_SUBSCRIPTION_ID, else the one that `az account set` chose, else that of the machine this runs on."""

    tags: dict[str, str] = Field(default_factory=dict)
    """On everything that is made, beside our own."""

    unique_id: str | None = None
    """Part of the names of what a cluster's machines share; null: a hash of resource group and cluster."""

    subnet_mask: str | None = None
    """Addresses of the network that is made; null: 10.N.0.0/16, N from the cluster's name."""

    subnet: str | None = None
    """Id of a subnet to use; null: a network is made."""

    nsg: str | None = None
    """Id of a network security group to use; null: one is made that lets SSH in."""

    msi: str | None = None
    """Id of a managed identity for all machines; null: see `msi_name`."""

    msi_name: str | None = None
    """Name of a managed identity for all machines; with `msi_resource_group` it must exist and have its rights. null:
    one is made for the head, with rights on the resource group."""

    msi_resource_group: str | None = None
    """Where that identity is; null: in `resource_group`."""

    availability_zone: str | None = None
    """Zones to spread over, such as "1,2,3"; "none", "auto" or null: Azure places machines anywhere in the region."""

    use_internal_ips: bool = False
    """Machines have no public address."""

    use_external_head_ip: bool = False
    """The head has one even so."""

    cache_stopped_nodes: bool = True
    """Ray's key: idle machines are stopped and kept, if the file says true; a pool's `standby` goes before it."""

    endpoint: str | None = None
    """Azure's address, https, for clouds other than the public one. http only within a private network or to this
    computer, where an emulator is: without login."""

    poll_interval_s: float = Field(default=2.0, gt=0)
    """How often to ask whether a network interface is ready."""

    list_interval_s: float = Field(default=10.0, gt=0)
    """Listing more often than this is not worth its cost."""

    max_calls: int = Field(default=10, ge=1, le=64)
    """Calls to Azure at the same time."""

    @field_validator("endpoint")
    @classmethod
    def _safe(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        url = urlsplit(endpoint)
        if url.scheme == "https" or (url.scheme == "http" and _is_near(url.hostname or "")):
            return endpoint.rstrip("/")
        raise ValueError("must be https://..., or http:// to this computer or to a private address")

    @field_validator("availability_zone")
    @classmethod
    def _zones(cls, value: str | None) -> str | None:
        zones_of(value)
        return value


def _is_near(host: str) -> bool:
    """Say whether a host is this computer, or has an address that no other network has."""
    try:
        return host == "localhost" or ip_address(host).is_private
    except ValueError:
        return False


def zones_of(text: str | None) -> tuple[str, ...]:
    """Return the zones that a configuration names; none: anywhere in the region.

    Raises:
        ValueError: it names something else.
    """
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if len(words) == 1 and words[0].lower() in ("none", "null", "auto"):
        return ()
    if wrong := [word for word in words if not word.isdecimal()]:
        raise ValueError(f'zones are numbers ("1,2,3"), "auto" or "none"; not {wrong[0]!r}')
    return tuple(words)
