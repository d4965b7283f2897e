"""What the guide "ACK" shows: Ray on a managed Kubernetes. Its programs run on any cluster, and do so here."""

from __future__ import annotations

from tests.guides.answers import RAYCLUSTER_REFUSED, USAGE
from tests.guides.entries import Entry, Guide, InPods, Proof, Run, Says, State, typed
from tests.unit.config import guide_files

_CHARTS = "https://aliacs-app-catalog.oss-cn-hangzhou.aliyuncs.com/charts-incubator/"
_INSTALL = "helm install ${RAY_CLUSTER_NAME} aliyunhub/ack-ray-cluster -n ${RAY_CLUSTER_NS}"
_UNINSTALL = "helm uninstall ${RAY_CLUSTER_NAME} -n ${RAY_CLUSTER_NS}"
_SECRET = (
    "kubectl create secret generic ${RAY_CLUSTER_NAME}-raycluster-redis -n ${RAY_CLUSTER_NS}"
    " --from-literal=address=${RAY_REDIS_ADDRESS} --from-literal=password=${REDIS_PASSWORD}"
)
_PODS = "kubectl get pod -n ${RAY_CLUSTER_NS}"
_SERVICES = "kubectl get svc -n ${RAY_CLUSTER_NS}"
_WALK = InPods("test_ack_guide.py::test_the_walk_through_of_the_guide")
_REDIS = InPods("test_fault_tolerance.py::test_actors_outlive_the_head_and_scaling_goes_on")
_CHART = "the chart is rayfleet's: `deploy/helm/ray-cluster` in place of `aliyunhub/ack-ray-cluster`"
_NO_TERMINAL = "the test has no terminal: it runs `python` in place of `bash`"
_SHORTER = "typed in with sleeps of 3 s in place of 120"
_LOG_CONFIG = Says(
    ("config", "check", "log.yaml"),
    USAGE,
    ("error: log.yaml:2:7: kind: ", "AliyunLogConfig describes no Ray cluster"),
    {"log.yaml": typed("log_config")},
)


def _entry(name: str, heading: str, text: str, state: State, proof: Proof, *notes: str) -> Entry:
    """Return a row of this guide. `notes`: how, then the title."""
    how, title, *_ = (*notes, "", "")
    return Entry(f"ack-{name}", Guide.ACK, heading, text, state, proof, how, title)


def _in_pods(name: str, heading: str, text: str, title: str = "", proof: Proof = _WALK) -> Entry:
    return _entry(name, heading, text, State.WORKS, proof, "with rayfleet's operator", title)


def _chart(name: str, heading: str, text: str, proof: Proof = _WALK) -> Entry:
    return _entry(name, heading, text, State.EQUIVALENT, proof, _CHART)


def _cloud(name: str, heading: str, text: str, title: str = "") -> Entry:
    return _entry(name, heading, text, State.CLOUD, RAYCLUSTER_REFUSED, "an ACK cluster and its chart", title)


_CREATE = (
    _in_pods("operator", "The operator", "kubectl get pod -n kuberay-system"),
    _in_pods("operator-output", "The operator", typed("operator_pod"), "shown: the operator's pod"),
    _cloud("repo", "Create a RayCluster", f"helm repo add aliyunhub {_CHARTS}"),
    _cloud("repo-update", "Create a RayCluster", "helm repo update aliyunhub"),
    _cloud("search", "Create a RayCluster", "helm search repo ack-ray-cluster"),
    _cloud("search-output", "Create a RayCluster", typed("helm_search"), "shown: the chart"),
    _cloud("export-name", "Create a RayCluster", "export RAY_CLUSTER_NAME='myfirst-ray-cluster'"),
    _cloud("export-namespace", "Create a RayCluster", "export RAY_CLUSTER_NS='raycluster'"),
    _in_pods("namespace", "Create a RayCluster", "kubectl create ns ${RAY_CLUSTER_NS}"),
    _chart("install", "Create a RayCluster", _INSTALL),
    _in_pods("rayclusters", "Create a RayCluster", "kubectl get rayclusters.ray.io -n ${RAY_CLUSTER_NS}"),
    _in_pods("rayclusters-output", "Create a RayCluster", typed("rayclusters"), "shown: the RayCluster"),
    _in_pods("services", "Create a RayCluster", _SERVICES),
    _in_pods("services-output", "Create a RayCluster", typed("services"), "shown: the head's service and its ports"),
    _in_pods("pods", "Create a RayCluster", _PODS),
    _in_pods("pods-output", "Create a RayCluster", typed("pods"), "shown: a head, 2/2, and a worker"),
    _chart("second", "Create a RayCluster", "helm install mysecond-ray-cluster aliyunhub/ack-ray-cluster"),
    _entry(
        "second-here", "Create a RayCluster", "a second RayCluster", State.EQUIVALENT,
        Run("test_cluster_file.py::test_each_answers_for_itself"), "`rayfleet up --name second`, or a second file",
    ),
)  # fmt: skip

