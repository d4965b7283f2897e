"""Keys that the policy of a scenario and a cluster file share beyond Ray's own: rayfleet's additions, one meaning each.

Forms, what the model gets of them, and the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from rayfleet.config.fields import Amounts, Count, Flag, Measure, Name, Number, Selector, Text, number, wrong
from rayfleet.config.forms import Form
from rayfleet.config.window_form import WindowForm, window, window_to_json
from rayfleet.model import (
    UNITS,
    Buffer,
    Forecast,
    FrozenMap,
    LabelSelector,
    Market,
    OfferKey,
    Overlay,
    PendingThreshold,
    Policy,
    Quota,
    Resources,
    Schedule,
    Selectors,
    amount,
)

Json = dict[str, Any]

WEIGHT_MIN: Final = 0.001
SEASON_MIN_S: Final = 3600
PERCENT_MAX: Final = 10_000
SHARE_MIN: Final = 0.01
Weight = Annotated[float, Field(ge=WEIGHT_MIN), BeforeValidator(number)]
Season = Annotated[float, Field(ge=SEASON_MIN_S), BeforeValidator(number)]
Percent = Annotated[Measure, Field(le=PERCENT_MAX)]


class BufferForm(Form):
    """Room that is kept free. `count` pieces of `shape`, or as many as are `percent` of what is in use."""

    name: Name
    """What it is called, for people and for `rayfleet set buffer:NAME=N`."""
    shape: Amounts = Field(min_length=1)
    """What one piece of the room can hold: `{CPU: 1}`."""
    count: Count = 0
    """How many pieces are kept free."""
    percent: Percent = 0.0
    """How many pieces are kept free, as a percentage of what is in use; of both the larger holds."""
    selectors: list[Selector] = Field(default_factory=list)
    """Labels that the machines must have: alternatives, the best first."""

    @model_validator(mode="after")
    def _wants_something(self) -> BufferForm:
        if not self.model_fields_set & {"count", "percent"}:
            raise wrong("needs count or percent", "such as count: 2")
        if not any(self.shape.values()):
            raise wrong("needs a shape with an amount", "such as shape: {CPU: 1}")
        return self


class ScheduleForm(WindowForm):
    """What holds while the window is open. `pool` left out: the whole cluster."""

    name: Name
    """What it is called, for people."""
    pool: Name | None = None
    """Whose limits change; left out: the whole cluster's."""
    min_workers: Count | None = None
    """The pool's minimum while it is on; null: as otherwise."""
    max_workers: Count | None = None
    """The maximum while it is on; null: as otherwise."""
    buffers: list[BufferForm] = Field(default_factory=list)
    """Room that is kept free while it is on, beside the other buffers."""

    @model_validator(mode="after")
    def _changes_something(self) -> ScheduleForm:
        if self.min_workers is not None and self.pool is None:
            raise wrong("min_workers needs a pool beside it")
        if self.min_workers is None and self.max_workers is None and not self.buffers:
            raise wrong("needs min_workers, max_workers or buffers", "it would change nothing")
        return self


class PendingForm(Form):
    """When machines are launched for tasks that wait: at a number of them, or when one has waited for so long."""

    count: Count | None = None
    """So many tasks that wait are enough."""
    age_s: Measure | None = None
    """One that has waited for so many seconds is enough."""

    @model_validator(mode="after")
    def _triggers(self) -> PendingForm:
        if self.count is None and self.age_s is None:
            raise wrong("needs count or age_s", "nothing would ever be launched for tasks")
        return self


def _pending(value: Any) -> Any:
    return value if value is None or isinstance(value, dict) else {"count": value}


def _targets(value: Any) -> Any:
    return value if value is None or isinstance(value, dict) else dict.fromkeys(USUAL, value)


USUAL: Final = ("CPU", "GPU")
"""What a single target of utilisation is about."""
Share = Annotated[float, Field(ge=SHARE_MIN, le=1), BeforeValidator(number)]
Pending = Annotated[PendingForm | None, BeforeValidator(_pending, json_schema_input_type=PendingForm | Count | None)]
Targets = Annotated[dict[Name, Share], BeforeValidator(_targets, json_schema_input_type=dict[Name, Share] | Share)]


class MatchForm(Form):
    """Which offers an overlay is about; what is left out means any."""

    pool: Name | None = None
    """Those of this pool."""
    provider: Name | None = None
    """Those of this provider."""
    region: Name | None = None
    """Those in this region."""
    zone: Name | None = None
    """Those in this zone."""
    market: Market | None = None
    """Those of this market."""
    labels: Selector = Field(default_factory=dict)
    """Those whose machines have these labels."""


