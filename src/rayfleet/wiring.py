"""The composition root: a ClusterSpec, a folder and the addresses of its Ray become a ready Reconciler.

Every other room gets its edges handed in; only this one knows all of them. Providers are found by entry point, so that
an installed package can bring its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from rayfleet.contracts import Drivers, Engine, KeepsStandby, Ledger, Provider, ProviderContext, ProviderKind
from rayfleet.loop import EngineSink, Parts, Reconciler, close_parts
from rayfleet.model import Policy

if TYPE_CHECKING:
    from rayfleet.config import ClusterSpec
    from rayfleet.engines.ray.settings import RaySettings

PROVIDER_GROUP: Final = "rayfleet.providers"
LEDGER_FILE: Final = "ledger.sqlite"
HISTORY_FILE: Final = "history.sqlite"
SERIES_FILE: Final = "demand-series.txt"


@dataclass(frozen=True, slots=True)
class Assembly:
    """A Reconciler, and the edges that it was made from."""

    reconciler: Reconciler
    parts: Parts

    @property
    def ledger(self) -> Ledger:
        """Return the cluster's ledger."""
        return self.parts.ledger

    async def close(self) -> None:
        """Let go of all edges; machines stay."""
        await close_parts(self.parts)


@cache
def registry() -> Mapping[str, ProviderKind]:
    """Return every installed kind of provider by its name."""
    return {point.name: point.load() for point in entry_points(group=PROVIDER_GROUP)}


def peers() -> Mapping[str, Callable[[Policy], Any]]:
    """Return the makers of other autoscalers' rules, for comparisons in simulations, by name."""
    from rayfleet.engines.ray.stock_rules import StockV2

    return {"ray-v2": StockV2}


def build(spec: ClusterSpec, folder: Path, ray: RaySettings) -> Assembly:
    """Return a ready Reconciler of the cluster whose durable files are in `folder`. Does no I/O.

    At most one may run at a time; whoever runs it holds the cluster's lease.
    """
    from rayfleet.engines.ray.engine import RayEngine
    from rayfleet.ledger.sqlite import SqliteLedger
    from rayfleet.planner import plan
    from rayfleet.planner.invariants import check
    from rayfleet.reports.demand_series import DemandSeries
    from rayfleet.reports.history import History
    from rayfleet.reports.log import Log

    engine = RayEngine(ray)
    provider = _provider(spec, folder, engine)
    series = DemandSeries(folder / SERIES_FILE, spec.policy.forecast) if spec.policy.forecast else None
    parts = Parts(
        cluster=spec.name,
        policy=spec.policy,
        providers={spec.provider: provider},
        engine=engine,
        ledger=SqliteLedger(folder / LEDGER_FILE),
        plan=plan,
        sinks=(History(folder / HISTORY_FILE), EngineSink(engine), Log(), *([series] if series else [])),
        check=check,
        expect=series.expect if series else None,
        standby={spec.provider: cast("KeepsStandby", provider)} if registry()[spec.provider].standby else {},
    )
    return Assembly(Reconciler(parts), parts)


def drivers(ray: RaySettings) -> Drivers:
    """Return who is attached to the cluster whose Ray is reached so. Does no I/O."""
    from rayfleet.engines.ray.drivers import RayDrivers

    return RayDrivers(ray)


def _provider(spec: ClusterSpec, folder: Path, engine: Engine) -> Provider:
    kind = registry()[spec.provider]
    return kind.build(
        ProviderContext(
            cluster=spec.name,
            state_dir=folder,
            settings=spec.provider_settings,
            start_script=lambda pool, head: engine.start_script(pool, head=head),
        )
    )
