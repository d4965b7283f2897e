"""`suspend` and `resume`: a whole cluster, stopped and started again, wherever it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from rayfleet.cli import elsewhere
from rayfleet.cli.arguments import AsJson, KubeContext, Timeout, add, cluster_names, in_kubernetes
from rayfleet.cli.ending import out_of_reach
from rayfleet.cli.terminal import EXIT_INTERRUPTED, EXIT_NOT_OK, fail, print_json, waiting

if TYPE_CHECKING:
    from rayfleet.launcher.home import Home
    from rayfleet.launcher.suspend import Rests
    from rayfleet.launcher.suspension import Suspension

Suspended = Annotated[
    str | None,
    typer.Argument(
        metavar="[CLUSTER]",
        help="A name, or its .yaml file. Default: the only one that is suspended.",
        autocompletion=cluster_names,
        show_default=False,
    ),
]
Running = Annotated[
    str | None,
    typer.Argument(
        metavar="[CLUSTER]",
        help="A name, or its .yaml file. Default: the only one that is up.",
        autocompletion=cluster_names,
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, suspend)
    add(app, resume)


def suspend(
    cluster: Running = None,
    _yes: Annotated[bool, typer.Option("--yes", "-y", help="Nobody is asked in any case.")] = False,
    timeout: Timeout = 600.0,
    context: KubeContext = None,
    as_json: AsJson = False,
) -> None:
    """Stop a whole cluster so that `resume` starts it again; what runs on it ends, as by `down`.

    In a cloud its workers are given back and its head's machine is stopped: its disk stays, and costs what a disk
    costs. Hosts over SSH are given back, the head too. On this machine its nodes end. Configuration and history stay.

    Examples:
      rayfleet suspend
      rayfleet suspend aws.yaml
      rayfleet suspend raycluster.yaml    or k8s:CONTEXT/NAMESPACE/NAME: sets spec.suspend; over when its pods are gone
    """
    if in_kubernetes(cluster, context):
        _in_kubernetes(cluster, context, timeout, suspended=True, as_json=as_json)
        return
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.remote.down import as_stored

    home = choose(cluster)
    wanted = as_stored(home)
    try:
        if elsewhere.is_remote(wanted.spec):
            from rayfleet.launcher.remote.suspend import suspend as suspend_there

            rests = asyncio.run(suspend_there(wanted, elsewhere.lines(), timeout))
        else:
            from rayfleet.launcher.suspend import suspend as suspend_here

            with waiting(f"suspending {home.name}") as progress:
                rests = asyncio.run(suspend_here(home, progress, timeout))
    except KeyboardInterrupt:
        hint = f"rayfleet suspend {home.name} goes on, rayfleet resume {home.name} takes it back"
        fail(f"interrupted; cluster {home.name} may be half suspended", hint, EXIT_INTERRUPTED)
    _tell(rests, as_json=as_json)


def resume(
    cluster: Suspended = None,
    timeout: Timeout = 600.0,
    context: KubeContext = None,
    as_json: AsJson = False,
) -> None:
    """Start a suspended cluster again, as it was configured; `up` with a file does so too, and applies the file.

    Examples:
      rayfleet resume
      rayfleet resume aws.yaml
      rayfleet resume raycluster.yaml     or k8s:CONTEXT/NAMESPACE/NAME: takes spec.suspend back; over when all is ready
    """
    if in_kubernetes(cluster, context):
        _in_kubernetes(cluster, context, timeout, suspended=False, as_json=as_json)
        return
    from rayfleet.launcher.known import choose_resting
    from rayfleet.launcher.remote.down import as_stored

    home = choose_resting(cluster)
    if not home.is_suspended and not home.is_up:
        fail(f"cluster {home.name} is down, not suspended", f"rayfleet up {home.name}")
    wanted = as_stored(home)
    if elsewhere.is_remote(wanted.spec):
        asked = elsewhere.Asked(None, None, no_restart=False, restart_only=False, yes=True)
        elsewhere.up(wanted, asked, timeout, as_json=as_json)
        return
    from rayfleet.cli.lifecycle import up_here

    up_here(wanted, as_json=as_json)


def told(home: Home, found: Suspension, *, as_json: bool) -> None:
    """Print the status of a cluster that is suspended, or half way there or back."""
    if as_json:
        print_json({"cluster": home.name, **found.as_json()})
    else:
        print(f"cluster {home.name} is {found.text}\n  start it again   rayfleet resume {home.name}")


def _tell(rests: Rests, *, as_json: bool) -> None:
    """Tell how a `suspend` has ended; ends the command with 1 when something is left."""
    if as_json:
        print_json(rests.as_json())
    else:
        kept = f", its head {rests.head} is stopped and keeps its disk" if rests.head else ""
        done = f"{rests.released} machines given back{kept}, in {rests.took_s:.1f} s"
        so = "is not suspended yet" if rests.left_behind or rests.unreachable else "is suspended"
        print(f"cluster {rests.cluster} {so}: {done}\n  start it again   rayfleet resume {rests.cluster}")
    left = [*rests.left_behind, *map(out_of_reach, rests.unreachable)]
    if left:
        names = "\n".join(left)
        fail(f"still there:\n{names}", f"try again: rayfleet suspend {rests.cluster}", EXIT_NOT_OK)


def _in_kubernetes(word: str | None, context: str | None, timeout_s: float, *, suspended: bool, as_json: bool) -> None:
    from rayfleet.cli.resources import set_suspended
    from rayfleet.launcher.kube.choose import Wanted

    set_suspended(Wanted(word, context), timeout_s, suspended=suspended, as_json=as_json)
