"""`up`, `down`, and the `controller` that `up` starts."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rayfleet.cli import elsewhere, page
from rayfleet.cli.arguments import (
    AsJson,
    Cluster,
    KubeContext,
    Name,
    RayVerb,
    Timeout,
    add,
    cluster_names,
    in_kubernetes,
)
from rayfleet.cli.ending import tell_end
from rayfleet.cli.page import NoPage
from rayfleet.cli.terminal import EXIT_INTERRUPTED, complain, fail, print_json, waiting

if TYPE_CHECKING:
    from rayfleet.launcher.spec import Wanted
    from rayfleet.launcher.up import Standing


MinWorkers = Annotated[
    int | None, typer.Option(min=0, help="Elsewhere: instead of the file's, of its only kind of worker.")
]
MaxWorkers = Annotated[int | None, typer.Option(min=0, help="Elsewhere: instead of the file's.")]
NoRestart = Annotated[bool, typer.Option("--no-restart", help="Elsewhere: Ray is left running, whatever has changed.")]
RestartOnly = Annotated[
    bool, typer.Option("--restart-only", help="Elsewhere: start Ray anew, without any set-up command.")
]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, up, cls=RayVerb)
    add(app, down, cls=RayVerb)
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
    name: Name = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Control it from this terminal; Ctrl-C ends the cluster.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Change what is there without asking.")] = False,
    min_workers: MinWorkers = None,
    max_workers: MaxWorkers = None,
    no_restart: NoRestart = False,
    restart_only: RestartOnly = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and what it costs an hour.")
    ] = False,
    no_dashboard: NoPage = False,
    timeout: Timeout = 600.0,
    context: KubeContext = None,
    as_json: AsJson = False,
) -> None:
    """Start a cluster, bring it up to date, or take up again one whose controller is gone.

    Examples:
      rayfleet up                      this machine's pools, no file needed
      rayfleet up cluster.yaml         as the file says; after a change: applies it
      rayfleet up --name second        one more cluster beside the first
      rayfleet up aws.yaml --dry-run   what it would make and cost; asks no cloud
      rayfleet up aws.yaml             elsewhere: brings up its head, which brings up the rest
      rayfleet up raycluster.yaml      a RayCluster, RayJob or RayService, in Kubernetes
    """
    asked = elsewhere.Asked(min_workers, max_workers, no_restart, restart_only, yes)
    if in_kubernetes(config, context):
        from rayfleet.cli import resources
        from rayfleet.launcher.kube.choose import Wanted

        asked.refuse_here()
        resources.refuse_of_up(named=name is not None, foreground=foreground, dry_run=dry_run)
        resources.up(Wanted(config, context), yes=yes, timeout_s=timeout, as_json=as_json)
        return
    from rayfleet.launcher.spec import resolve

    wanted = resolve(config, name)
    for note in wanted.spec.notes:  # beside the answer, which may be JSON
        print(f"note: {note}", file=sys.stderr)
    is_remote = elsewhere.is_remote(wanted.spec)
    if not is_remote:
        asked.refuse_here()
    if dry_run:
        from rayfleet.cli.dry_run import show_dry_run

        show_dry_run(elsewhere.resized(wanted, asked), as_json=as_json)
    elif is_remote:
        if foreground:
            fail("--foreground is for clusters of this machine", "the controller of this one runs on its head")
        elsewhere.up(wanted, asked, timeout, no_page=no_dashboard, as_json=as_json)
    else:
        up_here(wanted, foreground=foreground, no_page=no_dashboard, as_json=as_json)


def up_here(wanted: Wanted, *, foreground: bool = False, no_page: bool = False, as_json: bool = False) -> None:
    """Bring a cluster of this machine up."""
    from rayfleet.launcher.up import up_and_serving

    try:
        if foreground:
            _stay(wanted, no_page=no_page)
        with waiting(f"starting {wanted.name}") as progress:
            standing = asyncio.run(up_and_serving(wanted, progress))
    except KeyboardInterrupt:
        _undo(wanted)
    url = page.started(wanted.name, unwanted=no_page)
    if as_json:
        print_json({**standing.as_json(), "page": url})
    else:
        _welcome(standing, url)


def down(
    cluster: Cluster = None,
    forget: Annotated[bool, typer.Option("--forget", help="Also remove its configuration, history and logs.")] = False,
    workers_only: Annotated[
        bool, typer.Option("--workers-only", help="Elsewhere: the head stays, without workers, until the next up.")
    ] = False,
    keep_min_workers: Annotated[
        bool, typer.Option("--keep-min-workers", help="Elsewhere: the head and the minimums stay, until the next up.")
    ] = False,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="On hosts of your own: those out of reach are left as they are.")
    ] = False,
    name: Name = None,
    _yes: Annotated[bool, typer.Option("--yes", "-y", help="Nobody is asked in any case.")] = False,
    timeout: Timeout = 600.0,
    context: KubeContext = None,
    as_json: AsJson = False,
) -> None:
    """End a cluster: workers first, then the head. Its history and logs stay.

    Examples:
      rayfleet down
      rayfleet down second
      rayfleet down second --forget
      rayfleet down aws.yaml           elsewhere: everything that the place lists for it
      rayfleet down aws.yaml --workers-only
      rayfleet down raycluster.yaml    deletes what is in the file; over when its pods are gone
    """
    ending = elsewhere.Ending(workers_only, keep_min_workers, forget, give_up)
    if in_kubernetes(cluster, context):
        from rayfleet.cli import resources
        from rayfleet.launcher.kube.choose import Wanted

        ending.refuse_here()
        resources.down(Wanted(cluster, context), timeout_s=timeout, as_json=as_json)
        return
    found = elsewhere.to_end(cluster, name)
    if found is not None:
        elsewhere.down(found, ending, timeout, as_json=as_json)
        return
    ending.refuse_here()
    _down_here(name or cluster, forget=forget, as_json=as_json)


def _down_here(word: str | None, *, forget: bool, as_json: bool) -> None:
    """End a cluster of this machine."""
    from rayfleet.launcher.down import down as bring_down
    from rayfleet.launcher.errors import NoCluster
    from rayfleet.launcher.home import remove
    from rayfleet.launcher.known import choose

    try:
        home = choose(word)
    except NoCluster as nothing:  # which is what was asked for
        print_json([]) if as_json else print(nothing)
        return
    try:
        with waiting(f"ending {home.name}") as progress:
            ended = asyncio.run(bring_down(home, progress))
    except KeyboardInterrupt:
        hint = f"rayfleet list says whether it is down, rayfleet down {home.name} sees it through"
        fail(f"interrupted; cluster {home.name} goes on ending if it had begun", hint, EXIT_INTERRUPTED)
    tell_end(ended, as_json=as_json)
    if forget:
        remove(home)


def controller(
    cluster: Annotated[str, typer.Option(help="The cluster to control.")],
) -> None:
    """Control a cluster in the foreground, as `up` does in the background."""
    from rayfleet.launcher.daemon import become_controller

    become_controller(cluster)


def _stay(wanted: Wanted, *, no_page: bool) -> NoReturn:
    """Become the controller of the cluster, in this terminal; does not return."""
    from rayfleet.launcher.daemon import FOREGROUND, become_controller
    from rayfleet.launcher.up import prepare, take_up

    home, _held = prepare(wanted)  # a name, so that what holds the ports goes along
    asyncio.run(take_up(home, wanted))
    if url := page.started(wanted.name, unwanted=no_page):
        print(f"The dashboard is at {url}", file=sys.stderr, flush=True)
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


def _welcome(standing: Standing, url: str) -> None:
    shown = f"  dashboard     {url}\n" if url else ""
    overrides = f"  standing orders: {', '.join(standing.overrides)}\n" if standing.overrides else ""
    workers = f"{standing.workers} workers" if standing.workers else "no workers until work comes"
    print(
        f"cluster {standing.cluster} is up: head in {standing.head_ready_s:.1f} s, {workers}\n"
        f"{overrides}"
        f"  Ray address   {standing.address}\n"
        f"  Ray client    {standing.client}\n"
        f"{shown}"
        f"  Ray's own     {standing.dashboard}\n"
        f'  use it        rayfleet run -- python script.py    (or, in this shell: eval "$(rayfleet env)")'
    )
