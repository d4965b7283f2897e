"""What is wrong now, from one report and a small memory. Pure.

    (TickReport, Memory, Thresholds) -> Judged(holds, unknown, memory)

A condition holds from its first moment on; how long it has to last before anybody is told is the book's affair. While
Ray does not answer, or a tick failed before it had a plan, nobody knows what waits: such rules are unknown then, which
is not the same as being over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from rayfleet.config.alerting import Rule, Threshold, Thresholds
from rayfleet.model import (
    EXISTING,
    STARTING,
    Claim,
    DemandKind,
    FrozenMap,
    Gang,
    OrderKind,
    OutcomeKind,
    Phase,
    Plan,
    Pool,
    Reason,
    ReasonCode,
    Selectors,
    TickReport,
    Trouble,
    Unmet,
)
from rayfleet.model.word import Word
from rayfleet.reports.amounts import duration, shape
from rayfleet.reports.events import events_of

FAILURES_WITHIN_S: Final = 600.0
BOOTS_WITHIN_S: Final = 3600.0
"""For how long a boot that failed is remembered while nothing joins: between two there is a back-off, which doubles."""
ORPHAN_HOLDS_S: Final = 600.0
CHURN_WITHIN_S: Final = 3600.0
MINUTE_S: Final = 60.0
FORGET_UNMET_S: Final = 900.0
"""After so long without a look, what was unmet before counts as new."""
SHOWN: Final = 5
TEXT_MAX: Final = 240


class Severity(Word):
    """How much it matters."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong. `key` is its name for as long as it lasts; `advice`: what to do.

    `since`: when it began, in seconds since the epoch, where the rule knows; None: when it was first seen.
    `momentary`: it happened, and is not over one day.
    """

    rule: Rule
    key: str
    severity: Severity
    text: str
    advice: str
    since: float | None = None
    momentary: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A launch that failed, or machines that never became nodes. `what` tells one from another.

    `asked_at`: when a machine that never became a node was asked for; None: it is a launch that failed.
    """

    at: float
    pool: str
    what: str
    text: str
    denied: bool = False
    asked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Moves:
    """How many machines were launched and how many have gone in a minute, which began at `at`."""

    at: float
    launched: int = 0
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Orphan:
    """A machine that carried our tag without a claim."""

    at: float
    machine: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What the rules know of earlier reports.

    `unmet`: which demand is not served -> since when. `joined`: pool -> when a machine of it joined last.
    """

    judged_at: float = 0.0
    unmet: FrozenMap[float] = FrozenMap()
    failures: tuple[Failure, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    moves: tuple[Moves, ...] = ()
    joined: FrozenMap[float] = FrozenMap()


@dataclass(frozen=True, slots=True)
class Judged:
    """What holds, which rules cannot be judged now, and what is to be remembered."""

    holds: tuple[Condition, ...]
    unknown: frozenset[Rule]
    memory: Memory


def judge(report: TickReport, memory: Memory, thresholds: Thresholds) -> Judged:
    """Return what is wrong, of the rules that are on. A cluster that is being ended has nothing but failing ticks."""
    planned = not report.error and (report.saved or report.plan != Plan())
    ending = any(order.kind is OrderKind.SHUTDOWN for order in report.snapshot.orders)
    memory = _remembered(report, memory) if planned else memory
    rules = _TICKING if report.error else (*_TICKING, *_SAVING)
    rules = rules if not planned or ending else (*rules, *_PLANNED)
    seen = planned and report.snapshot.engine_up
    rules = (*rules, *_OF_DEMAND) if seen and not ending else rules
    on = {rule for rule, threshold in thresholds.items() if threshold.enabled}
    look = _Look(report, memory, thresholds)
    holds = tuple(each for rule, find in rules if rule in on for each in find(look))
    judged = set() if not ending else {rule for rule, _ in (*_PLANNED, *_OF_DEMAND)}
    return Judged(holds, frozenset(on - judged - {rule for rule, _ in rules}), memory)


@dataclass(frozen=True, slots=True)
class _Look:
    report: TickReport
    memory: Memory
    thresholds: Thresholds

    @property
    def now(self) -> float:
        return self.report.snapshot.now

    def count(self, rule: Rule) -> int:
        return self.thresholds.get(rule, Threshold()).count or 1


# ---- what is remembered ----------------------------------------------------------------------------------------------


def _remembered(report: TickReport, memory: Memory) -> Memory:
    now = report.snapshot.now
    new = {(failure.pool, failure.what): failure for failure in (*memory.failures, *_failures(report))}
    orphans = {orphan.machine: orphan for orphan in (*_orphans(report), *memory.orphans)}
    joined = FrozenMap({**memory.joined, **{event.pool: now for event in events_of(report) if event.kind == "ready"}})
    return Memory(
        judged_at=now,
        unmet=_unmet_since(report, memory) if report.snapshot.engine_up else memory.unmet,
        failures=tuple(
            failure
            for failure in new.values()
            if now - failure.at < (BOOTS_WITHIN_S if _is_in_a_row(failure, joined) else FAILURES_WITHIN_S)
        ),
        orphans=tuple(orphan for orphan in orphans.values() if now - orphan.at < ORPHAN_HOLDS_S),
        moves=_moved(report, memory.moves),
        joined=joined,
    )


def _is_in_a_row(failure: Failure, joined: Mapping[str, float]) -> bool:
    """Say whether a machine never became a node, and no other one of its pool has since it was asked for."""
    return failure.asked_at is not None and failure.asked_at > joined.get(failure.pool, 0.0)


def _unmet_since(report: TickReport, memory: Memory) -> FrozenMap[float]:
    now = report.snapshot.now
    before = memory.unmet if 0 <= now - memory.judged_at < FORGET_UNMET_S else FrozenMap[float]()
    return FrozenMap({_name(unmet): before.get(_name(unmet), now) for unmet in _waits(report)})


def _waits(report: TickReport) -> tuple[Unmet, ...]:
    return tuple(unmet for unmet in report.plan.unmet if unmet.kind is not DemandKind.BUFFER)


def _name(unmet: Unmet) -> str:
    """Return what demand of this kind is called for as long as it waits, whatever its number and age."""
    demand = unmet.demand
    if isinstance(demand, Gang):
        parts = [f"{shape(each.shape)}{_selected(each.selectors)}" for each in demand.bundles]
        return f"{unmet.kind}:{demand.strategy}:{'+'.join(parts)}"
    return f"{unmet.kind}:{shape(demand.shape)}{_selected(demand.selectors)}"


def _selected(selectors: Selectors) -> str:
    return "".join(str(selector) for selector in selectors)


def _failures(report: TickReport) -> Iterator[Failure]:
    claims = {claim.id: claim for claim in (*report.plan.claims, *report.snapshot.claims)}
    pools = {name: claim.pool for name, claim in claims.items()}
    for outcome in report.snapshot.outcomes:
        if outcome.kind is OutcomeKind.LAUNCH and outcome.trouble not in {None, *_NO_STOCK}:
            pool = next((pools[claim] for claim in outcome.claims if claim in pools), "")
            text = f"{outcome.trouble}: {outcome.message}" if outcome.message else str(outcome.trouble)
            yield Failure(outcome.at, pool, ",".join(outcome.claims), text, outcome.trouble is Trouble.DENIED)
    for release in report.plan.releases:
        if release.reason.code in _NEVER_JOINED:
            text = f"{release.claim} {release.reason.text}"
            claim = claims.get(release.claim)
            asked_at = claim.created if claim is not None and claim.phase in STARTING else None
            yield Failure(report.snapshot.now, pools.get(release.claim, ""), release.claim, text, asked_at=asked_at)


_NO_STOCK: Final = frozenset({Trouble.OUT_OF_STOCK, Trouble.QUOTA_REACHED})
_NEVER_JOINED: Final = frozenset({ReasonCode.BOOT_TIMEOUT, ReasonCode.REQUEST_TIMEOUT, ReasonCode.MACHINE_FAILED})


def _orphans(report: TickReport) -> Iterator[Orphan]:
    for finding in report.plan.findings:
        if finding.reason.code is ReasonCode.ADOPTED:
            yield Orphan(report.snapshot.now, str(finding.reason.details.get("machine", finding.subject)))


def _moved(report: TickReport, moves: tuple[Moves, ...]) -> tuple[Moves, ...]:
    now = report.snapshot.now
    kept = tuple(each for each in moves if 0 <= now - each.at < CHURN_WITHIN_S)
    if not report.saved:
        return kept
    launched = sum(each.count for each in report.plan.launches if not each.again and each.standby is None)
    gone = sum(event.count for event in events_of(report) if event.kind == "gone" and event.code not in _NO_MACHINE)
    if not launched and not gone:
        return kept
    if kept and now - kept[-1].at < MINUTE_S:
        last = kept[-1]
        return (*kept[:-1], replace(last, launched=last.launched + launched, gone=last.gone + gone))
    return (*kept, Moves(now, launched, gone))


_NO_MACHINE: Final = frozenset({ReasonCode.LAUNCH_FAILED, ReasonCode.PROVISION_TIMEOUT})

# ---- rules -----------------------------------------------------------------------------------------------------------


def _unmet_demand(look: _Look) -> Iterator[Condition]:
    waits = _waits(look.report)
    if not waits:
        return
    oldest = min(waits, key=lambda unmet: look.memory.unmet.get(_name(unmet), look.now))
    since = look.memory.unmet.get(_name(oldest), look.now)
    others = f", and {len(waits) - 1} more kinds of demand wait" if len(waits) > 1 else ""
    text = (
        f"{_what(oldest)} waited for {duration(look.now - since)} and no machine is on the way: "
        f"{oldest.reason.text}{others}"
    )
    advice = "`rayfleet why` tells of each pool why it does not take them"
    yield Condition(Rule.UNMET_DEMAND, Rule.UNMET_DEMAND, Severity.WARNING, _short(text), advice, since)


def _what(unmet: Unmet) -> str:
    demand, one = unmet.demand, unmet.count == 1
    if isinstance(demand, Gang):
        what = f"placement group{'' if one else 's'} of {len(demand.bundles)} bundles"
    else:
        word = "requested bundle" if unmet.kind is DemandKind.REQUESTED else "task"
        what = f"{word}{'' if one else 's'} of {shape(demand.shape)}"
    return f"{unmet.count} {what} {'has' if one else 'have'}"


def _budget(look: _Look) -> Iterator[Condition]:
    held = [(unmet, code) for unmet in _waits(look.report) if (code := _limit(unmet)) is not None]
    if not held:
        return
    policy, cost = look.report.snapshot.policy, look.report.plan.cost
    day = held[0][1] is ReasonCode.DAY_BUDGET
    limit = f"{policy.max_usd_per_day or 0:.2f} USD a day" if day else f"{policy.max_usd_per_hour or 0:.2f} USD/h"
    count = sum(unmet.count for unmet, _ in held)
    text = f"the budget of {limit} holds launches back: {count} wait ({cost.after:.2f} USD/h are in use)"
    advice = f"wait, or raise it: `rayfleet set {'max_usd_per_day' if day else 'max_usd_per_hour'} N`"
    yield Condition(Rule.BUDGET, Rule.BUDGET, Severity.WARNING, text, advice)


def _limit(unmet: Unmet) -> ReasonCode | None:
    """Return the budget that is among the reasons why this is not served; None when none is."""
    reasons = [unmet.reason, *(verdict.reason for verdict in unmet.pools)]
    codes = {code for reason in reasons for code in _codes(reason)}
    return next((code for code in (ReasonCode.BUDGET, ReasonCode.DAY_BUDGET) if code in codes), None)


def _codes(reason: Reason) -> Iterator[ReasonCode]:
    yield reason.code
    for link in reason.chain:
        yield from _codes(link)


def _launch_failures(look: _Look) -> Iterator[Condition]:
    """Yield pools of which too many launches fail, or of which machine after machine does not become a node.

    The latter may be far apart: each takes its time to fail, and a back-off comes before the next.
    """
    count = look.count(Rule.LAUNCH_FAILURES)
    for pool in sorted({failure.pool for failure in look.memory.failures}):
        every = [failure for failure in look.memory.failures if failure.pool == pool]
        failed = [failure for failure in every if look.now - failure.at < FAILURES_WITHIN_S]
        denied = [failure for failure in failed if failure.denied]
        in_a_row = [failure for failure in every if _is_in_a_row(failure, look.memory.joined)]
        name = pool or "(unknown)"
        if denied or len(failed) >= count:
            last, times = (denied or failed)[-1], "1 launch" if len(failed) == 1 else f"{len(failed)} launches"
            within = f"{FAILURES_WITHIN_S / MINUTE_S:.0f} min"
            text = f"{times} of pool {name} failed within {within}, the last one with {last.text}"
        elif len(in_a_row) >= max(1, count - 1):
            text = f"{len(in_a_row)} machines of pool {name} in a row have not joined: {in_a_row[-1].text}"
        else:
            continue
        severity = Severity.CRITICAL if denied else Severity.WARNING
        advice = "the place says no: rights, image or quota" if denied else "`rayfleet history` lists them"
        key = f"{Rule.LAUNCH_FAILURES}:{pool}"
        yield Condition(Rule.LAUNCH_FAILURES, key, severity, _short(text), f"{advice}; `rayfleet doctor`")


def _stock_out(look: _Look) -> Iterator[Condition]:
    for pool in look.report.snapshot.policy.pools:
        until = _nowhere_until(look, pool)
        if until is None:
            continue
        offers = "its only offer" if len(pool.offers) == 1 else f"none of its {len(pool.offers)} offers"
        verb = "has none" if len(pool.offers) == 1 else "has any"
        text = (
            f"no machine of pool {pool.name} can be had: {offers} {verb}; asked again in {duration(until - look.now)}"
        )
        advice = "give the pool more zones, markets or a second kind of machine; `rayfleet why` lists the offers"
        yield Condition(Rule.STOCK_OUT, f"{Rule.STOCK_OUT}:{pool.name}", Severity.WARNING, text, advice)


def _nowhere_until(look: _Look, pool: Pool) -> float | None:
    """Return when an offer of the pool is asked again; None when one may be now, or not for want of stock."""
    soonest = float("inf")
    for offer in pool.offers:
        key = offer.key(pool.name)
        until = [
            each.until
            for each in look.report.plan.backoffs
            if each.trouble in _NO_STOCK and each.until > look.now and each.scope.covers(key)
        ]
        if not until:
            return None
        soonest = min(soonest, *until)
    return soonest


def _head_down(look: _Look) -> Iterator[Condition]:
    coming = any(claim.head and claim.phase in STARTING for claim in look.report.plan.claims)
    if not look.report.snapshot.engine_up and not coming:
        text = "Ray does not answer: its head is down or cannot be reached; nothing is launched for what waits"
        advice = "`rayfleet logs` shows the head's last words; `rayfleet up` looks after it"
        yield Condition(Rule.HEAD_DOWN, Rule.HEAD_DOWN, Severity.CRITICAL, text, advice)


def _node_churn(look: _Look) -> Iterator[Condition]:
    launched = sum(each.launched for each in look.memory.moves)
    gone = sum(each.gone for each in look.memory.moves)
    have = sum(claim.count for claim in look.report.plan.claims if claim.phase in EXISTING and not claim.foreign)
    least = max(look.count(Rule.NODE_CHURN), have)
    if min(launched, gone) >= least:
        text = f"machines come and go: {launched} launched and {gone} gone within an hour, {have} there now"
        advice = "a longer idle_timeout_minutes or a minimum keeps them; `rayfleet history` tells why they left"
        yield Condition(Rule.NODE_CHURN, Rule.NODE_CHURN, Severity.WARNING, text, advice)


def _orphan(look: _Look) -> Iterator[Condition]:
    found = look.memory.orphans
    if found:
        have = "1 machine" if len(found) == 1 else f"{len(found)} machines"
        text = f"{have} carried this cluster's tag and nobody had asked for them: {_listed([o.machine for o in found])}"
        advice = "they were adopted, and leave when they are idle; does a second controller use this name?"
        yield Condition(Rule.ORPHAN, Rule.ORPHAN, Severity.WARNING, text, advice, momentary=True)


def _release_stuck(look: _Look) -> Iterator[Condition]:
    stuck = [claim for claim in look.report.plan.claims if claim.phase is Phase.RELEASING]
    since = min((claim.since for claim in stuck), default=look.now)
    late = [claim for claim in stuck if look.now - claim.since >= look.thresholds[Rule.RELEASE_STUCK].for_s]
    if late:
        have = "1 machine" if len(late) == 1 else f"{len(late)} machines"
        usd = sum((claim.usd_per_hour or 0.0) * claim.count for claim in late)
        text = (
            f"{have} given back up to {duration(look.now - since)} ago and still there, at {usd:.2f} USD/h: "
            f"{_listed([_machines(claim) for claim in late])}"
        )
        advice = "end them at their place by hand if its console still shows them"
        yield Condition(Rule.RELEASE_STUCK, Rule.RELEASE_STUCK, Severity.WARNING, text, advice, since)


def _machines(claim: Claim) -> str:
    return "+".join(host.machine_id or host.id for host in claim.hosts)


def _ledger(look: _Look) -> Iterator[Condition]:
    if not look.report.saved:
        held = f"{len(look.report.plan.launches)} launches are held"
        why = next(iter(_of_ledger(look.report)), "the ledger does not answer")
        advice = "look at the disk (or server) that holds the ledger; it goes on by itself when it can be written"
        yield Condition(
            Rule.LEDGER,
            Rule.LEDGER,
            Severity.CRITICAL,
            _short(f"what is decided cannot be saved, {held}: {why}"),
            advice,
        )


def _of_ledger(report: TickReport) -> tuple[str, ...]:
    """Return what the ledger's own trouble is: reading it comes first in a tick, writing it last."""
    if report.saved:
        return ()
    return report.troubles[:1] if report.plan == Plan() else report.troubles[-1:]


