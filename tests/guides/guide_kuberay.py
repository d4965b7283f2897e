"""What the guide "KubeRay autoscaling" shows. Its story of two actors is played on this machine as well."""

from __future__ import annotations

from tests.guides.entries import Checks, Entry, Guide, InPods, Proof, Run, State, typed
from tests.unit.config import guide_files

_WALK = InPods("test_autoscaled_ray.py::test_the_walk_through_of_the_guide")
_HONOURED = "`config check` finds nothing wrong; the operator and the autoscaler beside the head honour it"
_SAMPLE = "ray-cluster.autoscaler.yaml"
_SAMPLE_URL = f"https://raw.githubusercontent.com/ray-project/kuberay/v1.0.0-rc.0/ray-operator/config/samples/{_SAMPLE}"
_HEAD_POD = (
    "export HEAD_POD=$(kubectl get pods --selector=ray.io/node-type=head"
    " -o custom-columns=POD:metadata.name --no-headers)"
)
_IN_POD = "kubectl exec -it $HEAD_POD --"
_CREATE = "python3 /home/ray/samples/detached_actor.py"
_END = "python3 /home/ray/samples/terminate_detached_actor.py"
_ON_HEAD = "`rayfleet exec` in place of `kubectl exec`: the head is on this machine"
_PODS = "kubectl get pods -l=ray.io/is-ray-node=yes"
_COUNTED = "`rayfleet status` counts nodes where the guide counts pods"


def _sample(options: str = "", group: str = "") -> Checks:
    """Return a RayCluster with autoscaling, with these lines of its spec and these words of its group."""
    pod = "template: {spec: {containers: [{name: ray, resources: {limits: {cpu: 1}}}]}}"
    return Checks(
        "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: raycluster-autoscaler}\nspec:\n"
        f"  enableInTreeAutoscaling: true\n{options}  headGroupSpec: {{{pod}}}\n"
        f"  workerGroupSpecs: [{{groupName: small, {group}{pod}}}]\n"
    )


def _entry(name: str, heading: str, text: str, state: State, proof: Proof, *notes: str) -> Entry:
    """Return a row of this guide. `notes`: how, then the title."""
    how, title, *_ = (*notes, "", "")
    return Entry(f"kuberay-{name}", Guide.KUBERAY, heading, text, state, proof, how, title)


def _in_pods(name: str, heading: str, text: str, title: str = "") -> Entry:
    return _entry(name, heading, text, State.WORKS, _WALK, "with rayfleet's operator", title)


_OVERVIEW = (
    _entry(
        "when", "When to use autoscaling", typed("when_to_autoscale"), State.EQUIVALENT,
        Run("test_scaling.py::test_by_hand"), "`rayfleet scale POOL N` holds a pool at a size",
        "newcomers may begin with a cluster of a fixed size",
    ),
    _entry(
        "picture", "Overview", typed("sidecar_picture"), State.WORKS, _WALK,
        "the sidecar is rayfleet's", "picture: the autoscaler as a sidecar of the head",
    ),
    _entry(
        "levels", "Three levels", typed("three_levels"), State.EQUIVALENT,
        Run("test_scaling.py::test_first_actor_brings_a_worker"),
        "nodes follow actors and tasks, whoever makes them; machines under the nodes are this computer",
        "actors and tasks, Ray nodes, Kubernetes nodes",
    ),
)  # fmt: skip

_START = (
    _entry(
        "kind", "Step 1", "kind create cluster --image=kindest/node:v1.23.0", State.EQUIVALENT, _WALK,
        "any Kubernetes cluster; that of the tests has processes for pods",
    ),
    _entry(
        "curl", "Step 3", f"curl -LO {_SAMPLE_URL}", State.EQUIVALENT, _WALK,
        "a file with the same ConfigMap and RayCluster is written down in the test",
    ),
    _in_pods("apply", "Step 3", f"kubectl apply -f {_SAMPLE}"),
    _in_pods("pods", "Step 4.1", _PODS),
    _in_pods("pods-output", "Step 4.1", typed("head_pod"), "shown: the head's pod, 2/2"),
    _in_pods("configmaps", "Step 4.2", "kubectl get configmaps"),
    _in_pods("configmaps-output", "Step 4.2", typed("configmaps"), "shown: ray-example with its two scripts"),
    _entry(
        "create-script", "Step 4", typed("detached_actor"), State.WORKS,
        Run("test_scaling.py::test_first_actor_brings_a_worker"), "", "detached_actor.py",
    ),
    _entry(
        "end-script", "Step 4", typed("terminate_detached_actor"), State.WORKS,
        Run("test_scaling.py::test_first_actor_ends"), "", "terminate_detached_actor.py",
    ),
)  # fmt: skip

