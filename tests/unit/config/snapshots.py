"""Hypothesis strategies for every part of a Snapshot that may be recorded."""

from __future__ import annotations

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
    Stray,
    TaskDemand,
    Timeouts,
    Trouble,
    reason,
)

NAMES = st.sampled_from(["a", "b", "cpu16", "gpu.big", "ray.io/x", "64e9", "yes"])
TEXTS = st.one_of(st.sampled_from(["", "a", "null", "5"]), st.text(max_size=5))
MOMENTS = st.one_of(st.sampled_from([0.0, 1.5, -3.0]), st.floats(-1e9, 1e10))
SPANS = st.floats(0, 1e6)
MAYBE_MOMENTS = st.none() | MOMENTS
UNITS = st.one_of(st.integers(1, 10**9), st.integers(1, 10**14).map(lambda whole: whole * 10_000))
RESOURCES = st.dictionaries(st.sampled_from(["CPU", "GPU", "memory", "node:10.0.0.1", "x"]), UNITS).map(Resources)
LABELS = st.dictionaries(NAMES, TEXTS, max_size=2).map(FrozenMap)
EXPRESSIONS = st.sampled_from(["a", "!a", "in(a,b)", "!in(b,a)", ""])
SELECTORS = st.lists(st.dictionaries(NAMES, EXPRESSIONS, max_size=2).map(LabelSelector.parse), max_size=2).map(tuple)
ZONES = st.sampled_from([None, "a", "b"])
REASONS = st.sampled_from(
    [
        reason(ReasonCode.SHUTDOWN),
        reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60),
        reason(ReasonCode.ORDERED, by="me", why="5").because(reason(ReasonCode.DRAINED)),
    ]
)

OFFERS = st.builds(
    Offer,
    usd_per_hour=st.none() | SPANS,
    market=st.sampled_from(Market),
    zone=ZONES,
    region=ZONES,
    provider=st.sampled_from([None, "aws"]),
)
POOLS = st.builds(
    Pool,
    name=NAMES,
    resources=RESOURCES,
    labels=LABELS,
    min_workers=st.integers(0, 9),
    max_workers=st.none() | st.integers(0, 9),
    priority=st.integers(-5, 5),
    hosts_per_replica=st.integers(1, 4),
    idle_timeout_s=st.none() | SPANS,
    offers=st.lists(OFFERS, min_size=1, max_size=3).map(tuple),
)
POLICIES = st.builds(
    Policy,
    pools=st.lists(POOLS, max_size=3, unique_by=lambda pool: pool.name).map(tuple),
    head=st.none() | POOLS,
    max_workers=st.none() | st.integers(0, 100),
    idle_timeout_s=SPANS,
    upscaling_speed=st.none() | SPANS,
    downscaling_speed=st.none() | SPANS,
    max_usd_per_hour=st.none() | SPANS,
    timeouts=st.builds(Timeouts, boot_timeout_s=SPANS, backoff_max_s=SPANS),
)
ORIGINS = st.builds(
    OfferKey,
    pool=NAMES,
    provider=st.sampled_from([None, "aws"]),
    region=ZONES,
    zone=ZONES,
    market=st.none() | st.sampled_from(Market),
)
SCOPES = ORIGINS | st.just(OfferKey(""))


def hosts(name: str) -> st.SearchStrategy[Host]:
    return st.builds(
        Host,
        id=st.just(name),
        machine_id=st.none() | TEXTS,
        node_id=st.none() | TEXTS,
        machine=st.none() | st.sampled_from(MachineFact),
        node=st.none() | st.sampled_from(NodeFact),
        total=st.none() | RESOURCES,
        used=RESOURCES,
        labels=LABELS,
        idle_s=SPANS,
        activity=st.lists(TEXTS, max_size=2).map(tuple),
        interrupt_at=MAYBE_MOMENTS,
        do_not_disrupt=st.booleans(),
        message=TEXTS,
    )


def claims(name: str) -> st.SearchStrategy[Claim]:
    several = st.tuples(hosts(f"{name}.0"), hosts(f"{name}.1"))
    odd = hosts(f"{name}-odd").map(lambda host: (host,))
    return st.builds(
        Claim,
        id=st.just(name),
        offer=ORIGINS,
        phase=st.sampled_from(Phase),
        hosts=st.one_of(hosts(name).map(lambda host: (host,)), several, odd, st.just(())),
        since=MOMENTS,
        created=MOMENTS,
        batch=TEXTS,
        accepted=st.booleans(),
        head=st.booleans(),
        foreign=st.booleans(),
        drifted=st.booleans(),
        make=st.sampled_from(["", "{CPU: 1} {} x1"]),
        drain=st.none() | st.builds(Drain, reason=REASONS, asked_at=MOMENTS, deadline=MOMENTS),
        ending=st.none() | REASONS,
        retry_at=MAYBE_MOMENTS,
        usd_per_hour=st.none() | SPANS,
        listed_at=MAYBE_MOMENTS,
        unseen_since=MAYBE_MOMENTS,
    )


TASKS = st.builds(TaskDemand, RESOURCES, st.integers(0, 1000), SELECTORS, SPANS)
BUNDLES = st.lists(st.builds(Bundle, RESOURCES, SELECTORS), min_size=1, max_size=3).map(tuple)
PLACED = st.dictionaries(st.sampled_from(["0", "1"]), NAMES, max_size=2).map(FrozenMap)
GANGS = st.builds(Gang, st.sampled_from(Strategy), BUNDLES, st.integers(0, 9), SPANS, PLACED)
REQUESTED = st.builds(RequestedDemand, RESOURCES, st.integers(0, 1000), SELECTORS)
DEMAND = st.builds(
    Demand,
    tasks=st.lists(TASKS, max_size=2).map(tuple),
    gangs=st.lists(GANGS, max_size=2).map(tuple),
    requested=st.lists(REQUESTED, max_size=2).map(tuple),
)
BACKOFFS = st.builds(Backoff, SCOPES, MOMENTS, st.sampled_from(Trouble), st.integers(0, 9), TEXTS)
ORDERS = st.builds(Order, NAMES, st.sampled_from(OrderKind), TEXTS, TEXTS, TEXTS, TEXTS, MOMENTS)
OUTCOMES = st.builds(
    Outcome,
    kind=st.sampled_from(OutcomeKind),
    claims=st.lists(NAMES, max_size=2).map(tuple),
    at=MOMENTS,
    trouble=st.none() | st.sampled_from(Trouble),
    message=TEXTS,
    scope=st.none() | SCOPES,
)
STRAYS = st.builds(Stray, NAMES, SCOPES, TEXTS, MOMENTS, st.booleans())
SNAPSHOTS = st.builds(
    Snapshot,
    now=MOMENTS,
    policy=POLICIES,
    claims=st.sets(st.sampled_from(["m1", "m2", "r3"])).flatmap(
        lambda names: st.tuples(*(claims(name) for name in sorted(names)))
    ),
    demand=DEMAND,
    backoffs=st.lists(BACKOFFS, max_size=2).map(tuple),
    orders=st.lists(ORDERS, max_size=2).map(tuple),
    outcomes=st.lists(OUTCOMES, max_size=2).map(tuple),
    strays=st.lists(STRAYS, max_size=2).map(tuple),
    in_flight=st.lists(NAMES, max_size=2).map(tuple),
    listed_at=st.dictionaries(NAMES, MOMENTS, max_size=2).map(FrozenMap),
    serial=st.integers(0, 10**6),
    engine_up=st.booleans(),
    effort=st.integers(0, 1000),
)
