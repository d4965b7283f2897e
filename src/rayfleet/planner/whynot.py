"""Why an offer was launched for a shape of work, or was not: asked of a plan that was made, or of one more task.

    what waits      the plan's own word: where it put the work, and what it did not serve
    one more        the same snapshot with so many more tasks is planned again, and that plan is asked
    every offer     too small, other labels, backed off, a limit, a quota, kept for accelerators, lower priority, dearer

No step of `plan`: nothing here decides. Pure like those, and the same question has the same answer, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rayfleet.model import (
    NO_LABELS,
    Demand,
    DemandKind,
    Labels,
    Launch,
    Offer,
    OfferKey,
    Plan,
    Pool,
    Reason,
    ReasonCode,
    Resources,
    Selectors,
    Snapshot,
    Strategy,
    TaskDemand,
    Unmet,
    reason,
)
from rayfleet.planner import backoffs, plan
from rayfleet.planner.detours import offer_text
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout
from rayfleet.planner.market import by_price
from rayfleet.planner.orders import apply_orders
from rayfleet.planner.overlays import apply_overlays
from rayfleet.planner.room import CENT_PART, Room
from rayfleet.planner.schedules import apply_schedules
from rayfleet.planner.unmet import labels_differ, machine_has, too_small
from rayfleet.planner.weights import has_accelerator, is_accelerator, stand_in_price

HOLDING = frozenset(
    {
        ReasonCode.ENGINE_DOWN,
        ReasonCode.WAITING_FOR_HEAD,
        ReasonCode.SHUTTING_DOWN,
        ReasonCode.QUOTA,
        ReasonCode.FAIR_SHARE,
        ReasonCode.PENDING_THRESHOLD,
    }
)
"""Why work waits although an offer would take it: said of every such offer."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Question:
    """Work to ask about. `count` None: what waits of that shape, or one more task when nothing does.

    With `count`: as if so many more tasks waited. `selectors` and `labels` are those of such tasks, and choose among
    what waits when they are given.
    """

    shape: Resources
    count: int | None = None
    selectors: Selectors = ()
    labels: Labels = NO_LABELS


@dataclass(frozen=True, slots=True)
class OfferVerdict:
    """What is to be said of one offer: `machines` of it are launched for the work, and why so many. Price as listed."""

    offer: OfferKey
    usd_per_hour: float | None
    machines: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """Where the work goes, and a verdict on every offer.

    `supposed`: nothing of it waits, so that `count` tasks were added. `existing`: machine -> pieces that it takes, on
    machines that exist or are on their way. `unmet` pieces (of gangs: whole groups) stay without a place, because of
    `why`.
    """

    question: Question
    supposed: bool
    count: int
    existing: tuple[tuple[str, int], ...]
    launched: int
    unmet: int
    why: Reason | None
    offers: tuple[OfferVerdict, ...]


def why_not(snapshot: Snapshot, decided: Plan, question: Question) -> Answer:
    """Answer from a snapshot and the plan that was made for it."""
    work = _Work() if question.count is not None else _waiting(snapshot.demand, question)
    if work.count:
        return _Inquiry(snapshot, decided, question, work).answer(supposed=False)
    more = TaskDemand(question.shape, question.count or 1, question.selectors, labels=question.labels)
    tasks = snapshot.demand.tasks
    asked = replace(snapshot, demand=replace(snapshot.demand, tasks=(*tasks, more)))
    work = _Work({(DemandKind.TASKS, len(tasks), None)}, more.count, question.selectors)
    return _Inquiry(asked, plan(asked), question, work).answer(supposed=True)


@dataclass(slots=True)
class _Work:
    """Pieces that are asked about: (kind, index, bundle) of each in the demand, and their number."""

    places: set[tuple[DemandKind, int, int | None]] = field(default_factory=set)
    count: int = 0
    selectors: Selectors = ()
    alone: bool = False
    hurried: bool = False

    def add(self, kind: DemandKind, index: int, bundle: int | None, count: int, selectors: Selectors) -> None:
        """Count pieces that wait; the selectors of the first speak for all."""
        if count and not self.count:
            self.selectors = selectors
        self.places.add((kind, index, bundle))
        self.count += count


