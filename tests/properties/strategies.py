"""Random snapshots for hypothesis: small numbers, so that limits, ties and collisions are common."""

from hypothesis import strategies as st

from rayfleet.model import (
    Backoff,
    Bundle,
    Claim,
    Demand,
    Drain,
    FrozenMap,
    Gang,
    Host,
    LabelSelector,
    MachineFact,
    Market,
    NodeFact,
    Offer,
    OfferKey,
    Order,
    OrderKind,
    Outcome,
    OutcomeKind,
    Phase,
    Policy,
    Pool,
    ReasonCode,
    RequestedDemand,
    Resources,
    Snapshot,
    Strategy,
    TaskDemand,
    Trouble,
    reason,
)
from rayfleet.planner.adopt import host_ids

NOW = 1000.0
TIERS = ("batch", "web")

prices = st.sampled_from([None, 0.0, 0.5, 1.0, 1.0, 3.0])
offers = st.builds(
    Offer,
    usd_per_hour=prices,
    market=st.sampled_from([Market.ON_DEMAND, Market.SPOT]),
    zone=st.sampled_from([None, "a", "b"]),
)
labels = st.one_of(st.just({}), st.builds(lambda tier: {"tier": tier}, st.sampled_from(TIERS))).map(FrozenMap)
SIZES: list[dict[str, float]] = [
    {"CPU": 1},
    {"CPU": 2},
    {"CPU": 4},
    {"CPU": 4, "GPU": 1},
    {"CPU": 8, "memory": 1e9},
    {"x": 2},
    {"CPU": 9, "GPU": 4},
]
SHAPES: list[dict[str, float]] = [
    {},
    {"CPU": 0.5},
    {"CPU": 1},
    {"CPU": 1},
    {"CPU": 3},
    {"CPU": 64},
    {"GPU": 1},
    {"CPU": 1, "GPU": 0.5},
    {"memory": 5e8},
    {"x": 1},
    {"node:__implicit_a": 1},
    {"CPU": 1, "object_store_memory": 1e6},
]
amounts = st.sampled_from(SIZES).map(Resources.of)
shapes = st.sampled_from(SHAPES).map(Resources.of)
selectors = st.one_of(
    st.just(()),
    st.just(()),
    st.lists(
        st.sampled_from(["batch", "web", "!web", "in(batch,web)"]).map(lambda e: LabelSelector.parse({"tier": e})),
        min_size=1,
        max_size=2,
        unique=True,
    ).map(tuple),
)
counts = st.integers(1, 12)
most = st.one_of(st.none(), st.integers(0, 8))


@st.composite
def pools(draw: st.DrawFn, number: int) -> Pool:
    hosts = draw(st.sampled_from([1, 1, 1, 2]))
    maximum = draw(most)
    minimum = draw(st.sampled_from([0, 0, 0, 2]))
    return Pool(
        name=f"p{number}",
        resources=draw(amounts),
        labels=draw(labels),
        min_workers=minimum if maximum is None else min(minimum, maximum),
        max_workers=maximum,
        priority=draw(st.sampled_from([0, 0, 1])),
        hosts_per_replica=hosts,
        idle_timeout_s=draw(st.sampled_from([None, None, 10.0])),
        offers=tuple(draw(st.lists(offers, min_size=1, max_size=2))),
    )


def _used(share: float, of: Resources) -> Resources:
    return Resources({name: int(units * share) for name, units in of.items()})


@st.composite
def claims(draw: st.DrawFn, number: int, among: list[Pool]) -> Claim:
    pool = draw(st.sampled_from(among))
    phase = draw(st.sampled_from([Phase.READY, Phase.READY, Phase.READY, *Phase]))
    share = draw(st.sampled_from([0.0, 0.0, 0.25, 1.0])) if phase is Phase.READY else 0.0
    name = f"{pool.name}-{number}"
    facts = draw(st.sampled_from([(None, None), (MachineFact.PRESENT, NodeFact.ALIVE)]))
    if draw(st.integers(0, 5)) == 0:
        facts = (draw(st.sampled_from([None, *MachineFact])), draw(st.sampled_from([None, *NodeFact])))
    hosts = tuple(
        Host(
            id=host,
            machine_id=f"i-{host}" if facts[0] else None,
            node_id=f"n-{host}" if facts[1] else None,
            machine=facts[0],
            node=facts[1],
            used=_used(share, pool.resources),
            idle_s=0.0 if share else draw(st.sampled_from([0.0, 30.0, 500.0])),
            do_not_disrupt=draw(st.integers(0, 9)) == 0,
        )
        for host in host_ids(name, pool.hosts_per_replica)
    )
    since = draw(st.sampled_from([500.0, 900.0, 999.5]))
    why = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
    return Claim(
        id=name,
        offer=draw(st.sampled_from(pool.offers)).key(pool.name),
        phase=phase,
        hosts=hosts,
        since=since,
        created=since,
        batch=name,
        accepted=draw(st.booleans()),
        foreign=phase is Phase.READY and draw(st.integers(0, 9)) == 0,
        drifted=draw(st.integers(0, 9)) == 0,
        drain=Drain(why, since, 1100.0) if phase is Phase.DRAINING else None,
        listed_at=draw(st.sampled_from([None, 998.0])),
    )


