"""Every fragment of the guides passes `config check` alone, and means what its guide says."""

import jsonschema
import pytest
from ruamel.yaml import YAML
from tests.unit.config import guide_files
from tests.unit.config.places import HERE

from rayfleet.config import Checked, ClusterSpec, ConfigInvalid, check, cluster_schema, load
from rayfleet.model import Market, Pool, Resources


def spec_of(text: str) -> ClusterSpec:
    checked = check(text, HERE, "cluster.yaml")
    assert not checked.problems
    assert checked.spec is not None
    return checked.spec


def told(checked: Checked) -> list[str]:
    return [notice.message for notice in checked.notices]


def pools_of(spec: ClusterSpec) -> dict[str, Pool]:
    return {pool.name: pool for pool in spec.policy.pools}


@pytest.mark.parametrize("name", guide_files.CLUSTER_FILES)
def test_each_passes_alone(name: str) -> None:
    spec = spec_of(guide_files.CLUSTER_FILES[name])
    assert spec.policy.head is not None


@pytest.mark.parametrize("name", guide_files.CLUSTER_FILES)
def test_each_is_valid_by_the_published_schema(name: str) -> None:
    value = YAML(typ="safe", pure=True).load(guide_files.CLUSTER_FILES[name])
    jsonschema.validate(value, cluster_schema())


@pytest.mark.parametrize("name", guide_files.KUBERNETES_FILES)
def test_kubernetes_files_pass_alone(name: str) -> None:
    checked = check(guide_files.KUBERNETES_FILES[name], HERE, "cluster.yaml")
    assert checked.problems == ()
    assert checked.verdict("cluster.yaml").startswith("cluster.yaml is fine")


def test_files_for_other_programs_are_refused_with_a_reason() -> None:
    checked = check(guide_files.LOG_CONFIG, HERE, "log.yaml")
    assert [str(problem) for problem in checked.problems] == [
        "log.yaml:2:7: kind: a file of kind AliyunLogConfig describes no Ray cluster"
    ]
    assert [p.path for p in check(guide_files.HELM_VALUES, HERE, "values.yaml").problems] == ["worker"]


def test_the_official_dialect() -> None:
    spec = spec_of(guide_files.AWS)
    assert (spec.name, spec.provider, spec.provider_settings) == ("my-ray-cluster", "aws", None)
    policy = spec.policy
    assert (policy.max_workers, policy.idle_timeout_s, policy.upscaling_speed) == (10, 300.0, 1.0)
    assert policy.head is not None
    assert (policy.head.name, policy.head.resources) == ("ray.head.default", Resources.of({"CPU": 8}))
    pools = pools_of(spec)
    assert list(pools) == ["ray.worker.cpu", "ray.worker.gpu"]
    assert pools["ray.worker.gpu"].resources == Resources.of({"CPU": 8, "GPU": 4})
    assert pools["ray.worker.cpu"].max_workers == 5
    assert spec.types["ray.worker.gpu"].node_config["InstanceType"] == "p3.2xlarge"
    assert spec.bootstrap.auth["ssh_private_key"] == "~/.ssh/ray-autoscaler.pem"
    assert spec.bootstrap.commands["head_setup_commands"] == ("pip install ray[all]",)
    assert told(check(guide_files.AWS, HERE, "f")) == [
        "no head_node_type: ray.head.default carries the head",
        "provider aws is not available in this version",
    ]


def test_a_place_that_is_not_installed_cannot_be_brought_up() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(guide_files.AWS, HERE, "f.yaml")
    assert [str(problem) for problem in caught.value.problems] == [
        "f.yaml:6:9: provider.type: provider aws is not available in this version (installed: process)"
    ]


def test_node_types_alone_run_on_this_machine_with_an_added_head() -> None:
    spec = load(guide_files.NODE_TYPES, HERE, "f.yaml")
    assert (spec.name, spec.provider) == ("default", "process")
    assert spec.policy.head is not None
    assert (spec.policy.head.name, spec.policy.head.resources) == ("head", Resources())
    assert pools_of(spec)["gpu-training"].resources == Resources.of({"CPU": 32, "GPU": 8})
    assert spec.policy.max_workers == 2
    assert [str(note) for note in spec.notes] == [
        "f.yaml:2:1: no cluster_name: the cluster is called default, or as --name says",
        "f.yaml:2:1: no head_node_type: a head without CPUs is added",
        "f.yaml:2:1: no provider: machines are processes on this machine",
        "f.yaml:5:5: available_node_types.cpu-intensive.node_config: has no effect with provider process",
        "f.yaml:10:5: available_node_types.gpu-inference.node_config: has no effect with provider process",
        "f.yaml:15:5: available_node_types.gpu-training.node_config: has no effect with provider process",
    ]


