"""Random snapshots for hypothesis: `likely` ones to plan, and `RECORDABLE` ones, which need not make sense.

Both are put together by the same builders; where they differ is in `Values`, what the leaves are drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from tests.snapshots_ahead import any_extras, expectations, likely_extras

from rayfleet.model import (
    Backoff,
    Bundle,
    Claim,
    Demand,
    Disruption,
    DisruptionBudget,
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
    Reason,
    ReasonCode,
    ReleaseMode,
    RequestedDemand,
    Resources,
    Snapshot,
    Standby,
    StandbyMode,
    Strategy,
    Stray,
    TaskDemand,
    Timeouts,
    Trouble,
    Window,
    reason,
)
from rayfleet.planner.names import host_ids

Drawn = st.SearchStrategy[Any]


@dataclass(frozen=True, slots=True)
class Values:
    """What leaves are drawn from. `sizes`: resources of pools; `shapes`: those of demand; `times`: of orders."""

    prices: Drawn
    markets: Drawn
    regions: Drawn
    zones: Drawn
    providers: Drawn
    sizes: Drawn
    shapes: Drawn
    labels: Drawn
    same_labels: Drawn
    selectors: Drawn
    counts: Drawn
    gang_counts: Drawn
    ages: Drawn
    placed: Drawn
    minimums: Drawn
    maximums: Drawn
    priorities: Drawn
    hosts: Drawn
    standby: Drawn
    standby_prices: Drawn
    idle_timeouts: Drawn
    times: Drawn
    texts: Drawn


# ---- likely: small numbers, so that limits, ties and collisions are common ---------------------------------------

NOW = 1000.0
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
TIERS = st.sampled_from(["batch", "web", "!web", "in(batch,web)"]).map(lambda tier: LabelSelector.parse({"tier": tier}))
NONE = st.just(None)

LIKELY = Values(
    prices=st.sampled_from([None, 0.0, 0.5, 1.0, 1.0, 3.0]),
    markets=st.sampled_from([Market.ON_DEMAND, Market.SPOT]),
    regions=NONE,
    zones=st.sampled_from([None, "a", "b"]),
    providers=NONE,
    sizes=st.sampled_from(SIZES).map(Resources.of),
    shapes=st.sampled_from(SHAPES).map(Resources.of),
    labels=st.sampled_from([{}, {}, {"tier": "batch"}, {"tier": "web"}]).map(FrozenMap),
    same_labels=st.sampled_from([None, None, None, "tier", "ray.io/availability-zone"]),
    selectors=st.one_of(st.just(()), st.just(()), st.lists(TIERS, min_size=1, max_size=2, unique=True).map(tuple)),
    counts=st.integers(1, 12),
    gang_counts=st.integers(1, 3),
    ages=st.just(0.0),
    placed=st.just(FrozenMap()),
    minimums=st.sampled_from([0, 0, 0, 2]),
    maximums=st.none() | st.integers(0, 8),
    priorities=st.sampled_from([0, 0, 1]),
    hosts=st.sampled_from([1, 1, 1, 2]),
    standby=st.sampled_from([None, None, None, Standby(1), Standby(3), Standby(percent=50.0, mode=StandbyMode.BOOTED)]),
    standby_prices=st.sampled_from([0.0, 0.25]),
    idle_timeouts=st.sampled_from([None, None, 10.0]),
    times=st.sampled_from([1.0, 2.0]),
    texts=st.just(""),
)

# ---- recordable: whatever a file must be able to hold ------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "cpu16", "gpu.big", "ray.io/x", "64e9", "yes"])
TEXTS = st.one_of(st.sampled_from(["", "a", "null", "5"]), st.text(max_size=5))
MOMENTS = st.one_of(st.sampled_from([0.0, 1.5, -3.0]), st.floats(-1e9, 1e10))
SPANS = st.floats(0, 1e6)
UNITS = st.one_of(st.integers(1, 10**9), st.integers(1, 10**14).map(lambda whole: whole * 10_000))
RESOURCES = st.dictionaries(st.sampled_from(["CPU", "GPU", "memory", "node:10.0.0.1", "x"]), UNITS).map(Resources)
EXPRESSIONS = st.sampled_from(["a", "!a", "in(a,b)", "!in(b,a)", ""])
REASONS: st.SearchStrategy[Reason] = st.sampled_from(
    [
        reason(ReasonCode.SHUTDOWN),
        reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60),
        reason(ReasonCode.ORDERED, by="me", why="5").because(reason(ReasonCode.DRAINED)),
    ]
)

ANY = Values(
    prices=st.none() | SPANS,
    markets=st.sampled_from(Market),
    regions=st.sampled_from([None, "a", "b"]),
    zones=st.sampled_from([None, "a", "b"]),
    providers=st.sampled_from([None, "aws"]),
    sizes=RESOURCES,
    shapes=RESOURCES,
    labels=st.dictionaries(NAMES, TEXTS, max_size=2).map(FrozenMap),
    same_labels=st.none() | NAMES,
    selectors=st.lists(st.dictionaries(NAMES, EXPRESSIONS, max_size=2).map(LabelSelector.parse), max_size=2).map(tuple),
    counts=st.integers(0, 1000),
    gang_counts=st.integers(0, 9),
    ages=SPANS,
    placed=st.dictionaries(st.sampled_from(["0", "1"]), NAMES, max_size=2).map(FrozenMap),
    minimums=st.integers(0, 9),
    maximums=st.none() | st.integers(0, 100),
    priorities=st.integers(-5, 5),
    hosts=st.integers(1, 4),
    standby=st.none()
    | st.builds(Standby, st.integers(0, 9), st.floats(0, 1e4), st.sampled_from(StandbyMode), st.none() | SPANS),
    standby_prices=SPANS,
    idle_timeouts=st.none() | SPANS,
    times=MOMENTS,
    texts=TEXTS,
)

# ---- what both are put together from -----------------------------------------------------------------------------


def several(of: st.SearchStrategy[Any], most: int, least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(of, min_size=least, max_size=most).map(tuple)


@st.composite
def pools(draw: st.DrawFn, of: Values, name: str) -> Pool:
    maximum, minimum = draw(of.maximums), draw(of.minimums)
    offers = st.builds(
        Offer,
        usd_per_hour=of.prices,
        market=of.markets,
        zone=of.zones,
        region=of.regions,
        provider=of.providers,
        standby_usd_per_hour=of.standby_prices,
    )
    return Pool(
        name=name,
        resources=draw(of.sizes),
        labels=draw(of.labels),
        min_workers=minimum if maximum is None else min(minimum, maximum),
        max_workers=maximum,
        priority=draw(of.priorities),
        hosts_per_replica=draw(of.hosts),
        idle_timeout_s=draw(of.idle_timeouts),
        standby=draw(of.standby),
        offers=draw(several(offers, 2, least=1)),
    )


def demands(of: Values) -> st.SearchStrategy[Demand]:
    bundles = st.builds(Bundle, shape=of.shapes, selectors=of.selectors)
    strategies, bundled = st.sampled_from(Strategy), several(bundles, 4, least=1)
    gangs = st.builds(Gang, strategies, bundled, of.gang_counts, of.ages, of.placed, of.labels, of.same_labels)
    return st.builds(
        Demand,
        tasks=several(st.builds(TaskDemand, of.shapes, of.counts, of.selectors, of.ages, of.labels), 4),
        gangs=several(gangs, 2),
        requested=several(st.builds(RequestedDemand, of.shapes, of.counts, of.selectors), 2),
    )


def orders(of: Values, names: Drawn, targets: Drawn, values: Drawn) -> st.SearchStrategy[Order]:
    """Draw orders, right and wrong ones."""
    return st.builds(Order, names, st.sampled_from(OrderKind), targets, values, of.texts, of.texts, of.times)


def outcomes(of: Values, claims: Drawn, scopes: Drawn, times: Drawn) -> st.SearchStrategy[Outcome]:
    """Draw ends of calls for some of the claims."""
    return st.builds(
        Outcome,
        kind=st.sampled_from(OutcomeKind),
        claims=st.lists(claims, min_size=1, max_size=2, unique=True).map(tuple),
        at=times,
        trouble=st.none() | st.sampled_from(Trouble),
        message=of.texts,
        scope=scopes,
    )


# ---- likely snapshots --------------------------------------------------------------------------------------------


@st.composite
def likely(draw: st.DrawFn, *, quiet: bool = False) -> Snapshot:
    """Draw a snapshot that may happen. `quiet`: nothing but pools, READY claims and demand."""
    among = [draw(pools(LIKELY, f"p{number}")) for number in range(draw(st.integers(1, 3)))]
    have = [draw(_likely_claim(number, among)) for number in range(draw(st.integers(0, 5)))]
    if quiet:
        have = [
            _without_facts(claim) for claim in have if claim.phase in {Phase.READY, Phase.STANDBY} and not claim.drifted
        ]
    policy = Policy(
        pools=tuple(among),
        max_workers=draw(LIKELY.maximums),
        upscaling_speed=None if quiet else draw(st.sampled_from([None, None, 1.0])),
        max_usd_per_hour=draw(st.sampled_from([None, None, 4.0])),
        downscaling_speed=None if quiet else draw(st.sampled_from([None, None, 0.5])),
        **draw(likely_extras(among, LIKELY.shapes, LIKELY.selectors, quiet=quiet)),
    )
    demand = draw(demands(LIKELY))
    if quiet:
        return Snapshot(now=NOW, policy=policy, claims=tuple(have), demand=demand, serial=100)
    names = st.sampled_from([*(claim.id for claim in have), "gone"])
    return Snapshot(
        now=NOW,
        policy=policy,
        claims=tuple(have),
        demand=demand,
        backoffs=draw(st.sampled_from([(), (), (Backoff(OfferKey("p0"), 1200.0, Trouble.OUT_OF_STOCK),)])),
        orders=draw(st.lists(_likely_order(among), max_size=2, unique_by=lambda order: order.id).map(tuple)),
        outcomes=draw(several(outcomes(LIKELY, names, NONE, st.just(NOW)), 2)),
        serial=100,
        engine_up=draw(st.integers(0, 5)) > 0,
        spent_today_usd=draw(st.sampled_from([0.0, 0.0, 10.0, 70.0])),
        launched_last_min=draw(st.sampled_from([0, 0, 2, 5])),
        expected=draw(expectations(st.just("soon"), LIKELY.shapes, LIKELY.selectors)),
    )


def _likely_order(among: list[Pool]) -> st.SearchStrategy[Order]:
    targets = ["nobody", "max_workers", "p0-0", *(pool.name for pool in among), "p0.max_workers"]
    ids, values = st.sampled_from(["o1", "o2", "o3"]), st.sampled_from(["0", "3", "x", "null"])
    return orders(LIKELY, ids, st.sampled_from(targets), values)


@st.composite
def _likely_claim(draw: st.DrawFn, number: int, among: list[Pool]) -> Claim:
    pool = draw(st.sampled_from(among))
    phase = draw(st.sampled_from([Phase.READY, Phase.READY, Phase.READY, *Phase]))
    name = f"{pool.name}-{number}"
    since = draw(st.sampled_from([500.0, 900.0, 999.5]))
    why = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
    mode = draw(st.sampled_from(ReleaseMode)) if phase is Phase.DRAINING else ReleaseMode.END
    waits = phase is Phase.STANDBY or (phase is Phase.RELEASING and draw(st.integers(0, 3)) == 0)
    return Claim(
        id=name,
        offer=draw(st.sampled_from(pool.offers)).key(pool.name),
        phase=phase,
        hosts=draw(_likely_hosts(name, pool, phase)),
        since=since,
        created=since,
        batch=name,
        accepted=draw(st.booleans()),
        foreign=phase is Phase.READY and draw(st.integers(0, 9)) == 0,
        drifted=draw(st.integers(0, 9)) == 0,
        found=draw(st.integers(0, 9)) == 0,
        drain=Drain(why, since, 1100.0, mode) if phase is Phase.DRAINING else None,
        listed_at=draw(st.sampled_from([None, 998.0])),
        standby=waits,
        usd_per_hour=draw(st.sampled_from([0.0, 0.25])) if waits else None,
        reuse=phase is Phase.REQUESTED and draw(st.integers(0, 3)) == 0,
    )


@st.composite
def _likely_hosts(draw: st.DrawFn, name: str, pool: Pool, phase: Phase) -> tuple[Host, ...]:
    share = draw(st.sampled_from([0.0, 0.0, 0.25, 1.0])) if phase is Phase.READY else 0.0
    machine = MachineFact.STANDBY if phase is Phase.STANDBY else MachineFact.PRESENT
    facts = draw(st.sampled_from([(None, None), (machine, NodeFact.ALIVE)]))
    if draw(st.integers(0, 5)) == 0:
        facts = (draw(st.sampled_from([None, *MachineFact])), draw(st.sampled_from([None, *NodeFact])))
    return tuple(
        Host(
            id=host,
            machine_id=f"i-{host}" if facts[0] else None,
            node_id=f"n-{host}" if facts[1] else None,
            machine=facts[0],
            node=facts[1],
            used=Resources({name: int(units * share) for name, units in pool.resources.items()}),
            idle_s=0.0 if share else draw(st.sampled_from([0.0, 30.0, 500.0])),
            do_not_disrupt=draw(st.integers(0, 9)) == 0,
            trouble=draw(st.sampled_from([None, None, *Trouble])) if facts[0] and phase is Phase.REQUESTED else None,
        )
        for host in host_ids(name, pool.hosts_per_replica)
    )


def _without_facts(claim: Claim) -> Claim:
    hosts = tuple(Host(id=h.id, used=h.used, idle_s=h.idle_s) for h in claim.hosts)
    return Claim(
        claim.id,
        claim.offer,
        claim.phase,
        hosts,
        since=900.0,
        created=900.0,
        batch=claim.id,
        foreign=claim.foreign,
        standby=claim.standby,
        usd_per_hour=claim.usd_per_hour,
    )


# ---- recordable snapshots ----------------------------------------------------------------------------------------

MAYBE_MOMENTS = st.none() | MOMENTS
ORIGINS = st.builds(OfferKey, NAMES, ANY.providers, ANY.regions, ANY.zones, st.none() | ANY.markets)
SCOPES = ORIGINS | st.just(OfferKey(""))
ANY_POOLS = st.builds(
    replace,
    NAMES.flatmap(lambda name: pools(ANY, name)),
    max_age_s=st.none() | SPANS,
    max_age_grace_s=st.none() | SPANS,
    restartable=st.booleans(),
    boot_timeout_s=st.none() | SPANS,
)
BUDGETS = st.builds(
    DisruptionBudget,
    nodes=st.integers(0, 100),
    percent=st.booleans(),
    reasons=several(st.sampled_from(Disruption), 2),
    pool=st.sampled_from(["", "a"]),
    window=st.none()
    | st.builds(Window, st.just("0 9 * * MON-FRI"), st.just(60.0), st.sampled_from(["UTC", "Asia/Tokyo"])),
)
POLICIES = st.builds(
    Policy,
    pools=st.lists(ANY_POOLS, max_size=3, unique_by=lambda pool: pool.name).map(tuple),
    head=st.none() | ANY_POOLS,
    max_workers=ANY.maximums,
    idle_timeout_s=SPANS,
    upscaling_speed=st.none() | SPANS,
    downscaling_speed=st.none() | SPANS,
    max_usd_per_hour=st.none() | SPANS,
    spot_spread_margin=st.none() | SPANS,
    disruption_budgets=several(BUDGETS, 2),
    max_age_s=st.none() | SPANS,
    max_age_grace_s=st.none() | SPANS,
    keep_starting_share=SPANS,
    consolidation_threshold=st.none() | SPANS,
    consolidate_after_s=SPANS,
    scale_down_utilization=st.none() | SPANS,
    timeouts=st.builds(Timeouts, boot_timeout_s=SPANS, backoff_max_s=SPANS),
    **any_extras(NAMES, SPANS, UNITS, ANY.shapes, ANY.selectors),
)


def _any_host(name: str) -> st.SearchStrategy[Host]:
    return st.builds(
        Host,
        id=st.just(name),
        machine_id=st.none() | TEXTS,
        node_id=st.none() | TEXTS,
        machine=st.none() | st.sampled_from(MachineFact),
        node=st.none() | st.sampled_from(NodeFact),
        total=st.none() | RESOURCES,
        used=RESOURCES,
        labels=ANY.labels,
        idle_s=SPANS,
        activity=several(TEXTS, 2),
        interrupt_at=MAYBE_MOMENTS,
        do_not_disrupt=st.booleans(),
        message=TEXTS,
        trouble=st.none() | st.sampled_from(Trouble),
    )


def _any_claim(name: str) -> st.SearchStrategy[Claim]:
    alone, odd = (st.tuples(_any_host(host)) for host in (name, f"{name}-odd"))
    replica = st.tuples(_any_host(f"{name}.0"), _any_host(f"{name}.1"))
    return st.builds(
        Claim,
        id=st.just(name),
        offer=ORIGINS,
        phase=st.sampled_from(Phase),
        hosts=st.one_of(alone, replica, odd, st.just(())),
        since=MOMENTS,
        created=MOMENTS,
        batch=TEXTS,
        accepted=st.booleans(),
        head=st.booleans(),
        foreign=st.booleans(),
        found=st.booleans(),
        drifted=st.booleans(),
        make=st.sampled_from(["", "{CPU: 1} {} x1"]),
        drain=st.none() | st.builds(Drain, REASONS, MOMENTS, MOMENTS, st.sampled_from(ReleaseMode)),
        ending=st.none() | REASONS,
        retry_at=MAYBE_MOMENTS,
        usd_per_hour=ANY.prices,
        listed_at=MAYBE_MOMENTS,
        unseen_since=MAYBE_MOMENTS,
        standby=st.booleans(),
        reuse=st.booleans(),
    )


RECORDABLE = st.builds(
    Snapshot,
    now=MOMENTS,
    policy=POLICIES,
    claims=st.sets(st.sampled_from(["m1", "m2", "r3"])).flatmap(
        lambda names: st.tuples(*(_any_claim(name) for name in sorted(names)))
    ),
    demand=demands(ANY),
    backoffs=several(
        st.builds(Backoff, SCOPES, MOMENTS, st.sampled_from(Trouble), st.integers(0, 9), TEXTS, MOMENTS), 2
    ),
    orders=several(orders(ANY, NAMES, TEXTS, TEXTS), 2),
    outcomes=several(outcomes(ANY, NAMES, st.none() | SCOPES, MOMENTS), 2),
    strays=several(st.builds(Stray, NAMES, SCOPES, TEXTS, MOMENTS, st.booleans(), st.booleans()), 2),
    in_flight=several(NAMES, 2),
    listed_at=st.dictionaries(NAMES, MOMENTS, max_size=2).map(FrozenMap),
    serial=st.integers(0, 10**6),
    engine_up=st.booleans(),
    effort=st.integers(0, 1000),
    spent_today_usd=SPANS,
    spent_at=MAYBE_MOMENTS,
    expected=expectations(NAMES, RESOURCES, ANY.selectors),
    usage=st.dictionaries(NAMES, RESOURCES, max_size=2).map(FrozenMap),
    launched_last_min=st.integers(0, 9),
)
"""Snapshots with anything in every field; they need not make sense."""
