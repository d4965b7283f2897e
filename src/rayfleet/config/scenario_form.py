"""The scenario file as forms: every key with its type and default. The public format, kept stable.

Keys are only ever added, with defaults that leave yesterday's plan unchanged. Units: seconds, bytes,
cores, USD per hour.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, create_model, model_validator

from rayfleet.config.budget_form import DisruptionBudgetForm
from rayfleet.config.fields import (
    Amounts,
    Count,
    Flag,
    Labels,
    Measure,
    Name,
    Number,
    Positive,
    Selector,
    Text,
    Whole,
    wrong,
)
from rayfleet.config.forms import Form
from rayfleet.config.policy_form import SharedForm
from rayfleet.config.standby_form import StandbyField
from rayfleet.model import (
    TEXTS,
    MachineFact,
    Market,
    NodeFact,
    OrderKind,
    OutcomeKind,
    Phase,
    ReasonCode,
    ReleaseMode,
    Strategy,
    Timeouts,
    Trouble,
)

FORMAT: Final = 1


class OriginForm(Form):
    """Which offers are meant. What a back-off, stray or scope leaves out means: any."""

    pool: Text = ""
    provider: Name | None = None
    region: Name | None = None
    zone: Name | None = None
    market: Market | None = None


class OfferForm(Form):
    """One way of getting a machine of a pool."""

    provider: Name | None = None
    """Where such machines come from; null: the cluster's provider."""
    region: Name | None = None
    """The provider's name for the region; null: no particular one."""
    zone: Name | None = None
    """The provider's name for the zone; null: no particular one."""
    market: Market = Market.ON_DEMAND
    """How the machine is bought."""
    usd_per_hour: Measure | None = None
    """Price of one machine in USD per hour; null: not known."""
    standby_usd_per_hour: Measure = 0.0
    """Price of one machine that is stopped (`standby`), in USD per hour: its disk, mostly."""


class PoolForm(Form):
    """One kind of machine. Counts are machines, also where several make a replica."""

    name: Name
    resources: Amounts = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)
    min_workers: Count = 0
    max_workers: Count | None = None
    priority: Whole = 0
    hosts_per_replica: Positive = 1
    idle_timeout_s: Measure | None = None
    max_age_s: Measure | None = None
    max_age_grace_s: Measure | None = None
    restartable: Flag = False
    standby: StandbyField = None
    boot_timeout_s: Measure | None = None
    offers: list[OfferForm] | None = Field(default=None, min_length=1)


_TIMEOUTS: dict[str, Any] = {field.name: (Measure, field.default) for field in fields(Timeouts)}
TimeoutsForm = create_model("TimeoutsForm", __base__=Form, __doc__="Every time-out of a machine's life.", **_TIMEOUTS)
# Made from the model's own list, so that a time-out that is added there can be recorded at once.


class PolicyForm(SharedForm):
    """Limits and preferences of the cluster. null: no limit."""

    pools: list[PoolForm]
    head: PoolForm | None = None
    max_workers: Count | None = None
    idle_timeout_s: Measure = 60.0
    upscaling_speed: Measure | None = None
    downscaling_speed: Measure | None = None
    max_usd_per_hour: Measure | None = None
    spot_spread_margin: Measure | None = None
    disruption_budgets: list[DisruptionBudgetForm] = Field(default_factory=list)
    max_age_s: Measure | None = None
    consolidation_threshold: Measure | None = None
    consolidate_after_s: Measure = 600.0
    scale_down_utilization: Measure | None = None
    timeouts: TimeoutsForm = TimeoutsForm()


class ReasonForm(Form):
    """A typed reason: code, numbers and what modified it."""

    code: ReasonCode
    details: dict[Name, str | int | float] = Field(default_factory=dict)
    chain: list[ReasonForm] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_its_numbers(self) -> ReasonForm:
        try:
            TEXTS[self.code].format_map(self.details)
        except KeyError as missing:
            raise wrong(f"reason {self.code.value} needs details.{missing.args[0]}") from None
        except ValueError:
            raise wrong(f"reason {self.code.value} needs numbers in its details") from None
        return self


class MachineForm(Form):
    """One machine (host) of a claim. Rows that share `replica` are one claim and share its part of the row.

    `zone`, `market`, `region`, `provider` left out: those of the pool's first offer that fits the rest.
    `machine` and `node` left out: no fact, the phase is believed.
    """

    id: Name
    replica: Name | None = None
    pool: Name
    provider: Name | None = None
    region: Name | None = None
    zone: Name | None = None
    market: Market | None = None
    usd_per_hour: Measure | None = None
    phase: Phase = Phase.READY
    head: Flag = False
    foreign: Flag = False
    found: Flag = False
    drifted: Flag = False
    make: Text = ""
    accepted: Flag = True
    batch: Text = ""
    since: Number = 0.0
    created: Number = 0.0
    listed_at: Number | None = None
    retry_at: Number | None = None
    unseen_since: Number | None = None
    deadline: Number | None = None
    asked_at: Number | None = None
    drain_reason: ReasonForm | None = None
    ending: ReasonForm | None = None
    hosts: Literal[0, 1] = 1
    used: Amounts = Field(default_factory=dict)
    total: Amounts | None = None
    labels: Labels = Field(default_factory=dict)
    idle_s: Measure = 0.0
    activity: list[Text] = Field(default_factory=list)
    interrupt_at: Number | None = None
    do_not_disrupt: Flag = False
    machine_id: Text | None = None
    node_id: Text | None = None
    machine: MachineFact | None = None
    node: NodeFact | None = None
    message: Text = ""
    standby: Flag | None = None
    reuse: Flag = False
    mode: ReleaseMode = ReleaseMode.END
    trouble: Trouble | None = None


