"""Short ways to plan and to look at plans. Every plan made here is checked against all invariants."""

from collections import Counter
from typing import Any

from rayfleet.model import Claim, Plan, Pool, ReasonCode, Snapshot
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.testing.snapshots import Demanded, snapshot


def sound_plan(of: Snapshot) -> Plan:
    """Plan, and fail when the plan breaks an invariant."""
    made = plan(of)
    broken = [f"{finding.subject}: {finding.reason.text}" for finding in check(of, made)]
    assert not broken
    return made


def planned(*parts: Pool | Claim | Demanded, **fields: Any) -> Plan:
    """Plan a snapshot made of these parts."""
    return sound_plan(snapshot(*parts, **fields))


def launched(of: Plan) -> dict[str, int]:
    """Return machines launched per pool."""
    counts: Counter[str] = Counter()
    for launch in of.launches:
        counts[launch.offer.pool] += launch.count
    return dict(counts)


def leaving(of: Plan) -> dict[str, ReasonCode]:
    """Return why each claim starts to leave."""
    gone = {release.claim: release.reason.code for release in of.releases}
    return gone | {drain.claim: drain.reason.code for drain in of.drains}


def unmet(of: Plan) -> list[tuple[str, int, int, ReasonCode]]:
    """Return kind, position, count and reason of all unmet demand."""
    return [(u.kind.value, u.index, u.count, u.reason.code) for u in of.unmet]


def placed(of: Plan) -> dict[str, int]:
    """Return how many pieces of demand each host got."""
    counts: Counter[str] = Counter()
    for placement in of.placements:
        counts[placement.on] += placement.count
    return dict(counts)


def kept(of: Plan) -> dict[str, ReasonCode]:
    """Return why each host stays."""
    return {k.host: k.reason.code for k in of.kept}


def found(of: Plan) -> list[tuple[str, ReasonCode]]:
    """Return subject and code of every finding."""
    return [(finding.subject, finding.reason.code) for finding in of.findings]


def claim_of(of: Plan, name: str) -> Claim | None:
    """Return what the plan makes of a claim; None when it is gone."""
    return next((claim for claim in of.claims if claim.id == name), None)
