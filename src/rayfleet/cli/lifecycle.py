"""`up`, `down`, `list`, and the `controller` that `up` starts."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rayfleet.cli.arguments import AsJson, Cluster, KubeContext, Timeout, add, cluster_names, in_kubernetes
from rayfleet.cli.terminal import EXIT_INTERRUPTED, EXIT_NOT_OK, complain, fail, print_json, print_table, waiting

if TYPE_CHECKING:
    from rayfleet.launcher.spec import Wanted
    from rayfleet.launcher.up import Standing


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, up)
    add(app, down)
    add(app, list_clusters, "list")
    add(app, controller, hidden=True)


def up(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]",
            help="A cluster .yaml file, or a cluster that was up before. Default: this machine's pools.",
            autocompletion=cluster_names,
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it. Default: what its file says.")] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Control it from this terminal; Ctrl-C ends the cluster.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Of a RayCluster: change it without asking.")] = False,
    timeout: Timeout = 600.0,
    context: KubeContext = None,
    as_json: AsJson = False,
) -> None:
    """Start a cluster, or take up again one whose controller is gone.

    Examples:
      rayfleet up                      this machine's pools, no file needed
      rayfleet up cluster.yaml         as the file says; after a change: applies it
      rayfleet up --name second        one more cluster beside the first
      rayfleet up raycluster.yaml      a RayCluster, RayJob or RayService, in Kubernetes
    """
    if in_kubernetes(config, context):
        from rayfleet.cli import resources
        from rayfleet.launcher.kube.choose import Wanted

        if name is not None or foreground:
            fail("--name and --foreground are for clusters of this machine", "its name is in the file")
        resources.up(Wanted(config, context), yes=yes, timeout_s=timeout, as_json=as_json)
        return
    from rayfleet.launcher.spec import resolve
    from rayfleet.launcher.up import up_and_serving

    wanted = resolve(config, name)
    for note in wanted.spec.notes:  # beside the answer, which may be JSON
        print(f"note: {note}", file=sys.stderr)
    try:
        if foreground:
            _stay(wanted)
        with waiting(f"starting {wanted.name}") as progress:
            standing = asyncio.run(up_and_serving(wanted, progress))
    except KeyboardInterrupt:
        _undo(wanted)
    if as_json:
        print_json(standing.as_json())
    else:
        _welcome(standing)


def down(
    cluster: Cluster = None,
    forget: Annotated[bool, typer.Option("--forget", help="Also remove its configuration, history and logs.")] = False,
    timeout: Timeout = 600.0,
    context: KubeContext = None,
    as_json: AsJson = False,
) -> None:
    """End a cluster: workers first, then the head. Its history and logs stay.

    Examples:
      rayfleet down
      rayfleet down second
      rayfleet down second --forget
      rayfleet down raycluster.yaml    deletes what is in the file; over when its pods are gone
    """
    if in_kubernetes(cluster, context):
        from rayfleet.cli import resources
        from rayfleet.launcher.kube.choose import Wanted

        resources.down(Wanted(cluster, context), timeout_s=timeout, as_json=as_json)
        return
    from rayfleet.launcher.down import down as bring_down
    from rayfleet.launcher.errors import NoCluster
    from rayfleet.launcher.home import remove
    from rayfleet.launcher.known import choose

    try:
        home = choose(cluster)
    except NoCluster as nothing:  # which is what was asked for
        print_json([]) if as_json else print(nothing)
        return
    try:
        with waiting(f"ending {home.name}") as progress:
            ended = asyncio.run(bring_down(home, progress))
    except KeyboardInterrupt:
        hint = f"rayfleet list says whether it is down, rayfleet down {home.name} sees it through"
        fail(f"interrupted; cluster {home.name} goes on ending if it had begun", hint, EXIT_INTERRUPTED)
    if as_json:
        print_json(ended.as_json())
    else:
        print(f"cluster {ended.cluster} is down: {ended.released} machines given back in {ended.took_s:.1f} s")
    if ended.left_behind:
        names = "\n".join(ended.left_behind)
        fail(f"still there:\n{names}", f"try again: rayfleet down {ended.cluster}", EXIT_NOT_OK)
    if forget:
        remove(home)


def list_clusters(as_json: AsJson = False) -> None:
    """Show every cluster that was started on this machine.

    Examples:
      rayfleet list
      rayfleet list --json
    """
    from rayfleet.launcher.listing import listing

    entries = listing()
    if as_json:
        print_json([entry.as_json() for entry in entries])
        return
    rows = [(entry.name, entry.state, entry.address or "-", entry.controller or "-") for entry in entries]
    print_table(("CLUSTER", "STATE", "ADDRESS", "CONTROLLED BY"), rows, none="no cluster was started on this machine")


def controller(
    cluster: Annotated[str, typer.Option(help="The cluster to control.")],
) -> None:
    """Control a cluster in the foreground, as `up` does in the background."""
    from rayfleet.launcher.daemon import become_controller

    become_controller(cluster)


def _stay(wanted: Wanted) -> NoReturn:
    """Become the controller of the cluster, in this terminal; does not return."""
    from rayfleet.launcher.daemon import FOREGROUND, become_controller
    from rayfleet.launcher.up import prepare, take_up

    home, _held = prepare(wanted)  # a name, so that what holds the ports goes along
    asyncio.run(take_up(home, wanted))
    become_controller(home.name, FOREGROUND)


def _undo(wanted: Wanted) -> NoReturn:
    """End what an interrupted `up` has begun; leaves alone what ran before."""
    from rayfleet.launcher.home import Home, root

    home = Home(root() / wanted.name)
    if not wanted.fresh:
        fail(f"interrupted; cluster {wanted.name} keeps running", f"rayfleet status {wanted.name}", EXIT_INTERRUPTED)
    if not home.is_up and not home.settings.exists():
        fail("interrupted; nothing was started", code=EXIT_INTERRUPTED)
    complain("interrupted: ending what was started", "Ctrl-C again leaves it as it is")
    try:
        with waiting(f"ending {wanted.name}") as progress:
            from rayfleet.launcher.down import down as bring_down

            asyncio.run(bring_down(home, progress))
    except KeyboardInterrupt:
        hint = f"rayfleet up {wanted.name} goes on, rayfleet down {wanted.name} ends it"
        fail(f"cluster {wanted.name} is left half started", hint, EXIT_INTERRUPTED)
    fail(f"cluster {wanted.name} was not started; nothing is left of it", code=EXIT_INTERRUPTED)


def _welcome(standing: Standing) -> None:
    overrides = f"  standing orders: {', '.join(standing.overrides)}\n" if standing.overrides else ""
    workers = f"{standing.workers} workers" if standing.workers else "no workers until work comes"
    print(
        f"cluster {standing.cluster} is up: head in {standing.head_ready_s:.1f} s, {workers}\n"
        f"{overrides}"
        f"  Ray address   {standing.address}\n"
        f"  Ray client    {standing.client}\n"
        f"  dashboard     {standing.dashboard}\n"
        f'  use it        rayfleet run -- python script.py    (or, in this shell: eval "$(rayfleet env)")'
    )
