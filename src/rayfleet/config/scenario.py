"""A scenario file -> Snapshot. The way back is in scenario_out.py; the keys are in scenario_form.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rayfleet.config.budget_form import budget
from rayfleet.config.document import Document, read
from rayfleet.config.forms import in_order, validate
from rayfleet.config.policy_form import selectors_of, shared
from rayfleet.config.problems import ConfigInvalid
from rayfleet.config.scenario_checks import contradictions
from rayfleet.config.scenario_form import (
    BackoffForm,
    BundleForm,
    DemandForm,
    ExpectedForm,
    GangForm,
    MachineForm,
    OfferForm,
    OriginForm,
    OutcomeForm,
    PolicyForm,
    PoolForm,
    ReasonForm,
    RequestedForm,
    ScenarioForm,
    StrayForm,
    TaskForm,
)
from rayfleet.config.standby_form import standby
from rayfleet.model import (
    DEFAULT_OFFERS,
    Backoff,
    Bundle,
    Claim,
    Demand,
    Drain,
    Expected,
    FrozenMap,
    Gang,
    Host,
    Offer,
    OfferKey,
    Order,
    Outcome,
    Phase,
    Policy,
    Pool,
    Reason,
    ReasonCode,
    RequestedDemand,
    Resources,
    Snapshot,
    StandbyMode,
    Stray,
    TaskDemand,
    Timeouts,
    reason,
)

ORIGIN: tuple[str, ...] = ("provider", "region", "zone", "market")
_NUMBERED = re.compile(r"[A-Za-z_-]*?(\d{1,9})(?:\.\d+)?")


def load_scenario(text: str, file: str) -> Snapshot:
    """Read a scenario that a person or a test wrote. `file` names it in problems.

    Raises:
        ConfigInvalid: with everything that is wrong.
    """
    document = read(text, file)
    form, problems = validate(ScenarioForm, document)
    problems += contradictions(document)
    if form is None or problems:
        raise ConfigInvalid(in_order(problems))
    return _snapshot(form)


def snapshot_from_json(value: Mapping[str, Any], file: str = "") -> Snapshot:
    """Build the Snapshot that `snapshot_to_json` wrote; a recording is believed to be free of contradictions.

    Raises:
        ConfigInvalid: it is not of this format.
    """
    form, problems = validate(ScenarioForm, Document(dict(value), "", file))
    if form is None:
        raise ConfigInvalid(problems)
    return _snapshot(form)


def _snapshot(form: ScenarioForm) -> Snapshot:
    policy = _policy(form.policy)
    return Snapshot(
        now=form.now,
        policy=policy,
        claims=_claims(form.machines, policy),
        demand=_demand(form.demand),
        backoffs=tuple(_backoff(row) for row in form.backoff),
        orders=tuple(
            Order(**{**row.model_dump(), "id": row.id or f"order:{n}"}) for n, row in enumerate(form.orders, start=1)
        ),
        outcomes=tuple(_outcome(row) for row in form.outcomes),
        strays=tuple(_stray(row) for row in form.strays),
        in_flight=tuple(form.in_flight),
        listed_at=FrozenMap(form.listed_at),
        serial=_serial(form.machines) if form.serial is None else form.serial,
        engine_up=form.engine_up,
        effort=form.effort,
        spent_today_usd=form.spent_today_usd,
        spent_at=form.spent_at,
        launched_last_min=form.launched_last_min,
        expected=tuple(_expected(row) for row in form.expected),
        usage=FrozenMap({owner: Resources.of(used) for owner, used in form.usage.items()}),
    )


def _policy(form: PolicyForm) -> Policy:
    return Policy(
        pools=tuple(_pool(pool) for pool in form.pools),
        head=_pool(form.head) if form.head else None,
        max_workers=form.max_workers,
        idle_timeout_s=form.idle_timeout_s,
        upscaling_speed=form.upscaling_speed,
        downscaling_speed=form.downscaling_speed,
        max_usd_per_hour=form.max_usd_per_hour,
        spot_spread_margin=form.spot_spread_margin,
        disruption_budgets=tuple(budget(row) for row in form.disruption_budgets),
        max_age_s=form.max_age_s,
        consolidation_threshold=form.consolidation_threshold,
        consolidate_after_s=form.consolidate_after_s,
        scale_down_utilization=form.scale_down_utilization,
        timeouts=Timeouts(**form.timeouts.model_dump()),
        **shared(form),
    )


def _pool(form: PoolForm) -> Pool:
    return Pool(
        name=form.name,
        resources=Resources.of(form.resources),
        labels=FrozenMap(form.labels),
        min_workers=form.min_workers,
        max_workers=form.max_workers,
        priority=form.priority,
        hosts_per_replica=form.hosts_per_replica,
        idle_timeout_s=form.idle_timeout_s,
        max_age_s=form.max_age_s,
        max_age_grace_s=form.max_age_grace_s,
        restartable=form.restartable,
        standby=standby(form.standby),
        boot_timeout_s=form.boot_timeout_s,
        offers=DEFAULT_OFFERS if form.offers is None else tuple(_offer(offer) for offer in form.offers),
    )


def _offer(form: OfferForm) -> Offer:
    return Offer(**form.model_dump())


def _origin(form: OriginForm) -> OfferKey:
    return OfferKey(form.pool, form.provider, form.region, form.zone, form.market)


def filled_offer(
    pool: Pool | None, name: str, given: Mapping[str, Any], *, waits: bool = False
) -> tuple[OfferKey, float | None]:
    """Return what a machine row that gives only the keys `given` comes from, and its price.

    That is the pool's first offer that agrees with what is given. `waits`: it is on standby.
    """
    mode = pool.standby.mode if pool and pool.standby else StandbyMode.STOPPED
    for offer in pool.offers if pool else ():
        own = {"provider": offer.provider, "region": offer.region, "zone": offer.zone, "market": offer.market}
        if all(own[key] == value for key, value in given.items()):
            return offer.key(name), offer.resting_usd_per_hour(mode) if waits else offer.usd_per_hour
    return OfferKey(name, **given), None


def _claims(rows: Iterable[MachineForm], policy: Policy) -> tuple[Claim, ...]:
    replicas: dict[str, list[MachineForm]] = {}
    for row in rows:
        replicas.setdefault(row.replica or row.id, []).append(row)
    return tuple(_claim(name, members, policy) for name, members in replicas.items())


def _claim(name: str, rows: list[MachineForm], policy: Policy) -> Claim:
    first = rows[0]
    explicit = first.model_dump(include=set(ORIGIN), exclude_unset=True)
    waits = first.phase is Phase.STANDBY if first.standby is None else first.standby
    offer, usd_per_hour = filled_offer(policy.pool(first.pool), first.pool, explicit, waits=waits)
    return Claim(
        id=name,
        offer=offer,
        phase=first.phase,
        hosts=tuple(_host(row) for row in rows if row.hosts),
        since=first.since,
        created=first.created,
        batch=first.batch,
        accepted=first.accepted,
        head=first.head,
        foreign=first.foreign,
        found=first.found,
        drifted=first.drifted,
        make=first.make,
        drain=_drain(first),
        ending=_reason(first.ending) if first.ending else None,
        retry_at=first.retry_at,
        usd_per_hour=first.usd_per_hour if "usd_per_hour" in first.model_fields_set else usd_per_hour,
        listed_at=first.listed_at,
        unseen_since=first.unseen_since,
        standby=waits,
        reuse=first.reuse,
    )


def _host(row: MachineForm) -> Host:
    return Host(
        id=row.id,
        machine_id=row.machine_id,
        node_id=row.node_id,
        machine=row.machine,
        node=row.node,
        total=None if row.total is None else Resources.of(row.total),
        used=Resources.of(row.used),
        labels=FrozenMap(row.labels),
        idle_s=row.idle_s,
        activity=tuple(row.activity),
        interrupt_at=row.interrupt_at,
        do_not_disrupt=row.do_not_disrupt,
        message=row.message,
        trouble=row.trouble,
    )


def _drain(row: MachineForm) -> Drain | None:
    if row.deadline is None:
        return None
    why = (
        _reason(row.drain_reason)
        if row.drain_reason
        else reason(ReasonCode.ORDERED, by="somebody", why="as the file says")
    )
    return Drain(why, row.since if row.asked_at is None else row.asked_at, row.deadline, row.mode)


def _reason(form: ReasonForm) -> Reason:
    return Reason(form.code, FrozenMap(form.details), tuple(_reason(part) for part in form.chain))


def _serial(rows: Iterable[MachineForm]) -> int:
    """Return the largest number that ends an id, so that no new claim gets a name that is taken."""
    found = (_NUMBERED.fullmatch(row.replica or row.id) for row in rows)
    return max((int(match[1]) for match in found if match), default=0)


def _demand(form: DemandForm) -> Demand:
    return Demand(
        tasks=tuple(_task(row) for row in form.tasks),
        gangs=tuple(_gang(row) for row in form.gangs),
        requested=tuple(_requested(row) for row in form.requested),
    )


def _expected(row: ExpectedForm) -> Expected:
    shape = Resources.of(row.shape)
    return Expected(row.name, shape, row.count, selectors_of(row.selectors), row.error_percent)


def _task(row: TaskForm) -> TaskDemand:
    return TaskDemand(Resources.of(row.shape), row.count, selectors_of(row.selectors), row.age_s, FrozenMap(row.labels))


def _requested(row: RequestedForm) -> RequestedDemand:
    return RequestedDemand(Resources.of(row.shape), row.count, selectors_of(row.selectors))


def _gang(row: GangForm) -> Gang:
    bundles = tuple(_bundle(b) for b in row.bundles)
    placed, labels = FrozenMap(row.placed), FrozenMap(row.labels)
    return Gang(row.strategy, bundles, row.count, row.age_s, placed, labels, row.same_label)


def _bundle(form: BundleForm) -> Bundle:
    return Bundle(Resources.of(form.shape), selectors_of(form.selectors))


def _backoff(row: BackoffForm) -> Backoff:
    return Backoff(_origin(row), row.until, row.reason, row.failures, row.message, row.since)


def _outcome(row: OutcomeForm) -> Outcome:
    scope = _origin(row.scope) if row.scope else None
    return Outcome(row.kind, tuple(row.claims), row.at, row.reason, row.message, scope)


def _stray(row: StrayForm) -> Stray:
    return Stray(row.machine_id, _origin(row), row.batch, row.launched_at, row.head, row.standby, row.replica)
