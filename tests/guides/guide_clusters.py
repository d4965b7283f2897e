"""What the guide "Cluster management" shows. It has lost its indentation, which is restored."""

from __future__ import annotations

from tests.guides.answers import (
    RAYCLUSTER_REFUSED,
    dry_run,
    not_tried,
)
from tests.guides.entries import Checks, Entry, Guide, InPods, OverSsh, Proof, Run, State, typed
from tests.unit.config import guide_files

_CHECKED = "`config check` finds nothing wrong, alone"
_EXAMPLE = "looks like an example, not like an address"
_BY_RAY = "Ray's own page; with the token that `rayfleet env` names"


def _entry(name: str, heading: str, text: str, state: State, proof: Proof, *notes: str) -> Entry:
    """Return a row of this guide. `notes`: how, then the title."""
    how, title, *_ = (*notes, "", "")
    return Entry(f"clusters-{name}", Guide.CLUSTERS, heading, text, state, proof, how, title)


_LOCAL = (
    _entry(
        "picture", "Architecture", typed("architecture_picture"), State.WORKS,
        Run("test_scaling.py::test_architecture"),
        "three workers, each with workers and a store of its own, around a head with GCS and dashboard",
        "picture: a head node and three worker nodes",
    ),
    _entry(
        "head-by-hand", "Start", "ray start --head --port=6379", State.EQUIVALENT,
        Run("test_scaling.py::test_first_cluster_has_the_default_ports"),
        "`rayfleet up`: the head has to be one that rayfleet started; the first cluster of a machine takes port 6379",
    ),
    _entry(
        "join", "Add a worker node", "ray start --address=head-node-ip:6379", State.WORKS,
        Run("test_joined.py::test_counted_and_left_alone"),
        'in a shell after `eval "$(rayfleet env)"`, for the token; the node is counted, used, and never released',
    ),
    _entry(
        "connect", "Connect", typed("connect"), State.WORKS, Run("test_programs.py::test_connect"),
        "head-node-ip: as `rayfleet up` prints it", 'ray.init() with "auto" and "ray://", cluster_resources()',
    ),
    _entry(
        "stop", "Stop", "ray stop", State.EQUIVALENT, Run("test_cluster_file.py::test_down"),
        "`rayfleet down`: `ray stop` would end every Ray process of the machine, those of other clusters too",
    ),
)  # fmt: skip

