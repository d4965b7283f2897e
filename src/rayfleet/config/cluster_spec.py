"""What a cluster file comes to: the Policy for the planner, and what only the edges need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rayfleet.config.problems import Problem
from rayfleet.model import FrozenMap, Policy

PROMETHEUS_PORT = 44217


class SettingsKind(Protocol):
    """What this room needs of a kind of provider (`contracts.ProviderKind` has it)."""

    @property
    def settings(self) -> type[Any]:
        """Return the pydantic model of the `provider:` section without `type`.

        A class attribute `uses` may name the keys of the file outside `provider:` that the kind takes notice of. A
        static method `remarks(pools)` may yield (pool, resource, text) for what is odd about pools at this place.
        The kind itself may have `standby`, the ways (`StandbyMode`) in which its machines can wait on standby.
        """
        ...


Registry = Mapping[str, SettingsKind]


@dataclass(frozen=True, slots=True)
class TypeSetup:
    """What the place of a pool's machines needs to know beyond the Policy.

    `node_config` is the place's own; `spot_max_usd_per_hour` the most that a spot machine may cost, None: no limit.
    """

    instance_type: str | None = None
    spot_max_usd_per_hour: float | None = None
    node_config: Mapping[str, Any] = field(default_factory=dict)
    docker: Mapping[str, Any] = field(default_factory=dict)
    initialization_commands: tuple[str, ...] = ()
    setup_commands: tuple[str, ...] = ()


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
    """Metrics and alerts. `prometheus_port` None: no exporter."""

    prometheus_port: int | None = None
    slack_webhook: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """One cluster, as its file describes it.

    `provider` is the type of the place, `provider_settings` a validated instance of its kind's settings; None: that
    kind is not installed. `notes` are what a user should know although nothing is wrong. `raw` is the file's content.
    """

    name: str
    policy: Policy
    provider: str
    provider_settings: Any = None
    types: FrozenMap[TypeSetup] = FrozenMap()
    bootstrap: Bootstrap = Bootstrap()
    monitoring: Monitoring = Monitoring()
    notes: tuple[Problem, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