def test_hosts_with_resources() -> None:
    spec = spec_of(guide_files.BASIC)
    assert spec.policy.head is not None
    assert (spec.policy.head.name, spec.policy.head.resources) == ("head", Resources.of({"CPU": 8, "GPU": 2}))
    assert pools_of(spec)["worker"].resources == Resources.of({"CPU": 8, "GPU": 2})
    assert spec.policy.max_workers == 10
    assert spec.bootstrap.head_start == ("ray start --head --port=6379",)
    assert spec.bootstrap.worker_start == ("ray start --address=$RAY_HEAD_IP:6379",)


def test_the_short_dialect_has_no_cap_that_is_not_written() -> None:
    spec = spec_of(guide_files.SHORT_AWS)
    assert spec.policy.max_workers is None
    worker = pools_of(spec)["worker"]
    assert (worker.min_workers, worker.max_workers) == (2, 10)
    assert spec.types["head"].instance_type == "m5.xlarge"
    for text in (guide_files.SHORT_GCP, guide_files.SHORT_AZURE):
        checked = check(text, HERE, "f")
        assert told(checked).count("no resources: they come from its instance type") == 2
        assert checked.spec is not None
        assert pools_of(checked.spec)["worker"].min_workers == 2


def test_spot_in_three_ways() -> None:
    for text, name, price in (
        (guide_files.AUTOSCALING, "worker", None),
        (guide_files.USE_SPOT, "spot-worker", 0.5),
        (guide_files.SPOT_MARKET + guide_files.NODE_TYPES, "gpu-training", 1.0),
    ):
        spec = spec_of(text)
        assert [offer.market for offer in pools_of(spec)[name].offers] == [Market.SPOT]
        assert spec.types[name].spot_max_usd_per_hour == price


def test_limits_and_monitoring() -> None:
    assert spec_of(guide_files.LIMITS).policy.idle_timeout_s == 600.0
    assert spec_of(guide_files.AUTOSCALING).policy.idle_timeout_s == 300.0
    assert spec_of(guide_files.MONITORED).monitoring.prometheus_port == 9090
    alerts = spec_of(guide_files.ALERTS).monitoring
    assert alerts.prometheus_port is None
    assert alerts.alerting is not None
    assert [(target.kind, target.address) for target in alerts.alerting.targets] == [
        ("slack", "https://hooks.slack.com/...")
    ]


@pytest.mark.parametrize(
    ("section", "offered", "port"),
    [("", True, None), ("{prometheus: {}}", True, None), ("{prometheus: {enabled: false, port: 9090}}", False, None)],
)
def test_metrics_are_offered_unless_the_file_says_no(section: str, offered: bool, port: int | None) -> None:
    written = f"monitoring_config: {section}\n" if section else ""
    monitoring = spec_of(f"cluster_name: a\n{written}").monitoring
    assert (monitoring.prometheus, monitoring.prometheus_port) == (offered, port)


def test_the_prometheus_that_keeps_the_figures_is_told() -> None:
    written = "cluster_name: a\nmonitoring_config: {prometheus: {url: %s}}\n"
    assert spec_of(written % "http://127.0.0.1:9090/").monitoring.prometheus_url == "http://127.0.0.1:9090"
    for address in ("127.0.0.1:9090", "ftp://there", "'http://'", "''", "7"):
        (problem,) = check(written % address, HERE, "cluster.yaml").problems
        assert "must be a web address" in problem.message


def test_sizes_of_memory() -> None:
    spec = load(guide_files.RESOURCES, HERE, "f.yaml")
    assert pools_of(spec)["worker"].resources == Resources.of({"CPU": 8, "GPU": 1, "memory": 32 * 2**30})
    assert spec.policy.head is not None
    assert spec.policy.head.resources == Resources.of({"CPU": 4, "memory": 16 * 2**30})


def test_settings_of_the_place_apply_to_every_type() -> None:
    spec = spec_of(guide_files.CUSTOM_IMAGE + guide_files.NODE_TYPES)
    assert spec.types["gpu-training"].node_config == {"ImageId": "ami-custom-with-deps", "InstanceType": "p3.8xlarge"}