_INTEGRATE = (
    _entry(
        "logs", "Logs", typed("log_config"), State.CLOUD, _LOG_CONFIG, "the log service; the file is not rayfleet's",
        "cat <<EOF | kubectl apply -f -, with an AliyunLogConfig",
    ),
    _cloud("metrics-uninstall", "Metrics", _UNINSTALL),
    _cloud("metrics-install", "Metrics", f"{_INSTALL} --set armsPrometheus.enable=true"),
    _cloud("redis-password", "Fault tolerance", "export REDIS_PASSWORD='your redis password'"),
    _cloud("redis-address", "Fault tolerance", "export RAY_REDIS_ADDRESS='your redis address'"),
    _in_pods("redis-secret", "Fault tolerance", _SECRET, proof=_REDIS),
    _entry(
        "redis-uninstall", "Fault tolerance", _UNINSTALL, State.EQUIVALENT, _REDIS, "at the end of the test"
    ),
    _entry(
        "redis-install", "Fault tolerance",
        f"{_INSTALL} --set armsPrometheus.enable=true --set gcsFaultTolerance.enable=true", State.EQUIVALENT, _REDIS,
        f"{_CHART}; the PodMonitor of the first switch needs the CRDs of a Prometheus operator",
    ),
    _in_pods(
        "redis-rayclusters", "Fault tolerance",
        "kubectl get rayclusters.ray.io ${RAY_CLUSTER_NAME} -n ${RAY_CLUSTER_NS}", proof=_REDIS,
    ),
    _in_pods("redis-rayclusters-output", "Fault tolerance", typed("ft_rayclusters"), "shown: the RayCluster", _REDIS),
    _in_pods("redis-pods", "Fault tolerance", _PODS, proof=_REDIS),
    _in_pods("redis-pods-output", "Fault tolerance", typed("ft_pods"), "shown: the head, 2/2", _REDIS),
)  # fmt: skip

_DASHBOARD = (
    _in_pods("dashboard-services", "Dashboard", _SERVICES),
    _in_pods("dashboard-services-output", "Dashboard", typed("dashboard_services"), "shown: the head's service"),
    _entry(
        "forward", "Dashboard",
        "kubectl port-forward svc/myfirst-ray-cluster-head-svc --address 0.0.0.0 8265:8265 -n ${RAY_CLUSTER_NS}",
        State.WORKS, _WALK, "typed in with a free port of 127.0.0.1",
    ),
    _in_pods("forward-output", "Dashboard", "Forwarding from 0.0.0.0:8265 -> 8265"),
    _entry(
        "browse", "Dashboard", "http://127.0.0.1:8265/", State.WORKS, Run("test_dashboard.py::test_page"),
        "the first cluster of a machine; Ray's own page, with the token that `rayfleet env` names",
    ),
)  # fmt: skip

