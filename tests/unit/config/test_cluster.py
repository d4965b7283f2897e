"""Cluster files: Ray's defaults and rules, and every mistake with its line."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.config.places import BOTH, HERE, HereSettings

from rayfleet.config import check, cluster_schema, default_spec, load, show
from rayfleet.model import Market, Policy, Pool, Resources

MINIMAL = """\
cluster_name: c
provider: {type: process, grace_s: 2}
head_node_type: h
available_node_types:
  h: {resources: {}}
  w: {resources: {CPU: 4}}
"""


def problems(text: str) -> list[str]:
    checked = check(text, BOTH, "c.yaml")
    assert (checked.spec is None) == bool(checked.problems)
    return [str(problem) for problem in checked.problems]


def notices(text: str) -> list[str]:
    checked = check(text, BOTH, "c.yaml")
    assert not checked.problems
    return [str(notice) for notice in checked.notices]


def test_rays_own_defaults_hold() -> None:
    spec = load(MINIMAL, HERE, "c.yaml")
    assert spec.policy == Policy(
        pools=(Pool("w", Resources.of({"CPU": 4})),),
        head=Pool("h", Resources(), max_workers=1),
        max_workers=2,
        idle_timeout_s=300.0,
        upscaling_speed=1.0,
    )
    assert (spec.name, spec.provider, spec.provider_settings) == ("c", "process", HereSettings(grace_s=2))
    assert spec.notes == ()


def test_what_the_file_says_wins() -> None:
    text = """\
cluster_name: c
max_workers: null
idle_timeout_minutes: 0.05
upscaling_speed: null
downscaling_speed: 2
max_usd_per_hour: 9.5
timeouts: {boot_timeout_s: 7}
head_node_type: h
available_node_types:
  h: {resources: {CPU: 0, memory: 64e9}, labels: {a: b}}
  w:
    resources: {CPU: 4, memory: 16Gi}
    labels: {tier: batch}
    min_workers: 1
    max_workers: 3
    priority: 5
    idle_timeout_s: 9
    offers: [{zone: a, market: spot, usd_per_hour: 0.5}]
"""
    policy = load(text, HERE, "c.yaml").policy
    assert policy.head is not None
    assert policy.head.resources == Resources.of({"memory": 64_000_000_000})
    assert dict(policy.head.labels) == {"a": "b"}
    assert (policy.max_workers, policy.upscaling_speed, policy.downscaling_speed) == (None, None, 2.0)
    assert (policy.idle_timeout_s, policy.max_usd_per_hour, policy.timeouts.boot_timeout_s) == (3.0, 9.5, 7.0)
    (worker,) = policy.pools
    assert worker.resources == Resources.of({"CPU": 4, "memory": 16 * 2**30})
    assert (worker.min_workers, worker.max_workers, worker.priority, worker.idle_timeout_s) == (1, 3, 5, 9.0)
    assert (worker.offers[0].market, worker.offers[0].usd_per_hour) == (Market.SPOT, 0.5)


def test_a_head_type_has_workers_only_where_the_file_allows_some() -> None:
    spec = load(MINIMAL.replace("h: {resources: {}}", "h: {resources: {CPU: 1}, max_workers: 1}"), HERE, "c.yaml")
    assert [pool.name for pool in spec.policy.pools] == ["h", "w"]


def test_every_problem_is_reported_at_once_with_its_line() -> None:
    text = """\
cluster_name: 5
max_worker: 3
max_workers: 1
idle_timeout_minutes: 5m
provider:
  type: process
  grace: 3
  max_concurrent_starts: 0
docker: {image: x, imgae: y}
auth: {user: me}
setup_commands: pip install x
head_node_type: hed
available_node_types:
  head:
    resources: {CPU: -1}
  w:
    resource: {CPU: 1}
    min_workers: 3
    max_workers: 2
    labels: {tier: on}
    setup_commands: []