class OverlayForm(Form):
    """What some offers count as when they are compared: one of `usd_per_hour`, `multiply` and `add`."""

    match: MatchForm = MatchForm()
    """Which offers; left out: all."""
    usd_per_hour: Measure | None = None
    """They count as this price."""
    multiply: Measure | None = None
    """Their price counts so many times."""
    add: Number | None = None
    """Their price counts so much more (or less, if negative), never below 0."""
    why: Text = ""
    """What it is for, for people."""
    real: Flag = False
    """Whether it is also what they cost, in sums and budgets."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> OverlayForm:
        if sum(given is not None for given in (self.usd_per_hour, self.multiply, self.add)) != 1:
            raise wrong("needs one of usd_per_hour, multiply and add")
        return self


class QuotaForm(Form):
    """What the work of one owner (a team, a job) may have, and its share."""

    label: Name
    """The label that work carries, such as team."""
    value: Name
    """Its value: whose quota it is."""
    max_resources: Amounts = Field(default_factory=dict)
    """Most of any resource that machines are launched for: `{CPU: 100}`."""
    weight: Weight = 1.0
    """Its share, compared with others, when limits do not leave room for all work."""


class ForecastForm(Form):
    """Look ahead: what was needed one season ago is needed again."""

    season_s: Season = 604_800.0
    """Length of a season in seconds: a week, or 86400 for a day."""
    lead_s: Measure = 900.0
    """How many seconds ahead machines are launched."""
    max_error_percent: Measure = 50.0
    """A resource whose forecasts were wrong by more, on average, is not forecast."""


class SharedForm(Form):
    """The keys."""

    buffers: list[BufferForm] = Field(default_factory=list)
    """Room that is kept free for what nobody asks for yet. rayfleet's own."""
    schedules: list[ScheduleForm] = Field(default_factory=list)
    """Limits and buffers that hold at certain hours. rayfleet's own."""
    scale_up_pending_threshold: Pending = None
    """How many tasks have to wait (a number), or for how long (`{age_s: 30}`), before machines are launched for them;
    null: at once. rayfleet's own."""
    scale_up_utilization: Targets = Field(default_factory=dict)
    """Share of a resource that may be in use before more is launched: `{CPU: 0.8}`; a number is about CPU and GPU.
    rayfleet's own."""
    max_resources: Amounts = Field(default_factory=dict)
    """Most of any resource that all workers together may have: `{CPU: 1000, GPU: 16}`. rayfleet's own."""
    max_usd_per_day: Measure | None = None
    """Budget from midnight to midnight, UTC; null: none. rayfleet's own."""
    max_launches_per_min: Count | None = None
    """Machines that are launched within a minute at most; null: no limit. rayfleet's own."""
    gangs_same_label: Name | None = None
    """Label key on which all machines of a placement group agree: `ray.io/availability-zone` keeps each in one zone;
    null: none. rayfleet's own."""
    overlays: list[OverlayForm] = Field(default_factory=list)
    """What offers count as when they are compared: reserved capacity, licences, carbon. rayfleet's own."""
    quotas: list[QuotaForm] = Field(default_factory=list)
    """What owners of work (teams, jobs) may have, and their shares. rayfleet's own."""
    forecast: ForecastForm | None = None
    """Room for what was needed one season ago, in advance; null: none. rayfleet's own."""
    keep_starting_share: Measure = 0.25
    """Of machines on their way that nothing needs any more, so many are kept as this share of those of their pool that
    are in use, each for its idle time-out from its launch on; 0: none. rayfleet's own."""
    max_age_grace_s: Measure | None = None
    """What runs on a machine at its maximum age may go on for so many seconds, and is ended then, restartable or not;
    null: only restartable work is ended. rayfleet's own."""


def shared(form: SharedForm) -> Json:
    """Return the Policy's fields of the shared keys."""
    return {
        "buffers": tuple(_buffer(row) for row in form.buffers),
        "schedules": tuple(_schedule(row) for row in form.schedules),
        "scale_up_pending_threshold": _threshold(form.scale_up_pending_threshold),
        "scale_up_utilization": FrozenMap(form.scale_up_utilization),
        "max_resources": _units(form.max_resources),
        "max_usd_per_day": form.max_usd_per_day,
        "max_launches_per_min": form.max_launches_per_min,
        "gangs_same_label": form.gangs_same_label,
        "overlays": tuple(_overlay(row) for row in form.overlays),
        "quotas": tuple(_quota(row) for row in form.quotas),
        "forecast": Forecast(**form.forecast.model_dump()) if form.forecast else None,
        "keep_starting_share": form.keep_starting_share,
        "max_age_grace_s": form.max_age_grace_s,
    }


