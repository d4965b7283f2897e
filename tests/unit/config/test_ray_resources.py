"""RayCluster, RayJob and RayService files: every problem with its place, what the API server drops, and the policy."""

from __future__ import annotations

import pytest
from tests.unit.config import guide_files
from tests.unit.config.places import HERE

from rayfleet.config import Checked, ConfigInvalid, check, load
from rayfleet.model import Resources

HEAD = "  headGroupSpec: {template: {spec: {containers: [{name: head}]}}}\n"
CLUSTER = "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: demo}\nspec:\n" + HEAD
CONTAINERS = "template: {spec: {containers: [{name: w, resources: {limits: {cpu: 500m, memory: 1Gi}}}]}}"
SCALED = f"{CLUSTER}  enableInTreeAutoscaling: true\n  workerGroupSpecs:\n"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scripts}\n---\n"
JOB = "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: train}\nspec: {entrypoint: 'true'%s}\n"
DROPPED = "unknown key: the API server drops it"


def group(name: str = "small", more: str = "", containers: str = CONTAINERS) -> str:
    return f"  - {{groupName: {name}, {more}{containers}}}\n"


def looked(text: str) -> Checked:
    return check(text, HERE, "f.yaml")


def problems(text: str) -> list[str]:
    return [str(problem) for problem in looked(text).problems]


def notices(text: str) -> list[str]:
    checked = looked(text)
    assert checked.problems == ()
    return [str(notice) for notice in checked.notices]


def test_a_cluster_is_fine_and_has_a_policy() -> None:
    text = SCALED + group(more="minReplicas: 1, maxReplicas: 4, numOfHosts: 2, ")
    checked = looked(text)
    assert (checked.problems, checked.notices, checked.can_run) == ((), (), True)
    assert checked.verdict("f.yaml") == "f.yaml is fine"
    spec = load(text, HERE, "f.yaml")
    (pool,) = spec.policy.pools
    assert (spec.name, spec.provider, pool.min_workers, pool.max_workers) == ("demo", "kuberay", 2, 8)
    assert pool.resources == Resources.of({"CPU": 1, "memory": 2**30})
    assert spec.policy.head is not None


@pytest.mark.parametrize("name", ["v1", "v1alpha1"])
def test_both_versions_of_the_guides_mean_what_they_say(name: str) -> None:
    (pool,) = load(guide_files.KUBERNETES_FILES[name], HERE, "f.yaml").policy.pools
    assert (pool.min_workers, pool.max_workers) == (1, 10)


WRONG = [
    (CLUSTER + "  rayVersion: 2.9\n", "f.yaml:6:15: spec.rayVersion: must be text, not 2.9 (quote it)"),
    (CLUSTER + "  suspend: 'yes'\n", "f.yaml:6:12: spec.suspend: must be true or false, not 'yes'"),
    (
        CLUSTER + "  autoscalerOptions: {upscalingMode: conservative}\n",
        (
            "f.yaml:6:38: spec.autoscalerOptions.upscalingMode: must be one of 'Conservative', 'Default' or "
            "'Aggressive', not 'conservative' (did you mean Conservative?)"
        ),
    ),
    (
        SCALED + group(more="replicas: '3', "),
        "f.yaml:8:34: spec.workerGroupSpecs[0].replicas: must be a whole number, not '3'",
    ),
    (SCALED + "  - {}\n", "f.yaml:8:5: spec.workerGroupSpecs[0].groupName: is required"),
    (
        SCALED + group(more="minReplicas: 3, maxReplicas: 2, "),
        "f.yaml:8:37: spec.workerGroupSpecs[0].minReplicas: 3 is more than maxReplicas, 2",
    ),
    (
        SCALED + group(more="numOfHosts: 0, "),
        "f.yaml:8:36: spec.workerGroupSpecs[0].numOfHosts: must be at least 1, not 0",
    ),
    (
        SCALED + group(more="suspend: true, "),
        "f.yaml:8:33: spec.workerGroupSpecs[0].suspend: cannot be with enableInTreeAutoscaling",
    ),
    (
        SCALED + group(containers="template: {}"),
        "f.yaml:8:34: spec.workerGroupSpecs[0].template.spec.containers: is required (its first container is Ray's)",
    ),
    (
        CLUSTER.replace("demo", "Demo_1"),
        "f.yaml:3:18: metadata.name: 'Demo_1' is no name (a-z, 0-9 and -, a letter first, no - last)",
    ),
    (CLUSTER.replace("demo", "d" * 54), "f.yaml:3:18: metadata.name: has 54 characters, and there is room for 53"),
    (CLUSTER.replace("{name: demo}", "{}"), "f.yaml:3:11: metadata.name: is required"),
    (
        CLUSTER.replace("RayCluster", "RayClustr"),
        "f.yaml:2:7: kind: ray.io has no kind 'RayClustr' (did you mean RayCluster?)",
    ),
    (
        CLUSTER.replace("io/v1", "io/v2"),
        "f.yaml:1:13: apiVersion: there is no ray.io/v2 RayCluster (write ray.io/v1)",
    ),
    (CLUSTER.replace(HEAD, "  {}\n"), "f.yaml:4:1: spec.headGroupSpec: is required"),
    (JOB % "", "f.yaml:4:7: spec: says nothing of a cluster (give it rayClusterSpec, or clusterSelector)"),
]


@pytest.mark.parametrize(("text", "problem"), WRONG)
def test_what_is_wrong_has_its_place_and_a_hint(text: str, problem: str) -> None:
    assert problems(text) == [problem]
    with pytest.raises(ConfigInvalid):
        load(text, HERE, "f.yaml")


