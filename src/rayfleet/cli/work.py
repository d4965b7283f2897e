"""`env`, `run`, `exec`, `attach`, `submit`: people's programs on a cluster."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from rayfleet.cli.arguments import COMMAND_LINE, AsJson, Cluster, KubeContext, Name, RayVerb, add, in_kubernetes
from rayfleet.cli.elsewhere import not_elsewhere
from rayfleet.cli.terminal import EXIT_INTERRUPTED, EXIT_NOT_OK, complain, fail, print_json, waiting
from rayfleet.cli.visit import Ports, Screen, Start, Stop, Tmux, Visit

_NOT_FOUND, _NOT_RUNNABLE = 127, 126


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, env)
    add(app, run, context_settings=COMMAND_LINE)
    add(app, exec_, "exec", cls=RayVerb, context_settings=COMMAND_LINE)
    add(app, attach, cls=RayVerb)
    add(app, submit, cls=RayVerb, context_settings=COMMAND_LINE)


def env(cluster: Cluster = None, as_json: AsJson = False) -> None:
    """Print what a shell needs so that ray.init() and Ray's own commands find the cluster.

    Examples:
      eval "$(rayfleet env)"
      rayfleet env --json
    """
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.work import variables

    not_elsewhere(cluster, "programs of this machine are no clients of it", "rayfleet exec runs a command there")
    found = variables(choose(cluster))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")


def run(
    command: Annotated[list[str], typer.Argument(metavar="[--] CMD...", show_default=False)],
    cluster: Annotated[str | None, typer.Option(help="Which cluster. Default: the only one that is up.")] = None,
) -> None:
    """Run a command here, with the cluster's address and token set. Its exit code is ours.

    Examples:
      rayfleet run -- python script.py
      rayfleet run -- ray status
      rayfleet run --cluster second -- python script.py
    """
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.work import environment

    not_elsewhere(cluster, "a command that runs here is no client of it", "rayfleet exec runs it there")
    become(command, environment(choose(cluster)))


def exec_(
    words: Annotated[list[str], typer.Argument(metavar="[CLUSTER] CMD...", show_default=False)],
    start: Start = False,
    stop: Stop = False,
    tmux: Tmux = False,
    screen: Screen = False,
    ports: Ports = None,
    name: Name = None,
    context: KubeContext = None,
) -> None:
    """Run a shell command on the head. Its exit code is ours.

    Examples:
      rayfleet exec 'ray status'
      rayfleet exec second python script.py --fast
      rayfleet exec aws.yaml --tmux 'python train.py'  elsewhere: goes on without us
      rayfleet exec aws.yaml --start --stop 'python train.py'
      rayfleet exec raycluster.yaml 'ray status'       in the head's pod, by kubectl
    """
    if in_kubernetes(words[0], context):
        from rayfleet.cli import resources
        from rayfleet.launcher.kube.choose import Wanted

        resources.run_inside(Wanted(words[0], context), words[1:])
    from rayfleet.launcher.known import choose, split
    from rayfleet.launcher.work import environment, shell_command

    cluster, rest = split(words, 1)
    visit = Visit(name or cluster, start, stop, tmux, screen, tuple(ports or ()))
    if visit.is_elsewhere():
        visit.run(rest)
    become(shell_command(rest), environment(choose(cluster)))


def attach(
    cluster: Cluster = None,
    start: Start = False,
    tmux: Tmux = False,
    screen: Screen = False,
    new: Annotated[
        bool, typer.Option("--new", "-N", help="Elsewhere: a new tmux or screen, beside the one there.")
    ] = False,
    ports: Ports = None,
    node_ip: Annotated[str, typer.Option(help="Elsewhere: this machine instead of the head, by its address.")] = "",
    name: Name = None,
    context: KubeContext = None,
) -> None:
    """Open a shell on the head, in which ray.init() and Ray's own commands find the cluster.

    Examples:
      rayfleet attach
      rayfleet attach aws.yaml --tmux      elsewhere: the tmux that is there, or a new one
      rayfleet attach aws.yaml -p 8265     with that port of the head on this machine
      rayfleet attach raycluster.yaml      in the head's pod, by kubectl
    """
    if in_kubernetes(cluster, context):
        from rayfleet.cli import resources
        from rayfleet.launcher.kube.choose import Wanted

        resources.open_shell(Wanted(cluster, context))
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.work import environment

    visit = Visit(name or cluster, start, stop=False, tmux=tmux, screen=screen, ports=tuple(ports or ()))
    if visit.is_elsewhere():
        visit.stay(new=new, node_ip=node_ip)
    become([os.environ.get("SHELL") or "/bin/bash", "-i"], environment(choose(cluster)))


def submit(
    words: Annotated[list[str], typer.Argument(metavar="[CLUSTER] SCRIPT [ARGS]...", show_default=False)],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job's id and return.")] = False,
    job_: Annotated[bool, typer.Option("--job", help="Elsewhere: as a Ray job; else as a plain program.")] = False,
    start: Start = False,
    stop: Stop = False,
    tmux: Tmux = False,
    screen: Screen = False,
    ports: Ports = None,
    name: Name = None,
    context: KubeContext = None,
) -> None:
    """Run a script on the head, as a job, and follow its output; ends with 0 when the job succeeded, else with 1.

    On a cluster elsewhere it is copied to the head's home folder and run there as a program, whose exit code is ours.

    Examples:
      rayfleet submit script.py --size 10
      rayfleet submit second script.py
      rayfleet submit --no-wait script.py
      rayfleet submit aws.yaml script.py --size 10
      rayfleet submit aws.yaml --start --stop script.py
      rayfleet submit aws.yaml --job script.py
      rayfleet submit raycluster.yaml script.py        by `ray job submit` in the head's pod
    """
    if in_kubernetes(words[0], context):
        from rayfleet.cli import resources
        from rayfleet.launcher.kube.choose import Wanted

        resources.submit(Wanted(words[0], context), words[1:], no_wait=no_wait)
    from rayfleet.launcher import job
    from rayfleet.launcher.known import choose, split

    cluster, rest = split(words, 1)
    script = Path(rest[0])
    if not script.is_file():
        fail(f"there is no script {script}", f"looked in {Path.cwd()}" if not script.is_absolute() else "")
    visit = Visit(name or cluster, start, stop, tmux, screen, tuple(ports or ()))
    if visit.is_elsewhere():
        visit.submit(script, rest[1:], as_job=job_, no_wait=no_wait)
    home = choose(cluster)
    with waiting(f"submitting {script.name} to {home.name}"):
        job_id = asyncio.run(job.submit(home, script, rest[1:]))
    if no_wait:
        print(job_id)
        return
    try:
        ended = asyncio.run(job.follow(home, job_id, lambda text: print(text, end="", flush=True)))
    except KeyboardInterrupt:
        complain(f"job {job_id} goes on without us", f"rayfleet run -- ray job stop {job_id}   stops it")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not ended.ok:
        fail(f"job {job_id} ended as {ended.status}: {ended.message}".rstrip(": "), code=EXIT_NOT_OK)


def become(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Turn this process into `command`, so that signals, output and exit code are its own."""
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - running the user's command is what is asked for
    except FileNotFoundError:
        fail(f"there is no command {command[0]!r}", code=_NOT_FOUND)
    except PermissionError:
        fail(f"{command[0]!r} may not be run", code=_NOT_RUNNABLE)
    except OSError as error:
        fail(f"{command[0]!r} cannot be run: {error.strerror}", code=_NOT_RUNNABLE)
