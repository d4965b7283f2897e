"""What the guide "Autoscaler module" shows."""

from __future__ import annotations

from tests.guides.answers import USAGE, dry_run, not_tried, not_up
from tests.guides.entries import Checks, Entry, Guide, InPods, Proof, Run, Says, State, typed
from tests.unit.config import guide_files

_HERE = "the file names provider `process`: machines are processes on this machine"
_OVER_SSH = "on AWS never tried; the same over SSH on hosts of a test's own: `tests/e2e/remote`"
_FILES = {"cluster.yaml": guide_files.AWS, "script.py": ""}


def _entry(name: str, heading: str, text: str, state: State, proof: Proof, *notes: str) -> Entry:
    """Return a row of this guide. `notes`: how, then the title."""
    how, title, *_ = (*notes, "", "")
    return Entry(f"module-{name}", Guide.MODULE, heading, text, state, proof, how, title)


ENTRIES = (
    _entry(
        "picture", "Architecture", typed("module_picture"), State.EQUIVALENT, Run("test_scaling.py::test_no_monitor"),
        "the controller is monitor and autoscaler in one and reads the GCS; no monitor of Ray's runs",
        "picture: monitor, autoscaler, node provider, GCS and raylets",
    ),
    _entry(
        "file", "Cluster file", guide_files.AWS, State.WORKS, Checks(guide_files.AWS, ("p3.2xlarge has, 1: 4 counts",)),
        "`config check` finds nothing wrong, and tells that the GPU type has fewer GPUs than it says",
        "cluster.yaml with a head, CPU and GPU types on AWS",
    ),
    _entry(
        "up-aws", "Start the cluster", "ray up cluster.yaml", State.CLOUD,
        dry_run(guide_files.AWS, "cluster my-ray-cluster (aws) is made", "1 x head ray.head.default (m5.2xlarge)"),
        f"with the guide's own file: {not_tried('aws', 'AWS')}",
    ),
    _entry(
        "attach-aws", "Start the cluster", "ray attach cluster.yaml", State.CLOUD,
        not_up("my-ray-cluster", "attach", "cluster.yaml", files=_FILES), _OVER_SSH,
    ),
    _entry(
        "submit-aws", "Start the cluster", "ray submit cluster.yaml script.py", State.CLOUD,
        not_up("my-ray-cluster", "submit", "cluster.yaml", "script.py", files=_FILES), _OVER_SSH,
    ),
    _entry(
        "down-aws", "Start the cluster", "ray down cluster.yaml", State.CLOUD,
        Says(("down", "cluster.yaml"), USAGE, ("ray-autoscaler.pem cannot be read", "auth.ssh_private_key"), _FILES),
        f"{_OVER_SSH}; without the file's key nothing is asked of AWS",
    ),
    _entry(
        "up", "Start the cluster", "ray up cluster.yaml", State.EQUIVALENT, Run("test_cluster_file.py::test_up"),
        f"`rayfleet up cluster.yaml`; {_HERE}",
    ),
    _entry(
        "attach", "Start the cluster", "ray attach cluster.yaml", State.EQUIVALENT,
        Run("test_cluster_file.py::test_attach"), f"`rayfleet attach cluster.yaml`; {_HERE}",
    ),
    _entry(
        "submit", "Start the cluster", "ray submit cluster.yaml script.py", State.EQUIVALENT,
        Run("test_cluster_file.py::test_submit"), f"`rayfleet submit cluster.yaml script.py`; {_HERE}",
    ),
    _entry(
        "status", "Start the cluster", "ray status", State.WORKS, Run("test_commands.py::test_status"),
        'in `rayfleet attach`, by `rayfleet exec`, or after `eval "$(rayfleet env)"`',
    ),
    _entry(
        "down", "Start the cluster", "ray down cluster.yaml", State.EQUIVALENT, Run("test_cluster_file.py::test_down"),
        f"`rayfleet down cluster.yaml`; {_HERE}",
    ),
    _entry(
        "raycluster", "Kubernetes", guide_files.RAYCLUSTER_V1, State.WORKS,
        Checks(guide_files.RAYCLUSTER_V1),
        "`config check` finds nothing wrong; the operator runs it", "ray-cluster.yaml, a RayCluster of ray.io/v1",
    ),
    _entry(
        "apply", "Kubernetes", "kubectl apply -f ray-cluster.yaml", State.WORKS,
        InPods("test_autoscaled_ray.py::test_the_walk_through_of_the_guide"), "with rayfleet's operator",
    ),
    _entry(
        "monitor-log", "The autoscaler's log", "tail -f /tmp/ray/session_latest/logs/monitor.log", State.WORKS,
        Run("test_commands.py::test_log_files"),
        "for the first cluster of a machine; of others: `ray logs monitor.log`",
    ),
    _entry(
        "autoscaler-log", "The autoscaler's log", "tail -f /tmp/ray/session_latest/logs/autoscaler.log", State.WORKS,
        Run("test_commands.py::test_log_files"),
        "for the first cluster of a machine; of others: `ray logs autoscaler.log`",
    ),
    _entry(
        "system-config", "Own settings", typed("system_config"), State.EQUIVALENT,
        Run("test_programs.py::test_speeds"),
        "`rayfleet set upscaling_speed=1.0 downscaling_speed=1.0`; Ray itself refuses `_system_config` for a cluster"
        " that is up, and has no such settings", "ray.init() with autoscaling speeds in _system_config",
    ),
    _entry(
        "node-types", "Node types", guide_files.NODE_TYPES, State.WORKS, Checks(guide_files.NODE_TYPES),
        "`config check` finds nothing wrong, alone", "available_node_types for CPU and GPU work",
    ),
    _entry(
        "spot", "Cost", guide_files.SPOT_MARKET, State.WORKS, Checks(guide_files.SPOT_MARKET),
        "`config check` finds nothing wrong, alone; on a cloud, spot machines up to that price",
        "worker_node_config with a spot market and a maximum price",
    ),
    _entry(
        "image", "Quick starts", guide_files.CUSTOM_IMAGE, State.WORKS, Checks(guide_files.CUSTOM_IMAGE),
        "`config check` finds nothing wrong, alone; the image goes to the cloud as it is",
        "node_config with an image of one's own",
    ),
)  # fmt: skip
