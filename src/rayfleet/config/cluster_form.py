"""Ray's cluster file as forms: its official keys, the short dialect of many guides, and rayfleet's own additions.

What only some places use (`auth`, `docker`, commands, file mounts, `node_config`) is checked for form and kept.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SkipValidation

from rayfleet.config.alerting_form import AlertingForm, as_section
from rayfleet.config.budget_form import DisruptionBudgetForm
from rayfleet.config.fields import Amounts, Count, Flag, Labels, Measure, Name, Text, Whole, server_address, wrong
from rayfleet.config.forms import Form
from rayfleet.config.policy_form import SharedForm
from rayfleet.config.problems import shown
from rayfleet.config.scenario_form import OfferForm, TimeoutsForm
from rayfleet.config.standby_form import StandbyField

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
    """Who logs in."""
    ssh_public_key: Text | None = None
    """Path of the public key, where a provider has to bring it to the hosts."""
    ssh_private_key: Text | None = None
    """Path of the private key."""
    ssh_proxy_command: Text | None = None
    """Command whose input and output reach the host."""
    ssh_proxy_use_node_id: Flag = False
    """Whether that command is given the machine's id in place of its address."""


class TypeDockerForm(Form):
    """Container settings of one node type."""

    pull_before_run: Flag | None = None
    """Whether to fetch the image anew before each start; null: as for all nodes."""
    worker_image: Text | None = None
    """Image of this type's containers."""
    worker_run_options: Commands = Field(default_factory=list)
    """Options for starting this type's containers."""


class DockerForm(Form):
    """Container settings of all nodes."""

    image: Text | None = None
    """Image of all containers."""
    container_name: Text | None = None
    """What the container is called."""
    pull_before_run: Flag | None = None
    """Whether to fetch the image anew before each start."""
    run_options: Commands = Field(default_factory=list)
    """Options for starting any container."""
    head_image: Text | None = None
    """Image of the head's container; null: `image`."""
    head_run_options: Commands = Field(default_factory=list)
    """Options for starting the head's container."""
    worker_image: Text | None = None
    """Image of the workers' containers; null: `image`."""
    worker_run_options: Commands = Field(default_factory=list)
    """Options for starting the workers' containers."""
    disable_automatic_runtime_detection: Flag = False
    """Whether to leave GPU runtimes alone."""
    disable_shm_size_detection: Flag = False
    """Whether to leave the size of shared memory alone."""
    use_podman: Flag = False
    """Whether containers are started by podman."""


class TypeOfferForm(OfferForm):
    """One way of getting a machine of a type."""

    max_usd_per_hour: Price | None = None
    """The most that a spot machine may cost an hour; one for all spot offers of a type, the highest. null: no limit."""


class NodeTypeForm(Form):
    """One entry of `available_node_types`. `offers` is rayfleet's own: zones, markets and prices."""

    homes: ClassVar[dict[str, str]] = {
        "setup_commands": "per type it is called worker_setup_commands",
        "idle_timeout_minutes": "per type it is idle_timeout_s, in seconds",
    }

    resources: Amounts | None = None
    """What Ray counts with: `{CPU: 4, memory: 16Gi}`. Left out: one CPU on this machine, the instance type's
    elsewhere."""
    labels: Labels = Field(default_factory=dict)
    """Node labels, which tasks and actors may select by."""
    min_workers: Count = 0
    """The pool never has fewer machines."""
    max_workers: Count | None = None
    """The pool never has more machines; null: no limit but the cluster's."""
    priority: Whole = 0
    """Pools with a higher number are tried first, before prices are compared."""
    idle_timeout_s: Measure | None = None
    """A machine with nothing to do for so many seconds leaves; null: the cluster's."""
    max_age_s: Measure | None = None
    """Machines older than this are replaced; null: as the cluster says. rayfleet's own."""
    max_age_grace_s: Measure | None = None
    """For so many seconds beyond that age, what runs there may go on before it is ended; null: as the cluster says.
    rayfleet's own."""
    restartable: Flag = False
    """Its work may be ended and started again elsewhere, so that machines in use may be replaced. rayfleet's own."""
    standby: StandbyField = None
    """How many machines wait without Ray, stopped or booted, to work sooner than new ones; null: none. rayfleet's
    own."""
    boot_timeout_s: Measure | None = None
    """A machine that has not joined so many seconds after it appeared is given back; null: the cluster's
    `timeouts.boot_timeout_s`. rayfleet's own."""
    offers: list[TypeOfferForm] | None = Field(default=None, min_length=1)
    """Zones, markets and prices of such machines; left out: what the place has, else one offer without a price.
    rayfleet's own."""
    node_config: Raw = Field(default_factory=dict)
    """What the provider is told about the machine, in its own words."""
    docker: TypeDockerForm | None = None
    """Container settings of this type."""
    initialization_commands: Commands = Field(default_factory=list)
    """Commands that prepare a new machine before anything else."""
    worker_setup_commands: Commands = Field(default_factory=list)
    """Commands that set up a worker of this type."""


