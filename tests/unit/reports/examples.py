"""One eventful report, for the tests of everything that shows reports."""

from rayfleet.model import (
    Backoff,
    Bundle,
    Claim,
    Cost,
    Demand,
    DemandKind,
    Drain,
    DrainNodes,
    Finding,
    FrozenMap,
    Gang,
    Host,
    How,
    Kept,
    LabelSelector,
    Launch,
    MachineFact,
    NodeFact,
    OfferKey,
    Order,
    OrderKind,
    Outcome,
    OutcomeKind,
    Phase,
    Placement,
    Plan,
    Policy,
    Pool,
    PoolVerdict,
    ReasonCode,
    Release,
    RequestedDemand,
    Resources,
    Snapshot,
    Strategy,
    TaskDemand,
    TickReport,
    Timings,
    Trouble,
    Unmet,
    reason,
)

NOW = 1_700_000_000.25
CPU1, CPU4, GPU1 = (Resources.of(amounts) for amounts in ({"CPU": 1}, {"CPU": 4, "memory": 2**31}, {"GPU": 1}))
POLICY = Policy(pools=(Pool("cpu4", CPU4, max_workers=4), Pool("gpu1", GPU1, min_workers=1)), max_workers=10)


def claim(
    name: str, phase: Phase, *, pool: str = "cpu4", used: float = 0, age_s: float = 30.0, head: bool = False
) -> Claim:
    """Return a claim of one host whose node is alive when its phase says so."""
    up = phase in {Phase.READY, Phase.DRAINING}
    host = Host(
        name, f"m-{name}", f"0123abcd{name}" if up else None, MachineFact.PRESENT,
        NodeFact.ALIVE if up else NodeFact.ABSENT, CPU4 if up else None, Resources.of({"CPU": used}),
        FrozenMap({"tier": "batch"}), idle_s=0.0 if used else 12.0, activity=("CPU in use",) if used else (),
    )  # fmt: skip
    since = NOW - age_s
    return Claim(name, OfferKey(pool), phase, (host,), since, since - 5, "b1", head=head, usd_per_hour=0.5)


IDLE = reason(ReasonCode.IDLE, idle_s=61.0, idle_timeout_s=60.0)
TASKS = reason(ReasonCode.TASKS, tasks=2)
TOO_SMALL = reason(ReasonCode.TOO_SMALL, have=4, resource="CPU", need=64)
BIG = TaskDemand(Resources.of({"CPU": 64}), 3, (LabelSelector.parse({"tier": "batch"}),), age_s=90.0)
GANG = Gang(Strategy.STRICT_SPREAD, (Bundle(CPU1), Bundle(CPU1)), 2)
LEAVING = claim("c3", Phase.READY, age_s=100)
BOOTED = claim("c5", Phase.BOOTING)

BEFORE = (
    claim("head", Phase.READY, pool="head", head=True),
    claim("c1", Phase.READY, used=1),
    claim("c2", Phase.BOOTING),
    LEAVING,
    claim("c4", Phase.RELEASING),
    BOOTED,
)


def drained(leaving: Claim) -> Claim:
    """Return the claim as a plan that drains it writes it."""
    return Claim(
        leaving.id, leaving.offer, Phase.DRAINING, leaving.hosts, NOW, leaving.created, leaving.batch,
        drain=Drain(IDLE, NOW, NOW + 45),
    )  # fmt: skip


AFTER = (
    *BEFORE[:3],
    drained(LEAVING),
    Claim("c5", BOOTED.offer, Phase.READY, BOOTED.hosts, NOW, BOOTED.created, "b1"),
    Claim("c6", OfferKey("cpu4"), Phase.REQUESTED, (Host("c6"),), NOW, NOW, "b6", accepted=False),
)

REPORT = TickReport(
    tick=17,
    cluster="demo",
    snapshot=Snapshot(
        now=NOW,
        policy=POLICY,
        claims=BEFORE,
        demand=Demand((TaskDemand(CPU1, 2), BIG), (GANG,), (RequestedDemand(CPU1, 8),)),
        outcomes=(
            Outcome(OutcomeKind.LAUNCH, ("c7", "c8"), NOW - 1, Trouble.OUT_OF_STOCK, "no gpu1 left", OfferKey("gpu1")),
            Outcome(OutcomeKind.DRAIN, ("c3",), NOW - 1),
        ),
        serial=6,
    ),
    plan=Plan(
        launches=(Launch(OfferKey("cpu4"), ("c6",), "b6", 1, TASKS),),
        drains=(DrainNodes("c3", ("c3",), ("0123abcdc3",), NOW + 45, IDLE, voluntary=True),),
        releases=(Release("c4", ("c4",), ("m-c4",), None, How.END, reason(ReasonCode.STILL_LISTED, since_s=21.0)),),
        unmet=(
            Unmet(
                DemandKind.TASKS, 1, BIG, 3, reason(ReasonCode.NO_POOL_FITS, shape="{CPU: 64}"),
                (PoolVerdict("cpu4", TOO_SMALL),),
            ),
        ),
        kept=(Kept("c1", reason(ReasonCode.BUSY, used="{CPU: 1}")), Kept("c2", reason(ReasonCode.BOOTING))),
        placements=(Placement("c2", "cpu4", DemandKind.TASKS, 0, None, 2),),
        findings=(Finding("c9", reason(ReasonCode.ADOPTED, machine="m-c9")),),
        cost=Cost(2.0, 2.5, 1),
        claims=AFTER,
        backoffs=(Backoff(OfferKey("gpu1", zone="a"), NOW + 30, Trouble.OUT_OF_STOCK, 1, "no gpu1 left"),),
        orders=(Order("o1", OrderKind.SCALE, "cpu4", "3", "ann", "benchmark", NOW - 60),),
        serial=6,
    ),
    timings=Timings(0.002, 0.003, 0.004, seen_at=NOW - 0.010, acted_at=NOW + 0.012),
    troubles=("provider fake: try again",),
)  # fmt: skip

QUIET = TickReport(1, "demo", Snapshot(now=NOW, policy=POLICY), Plan())