bundles = st.builds(Bundle, shape=shapes, selectors=selectors)
gangs = st.builds(
    Gang,
    strategy=st.sampled_from(Strategy),
    bundles=st.lists(bundles, min_size=1, max_size=4).map(tuple),
    count=st.integers(1, 3),
)
demands = st.builds(
    Demand,
    tasks=st.lists(st.builds(TaskDemand, shape=shapes, count=counts, selectors=selectors), max_size=4).map(tuple),
    gangs=st.lists(gangs, max_size=2).map(tuple),
    requested=st.lists(st.builds(RequestedDemand, shape=shapes, count=counts), max_size=2).map(tuple),
)


@st.composite
def snapshots(draw: st.DrawFn, *, quiet: bool = False) -> Snapshot:
    """Draw a snapshot. `quiet`: nothing but pools, READY claims and demand."""
    among = [draw(pools(number)) for number in range(draw(st.integers(1, 3)))]
    have = [draw(claims(number, among)) for number in range(draw(st.integers(0, 5)))]
    if quiet:
        have = [claim for claim in have if claim.phase is Phase.READY and not claim.drifted]
        have = [_without_facts(claim) for claim in have]
    policy = Policy(
        pools=tuple(among),
        max_workers=draw(most),
        upscaling_speed=None if quiet else draw(st.sampled_from([None, None, 1.0])),
        max_usd_per_hour=draw(st.sampled_from([None, None, 4.0])),
        downscaling_speed=None if quiet else draw(st.sampled_from([None, None, 0.5])),
    )
    base = Snapshot(now=NOW, policy=policy, claims=tuple(have), demand=draw(demands), serial=100)
    if quiet:
        return base
    return Snapshot(
        now=NOW,
        policy=policy,
        claims=tuple(have),
        demand=base.demand,
        backoffs=draw(st.sampled_from([(), (), (Backoff(OfferKey("p0"), 1200.0, Trouble.OUT_OF_STOCK),)])),
        orders=draw(st.lists(orders(among), max_size=2, unique_by=lambda o: o.id).map(tuple)),
        outcomes=draw(st.lists(outcomes(have), max_size=2).map(tuple)),
        serial=100,
        engine_up=draw(st.integers(0, 5)) > 0,
    )


def _without_facts(claim: Claim) -> Claim:
    hosts = tuple(Host(id=h.id, used=h.used, idle_s=h.idle_s) for h in claim.hosts)
    return Claim(claim.id, claim.offer, hosts=hosts, since=900.0, created=900.0, batch=claim.id, foreign=claim.foreign)


def orders(among: list[Pool]) -> st.SearchStrategy[Order]:
    """Draw orders, right and wrong ones."""
    targets = ["nobody", "max_workers", "p0-0", *(pool.name for pool in among), "p0.max_workers"]
    return st.builds(
        Order,
        id=st.sampled_from(["o1", "o2", "o3"]),
        kind=st.sampled_from(OrderKind),
        target=st.sampled_from(targets),
        value=st.sampled_from(["0", "3", "x", "null"]),
        at=st.sampled_from([1.0, 2.0]),
    )


def outcomes(have: list[Claim]) -> st.SearchStrategy[Outcome]:
    """Draw ends of calls for some of the claims."""
    names = st.sampled_from([*(claim.id for claim in have), "gone"])
    return st.builds(
        Outcome,
        kind=st.sampled_from(OutcomeKind),
        claims=st.lists(names, min_size=1, max_size=2, unique=True).map(tuple),
        at=st.just(NOW),
        trouble=st.sampled_from([None, *Trouble]),
    )