"""
    assert problems(text) == [
        'c.yaml:1:15: cluster_name: must be text, not 5 (quote it: "5")',
        "c.yaml:2:1: max_worker: unknown key (did you mean max_workers?)",
        "c.yaml:3:14: max_workers: the node types want 3 workers at least, which is more than 1",
        "c.yaml:4:23: idle_timeout_minutes: must be a number, not '5m' (it is a number of minutes: write 5)",
        "c.yaml:7:3: provider.grace: unknown key (did you mean grace_s?)",
        "c.yaml:8:26: provider.max_concurrent_starts: must be at least 1, not 0",
        "c.yaml:9:20: docker.imgae: unknown key (did you mean image?)",
        "c.yaml:10:8: auth.user: unknown key (did you mean ssh_user?)",
        "c.yaml:11:17: setup_commands: must be a list of commands, not 'pip install x' (start the line with `- `)",
        "c.yaml:12:17: head_node_type: there is no node type hed (did you mean head?)",
        "c.yaml:15:22: available_node_types.head.resources.CPU: must be at least 0, not -1",
        "c.yaml:17:5: available_node_types.w.resource: unknown key (did you mean resources?)",
        "c.yaml:18:18: available_node_types.w.min_workers: 3 is more than max_workers, 2",
        'c.yaml:20:20: available_node_types.w.labels.tier: must be text, not true (quote it: "true")',
        "c.yaml:21:5: available_node_types.w.setup_commands: unknown key (per type it is called worker_setup_commands)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("provider: {}\n", "provider.type: is required (one of process, cloud)"),
        ("provider: aws\n", "provider: must be a mapping of keys to values, not 'aws'"),
        ("provider: {type: procezz}\n", "provider.type: there is no provider 'procezz' (did you mean process?)"),
        ("provider: {type: cloud}\n", "provider.region: is required"),
        ("idle_timeout_s: 5\n", "idle_timeout_s: unknown key (for the whole cluster it is idle_timeout_minutes)"),
        ("region: x\n", "region: unknown key (it belongs under provider)"),
        ("autoscaling_config: {idle_timeout_minutes: 300s}\n", "it is a number of minutes: write 5"),
        ("available_node_types: {w: {min_workers: 3, max_workers: 2}}\n", "3 is more than max_workers, 2"),
        (
            "max_workers: 1\navailable_node_types: {w: {min_workers: 2}}\n",
            "want 2 workers at least, which is more than",
        ),
        ("available_node_types: [w]\n", "available_node_types: must be a mapping of keys to values, not a list"),
        ("available_node_types: {w: 5}\n", "available_node_types.w: must be a mapping of keys to values, not 5"),
        ("available_node_types: {w: {}}\nworker_nodes: [{}]\n", "worker_nodes: describes node types a second time"),
        ("head_node_type: 5\n", "head_node_type: must be the name of a node type, not 5"),
        ("head_node_type: h\n", "head_node_type: there is no node type h (node types: none)"),
        ("worker_node_types: [{name: a}, {name: a}]\n", "worker_node_types[1].name: the node type a is given twice"),
        ("worker_node_types: [{name: a, use_sport: true}]\n", "worker_node_types[0].use_sport: unknown key (did you"),
        ("head_node_type: {name: h, instance: m5}\n", "head_node_type.instance: unknown key (did you mean instance_t"),
        ("monitoring_config: {prometheus: {port: 99999}}\n", "prometheus.port: must be at most 65535, not 99999"),
        ("max_workers: 1\nmax_workers: 2\n", "max_workers: is given twice (remove one of the two)"),
        ("timeouts: {boot: 3}\n", "timeouts.boot: unknown key (did you mean boot_timeout_s?)"),
        ("cluster_name: !!python/name:os.system\n", "the tag !!python/name:os.system is not read"),
        ("- a\n", "must be a mapping of keys to values, not a list"),
        ("", "must be a mapping of keys to values, not nothing"),
        ("a: [\n", "is not valid YAML"),
        ("apiVersion: v1\nkind: Pod\n", "kind: a file of kind Pod describes no Ray cluster"),
    ],
)
def test_each_mistake_has_its_own_words(text: str, expected: str) -> None:
    found = problems(text)
    assert any(expected in problem for problem in found), found


def test_keys_that_a_place_does_not_use_are_named() -> None:
    text = MINIMAL + "auth: {ssh_user: me}\nsetup_commands: [pip install x]\nfile_mounts: {}\nmin_workers: 3\n"
    assert notices(text) == [
        "c.yaml:7:1: auth: has no effect with provider process",
        "c.yaml:8:1: setup_commands: has no effect with provider process",
        "c.yaml:10:1: min_workers: means nothing here, as in Ray (give it to a node type)",
    ]
    used = text.replace("{type: process, grace_s: 2}", "{type: cloud, region: r}")
    assert [notice for notice in notices(used) if "no effect" in notice] == []


def test_odd_resources_are_a_notice_because_ray_takes_them() -> None:
    text = MINIMAL.replace("w: {resources: {CPU: 4}}", "w: {resources: {cpu: 4}}\n  x: {}")
    own = "is a resource of your own, not Ray's CPU"
    assert notices(text) == [
        f"c.yaml:6:19: available_node_types.w.resources.cpu: {own} (did you mean CPU?)",
        "c.yaml:7:3: available_node_types.x: no resources: it gets one CPU",
    ]


def test_empty_resources_are_for_a_cloud_to_fill_in() -> None:
    text = MINIMAL.replace("{type: process, grace_s: 2}", "{type: cloud, region: r}")
    assert notices(text) == [
        "c.yaml:5:3: available_node_types.h: no resources: they come from its instance type",
    ]
    assert notices(MINIMAL) == []


def test_older_files_of_ray_run_where_they_are_clear() -> None:
    text = """\
