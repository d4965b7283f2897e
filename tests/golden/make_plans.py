"""Print the golden plans, one JSON line each: run by the test in processes with different hash seeds."""

import json
from dataclasses import replace

from rayfleet.model import (
    Backoff,
    FrozenMap,
    Market,
    OfferKey,
    Order,
    OrderKind,
    Overlay,
    PendingThreshold,
    Phase,
    Plan,
    Quota,
    Schedule,
    Snapshot,
    Standby,
    StandbyMode,
    Trouble,
    Window,
)
from rayfleet.planner import plan
from rayfleet.testing.snapshots import buffer, claim, gang, offer, pool, requested, snapshot, tasks

POOLS = (
    pool("small", CPU=2, memory=8e9, labels={"tier": "batch"}, offers=(offer(0.1, "a"), offer(0.03, "b", spot=True))),
    pool("big", CPU=16, memory=64e9, max_workers=3, offers=(offer(0.7, "a"), offer(0.2, "a", spot=True))),
    pool("gpu", 3.0, CPU=8, GPU=1, memory=32e9),
)


def scenarios() -> dict[str, Snapshot]:
    """Return the golden snapshots by name."""
    return {
        "mixed demand": snapshot(
            *POOLS,
            tasks(40, CPU=1),
            tasks(7, {"tier": "batch"}, CPU=1, memory=1e9),
            tasks(2, GPU=0.5),
            tasks(1, CPU=64),
            gang("STRICT_SPREAD", {"CPU": 2}, {"CPU": 2}, count=2),
            gang("PACK", {"CPU": 4}, {"GPU": 1}),
            requested(10, CPU=2),
        ),
        "limits": snapshot(
            *POOLS,
            claim("big-1", "big", used={"CPU": 16}),
            claim("small-1", "small", Phase.BOOTING),
            tasks(100, CPU=1),
            max_workers=6,
            max_usd_per_hour=1.5,
            backoffs=(Backoff(OfferKey("big", market=Market.SPOT), 1200.0, Trouble.OUT_OF_STOCK),),
        ),
        "shrinking": snapshot(
            *POOLS,
            *(claim(f"small-{n}", "small", idle_s=50.0 + n) for n in range(20)),
            claim("gpu-1", "gpu", Phase.REQUESTED),
            claim("old-1", "old", used={"CPU": 1}),
            orders=(Order("o1", OrderKind.SCALE, "small", "4", "ann"),),
        ),
        "standby": snapshot(
            replace(POOLS[0], standby=Standby(2)),
            replace(POOLS[2], standby=Standby(1, mode=StandbyMode.BOOTED, max_age_s=600.0)),
            claim("small-1", "small", used={"CPU": 2}),
            claim("small-2", POOLS[0].offers[1].key("small"), Phase.STANDBY, machine_id="i-2", usd_per_hour=0.0),
            claim("small-3", "small", Phase.STANDBY, drifted=True, usd_per_hour=0.0),
            claim("gpu-1", "gpu", used={"CPU": 8}),
            claim("gpu-2", "gpu", idle_s=99.0, labels={"gone": "soon"}),
            claim("gpu-3", "gpu", Phase.STANDBY, since=300.0, usd_per_hour=3.0),
            tasks(9, {"tier": "batch"}, CPU=1, memory=4e9),
            max_usd_per_hour=10.0,
        ),
        "ahead of demand": snapshot(
            *POOLS,
            claim("big-1", "big", used={"CPU": 10}),
            claim("small-1", "small", idle_s=99.0),
            claim("gpu-1", "gpu", idle_s=99.0),
            tasks(6, CPU=1),
            buffers=(buffer(percent=50, CPU=1), buffer(1, {"tier": "batch"}, CPU=2, name="batch")),
            schedules=(
                Schedule("hour", Window("0 * * * *", 1800.0), "small", min_workers=2),
                Schedule("half", Window("30 * * * *", 1800.0), "big", min_workers=9),
            ),
        ),
        "triggers": snapshot(
            *POOLS,
            claim("big-1", "big", used={"CPU": 15}),
            tasks(8, CPU=1),
            tasks(1, GPU=1),
            requested(20, CPU=1),
            scale_up_pending_threshold=PendingThreshold(10, 60.0),
            scale_up_utilization=FrozenMap({"CPU": 0.5}),
        ),
        "shares and prices": snapshot(
            *POOLS,
            claim("small-1", "small", used={"CPU": 2}),
            *(replace(tasks(count, CPU=1), labels=FrozenMap({"team": team})) for team, count in (("a", 30), ("b", 40))),
            tasks(20, CPU=1),
            quotas=(
                Quota("team", "a", FrozenMap({"CPU": 240_000}), 3.0),
                Quota("team", "b", FrozenMap({"GPU": 0})),
            ),
            overlays=(Overlay(OfferKey("big", zone="a"), multiply=0.5, why="reserved"),),
            max_workers=9,
            max_resources=FrozenMap({"CPU": 500_000}),
            max_usd_per_day=40.0,
            spent_today_usd=1.5,
            max_launches_per_min=7,
        ),
    }


def digest(of: Plan) -> dict[str, object]:
    """Return a plan as plain data: all that somebody would notice."""
    return {
        "launches": [
            [str(x.offer.pool), x.offer.zone, x.offer.market, x.count, x.batch, x.reason.text] for x in of.launches
        ],
        "drains": [[x.claim, x.deadline, x.voluntary, x.reason.text] for x in of.drains],
        "releases": [[x.claim, x.how, x.reason.text] for x in of.releases],
        "unmet": [
            [x.kind, x.index, x.count, x.reason.text, [[v.pool, v.reason.text] for v in x.pools]] for x in of.unmet
        ],
        "kept": [[x.host, x.reason.text] for x in of.kept],
        "placements": [[x.on, x.kind, x.index, x.bundle, x.count] for x in of.placements],
        "findings": [[x.subject, x.reason.text] for x in of.findings],
        "cost": [of.cost.before, of.cost.after, of.cost.unpriced],
        "claims": [[x.id, x.phase, x.since] for x in of.claims],
        "answered": list(of.answered),
    }


if __name__ == "__main__":
    for name, of in scenarios().items():
        print(json.dumps({"name": name, **digest(plan(of))}, sort_keys=True))  # noqa: T201  # this is a program
