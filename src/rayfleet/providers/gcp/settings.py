"""What a user may set in the `provider:` section for `type: gcp`: Ray's keys, and some of our own below them."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Credentials(BaseModel):
    """Ray's `gcp_credentials`: a service account's JSON file as text, or an OAuth token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["service_account", "credentials_token"]
    credentials: str = Field(repr=False)


class Settings(BaseModel):
    """The `provider:` section of `type: gcp`. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    uses: ClassVar[frozenset[str]] = frozenset(
        {"auth", "instance_type", "node_config", "head_node_config", "worker_node_config"}
    )

    project_id: str | None = None
    """The project; null: the one of the credentials."""

    region: str | None = None
    """Where machines are; null: where the first zone is. `location` is another word for it."""

    availability_zone: str | None = None
    """A zone, or several with commas between, of one region; null: Google chooses one for each machine."""

    use_internal_ips: bool = False
    """The launcher reaches machines at their internal addresses."""

    cache_stopped_nodes: bool = False
    """Ray's key: idle machines are stopped and kept, if the file says true; a pool's `standby` goes before it."""

    disable_node_updaters: bool = False
    """Ray's; nothing is updated node by node here."""

    security_group: Any = None
    """Ray's schema has it for every place. Google has firewall rules instead."""

    has_tpus: bool = Field(default=False, alias="_has_tpus")
    """Ray writes this by itself."""

    gcp_credentials: Credentials | None = None
    """Null: application default credentials (`gcloud auth application-default login`, or the machine's own account)."""

    service_account: str | None = None
    """E-mail of the account that the head runs as, which launches the workers; `default`: the project's default one;
    null: `rayfleet-head`, which is made with the rights that it needs where it is missing."""

    firewall: bool = True
    """Make the two rules that a cluster needs, where the network has none: among machines, and SSH from outside."""

    ssh_source_ranges: tuple[str, ...] = ("0.0.0.0/0",)
    """Who may reach machines by SSH, where that rule is made."""

    list_interval_s: float = Field(default=5.0, gt=0)
    """Listing more often than this is not worth its cost."""

    launch_wait_s: float = Field(default=20.0, ge=0)
    """So long is a launch watched for what Google only says after having accepted it: that there is no stock."""

    poll_s: float = Field(default=1.0, gt=0)
    """Pause before an operation is looked at again; it doubles from look to look, up to five times as long."""

    retry_delay_s: float = Field(default=1.0, ge=0)
    """Pause before a failed call is made a second time; the third waits twice as long, and that is the last."""

    endpoint: str | None = None
    """Another address of the API than Google's: an emulator's. No credentials are sent there."""

    @model_validator(mode="before")
    @classmethod
    def _other_word(cls, given: Any) -> Any:
        """Take the word that the short dialect has for the region."""
        if isinstance(given, dict) and "location" in given and "region" not in given:
            return {"region" if key == "location" else key: value for key, value in given.items()}
        return given

    @field_validator("availability_zone")
    @classmethod
    def _one_region(cls, value: str | None) -> str | None:
        regions = {_region_of(zone) for zone in _split(value)}
        if len(regions) > 1:
            raise ValueError(f"all zones must be of one region; these are of {', '.join(sorted(regions))}")
        return value

    @property
    def zones(self) -> tuple[str, ...]:
        """Return the zones that were named, in their order."""
        return _split(self.availability_zone)

    @property
    def where(self) -> str:
        """Return the region, "" when nothing says which."""
        return self.region or (_region_of(self.zones[0]) if self.zones else "")


def _split(zones: str | None) -> tuple[str, ...]:
    return tuple(zone.strip() for zone in (zones or "").split(",") if zone.strip())


def _region_of(zone: str) -> str:
    return zone.rpartition("-")[0]
