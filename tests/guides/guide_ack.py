"""What the guide "ACK" shows: Ray on a managed Kubernetes. Its programs run on any cluster, and do so here."""

from __future__ import annotations

from tests.guides.answers import NO_ACK, NO_DASHBOARD, RAYCLUSTER_REFUSED, USAGE
from tests.guides.entries import Entry, Guide, Proof, Run, Says, State, typed
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
_OPERATOR = "the operator"
_SHORTER = "typed in with sleeps of 3 s in place of 120"
_LOG_CONFIG = Says(
    ("config", "check", "log.yaml"),
    USAGE,
    ("error: log.yaml:2:7: kind: ", "AliyunLogConfig describes no Ray cluster"),
    {"log.yaml": typed("log_config")},
)
_VALUES = Says(
    ("config", "check", "values.yaml"),
    USAGE,
    ("error: values.yaml:1:1: worker: unknown key",),
    {"values.yaml": guide_files.HELM_VALUES},
)


def _entry(name: str, heading: str, text: str, state: State, proof: Proof, *notes: str) -> Entry:
    """Return a row of this guide. `notes`: how, then the title."""
    how, title, *_ = (*notes, "", "")
    return Entry(f"ack-{name}", Guide.ACK, heading, text, state, proof, how, title)


def _planned(name: str, heading: str, text: str, title: str = "") -> Entry:
    return _entry(name, heading, text, State.PLANNED, RAYCLUSTER_REFUSED, _OPERATOR, title)


def _cloud(name: str, heading: str, text: str, title: str = "") -> Entry:
    return _entry(name, heading, text, State.CLOUD, NO_ACK, "an ACK cluster and its chart", title)


_CREATE = (
    _planned("operator", "The operator", "kubectl get pod -n kuberay-system"),
    _planned("operator-output", "The operator", typed("operator_pod"), "shown: the operator's pod"),
    _cloud("repo", "Create a RayCluster", f"helm repo add aliyunhub {_CHARTS}"),
    _cloud("repo-update", "Create a RayCluster", "helm repo update aliyunhub"),
    _cloud("search", "Create a RayCluster", "helm search repo ack-ray-cluster"),
    _cloud("search-output", "Create a RayCluster", typed("helm_search"), "shown: the chart"),
    _cloud("export-name", "Create a RayCluster", "export RAY_CLUSTER_NAME='myfirst-ray-cluster'"),
    _cloud("export-namespace", "Create a RayCluster", "export RAY_CLUSTER_NS='raycluster'"),
    _cloud("namespace", "Create a RayCluster", "kubectl create ns ${RAY_CLUSTER_NS}"),
    _cloud("install", "Create a RayCluster", _INSTALL),
    _planned("rayclusters", "Create a RayCluster", "kubectl get rayclusters.ray.io -n ${RAY_CLUSTER_NS}"),
    _planned("rayclusters-output", "Create a RayCluster", typed("rayclusters"), "shown: the RayCluster"),
    _planned("services", "Create a RayCluster", _SERVICES),
    _planned("services-output", "Create a RayCluster", typed("services"), "shown: the head's service and its ports"),
    _planned("pods", "Create a RayCluster", _PODS),
    _planned("pods-output", "Create a RayCluster", typed("pods"), "shown: a head, 2/2, and a worker"),
    _cloud("second", "Create a RayCluster", "helm install mysecond-ray-cluster aliyunhub/ack-ray-cluster"),
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
    _cloud("redis-secret", "Fault tolerance", _SECRET),
    _cloud("redis-uninstall", "Fault tolerance", _UNINSTALL),
    _cloud(
        "redis-install", "Fault tolerance",
        f"{_INSTALL} --set armsPrometheus.enable=true --set gcsFaultTolerance.enable=true",
    ),
    _planned(
        "redis-rayclusters", "Fault tolerance",
        "kubectl get rayclusters.ray.io ${RAY_CLUSTER_NAME} -n ${RAY_CLUSTER_NS}",
    ),
    _planned("redis-rayclusters-output", "Fault tolerance", typed("ft_rayclusters"), "shown: the RayCluster"),
    _planned("redis-pods", "Fault tolerance", _PODS),
    _planned("redis-pods-output", "Fault tolerance", typed("ft_pods"), "shown: the head, 2/2"),
)  # fmt: skip

