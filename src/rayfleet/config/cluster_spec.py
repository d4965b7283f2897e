"""What a cluster file comes to: the Policy for the planner, and what only the edges need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rayfleet.config.alerting import Alerting
from rayfleet.config.problems import Problem
from rayfleet.model import FrozenMap, Offer, Policy, Resources


class SettingsKind(Protocol):
    """What this room needs of a kind of provider (`contracts.ProviderKind` has it)."""

    @property
    def settings(self) -> type[Any]:
        """Return the pydantic model of the `provider:` section without `type`.

        A class attribute `uses` may name the keys of the file outside `provider:` that the kind takes notice of. A
        static method `remarks(pools)` may yield (pool, resource, text) for what is odd about pools at this place.
        The kind itself may have `standby`, the ways (`StandbyMode`) in which its machines can wait on standby, and
        `catalogue`, what is known of the machines that one can ask for; and `remote`, whether they are other computers,
        which somebody sets up as the file says.
        """
        ...


class Catalogue(Protocol):
    """What this room asks a kind's catalogue (`contracts.Catalogue` is one); a `TypeSetup` says which machine."""

    def instance_type(self, settings: Any, config: Any) -> str:
        """Return the name of the kind of machine, the place's default included."""
        ...

    def resources(self, settings: Any, config: Any) -> Resources | None:
        """Return what Ray would count on such a machine; None when it is not known."""
        ...

    def offers(self, settings: Any, config: Any) -> tuple[Offer, ...]:
        """Return the ways of getting one, priced where known."""
        ...


Registry = Mapping[str, SettingsKind]


@dataclass(frozen=True, slots=True)
class TypeSetup:
    """What the place of a pool's machines needs to know beyond the Policy.

    `node_config` is the place's own; `spot_max_usd_per_hour` the most that a spot machine may cost, None: no limit.
    `machine`: the kind of machine that comes of it, "" where the place has no catalogue. `filled`: the resources that
    are not the file's but the machine's.
    """

    instance_type: str | None = None
    spot_max_usd_per_hour: float | None = None
    node_config: Mapping[str, Any] = field(default_factory=dict)
    docker: Mapping[str, Any] = field(default_factory=dict)
    initialization_commands: tuple[str, ...] = ()
    setup_commands: tuple[str, ...] = ()
    machine: str = ""
    filled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How a host becomes a node, for places that install something. Commands by their key in the file."""

    commands: FrozenMap[tuple[str, ...]] = FrozenMap()
    auth: Mapping[str, Any] = field(default_factory=dict)
    docker: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)

    @property
    def head_start(self) -> tuple[str, ...]:
        """Return the user's own commands that start Ray on the head; empty: rayfleet's."""
        return self.commands.get("head_start_ray_commands", ())

    @property
    def worker_start(self) -> tuple[str, ...]:
        """Return the user's own commands that start Ray on a worker; empty: rayfleet's."""
        return self.commands.get("worker_start_ray_commands", ())


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Metrics and alerts.

    `prometheus`: metrics are offered. `prometheus_port` None: the usual, or any. `prometheus_url`: who keeps them.
    `alerting` None: nobody is told.
    """

    prometheus: bool = True
    prometheus_port: int | None = None
    prometheus_url: str | None = None
    alerting: Alerting | None = None


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """One cluster, as its file describes it.

    `provider` is the type of the place, `provider_settings` a validated instance of its kind's settings; None: that
    kind is not installed. `refresh_prices`: its controller asks the place for prices. `notes` are what a user
    should know although nothing is wrong. `raw` is the file's content.
    """

    name: str
    policy: Policy
    provider: str
    provider_settings: Any = None
    types: FrozenMap[TypeSetup] = FrozenMap()
    bootstrap: Bootstrap = Bootstrap()
    monitoring: Monitoring = Monitoring()
    refresh_prices: bool = True
    notes: tuple[Problem, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
