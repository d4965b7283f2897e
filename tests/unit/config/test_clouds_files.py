"""Files for clouds: our own examples, every file that Ray ships, every key of Ray's schema, places unknown here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
from pydantic import BaseModel, field_validator
from ruamel.yaml import YAML
from tests.unit.config import guide_files
from tests.unit.config.clouds import LENIENT, every_place
from tests.unit.config.places import CloudSettings, Kind

from rayfleet.config import ClusterSpec, check, cluster_schema
from rayfleet.config.cluster import LATER
from rayfleet.model import Market
from rayfleet.wiring import registry

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "clusters").glob("*.yaml"))
RAY = Path(ray.__file__).parent / "autoscaler"
RAYS_FILES = sorted(RAY.rglob("*.yaml"))
REFUSED = {
    "_private/readonly/defaults.yaml": "there is no provider readonly",
    "spark/defaults.yaml": "there is no provider spark",
    "vsphere/defaults.yaml": "there is no provider vsphere",
}
"""Files of Ray's for places that rayfleet has not: what it says, always with what to do instead."""


def spec_of(path: Path) -> ClusterSpec:
    checked = check(path.read_text(encoding="utf-8"), LENIENT, path.name)
    assert checked.problems == ()
    assert checked.spec is not None
    return checked.spec


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_runs_and_is_named_as_its_file(path: Path) -> None:
    checked = check(path.read_text(encoding="utf-8"), every_place(), path.name)
    assert checked.problems == ()
    assert checked.can_run
    assert checked.spec is not None
    assert checked.spec.name == path.stem
    assert [str(notice) for notice in checked.notices if "has no effect" in notice.message] == []


