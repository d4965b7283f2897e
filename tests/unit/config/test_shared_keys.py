"""rayfleet's own keys, in a scenario and in a cluster file: one meaning, every mistake with its place."""

import pytest
from tests.unit.config.places import HERE

from rayfleet.config import check, load_scenario
from rayfleet.config.problems import ConfigInvalid
from rayfleet.model import (
    Buffer,
    Forecast,
    FrozenMap,
    LabelSelector,
    Market,
    OfferKey,
    Overlay,
    PendingThreshold,
    Policy,
    Quota,
    Resources,
    Schedule,
    Window,
)

KEYS = """
buffers:
  - {name: spare, shape: {CPU: 1}, count: 8}
  - {name: peak, shape: {GPU: 1}, percent: 20, selectors: [{tier: web}]}
schedules:
  - name: office
    cron: 0 8 * * MON-FRI
    duration_s: 36000
    time_zone: Europe/Berlin
    pool: web
    min_workers: 2
    buffers: [{name: rush, shape: {CPU: 4}, count: 2}]
scale_up_pending_threshold: 10
scale_up_utilization: 0.8
max_resources: {CPU: 1000, GPU: 0, memory: 2Gi}
max_usd_per_day: 240
max_launches_per_min: 30
keep_starting_share: 0.5
max_age_grace_s: 600
overlays:
  - {match: {pool: web, zone: a, market: reserved, labels: {tier: web}}, usd_per_hour: 0, why: paid}
  - {add: -0.5, real: true}
forecast: {season_s: 86400}
quotas:
  - {label: team, value: a, max_resources: {CPU: 100, GPU: 0}, weight: 2}
  - {label: team, value: b}
"""
BUFFERS = (
    Buffer("spare", Resources.of({"CPU": 1}), 8),
    Buffer("peak", Resources.of({"GPU": 1}), percent=20.0, selectors=(LabelSelector.parse({"tier": "web"}),)),
)
RUSH = Buffer("rush", Resources.of({"CPU": 4}), 2)
OFFICE = Schedule("office", Window("0 8 * * MON-FRI", 36000.0, "Europe/Berlin"), "web", min_workers=2, buffers=(RUSH,))

PAID = Overlay(OfferKey("web", zone="a", market=Market.RESERVED), LabelSelector.parse({"tier": "web"}), 0.0, why="paid")


def in_scenario(keys: str) -> Policy:
    inner = "\n".join(f"  {line}" for line in keys.splitlines())
    text = f"policy:\n  pools: [{{name: web, resources: {{CPU: 4}}, max_workers: 3}}]\n{inner}\n"
    return load_scenario(text, "s.yaml").policy


def in_cluster(keys: str) -> tuple[Policy | None, list[str]]:
    text = (
        "head_node_type: head\navailable_node_types:\n"
        f"  head: {{}}\n  web: {{resources: {{CPU: 4}}, max_workers: 3}}\n{keys}\n"
    )
    checked = check(text, HERE, "c.yaml")
    return checked.spec.policy if checked.spec else None, [f"{p.path}: {p.message}" for p in checked.problems]


def test_they_are_read_alike_in_both() -> None:
    of_cluster, problems = in_cluster(KEYS)
    assert problems == []
    assert of_cluster is not None
    for policy in (in_scenario(KEYS), of_cluster):
        assert (policy.buffers, policy.schedules) == (BUFFERS, (OFFICE,))
        assert policy.scale_up_pending_threshold == PendingThreshold(10)
        assert policy.max_resources == {"CPU": 10_000_000, "GPU": 0, "memory": 2**31 * 10_000}
        assert policy.forecast == Forecast(86400.0)
        assert policy.quotas == (Quota("team", "a", FrozenMap({"CPU": 1_000_000, "GPU": 0}), 2.0), Quota("team", "b"))
        assert policy.overlays == (PAID, Overlay(OfferKey(""), add=-0.5, real=True))
        assert (policy.max_usd_per_day, policy.max_launches_per_min) == (240, 30)
        assert (policy.keep_starting_share, policy.max_age_grace_s) == (0.5, 600.0)
        assert policy.scale_up_utilization == {"CPU": 0.8, "GPU": 0.8}