def _tick_failed(look: _Look) -> Iterator[Condition]:
    if look.report.error:
        last = look.report.error.strip().splitlines()[-1]
        text = _short(f"tick {look.report.tick} failed with {last}; the next one is tried")
        advice = "this is a mistake in rayfleet or in a provider: report it with `rayfleet history export`"
        yield Condition(Rule.TICK_FAILED, Rule.TICK_FAILED, Severity.CRITICAL, text, advice)


def _trouble(look: _Look) -> Iterator[Condition]:
    of_ledger, engine_up = _of_ledger(look.report), look.report.snapshot.engine_up
    for text in look.report.troubles:
        if text in of_ledger or (text.startswith(_ENGINE) and not engine_up):
            continue
        advice = "it is tried again; `rayfleet doctor` looks at keys and reachability"
        key = f"{Rule.TROUBLE}:{text.partition(':')[0]}"
        yield Condition(Rule.TROUBLE, key, Severity.WARNING, _short(text), advice)


_ENGINE: Final = "engine"
"""Begins what is told of Ray: that it does not answer is the head's affair."""

_Find = Callable[[_Look], Iterator[Condition]]
_TICKING: Final[tuple[tuple[Rule, _Find], ...]] = ((Rule.TICK_FAILED, _tick_failed),)
_SAVING: Final[tuple[tuple[Rule, _Find], ...]] = ((Rule.LEDGER, _ledger),)
_PLANNED: Final[tuple[tuple[Rule, _Find], ...]] = (
    (Rule.HEAD_DOWN, _head_down),
    (Rule.TROUBLE, _trouble),
    (Rule.LAUNCH_FAILURES, _launch_failures),
    (Rule.STOCK_OUT, _stock_out),
    (Rule.NODE_CHURN, _node_churn),
    (Rule.ORPHAN, _orphan),
    (Rule.RELEASE_STUCK, _release_stuck),
)
_OF_DEMAND: Final[tuple[tuple[Rule, _Find], ...]] = (
    (Rule.UNMET_DEMAND, _unmet_demand),
    (Rule.BUDGET, _budget),
)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _short(text: str) -> str:
    """Return a text on one line that is no wall; what others said may be in it."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_MAX else line[: TEXT_MAX - 3] + "..."
