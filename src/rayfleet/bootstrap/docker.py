"""The container that Ray runs in, where a file asks for one: lines of shell. Pure.

They were never run against a real docker or podman by this project's tests, only against a program that plays it.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.bootstrap.steps import Container, Run, Shell, Step, Where

DEFAULT_NAME: Final = "ray_container"
_NETWORK_OPTIONS: Final = ("--net", "--network")
# A third of what is free, as Ray's own launcher gives: its object store lives there.
_SHM: Final = "--shm-size=$(awk '/MemAvailable/ {printf \"%d\", $2 * 1024 / 3}' /proc/meminfo)b"
_IDLE: Final = "trap 'exit 0' TERM; while :; do sleep 86400 & wait; done"


@dataclass(frozen=True, slots=True)
class Image:
    """What a node's container is made from. `options` are lines for the shell, as users wrote them."""

    container: Container
    image: str
    options: tuple[str, ...]
    pull: bool = True
    detect_gpus: bool = True
    detect_shm: bool = True


def image(docker: Mapping[str, Any], own: Mapping[str, Any], *, head: bool) -> Image | None:
    """Return the container of a head or worker; None: there is none. `own`: the section of the worker's own type."""
    role = "head" if head else "worker"
    types = {} if head else own
    name = types.get("worker_image") or docker.get(f"{role}_image") or docker.get("image")
    if not name:
        return None
    role_options = types.get("worker_run_options") or docker.get(f"{role}_run_options") or ()
    pull = types.get("pull_before_run")
    return Image(
        Container(docker.get("container_name") or DEFAULT_NAME, "podman" if docker.get("use_podman") else "docker"),
        name,
        (*docker.get("run_options", ()), *role_options),
        pull=docker.get("pull_before_run", True) if pull is None else pull,
        detect_gpus=not docker.get("disable_automatic_runtime_detection"),
        detect_shm=not docker.get("disable_shm_size_detection"),
    )


def steps(cluster: str, wanted: Image) -> tuple[Step, ...]:
    """Return what fetches the image and has the container run; one that runs already from the same image is kept."""
    program, name = wanted.container.program, shlex.quote(wanted.image)
    missing = f"{program} is not installed on this machine; initialization_commands can install it"
    check = f"command -v {program} >/dev/null || {{ echo {shlex.quote(missing)}; exit 1; }}"
    fetch = f"{program} pull {name}"
    if not wanted.pull:
        fetch = f"{program} image inspect {name} >/dev/null 2>&1 || {fetch}"
    return (
        Run(f"{check}; {fetch}", f"image {wanted.image}", Where.MACHINE),
        Run(_ensure(cluster, wanted), f"container {wanted.container.name}", Where.MACHINE),
    )


def inside(container: Container, command: str, *, stdin: bool = False) -> str:
    """Return a command of the machine that runs `command` in the container."""
    options = "-i " if stdin else ""
    return (
        f"{container.program} exec {options}-e RAYFLEET_MACHINE_ID -e RAYFLEET_ADDRESS {container.name} "
        f"/bin/bash -c {shlex.quote(command)}"
    )


def _ensure(cluster: str, wanted: Image) -> str:
    """Return shell that leaves exactly the wanted container running. One of somebody else's is never removed."""
    program, name, run = wanted.container.program, wanted.container.name, _run_options(wanted)
    digest = hashlib.sha256("\0".join((*run, wanted.image)).encode()).hexdigest()[:16]
    labels = f"--label rayfleet-cluster={cluster} --label rayfleet-run={digest}"
    form = '{{.State.Running}} {{.Image}} {{index .Config.Labels "rayfleet-run"}}'
    idle = f"/bin/bash -c {shlex.quote(_IDLE)}"
    foreign = (
        f"there is a container {name} that is not rayfleet's and is not from this image; remove it ({program} rm -f "
        f"{name}) or set docker.container_name"
    )
    return "\n".join(
        (
            f"image=$({program} image inspect -f '{{{{.Id}}}}' {shlex.quote(wanted.image)}) || exit 1",
            f"found=$({program} inspect -f {shlex.quote(form)} {name} 2>/dev/null)",
            # Without the label docker prints nothing or <no value>.
            'case "$found" in',
            f'  "true $image {digest}"|"true $image "|"true $image <no value>") exit 0;;',
            f'  "false $image {digest}") {program} start {name} >/dev/null && exit 0;;',
            f'  *" "|*"<no value>") echo {shlex.quote(foreign)}; exit 1;;',
            "esac",
            f"{program} rm -f {name} >/dev/null 2>&1",
            f"{program} run -d --name {name} {labels} {' '.join(run)} {shlex.quote(wanted.image)} {idle}",
        )
    )


def _run_options(wanted: Image) -> tuple[str, ...]:
    program, own = wanted.container.program, " ".join(wanted.options)
    options = ["--restart=unless-stopped", "-e LC_ALL=C.UTF-8", "-e LANG=C.UTF-8"]
    if not any(word.startswith(_NETWORK_OPTIONS) for word in own.split()):
        options.append("--net=host")
    if wanted.detect_shm and "--shm-size" not in own and "--ipc" not in own:
        options.append(_SHM)
    if wanted.detect_gpus and "--runtime" not in own and "--gpus" not in own and program == "docker":
        has_gpus = f"{program} info -f '{{{{.Runtimes}}}}' 2>/dev/null | grep -q nvidia && nvidia-smi >/dev/null 2>&1"
        options.append(f"$({has_gpus} && echo --runtime=nvidia)")
    return (*options, *wanted.options)


def copy_in(container: Container, source: str, target: str) -> Run:
    """Return the step that copies a file or folder of the machine to the node, as the node's user.

    By tar, since docker's own copy makes everything root's.
    """
    make = f"mkdir -p -- {quoted_path(target)} && tar -C {quoted_path(target)} -xf -"
    parent, _, name = target.rstrip("/").rpartition("/")
    folder = f"tar -C {quoted_path(source)} -cf - . | {inside(container, make, stdin=True)}"
    write = f"mkdir -p -- {quoted_path(parent or '/')} && cat > {quoted_path(f'{parent}/{name}')}"
    file = f"{inside(container, write, stdin=True)} < {quoted_path(source)}"
    text = f"if [ -d {quoted_path(source)} ]; then {folder}; elif [ -e {quoted_path(source)} ]; then {file}; fi"
    return Run(text, f"{target} into the container", Where.MACHINE, Shell.PLAIN)


def quoted_path(path: str) -> str:
    """Quote a path, but for the home that it may begin with."""
    if path == "~" or path.startswith("~/"):
        return '"$HOME"' + (shlex.quote(path[1:]) if path[1:] else "")
    return shlex.quote(path)
