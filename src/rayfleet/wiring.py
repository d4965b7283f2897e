"""The composition root: a ClusterSpec, a folder and the addresses of its Ray become a ready Reconciler.

Every other room gets its edges handed in; only this one knows all of them. Providers are found by entry point, so that
an installed package can bring its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from rayfleet.contracts import (
    Drivers,
    Engine,
    KeepsStandby,
    Ledger,
    Login,
    Machine,
    Provider,
    ProviderContext,
    ProviderKind,
    Sink,
    StartScript,
    State,
    TypeConfig,
)
from rayfleet.model import Market, Policy, Pool

if TYPE_CHECKING:
    from rayfleet.bootstrap.again import Again
    from rayfleet.bootstrap.mirror import Mirror
    from rayfleet.bootstrap.recipe import Extra
    from rayfleet.bootstrap.steps import Recipe, Step
    from rayfleet.bootstrap.visit import Progress
    from rayfleet.config import ClusterSpec
    from rayfleet.engines.ray.commands import Remote
    from rayfleet.engines.ray.engine import RayEngine
    from rayfleet.engines.ray.settings import RaySettings
    from rayfleet.loop import Parts, Reconciler
    from rayfleet.reports.metrics.sink import Metrics
    from rayfleet.wire.ssh.session import Ssh

PROVIDER_GROUP: Final = "rayfleet.providers"
LEDGER_FILE: Final = "ledger.sqlite"
HISTORY_FILE: Final = "history.sqlite"
KNOWN_HOSTS_FILE: Final = "known_hosts"
ALERTS_FILE: Final = "alerts.json"
SERIES_FILE: Final = "demand-series.txt"


@dataclass(frozen=True, slots=True)
class Exporter:
    """Figures to be offered to Prometheus. `port` None: the usual one, or any.

    `announce`: has Ray's service discovery know of the address (host:port) at which they are.
    """

    metrics: Metrics
    port: int | None
    announce: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Assembly:
    """A Reconciler, and the edges that it was made from. `exporter` None: nobody wants its figures."""

    reconciler: Reconciler
    parts: Parts
    exporter: Exporter | None = None

    @property
    def ledger(self) -> Ledger:
        """Return the cluster's ledger."""
        return self.parts.ledger

    async def close(self) -> None:
        """Let go of all edges; machines stay."""
        from rayfleet.loop import close_parts

        await close_parts(self.parts)


@cache
def registry() -> Mapping[str, ProviderKind]:
    """Return every installed kind of provider by its name."""
    return {point.name: point.load() for point in entry_points(group=PROVIDER_GROUP)}


def peers() -> Mapping[str, Callable[[Policy], Any]]:
    """Return the makers of other autoscalers' rules, for comparisons in simulations, by name."""
    from rayfleet.engines.ray.stock_rules import StockV2

    return {"ray-v2": StockV2}


def build(spec: ClusterSpec, folder: Path, ray: RaySettings, *, public_key: str = "") -> Assembly:
    """Return a ready Reconciler of the cluster whose durable files are in `folder`. Does no I/O.

    At most one may run at a time; whoever runs it holds the cluster's lease. `public_key`: what machines that are
    launched elsewhere are to let in.
    """
    from rayfleet.bootstrap.again import Again
    from rayfleet.engines.ray.engine import RayEngine
    from rayfleet.ledger.sqlite import SqliteLedger
    from rayfleet.loop import EngineSink, Parts, Reconciler
    from rayfleet.planner import plan
    from rayfleet.planner.invariants import check
    from rayfleet.reports.demand_series import DemandSeries
    from rayfleet.reports.history import History
    from rayfleet.reports.log import Log

    remote = registry()[spec.provider].remote
    engine = RayEngine(ray, remote=engine_remote(spec) if remote else None)
    # The controller of machines elsewhere runs on their head, which whoever started it has set up.
    elsewhere = Elsewhere(
        adds=lambda: node_extra(spec, ray),
        skip=lambda machine: machine.head,
        login=login(spec, public_key=public_key),
        known_hosts=host_keys(spec, folder),
        again=Again.SETUP if spec.raw.get("no_restart") else None,
    )
    provider = provider_for(spec, folder, ray, elsewhere) if remote else _provider(spec, folder, engine)
    exporter = _exporter(spec, engine) if spec.monitoring.prometheus else None
    series = DemandSeries(folder / SERIES_FILE, spec.policy.forecast) if spec.policy.forecast else None
    parts = Parts(
        cluster=spec.name,
        policy=spec.policy,
        providers={spec.provider: provider},
        engine=engine,
        ledger=SqliteLedger(folder / LEDGER_FILE),
        plan=plan,
        sinks=(
            History(folder / HISTORY_FILE),
            EngineSink(engine),
            Log(),
            *([exporter.metrics] if exporter else []),
            *([series] if series else []),
            *alerts(spec, folder),
            *traces(),
        ),
        check=check,
        expect=series.expect if series else None,
        standby={spec.provider: cast("KeepsStandby", provider)} if registry()[spec.provider].standby else {},
    )
    return Assembly(Reconciler(parts), parts, exporter)