WRONG = [
    ("buffers: [{name: a, shape: {CPU: 1}}]", "buffers[0]: needs count or percent"),
    ("buffers: [{name: a, shape: {}, count: 1}]", "buffers[0].shape: must not be empty"),
    ("buffers: [{name: a, shape: {CPU: 0}, count: 1}]", "buffers[0]: needs a shape with an amount"),
    ("buffers: [{name: a, shape: {CPU: 1}, count: -1}]", "buffers[0].count: must be at least 0, not -1"),
    ("buffers: [{name: a, shape: {CPU: 1}, percent: .nan}]", "buffers[0].percent: must be a finite number, not nan"),
    (
        "buffers: [{name: a, shape: {CPU: 1}, count: 1}, {name: a, shape: {CPU: 2}, count: 1}]",
        "buffers[1].name: the buffer a is given twice",
    ),
    (
        "schedules: [{name: s, cron: 0 8 * * *, duration_s: 60, pool: wbe, min_workers: 1}]",
        "schedules[0].pool: there is no pool wbe",
    ),
    (
        "schedules: [{name: s, cron: 0 8 * * *, duration_s: 60, pool: web, min_workers: 4}]",
        "schedules[0].min_workers: 4 is more than max_workers, 3",
    ),
    (
        "schedules: [{name: s, cron: 0 8 * * *, duration_s: 60, min_workers: 1}]",
        "schedules[0]: min_workers needs a pool beside it",
    ),
    (
        "schedules: [{name: s, cron: 0 8 * * *, duration_s: 60, pool: web}]",
        "schedules[0]: needs min_workers, max_workers or buffers",
    ),
    ("scale_up_pending_threshold: {}", "scale_up_pending_threshold: needs count or age_s"),
    ("scale_up_pending_threshold: soon", "scale_up_pending_threshold: must be a number, not 'soon'"),
    ("scale_up_utilization: {CPU: 1.5}", "scale_up_utilization.CPU: must be at most 1.0, not 1.5"),
    ("max_resources: {CPU: -1}", "max_resources.CPU: must be at least 0, not -1"),
    ("overlays: [{match: {pool: web}}]", "overlays[0]: needs one of usd_per_hour, multiply and add"),
    ("overlays: [{add: 1, multiply: 2}]", "overlays[0]: needs one of usd_per_hour, multiply and add"),
    ("overlays: [{match: {pool: wbe}, add: 1}]", "overlays[0].match.pool: there is no pool wbe"),
    ("overlays: [{match: {colour: red}, add: 1}]", "overlays[0].match.colour: unknown key"),
    ("quotas: [{label: t, value: a}, {label: t, value: a}]", "quotas[1]: the quota of t=a is given twice"),
    ("quotas: [{label: t, value: a, weight: 0}]", "quotas[0].weight: must be at least 0.001, not 0"),
    ("max_usd_per_day: lots", "max_usd_per_day: must be a number, not 'lots'"),
    ("keep_starting_share: -1", "keep_starting_share: must be at least 0.0, not -1"),
    ("max_age_grace_s: soon", "max_age_grace_s: must be a number, not 'soon'"),
    ("max_launches_per_min: 1.5", "max_launches_per_min: must be a whole number, not 1.5"),
    ("schedules: [{name: s, cron: nonsense, duration_s: 60, max_workers: 1}]", "schedules[0].cron: must have five"),
]


@pytest.mark.parametrize(("keys", "said"), WRONG)
def test_a_mistake_is_told_with_its_place_in_both(keys: str, said: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        in_scenario(keys)
    assert [f"{p.path}: {p.message}"[: len(said) + 7] for p in caught.value.problems] == [f"policy.{said}"]
    assert [problem[: len(said)] for problem in in_cluster(keys)[1]] == [said]