def shared_to_json(policy: Policy) -> Json:
    """Return the shared keys that differ from their defaults."""
    rows: Json = {
        "buffers": [_buffer_to_json(buffer) for buffer in policy.buffers],
        "schedules": [_schedule_to_json(schedule) for schedule in policy.schedules],
        "scale_up_pending_threshold": _threshold_to_json(policy.scale_up_pending_threshold),
        "scale_up_utilization": dict(policy.scale_up_utilization),
        "max_resources": _amounts(policy.max_resources),
        "overlays": [_overlay_to_json(overlay) for overlay in policy.overlays],
        "quotas": [_quota_to_json(quota) for quota in policy.quotas],
        "forecast": asdict(policy.forecast) if policy.forecast else None,
        "gangs_same_label": policy.gangs_same_label,
    }
    default = Policy()
    plain = ("max_usd_per_day", "max_launches_per_min", "keep_starting_share", "max_age_grace_s")
    return {key: value for key, value in rows.items() if value} | {
        key: getattr(policy, key) for key in plain if getattr(policy, key) != getattr(default, key)
    }


def selectors_of(rows: Iterable[dict[str, str]]) -> Selectors:
    """Return label selectors, the best first."""
    return tuple(LabelSelector.parse(row) for row in rows)


def _buffer(form: BufferForm) -> Buffer:
    return Buffer(form.name, Resources.of(form.shape), form.count, form.percent, selectors_of(form.selectors))


def _buffer_to_json(buffer: Buffer) -> Json:
    row: Json = {"name": buffer.name, "shape": buffer.shape.amounts(), "count": buffer.count}
    if buffer.percent:
        row["percent"] = buffer.percent
    if buffer.selectors:
        row["selectors"] = [selector.expressions() for selector in buffer.selectors]
    return row


def _schedule(form: ScheduleForm) -> Schedule:
    buffers = tuple(_buffer(row) for row in form.buffers)
    return Schedule(form.name, window(form), form.pool or "", form.min_workers, form.max_workers, buffers)


def _schedule_to_json(schedule: Schedule) -> Json:
    row: Json = {"name": schedule.name, **window_to_json(schedule.window)}
    row |= {"pool": schedule.pool} if schedule.pool else {}
    limits = {"min_workers": schedule.min_workers, "max_workers": schedule.max_workers}
    row |= {key: value for key, value in limits.items() if value is not None}
    return row | ({"buffers": [_buffer_to_json(b) for b in schedule.buffers]} if schedule.buffers else {})


def _threshold(form: PendingForm | None) -> PendingThreshold | None:
    # At once, which is what no threshold means.
    if form is None or form.count == 0 or form.age_s == 0:
        return None
    return PendingThreshold(form.count, form.age_s)


def _threshold_to_json(threshold: PendingThreshold | None) -> Json:
    if threshold is None:
        return {}
    row = {"count": threshold.count, "age_s": threshold.age_s}
    return {key: value for key, value in row.items() if value is not None}


def _overlay(form: OverlayForm) -> Overlay:
    match = form.match
    scope = OfferKey(match.pool or "", match.provider, match.region, match.zone, match.market)
    labels = LabelSelector.parse(match.labels)
    return Overlay(scope, labels, form.usd_per_hour, form.multiply, form.add, form.why, form.real)


def _overlay_to_json(overlay: Overlay) -> Json:
    scope = overlay.scope
    where = {"provider": scope.provider, "region": scope.region, "zone": scope.zone}
    match: Json = {key: value for key, value in where.items() if value is not None}
    match |= {"pool": scope.pool} if scope.pool else {}
    match |= {"market": scope.market.value} if scope.market else {}
    match |= {"labels": overlay.labels.expressions()} if overlay.labels.matches else {}
    price = {"usd_per_hour": overlay.usd_per_hour, "multiply": overlay.multiply, "add": overlay.add}
    row: Json = {"match": match} if match else {}
    row |= {key: value for key, value in price.items() if value is not None}
    row |= {"why": overlay.why} if overlay.why else {}
    return row | ({"real": True} if overlay.real else {})


def _units(amounts: Mapping[str, float]) -> FrozenMap[int]:
    """Return limits in units; 0 is a limit too, so that they are no Resources."""
    return FrozenMap({name: round(most * UNITS) for name, most in amounts.items()})


def _amounts(units: Mapping[str, int]) -> Json:
    return {name: amount(most) for name, most in units.items()}


def _quota(form: QuotaForm) -> Quota:
    return Quota(form.label, form.value, _units(form.max_resources), form.weight)


def _quota_to_json(quota: Quota) -> Json:
    row: Json = {"label": quota.label, "value": quota.value}
    row |= {"max_resources": _amounts(quota.max_resources)} if quota.max_resources else {}
    return row | ({"weight": quota.weight} if quota.weight != 1.0 else {})