def _exporter(spec: ClusterSpec, engine: RayEngine) -> Exporter:
    """Return what tells the cluster's figures. Where places have no namespaces, clusters are in the default one."""
    from rayfleet import __version__
    from rayfleet.reports.metrics.sink import About, Metrics

    namespace = getattr(spec.provider_settings, "namespace", "") or "default"
    about = About(spec.name, namespace, spec.provider, __version__)
    metrics = Metrics(about, lambda: engine.session)
    metrics.begin(spec.policy)
    return Exporter(metrics, spec.monitoring.prometheus_port, engine.announce_metrics)


def alerts(spec: ClusterSpec, folder: Path) -> tuple[Sink, ...]:
    """Return the sink that tells people, where the cluster's file names any. Does no I/O."""
    told = spec.monitoring.alerting
    if told is None:
        return ()
    from rayfleet.reports.alerts.outbox import Outbox
    from rayfleet.reports.alerts.sink import Alerts

    def outbox() -> Outbox:
        from rayfleet.reports.alerts.receivers import receivers  # clients of e-mail and the web: when there is news

        return Outbox(receivers(told))

    return (Alerts(folder / ALERTS_FILE, outbox, told.thresholds, told.repeat_s),)


def traces() -> tuple[Sink, ...]:
    """Return the sink of traces, where the environment names a receiver of them. Does no I/O."""
    from rayfleet.reports.traces.sink import wanted

    if not wanted():
        return ()
    from rayfleet import __version__
    from rayfleet.reports.traces.sink import Traces

    return (Traces(__version__),)


def drivers(ray: RaySettings) -> Drivers:
    """Return who is attached to the cluster whose Ray is reached so. Does no I/O."""
    from rayfleet.engines.ray.drivers import RayDrivers

    return RayDrivers(ray)


def state(ray: RaySettings) -> State:
    """Return who looks into the cluster whose Ray is reached so. Does no I/O."""
    from rayfleet.engines.ray.state import RayState

    return RayState(ray)


