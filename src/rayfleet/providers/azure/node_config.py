"""What a node type's `node_config` says, in Ray's words for Azure (`azure_arm_parameters`). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rayfleet.contracts import Denied, TypeConfig
from rayfleet.providers.azure.settings import zones_of
from rayfleet.providers.azure.virtual_machine import KEY, own_words

DEFAULT_SIZE: Final = "Standard_D2s_v5"
"""As of 2026-11: two CPUs and 8 GiB, to be had in every region."""

DEFAULT_IMAGE: Final = ("Canonical", "ubuntu-24_04-lts", "server", "latest")
"""As of 2026-11: publisher, offer, SKU, version."""

_URN_PARTS: Final = 4
_KNOWN: Final = frozenset({"azure_arm_parameters", "tags", KEY})
_ELSEWHERE: Final = {
    "vmName": "names follow from the cluster",
    "vmTags": "tags are node_config.tags and provider.tags",
    "vmCount": "the file's min_workers and max_workers and the cluster's demand say how many",
    "provisionPublicIp": "provider.use_internal_ips says it",
    "msi": "provider.msi says it",
    "nsg": "provider.nsg says it",
    "subnet": "provider.subnet says it",
}
"""Parameters that Ray sets itself, whatever a file says of them."""
_NO_TEMPLATES: Final = (
    "has no effect, as in Ray, which deploys a template of its own, and here there is none: what yours says of the "
    f"machine belongs into azure_arm_parameters and, in Azure's own words, {KEY}"
)


class DataDisk(BaseModel):
    """One empty disk beside that of the system."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    diskSizeGB: int = Field(ge=1)  # noqa: N815 - Azure's word
    storageAccountType: str | None = None  # noqa: N815 - Azure's word


class BillingProfile(BaseModel):
    """The most that a spot machine may cost. -1: as much as any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    maxPrice: float = -1  # noqa: N815 - Azure's word


class ArmParameters(BaseModel):
    """`azure_arm_parameters`: Ray's, and a few more in Azure's own words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vmSize: str = DEFAULT_SIZE  # noqa: N815 - this and the following are Ray's words
    imagePublisher: str = ""  # noqa: N815
    imageOffer: str = ""  # noqa: N815
    imageSku: str = ""  # noqa: N815
    imageVersion: str = "latest"  # noqa: N815
    imageId: str = ""  # noqa: N815
    imageUrn: str = ""  # noqa: N815
    adminUsername: str = ""  # noqa: N815
    publicKey: str = ""  # noqa: N815
    osDiskSize: int = Field(default=0, ge=0)  # noqa: N815
    osDiskType: str = ""  # noqa: N815
    dataDisks: tuple[DataDisk, ...] = ()  # noqa: N815
    priority: str = "Regular"
    evictionPolicy: str = "Delete"  # noqa: N815
    billingProfile: BillingProfile = BillingProfile()  # noqa: N815
    enableAcceleratedNetworking: bool = False  # noqa: N815
    availability_zone: str | None = None
    zones: tuple[str, ...] = ()

    @field_validator("priority")
    @classmethod
    def _known_priority(cls, value: str) -> str:
        if value not in ("Regular", "Spot", "Low"):
            raise ValueError("Regular or Spot")
        return value

    @field_validator("evictionPolicy")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        if value not in ("Delete", "Deallocate"):
            raise ValueError("Delete or Deallocate")
        return value

    @field_validator("imageUrn")
    @classmethod
    def _whole_urn(cls, value: str) -> str:
        if value and value.count(":") != _URN_PARTS - 1:
            raise ValueError("publisher:offer:sku:version")
        return value

    @field_validator("availability_zone")
    @classmethod
    def _known_zones(cls, value: str | None) -> str | None:
        zones_of(value)
        return value

    @field_validator("zones", mode="before")
    @classmethod
    def _as_words(cls, value: object) -> object:
        return tuple(map(str, value)) if isinstance(value, list) else value

    @property
    def spot(self) -> bool:
        """Say whether machines may be taken away. `Low` is what spot was called before."""
        return self.priority != "Regular"

    @property
    def image(self) -> dict[str, str]:
        """Return the image in Azure's words."""
        if self.imageId:
            return {"id": self.imageId}
        parts = self.imageUrn.split(":") if self.imageUrn else None
        if parts is None and self.imagePublisher:
            parts = [self.imagePublisher, self.imageOffer, self.imageSku, self.imageVersion]
        return dict(zip(("publisher", "offer", "sku", "version"), parts or DEFAULT_IMAGE, strict=True))


def raw_parameters(config: TypeConfig) -> Mapping[str, Any]:
    """Return `azure_arm_parameters` as the file has it, nothing checked."""
    found = config.node_config.get("azure_arm_parameters")
    return found if isinstance(found, Mapping) else {}


def arm_parameters(config: TypeConfig) -> ArmParameters:
    """Return what a node type's machines are.

    Raises:
        Denied: it says something that is not understood; the message names the key.
    """
    own_words(config)
    try:
        found = ArmParameters.model_validate(
            {key: value for key, value in raw_parameters(config).items() if key not in _ELSEWHERE}
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Denied(f"node_config.azure_arm_parameters.{where}: {first['msg']} ({first['input']!r})") from error
    return found.model_copy(update={"vmSize": config.instance_type}) if config.instance_type else found


def notices(config: TypeConfig) -> Iterator[str]:
    """Yield what there is to tell about keys that Ray takes and that have no effect, here or there."""
    for key in sorted(map(str, config.node_config.keys() - _KNOWN)):
        told = _NO_TEMPLATES if key == "azure_arm_template" else f"has no effect: {', '.join(sorted(_KNOWN))} have"
        yield f"node_config.{key} {told}"
    for key in raw_parameters(config):
        if why := _ELSEWHERE.get(key):
            yield f"node_config.azure_arm_parameters.{key} has no effect: {why}"


def tags(config: TypeConfig) -> dict[str, str]:
    """Return a node type's own tags."""
    return {str(key): str(value) for key, value in (config.node_config.get("tags") or {}).items()}
