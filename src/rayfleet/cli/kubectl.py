"""`kubectl rayfleet VERB`: the same commands with kubectl's words; kubectl finds the program `kubectl-rayfleet`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rayfleet.cli import resources
from rayfleet.cli.app import Guarded
from rayfleet.cli.arguments import COMMAND_LINE, AsJson, Timeout, add
from rayfleet.cli.terminal import fail
from rayfleet.launcher.home import is_config
from rayfleet.launcher.kube.choose import Wanted

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[[TYPE/]NAME | FILE]",
        help="TYPE: raycluster, rayjob, rayservice. Default: the namespace's only RayCluster.",
        show_default=False,
    ),
]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Default: the context's.", show_default=False)]
Context = Annotated[str | None, typer.Option(help="Of the kubeconfig. Default: the current one.", show_default=False)]
Words = Annotated[list[str], typer.Argument(metavar="NAME CMD...", show_default=False)]
RecordWords = Annotated[
    list[str], typer.Argument(metavar="NAME [WORDS]...", help="As of `rayfleet VERB`.", show_default=False)
]

app = typer.Typer(
    cls=Guarded,
    name="kubectl rayfleet",
    help="Brings up, watches and uses RayClusters, RayJobs and RayServices.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the plug-in; ends the process with its exit code."""
    app(prog_name="kubectl rayfleet")