_JOB = (
    _in_pods("job-pods", "Submit a job", _PODS),
    _in_pods("job-pods-output", "Submit a job", typed("job_pods"), "shown: a head and a worker"),
    _entry(
        "job-exec", "Submit a job", "kubectl exec -it -n ${RAY_CLUSTER_NS} myfirst-ray-cluster-head-v7pbw -- bash",
        State.EQUIVALENT, _WALK, _NO_TERMINAL,
    ),
    _entry(
        "script", "Submit a job", typed("my_script"), State.WORKS, Run("test_scaling.py::test_counter"),
        "", "my_script.py, an actor that counts to 10,000",
    ),
    _entry(
        "python", "Submit a job", "python my_script.py", State.EQUIVALENT, Run("test_scaling.py::test_counter"),
        "`rayfleet run -- python my_script.py`, `rayfleet exec`, or in `rayfleet attach`",
    ),
    _entry(
        "python-output", "Submit a job", typed("my_script_output"), State.EQUIVALENT,
        Run("test_scaling.py::test_counter"),
        "the same lines from 1 on: an actor's calls run in order, so this script cannot print 0",
        "shown: address, connection, and the counter",
    ),
    _entry(
        "client", "Submit a job", "how do you use the ray-client", State.WORKS, Run("test_programs.py::test_connect"),
        "`ray://HOST:10001`",
    ),
    _entry(
        "job-cli", "Submit a job", "quick start using the ray job cli", State.WORKS,
        Run("test_commands.py::test_job_submit"), "`ray job submit -- python my_script.py`",
    ),
)  # fmt: skip

_GROW = (
    _in_pods("grow-uninstall", "Grow with nodes", _UNINSTALL),
    _chart("grow-install", "Grow with nodes", _INSTALL),
    _in_pods("grow-pods", "Grow with nodes", _PODS),
    _in_pods("grow-pods-output", "Grow with nodes", typed("quiet_pods"), "shown: the head, 2/2"),
    _entry(
        "grow-exec", "Grow with nodes",
        "kubectl -n ${RAY_CLUSTER_NS} exec -it myfirst-ray-cluster-head-kvvdf -- bash",
        State.EQUIVALENT, _WALK, _NO_TERMINAL,
    ),
    _entry("status", "Grow with nodes", "ray status", State.WORKS, Run("test_commands.py::test_status")),
    _entry(
        "status-output", "Grow with nodes", typed("ack_status_output"), State.EQUIVALENT,
        Run("test_commands.py::test_status_in_the_guides_words"),
        "`rayfleet status` has these sections; this Ray's own `ray status` has Active and Idle in place of Healthy",
        "shown: the sections of ray status",
    ),
    _entry(
        "fifteen", "Grow with nodes", typed("fifteen_tasks"), State.WORKS, Run("test_scaling.py::test_fifteen_tasks"),
        _SHORTER, "15 tasks of one CPU",
    ),
    _in_pods("watch-pods", "Grow with nodes", "kubectl get pod -n ${RAY_CLUSTER_NS} -w"),
    _in_pods("watch-pods-output", "Grow with nodes", typed("growing_pods"), "shown: workers, running and pending"),
    _entry(
        "watch-nodes", "Grow with nodes", "kubectl get node -w", State.EQUIVALENT, _WALK,
        "without `-w`; the test adds the machines, as ACK's cluster autoscaler does",
    ),
    _cloud("watch-nodes-output", "Grow with nodes", typed("growing_nodes"), "shown: nodes that get ready"),
)  # fmt: skip

_ECI = (
    _in_pods("eci-nodes", "ECI", "kubectl get node"),
    _cloud("eci-nodes-output", "ECI", typed("eci_nodes"), "shown: a virtual node"),
    _entry(
        "eci-values", "ECI", guide_files.HELM_VALUES, State.WORKS, _WALK,
        "values of rayfleet's chart as well", "cat > values.yaml <<EOF, with labels of the workers",
    ),
    _in_pods("eci-uninstall", "ECI", _UNINSTALL),
    _chart("eci-install", "ECI", f"{_INSTALL}  -f values.yaml"),
    _in_pods("eci-pod", "ECI", "kubectl get pod"),
    _in_pods("eci-pod-output", "ECI", typed("eci_head"), "shown: the head, 2/2"),
    _entry(
        "two", "ECI", typed("two_tasks"), State.WORKS, Run("test_scaling.py::test_two_tasks"), _SHORTER,
        "2 tasks of one CPU",
    ),
    _in_pods("eci-pods", "ECI", "get pod -o wide"),
    _entry(
        "eci-pods-output", "ECI", typed("eci_pods"), State.EQUIVALENT, _WALK,
        "a node with the virtual node's taint and a webhook that sends labelled pods there stand in for the cloud's;"
        " two workers are placed there, and whether each got a task is not looked at",
        "shown: two workers on the virtual node",
    ),
)  # fmt: skip

ENTRIES = (*_CREATE, *_INTEGRATE, *_DASHBOARD, *_JOB, *_GROW, *_ECI)
