"""The validated parts of a cluster file -> Policy and the settings of the edges. Ray's own defaults hold."""

from __future__ import annotations

from typing import Any

from rayfleet.config.alerting_form import alerting
from rayfleet.config.budget_form import budget
from rayfleet.config.cluster_catalogue import spot_from_offers
from rayfleet.config.cluster_form import ClusterForm, NodeTypeForm, ShortTypeForm
from rayfleet.config.cluster_spec import Bootstrap, Monitoring, TypeSetup
from rayfleet.config.cluster_types import HEAD, NodeType, Types
from rayfleet.config.policy_form import shared
from rayfleet.config.spot_words import Spot, spot_of
from rayfleet.config.standby_form import standby
from rayfleet.model import DEFAULT_OFFERS, FrozenMap, Market, Offer, Policy, Pool, Resources, Timeouts

RAY_MAX_WORKERS = 2
RAY_IDLE_MINUTES = 5.0
RAY_UPSCALING_SPEED = 1.0
SECONDS = 60.0
BARE = Resources.of({"CPU": 1})
"""What a worker on this machine has when its type says nothing."""


def policy(form: ClusterForm, types: Types, *, short: bool, here: bool, boot_timeout_s: float | None = None) -> Policy:
    """Return the Policy. `short`: no cap that is not written. `here`: machines are on this machine.

    `boot_timeout_s`: how long machines of this place take to boot at most, where the file does not say.
    """
    given = form.model_fields_set
    most = form.max_workers if "max_workers" in given else form.autoscaling_config.max_workers
    uncapped = short or "max_workers" in given
    return Policy(
        pools=tuple(_pool(form, kind, here=here) for kind in types.types if has_workers(kind)),
        head=_head(form, types),
        max_workers=RAY_MAX_WORKERS if most is None and not uncapped else most,
        idle_timeout_s=_limit(form, "idle_timeout_minutes", RAY_IDLE_MINUTES) * SECONDS,
        upscaling_speed=_limit(form, "upscaling_speed", RAY_UPSCALING_SPEED),
        downscaling_speed=_limit(form, "downscaling_speed", None),
        max_usd_per_hour=form.max_usd_per_hour,
        spot_spread_margin=form.spot_spread_margin,
        disruption_budgets=tuple(budget(row) for row in form.disruption_budgets),
        max_age_s=form.max_age_s,
        consolidation_threshold=form.consolidation_threshold,
        consolidate_after_s=form.consolidate_after_s,
        scale_down_utilization=form.scale_down_utilization,
        timeouts=_timeouts(form, boot_timeout_s),
        **shared(form),
    )


def _timeouts(form: ClusterForm, boot_timeout_s: float | None) -> Timeouts:
    given = form.timeouts.model_dump()
    if boot_timeout_s is not None and "boot_timeout_s" not in form.timeouts.model_fields_set:
        given["boot_timeout_s"] = boot_timeout_s
    return Timeouts(**given)


def _limit(form: ClusterForm, name: str, default: float | None) -> Any:
    """Return a limit: of the file, of its `autoscaling_config`, or the default; a written null counts."""
    for section in (form, form.autoscaling_config):
        if name in section.model_fields_set:
            return getattr(section, name)
    return default


def has_workers(kind: NodeType) -> bool:
    """Say whether a type has workers; the head's own only where the file allows some, as in Ray."""
    return not kind.head or (kind.listed and bool(kind.form.max_workers or kind.form.min_workers))


def _pool(form: ClusterForm, kind: NodeType, *, here: bool) -> Pool:
    own = kind.form
    return Pool(
        name=kind.name,
        resources=_resources(own, BARE if here else Resources()),
        labels=FrozenMap(own.labels),
        min_workers=own.min_workers,
        max_workers=own.max_workers,
        priority=own.priority,
        idle_timeout_s=own.idle_timeout_s,
        restartable=own.restartable,
        max_age_s=own.max_age_s,
        max_age_grace_s=own.max_age_grace_s,
        standby=standby(own.standby),
        boot_timeout_s=own.boot_timeout_s,
        offers=_offers(form, kind),
    )


