"""Disruption budgets in files: how many machines may be leaving voluntarily at a time, and when that holds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from rayfleet.config.fields import Name, whole, wrong
from rayfleet.config.forms import Form
from rayfleet.config.problems import shown
from rayfleet.config.window_form import CronLine, DurationS, TimeZone
from rayfleet.model import Disruption, DisruptionBudget, Window
from rayfleet.model.disruption import nodes_of


def nodes(value: Any) -> int | str:
    """Take a number of machines, or a percentage as text."""
    try:
        count, percent = nodes_of(value) if isinstance(value, str) else (whole(value), False)
    except ValueError:
        count, percent = -1, False
    if count < 0:
        raise wrong(f'must be a number of machines or a share like "10%", not {shown(value)}')
    return f"{count}%" if percent else count


Nodes = Annotated[int | str, BeforeValidator(nodes)]


class DisruptionBudgetForm(Form):
    """So many machines at most leave voluntarily at a time: always, or while the window is open."""

    nodes: Nodes
    """A number of machines, or a share of them as text such as `"10%"`, rounded up."""
    reasons: list[Disruption] = Field(default_factory=list)
    """For which reasons: `idle`, `drifted`, `expired`, `underused`; left out: all of them."""
    pool: Name | None = None
    """Only machines of this pool; left out: all workers together."""
    schedule: CronLine | None = None
    """When the budget begins to hold, as a cron line such as `"0 9 * * MON-FRI"`; left out: always."""
    duration_s: DurationS | None = None
    """For how long it holds from then on, in seconds."""
    time_zone: TimeZone = "UTC"
    """Time zone of `schedule`."""

    @model_validator(mode="after")
    def _window_is_whole(self) -> DisruptionBudgetForm:
        if (self.schedule is None) != (self.duration_s is None):
            raise wrong("schedule and duration_s come together", "leave both out for a budget that always holds")
        return self


def budget(form: DisruptionBudgetForm) -> DisruptionBudget:
    """Return the model's value."""
    count, percent = nodes_of(str(form.nodes))
    window = None
    if form.schedule is not None and form.duration_s is not None:
        window = Window(form.schedule, form.duration_s, form.time_zone)
    return DisruptionBudget(count, percent, tuple(form.reasons), form.pool or "", window)


def budget_to_json(value: DisruptionBudget) -> dict[str, Any]:
    """Return what `budget` reads back."""
    row: dict[str, Any] = {"nodes": value.nodes_text if value.percent else value.nodes}
    if value.reasons:
        row["reasons"] = [why.value for why in value.reasons]
    if value.pool:
        row["pool"] = value.pool
    if value.window:
        row |= {"schedule": value.window.cron, "duration_s": value.window.duration_s}
        if value.window.time_zone != "UTC":
            row["time_zone"] = value.window.time_zone
    return row