def _waiting(demand: Demand, question: Question) -> _Work:
    """Collect what waits of the shape."""
    work = _Work()

    def meant(shape: Resources, selectors: Selectors, labels: Labels) -> bool:
        return (
            shape == question.shape
            and question.selectors in ((), selectors)
            and all(labels.get(key) == value for key, value in question.labels.items())
        )

    for index, task in enumerate(demand.tasks):
        if meant(task.shape, task.selectors, task.labels):
            work.add(DemandKind.TASKS, index, None, task.count, task.selectors)
    for index, wish in enumerate(demand.requested):
        if meant(wish.shape, wish.selectors, NO_LABELS):
            work.add(DemandKind.REQUESTED, index, None, wish.count, wish.selectors)
    for index, gang in enumerate(demand.gangs):
        for number, bundle in enumerate(gang.bundles):
            if str(number) not in gang.placed and meant(bundle.shape, bundle.selectors, gang.labels):
                work.add(DemandKind.GANG, index, number, gang.count, bundle.selectors)
                work.alone = work.alone or gang.strategy is Strategy.STRICT_SPREAD
                work.hurried = True
    return work


# ---- the inquiry ----------------------------------------------------------------------------------------------------


class _Inquiry:
    """One question to one plan."""

    def __init__(self, snapshot: Snapshot, decided: Plan, question: Question, work: _Work) -> None:
        self.decided, self.question, self.work = decided, question, work
        self.unmet = [found for found in decided.unmet if self._is_about(found)]
        existing, self.launched = self._places()
        self.existing = tuple(existing.items())
        self.draft = _afterwards(snapshot, decided, self._own_launches())
        shape = TaskDemand(question.shape, 1, work.selectors)
        self.layout = Layout.of(self.draft, Demand((shape,)))
        self.room = Room.of(self.draft)
        self.chosen = [(pool, offer) for pool, offer in self._offers() if offer.key(pool.name) in self.launched]

    def _is_about(self, unmet: Unmet) -> bool:
        return any((unmet.kind, unmet.index) == (kind, index) for kind, index, _ in self.work.places)

    def _places(self) -> tuple[Counter[str], Counter[OfferKey]]:
        """Return where the work goes: pieces by machine that exists, and new machines by offer."""
        existing: Counter[str] = Counter()
        new: set[str] = set()
        for placement in self.decided.placements:
            if (placement.kind, placement.index, placement.bundle) in self.work.places:
                if placement.on.startswith("new:"):
                    new.add(placement.on)
                else:
                    existing[placement.on] += placement.count
        launched: Counter[OfferKey] = Counter()
        for number, launch in enumerate(_machines(self.decided.launches)):
            if f"new:{number}" in new:
                launched[launch.offer] += 1
        return existing, launched

    def _own_launches(self) -> frozenset[str]:
        """Return the claims that were launched for the work alone to be judged: without them, others had their room.

        When something stays unmet, limits are asked as they are after the plan.
        """
        if self.unmet:
            return frozenset()
        return frozenset(name for one in self.decided.launches if one.offer in self.launched for name in one.claims)

    def _offers(self) -> Iterator[tuple[Pool, Offer]]:
        for pool in self.draft.policy.pools:
            for offer in by_price(pool):
                yield pool, offer

    def answer(self, *, supposed: bool) -> Answer:
        """Return the answer."""
        return Answer(
            self.question,
            supposed,
            self.work.count,
            self.existing,
            self.launched.total(),
            sum(found.count for found in self.unmet),
            self.unmet[0].reason if self.unmet else None,
            tuple(self._verdict(pool, offer) for pool, offer in self._offers()),
        )

    def _verdict(self, pool: Pool, offer: Offer) -> OfferVerdict:
        key = offer.key(pool.name)
        why = self._reason(pool, offer)
        overlay = self.draft.overlaid.get(key)
        if overlay is not None:
            why = why.because(overlay)
        return OfferVerdict(key, offer.usd_per_hour, self.launched[key], why)

    def _reason(self, pool: Pool, offer: Offer) -> Reason:
        key = offer.key(pool.name)
        if self.launched[key]:
            return reason(ReasonCode.CHOSEN, machines=_counted(self.launched[key]))
        never = too_small(self.layout, pool, self.question.shape)
        never = never or labels_differ(replace(pool, offers=(offer,)), self.work.selectors)
        if never is not None:
            return never
        held = reason(ReasonCode.ENGINE_DOWN) if not self.draft.snapshot.engine_up else None
        held = held or next((found.reason for found in self.unmet if found.reason.code in HOLDING), None)
        if held is not None:
            return held
        if not (self.unmet or self.chosen):
            return self._spare()
        blocked = self._blocked(pool, offer)
        if blocked is not None:
            return blocked
        return self._worse(pool, offer) if self.chosen else self.unmet[0].reason

    def _blocked(self, pool: Pool, offer: Offer) -> Reason | None:
        """Return its back-off and every limit that keeps one more replica away, as one reason; None without."""
        hit = backoffs.active(self.draft, offer.key(pool.name))
        hits = self.room.blockers(self.draft, pool, offer.usd_per_hour, hurried=self.work.hurried)
        if hit is not None:
            error = f"{hit.trouble.value}: {hit.message}" if hit.message else hit.trouble.value
            hits = [reason(ReasonCode.BACKED_OFF, left_s=hit.until - self.draft.now, error=error), *hits]
        return _chained(hits) if hits else None

    def _spare(self) -> Reason:
        """Return what takes the work, so that nothing is launched for it."""
        named = [f"{count} on {host}" for host, count in self.existing[:_NAMED]] or ["the record does not say which"]
        more = max(0, len(self.existing) - _NAMED)
        return reason(ReasonCode.ROOM_EXISTS, machines=", ".join(named) + (f" and {more} more" if more else ""))

    def _worse(self, pool: Pool, offer: Offer) -> Reason:
        """Return what makes this offer worse than the best that was launched for the work."""
        taken = max((pool for pool, _ in self.chosen), key=lambda pool: pool.priority)
        name = self._taken()
        of_taken = [resource for pool, _ in self.chosen for resource in pool.resources]
        if has_accelerator(pool.resources) and not any(map(is_accelerator, (*of_taken, *self.question.shape))):
            kept = next(resource for resource in pool.resources if is_accelerator(resource))
            return reason(ReasonCode.ACCELERATOR_KEPT, resource=kept, offer=name)
        if pool.priority < taken.priority:
            return reason(ReasonCode.LOWER_PRIORITY, priority=pool.priority, offer=name, highest=taken.priority)
        return self._by_price(pool, offer, name)

    def _taken(self) -> str:
        """Return what was launched for the work, in words."""
        names = [offer_text(offer.key(pool.name)) for pool, offer in self.chosen]
        return " and ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")

    def _by_price(self, pool: Pool, offer: Offer, name: str) -> Reason:
        needed = self._machines(pool)
        here = _price(pool, offer) * needed
        there = sum(_price(*found) * self.launched[found[1].key(found[0].name)] for found in self.chosen)
        more = here - there
        hits = self.room.blockers(self.draft, pool, offer.usd_per_hour, hurried=self.work.hurried, hosts=needed)
        if more > CENT_PART:
            machines = _counted(needed)
            why = reason(
                ReasonCode.DEARER,
                more_usd_per_hour=more,
                usd_per_hour=here,
                machines=machines,
                offer=name,
                least_usd_per_hour=there,
            )
        elif hits:
            return _chained(hits)
        elif more < -CENT_PART:
            why = reason(ReasonCode.TOGETHER, less_usd_per_hour=-more, offer=name)
        else:
            why = reason(ReasonCode.EQUALLY_DEAR, offer=name, usd_per_hour=here)
        unpriced = [found for found in ((pool, offer), *self.chosen) if found[1].compared is None]
        for one, of in unpriced:
            why = why.because(reason(ReasonCode.PRICE_UNKNOWN, offer=offer_text(of.key(one.name))))
        return why

    def _machines(self, pool: Pool) -> int:
        """Return how many machines of a pool hold all pieces that were launched for, whole replicas."""
        pieces = self.work.count - sum(count for _, count in self.existing)
        shape = self.question.shape
        fit = min((machine_has(self.layout, pool, name) // units for name, units in shape.items()), default=pieces)
        hosts = -(-max(1, pieces) // max(1, 1 if self.work.alone else fit))
        return -(-hosts // pool.hosts_per_replica) * pool.hosts_per_replica


def _price(pool: Pool, offer: Offer) -> float:
    """Return what one machine costs when offers are compared, in USD per hour."""
    return stand_in_price(pool.resources) if offer.compared is None else offer.compared


def _chained(hits: list[Reason]) -> Reason:
    """Return several reasons as one: the first, with the others in its chain."""
    first, *others = hits
    for other in others:
        first = first.because(other)
    return first


def _afterwards(snapshot: Snapshot, decided: Plan, without: frozenset[str]) -> Draft:
    """Return the state that a plan leads to, with the policy that is in force, without some of its launches."""
    foreign = [claim for claim in snapshot.claims if claim.foreign]
    claims = {claim.id: claim for claim in (*foreign, *decided.claims) if claim.id not in without}
    launched = snapshot.launched_last_min + sum(one.count for one in decided.launches if one.claims[0] not in without)
    after = replace(snapshot, orders=decided.orders, backoffs=decided.backoffs, launched_last_min=launched)
    draft = Draft(after, snapshot.policy, claims, list(decided.backoffs), ahead=decided.ahead)
    apply_schedules(draft)
    apply_orders(draft)
    apply_overlays(draft)
    return draft


def _machines(launches: Iterable[Launch]) -> Iterator[Launch]:
    """Yield the launch of each new machine, in the order in which placements number them."""
    for launch in launches:
        for _ in range(launch.count):
            yield launch


def _counted(machines: int) -> str:
    return f"{machines} machine" if machines == 1 else f"{machines} machines"