def test_groups_of_one_name_and_amounts_that_cannot_be_read() -> None:
    text = SCALED + group() + group(containers=CONTAINERS.replace("500m", "many"))
    assert [problem.split(": ")[1] for problem in problems(text)] == [
        "spec.workerGroupSpecs[0].groupName",
        "spec.workerGroupSpecs[1]",
        "spec.workerGroupSpecs[1].groupName",
    ]


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        (
            CLUSTER + "  autoscalerOption: {}\n",
            f"f.yaml:6:3: spec.autoscalerOption: {DROPPED} (did you mean autoscalerOptions?)",
        ),
        (
            SCALED + group(more="replica: 3, "),
            f"f.yaml:8:24: spec.workerGroupSpecs[0].replica: {DROPPED} (did you mean replicas?)",
        ),
        (
            SCALED + group(more="min_replicas: 3, "),
            f"f.yaml:8:24: spec.workerGroupSpecs[0].min_replicas: {DROPPED} (did you mean minReplicas?)",
        ),
        (
            SCALED + group(more="replicas: 9, maxReplicas: 4, "),
            "f.yaml:8:34: spec.workerGroupSpecs[0].replicas: 9 is beyond maxReplicas: it counts as 4",
        ),
        (
            CLUSTER + "  autoscalerOptions: {}\n",
            "f.yaml:6:3: spec.autoscalerOptions: has no effect without enableInTreeAutoscaling: true",
        ),
        (
            f"{CLUSTER}  workerGroupSpecs:\n{group()}",
            "f.yaml:4:1: spec: no enableInTreeAutoscaling: groups stay as large as their replicas say",
        ),
        (f"{CLUSTER}nonsense: 1\n", f"f.yaml:6:1: nonsense: {DROPPED}"),
    ],
)
def test_what_has_no_effect_is_noted(text: str, notice: str) -> None:
    assert notices(text) == [notice]


@pytest.mark.parametrize(
    "pod",
    [
        "template: 3",
        "template: {spec: 3}",
        "template: {spec: {containers: [3]}}",
        "template: {spec: {containers: [{resources: 3}]}}",
        "template: {spec: {containers: [{resources: {limits: [1]}}]}}",
        "template: {spec: {containers: [{resources: {limits: {cpu: {}}}}]}}",
        "rayStartParams: {resources: '5'}, template: {spec: {containers: [{name: a}]}}",
        "replicas: 99999999999999999999, template: {spec: {containers: [{name: a}]}}",
    ],
)
def test_pods_of_any_shape_are_told_about_and_nothing_breaks(pod: str) -> None:
    (problem,) = looked(SCALED + group(containers=pod)).problems
    assert problem.line == 8
    assert problem.path.startswith("spec.workerGroupSpecs[0]")


@pytest.mark.parametrize("spec", ["", "spec: []\n", "spec: {1: 2}\n", "metadata: 3\n", "1: 2\n"])
def test_resources_of_any_shape_have_problems_and_nothing_breaks(spec: str) -> None:
    assert looked(f"apiVersion: ray.io/v1\nkind: RayCluster\n{spec}").problems


def test_names_as_in_our_code_are_no_keys_and_count_for_nothing() -> None:
    spec = load(SCALED + group(more="min_replicas: 3, "), HERE, "f.yaml")
    assert spec.policy.pools[0].min_workers == 0


def test_a_group_without_processors_is_noted() -> None:
    (told,) = notices(SCALED + group(containers="template: {spec: {containers: [{name: w}]}}"))
    assert "says no number of processors" in told


def test_among_other_documents_lines_count_from_the_files_first() -> None:
    text = CONFIG_MAP + CLUSTER + "  autoscalerOption: {}\n"
    assert [note.line for note in looked(text).notices] == [10]
    assert load(text, HERE, "f.yaml").name == "demo"


def test_two_resources_are_checked_and_not_run() -> None:
    checked = looked(f"{CLUSTER}---\n{CLUSTER}  rayVersion: 2\n")
    assert [problem.line for problem in checked.problems] == [12]
    checked = looked(f"{CLUSTER}---\n{CLUSTER}")
    assert (checked.problems, checked.can_run) == ((), False)
    assert "a second resource, RayCluster demo" in checked.notices[-1].message
    with pytest.raises(ConfigInvalid, match="cannot run it in this version"):
        load(f"{CLUSTER}---\n{CLUSTER}", HERE, "f.yaml")


def test_a_job_brings_its_own_cluster_or_selects_one() -> None:
    own = JOB % ", rayClusterSpec: {headGroupSpec: {template: {spec: {containers: [{name: head}]}}}}"
    assert (looked(own).problems, looked(own).can_run) == ((), True)
    assert looked(JOB % ", clusterSelector: {ray.io/cluster: other}").can_run
    both = own.replace("'true'", "'true', clusterSelector: {a: b}")
    assert [problem.path for problem in looked(both).problems] == ["spec.clusterSelector"]


def test_json_is_read_too() -> None:
    text = '{"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "a"}, "spec": {"x": 1}}'
    assert problems(text) == ["f.yaml:1:86: spec.headGroupSpec: is required"]


def test_the_guides_sidecar_is_a_part_and_is_checked_as_one() -> None:
    checked = looked(guide_files.SIDECAR)
    assert (checked.problems, checked.spec, checked.can_run) == ((), None, False)
    assert checked.verdict("f.yaml") == "f.yaml is fine as a part of spec.autoscalerOptions of a RayCluster"
    wrong = looked("idleTimeoutSeconds: '60'\n")
    assert [str(problem) for problem in wrong.problems] == [
        "f.yaml:1:21: idleTimeoutSeconds: must be a whole number, not '60'"
    ]