cluster_name: old
min_workers: 1
max_workers: 4
provider: {type: cloud, region: r}
head_node: {InstanceType: m5.large, ImageId: ami-1}
worker_nodes: {InstanceType: c5.large}
"""
    spec = load(text, BOTH, "c.yaml")
    assert spec.policy.max_workers == 4
    assert [(pool.name, pool.min_workers, pool.max_workers) for pool in spec.policy.pools] == [("worker", 1, 4)]
    assert spec.types["head"].node_config == {"InstanceType": "m5.large", "ImageId": "ami-1"}
    uncapped = text.replace("max_workers: 4\n", "")
    assert load(uncapped, BOTH, "c.yaml").policy.max_workers == 2, "Ray's default, as it is no short dialect"
    empty = MINIMAL + "head_node: {}\nworker_nodes: {}\n"
    assert load(empty, HERE, "c.yaml").policy == load(MINIMAL, HERE, "c.yaml").policy


def test_a_type_with_a_mistake_is_not_called_missing() -> None:
    text = "cluster_name: c\nprovider: {type: process}\navailable_node_types:\n  w: {resources: {CPU: -1}}\n"
    alone = "no node types for workers: the cluster has a head only"
    assert alone not in [notice.message for notice in check(text, HERE, "c.yaml").notices]
    empty = "cluster_name: c\nprovider: {type: process}\n"
    assert alone in [notice.message for notice in check(empty, HERE, "c.yaml").notices]


def test_words_for_yes_and_no_mean_what_they_mean_to_ray() -> None:
    text = MINIMAL + "docker: {image: x, pull_before_run: no}\nno_restart: yes\n"
    assert load(text, HERE, "c.yaml").bootstrap.docker["pull_before_run"] is False


def test_anchors_are_read() -> None:
    text = MINIMAL.replace("w: {resources", "w: &w {resources") + "  x: {<<: *w, max_workers: 1}\n"
    assert [pool.resources for pool in load(text, HERE, "c.yaml").policy.pools] == [Resources.of({"CPU": 4})] * 2


def test_show_tells_everything_and_is_plain_json() -> None:
    text = MINIMAL + "setup_commands: [a]\nauth: {ssh_proxy_command: secret}\n"
    shown = json.loads(json.dumps(show(load(text, HERE, "c.yaml"))))
    assert shown["provider"] == {"type": "process", "max_concurrent_starts": None, "grace_s": 2.0}
    assert shown["policy"]["pools"][0]["resources"] == {"CPU": 4}
    assert shown["policy"]["max_workers"] == 2
    assert shown["bootstrap"]["commands"] == {"setup_commands": ["a"]}
    assert "secret" not in json.dumps(shown)
    assert shown["notes"][0]["line"] == 7


def test_a_cluster_without_a_file() -> None:
    pool, head = Pool("a", Resources.of({"CPU": 1})), Pool("head", Resources())
    spec = default_spec("c", [pool], head, limits=Policy(max_workers=3))
    assert spec.policy == Policy(pools=(pool,), head=head, max_workers=3)
    assert show(spec)["provider"] == {"type": "process"}


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(cluster_schema())
    valid = jsonschema.Draft202012Validator(cluster_schema()).is_valid
    assert valid({"available_node_types": {"w": {"resources": {"CPU": 1}}}, "head_node_type": "w"})
    assert not valid({"max_worker": 3})
    assert not valid({"available_node_types": {"w": {"min_workers": -1}}})


KEYS = st.sampled_from(
    [
        *("cluster_name", "max_workers", "provider", "available_node_types", "head_node_type", "worker_nodes", "auth"),
        *("worker_node_types", "autoscaling_config", "monitoring_config", "node_config", "type", "resources", "name"),
        *("head_node", "head", "min_workers", "kind", "apiVersion", "docker", "worker_node_config", "offers"),
        "InstanceMarketOptions",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "process", "head", "ray.io/v1"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_values_give_a_spec_or_problems(value: dict[str, object]) -> None:
    checked = check(json.dumps(value), BOTH, "c.json")
    assert all(problem.message for problem in (*checked.problems, *checked.notices))
    if checked.spec is not None:
        assert show(checked.spec)


def test_what_a_place_remarks_about_pools_is_a_notice_at_its_line() -> None:
    text = """\
cluster_name: c
provider: {type: cloud, region: r}
head_node_type: h
available_node_types:
  h: {resources: {gold: 1}}
  w:
    resources:
      CPU: 1
      gold: 2
  x: {resources: {CPU: 1}}
"""
    assert notices(text) == [
        "c.yaml:5:25: available_node_types.h.resources.gold: is heavy",
        "c.yaml:9:13: available_node_types.w.resources.gold: is heavy",
    ]