# ---- machines elsewhere ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What only those know who bring machines elsewhere up, apart from what the cluster's file says.

    `adds`: returns what belongs on a machine beyond the file. `skip`: machines that somebody else sets up. `login`:
    None: as the file says. `again`: what is done once more on machines that run. `progress`: is told of each step.
    `before_start`: awaited with each machine before its node is started. `ssh`: None: the real one. `known_hosts`: see
    `wire.ssh.Target`. `outside`: we are not where the machines are, and reach them at their public addresses.
    `user_data`: machines may carry their set-up out themselves.
    """

    adds: Callable[[], Extra]
    skip: Callable[[Machine], bool] = lambda machine: False  # noqa: ARG005 - a default that reads as what it means
    login: Login | None = None
    again: Again | None = None
    progress: Progress | None = None
    before_start: Callable[[Machine], Awaitable[None]] | None = None
    ssh: Ssh | None = None
    known_hosts: Path | None = None
    outside: bool = False
    user_data: bool = True


def login(spec: ClusterSpec, *, public_key: str = "") -> Login:
    """Return who logs in to the cluster's machines, as its file says. Pure.

    `public_key`: the key itself, not its path.
    """
    auth, place = spec.bootstrap.auth, spec.raw.get("provider") or {}
    key = auth.get("ssh_private_key") or ""
    # Images of clouds have a usual user; on hosts that somebody owns, whoever is not named is left to ssh_config.
    named = "ssh_user" in (spec.raw.get("auth") or {}) or not registry()[spec.provider].keeps_hosts
    return Login(
        user=auth.get("ssh_user", "") if named else "",
        private_key=str(Path(key).expanduser()) if key else "",
        public_key=public_key,
        proxy_command=auth.get("ssh_proxy_command") or "",
        proxy_with_id=bool(auth.get("ssh_proxy_use_node_id")),
        use_internal=bool(place.get("use_internal_ips")),
    )


def own_login(spec: ClusterSpec, who: Login, address: str) -> Login:
    """Return how the machine at an address is logged in to: as `who`, or as its place says of it. Pure."""
    own = registry()[spec.provider].own_login
    return own(spec.provider_settings, who, address) if own else who


def host_keys(spec: ClusterSpec, folder: Path) -> Path | None:
    """Return the cluster's own file of host keys; None: its file wants the user's own known_hosts to decide. Pure."""
    return None if getattr(spec.provider_settings, "host_keys", "") == "known" else folder / KNOWN_HOSTS_FILE


def type_configs(spec: ClusterSpec) -> Mapping[str, TypeConfig]:
    """Return the file's own words about each pool's machines, for the provider. Pure."""
    return {
        name: TypeConfig(setup.instance_type, setup.node_config, setup.spot_max_usd_per_hour)
        for name, setup in spec.types.items()
    }


def engine_remote(spec: ClusterSpec) -> Remote:
    """Return what the engine must know to start Ray on the cluster's machines. Pure."""
    from rayfleet.engines.ray.commands import Remote

    # A host that somebody owns has what it has; a cloud's head without resources is meant to have none.
    sized = not registry()[spec.provider].keeps_hosts
    return Remote(spec.bootstrap.head_start, spec.bootstrap.worker_start, sized_head=sized)


def remote_settings(spec: ClusterSpec, folder: Path, host: str, *, token_file: str = "") -> RaySettings:
    """Return where the Ray of a cluster elsewhere is reached. `host`: its head's address, as its workers know it. Pure.

    `token_file`: where this machine has the cluster's token; "": in `folder`, where `RaySettings.save` makes one.
    """
    from rayfleet.engines.ray.commands import ports
    from rayfleet.engines.ray.settings import RaySettings

    return RaySettings(
        cluster=spec.name, folder=str(folder), host=host, ports=ports(engine_remote(spec)), token_file=token_file
    )


def node_extra(spec: ClusterSpec, ray: RaySettings) -> Extra:
    """Return what every node gets beyond the file: the token, Ray if it has none, and variables of shells.

    On a host that somebody owns, they say what is installed.
    """
    from rayfleet.bootstrap.recipe import Extra
    from rayfleet.bootstrap.steps import Run
    from rayfleet.engines.ray.commands import client_exports
    from rayfleet.engines.ray.installing import installation

    ours = not registry()[spec.provider].keeps_hosts
    ray_version = version("ray")
    ray_itself = Run(installation(ray_version), f"Ray {ray_version}, if there is none")
    return Extra(ray.token(), client_exports(ray), before_start=(ray_itself,) if ours else (), profile=ours)


def recipe_for(spec: ClusterSpec, ray: RaySettings, pool: Pool, extra: Extra, *, head: bool) -> Recipe:
    """Return what makes a machine of `pool` a node of the cluster. Pure."""
    from rayfleet.bootstrap.recipe import recipe
    from rayfleet.bootstrap.steps import Start
    from rayfleet.engines.ray import commands

    start = Start(
        commands.start_commands(ray, pool, engine_remote(spec), head=head),
        commands.exports(ray, pool, head=head),
        spec.bootstrap.head_start if head else spec.bootstrap.worker_start,
        () if head else _watch(spec, ray, pool),
    )
    return recipe(spec, pool, start, extra, head=head)