_FILES = (
    _entry(
        "basic", "Cluster file", guide_files.BASIC, State.WORKS,
        Checks(guide_files.BASIC), _CHECKED, "cluster file of provider local, with hosts",
    ),
    _entry(
        "up-local", "Start", "ray up cluster.yaml", State.EQUIVALENT, OverSsh("test_local.py::test_up"),
        "`rayfleet up cluster.yaml` with `provider: {type: local}`; the test has hosts of its own, with SSH servers and"
        " Ray, in place of the guide's addresses and set-up commands",
    ),
    _entry(
        "up", "Start", "ray up cluster.yaml", State.EQUIVALENT, Run("test_cluster_file.py::test_up"),
        "`rayfleet up cluster.yaml` with `provider: {type: process}`: machines are processes on this machine",
    ),
    _entry(
        "update", "Update", "ray up cluster.yaml --restart-only", State.EQUIVALENT,
        Run("test_cluster_file.py::test_update"),
        "`rayfleet up cluster.yaml` applies the changed file; a node is never restarted under running work; on other"
        " computers the flag is there, and starts Ray anew",
    ),
    _entry(
        "down", "End", "ray down cluster.yaml", State.EQUIVALENT, Run("test_cluster_file.py::test_down"),
        "`rayfleet down cluster.yaml`",
    ),
    _entry(
        "down-local", "End", "ray down cluster.yaml", State.EQUIVALENT,
        OverSsh("test_local.py::test_down_leaves_nothing"),
        "`rayfleet down cluster.yaml` with `provider: {type: local}`: nothing of it is left on any host",
    ),
    _entry("aws", "AWS", guide_files.SHORT_AWS, State.WORKS, Checks(guide_files.SHORT_AWS), _CHECKED, "cluster file"),
    _entry(
        "aws-up", "AWS", "ray up cluster.yaml", State.CLOUD,
        dry_run(guide_files.SHORT_AWS, "cluster aws-ray-cluster (aws) is made", "1 x head (m5.xlarge)", "2 x workers"),
        not_tried("aws", "AWS"),
    ),
    _entry("gcp", "GCP", guide_files.SHORT_GCP, State.WORKS, Checks(guide_files.SHORT_GCP), _CHECKED, "cluster file"),
    _entry(
        "gcp-up", "GCP", "ray up cluster.yaml", State.CLOUD,
        dry_run(guide_files.SHORT_GCP, "cluster gcp-ray-cluster (gcp) is made", "head (n1-standard-4)", "2 x workers"),
        not_tried("gcp", "Google Cloud"),
    ),
    _entry(
        "azure", "Azure", guide_files.SHORT_AZURE, State.WORKS, Checks(guide_files.SHORT_AZURE), _CHECKED,
        "cluster file",
    ),
    _entry(
        "azure-up", "Azure", "ray up cluster.yaml", State.CLOUD,
        dry_run(guide_files.SHORT_AZURE, "cluster azure-ray-cluster (azure) is made", "1 x head (Standard_D4s_v3)"),
        not_tried("azure", "Azure"),
    ),
    _entry(
        "autoscaling", "Configure autoscaling", guide_files.AUTOSCALING, State.WORKS, Checks(guide_files.AUTOSCALING),
        _CHECKED, "cluster file with autoscaling_config and spot workers",
    ),
    _entry(
        "monitored", "Prometheus", guide_files.MONITORED, State.WORKS, Checks(guide_files.MONITORED),
        _CHECKED, "monitoring_config with a port",
    ),
    _entry(
        "monitored-up", "Prometheus", "port: 9090", State.WORKS,
        Run("test_cluster_file.py::test_metrics_are_at_the_port_of_the_file"),
        "the controller's own figures, there; Prometheus finds them and Ray's by Ray's service discovery",
    ),
    _entry(
        "resources", "Plan resources", guide_files.RESOURCES, State.WORKS, Checks(guide_files.RESOURCES), _CHECKED,
        "head_node and worker_nodes with memory",
    ),
    _entry(
        "use-spot", "Use spot", guide_files.USE_SPOT, State.WORKS, Checks(guide_files.USE_SPOT),
        f"{_CHECKED}; on a cloud, spot machines up to that price", "worker_node_types with a spot price",
    ),
    _entry(
        "limits", "Configure autoscaling", guide_files.LIMITS, State.WORKS, Checks(guide_files.LIMITS), _CHECKED,
        "autoscaling_config",
    ),
    _entry(
        "alerts", "Monitor and alert", guide_files.ALERTS, State.WORKS,
        Checks(guide_files.ALERTS, (_EXAMPLE,)), _CHECKED, "monitoring_config with a webhook",
    ),
    _entry(
        "alerts-up", "Monitor and alert", "slack_webhook: https://hooks.slack.com/...", State.WORKS,
        Run("test_files.py::test_the_webhook_of_the_guide_is_heard"),
        "with an address in place of the dots; `rayfleet alerts test` says whether it is heard there",
    ),
)  # fmt: skip

_KUBERNETES = (
    _entry(
        "helm-repo", "Helm", "helm repo add ray https://ray-project.github.io/kuberay-helm/", State.EQUIVALENT,
        InPods("test_ack_guide.py::test_the_walk_through_of_the_guide"),
        "rayfleet's own charts, in `deploy/helm` or as packages of `make charts`",
    ),
    _entry(
        "helm-install", "Helm", "helm install ray-cluster ray/ray-cluster", State.EQUIVALENT,
        InPods("test_ack_guide.py::test_the_walk_through_of_the_guide"),
        "`helm install ray-cluster deploy/helm/ray-cluster`",
    ),
    _entry(
        "raycluster", "KubeRay", guide_files.RAYCLUSTER_V1ALPHA1, State.WORKS,
        Checks(guide_files.RAYCLUSTER_V1ALPHA1), f"{_CHECKED}; the operator runs it", "a RayCluster of ray.io/v1alpha1",
    ),
    _entry(
        "service", "Connect", typed("connect_service"), State.EQUIVALENT, Run("test_programs.py::test_connect_service"),
        "the address that `rayfleet up` prints as Ray client: without Kubernetes there is no service of that name",
        "ray.init() with ray://ray-cluster-head-svc:10001",
    ),
)  # fmt: skip

