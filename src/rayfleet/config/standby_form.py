"""Machines of a pool that wait without Ray: the key `standby` of pools, in scenarios and cluster files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from rayfleet.config.document import Document
from rayfleet.config.fields import Count, Measure, wrong
from rayfleet.config.forms import Form
from rayfleet.config.policy_form import Percent
from rayfleet.config.problems import Path, Problem
from rayfleet.model import Pool, Standby, StandbyMode

Json = dict[str, Any]


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

    @model_validator(mode="after")
    def _wants_something(self) -> StandbyForm:
        if not self.model_fields_set & {"count", "percent"}:
            raise wrong("needs count or percent", "such as standby: {count: 2}, or just standby: 2")
        return self


def _just_a_number(value: Any) -> Any:
    return value if value is None or isinstance(value, dict) else {"count": value}


StandbyField = Annotated[
    StandbyForm | None, BeforeValidator(_just_a_number, json_schema_input_type=StandbyForm | Count | None)
]


def standby(form: StandbyForm | None) -> Standby | None:
    """Return what the model gets of it."""
    return None if form is None else Standby(form.count, form.percent, form.mode, form.max_age_s)


def standby_to_json(rule: Standby) -> Json:
    """Return the section that `standby` reads."""
    row: Json = {"count": rule.count}
    row |= {"percent": rule.percent} if rule.percent else {}
    row |= {"mode": rule.mode.value} if rule.mode is not StandbyMode.STOPPED else {}
    return row | ({} if rule.max_age_s is None else {"max_age_s": rule.max_age_s})


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
