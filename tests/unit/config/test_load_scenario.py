"""Scenario files as people write them: the design's example, odd numbers, and everything that can be wrong at once."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayfleet.config import ConfigInvalid, load_scenario
from rayfleet.model import (
    LabelSelector,
    Market,
    OfferKey,
    Phase,
    Resources,
    Snapshot,
    Strategy,
    Trouble,
)

EXAMPLE = """\
now: 0.0
policy:
  max_workers: 100
  idle_timeout_s: 60
  upscaling_speed: null
  max_usd_per_hour: null
  pools:
    - name: cpu16
      resources: {CPU: 16, memory: 64e9}
      labels: {tier: batch}
      min_workers: 0
      max_workers: 50
      priority: 0
      hosts_per_replica: 1
      idle_timeout_s: null
      offers:
        - {zone: a, market: on_demand, usd_per_hour: 0.768}
        - {zone: a, market: spot, usd_per_hour: 0.25}
machines:
  - {id: m1, pool: cpu16, zone: a, market: spot, phase: READY, used: {CPU: 4}, idle_s: 0, labels: {}}
demand:
  tasks:     [{shape: {CPU: 1}, count: 100, selectors: [{tier: "batch"}]}]
  gangs:     [{strategy: STRICT_SPREAD, bundles: [{CPU: 1}, {CPU: 1}], count: 1}]
  requested: [{shape: {CPU: 1}, count: 8}]
backoff:     [{pool: cpu16, zone: a, market: spot, until: 300.0, reason: OutOfStock}]
"""

PHASES = "'REQUESTED', 'BOOTING', 'READY', 'DRAINING', 'RELEASING', 'FAILED' or 'STANDBY'"
MARKETS = "'on_demand', 'spot' or 'reserved'"
POOLS = "policy: {pools: [{name: a, resources: {CPU: 1}}]}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigInvalid) as caught:
        load_scenario(text, "s.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_the_documented_example() -> None:
    snapshot = load_scenario(EXAMPLE, "example.yaml")
    (pool,) = snapshot.policy.pools
    assert pool.resources == Resources.of({"CPU": 16, "memory": 64_000_000_000})
    assert [offer.usd_per_hour for offer in pool.offers] == [0.768, 0.25]
    (claim,) = snapshot.claims
    assert claim.offer == OfferKey("cpu16", zone="a", market=Market.SPOT)
    assert (claim.phase, claim.usd_per_hour) == (Phase.READY, 0.25)
    assert claim.hosts[0].used == Resources.of({"CPU": 4})
    assert snapshot.demand.tasks[0].selectors == (LabelSelector.parse({"tier": "batch"}),)
    assert snapshot.demand.gangs[0].strategy is Strategy.STRICT_SPREAD
    assert snapshot.demand.requested[0].count == 8
    assert snapshot.backoffs[0].trouble is Trouble.OUT_OF_STOCK


def test_only_pools_are_needed() -> None:
    snapshot = load_scenario(POOLS, "s.yaml")
    assert snapshot == Snapshot(policy=snapshot.policy)
    assert snapshot.policy.idle_timeout_s == 60
    assert snapshot.policy.max_workers is None
    assert snapshot.policy.pools[0].offers[0].market is Market.ON_DEMAND
    assert problems("now: 1\n") == ["s.yaml:1:1: policy: is required"]
    assert problems("policy: {}\n") == ["s.yaml:1:9: policy.pools: is required"]


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("64e9", 64 * 10**9),
        ("1.5e9", 15 * 10**8),
        ("16Gi", 16 * 2**30),
        ('"16GiB"', 16 * 2**30),
        ("500M", 5 * 10**8),
        ("0x10", 16),
        ("1_000", 1000),
        ("0", 0),
        ('"64e9"', 64 * 10**9),
    ],
)
def test_memory_as_people_write_it(written: str, amount: int) -> None:
    snapshot = load_scenario(f"policy: {{pools: [{{name: a, resources: {{memory: {written}}}}}]}}", "s.yaml")
    assert snapshot.policy.pools[0].resources == Resources.of({"memory": amount})


def test_json_is_read_too_and_its_problems_have_lines() -> None:
    text = '{"policy":\n\t{"pools": [{"name": "a", "resources": {"CPU": 1}}],\n\t"max_worker": 3}}'
    assert problems(text) == ["s.yaml:3:2: policy.max_worker: unknown key (did you mean max_workers?)"]
    assert load_scenario(text.replace("max_worker", "max_workers"), "s.json").policy.max_workers == 3


def test_machines_without_an_origin_take_the_pools_first_fitting_offer() -> None:
    text = """
policy: {pools: [{name: a, offers: [{zone: x, usd_per_hour: 2}, {zone: y, market: spot, usd_per_hour: 1}]}]}
machines:
  - {id: m1, pool: a}
  - {id: m2, pool: a, market: spot}
  - {id: m3, pool: a, zone: z}
