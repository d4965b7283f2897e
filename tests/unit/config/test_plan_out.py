"""The JSON that `rayfleet plan --json` prints, and the difference of two plans."""

from rayfleet.config import diff, plan_to_json, report_from_json, report_to_json
from rayfleet.model import (
    Bundle,
    Claim,
    Cost,
    DemandKind,
    DrainNodes,
    Gang,
    Host,
    How,
    Launch,
    Market,
    OfferKey,
    Placement,
    Plan,
    PoolVerdict,
    ReasonCode,
    Release,
    Resources,
    Snapshot,
    Strategy,
    TaskDemand,
    TickReport,
    Timings,
    Unmet,
    reason,
)

SPOT = OfferKey("cpu16", zone="a", market=Market.SPOT)
TASKS = reason(ReasonCode.TASKS, tasks=90)
LEAST = reason(ReasonCode.MIN_WORKERS, pool="cpu16", min_workers=2)
IDLE = reason(ReasonCode.IDLE, idle_s=61.0, idle_timeout_s=60.0)
ONE = Resources.of({"CPU": 1})

PLAN = Plan(
    launches=(
        Launch(SPOT, ("m2", "m3"), "b1", 2, LEAST),
        Launch(OfferKey("gpu"), ("m4",), "b2", 1, TASKS),
        Launch(SPOT, ("m5",), "b3", 4, TASKS),
        Launch(SPOT, ("m6",), "b0", 1, reason(ReasonCode.RELAUNCH, batch="b0"), again=True),
    ),
    drains=(DrainNodes("r1", ("r1.0", "r1.1"), ("n0", "n1"), 300.0, IDLE, voluntary=True),),
    releases=(
        Release("m7", ("m7",), ("i7",), "process", How.CANCEL, reason(ReasonCode.UNNEEDED)),
        Release("m8", ("m8",), ("i8",), "process", How.END, reason(ReasonCode.DRAINED)),
    ),
    unmet=(
        Unmet(
            DemandKind.TASKS,
            0,
            TaskDemand(ONE, 100),
            4,
            reason(ReasonCode.MAX_WORKERS, max_workers=3),
            (PoolVerdict("gpu", reason(ReasonCode.POOL_MAX_WORKERS, max_workers=1)),),
        ),
        Unmet(
            DemandKind.GANG,
            1,
            Gang(Strategy.STRICT_SPREAD, (Bundle(ONE), Bundle(ONE))),
            1,
            reason(ReasonCode.WAITING_FOR_HEAD),
        ),
    ),
    placements=(Placement("new:0", "cpu16", DemandKind.TASKS, 0, None, 3),),
    cost=Cost(0.25, 0.1 + 0.2, 1),
    claims=(Claim("m2", SPOT, hosts=(Host("m2"),)),),
    serial=6,
)


def test_the_stable_output() -> None:
    shown = plan_to_json(PLAN)
    assert shown["launch"] == [
        {
            "pool": "cpu16",
            "zone": "a",
            "market": "spot",
            "count": 6,
            "reason": {"code": "tasks", "text": "pool cpu16 keeps at least 2; 90 tasks wait for machines"},
            "reasons": [
                {"code": "min_workers", "text": "pool cpu16 keeps at least 2", "count": 2},
                {"code": "tasks", "text": "90 tasks wait for machines", "count": 4},
            ],
        },
        {
            "pool": "gpu",
            "zone": None,
            "market": None,
            "count": 1,
            "reason": {"code": "tasks", "text": "90 tasks wait for machines"},
        },
        {
            "pool": "cpu16",
            "zone": "a",
            "market": "spot",
            "count": 1,
            "reason": {"code": "relaunch", "text": "launch b0 was asked for, but nobody knows how it ended"},
            "again": True,
        },
    ]
    idle = {"code": "idle", "text": "idle for 61 s (time-out 60 s)"}
    assert shown["release"] == [
        {"id": "r1.0", "how": "drain", "reason": idle},
        {"id": "r1.1", "how": "drain", "reason": idle},
        {"id": "m7", "how": "cancel", "reason": {"code": "unneeded", "text": "nothing needs it any more"}},
    ]
    assert shown["usd_per_hour"] == {"before": 0.25, "after": 0.3, "unpriced": 1}
    assert list(shown) == ["launch", "release", "unmet", "usd_per_hour"]


def test_unmet_demand_says_which_pools_do_not_take_it() -> None:
    tasks, gang = plan_to_json(PLAN)["unmet"]
    assert tasks == {
        "kind": "tasks",
        "index": 0,
        "shape": {"CPU": 1},
        "count": 4,
        "reason": {"code": "max_workers", "text": "the cluster is at its maximum of 3"},
        "pools": [{"pool": "gpu", "reason": {"code": "pool_max_workers", "text": "is at its maximum of 1"}}],
    }
    assert (gang["kind"], gang["shape"], gang["strategy"]) == ("gang", {"CPU": 2}, "STRICT_SPREAD")
    assert gang["bundles"] == [{"CPU": 1}, {"CPU": 1}]


def test_placements_and_planning_time_on_request() -> None:
    shown = plan_to_json(PLAN, planning_s=0.004, placements=True)
    assert shown["planning_s"] == 0.004
    assert shown["placements"] == [
        {"on": "new:0", "pool": "cpu16", "kind": "tasks", "index": 0, "bundle": None, "count": 3}
    ]


def test_a_difference_names_what_changed_and_nothing_else() -> None:
    plan = plan_to_json(PLAN, planning_s=1.0)
    assert diff(plan, plan_to_json(PLAN, planning_s=2.0)) == []
    fewer = {**plan, "release": plan["release"][:2]}
    assert diff(plan, fewer) == ["- release: id m7, how cancel, reason nothing needs it any more"]
    assert diff(fewer, plan) == ["+ release: id m7, how cancel, reason nothing needs it any more"]
    turned = {**plan, "release": plan["release"][::-1]}
    assert diff(plan, turned) == ["~ release: the same entries, another order or number: 3 before, 3 now"]
    assert diff({}, plan)


def test_a_report_comes_back_whole() -> None:
    trouble = ("disk is full",)
    report = TickReport(7, "c", Snapshot(now=5.0, serial=3), PLAN, Timings(plan_s=0.1), "boom", trouble, saved=False)
    shown = report_to_json(report)
    assert {"tick", "cluster", "snapshot", "plan", "timings"} <= set(shown)
    assert report_from_json(shown) == report