class ShortTypeForm(NodeTypeForm):
    """One node type in the short dialect."""

    name: Name | None = None
    """What the type is called; left out: head, worker, or worker-2 and so on."""
    instance_type: Text | None = None
    """The cloud's name for the kind of machine."""
    use_spot: Flag = False
    """Whether to buy on the spot market."""
    spot_price: Price | None = None
    """Highest price for it, in USD per hour."""


class AutoscalingForm(Form):
    """Limits in the short dialect."""

    idle_timeout_minutes: Measure = 5.0
    """As for the whole file."""
    upscaling_speed: Measure | None = None
    """As for the whole file."""
    downscaling_speed: Measure | None = None
    """As for the whole file."""
    max_workers: Count | None = None
    """As for the whole file; left out: no limit."""


class PrometheusForm(Form):
    """The exporter of metrics."""

    enabled: Flag = True
    """Whether metrics are offered."""
    port: Port | None = None
    """Where; without it 44217, as Ray's own autoscaler, and any free port where that one is taken."""
    url: Annotated[str | None, BeforeValidator(server_address)] = None
    """The Prometheus that keeps them, for the dashboard's page of metrics; without it RAY_PROMETHEUS_HOST's."""


class MonitoringForm(Form):
    """Metrics and alerts."""

    prometheus: PrometheusForm | None = None
    """The exporter of metrics."""
    alerting: Annotated[AlertingForm | None, BeforeValidator(as_section)] = None
    """Where alerts go."""


