"""ClusterSpec -> what `rayfleet config show` prints: everything, defaults included. Keys are only ever added."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from rayfleet.config.alerting import Alerting
from rayfleet.config.budget_form import budget_to_json
from rayfleet.config.cluster_spec import ClusterSpec, TypeSetup
from rayfleet.config.policy_form import SharedForm, shared_to_json
from rayfleet.model import Offer, Policy, Pool

Json = dict[str, Any]

_SECRET: Final = re.compile(r"password|passwd|secret|accesskey|apikey|privatekey|credentials?$|token$")
"""In names of keys, without their case and `_` or `-`: what people print must not hold the keys to their account."""


def show(spec: ClusterSpec) -> Json:
    """Return the resolved cluster: name, provider with its settings, Policy, and what the edges were given."""
    settings = spec.provider_settings
    return {
        "cluster_name": spec.name,
        "provider": {
            "type": spec.provider,
            **(_without_secrets(settings.model_dump(mode="json")) if settings is not None else {}),
        },
        "policy": _policy(spec.policy),
        "types": {name: _filled(_setup(setup)) for name, setup in spec.types.items()},
        "bootstrap": _filled(
            {
                "commands": {key: list(lines) for key, lines in spec.bootstrap.commands.items()},
                "auth": _redacted(spec.bootstrap.auth),
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
    return {f.name: _without_secrets(getattr(setup, f.name)) for f in fields(TypeSetup)}


def _filled(values: Json) -> Json:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value}


def _redacted(auth: Any) -> Json:
    """Return `auth` as the file has it: paths of keys are no secrets, but a proxy command may hold one."""
    return {key: "..." if key == "ssh_proxy_command" else value for key, value in auth.items()}


def _without_secrets(value: Any) -> Any:
    """Return a section without the texts under keys that sound like a secret; that there is one can still be seen."""
    if isinstance(value, Mapping):
        return {key: _masked(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(each) for each in value]
    return value


def _masked(key: object, value: Any) -> Any:
    plain = re.sub(r"[_-]", "", str(key)).lower()
    return "..." if value and isinstance(value, str) and _SECRET.search(plain) else _without_secrets(value)
