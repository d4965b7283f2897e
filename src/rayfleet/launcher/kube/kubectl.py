"""What the user's own kubectl is asked to do: run something in a pod, follow a log. Pure, but for finding it."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Final

from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.launcher.errors import LauncherError, NotRunning, UnknownCluster, did_you_mean
from rayfleet.launcher.kube.look import Found
from rayfleet.launcher.kube.target import Target
from rayfleet.launcher.kube.view import AUTOSCALER, PodView, Stage, pod_view

HEAD: Final = "head"
RECORD: Final = "/tmp/ray/rayfleet"  # noqa: S108 - the pod's
"""Where the autoscaler beside a head keeps its record."""
_DASHBOARD_PORT: Final = "8265"
_RUNS: Final = (Stage.READY, Stage.RUNNING, Stage.STUCK)


def program() -> str:
    """Return the path of kubectl.

    Raises:
        LauncherError: there is none.
    """
    found = shutil.which("kubectl")
    if found is None:
        message = "there is no command kubectl: it is what runs commands in pods"
        raise LauncherError(message, "https://kubernetes.io/docs/tasks/tools says how to install it")
    return found


def pod_named(found: Found, name: str) -> PodView:
    """Return a pod of the cluster by its name; `head`: the head's.

    Raises:
        NotRunning: there is no head now.
        UnknownCluster: there is no such pod.
    """
    if name == HEAD:
        head = found.view.head
        if head is None:
            raise NotRunning(f"{found.view.kind} {found.view.key} has no head now", "its status says why")
        return head
    pods = {pod.name: pod for pod in map(pod_view, found.pods)}
    if name not in pods:
        raise UnknownCluster(f"the cluster has no pod {name!r}", did_you_mean(name, [HEAD, *pods]))
    return pods[name]


def running_head(found: Found) -> PodView:
    """Return the head's pod, in which something can be run.

    Raises:
        NotRunning: it does not run now.
    """
    head = pod_named(found, HEAD)
    if head.stage not in _RUNS:
        raise NotRunning(f"the head's pod {head.name} does not run: {head.line}", "wait for it: rayfleet up, or status")
    return head


def log_container(pod: PodView, container: str | None) -> str:
    """Return whose log is meant: what is asked for, else the autoscaler's beside a head, else Ray's.

    Raises:
        UnknownCluster: the pod has no such container.
    """
    if container is None:
        return AUTOSCALER if AUTOSCALER in pod.containers else pod.containers[0]
    if container not in pod.containers:
        hint = did_you_mean(container, [*pod.containers])
        raise UnknownCluster(f"pod {pod.name} has no container {container!r}", hint)
    return container


def exec_command(target: Target, pod: PodView, command: list[str], *, terminal: bool) -> list[str]:
    """Return the call of kubectl that runs a command in Ray's container of a pod, with our standard input."""
    flags = ["-it"] if terminal else ["-i"]
    return [*_kubectl(target), "exec", *flags, pod.name, "-c", pod.containers[0], "--", *command]


def ask_command(target: Target, head: PodView, words: list[str], *, terminal: bool = False) -> list[str]:
    """Return the call of kubectl that asks the record of the autoscaler beside a head, by a command of ours.

    `terminal`: the command is to have ours.

    Raises:
        NotRunning: none is there.
    """
    if AUTOSCALER not in head.containers:
        hint = "`enableInTreeAutoscaling: true` puts one there; one in the operator tells in the operator's log"
        raise NotRunning(f"no autoscaler runs beside the head of {target.key}", hint)
    asked = ["rayfleet", words[0], "--record", RECORD, *words[1:]]
    flags = ["-it"] if terminal else []
    return [*_kubectl(target), "exec", *flags, head.name, "-c", AUTOSCALER, "--", *asked]


def follow_command(target: Target, pod: PodView, container: str, lines: int) -> list[str]:
    """Return the call of kubectl that prints a container's log as it comes."""
    return [*_kubectl(target), "logs", "-f", f"--tail={lines}", pod.name, "-c", container]


def shell_line(script: Path, arguments: list[str], port: str, *, no_wait: bool) -> str:
    """Return the line of shell that takes a script on its standard input and submits it as a job."""
    name = shlex.quote(script.name)
    wait = " --no-wait" if no_wait else ""
    submit = f'ray job submit --address=http://127.0.0.1:{port} --working-dir="$folder"{wait}'
    program_ = shlex.join(["python", script.name, *arguments])
    take = f'folder=$(mktemp -d) && cat > "$folder"/{name}'
    return f'{take} && {submit} -- {program_}; code=$?; rm -rf "$folder"; exit $code'


def dashboard_port(found: Found) -> str:
    """Return the port of Ray's dashboard, where jobs are submitted, inside the head's pod."""
    spec = RayClusterSpec.model_validate((found.cluster or found.thing)["spec"])
    return spec.head_group_spec.ray_start_params.get("dashboard-port", _DASHBOARD_PORT)


def _kubectl(target: Target) -> list[str]:
    context = ["--context", target.context] if target.context else []
    return [program(), *context, "-n", target.key.namespace]
