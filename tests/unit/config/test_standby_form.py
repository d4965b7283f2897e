"""The key `standby`: its short form, what is wrong with it, and that its provider has to be able to do it."""

import pytest
from tests.unit.config.places import BOTH, CloudSettings, Kind

from rayfleet.config import check, load_scenario
from rayfleet.config.plan_out import plan_to_json
from rayfleet.config.problems import ConfigInvalid
from rayfleet.config.scenario_out import snapshot_to_json
from rayfleet.model import Offer, Phase, ReleaseMode, Standby, StandbyMode
from rayfleet.planner import plan

POOLS = "policy: {pools: [{name: p, resources: {CPU: 4}, offers: [{usd_per_hour: 1, standby_usd_per_hour: 0.1}], %s}]}"


def cluster(standby: str, provider: str = "process") -> str:
    more = ", region: r" if provider == "cloud" else ""
    return f"""
cluster_name: c
provider: {{type: {provider}{more}}}
head_node_type: head
available_node_types:
  head: {{resources: {{CPU: 0}}}}
  worker:
    resources: {{CPU: 4}}
    standby: {standby}
"""


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("3", Standby(3)),
        ("{percent: 20}", Standby(percent=20.0)),
        ("{count: 1, mode: booted, max_age_s: 60}", Standby(1, 0.0, StandbyMode.BOOTED, 60.0)),
        ("{keep: 4}", Standby(keep=4)),
        ("{count: 1, keep: 4}", Standby(1, keep=4)),
        ("null", None),
    ],
)
def test_it_is_read_as_it_is_meant(text: str, rule: Standby | None) -> None:
    (pool,) = load_scenario(POOLS % f"standby: {text}", "s.yaml").policy.pools
    assert pool.standby == rule
    assert pool.offers == (Offer(1.0, standby_usd_per_hour=0.1),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{mode: stopped}", "count, percent or keep"),
        ("-1", "at least 0"),
        ("{count: 1, mode: asleep}", "stopped"),
        ("{count: 1, modus: x}", "modus"),
        ("{count: 1, max_age_s: -5}", "at least 0"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigInvalid) as raised:
        load_scenario(POOLS % f"standby: {text}", "s.yaml")
    (problem,) = raised.value.problems
    assert "standby" in problem.path
    assert told in f"{problem.path} {problem.message} {problem.hint}"


def test_a_cluster_file_says_it_of_a_node_type() -> None:
    checked = check(cluster("2"), BOTH, "c.yaml")
    assert checked.spec is not None, checked.problems
    (pool,) = checked.spec.policy.pools
    assert pool.standby == Standby(2)


@pytest.mark.parametrize(
    ("file", "message", "hint"),
    [
        (cluster("{count: 2, mode: booted}"), "provider process keeps no machines booted on standby", "mode: stopped"),
        (cluster("2", "cloud"), "provider cloud keeps no machines on standby", "leave standby out"),
    ],
)
def test_a_provider_that_cannot_is_a_problem_of_the_file(file: str, message: str, hint: str) -> None:
    checked = check(file, BOTH, "c.yaml")
    assert checked.spec is None
    (problem,) = checked.problems
    assert (problem.path, problem.message) == ("available_node_types.worker.standby", message)
    assert problem.hint.startswith(hint)
    assert problem.line == 9


class CachingSettings(CloudSettings):
    cache_stopped_nodes: bool = True


ABLE = {"cloud": Kind(CachingSettings, (StandbyMode.STOPPED,))}
UNABLE = {"cloud": Kind(CachingSettings)}


def caching(more: str = "", worker: str = "{resources: {CPU: 4}, max_workers: 3}") -> str:
    types = f"{{head: {{resources: {{CPU: 0}}}}, worker: {worker}}}"
    place = f"provider: {{type: cloud, region: r{more}}}"
    return f"cluster_name: c\nmax_workers: 8\n{place}\nhead_node_type: head\navailable_node_types: {types}\n"


def kept(text: str, registry: dict[str, Kind]) -> tuple[Standby | None, list[str]]:
    """Return what its pool keeps, and what is said of the key."""
    checked = check(text, registry, "c.yaml")
    assert checked.spec is not None, checked.problems
    (pool,) = checked.spec.policy.pools
    said = [f"{one.path}: {one.message}" for one in checked.notices if "kept" in one.message or "keeps" in one.message]
    return pool.standby, said


def test_ray_s_key_keeps_as_many_as_may_work() -> None:
    assert kept(caching(", cache_stopped_nodes: true"), ABLE) == (Standby(keep=3), [])
    uncapped = "{resources: {CPU: 4}}"
    assert kept(caching(", cache_stopped_nodes: true", uncapped), ABLE) == (Standby(keep=8), [])


def test_ray_s_default_is_not_ours_and_that_is_said() -> None:
    rule, (said,) = kept(caching(), ABLE)
    assert rule is None
    assert said.startswith("provider: no cache_stopped_nodes: idle machines are terminated")
    assert kept(caching(", cache_stopped_nodes: false"), ABLE) == (None, [])
    assert kept(caching(), UNABLE) == (None, [])


def test_a_pool_s_own_words_hold() -> None:
    own = "{resources: {CPU: 4}, standby: 1}"
    assert kept(caching(", cache_stopped_nodes: true", own), ABLE)[0] == Standby(1)


def test_where_machines_cannot_be_stopped_the_key_is_said_to_have_no_effect() -> None:
    rule, (said,) = kept(caching(", cache_stopped_nodes: true"), UNABLE)
    assert rule is None
    assert said.startswith("provider.cache_stopped_nodes: has no effect")


WAITING = """
now: 1000
policy:
  idle_timeout_s: 60
  pools:
    - {name: p, resources: {CPU: 4}, standby: 2, offers: [{usd_per_hour: 1, standby_usd_per_hour: 0.1}]}
    - {name: q, resources: {GPU: 1}, standby: 1, offers: [{usd_per_hour: 2}]}
machines:
  - {id: s1, pool: p, phase: STANDBY, machine_id: i-1}
  - {id: s2, pool: p, phase: STANDBY, machine: present, machine_id: i-2}
  - {id: g1, pool: q, idle_s: 70}
  - {id: r1, pool: p, phase: RELEASING, standby: true, usd_per_hour: 0.1}
  - {id: d1, pool: q, phase: DRAINING, deadline: 1010, mode: stop}
demand: {tasks: [{shape: {CPU: 1}, count: 8}]}
"""


def test_a_scenario_has_machines_on_standby_and_says_what_they_cost() -> None:
    snapshot = load_scenario(WAITING, "s.yaml")
    claims = {claim.id: claim for claim in snapshot.claims}
    assert (claims["s1"].phase, claims["s1"].standby, claims["s1"].usd_per_hour) == (Phase.STANDBY, True, 0.1)
    assert claims["r1"].standby
    assert claims["d1"].drain is not None
    assert claims["d1"].drain.mode is ReleaseMode.STOP
    rows = {row["id"]: row for row in snapshot_to_json(snapshot)["machines"]}
    assert "standby" not in rows["s1"]
    assert "usd_per_hour" not in rows["s1"]
    assert (rows["r1"]["standby"], rows["d1"]["mode"]) == (True, "stop")


def test_the_plan_says_what_is_started_made_to_wait_and_stopped() -> None:
    shown = plan_to_json(plan(load_scenario(WAITING, "s.yaml")))
    (launch,) = shown["launch"]
    assert (launch["pool"], launch["count"], launch["reuse"]) == ("p", 2, 1)
    assert "standby" not in launch
    quiet = WAITING.replace("count: 8", "count: 0").replace(
        "  - {id: d1, pool: q, phase: DRAINING", "  - {id: d1, pool: p, phase: RELEASING"
    )
    quiet = quiet.replace(", deadline: 1010, mode: stop", "")
    released = {row["id"]: row for row in plan_to_json(plan(load_scenario(quiet, "s.yaml")))["release"]}
    assert (released["g1"]["how"], released["g1"]["mode"]) == ("drain", "stop")
    (made,) = plan_to_json(plan(load_scenario(POOLS % "standby: 2", "s.yaml")))["launch"]
    assert (made["count"], made["standby"], made["reason"]["code"]) == (2, "stopped", "standby")


def test_a_mode_needs_a_drain_beside_it() -> None:
    with pytest.raises(ConfigInvalid, match="deadline"):
        load_scenario(WAITING.replace("deadline: 1010, ", ""), "s.yaml")