_STRATEGY = (
    _entry(
        "grow-pending", "Strategy: grow", "待处理任务数量增加", State.WORKS, Run("test_scaling.py::test_fifteen_tasks"),
        "waiting work", "more tasks wait",
    ),
    _entry(
        "grow-use", "Strategy: grow", "资源利用率超过阈值", State.WORKS,
        Run("test_scaling.py::test_use_above_a_threshold"), "`scale_up_utilization`, in the file or by `rayfleet set`",
        "use of resources above a threshold",
    ),
    _entry(
        "grow-by-hand", "Strategy: grow", "用户手动请求", State.EQUIVALENT, Run("test_scaling.py::test_by_hand"),
        "`rayfleet scale POOL N`, and `request_resources()`", "a user asks for it",
    ),
    _entry(
        "shrink-idle", "Strategy: shrink", "节点空闲时间超过阈值", State.WORKS,
        Run("test_scaling.py::test_second_actor_ends"), "the idle time-out",
        "a node is idle for longer than a threshold",
    ),
    _entry(
        "shrink-use", "Strategy: shrink", "资源利用率低于阈值", State.WORKS,
        Run("test_scaling.py::test_use_below_a_threshold"),
        "`scale_down_utilization`, in the file or by `rayfleet set`", "use of resources below a threshold",
    ),
    _entry(
        "shrink-by-hand", "Strategy: shrink", "用户手动请求", State.EQUIVALENT, Run("test_scaling.py::test_by_hand"),
        "`rayfleet scale POOL 0`, `rayfleet drain NODE`", "a user asks for it",
    ),
    _entry(
        "parameters", "Strategy: parameters", "min_workers, max_workers, idle_timeout_minutes, upscaling_speed",
        State.WORKS, Run("test_cluster_file.py::test_parameters"), "in the file, and by `rayfleet set` while it runs",
    ),
)  # fmt: skip

_WATCHING = (
    _entry(
        "page", "Dashboard", "http://head-node:8265", State.EQUIVALENT, Run("test_dashboard.py::test_page"),
        f"`http://127.0.0.1:8265`, on the head alone, as `rayfleet up` prints it; {_BY_RAY}",
    ),
    _entry(
        "page-overview", "Dashboard", "Overview", State.WORKS, Run("test_dashboard.py::test_overview"), _BY_RAY,
    ),
    _entry("page-jobs", "Dashboard", "Jobs", State.WORKS, Run("test_dashboard.py::test_jobs"), _BY_RAY),
    _entry("page-actors", "Dashboard", "Actors", State.WORKS, Run("test_dashboard.py::test_actors"), _BY_RAY),
    _entry("page-nodes", "Dashboard", "Nodes", State.WORKS, Run("test_dashboard.py::test_nodes"), _BY_RAY),
    _entry(
        "page-metrics", "Dashboard", "Metrics", State.EQUIVALENT, Run("test_dashboard.py::test_metrics"),
        "Ray's exporters on every node, your own metrics included; charts in the page need Prometheus and Grafana",
    ),
    _entry("status", "Command line", "ray status", State.WORKS, Run("test_commands.py::test_status")),
    _entry(
        "actors", "Command line", "ray summary actors", State.WORKS, Run("test_commands.py::test_summary_actors"),
        "`rayfleet summary actors` says the same, from any shell",
    ),
    _entry(
        "tasks", "Command line", "ray summary tasks", State.WORKS, Run("test_commands.py::test_summary_tasks"),
        "`rayfleet summary tasks` says the same, from any shell",
    ),
    _entry(
        "memory", "Command line", "ray memory", State.WORKS, Run("test_commands.py::test_memory"),
        "`rayfleet memory` says the same, from any shell",
    ),
    _entry(
        "log-levels", "Logs", typed("log_levels"), State.EQUIVALENT, Run("test_programs.py::test_log_levels"),
        "each line in a program of its own: Ray itself refuses a second ray.init()",
        "ray.init() with logging_level and with log_to_driver",
    ),
    _entry(
        "logs", "Logs", "ray logs", State.EQUIVALENT, Run("test_commands.py::test_logs"),
        "`rayfleet logs` (the controller's) and `rayfleet logs FILE`; of Ray's own `ray logs cluster`, since its "
        "`ray logs` alone prints its help",
    ),
    _entry(
        "logs-node", "Logs", "ray logs --node-id=<node_id>", State.EQUIVALENT,
        Run("test_commands.py::test_logs_of_a_node"),
        "`rayfleet logs --node-id=<node_id>`, or `ray logs cluster --node-id=<node_id>`: this Ray has no `--node-id` "
        "without that word",
    ),
    _entry(
        "health", "Health", typed("health_check"), State.WORKS, Run("test_programs.py::test_health"),
        "healthy as soon as a CPU is free: with `rayfleet scale cpu1 1`, or `min_workers`; without workers none is. "
        "`rayfleet health` also counts what can be started",
        "available_resources()",
    ),
)  # fmt: skip

