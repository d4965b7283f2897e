"""ClusterSpec -> what `rayfleet config show` prints: everything, defaults included. Keys are only ever added."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from rayfleet.config.alerting import Alerting
from rayfleet.config.budget_form import budget_to_json
from rayfleet.config.cluster_spec import ClusterSpec, TypeSetup
from rayfleet.config.policy_form import SharedForm, shared_to_json
from rayfleet.config.secrets import without_secrets
from rayfleet.model import Offer, Policy, Pool

Json = dict[str, Any]


def show(spec: ClusterSpec) -> Json:
    """Return the resolved cluster without secrets: name, provider with its settings, Policy, what the edges get."""
    shown: Json = without_secrets(everything(spec))
    return shown


def everything(spec: ClusterSpec) -> Json:
    """Return the same with its secrets: to be compared, never to be shown."""
    settings = spec.provider_settings
    return {
        "cluster_name": spec.name,
        "provider": {
            "type": spec.provider,
            **(settings.model_dump(mode="json") if settings is not None else {}),
        },
        "policy": _policy(spec.policy),
        "types": {name: _filled(_setup(setup)) for name, setup in spec.types.items()},
        "bootstrap": _filled(
            {
                "commands": {key: list(lines) for key, lines in spec.bootstrap.commands.items()},
                "auth": dict(spec.bootstrap.auth),
                "docker": dict(spec.bootstrap.docker),
                "files": dict(spec.bootstrap.files),
            }
        ),
        "refresh_prices": spec.refresh_prices,
        "monitoring": {
            "prometheus": spec.monitoring.prometheus,
            "prometheus_port": spec.monitoring.prometheus_port,
            "prometheus_url": spec.monitoring.prometheus_url,
            "alerting": _alerting(spec.monitoring.alerting),
        },
        "notes": [note.as_json() for note in spec.notes],
    }


def _alerting(told: Alerting | None) -> Json | None:
    """Return who is told of what; their addresses are secrets."""
    if told is None:
        return None
    rules = {rule: asdict(threshold) for rule, threshold in told.thresholds.items()}
    return {"receivers": list(told.labels), "repeat_minutes": told.repeat_s / 60, "rules": rules}


def _policy(policy: Policy) -> Json:
    shared: Json = SharedForm().model_dump()
    plain = [f.name for f in fields(Policy) if f.name not in ("pools", "head", "timeouts", *shared)]
    return {
        **{name: getattr(policy, name) for name in plain},
        **shared,
        **shared_to_json(policy),
        "disruption_budgets": [budget_to_json(budget) for budget in policy.disruption_budgets],
        "timeouts": asdict(policy.timeouts),
        "head": _pool(policy.head) if policy.head else None,
        "pools": [_pool(pool) for pool in policy.pools],
    }


def _pool(pool: Pool) -> Json:
    plain = [f.name for f in fields(Pool) if f.name not in ("resources", "labels", "offers")]
    row: Json = {name: getattr(pool, name) for name in plain}
    return row | {
        "resources": pool.resources.amounts(),
        "labels": dict(pool.labels),
        "standby": asdict(pool.standby) if pool.standby else None,
        "offers": [_offer(offer) for offer in pool.offers],
    }


def _offer(offer: Offer) -> Json:
    return {f.name: getattr(offer, f.name) for f in fields(Offer) if f.name != "counted_usd_per_hour"} | {
        "market": offer.market.value
    }


def _setup(setup: TypeSetup) -> Json:
    return {f.name: getattr(setup, f.name) for f in fields(TypeSetup)}


def _filled(values: Json) -> Json:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value}
