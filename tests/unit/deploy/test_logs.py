"""Configurations that collect logs: they read what is written, under the labels that nodes have, by keys that exist.

The keys are those of the collectors' own tables, written down here; both collectors ignore or refuse any other.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML
from tests.unit.config.clouds import every_place
from tests.unit.deploy.cases import ROOT, documents, of_kind
from tests.unit.deploy.test_manifests import cluster, pods_of

from rayfleet.config import check
from rayfleet.engines.ray.commands import exports
from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.launcher import home as homes
from rayfleet.launcher.logs import CONTROLLER_LOG
from rayfleet.model import Pool, Resources
from rayfleet.reports.log_lines import FORMAT_VARIABLE

LOGS: Final = ROOT / "deploy" / "logs"
DAEMONSET: Final = LOGS / "kubernetes" / "daemonset.yaml"
KEYS: Final = {
    "tail": {
        "tag", "path", "exclude_path", "path_key", "parser", "multiline.parser", "db", "read_from_head",
        "refresh_interval", "skip_long_lines", "mem_buf_limit",
    },
    "record_modifier": {"match", "record"},
    "kubernetes": {"match", "merge_log", "keep_log", "annotations"},
    "grep": {"match", "logical_op", "regex"},
    "nest": {"match", "operation", "nested_under", "add_prefix"},
    "modify": {"match", "rename", "remove_wildcard"},
    "stdout": {"match", "format"},
    "loki": {"match", "host", "labels", "label_keys", "line_format"},
    "es": {"match", "host", "index", "suppress_type_name"},
}  # fmt: skip
"""Of Fluent Bit 5.1."""
SLS: Final = {
    "service_docker_stdout": {"Stdout", "Stderr", "K8sContainerRegex", "IncludeK8sLabel", "ExternalK8sLabelTag"},
    "processor_json": {"SourceKey", "KeepSource", "KeepSourceIfParseError", "ExpandDepth"},
}  # fmt: skip
"""Of Logtail."""
SETTINGS: Final = RaySettings("one", "/home/me", "10.0.0.1", Ports(6379, 10001, 8265))
LABELS: Final = ("ray_cluster", "ray_node_type", "ray_node")


def loaded(text: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


def config(name: str) -> str:
    """Return a configuration of Fluent Bit, without what is written about it."""
    lines = (LOGS / name).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("#"))


def in_pods() -> dict[str, str]:
    """Return the files of the DaemonSet."""
    (found,) = of_kind(DAEMONSET.read_text(encoding="utf-8"), "ConfigMap")
    return dict(found["data"])


def outputs() -> str:
    """Return the outputs, those in the comment as well."""
    text = (LOGS / "output.yaml").read_text(encoding="utf-8")
    return re.sub("^#.*\n", "", re.sub("^#   ", "    ", text, flags=re.MULTILINE), flags=re.MULTILINE)


FILES: Final = {
    "fluent-bit.yaml": config("fluent-bit.yaml"),
    "output.yaml": outputs(),
    **{f"daemonset {name}": text for name, text in in_pods().items()},
}


def plugins(text: str) -> Iterator[dict[str, Any]]:
    for steps in loaded(text)["pipeline"].values():
        yield from steps


class TestFluentBit:
    @pytest.mark.parametrize("name", FILES)
    def test_every_key_is_one_of_its_plugin(self, name: str) -> None:
        found = list(plugins(FILES[name]))
        assert found
        assert [(step["name"], {*step} - KEYS[step["name"]] - {"name"}) for step in found] == [
            (step["name"], set()) for step in found
        ]

    def test_parsers_that_are_asked_for_are_there(self) -> None:
        whole = loaded(FILES["fluent-bit.yaml"])
        asked = {step["parser"] for step in whole["pipeline"]["inputs"] if "parser" in step}
        assert asked == {parser["name"] for parser in whole["parsers"]}
        assert whole["includes"] == [path.name for path in LOGS.glob("output*")]

    def test_the_time_of_a_line_is_read_as_it_is_written(self) -> None:
        (form,) = (p["time_format"] for p in loaded(FILES["fluent-bit.yaml"])["parsers"] if p["name"] == "rayfleet")
        written = "2026-11-23T09:40:03.120473Z"
        assert (form.count(".%L"), form[-2:]) == (1, "%z")
        read = datetime.strptime(written, form.replace(".%L", ".%f")).astimezone(UTC)
        assert read == datetime(2026, 11, 23, 9, 40, 3, 120473, tzinfo=UTC)

    def test_both_ways_give_the_same_labels(self) -> None:
        (labels,) = (step["record"] for step in plugins(FILES["fluent-bit.yaml"]) if step["name"] == "record_modifier")
        assert [label.split()[0] for label in labels] == [*LABELS]
        (renamed,) = (step["rename"] for step in plugins(in_pods()["fluent-bit.yaml"]) if step["name"] == "modify")
        assert {*LABELS} <= {pair.split()[1] for pair in renamed}

    def test_the_daemonset_takes_lines_by_labels_that_pods_have(self) -> None:
        steps = list(plugins(in_pods()["fluent-bit.yaml"]))
        (asked,) = (step["regex"] for step in steps if step["name"] == "grep")
        (renamed,) = (step["rename"] for step in steps if step["name"] == "modify")
        chosen = [re.search(r"\['([\w./-]+)'\] \^([\w-]+)\$$", one) for one in asked]
        labels = [pod["metadata"]["labels"] for pod in pods_of(cluster("cluster"))]
        operator = next(of_kind((ROOT / "deploy/kubernetes/operator.yaml").read_text(encoding="utf-8"), "Deployment"))
        one, other = (found.groups() for found in chosen if found)
        assert labels
        assert {pod.get(one[0]) for pod in labels} == {one[1]}
        assert operator["spec"]["template"]["metadata"]["labels"][other[0]] == other[1]
        carried = {pair.split()[0].removeprefix("label_") for pair in renamed if pair.startswith("label_")}
        assert all(carried <= pod.keys() for pod in labels)

    def test_the_daemonset_is_of_one_piece(self) -> None:
        things = {thing["kind"]: thing for thing in documents(DAEMONSET.read_text(encoding="utf-8"))}
        spec = things["DaemonSet"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == {*volumes}
        assert volumes["rayfleet-logs"]["configMap"]["name"] == things["ConfigMap"]["metadata"]["name"]
        assert spec["serviceAccountName"] == things["ServiceAccount"]["metadata"]["name"]
        assert things["ClusterRoleBinding"]["roleRef"]["name"] == things["ClusterRole"]["metadata"]["name"]
        assert {rule["verbs"][0] for rule in things["ClusterRole"]["rules"]} == {"get"}
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        (tail,) = (step for step in plugins(in_pods()["fluent-bit.yaml"]) if step["name"] == "tail")
        assert {str(Path(tail["path"]).parents[1]), str(Path(tail["db"]).parent)} <= mounted

    def test_a_container_beside_ray_reads_what_ray_writes_and_knows_whose_it_is(self) -> None:
        variables = set(re.findall(r"\$\{(\w+)\}", FILES["fluent-bit.yaml"]))
        pods = pods_of(cluster("cluster-fluent-bit"))
        assert len(pods) == 2, "the head and a worker"
        for pod in pods:
            ray, *others = pod["spec"]["containers"]
            (beside,) = (one for one in others if one["name"] == "fluent-bit")
            assert {one["name"] for one in beside["env"]} == variables
            fields = [one["valueFrom"]["fieldRef"]["fieldPath"] for one in beside["env"] if "valueFrom" in one]
            asked = [re.fullmatch(r"metadata\.labels\['(.+)'\]", field) for field in fields]
            assert {found.group(1) for found in asked if found} <= pod["metadata"]["labels"].keys()
            folders = [
                next(mount["name"] for mount in one["volumeMounts"] if mount["mountPath"] == "/tmp/ray")
                for one in (ray, beside)
            ]
            assert folders[0] == folders[1]


class TestOnMachines:
    @pytest.fixture
    def called(self, tmp_path: Path) -> dict[str, str]:
        """Return the environment of set-up commands on a machine where nobody is root, and what root does is noted."""
        programs = tmp_path / "bin"
        programs.mkdir()
        for name, text in {
            "fluent-bit": "exit 1",
            "sudo": f'echo "$@" >> {tmp_path}/sudo; if [ "$1" = tee ]; then cat > {tmp_path}/unit; fi',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        return {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}

    @staticmethod
    def call(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        words = ["bash", str(LOGS / "machines.sh")]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    def test_it_runs_as_a_service_with_every_variable(
        self, called: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        node = dict(
            re.findall(r"export (\w+)=(\S+)", "\n".join(exports(SETTINGS, Pool("cpu4", Resources()), head=True)))
        )
        named = {name: node[name] for name in ("RAYFLEET_CLUSTER", "RAY_NODE_TYPE_NAME")}
        assert named == {"RAYFLEET_CLUSTER": "one", "RAY_NODE_TYPE_NAME": "cpu4"}
        for _ in range(2):
            ran = self.call({**called, **named, "RAY_CLOUD_INSTANCE_ID": "i-1"})
            assert (ran.returncode, ran.stderr) == (0, "")
        text = (tmp_path / ".rayfleet" / "collected" / "environment").read_text(encoding="utf-8")
        told = dict(line.split("=") for line in text.splitlines())
        assert told.keys() == set(re.findall(r"\$\{(\w+)\}", FILES["fluent-bit.yaml"]))
        assert [told[name] for name in ("RAYFLEET_CLUSTER", "RAY_NODE_TYPE_NAME", "RAY_CLOUD_INSTANCE_ID")] == [
            "one", "cpu4", "i-1",
        ]  # fmt: skip
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        home = homes.Home(homes.root() / "one")
        reads = [step["path"] for step in plugins(FILES["fluent-bit.yaml"]) if "path" in step]
        assert reads[0].replace("${RAYFLEET_LOGS}", told["RAYFLEET_LOGS"]) == str(home.logs / CONTROLLER_LOG)
        unit = (tmp_path / "unit").read_text(encoding="utf-8")
        assert f"ExecStart={tmp_path}/bin/fluent-bit -c {LOGS}/fluent-bit.yaml\n" in unit
        assert "systemctl restart rayfleet-logs.service" in (tmp_path / "sudo").read_text(encoding="utf-8")

    def test_without_the_program_or_a_node_it_says_so(self, called: dict[str, str], tmp_path: Path) -> None:
        assert "RAYFLEET_CLUSTER: is set where setup_commands run" in self.call(called).stderr
        (tmp_path / "bin" / "fluent-bit").unlink()
        ran = self.call({**called, "RAYFLEET_CLUSTER": "one", "RAY_NODE_TYPE_NAME": "cpu4"})
        assert (ran.returncode, ran.stderr) == (1, "install Fluent Bit first\n")

    def test_the_documented_cluster_file_is_taken(self) -> None:
        page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
        (text,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        taken = check(text, every_place(), "logs.md")
        assert (taken.problems, taken.can_run) == ((), True)
        assert taken.spec is not None
        brought = taken.spec.bootstrap.files["file_mounts"]
        assert brought == {"~/rayfleet-logs": "deploy/logs"}
        assert any("~/rayfleet-logs/machines.sh" in line for line in taken.spec.bootstrap.commands["setup_commands"])
        assert FORMAT_VARIABLE in page


class TestLogService:
    @staticmethod
    def configs() -> dict[str, dict[str, Any]]:
        found = documents((ROOT / "deploy/kubernetes/aliyun-log.yaml").read_text(encoding="utf-8"))
        assert {one["kind"] for one in found} == {"AliyunLogConfig"}
        assert all(one["spec"]["logtailConfig"]["configName"] == one["metadata"]["name"] for one in found)
        return {one["metadata"]["name"]: one["spec"]["logtailConfig"] for one in found}

    def test_logs_are_collected_from_where_ray_writes_them_and_by_the_labels_that_pods_have(self) -> None:
        detail = self.configs()["rayclusters"]["inputDetail"]
        assert detail["logPath"].startswith("/tmp/ray/session_")
        chosen = detail["advanced"]["k8s"]
        pods = pods_of(cluster("cluster"))
        assert pods
        for pod in pods:
            assert chosen["IncludeK8sLabel"].items() <= pod["metadata"]["labels"].items()
            assert chosen["ExternalK8sLabelTag"].keys() <= pod["metadata"]["labels"].keys()

    def test_what_operator_and_autoscaler_print_is_collected_with_the_same_labels(self) -> None:
        configs = self.configs()
        logtail = configs["rayfleet"]
        assert logtail["inputType"] == "plugin"
        plugin = logtail["inputDetail"]["plugin"]
        for step in (*plugin["inputs"], *plugin["processors"]):
            assert {*step["detail"]} <= SLS[step["type"]]
        detail = plugin["inputs"][0]["detail"]
        files = configs["rayclusters"]["inputDetail"]["advanced"]["k8s"]
        assert detail["ExternalK8sLabelTag"] == files["ExternalK8sLabelTag"]
        (head,) = (
            pod for pod in pods_of(cluster("cluster")) if pod["metadata"]["labels"]["ray.io/node-type"] == "head"
        )
        operator = next(of_kind((ROOT / "deploy/kubernetes/operator.yaml").read_text(encoding="utf-8"), "Deployment"))
        for pod, container in ((head, "autoscaler"), (operator["spec"]["template"], "operator")):
            assert container in {one["name"] for one in pod["spec"]["containers"]}
            assert re.fullmatch(detail["K8sContainerRegex"], container)
            assert detail["IncludeK8sLabel"].items() & pod["metadata"]["labels"].items()
