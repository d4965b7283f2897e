"""What the charts make, without helm: the golden manifests say what our own code takes, and what the charts promise."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from scripts import charts, crds
from tests.simulation.kubernetes import Stage, on_stage
from tests.unit.deploy.cases import CASES, CHARTS, CLUSTERS, OPERATORS, ROOT, Case, documents, of_kind

import rayfleet
from rayfleet.config.rayio.crds import definitions, schema
from rayfleet.config.rayio.policy import policy_of
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.kube_operator.main import LEASE_NAME, Started, operator_settings
from rayfleet.kube_operator.permissions import GRANTED, OWN, WATCHED, rules
from rayfleet.testing.recording_kube import rights_of
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Object

EVERY_RIGHT = rights_of(rules((*WATCHED, *GRANTED)))
TO_LEAD = rights_of(rules(OWN))


def cluster(name: str) -> dict[str, Any]:
    """Return the RayCluster of a case."""
    case = next(one for one in CLUSTERS if one.name == name)
    (found,) = of_kind(case.golden.read_text(encoding="utf-8"), "RayCluster")
    return found


def pods_of(thing: Object) -> list[Object]:
    """Return the pods that our operator makes for a RayCluster."""

    async def act(stage: Stage) -> list[Object]:
        await stage.kube.create(RAY_CLUSTER, thing)
        await asyncio.sleep(30)
        return [*stage.kube.things(POD)]

    pods: list[Object] = on_stage(act)
    return pods


def unknown(part: dict[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """Yield the fields that an API server would drop, since the schema does not have them."""
    if isinstance(value, list):
        for one in value:
            yield from unknown(part.get("items", {}), one, f"{path}[]")
    if not isinstance(value, dict) or part.get("x-kubernetes-preserve-unknown-fields"):
        return
    for key, one in value.items():
        further = part.get("properties", {}).get(key) or part.get("additionalProperties")
        if further is None:
            yield f"{path}.{key}"
        else:
            yield from unknown(further, one, f"{path}.{key}")


def has(values: dict[str, Any], path: list[str]) -> bool:
    """Say whether a chart has the value."""
    first, *rest = path
    return first in values and (not rest or has(values[first], rest))


class TestClusters:
    @pytest.mark.parametrize("case", CLUSTERS, ids=lambda case: case.name)
    def test_our_model_and_the_crd_take_it_and_pods_come_of_it(self, case: Case) -> None:
        thing = cluster(case.name)
        jsonschema.Draft202012Validator(schema(RayClusterSpec)).validate(thing["spec"])
        assert list(unknown(schema(RayClusterSpec), thing["spec"])) == []
        spec = RayClusterSpec.model_validate(thing["spec"])
        assert [pool.name for pool in policy_of(spec).pools] == [one.group_name for one in spec.worker_group_specs]
        pods = pods_of(thing)
        replicas = sum(group.replicas * group.num_of_hosts for group in spec.worker_group_specs)
        assert len(pods) == 1 + replicas
        for pod in pods:
            mounted = {one["name"] for part in pod["spec"]["containers"] for one in part.get("volumeMounts", ())}
            assert mounted <= {one["name"] for one in pod["spec"]["volumes"]}, "no API server would take it"

    def test_the_version_of_ray_is_that_of_the_image(self) -> None:
        """Probes and commands go by it, and nobody should have to say it twice."""
        versions = {one.name: cluster(one.name)["spec"].get("rayVersion") for one in CLUSTERS}
        assert versions["cluster"] == "2.60.0"
        assert versions["cluster-kuberay-values"] == "2.55.1"
        assert versions["cluster-monitors"] is None

    def test_the_autoscaler_sees_what_ray_writes_where_a_volume_of_the_users_is_mounted(self) -> None:
        pods = pods_of(cluster("cluster-kuberay-values"))
        (head,) = (pod for pod in pods if pod["metadata"]["labels"]["ray.io/node-type"] == "head")
        mounts = {
            part["name"]: {one["mountPath"]: one["name"] for one in part.get("volumeMounts", ())}
            for part in head["spec"]["containers"]
        }
        assert mounts["ray-head"]["/tmp/ray"] == mounts["autoscaler"]["/tmp/ray"] == "log-volume"

    def test_the_schema_would_not_take_anything(self) -> None:
        thing = cluster("cluster")
        thing["spec"]["headGroupSpec"]["rayStartParam"] = {}
        assert list(unknown(schema(RayClusterSpec), thing["spec"])) == [".headGroupSpec.rayStartParam"]
        thing["spec"]["workerGroupSpecs"][0]["replicas"] = "many"
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema(RayClusterSpec)).validate(thing["spec"])

    def test_by_default_it_is_the_guides_cluster(self) -> None:
        thing = cluster("cluster")
        assert thing["metadata"] | {"labels": {}} == {
            "name": "myfirst-ray-cluster",
            "namespace": "raycluster",
            "labels": {},
        }
        spec = RayClusterSpec.model_validate(thing["spec"])
        assert spec.enable_in_tree_autoscaling
        assert spec.head_group_spec.ray_start_params == {"num-cpus": "0"}
        (group,) = spec.worker_group_specs
        assert (group.group_name, group.min_replicas, group.max_replicas >= 15) == ("workergroup", 0, True)
        assert group.template["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
        assert cluster("cluster-default-namespace")["metadata"]["namespace"] == "default"

    def test_virtual_nodes_get_workers_only(self) -> None:
        spec = cluster("cluster-eci")["spec"]
        assert "metadata" not in spec["headGroupSpec"]["template"]
        (group,) = spec["workerGroupSpecs"]
        assert group["template"]["metadata"]["labels"] == {"alibabacloud.com/eci": "true"}

    def test_redis_comes_out_of_the_secret_of_the_guides_name(self) -> None:
        thing = cluster("cluster-fault-tolerance")
        assert thing["metadata"]["annotations"] == {"ray.io/ft-enabled": "true"}
        head = thing["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
        secret = "myfirst-ray-cluster-raycluster-redis"
        assert {one["name"]: one["valueFrom"]["secretKeyRef"] for one in head["env"]} == {
            "RAY_REDIS_ADDRESS": {"name": secret, "key": "address"},
            "REDIS_PASSWORD": {"name": secret, "key": "password"},
        }

    @pytest.mark.parametrize("name", ["cluster-prometheus", "cluster-fault-tolerance", "cluster-monitors"])
    def test_prometheus_finds_all_pods_of_the_cluster_and_no_other(self, name: str) -> None:
        case = next(one for one in CLUSTERS if one.name == name)
        (monitor,) = of_kind(case.golden.read_text(encoding="utf-8"), "PodMonitor")
        wanted = monitor["spec"]["selector"]["matchLabels"]
        thing = cluster(name)
        pods = pods_of(thing)
        assert pods
        assert all(wanted.items() <= pod["metadata"]["labels"].items() for pod in pods)
        port, *further = (one["port"] for one in monitor["spec"]["podMetricsEndpoints"])
        assert all(port in {one["name"] for one in pod["spec"]["containers"][0]["ports"]} for pod in pods)
        beside = [one for pod in pods for one in pod["spec"]["containers"] if one["name"] == "autoscaler"]
        assert [[port["name"] for port in one["ports"]] for one in beside] == [further] * len(beside)
        assert len(further) == len(beside)
        assert {one["interval"] for one in monitor["spec"]["podMetricsEndpoints"]} == {"15s"}
        assert wanted["ray.io/cluster"] == thing["metadata"]["name"]

    def test_without_wishes_nothing_but_the_cluster_is_made(self) -> None:
        assert [one["kind"] for one in documents(CLUSTERS[0].golden.read_text(encoding="utf-8"))] == ["RayCluster"]


class TestOperator:
    @pytest.mark.parametrize("case", OPERATORS, ids=lambda case: case.name)
    def test_it_runs_with_no_more_than_it_needs(self, case: Case) -> None:
        (deployment,) = of_kind(case.golden.read_text(encoding="utf-8"), "Deployment")
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        environment = {one["name"]: one for one in container["env"]}
        assert environment["POD_NAMESPACE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"
        assert len(list(of_kind(case.golden.read_text(encoding="utf-8"), "PodDisruptionBudget"))) == 1

    @pytest.mark.parametrize(
        ("name", "cluster_wide", "namespaces", "own"),
        [
            ("operator", 1, [], "rayfleet-system"),
            ("operator-single-namespace", 0, ["team"], "team"),
            ("operator-namespaces", 0, ["team-a", "team-b"], "system"),
        ],
    )
    def test_its_roles_are_its_table_of_permissions(
        self, name: str, cluster_wide: int, namespaces: list[str], own: str
    ) -> None:
        text = next(one for one in OPERATORS if one.name == name).golden.read_text(encoding="utf-8")
        everywhere, roles = list(of_kind(text, "ClusterRole")), list(of_kind(text, "Role"))
        leading = [one for one in roles if one["metadata"]["name"].endswith("-leader")]
        watching = [one for one in roles if one not in leading]
        assert [(one["metadata"]["namespace"], rights_of(one["rules"])) for one in leading] == [(own, TO_LEAD)]
        assert len(everywhere) == cluster_wide
        assert [one["metadata"]["namespace"] for one in watching] == namespaces
        assert all(rights_of(one["rules"]) == EVERY_RIGHT for one in (*everywhere, *watching))
        (account,) = of_kind(text, "ServiceAccount")
        bindings = [*of_kind(text, "ClusterRoleBinding"), *of_kind(text, "RoleBinding")]
        assert len(bindings) == len(everywhere) + len(roles)
        for binding in bindings:
            (subject,) = binding["subjects"]
            assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], own)

    @pytest.mark.parametrize("case", OPERATORS, ids=lambda case: case.name)
    def test_the_lease_by_which_it_works_goes_with_the_release(self, case: Case) -> None:
        (lease,) = of_kind(case.golden.read_text(encoding="utf-8"), "Lease")
        assert lease["metadata"]["name"] == LEASE_NAME
        assert "spec" not in lease, "an upgrade of the release takes it from nobody"

    def test_it_watches_the_namespaces_that_it_has_roles_for(self) -> None:
        found = {}
        for case in OPERATORS:
            (deployment,) = of_kind(case.golden.read_text(encoding="utf-8"), "Deployment")
            found[case.name] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        assert found == {
            "operator": ["operator", "--listen=:8080", "--autoscaling=sidecar"],
            "operator-single-namespace": ["operator", "--listen=:8080", "--namespace=team", "--autoscaling=sidecar"],
            "operator-namespaces": [
                *("operator", "--listen=:8080", "--namespace=team-a", "--namespace=team-b", "--autoscaling=central")
            ],
        }

    def test_its_kubelet_and_prometheus_ask_where_it_listens(self) -> None:
        for case in OPERATORS:
            text = case.golden.read_text(encoding="utf-8")
            (deployment,) = of_kind(text, "Deployment")
            (service,) = of_kind(text, "Service")
            pod = deployment["spec"]["template"]
            (container,) = pod["spec"]["containers"]
            (port,) = container["ports"]
            assert f"--listen=:{port['containerPort']}" in container["args"]
            probed = {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")}
            assert probed == {port["name"]} == {one["targetPort"] for one in service["spec"]["ports"]}
            chosen = service["spec"]["selector"].items()
            assert chosen <= pod["metadata"]["labels"].items()
            for monitor in of_kind(text, "ServiceMonitor"):
                assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
                assert [one["port"] for one in monitor["spec"]["endpoints"]] == [service["spec"]["ports"][0]["name"]]


class TestFiles:
    def test_crds_are_those_of_the_models(self) -> None:
        wanted = crds.files()
        assert {path: path.read_text(encoding="utf-8") for path in crds.FOLDER.iterdir()} == wanted
        made = charts.MANIFESTS / "crds.yaml"
        assert documents(made.read_text(encoding="utf-8")) == list(definitions())
        ruled = charts.MANIFESTS / "crds-with-rules.yaml"
        assert documents(ruled.read_text(encoding="utf-8")) == list(definitions(rules=True))
        assert "x-kubernetes-validations" not in made.read_text(encoding="utf-8")

    def test_the_charts_rules_are_those_of_the_table(self) -> None:
        wanted = charts.rule_files()
        assert {path: path.read_text(encoding="utf-8") for path in wanted} == wanted, "python scripts/charts.py rules"

    def test_plain_manifests_are_the_charts(self) -> None:
        plain = documents((charts.MANIFESTS / "operator.yaml").read_text(encoding="utf-8"))
        golden = documents(OPERATORS[0].golden.read_text(encoding="utf-8"))
        for one in golden:
            for metadata in (one["metadata"], one.get("spec", {}).get("template", {}).get("metadata", {})):
                for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                    metadata.get("labels", {}).pop(label, None)
        assert plain == golden, "python scripts/charts.py manifests"

    def test_charts_carry_the_programs_version(self) -> None:
        for chart in CHARTS.iterdir():
            (about,) = documents((chart / "Chart.yaml").read_text(encoding="utf-8"))
            assert about["appVersion"] == rayfleet.__version__
            assert rayfleet.__version__.startswith(about["version"])

    def test_every_golden_belongs_to_a_case(self) -> None:
        folder = CASES[0].golden.parent
        assert {path.name for path in folder.iterdir()} == {case.golden.name for case in CASES}

    def test_every_value_that_is_typed_in_the_documentation_is_one_of_the_charts(self) -> None:
        text = (ROOT / "docs" / "kubernetes-install.md").read_text(encoding="utf-8")
        values = [
            documents((chart / "values.yaml").read_text(encoding="utf-8"))[0] for chart in sorted(CHARTS.iterdir())
        ]
        typed = set(re.findall(r"--set ([\w.]+)=", text))
        assert {"armsPrometheus.enable", "gcsFaultTolerance.enable", "image.repository"} <= typed
        assert {one for one in typed if not any(has(chart, one.split(".")) for chart in values)} == set()
        table = text.partition("| value | means")[2].partition("\n\n")[0]
        named = set(re.findall(r"`([a-z][\w]+)[.`]", table))
        (operator,) = (one for one in values if "watchNamespace" in one)
        assert {one for one in named if one not in operator} - {"appVersion", "rayfleet"} == set()

    def test_every_switch_of_the_operator_is_documented_and_works(self) -> None:
        text = (ROOT / "docs" / "kubernetes-install.md").read_text(encoding="utf-8")
        switches = set(re.findall(r"`(ENABLE_\w+)`", text))
        assert len(switches) == 5
        for switch in switches:
            on, off = (operator_settings({switch: value}, Started()) for value in ("true", "false"))
            assert on != off, switch
        assert operator_settings({"CLUSTER_DOMAIN": "corp"}, Started()).cluster_domain == "corp"

    @pytest.mark.parametrize("name", ["operator", "ray"])
    def test_images_are_made_of_what_there_is_and_run_without_root(self, name: str) -> None:
        lines = [
            line.split()
            for line in (ROOT / f"deploy/docker/{name}.Dockerfile").read_text(encoding="utf-8").splitlines()
        ]
        copied = [one for line in lines if line[:1] == ["COPY"] and "--from=build" not in line for one in line[1:-1]]
        assert copied
        ignore = (ROOT / f"deploy/docker/{name}.Dockerfile.dockerignore").read_text(encoding="utf-8").split()
        for one in copied:
            assert (ROOT / one).exists()
            assert {f"!{one}", f"!{Path(one).parts[0]}"} & set(ignore)
        assert [line for line in lines if line[:1] == ["USER"]] == [["USER", "1000:1000"]]
