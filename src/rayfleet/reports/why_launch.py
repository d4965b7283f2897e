"""Why offers were launched for a shape of work or were not: the planner's answer for people, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from rayfleet.model import OfferKey, Reason, ReasonCode, TickReport
from rayfleet.model.meanings import MEANINGS, NOTHING
from rayfleet.planner.detours import offer_text
from rayfleet.planner.whynot import Answer, OfferVerdict, Question, why_not
from rayfleet.reports.amounts import shape

MOST_LINES: Final = 40
_MOST_SHAPES: Final = 10
_NAMED: Final = 3


def launch_lines(answer: Answer, pool: str = "") -> list[str]:
    """Return where the work goes, then a line for every offer (of `pool` only, when one is named)."""
    return [*_outcome(answer), *offer_lines(answer, pool)]


def _outcome(answer: Answer) -> Iterator[str]:
    if answer.supposed:
        what = "one more task" if answer.count == 1 else f"{answer.count:,} more tasks"
        yield f"if {what} of {shape(answer.question.shape)} waited:"
    if answer.existing:
        pieces = sum(count for _, count in answer.existing)
        named = ", ".join(host for host, _ in answer.existing[:_NAMED])
        more = len(answer.existing) - _NAMED
        named += f" and {more:,} more" if more > 0 else ""
        yield f"  {pieces:,} on machines that exist or are on their way ({named})"
    if answer.launched:
        yield f"  {answer.launched:,} {'machine' if answer.launched == 1 else 'machines'} launched"
    if answer.unmet and answer.why is not None:
        yield f"  {answer.unmet:,} without a place: {answer.why.text}"
        yield from (f"  {line}" for line in remedy(answer.why))


def remedy(why: Reason) -> list[str]:
    """Return what somebody can do about a reason and what modified it; nothing where nothing is to be done."""
    codes = dict.fromkeys((why.code, *(link.code for link in why.chain)))
    return [f"what to do: {MEANINGS[code].do}" for code in codes if MEANINGS[code].do != NOTHING]


def offer_lines(answer: Answer, pool: str = "") -> list[str]:
    """Return what is to be said of each offer; one line for a pool where the same holds for all of its offers."""
    rows: list[tuple[str, str, str]] = []
    for name, group in groupby(answer.offers, key=lambda verdict: verdict.offer.pool):
        verdicts = list(group)
        if pool in {"", name}:
            rows += _rows(name, verdicts)
    more = [f"  ... and {len(rows) - MOST_LINES} more"] if len(rows) > MOST_LINES else []
    rows = rows[:MOST_LINES]
    names, prices = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    return [*(f"  {name:<{names}}  {usd:>{prices}}  {why}" for name, usd, why in rows), *more]


def _rows(pool: str, verdicts: list[OfferVerdict]) -> Iterator[tuple[str, str, str]]:
    if len(verdicts) > 1 and len({verdict.reason.text for verdict in verdicts}) == 1:
        least = min((v.usd_per_hour for v in verdicts if v.usd_per_hour is not None), default=None)
        yield f"{pool} (all {len(verdicts)} offers)", _price(least, "from "), verdicts[0].reason.text
        return
    for verdict in verdicts:
        yield offer_text(verdict.offer), _price(verdict.usd_per_hour), verdict.reason.text


def _price(usd_per_hour: float | None, before: str = "") -> str:
    return "no price" if usd_per_hour is None else f"{before}{usd_per_hour:.4g} USD/h"


def not_launched(report: TickReport, pool: str) -> Iterator[str]:
    """Yield why a pool was not launched for each shape that waits and has a place: on what is there, or elsewhere."""
    shapes = {task.shape: None for task in report.snapshot.demand.tasks if task.count}
    shapes |= {wish.shape: None for wish in report.snapshot.demand.requested if wish.count}
    shapes |= {bundle.shape: None for gang in report.snapshot.demand.gangs for bundle in gang.bundles}
    for asked in list(shapes)[:_MOST_SHAPES]:
        answer = why_not(report.snapshot, report.plan, Question(asked))
        its = [verdict for verdict in answer.offers if verdict.offer.pool == pool]
        if answer.unmet or not its or any(verdict.machines for verdict in its):
            continue  # told elsewhere: among what it launches or does not take
        yield f"is not launched for {answer.count:,} x {shape(asked)}: {_nearest(its).reason.text}"


def _nearest(verdicts: list[OfferVerdict]) -> OfferVerdict:
    """Return the offer that came nearest to being launched: one that could have been, the cheapest of those."""
    never = (ReasonCode.TOO_SMALL, ReasonCode.LABELS_DIFFER, ReasonCode.BACKED_OFF)
    return min(verdicts, key=lambda verdict: verdict.reason.code in never)


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer for programs."""
    return {
        "shape": answer.question.shape.amounts(),
        "supposed": answer.supposed,
        "count": answer.count,
        "existing": [{"on": host, "count": count} for host, count in answer.existing],
        "launched": answer.launched,
        "unmet": answer.unmet,
        "reason": None if answer.why is None else reason_json(answer.why),
        "offers": [
            {
                **_offer(verdict.offer),
                "usd_per_hour": verdict.usd_per_hour,
                "machines": verdict.machines,
                "reason": reason_json(verdict.reason),
            }
            for verdict in answer.offers
        ],
    }


def _offer(key: OfferKey) -> dict[str, str | None]:
    market = None if key.market is None else key.market.value
    return {"pool": key.pool, "provider": key.provider, "region": key.region, "zone": key.zone, "market": market}


def reason_json(why: Reason) -> dict[str, Any]:
    """Return a reason for programs: code, sentence, its numbers, what modified it, what to do about it."""
    told = {"code": why.code.value, "text": why.text, "details": dict(why.details), "do": MEANINGS[why.code].do}
    return {**told, "chain": [link.code.value for link in why.chain]} if why.chain else told
