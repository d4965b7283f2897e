"""Variables, commands, files and names of pods that really run, as Kubernetes computes them from a spec."""

from pathlib import Path
from typing import Any

import pytest

from rayfleet.testing.kubernetes.pod_container import ContainerSpec, Mount, setup_script
from rayfleet.testing.kubernetes.pod_environment import (
    MissingSource,
    Sources,
    command,
    environment,
    expanded,
    field_value,
    files,
    quantity,
    references,
)
from rayfleet.testing.kubernetes.probes import Row
from rayfleet.testing.kubernetes.service_names import hosts

POD: dict[str, Any] = {
    "metadata": {"name": "head", "namespace": "ns", "labels": {"ray.io/group": "g"}, "annotations": {"a": "1"}},
    "spec": {"nodeName": "n1"},
    "status": {"podIP": "10.244.0.2", "podIPs": [{"ip": "10.244.0.2"}]},
}
SOURCES = Sources(POD, {"map": {"a": b"1", "b": b"2"}}, {"secret": {"key": b"x"}})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "head"),
        ("metadata.labels['ray.io/group']", "g"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations", 'a="1"'),
        ("spec.nodeName", "n1"),
        ("status.podIPs", "10.244.0.2"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    assert field_value(path, POD) == value


def test_variables_of_config_maps_come_first_and_may_be_mentioned() -> None:
    container = {
        "envFrom": [
            {"prefix": "P_", "configMapRef": {"name": "map"}},
            {"secretRef": {"name": "none", "optional": True}},
        ],
        "env": [{"name": "A", "value": "$(P_a)$(P_b)"}, {"name": "P_a", "value": "over"}],
    }
    assert environment(container, SOURCES) == {"P_a": "over", "P_b": "2", "A": "12"}


@pytest.mark.parametrize(
    "source",
    [
        {"secretKeyRef": {"name": "none", "key": "key"}},
        {"secretKeyRef": {"name": "secret", "key": "none"}},
        {"configMapKeyRef": {"name": "map", "key": "none"}},
    ],
)
def test_what_is_missing_is_named_or_optional(source: dict[str, Any]) -> None:
    with pytest.raises(MissingSource):
        environment({"env": [{"name": "A", "valueFrom": source}]}, SOURCES)
    (named,) = source.values()
    optional = {next(iter(source)): {**named, "optional": True}}
    assert environment({"env": [{"name": "A", "valueFrom": optional}]}, SOURCES) == {}


@pytest.mark.parametrize(
    ("divisor", "value"), [("0", "2"), ("1", "2"), ("1m", "1500")], ids=["unset", "whole", "milli"]
)
def test_limits_round_up_to_the_divisor(divisor: str, value: str) -> None:
    source = {"resourceFieldRef": {"resource": "limits.cpu", "divisor": divisor}}
    container = {"resources": {"limits": {"cpu": "1500m"}}, "env": [{"name": "CPUS", "valueFrom": source}]}
    assert environment(container, SOURCES) == {"CPUS": value}


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("500m", 0.5), ("1Gi", 2**30), ("2k", 2000), ("1.5M", 1.5e6)])
def test_quantities(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


def test_dollars_are_kept_and_unknown_names_stay() -> None:
    assert expanded("$(A) $$(A) $(B) $A", {"A": "1"}) == "1 $(A) $(B) $A"


def test_a_command_needs_words_of_its_own() -> None:
    assert command({"command": ["run", "$(A)"], "args": ["$(A)"]}, {"A": "1"}) == ["run", "1", "1"]
    assert command({"args": ["only"]}, {}) == []


def test_volumes_choose_their_files() -> None:
    assert files({"configMap": {"name": "map"}}, SOURCES) == {"a": b"1", "b": b"2"}
    assert files({"secret": {"secretName": "secret", "items": [{"key": "key", "path": "p/k"}]}}, SOURCES) == {
        "p/k": b"x"
    }
    downward = {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}
    assert files({"downwardAPI": downward}, SOURCES) == {"name": b"head"}
    with pytest.raises(MissingSource):
        files({"configMap": {"name": "none"}}, SOURCES)


def test_everything_that_a_spec_mentions_is_fetched() -> None:
    spec = {
        "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}]}],
        "volumes": [{"secret": {"secretName": "s2"}}, {"projected": {"sources": [{"configMap": {"name": "m"}}]}}],
    }
    assert references(spec) == ({"m"}, {"s1", "s2"})


# ---- names, scripts, probes ------------------------------------------------------------------------------------------


def test_names_of_services_lead_to_a_pod_and_short_ones_only_at_home() -> None:
    def endpoints(name: str, namespace: str, *ips: str) -> dict[str, Any]:
        subsets = [{"addresses": [{"ip": ip} for ip in ips]}] if ips else []
        return {"metadata": {"name": name, "namespace": namespace}, "subsets": subsets}

    text = hosts(
        [endpoints("a", "home", "1.1.1.1"), endpoints("b", "away", "2.2.2.2"), endpoints("c", "home")], "home", {}
    )
    assert text.splitlines()[1:] == [
        "1.1.1.1\ta a.home a.home.svc a.home.svc.cluster.local",
        "2.2.2.2\tb.away b.away.svc b.away.svc.cluster.local",
    ]


def test_outer_mounts_come_before_inner_ones(tmp_path: Path) -> None:
    inner, outer = Mount(tmp_path, "/data/inner"), Mount(tmp_path, "/data", read_only=True)
    spec = ContainerSpec(["true"], {}, "n", "h", tmp_path, tmp_path / "l", tmp_path / "h", [inner, outer])
    script = setup_script(spec)
    assert script.index("readlink -m /data)") < script.index("readlink -m /data/inner)")
    assert script.count("remount,bind,ro") == 1


def test_a_probe_decides_after_as_many_equal_looks_as_it_asks_for() -> None:
    row = Row(success_threshold=1, failure_threshold=3)
    seen = []
    for good in (True, False, False, True, False, False, False):
        row.add(good=good)
        seen.append(row.good)
    assert seen == [True, True, True, True, True, True, False]