def test_what_sets_up_a_machine_has_an_effect_wherever_machines_are_remote() -> None:
    @dataclass(frozen=True, slots=True)
    class Remote:
        settings: type[Any] = CloudSettings
        remote: bool = True

    text = """\
cluster_name: c
provider: {type: cloud, region: r}
file_mounts: {/a: ./a}
file_mounts_sync_continuously: true
no_restart: true
head_start_ray_commands: [ray start --head]
head_node_type: h
available_node_types:
  h: {resources: {CPU: 1}, worker_setup_commands: [pip install x]}
  w: {resources: {CPU: 1}, docker: {worker_image: x}}
"""
    told = [str(notice) for notice in check(text, {"cloud": Remote()}, "c.yaml").notices]
    assert told == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_valid_by_the_published_schema(path: Path) -> None:
    jsonschema.validate(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")), cluster_schema())


def test_there_is_an_example_for_every_place() -> None:
    places = {spec_of(path).provider for path in EXAMPLES}
    assert places == {"aws", "gcp", "azure", "aliyun", "local", "external"}


@pytest.mark.parametrize("path", RAYS_FILES, ids=lambda path: path.relative_to(RAY).as_posix())
def test_every_file_that_ray_ships(path: Path) -> None:
    name = path.relative_to(RAY).as_posix()
    checked = check(path.read_text(encoding="utf-8"), {**LENIENT, "process": registry()["process"]}, name)
    if name not in REFUSED:
        assert checked.problems == ()
        assert checked.can_run
        return
    (problem,) = checked.problems
    assert problem.message == REFUSED[name]
    assert problem.hint


def test_ray_ships_the_files_that_are_refused() -> None:
    assert REFUSED.keys() <= {path.relative_to(RAY).as_posix() for path in RAYS_FILES}


def _keys(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every key that Ray's schema names, `*` for any name."""
    for name, part in schema.get("properties", {}).items():
        yield (*path, name), part
        yield from _keys(part, (*path, name))
    for part in schema.get("patternProperties", {}).values():
        yield from _keys(part, (*path, "*"))


SCHEMA = json.loads((RAY / "ray-schema.json").read_text(encoding="utf-8"))
KEYS = {path: part for path, part in _keys(SCHEMA) if path[0] != "provider" and path != ("available_node_types", "*")}
PLAIN: dict[str, Any] = {
    "string": "w", "integer": 1, "number": 1, "boolean": True, "object": {}, "array": [], "null": None,
}  # fmt: skip


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_every_key_of_rays_schema_is_taken(path: tuple[str, ...]) -> None:
    # Commands are described elsewhere in it; what has no type at all is a switch.
    kind = KEYS[path].get("type", "array" if "$ref" in KEYS[path] else "boolean")
    value: Any = PLAIN[kind if isinstance(kind, str) else kind[0]]
    for name in reversed(path[1:]):
        value = {"w" if name == "*" else name: value}
    file: dict[str, Any] = {
        "cluster_name": "c",
        "provider": {"type": "aws", "region": "us-east-1"},
        "available_node_types": {"w": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 1}},
        "head_node_type": "w",
    }
    if path[0] == "available_node_types":
        file["available_node_types"]["w"] |= value.get("w", {})
    else:
        file[path[0]] = value
    checked = check(json.dumps(file), LENIENT, "c.json")
    assert [str(problem) for problem in checked.problems] == []


def test_the_schema_was_walked() -> None:
    assert {("docker", "use_podman"), ("available_node_types", "*", "docker", "worker_image")} <= KEYS.keys()
    assert len(KEYS) > 45


@pytest.mark.parametrize("name", guide_files.CLUSTER_FILES)
def test_every_fragment_of_the_guides_passes_with_all_places(name: str) -> None:
    checked = check(guide_files.CLUSTER_FILES[name], every_place(), "cluster.yaml")
    assert [str(problem) for problem in checked.problems] == []
    assert checked.spec is not None


@pytest.mark.parametrize("place", LATER)
def test_a_place_that_is_installed_is_not_later(place: str) -> None:
    text = f"cluster_name: c\nprovider: {{type: {place}}}\n"
    notices = [notice.message for notice in check(text, registry(), "c.yaml").notices]
    assert (f"provider {place} is not available in this version" in notices) == (place not in registry())


def test_spot_in_both_ways() -> None:
    (path,) = (path for path in EXAMPLES if path.stem == "aws-spot")
    old, new = spec_of(path).policy.pools
    assert [(one.market, one.usd_per_hour) for one in old.offers] == [(Market.SPOT, 0.07044)]
    assert [(one.market, one.usd_per_hour) for one in new.offers] == [(Market.SPOT, 0.07044), (Market.ON_DEMAND, 0.192)]


def local(more: str, provider: str = "head_ip: a, worker_ips: [b, c, d]") -> str:
    return f"cluster_name: c\nprovider: {{type: local, {provider}}}\n{more}"


@pytest.mark.parametrize(
    ("more", "least", "most", "told"),
    [
        ("", 3, 3, []),
        ("min_workers: 1\n", 1, 3, []),
        ("max_workers: 2\n", 2, 2, ["2 of the 3 hosts in provider.worker_ips are used at most"]),
        ("min_workers: 9\n", 3, 3, ["9 is more than there are hosts in provider.worker_ips: 3 counts"]),
        ("max_workers: 9\n", 3, 3, ["9 is more than there are hosts in provider.worker_ips: 3 counts"]),
        ("min_workers: 0\nmax_workers: 3\n", 0, 3, []),
    ],
)
def test_hosts_of_ones_own_are_one_type(more: str, least: int, most: int, told: list[str]) -> None:
    checked = check(local(more), LENIENT, "c.yaml")
    assert checked.problems == ()
    assert [notice.message for notice in checked.notices] == told
    assert checked.spec is not None
    policy = checked.spec.policy
    (pool,) = policy.pools
    assert (pool.name, pool.min_workers, pool.max_workers) == ("local.cluster.node", least, most)
    assert policy.head is not None
    assert (policy.head.name, policy.max_workers) == ("local.cluster.node", most)


@pytest.mark.parametrize(
    ("more", "least", "most"),
    [("max_workers: 3\n", 0, 3), ("max_workers: 3\nmin_workers: 2\n", 2, 3)],
)
def test_hosts_of_a_coordinator_are_one_type_too(more: str, least: int, most: int) -> None:
    """Nobody can count them here: the file says how many."""
    checked = check(local(more, "coordinator_address: 'desk:8375'"), LENIENT, "c.yaml")
    assert (checked.problems, checked.notices) == ((), ())
    assert checked.spec is not None
    (pool,) = checked.spec.policy.pools
    assert (pool.name, pool.min_workers, pool.max_workers) == ("local.cluster.node", least, most)


def test_hosts_of_a_coordinator_with_node_types() -> None:
    types = (
        "head_node_type: head\navailable_node_types:\n  head: {resources: {}}\n"
        "  w: {resources: {CPU: 4}, max_workers: 3}\n"
    )
    checked = check(local(types, "coordinator_address: desk"), LENIENT, "c.yaml")
    assert checked.problems == ()
    assert checked.spec is not None
    assert [(pool.name, pool.max_workers) for pool in checked.spec.policy.pools] == [("w", 3)]


@pytest.mark.parametrize(
    ("more", "provider", "said"),
    [
        ("", "coordinator_address: desk", "max_workers is needed with provider.coordinator_address"),
        ("max_workers: 1\nmin_workers: 2\n", "coordinator_address: desk", "2 is more than"),
        ("max_workers: many\n", "coordinator_address: desk", "max_workers"),
        ("max_workers: 1\n", "coordinator_address: 'http://desk'", "coordinator_address"),
    ],
)
def test_a_file_with_a_coordinator_that_makes_no_sense(more: str, provider: str, said: str) -> None:
    checked = check(local(more, provider), every_place(), "c.yaml")
    assert any(said in str(problem) for problem in checked.problems), checked.problems


def test_hosts_beside_a_coordinator_are_passed_over_as_ray_does() -> None:
    text = local("max_workers: 1\n", "coordinator_address: desk, head_ip: a, worker_ips: [b]")
    checked = check(text, LENIENT, "c.yaml")
    assert checked.problems == ()
    assert [(notice.path, notice.message) for notice in checked.notices] == [
        (f"provider.{key}", "is not used: the coordinator says which hosts there are")
        for key in ("head_ip", "worker_ips")
    ]


def test_a_place_of_rays_that_is_not_ours() -> None:
    checked = check("cluster_name: c\nprovider: {type: fake_multinode}\n", LENIENT, "c.yaml")
    assert [str(problem) for problem in checked.problems] == [
        (
            "c.yaml:2:18: provider.type: there is no provider fake_multinode "
            "(real Ray nodes on this machine: leave provider out)"
        )
    ]


def older(more: str) -> str:
    return f"cluster_name: c\nprovider: {{type: aws, region: us-east-1}}\n{more}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "head_node: {InstanceType: m5.large}\nworker_nodes: {InstanceType: m5.large, min_workers: 2}\n",
            (
                "c.yaml:4:40: worker_nodes.min_workers: min_workers belongs to a node type, and InstanceType to the "
                "cloud (write available_node_types: {worker: {min_workers: ..., node_config: {InstanceType: ...}}})"
            ),
        ),
        (
            "min_workers: 2\nworker_nodes: [{InstanceType: m5.large}, {InstanceType: c5.large}]\n",
            (
                "c.yaml:3:1: min_workers: there are 2 kinds of workers, and nobody says which of them are meant "
                "(give each kind its own: available_node_types: {worker: {min_workers: ..., node_config: ...}})"
            ),
        ),
        (
            "available_node_types: {w: {}}\nhead_node: {InstanceType: m5.large}\n",
            (
                "c.yaml:4:1: head_node: describes node types a second time "
                "(keep available_node_types and remove head_node)"
            ),
        ),
        (
            "initial_workers: 2\nhead_node: {InstanceType: m5.large}\n",
            "c.yaml:3:1: initial_workers: unknown key (use min_workers of a node type)",
        ),
    ],
)
def test_an_older_file_that_can_be_read_in_two_ways(text: str, expected: str) -> None:
    assert [str(problem) for problem in check(older(text), LENIENT, "c.yaml").problems] == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "head_node: {InstanceType: m5.large}\n",
        "min_workers: 1\nhead_node: {InstanceType: m5.large}\nworker_nodes: {InstanceType: m5.large}\n",
        "worker_nodes: [{InstanceType: m5.large}, {InstanceType: c5.large}]\n",
        "head_node: {}\nworker_nodes: {}\navailable_node_types: {head: {}}\n",
    ],
)
def test_an_older_file_with_one_meaning_runs(text: str) -> None:
    checked = check(older(text), LENIENT, "c.yaml")
    assert checked.problems == ()
    assert checked.can_run


def test_a_maximum_for_a_fixed_price_has_no_effect() -> None:
    text = older("available_node_types: {head: {}, w: {offers: [{max_usd_per_hour: 1}]}}\n")
    told = [str(notice) for notice in check(text, LENIENT, "c.yaml").notices]
    assert (
        "c.yaml:3:48: available_node_types.w.offers[0].max_usd_per_hour: has no effect on an offer on_demand "
        "(it is for market: spot)"
    ) in told


def test_what_a_providers_own_check_says_is_told_as_it_says_it() -> None:
    class Strict(BaseModel):
        region: str

        @field_validator("region")
        @classmethod
        def _known(cls, value: str) -> str:
            raise ValueError(f"there is no region {value}")

    checked = check("provider: {type: x, region: mars}\n", {"x": Kind(Strict)}, "c.yaml")
    assert [str(problem) for problem in checked.problems] == ["c.yaml:1:29: provider.region: there is no region mars"]
