"""What a user may set in the `provider:` section for `type: aliyun`: Ray's own keys, and some of ours."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

METADATA: Final = "http://100.100.100.200"
"""Where a machine of this cloud asks who it is."""


def _words(value: Any) -> Any:
    """Take one name, several between commas, or a list of them."""
    if value is None:
        return ()
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _secret(value: Any) -> Any:
    """Take any value as text: an error would show what it is."""
    return None if value in ("", None) else value if isinstance(value, SecretStr) else str(value)


Names = Annotated[tuple[str, ...], BeforeValidator(_words)]
Secret = Annotated[SecretStr | None, BeforeValidator(_secret)]


class Rule(BaseModel):
    """Who may connect to the machines from outside: one rule of the security group that is made for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port_range: str
    """First and last port, as `22/22`; `-1/-1`: all."""

    source_cidr_ip: str
    """From which addresses, as `0.0.0.0/0`."""

    ip_protocol: str = "tcp"
    """`tcp`, `udp`, `icmp`, `gre` or `all`."""


DEFAULT_RULES: Final = (Rule(port_range="22/22", source_cidr_ip="0.0.0.0/0"),)
"""SSH from anywhere, as in Ray's own example. Machines of one group reach each other without a rule."""


class Settings(BaseModel):
    """The `provider:` section of `type: aliyun`. Times in seconds. Access keys are never shown."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    uses: ClassVar[tuple[str, ...]] = (
        "auth", "docker", "file_mounts", "cluster_synced_files", "file_mounts_sync_continuously", "rsync_exclude",
        "rsync_filter", "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
        "head_start_ray_commands", "worker_start_ray_commands", "node_config", "head_node_config",
        "worker_node_config", "instance_type", "no_restart",
    )  # fmt: skip

    region: str
    """Region of all machines, such as cn-hangzhou. `location` is another word for it."""

    zone_id: Names = ()
    """Zones, the first of which is used where an offer names none."""

    access_key: Secret = None
    """Access key id; left out: ALIBABA_CLOUD_ACCESS_KEY_ID, else the role of the machine that this runs on."""

    access_key_secret: Secret = None
    """Its secret; left out: ALIBABA_CLOUD_ACCESS_KEY_SECRET."""

    vpc_id: str | None = None
    """VPC of the machines; left out: that of the vSwitch, else one called `rayfleet`, which is made once."""

    v_switch_id: Names = ()
    """VSwitches to use, each in its zone; left out: one called `rayfleet` in each zone, which is made once."""

    security_group_id: Names = ()
    """Security groups; left out: one called `rayfleet-` and the cluster's name, which is made once."""

    cidr_block: str | None = None
    """Addresses of the first vSwitch that is made; left out: the next free ones of the VPC."""

    security_group_rule: tuple[Rule, ...] = DEFAULT_RULES
    """Rules of the security group that is made."""

    key_name: str | None = None
    """Key pair at the cloud for logging in; one that does not exist is made of the public key of `auth`. Left out:
    machines are told that key at their first boot."""

    use_internal_ips: bool = False
    """Whether machines have no address in the internet."""

    cache_stopped_nodes: bool = True
    """Ray's key: idle machines are stopped and kept, if the file says true; a pool's `standby` goes before it."""

    max_retries: int | None = None
    """Ray's; means nothing here."""

    currency_per_usd: float = Field(default=1.0, gt=0)
    """What a dollar is in the account's currency, in which the cloud takes prices: accounts of the Chinese site pay in
    yuan."""

    endpoint: str | None = None
    """Another place to send calls to, as `http://127.0.0.1:1234`; also RAYFLEET_ALIYUN_ENDPOINT."""

    metadata_endpoint: str | None = None
    """Another place where machines ask who they are; ALIYUN_METADATA_SERVICE_ENDPOINT too. Left out: the cloud's."""

    list_interval_s: float = Field(default=10.0, gt=0)
    """Listing more often than this is not worth its cost."""

    @model_validator(mode="before")
    @classmethod
    def _other_words(cls, given: Any) -> Any:
        """Take the words that other providers and Ray's own code have for the same."""
        if not isinstance(given, dict):
            return given
        words = {"location": "region", "availability_zone": "zone_id", "vswitch_id": "v_switch_id"}
        return {words.get(key, key) if words.get(key) not in given else key: value for key, value in given.items()}