def _watch(spec: ClusterSpec, ray: RaySettings, pool: Pool) -> tuple[Step, ...]:
    """Return what has a spot machine drain its own node when it is told that it will be taken away. Pure."""
    from rayfleet.bootstrap.steps import Run
    from rayfleet.engines.ray import notice

    asks = registry()[spec.provider].notices
    if asks is None or all(offer.market is not Market.SPOT for offer in pool.offers):
        return ()
    return (Run(notice.command(ray, asks(spec.provider_settings)), "watch for a notice"),)


def provider_for(spec: ClusterSpec, folder: Path, ray: RaySettings, elsewhere: Elsewhere) -> Provider:
    """Return the provider of machines elsewhere, which makes nodes of them, too. Does no I/O.

    A machine carries its set-up out itself, from its user-data, where that is possible; else it is set up over SSH.
    """
    from rayfleet.bootstrap.again import Again
    from rayfleet.bootstrap.delivery import Delivery, Route
    from rayfleet.bootstrap.mirror import Mirror
    from rayfleet.bootstrap.offered import Offered
    from rayfleet.bootstrap.over_ssh import Bootstrapped, How

    kind, who = registry()[spec.provider], elsewhere.login or login(spec)
    delivery = Delivery(
        spec.policy,
        lambda pool, head: recipe_for(spec, ray, pool, elsewhere.adds(), head=head),
        user_data=elsewhere.user_data and kind.user_data and not kind.keeps_hosts,
    )
    context = replace(_context(spec, folder, delivery.script), types=type_configs(spec), login=who)
    provider = kind.build(context)
    ssh, closing = _ssh(elsewhere, provider)
    own = partial(own_login, spec, who)
    target = Route(who, elsewhere.known_hosts, elsewhere.outside, made=not kind.keeps_hosts, own=own).target
    # What is to follow the head's files; to the head itself, `up` brings them.
    mirror = None if elsewhere.outside or not _is_mirrored(spec) else Mirror(ssh, target, delivery.recipe)
    how = How(
        ssh=ssh,
        target=target,
        recipe=delivery.recipe,
        skip=lambda machine: elsewhere.skip(machine) or not delivery.is_for_ssh(machine),
        progress=elsewhere.progress or (lambda progressed: None),  # noqa: ARG005 - nobody listens
        again=elsewhere.again or Again.CHANGED,
        before_start=elsewhere.before_start,
        closing=partial(_close, mirror, closing),
        nodes=mirror.seen if mirror else lambda machines: None,  # noqa: ARG005 - nobody is told
    )
    return Bootstrapped(Offered(provider), how)


def _is_mirrored(spec: ClusterSpec) -> bool:
    """Say whether running machines get files again when those change on the head."""
    files = spec.bootstrap.files
    has_any = files.get("file_mounts") or files.get("cluster_synced_files")
    return bool(files.get("file_mounts_sync_continuously") and has_any)


async def _close(mirror: Mirror | None, closing: Callable[[], Awaitable[None]] | None) -> None:
    if mirror is not None:
        await mirror.close()
    if closing is not None:
        await closing()


def _ssh(elsewhere: Elsewhere, provider: Provider) -> tuple[Ssh, Callable[[], Awaitable[None]] | None]:
    """Return what machines are logged in to with, and what lets go of it, where that is ours to do."""
    from rayfleet.wire.ssh.opening import open_ssh
    from rayfleet.wire.ssh.session import LendsSsh

    if elsewhere.ssh is not None:
        return elsewhere.ssh, None
    if isinstance(provider, LendsSsh):
        return provider.ssh, None
    ssh = open_ssh()
    return ssh, ssh.close


def _provider(spec: ClusterSpec, folder: Path, engine: Engine) -> Provider:
    context = _context(spec, folder, lambda pool, head: engine.start_script(pool, head=head))
    return registry()[spec.provider].build(context)


def _context(spec: ClusterSpec, folder: Path, start_script: Callable[[Pool, bool], StartScript]) -> ProviderContext:
    return ProviderContext(
        cluster=spec.name, state_dir=folder, settings=spec.provider_settings, start_script=start_script
    )