_DASHBOARD = (
    _planned("dashboard-services", "Dashboard", _SERVICES),
    _planned("dashboard-services-output", "Dashboard", typed("dashboard_services"), "shown: the head's service"),
    _entry(
        "forward", "Dashboard",
        "kubectl port-forward svc/myfirst-ray-cluster-head-svc --address 0.0.0.0 8265:8265 -n ${RAY_CLUSTER_NS}",
        State.PLANNED, NO_DASHBOARD, "`rayfleet dashboard --ray`",
    ),
    _entry(
        "forward-output", "Dashboard", "Forwarding from 0.0.0.0:8265 -> 8265", State.PLANNED, NO_DASHBOARD,
        "`rayfleet dashboard --ray`",
    ),
    _entry(
        "browse", "Dashboard", "http://127.0.0.1:8265/", State.WORKS, Run("test_dashboard.py::test_page"),
        "the first cluster of a machine; Ray's own page, with the token that `rayfleet env` names",
    ),
)  # fmt: skip

_JOB = (
    _planned("job-pods", "Submit a job", _PODS),
    _planned("job-pods-output", "Submit a job", typed("job_pods"), "shown: a head and a worker"),
    _planned(
        "job-exec", "Submit a job", "kubectl exec -it -n ${RAY_CLUSTER_NS} myfirst-ray-cluster-head-v7pbw -- bash"
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
    _cloud("grow-uninstall", "Grow with nodes", _UNINSTALL),
    _cloud("grow-install", "Grow with nodes", _INSTALL),
    _planned("grow-pods", "Grow with nodes", _PODS),
    _planned("grow-pods-output", "Grow with nodes", typed("quiet_pods"), "shown: the head, 2/2"),
    _planned(
        "grow-exec", "Grow with nodes",
        "kubectl -n ${RAY_CLUSTER_NS} exec -it myfirst-ray-cluster-head-kvvdf -- bash",
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
    _planned("watch-pods", "Grow with nodes", "kubectl get pod -n ${RAY_CLUSTER_NS} -w"),
    _planned("watch-pods-output", "Grow with nodes", typed("growing_pods"), "shown: workers, running and pending"),
    _cloud("watch-nodes", "Grow with nodes", "kubectl get node -w"),
    _cloud("watch-nodes-output", "Grow with nodes", typed("growing_nodes"), "shown: nodes that get ready"),
)  # fmt: skip

_ECI = (
    _cloud("eci-nodes", "ECI", "kubectl get node"),
    _cloud("eci-nodes-output", "ECI", typed("eci_nodes"), "shown: a virtual node"),
    _entry(
        "eci-values", "ECI", guide_files.HELM_VALUES, State.CLOUD, _VALUES,
        "values of the ACK chart; the file is not rayfleet's", "cat > values.yaml <<EOF, with labels of the workers",
    ),
    _cloud("eci-uninstall", "ECI", _UNINSTALL),
    _cloud("eci-install", "ECI", f"{_INSTALL}  -f values.yaml"),
    _cloud("eci-pod", "ECI", "kubectl get pod"),
    _cloud("eci-pod-output", "ECI", typed("eci_head"), "shown: the head, 2/2"),
    _entry(
        "two", "ECI", typed("two_tasks"), State.WORKS, Run("test_scaling.py::test_two_tasks"), _SHORTER,
        "2 tasks of one CPU",
    ),
    _cloud("eci-pods", "ECI", "get pod -o wide"),
    _cloud("eci-pods-output", "ECI", typed("eci_pods"), "shown: two workers on the virtual node"),
)  # fmt: skip

ENTRIES = (*_CREATE, *_INTEGRATE, *_DASHBOARD, *_JOB, *_GROW, *_ECI)
