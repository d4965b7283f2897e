"""What a user may set in the `provider:` section of `type: aws`: Ray's own keys, and four of ours.

Unknown keys are refused, so that a typing error is found before it costs money.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecurityGroup(_Section):
    """The group that is made where a pool names none: its name, and rules beside SSH and the cluster's own traffic."""

    GroupName: str | None = None
    IpPermissions: tuple[dict[str, Any], ...] = ()


class KeyPair(_Section):
    """The key pair of pools that name none. Not needed where the login has a public key: that is put there."""

    key_name: str | None = None


class Credentials(_Section):
    """Keys, instead of those that boto3 finds by itself (environment, profile, the machine's role)."""

    aws_access_key_id: str
    aws_secret_access_key: str = Field(repr=False)
    aws_session_token: str | None = Field(default=None, repr=False)


class Settings(_Section):
    """The `provider:` section of `type: aws`. Times in seconds."""

    region: str = "us-west-2"
    """Where everything is. `location` is another word for it."""

    availability_zone: str | None = None
    """Zones that may be used, separated by commas, the preferred one first; absent: all of the region."""

    cache_stopped_nodes: bool = True
    """Ray's key: idle machines are stopped and kept, if the file says true; a pool's `standby` goes before it."""

    use_internal_ips: bool = False
    """Machines are reached by their internal addresses, and need no public ones."""

    security_group: SecurityGroup = SecurityGroup()
    key_pair: KeyPair = KeyPair()
    aws_credentials: Credentials | None = None

    fleet: bool = True
    """EC2 Fleet is asked where an offer leaves the zone open; false: RunInstances, zone by zone."""

    rebalance: Literal["ignore", "drain"] = "ignore"
    """Where EC2 recommends to leave a spot machine: nothing is done; or Ray drains it, with half an hour for what runs
    there, and it is replaced. Many such machines are taken back much later, or never (rayfleet's own)."""

    cloudwatch: dict[str, Any] | None = None
    """Ray's key. Accepted, so that the file still reads; nothing is installed for it."""

    disable_node_updaters: bool = False
    """Ray's key; means nothing here."""

    endpoint_url: str | None = None
    """Another address of the API, for all services: an emulator's."""

    metadata_url: str = Field(default="http://169.254.169.254", pattern=r"^https?://[\w.:\[\]-]+$")
    """Where machines ask who they are, unless AWS_EC2_METADATA_SERVICE_ENDPOINT is set on them."""

    list_interval_s: float = Field(default=10.0, gt=0)
    """Listing more often than this is not worth its cost."""

    @model_validator(mode="before")
    @classmethod
    def _other_word(cls, given: Any) -> Any:
        """Take the word that the short dialect has for the region."""
        if isinstance(given, dict) and "location" in given and "region" not in given:
            return {"region" if key == "location" else key: value for key, value in given.items()}
        return given

    @field_validator("availability_zone", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @property
    def zones(self) -> tuple[str, ...]:
        """Return the zones that may be used, the preferred one first; none: all."""
        return tuple(each.strip() for each in (self.availability_zone or "").split(",") if each.strip())
