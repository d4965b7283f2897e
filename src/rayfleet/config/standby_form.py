"""Machines of a pool that wait without Ray: the key `standby` of pools, in scenarios and cluster files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, model_validator

from rayfleet.config.document import Document
from rayfleet.config.fields import Count, Measure, wrong
from rayfleet.config.forms import Form
from rayfleet.config.policy_form import Percent
from rayfleet.config.problems import Path, Problem
from rayfleet.model import Policy, Pool, Standby, StandbyMode

Json = dict[str, Any]

CACHE: Final = "cache_stopped_nodes"
"""Ray's key for keeping idle machines stopped."""
UNCAPPED: Final = 1_000_000
"""So many are kept of a pool that has no maximum."""


class StandbyForm(Form):
    """How many machines of a pool wait, stopped or booted without Ray, so that they can work sooner than new ones."""

    count: Count = 0
    """How many machines wait."""
    percent: Percent = 0.0
    """How many wait, as a percentage of the pool's ready machines, rounded up; of both the larger holds."""
    mode: StandbyMode = StandbyMode.STOPPED
    """stopped: off, at the price of the disk; booted: on, but without Ray, at the price of a machine."""
    max_age_s: Measure | None = None
    """A machine that has waited for so many seconds is given back, and another made; null: it waits on."""
    keep: Count = 0
    """Up to so many, those of count and percent included, idle machines are stopped instead of given back; none is made
    for that, and spot machines are given back."""

    @model_validator(mode="after")
    def _wants_something(self) -> StandbyForm:
        if not self.model_fields_set & {"count", "percent", "keep"}:
            raise wrong("needs count, percent or keep", "such as standby: {count: 2}, or just standby: 2")
        return self


def _just_a_number(value: Any) -> Any:
    return value if value is None or isinstance(value, dict) else {"count": value}


StandbyField = Annotated[
    StandbyForm | None, BeforeValidator(_just_a_number, json_schema_input_type=StandbyForm | Count | None)
]


def standby(form: StandbyForm | None) -> Standby | None:
    """Return what the model gets of it."""
    return None if form is None else Standby(form.count, form.percent, form.mode, form.max_age_s, form.keep)


def standby_to_json(rule: Standby) -> Json:
    """Return the section that `standby` reads."""
    row: Json = {"count": rule.count}
    row |= {"percent": rule.percent} if rule.percent else {}
    row |= {"keep": rule.keep} if rule.keep else {}
    row |= {"mode": rule.mode.value} if rule.mode is not StandbyMode.STOPPED else {}
    return row | ({} if rule.max_age_s is None else {"max_age_s": rule.max_age_s})


def with_kept(policy: Policy, settings: Any, able: tuple[StandbyMode, ...]) -> Policy:
    """Return the policy under which pools keep their idle machines, if the place's settings say `cache_stopped_nodes`.

    What a pool says of standby itself holds. There is nothing to fill up to: as many are kept as may work.
    """
    if not _cached(settings) or StandbyMode.STOPPED not in able:
        return policy
    return replace(policy, pools=tuple(pool if pool.standby else _keeping(pool, policy) for pool in policy.pools))


def cache_remarks(document: Document, settings: Any, able: tuple[StandbyMode, ...]) -> Iterator[Problem]:
    """Yield what is to be said of `cache_stopped_nodes`: it has no effect, or its default is not Ray's."""
    if _cached(settings) and StandbyMode.STOPPED not in able:
        message = "has no effect: machines of this provider cannot be stopped and kept"
        yield document.problem(("provider", CACHE), message, of_key=True)
    elif getattr(settings, CACHE, False) and not _cached(settings) and StandbyMode.STOPPED in able:
        message = f"no {CACHE}: idle machines are terminated, where Ray stops and keeps them, with their disks"
        yield document.problem(("provider",), message, f"{CACHE}: true keeps them", of_key=True)


def _cached(settings: Any) -> bool:
    """Say whether the file itself has the key, as true."""
    return CACHE in getattr(settings, "model_fields_set", ()) and bool(getattr(settings, CACHE))


def _keeping(pool: Pool, policy: Policy) -> Pool:
    limits = [limit for limit in (pool.max_workers, policy.max_workers) if limit is not None]
    return replace(pool, standby=Standby(keep=min(limits, default=UNCAPPED)))


def modes_it_lacks(
    document: Document, pools: Iterable[tuple[Path, Pool]], provider: str, able: tuple[StandbyMode, ...]
) -> Iterator[Problem]:
    """Yield a problem for every pool that wants machines to wait in a way that its provider does not have."""
    for path, pool in pools:
        if pool.standby is None or pool.standby.mode in able:
            continue
        if able:
            hint = f"mode: {' or '.join(mode.value for mode in able)}"
            message = f"provider {provider} keeps no machines {pool.standby.mode.value} on standby"
        else:
            hint = "leave standby out; min_workers or buffers keep machines ready that work at once"
            message = f"provider {provider} keeps no machines on standby"
        yield document.problem((*path, "standby"), message, hint)