"""
    snapshot = load_scenario(text, "s.yaml")
    assert [(c.offer.zone, c.offer.market, c.usd_per_hour) for c in snapshot.claims] == [
        ("x", Market.ON_DEMAND, 2.0),
        ("y", Market.SPOT, 1.0),
        ("z", None, None),
    ]


def test_rows_of_a_replica_are_one_claim() -> None:
    text = f"""{POOLS}
machines:
  - {{id: r1.0, replica: r1, pool: a, phase: DRAINING, deadline: 9}}
  - {{id: m7, pool: a}}
  - {{id: r1.1, replica: r1, pool: a, used: {{CPU: 1}}}}
"""
    snapshot = load_scenario(text, "s.yaml")
    assert [(claim.id, [host.id for host in claim.hosts]) for claim in snapshot.claims] == [
        ("r1", ["r1.0", "r1.1"]),
        ("m7", ["m7"]),
    ]
    drain = snapshot.claims[0].drain
    assert drain is not None
    assert (drain.deadline, bool(drain.reason.text)) == (9.0, True)


def test_new_claims_never_get_a_name_that_is_taken() -> None:
    machines = "machines: [{id: m12, pool: a}, {id: i-0abc, pool: a}, {id: x, replica: r3, pool: a}]"
    assert load_scenario(POOLS + machines, "s.yaml").serial == 12
    assert load_scenario(POOLS + machines + "\nserial: 40", "s.yaml").serial == 40


def test_every_problem_is_reported_at_once_with_its_line() -> None:
    text = """\
now: .nan
polizy: 3
pools: []
policy:
  max_worker: 100
  idle_timeout_s: 5m
  pools:
    - name: cpu16
      resources: {CPU: -16, memory: 64Gx}
      labels: {tier: 5}
      min_workers: 7
      max_workers: 3
    - {name: cpu16, resources: [1], min_workers: "2"}
machines:
  - {id: m1, pool: cpu61, phase: ready}
  - {id: m1, pool: cpu16, market: spt}
"""
    assert problems(text) == [
        "s.yaml:1:6: now: must be a finite number, not nan (leave it out or write null for no limit)",
        "s.yaml:2:1: polizy: unknown key (did you mean policy?)",
        "s.yaml:3:1: pools: unknown key (it belongs under policy)",
        "s.yaml:5:3: policy.max_worker: unknown key (did you mean max_workers?)",
        "s.yaml:6:19: policy.idle_timeout_s: must be a number, not '5m' (it is a number of seconds: write 300)",
        "s.yaml:9:24: policy.pools[0].resources.CPU: must be at least 0, not -16",
        "s.yaml:9:37: policy.pools[0].resources.memory: must be a number, not '64Gx' (write 16Gi, 500M or 64e9)",
        's.yaml:10:22: policy.pools[0].labels.tier: must be text, not 5 (quote it: "5")',
        "s.yaml:11:20: policy.pools[0].min_workers: 7 is more than max_workers, 3",
        "s.yaml:13:14: policy.pools[1].name: the pool cpu16 is given twice",
        "s.yaml:13:32: policy.pools[1].resources: must be a mapping like {CPU: 1}, not a list",
        "s.yaml:13:50: policy.pools[1].min_workers: must be a number, not '2' (write 2 without quotes)",
        "s.yaml:15:20: machines[0].pool: there is no pool cpu61 (did you mean cpu16?)",
        f"s.yaml:15:34: machines[0].phase: must be one of {PHASES}, not 'ready' (did you mean READY?)",
        "s.yaml:16:10: machines[1].id: the machine m1 is given twice",
        f"s.yaml:16:35: machines[1].market: must be one of {MARKETS}, not 'spt' (did you mean spot?)",
    ]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("demand: {tasks: [{shape: {CPU: 1}, count: 1000000000}]}", "demand.tasks[0].count: 1,000,000,000 in all"),
        ("demand: {tasks: [{shape: {CPU: 1}, count: 1e9999}]}", "demand.tasks[0].count: must be a finite number"),
        ("demand: {tasks: [{shape: {CPU: 1}, count: 1.5}]}", "demand.tasks[0].count: must be a whole number"),
        ("demand: {tasks: [{shape: {CPU: .inf}}]}", "demand.tasks[0].shape.CPU: must be a finite number"),
        ("demand: {tasks: [{shape: {CPU: 1e15}}]}", "demand.tasks[0].shape.CPU: must be at most"),
        ("demand: {tasks: [{shape: {CPU: " + "9" * 5000 + "}}]}", "demand.tasks[0].shape.CPU: must be a finite number"),
        ("demand: {tasks: [{shape: {CPU: 1}, selectors: [{tier: !batch }]}]}", 'tag !batch is not read (quote it: "!b'),
        (
            "demand: {tasks: [{shape: {CPU: 1}, selectors: [{tier: 'in(a'}]}]}",
            "must be one of a, !a, in(a,b), !in(a,b)",
        ),
        ("demand: {tasks: {CPU: 1}}", "demand.tasks: must be a list, not a mapping"),
        ("demand: {task: []}", "demand.task: unknown key (did you mean tasks?)"),
        ("demand: {gangs: [{bundles: []}]}", "demand.gangs[0].bundles: must not be empty"),
        ("demand: {gangs: [{bundles: [{CPU: 1}], placed: {1: m1}}]}", "placed.1: there is no bundle 1"),
        ("demand: {gangs: [{bundles: [{CPU: 1}], strategy: SPREDD}]}", "(did you mean SPREAD?)"),
        ("demand: {gangs: [{bundles: [{CPU: 1}, {CPU: 1}], count: 600000}]}", "1,200,000 bundles in all"),
        ("machines: [{id: m, pool: a, ending: {code: idle}}]", "reason idle needs details.idle_s"),
        ("machines: [{id: m, pool: a, asked_at: 3}]", "machines[0].asked_at: needs a deadline beside it"),
        ("machines: [{id: m, replica: r, pool: a}, {id: r, pool: a}]", "r is the name of a machine and of a replica"),
        ("machines: [{id: m, replica: r, pool: a}, {id: n, replica: r, pool: a, since: 4}]", "differs from the first"),
        ("machines: [{pool: a, idd: m}]", "machines[0].id: is required (is it idd?)"),
        ("backoff: [{pool: b, until: 3}]", "backoff[0].pool: there is no pool b"),
        ("format: 2", "format: must be 1, not 2"),
        ("effort: 1000000000", "effort: must be at most 1,000,000"),
        ("plan: {}", "this is a recorded tick: use `rayfleet replay`"),
        ("now: 1\nnow: 2", "now: is given twice"),
        ("now: !!python/object/apply:os.system [ls]", "the tag !!python/object/apply:os.system is not read"),
        ("now: [", "is not valid YAML"),
        ("now: 1\n---\nnow: 2", "is not valid YAML: but found another document"),
        ("now: *nobody", "is not valid YAML: found undefined alias"),
        ("? [a]\n: 1", "a key must be a plain word"),
        ("now: \x00", "is not valid YAML"),
        ("now: &a [*a]", "is nested too deeply"),
    ],
)
def test_each_mistake_has_its_own_words(section: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(POOLS + section)), problems(POOLS + section)


def test_offers_and_empty_pools() -> None:
    assert problems("policy: {pools: []}") == [
        "s.yaml:1:17: policy.pools: must not be empty (a plan needs a pool to choose from)"
    ]
    twice = "policy: {pools: [{name: a, offers: [{zone: x}, {zone: x, market: on_demand}]}]}"
    assert "the same offer is given twice" in problems(twice)[0]
    assert "pools[0].offers: must not be empty" in problems("policy: {pools: [{name: a, offers: []}]}")[0]


def test_a_pool_may_have_been_removed_while_its_machines_run() -> None:
    assert load_scenario(POOLS + "removed_pools: [old]\nmachines: [{id: m1, pool: old}]", "s").claims[0].pool == "old"


@pytest.mark.parametrize("text", ["", "5", "[]", "null", "# only a comment", "{}"])
def test_no_mapping_is_one_problem(text: str) -> None:
    assert len(problems(text)) == 1


def test_aliases_cannot_blow_a_file_up() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9))
    assert problems(f"l0: &l0 [x]\n{levels}\n") == ["s.yaml: has too many values (do aliases multiply them?)"]


def test_anchors_and_merges_are_read() -> None:
    text = """