class ClusterForm(SharedForm):
    """A whole cluster file. What it shares with a scenario's policy is in policy_form.py."""

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
    """What the cluster is called; left out: default."""
    max_workers: Count | None = None
    """Most workers, all types together. Left out: 2, as in Ray; null: no limit."""
    min_workers: Count | None = None
    """Only beside Ray's older `worker_nodes`; anywhere else it means nothing, as in Ray: give it to a node type."""
    upscaling_speed: Measure | None = None
    """At most max(5, speed x ready machines) of a type start at once. Left out: 1.0; null: no limit."""
    idle_timeout_minutes: Measure = 5.0
    """A worker with nothing to do for so many minutes leaves."""
    provider: Raw | None = None
    """Where machines come from: `type`, and the type's own keys. Left out: processes on this machine."""
    available_node_types: dict[Name, NodeTypeForm] | None = None
    """The pools: name and kind of machine."""
    head_node_type: SkipValidation[Name | ShortTypeForm | None] = None
    """Name of the type that carries the head; in the short dialect the type itself."""

    # rayfleet's own
    downscaling_speed: Measure | None = None
    """At most max(5, speed x ready machines) of a type leave at once; null: no limit. rayfleet's own."""
    max_usd_per_hour: Measure | None = None
    """Budget of all machines with a known price, in USD per hour; null: none. rayfleet's own."""
    spot_spread_margin: Measure | None = None
    """Spot machines are spread over offers that cost at most this share more than the cheapest one; null: the cheapest
    only. rayfleet's own."""
    refresh_prices: Flag = True
    """Whether the controller asks the cloud for prices while it runs, where its provider can; else they are those of
    the tables, and of `rayfleet prices --refresh`. rayfleet's own."""
    disruption_budgets: list[DisruptionBudgetForm] = Field(default_factory=list)
    """How many machines may be leaving voluntarily at a time, for which reasons and when. rayfleet's own."""
    max_age_s: Measure | None = None
    """Machines older than this are replaced, within the disruption budgets; null: never. rayfleet's own."""
    consolidation_threshold: Measure | None = None
    """Under-used machines leave, or cheaper ones take their place, when the score of that is at least this;
    null: never. rayfleet's own."""
    consolidate_after_s: Measure = 600.0
    """No machine is consolidated before it has been ready for so long. rayfleet's own."""
    scale_down_utilization: Measure | None = None
    """A machine leaves for idleness or consolidation only while at most this share of the others of its pool would be
    in use without it; null: no such condition. rayfleet's own."""
    timeouts: TimeoutsForm = TimeoutsForm()
    """How long each step of a machine's life may take. rayfleet's own."""

    # the short dialect, and Ray's older one
    worker_node_types: SkipValidation[list[ShortTypeForm] | None] = None
    """The short dialect's pools."""
    head_node: SkipValidation[ShortTypeForm | Raw | None] = None
    """The head in the short dialect, or a cloud's settings of it in Ray's older files."""
    worker_nodes: SkipValidation[list[ShortTypeForm] | ShortTypeForm | Raw | None] = None
    """Pools in the short dialect, or a cloud's settings of all workers in Ray's older files."""
    autoscaling_config: AutoscalingForm = AutoscalingForm()
    """Limits in the short dialect."""
    monitoring_config: MonitoringForm = MonitoringForm()
    """Metrics and alerts."""
    node_config: Raw = Field(default_factory=dict)
    """What the provider is told about every machine, in its own words."""
    head_node_config: Raw = Field(default_factory=dict)
    """What the provider is told about the head."""
    worker_node_config: Raw = Field(default_factory=dict)
    """What the provider is told about workers."""

    # kept for the places that use them
    auth: Annotated[AuthForm | None, BeforeValidator(_section)] = None
    """How hosts are logged in to."""
    docker: Annotated[DockerForm | None, BeforeValidator(_section)] = None
    """Container settings of all nodes."""
    file_mounts: Raw = Field(default_factory=dict)
    """Files that every node gets: path there -> path here."""
    cluster_synced_files: Commands = Field(default_factory=list)
    """Files of the head that every worker gets."""
    file_mounts_sync_continuously: Flag = False
    """Whether changes to those files are carried over while the cluster is up."""
    rsync_exclude: Commands = Field(default_factory=list)
    """Patterns of files that are not copied."""
    rsync_filter: Commands = Field(default_factory=list)
    """Names of files that hold such patterns, as .gitignore does."""
    metadata: Raw = Field(default_factory=dict)
    """Anything; nothing is made of it."""
    initialization_commands: Commands = Field(default_factory=list)
    """Commands that prepare every new machine before anything else."""
    setup_commands: Commands = Field(default_factory=list)
    """Commands that set up every node."""
    head_setup_commands: Commands = Field(default_factory=list)
    """Commands that set up the head, after `setup_commands`."""
    worker_setup_commands: Commands = Field(default_factory=list)
    """Commands that set up a worker, after `setup_commands`."""
    head_start_ray_commands: Commands = Field(default_factory=list)
    """Commands that start Ray on the head."""
    worker_start_ray_commands: Commands = Field(default_factory=list)
    """Commands that start Ray on a worker."""
    no_restart: Flag = False
    """Whether Ray is left running on nodes whose commands have changed."""


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
NODE_KEYS = ("node_config", "head_node_config", "worker_node_config", "instance_type")
"""Keys that say what a machine is, which is what a place's catalogue reads."""
REMOTE_KEYS = (
    *(key for key in PLACE_KEYS if key not in NODE_KEYS),
    *(key for key in TYPE_PLACE_KEYS if key not in NODE_KEYS),
)
"""Keys that make a node of a machine elsewhere: whoever sets it up uses them, wherever it is."""
FILE_KEYS = ("file_mounts", "cluster_synced_files", "file_mounts_sync_continuously", "rsync_exclude", "rsync_filter")