def up(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    namespace: Namespace = None,
    context: Context = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Change what exists without asking.")] = False,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Apply a file with a RayCluster, RayJob or RayService, and follow it until it is ready.

    Examples:
      kubectl rayfleet up raycluster.yaml
    """
    if not is_config(str(file)):
        fail(f"{file} is no .yaml file")
    resources.up(Wanted(str(file), context, namespace), yes=yes, timeout_s=timeout, as_json=as_json)


def down(
    name: Annotated[str, typer.Argument(metavar="[TYPE/]NAME | FILE", show_default=False)],
    namespace: Namespace = None,
    context: Context = None,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Delete it, and wait until its pods are gone.

    Examples:
      kubectl rayfleet down demo
      kubectl rayfleet down raycluster.yaml
    """
    resources.down(Wanted(name, context, namespace), timeout_s=timeout, as_json=as_json)


def suspend(
    name: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Set spec.suspend, and wait until its pods are gone; the resource stays.

    Examples:
      kubectl rayfleet suspend demo
    """
    resources.set_suspended(Wanted(name, context, namespace), timeout, suspended=True, as_json=as_json)


def resume(
    name: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Take spec.suspend back, and wait until everything is ready again.

    Examples:
      kubectl rayfleet resume demo
    """
    resources.set_suspended(Wanted(name, context, namespace), timeout, suspended=False, as_json=as_json)


def status(
    name: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show head, groups (desired, ready, pending and why) and conditions.

    Examples:
      kubectl rayfleet status
      kubectl rayfleet status rayjob/train -n team
    """
    resources.status(Wanted(name, context, namespace), watch=watch, as_json=as_json)


def logs(
    name: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    node: Annotated[str | None, typer.Option(help="A pod. Default: the head's.", show_default=False)] = None,
    container: Annotated[
        str | None, typer.Option("--container", "-c", help="Default: autoscaler, else Ray's.", show_default=False)
    ] = None,
    lines: Annotated[int, typer.Option("--tail", min=0, help="How many lines from the end.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what comes, until Ctrl-C.")] = False,
) -> None:
    """Print a container's log: of the autoscaler beside the head, unless told otherwise.

    Examples:
      kubectl rayfleet logs demo -c ray-head
    """
    resources.logs(Wanted(name, context, namespace), resources.Part(node, container), lines, follow=follow)


def exec_(words: Words, namespace: Namespace = None, context: Context = None) -> None:
    """Run a shell command in the head's pod. Its exit code is ours.

    Examples:
      kubectl rayfleet exec -n team demo 'ray status'
    """
    resources.run_inside(Wanted(words[0], context, namespace), words[1:])


def attach(name: Name = None, namespace: Namespace = None, context: Context = None) -> None:
    """Open a shell in the head's pod.

    Examples:
      kubectl rayfleet attach demo
    """
    resources.open_shell(Wanted(name, context, namespace))


def submit(
    words: Annotated[list[str], typer.Argument(metavar="NAME SCRIPT [ARGS]...", show_default=False)],
    namespace: Namespace = None,
    context: Context = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job's id and return.")] = False,
) -> None:
    """Run a script as a job in the head's pod and follow its output.

    Examples:
      kubectl rayfleet submit -n team demo script.py --size 10
    """
    resources.submit(Wanted(words[0], context, namespace), words[1:], no_wait=no_wait)


def why(words: RecordWords, namespace: Namespace = None, context: Context = None) -> None:
    """Say why the cluster is as it is, from the record of the autoscaler beside its head.

    Examples:
      kubectl rayfleet why demo
      kubectl rayfleet why -n team demo --shape CPU=4 --count 10
    """
    resources.ask_autoscaler(Wanted(words[0], context, namespace), ["why", *words[1:]])


def history(words: RecordWords, namespace: Namespace = None, context: Context = None) -> None:
    """Show what its autoscaler has launched and released, when and why.

    Examples:
      kubectl rayfleet history demo
      kubectl rayfleet history -n team demo -n 100 --json
    """
    resources.ask_autoscaler(Wanted(words[0], context, namespace), ["history", *words[1:]])


def events(words: RecordWords, namespace: Namespace = None, context: Context = None) -> None:
    """Show what its autoscaler has done, found and failed in; -f follows it.

    Examples:
      kubectl rayfleet events demo
      kubectl rayfleet events -n team demo --since 10m --kind failed
    """
    resources.ask_autoscaler(Wanted(words[0], context, namespace), ["events", *words[1:]])


def top(words: RecordWords, namespace: Namespace = None, context: Context = None) -> None:
    """Show one live screen: nodes by group and phase, what waits and why, what happened last.

    Examples:
      kubectl rayfleet top demo
    """
    resources.ask_autoscaler(Wanted(words[0], context, namespace), ["top", *words[1:]])


def health(words: RecordWords, namespace: Namespace = None, context: Context = None) -> None:
    """Say whether it is fit for work: head, autoscaler, and CPUs that are free or can be started; else ends with 1.

    Examples:
      kubectl rayfleet health demo --cpus 8
    """
    resources.ask_autoscaler(Wanted(words[0], context, namespace), ["health", *words[1:]])


def list_(words: RecordWords, namespace: Namespace = None, context: Context = None) -> None:
    """Show its nodes, actors, jobs, tasks, placement-groups, objects or workers, as Ray tells them.

    Examples:
      kubectl rayfleet list demo actors --filter state=ALIVE
    """
    resources.ask_autoscaler(Wanted(words[0], context, namespace), ["list", *(words[1:] or ["nodes"])])


def summary(words: RecordWords, namespace: Namespace = None, context: Context = None) -> None:
    """Sum up its tasks, actors or objects, as Ray tells them.

    Examples:
      kubectl rayfleet summary demo tasks
    """
    resources.ask_autoscaler(Wanted(words[0], context, namespace), ["summary", *words[1:]])


def memory(words: RecordWords, namespace: Namespace = None, context: Context = None) -> None:
    """Show what fills its object stores.

    Examples:
      kubectl rayfleet memory demo
    """
    resources.ask_autoscaler(Wanted(words[0], context, namespace), ["memory", *words[1:]])


for verb in (up, down, suspend, resume, status, logs, attach):
    add(app, verb)
add(app, exec_, "exec", context_settings=COMMAND_LINE)
add(app, submit, context_settings=COMMAND_LINE)
add(app, why, context_settings=COMMAND_LINE)
add(app, history, context_settings=COMMAND_LINE)
for asked in (events, top, health, summary, memory):
    add(app, asked, context_settings=COMMAND_LINE)
add(app, list_, "list", context_settings=COMMAND_LINE)