policy:
  pools:
    - &base {name: a, resources: {CPU: 4}, max_workers: 3}
    - {<<: *base, name: b, max_workers: -1}
"""
    assert problems(text) == ["s.yaml:5:41: policy.pools[1].max_workers: must be at least 0, not -1"]
    pools = load_scenario(text.replace("-1", "7"), "s.yaml").policy.pools
    assert [(pool.name, pool.max_workers) for pool in pools] == [("a", 3), ("b", 7)]
    assert pools[0].resources == pools[1].resources


def test_deep_nesting_is_told_in_one_line() -> None:
    for text in ("- " * 3000, "{a: " * 3000, '{"a":' * 100_000):
        assert len(problems(text)) == 1


def told(text: str) -> bool:
    """Read anything; say whether it was a scenario or was refused with words. Anything else is raised."""
    try:
        return isinstance(load_scenario(text, "s"), Snapshot)
    except ConfigInvalid as error:
        return bool(error.problems) and all(problem.message for problem in error.problems)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("abm01.:-,{}[]!&*'\"|>%#?\n\t ~\u00e9\x07\ufeff")), max_size=60))
def test_any_text_gives_a_snapshot_or_problems(text: str) -> None:
    assert told(text)
    assert told(POOLS + text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["a", "READY"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "pool", "shape", "count", "bundles", "name", "CPU", "x"]), inner)
    ),
    max_leaves=6,
)
SECTIONS = ["now", "policy", "machines", "demand", "backoff", "orders", "outcomes", "strays", "in_flight", "listed_at"]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS), VALUES), st.sampled_from(["pools", "head", "timeouts"]), VALUES)
def test_any_values_give_a_snapshot_or_problems(sections: dict[str, object], key: str, value: object) -> None:
    policy = {"pools": [{"name": "a", "resources": {}}], key: value}
    assert told(json.dumps(sections))
    assert told(json.dumps({**sections, "policy": policy}))
