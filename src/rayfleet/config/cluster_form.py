"""Ray's cluster file as forms: its official keys, the short dialect of many guides, and rayfleet's own additions.

What only some places use (`auth`, `docker`, commands, file mounts, `node_config`) is checked for form and kept.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SkipValidation

from rayfleet.config.fields import Amounts, Count, Flag, Labels, Measure, Name, Text, Whole, wrong
from rayfleet.config.forms import Form
from rayfleet.config.problems import shown
from rayfleet.config.scenario_form import OfferForm, TimeoutsForm

PORT_MAX = 65535


def _commands(value: Any) -> Any:
    """Take a list of shell commands; a key without a value is an empty list."""
    if isinstance(value, str):
        raise wrong(f"must be a list of commands, not {shown(value)}", "start the line with `- `")
    return [] if value is None else value


def _section(value: Any) -> Any:
    """Take a mapping; a key without a value is an empty one."""
    return {} if value is None else value


def _price(value: Any) -> Any:
    """Take a price; clouds' own files write it as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Commands = Annotated[list[Text], BeforeValidator(_commands)]
Raw = Annotated[dict[str, Any], BeforeValidator(_section)]
"""A section whose keys belong to somebody else."""
Port = Annotated[Count, Field(le=PORT_MAX)]
Price = Annotated[Measure, BeforeValidator(_price)]


class AuthForm(Form):
    """How hosts are logged in to."""

    ssh_user: Text = "ubuntu"
    ssh_public_key: Text | None = None
    ssh_private_key: Text | None = None
    ssh_proxy_command: Text | None = None
    ssh_proxy_use_node_id: Flag = False


class TypeDockerForm(Form):
    """Container settings of one node type."""

    pull_before_run: Flag | None = None
    worker_image: Text | None = None
    worker_run_options: Commands = Field(default_factory=list)


class DockerForm(Form):
    """Container settings of all nodes."""

    image: Text | None = None
    container_name: Text | None = None
    pull_before_run: Flag | None = None
    run_options: Commands = Field(default_factory=list)
    head_image: Text | None = None
    head_run_options: Commands = Field(default_factory=list)
    worker_image: Text | None = None
    worker_run_options: Commands = Field(default_factory=list)
    disable_automatic_runtime_detection: Flag = False
    disable_shm_size_detection: Flag = False
    use_podman: Flag = False


class NodeTypeForm(Form):
    """One entry of `available_node_types`. `offers` is rayfleet's own: zones, markets and prices."""

    homes: ClassVar[dict[str, str]] = {
        "setup_commands": "per type it is called worker_setup_commands",
        "idle_timeout_minutes": "per type it is idle_timeout_s, in seconds",
    }

    resources: Amounts | None = None
    labels: Labels = Field(default_factory=dict)
    min_workers: Count = 0
    max_workers: Count | None = None
    priority: Whole = 0
    idle_timeout_s: Measure | None = None
    offers: list[OfferForm] | None = Field(default=None, min_length=1)
    node_config: Raw = Field(default_factory=dict)
    docker: TypeDockerForm | None = None
    initialization_commands: Commands = Field(default_factory=list)
    worker_setup_commands: Commands = Field(default_factory=list)


class ShortTypeForm(NodeTypeForm):
    """One node type in the short dialect."""

    name: Name | None = None
    instance_type: Text | None = None
    use_spot: Flag = False
    spot_price: Price | None = None


class AutoscalingForm(Form):
    """Limits in the short dialect."""

    idle_timeout_minutes: Measure = 5.0
    upscaling_speed: Measure | None = None
    downscaling_speed: Measure | None = None
    max_workers: Count | None = None


class PrometheusForm(Form):
    """The exporter of metrics."""

    enabled: Flag = True
    port: Port = 44217


class AlertingForm(Form):
    """Where alerts go."""

    enabled: Flag = True
    slack_webhook: Text | None = None


class MonitoringForm(Form):
    """Metrics and alerts."""

    prometheus: PrometheusForm | None = None
    alerting: AlertingForm | None = None


class ClusterForm(Form):
    """A whole cluster file."""

    homes: ClassVar[dict[str, str]] = {
        "idle_timeout_s": "for the whole cluster it is idle_timeout_minutes",
        "region": "it belongs under provider",
        "target_utilization_fraction": "Ray no longer knows it; use upscaling_speed",
        "initial_workers": "use min_workers of a node type",
        "autoscaling_mode": "use upscaling_speed",
        "resources": "it belongs under a node type",
        "labels": "it belongs under a node type",
    }

    cluster_name: Name | None = None
    max_workers: Count | None = None
    min_workers: Count | None = None
    upscaling_speed: Measure | None = None
    idle_timeout_minutes: Measure = 5.0
    provider: Raw | None = None
    available_node_types: dict[Name, NodeTypeForm] | None = None
    head_node_type: SkipValidation[Name | ShortTypeForm | None] = None

    # rayfleet's own
    downscaling_speed: Measure | None = None
    max_usd_per_hour: Measure | None = None
    timeouts: TimeoutsForm = TimeoutsForm()

    # the short dialect, and Ray's older one
    worker_node_types: SkipValidation[list[ShortTypeForm] | None] = None
    head_node: SkipValidation[ShortTypeForm | Raw | None] = None
    worker_nodes: SkipValidation[list[ShortTypeForm] | ShortTypeForm | Raw | None] = None
    autoscaling_config: AutoscalingForm = AutoscalingForm()
    monitoring_config: MonitoringForm = MonitoringForm()
    node_config: Raw = Field(default_factory=dict)
    head_node_config: Raw = Field(default_factory=dict)
    worker_node_config: Raw = Field(default_factory=dict)

    # kept for the places that use them
    auth: Annotated[AuthForm | None, BeforeValidator(_section)] = None
    docker: Annotated[DockerForm | None, BeforeValidator(_section)] = None
    file_mounts: Raw = Field(default_factory=dict)
    cluster_synced_files: Commands = Field(default_factory=list)
    file_mounts_sync_continuously: Flag = False
    rsync_exclude: Commands = Field(default_factory=list)
    rsync_filter: Commands = Field(default_factory=list)
    metadata: Raw = Field(default_factory=dict)
    initialization_commands: Commands = Field(default_factory=list)
    setup_commands: Commands = Field(default_factory=list)
    head_setup_commands: Commands = Field(default_factory=list)
    worker_setup_commands: Commands = Field(default_factory=list)
    head_start_ray_commands: Commands = Field(default_factory=list)
    worker_start_ray_commands: Commands = Field(default_factory=list)
    no_restart: Flag = False


SHORT_KEYS = frozenset({"worker_node_types", "autoscaling_config", "monitoring_config"})
"""Keys that no official file has ever had."""
PLACE_KEYS = (
    "auth", "docker", "file_mounts", "cluster_synced_files", "file_mounts_sync_continuously", "rsync_exclude",
    "rsync_filter", "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "node_config", "head_node_config", "worker_node_config",
    "no_restart",
)  # fmt: skip
"""Keys that mean something only to some places machines come from."""
COMMAND_KEYS = tuple(key for key in PLACE_KEYS if key.endswith("_commands"))
TYPE_PLACE_KEYS = ("node_config", "docker", "initialization_commands", "worker_setup_commands", "instance_type")
FILE_KEYS = ("file_mounts", "cluster_synced_files", "file_mounts_sync_continuously", "rsync_exclude", "rsync_filter")