_GROW = (
    _in_pods("head-pod", "Step 5.1", _HEAD_POD),
    _in_pods("exec-create-1", "Step 5.1", f"{_IN_POD} {_CREATE} actor1"),
    _entry(
        "create-1", "Step 5.1", f"{_CREATE} actor1", State.EQUIVALENT,
        Run("test_scaling.py::test_first_actor_brings_a_worker"), _ON_HEAD,
    ),
    _in_pods("pods-1", "Step 5.2", _PODS),
    _entry(
        "pods-1-output", "Step 5.2", typed("one_worker_pod"), State.EQUIVALENT,
        Run("test_scaling.py::test_first_actor_brings_a_worker"), _COUNTED, "shown: the head and one worker",
    ),
    _in_pods("exec-create-2", "Step 5.3", f"{_IN_POD} {_CREATE} actor2"),
    _entry(
        "create-2", "Step 5.3", f"{_CREATE} actor2", State.EQUIVALENT,
        Run("test_scaling.py::test_second_actor_brings_another"), _ON_HEAD,
    ),
    _in_pods("pods-2", "Step 5.3", _PODS),
    _entry(
        "pods-2-output", "Step 5.3", typed("two_worker_pods"), State.EQUIVALENT,
        Run("test_scaling.py::test_second_actor_brings_another"), _COUNTED, "shown: the head and two workers",
    ),
    _in_pods("exec-list", "Step 5.4", f"{_IN_POD} ray list actors"),
    _entry("list", "Step 5.4", "ray list actors", State.WORKS, Run("test_commands.py::test_list_actors")),
    _entry(
        "list-output", "Step 5.4", typed("list_actors_output"), State.WORKS,
        Run("test_scaling.py::test_both_actors_are_listed"), "", "shown: two actors that are alive",
    ),
)  # fmt: skip

_SHRINK = (
    _in_pods("exec-end-1", "Step 6.1", f"{_IN_POD} {_END} actor1"),
    _entry(
        "end-1", "Step 6.1", f"{_END} actor1", State.EQUIVALENT, Run("test_scaling.py::test_first_actor_ends"),
        _ON_HEAD,
    ),
    _in_pods("pods-3", "Step 6.2", _PODS),
    _entry(
        "pods-3-output", "Step 6.2", typed("after_first_end"), State.EQUIVALENT,
        Run("test_scaling.py::test_first_actor_ends"), _COUNTED, "shown: the head and the other worker",
    ),
    _in_pods("exec-end-2", "Step 6.3", f"{_IN_POD} {_END} actor2"),
    _entry(
        "end-2", "Step 6.3", f"{_END} actor2", State.EQUIVALENT, Run("test_scaling.py::test_second_actor_ends"),
        _ON_HEAD,
    ),
    _in_pods("pods-4", "Step 6.4", _PODS),
    _entry(
        "pods-4-output", "Step 6.4", typed("after_second_end"), State.EQUIVALENT,
        Run("test_scaling.py::test_second_actor_ends"), _COUNTED, "shown: the head alone",
    ),
)  # fmt: skip

_WATCH = (
    _in_pods("exec-status", "Step 7", "kubectl exec $HEAD_POD -it -c ray-head -- ray status"),
    _entry(
        "status-output", "Step 7", typed("status_output"), State.EQUIVALENT,
        Run("test_commands.py::test_status_in_the_guides_words"),
        "`rayfleet status` has these sections; this Ray's own `ray status` has Active and Idle in place of Healthy",
        "shown: the sections of ray status",
    ),
    _in_pods("kubectl-logs", "Step 7", "kubectl logs $HEAD_POD -c autoscaler | tail -n 20"),
    _entry(
        "logs-output", "Step 7", typed("log_output"), State.EQUIVALENT, Run("test_commands.py::test_log_files"),
        "in monitor.log and autoscaler.log of the session, without a time in the block's title",
        "shown: a status block, and how long the iteration took",
    ),
    _in_pods("delete", "Step 8", f"kubectl delete -f {_SAMPLE}"),
    _in_pods("uninstall", "Step 8", "helm uninstall kuberay-operator"),
)  # fmt: skip

_OPTIONS = (
    _entry(
        "enable", "Configuration", "enableInTreeAutoscaling: true", State.WORKS, _sample(), _HONOURED,
    ),
    _entry(
        "replicas", "Configuration", "minReplicas / maxReplicas / replicas", State.WORKS,
        _sample(group="replicas: 0, minReplicas: 0, maxReplicas: 10, "), _HONOURED,
    ),
    _entry(
        "mode", "Configuration", "upscalingMode: Conservative | Default | Aggressive", State.WORKS,
        _sample("  autoscalerOptions: {upscalingMode: Conservative}\n"),
        f"{_HONOURED}; elsewhere `upscaling_speed`: 1, or null for no limit",
    ),
    _entry(
        "idle", "Configuration", "idleTimeoutSeconds: 60", State.WORKS,
        _sample("  autoscalerOptions: {idleTimeoutSeconds: 60}\n"), f"{_HONOURED}; elsewhere `idle_timeout_minutes`",
    ),
    _entry(
        "resources", "Configuration", guide_files.SIDECAR, State.WORKS,
        Checks(guide_files.SIDECAR, ("a part of spec.autoscalerOptions of a RayCluster",)),
        f"{_HONOURED}; alone, it is checked as a part of autoscalerOptions", "resources of the sidecar",
    ),
    _entry(
        "container", "Configuration", "image, imagePullPolicy, env, envFrom", State.WORKS,
        _sample("  autoscalerOptions: {image: a, imagePullPolicy: IfNotPresent, env: [], envFrom: []}\n"), _HONOURED,
    ),
)  # fmt: skip

ENTRIES = (*_OVERVIEW, *_START, *_GROW, *_SHRINK, *_WATCH, *_OPTIONS)