_FAILURES = (
    _entry(
        "task-retry", "A task fails", "自动重试(可配置次数)", State.WORKS,
        Run("test_failures.py::test_task_is_retried"),
        "", "retried, a configured number of times",
    ),
    _entry(
        "task-moves", "A task fails", "重新调度到其他节点", State.WORKS, Run("test_failures.py::test_task_moves"),
        "", "scheduled on another node",
    ),
    _entry(
        "task-dependants", "A task fails", "依赖任务自动重建", State.WORKS,
        Run("test_failures.py::test_what_depends_is_rebuilt"), "", "what depends on it is rebuilt",
    ),
    _entry(
        "actor-restart", "An actor fails", "自动重启(可配置)", State.WORKS,
        Run("test_failures.py::test_actor_restarts"), "", "restarted, as configured",
    ),
    _entry(
        "actor-state", "An actor fails", "状态恢复(需检查点)", State.WORKS,
        Run("test_failures.py::test_actor_has_its_checkpoint"), "", "its state comes from its checkpoint",
    ),
    _entry(
        "actor-handle", "An actor fails", "引用自动更新", State.WORKS, Run("test_failures.py::test_handle_goes_on"),
        "", "handles go on",
    ),
    _entry(
        "node-tasks", "A node fails", "任务重新调度", State.WORKS, Run("test_failures.py::test_task_moves"),
        "and the node is replaced", "tasks are scheduled again",
    ),
    _entry(
        "node-actors", "A node fails", "Actor 重建", State.WORKS, Run("test_failures.py::test_actor_restarts"),
        "", "actors are made again",
    ),
    _entry(
        "node-objects", "A node fails", "对象重建", State.WORKS, Run("test_failures.py::test_object_is_rebuilt"),
        "", "objects are made again",
    ),
    _entry(
        "head-restored", "The head fails", "需要手动恢复", State.EQUIVALENT,
        Run("test_cluster_file.py::test_head_comes_back"), "nothing by hand: the controller starts the head again",
        "it has to be brought back by hand",
    ),
    _entry(
        "head-ha", "The head fails", "建议使用高可用配置", State.PLANNED, RAYCLUSTER_REFUSED,
        "a GCS on Redis, with a second place for the head", "a highly available configuration is advised",
    ),
    _entry(
        "head-backup", "The head fails", "定期备份 GCS 数据", State.EQUIVALENT,
        Run("test_cluster_file.py::test_head_comes_back"),
        "the GCS keeps its tables on disk, and the head that comes back reads them", "back up the data of the GCS",
    ),
)  # fmt: skip

ENTRIES = (*_LOCAL, *_FILES, *_KUBERNETES, *_STRATEGY, *_WATCHING, *_FAILURES)