class TaskForm(Form):
    """Equal tasks or actors that wait. `selectors`: alternatives, best first."""

    shape: Amounts
    count: Count = 1
    selectors: list[Selector] = Field(default_factory=list)
    age_s: Measure = 0.0
    labels: Labels = Field(default_factory=dict)


class RequestedForm(Form):
    """What `request_resources` asks the whole cluster to be able to hold."""

    shape: Amounts
    count: Count = 1
    selectors: list[Selector] = Field(default_factory=list)


class BundleForm(Form):
    """One member of a gang; in files also just its shape."""

    shape: Amounts
    selectors: list[Selector] = Field(default_factory=list)


def _bundle(value: Any) -> Any:
    if isinstance(value, dict) and not isinstance(value.get("shape"), dict):
        return {"shape": value}
    return value


Bundle = Annotated[BundleForm, BeforeValidator(_bundle, json_schema_input_type=BundleForm | Amounts)]


class GangForm(Form):
    """Equal placement groups. `placed`: bundle's index -> id of the machine that holds it already."""

    strategy: Strategy = Strategy.PACK
    bundles: list[Bundle] = Field(min_length=1)
    count: Count = 1
    age_s: Measure = 0.0
    placed: dict[Name, Name] = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)
    same_label: Name | None = None


class DemandForm(Form):
    """All that waits."""

    tasks: list[TaskForm] = Field(default_factory=list)
    gangs: list[GangForm] = Field(default_factory=list)
    requested: list[RequestedForm] = Field(default_factory=list)


class BackoffForm(OriginForm):
    """Offers that are not asked before `until`."""

    until: Number
    reason: Trouble = Trouble.OUT_OF_STOCK
    failures: Count = 1
    message: Text = ""
    since: Number = 0.0


class OrderForm(Form):
    """What a person wants."""

    id: Name | None = None
    kind: OrderKind
    target: Text = ""
    value: Text = ""
    by: Text = ""
    why: Text = ""
    at: Number = 0.0


class OutcomeForm(Form):
    """The end of one call. `reason` null: it went well."""

    kind: OutcomeKind
    claims: list[Name]
    at: Number = 0.0
    reason: Trouble | None = None
    message: Text = ""
    scope: OriginForm | None = None


class StrayForm(OriginForm):
    """A machine that carries the cluster's tag and has no claim."""

    machine_id: Name
    batch: Text = ""
    launched_at: Number = 0.0
    head: Flag = False
    standby: Flag = False
    replica: Text = ""


class ExpectedForm(Form):
    """What a forecast expects to be in use and to wait soon."""

    name: Name
    shape: Amounts = Field(min_length=1)
    count: Count = 0
    selectors: list[Selector] = Field(default_factory=list)
    error_percent: Measure | None = None


class ScenarioForm(Form):
    """All that a plan depends on, frozen at one moment."""

    homes: ClassVar[dict[str, str]] = {
        **dict.fromkeys(PolicyForm.model_fields, "it belongs under policy"),
        **dict.fromkeys(DemandForm.model_fields, "it belongs under demand"),
        "snapshot": "this is a recorded tick: use `rayfleet replay`",
        "plan": "this is a recorded tick: use `rayfleet replay`",
        "backoffs": "did you mean backoff?",
    }

    format: Literal[1] = FORMAT
    now: Number = 0.0
    policy: PolicyForm
    removed_pools: list[Name] = Field(default_factory=list)
    machines: list[MachineForm] = Field(default_factory=list)
    demand: DemandForm = DemandForm()
    backoff: list[BackoffForm] = Field(default_factory=list)
    orders: list[OrderForm] = Field(default_factory=list)
    outcomes: list[OutcomeForm] = Field(default_factory=list)
    strays: list[StrayForm] = Field(default_factory=list)
    in_flight: list[Name] = Field(default_factory=list)
    listed_at: dict[Name, Number] = Field(default_factory=dict)
    serial: Count | None = None
    engine_up: Flag = True
    effort: Count = 0
    spent_today_usd: Measure = 0.0
    spent_at: Number | None = None
    launched_last_min: Count = 0
    usage: dict[Name, Amounts] = Field(default_factory=dict)
    expected: list[ExpectedForm] = Field(default_factory=list)