def _resources(form: NodeTypeForm, default: Resources) -> Resources:
    return default if form.resources is None else Resources.of(form.resources)


def _head(form: ClusterForm, types: Types) -> Pool:
    kind = types.head
    if kind is None:
        return Pool(_added_head(types), Resources(), max_workers=1)
    resources = _resources(kind.form, Resources())
    return Pool(kind.name, resources, FrozenMap(kind.form.labels), max_workers=1, offers=_offers(form, kind))


def _added_head(types: Types) -> str:
    """Return a name for a head that the file does not have."""
    taken = {kind.name for kind in types.types}
    return next(name for name in (HEAD, "rayfleet-head", "rayfleet-added-head") if name not in taken)


def _offers(form: ClusterForm, kind: NodeType) -> tuple[Offer, ...]:
    if kind.form.offers is not None:
        return tuple(Offer(**offer.model_dump(exclude={"max_usd_per_hour"})) for offer in kind.form.offers)
    return (Offer(market=Market.SPOT),) if _spot(form, kind).wanted else DEFAULT_OFFERS


def _spot(form: ClusterForm, kind: NodeType) -> Spot:
    """Return whether a type is bought as spot, and the most that it may cost an hour."""
    own = kind.form
    if own.offers is not None:
        found = spot_from_offers(kind)
        return found if found.max_usd_per_hour is not None else spot_of(_node_config(form, kind))
    if isinstance(own, ShortTypeForm) and own.use_spot:
        return Spot(wanted=True, max_usd_per_hour=own.spot_price)
    return spot_of(_node_config(form, kind))


def _node_config(form: ClusterForm, kind: NodeType) -> dict[str, Any]:
    """Return the place's own settings of a type: the file's for all, for heads or workers, then its own."""
    role = form.head_node_config if kind.head else form.worker_node_config
    return {**form.node_config, **role, **kind.form.node_config}


def setups(form: ClusterForm, types: Types) -> FrozenMap[TypeSetup]:
    """Return what places need to know of each type, the added head included."""
    found = {kind.name: _setup(form, kind) for kind in types.types}
    if types.head is None:
        first = next(iter(found.values()), TypeSetup())
        found[_added_head(types)] = TypeSetup(instance_type=first.instance_type, node_config=first.node_config)
    return FrozenMap(found)


def _setup(form: ClusterForm, kind: NodeType) -> TypeSetup:
    own = kind.form
    return TypeSetup(
        instance_type=kind.instance_type,
        spot_max_usd_per_hour=_spot(form, kind).max_usd_per_hour,
        node_config=_node_config(form, kind),
        docker=own.docker.model_dump(exclude_none=True) if own.docker else {},
        initialization_commands=tuple(own.initialization_commands),
        setup_commands=tuple(own.worker_setup_commands),
    )


def bootstrap(form: ClusterForm, commands: tuple[str, ...], files: tuple[str, ...]) -> Bootstrap:
    """Return how a host becomes a node, as far as the file says."""
    return Bootstrap(
        commands=FrozenMap({key: tuple(getattr(form, key)) for key in commands if getattr(form, key)}),
        auth=form.auth.model_dump(exclude_none=True) if form.auth else {},
        docker=form.docker.model_dump(exclude_none=True, exclude_defaults=True) if form.docker else {},
        files={key: getattr(form, key) for key in files if getattr(form, key)},
    )


def monitoring(form: ClusterForm) -> Monitoring:
    """Return where metrics and alerts go."""
    exporter, alerts = form.monitoring_config.prometheus, form.monitoring_config.alerting
    return Monitoring(
        prometheus=exporter.enabled if exporter else True,
        prometheus_port=exporter.port if exporter and exporter.enabled else None,
        prometheus_url=exporter.url if exporter else None,
        alerting=alerting(alerts),
    )
