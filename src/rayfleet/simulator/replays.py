"""A recorded day under another policy: each tick planned again, and the whole day simulated with both policies.

Planning each recorded tick again says where the policies disagree, in the situations that the recorded one led to. What
the other one would have led to - its cost, its waits - only a simulation of the same work can say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from rayfleet.config import ConfigInvalid, Problem
from rayfleet.model import Plan, TickReport
from rayfleet.planner import plan
from rayfleet.reports.work_record import WorkSeen
from rayfleet.simulator.compare import Comparison, Progress, compare
from rayfleet.simulator.policies import Candidate
from rayfleet.simulator.recorded import scene_of_record, trace_of_record
from rayfleet.simulator.run import Setting

_HOUR_S = 3600.0
_GAP_MAX_S = 120.0
"""A longer gap in the record is a controller that was down: nothing is known of its cost."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was recorded, the oldest first: whole ticks, and the work. Each call reads it anew."""

    name: str
    ticks: Callable[[], Iterable[TickReport]]
    work: Callable[[], Iterable[WorkSeen]]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it: `ticks` were recorded, `otherwise` of them are planned otherwise; `usd` is the record's cost."""

    ticks: int
    otherwise: int
    usd: float
    compared: Comparison

    def as_json(self) -> dict[str, Any]:
        """Return it in a format that stays: the comparison, and what the other policy changes."""
        told = self.compared.as_json()
        was, other = told["results"]
        return {
            **told,
            "recorded": {"ticks": self.ticks, "planned_otherwise": self.otherwise, "usd": round(self.usd, 4)},
            "difference": {
                "usd": round(other["usd"] - was["usd"], 4),
                "wait_mean_s": round(other["wait_s"]["mean"] - was["wait_s"]["mean"], 3),
                "wait_p95_s": round(other["wait_s"]["p95"] - was["wait_s"]["p95"], 3),
                "launched": other["machines"]["launched"] - was["machines"]["launched"],
            },
        }


def replay_record(record: Record, other: Candidate, seed: int = 0, progress: Progress = lambda *_: None) -> Replayed:
    """Replay a record under `other`. The first side is the policy of the newest recorded tick.

    Raises:
        ConfigInvalid: nothing is recorded.
    """
    ticks = otherwise = 0
    usd, before, last = 0.0, 0.0, None
    for report in record.ticks():
        snapshot, last = report.snapshot, report
        ticks += 1
        again = plan(replace(snapshot, policy=replace(other.policy, head=snapshot.policy.head)))
        otherwise += _essence(again) != _essence(report.plan)
        passed_s = snapshot.now - before
        usd += report.plan.cost.before * (passed_s if 0 < passed_s <= _GAP_MAX_S else 0.0) / _HOUR_S
        before = snapshot.now
    if last is None:
        raise ConfigInvalid(
            [Problem("holds no recorded tick", file=record.name, hint="records are made while a cluster is up")]
        )
    trace, scene = trace_of_record(record.name, record.work()), scene_of_record(record.ticks())
    was = Setting("as it was", last.snapshot.policy, trace, scene, seed)
    sides = (was, replace(was, name=other.name, policy=replace(other.policy, head=last.snapshot.policy.head)))
    return Replayed(ticks, otherwise, usd, compare(sides, progress))


def _essence(decided: Plan) -> object:
    launches: dict[tuple[str, str], int] = {}
    for launch in decided.launches:
        key = (launch.offer.pool, str(launch.offer.market))
        launches[key] = launches.get(key, 0) + launch.count
    leaving = sorted([*(drain.claim for drain in decided.drains), *(release.claim for release in decided.releases)])
    return launches, leaving
