"""`events` and `top`: what happens, as it happens."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from rayfleet.cli.arguments import AsJson, Cluster, KubeContext, Record, add, on_head
from rayfleet.cli.show import event_row, in_place, recorded
from rayfleet.cli.terminal import print_json, print_table, until_interrupted

if TYPE_CHECKING:
    from rayfleet.launcher.home import Home
    from rayfleet.reports.event_search import EventQuery

_EVENTS_ON_SCREEN = 40
_EVENTS_IN_BLOCK = 10


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, events, cls=on_head(0, asks_autoscaler=True))
    add(app, top, cls=on_head(0, asks_autoscaler=True))


def events(
    cluster: Cluster = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Only launch, drain, release, stop, ready, gone, failed, finding, trouble or error; repeatable.",
            show_default=False,
        ),
    ] = None,
    pool: Annotated[str, typer.Option(metavar="POOL", help="Only of this pool.", show_default=False)] = "",
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Since 18:30, '2026-11-22 18:30', or 10m (ago). Default: the last ones.",
            show_default=False,
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many, from the end.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what comes, until Ctrl-C.")] = False,
    record: Record = None,
    context: KubeContext = None,  # noqa: ARG001 - of clusters in Kubernetes, where the command is run
    as_json: AsJson = False,
) -> None:
    """Show what was done, what failed and what was found, with the reasons; the newest last.

    Examples:
      rayfleet events
      rayfleet events --since 10m --kind launch --kind failed
      rayfleet events --pool cpu4 --follow
      rayfleet events --follow --json        one object a line
      rayfleet events k8s:/team/demo         asks the autoscaler beside the head
    """
    from rayfleet.launcher.happening import chosen, query
    from rayfleet.launcher.view import event_json

    home, wanted = recorded(cluster, record), query(kind or [], pool, since, limit)
    if follow:
        until_interrupted(lambda: _follow(home, wanted, as_json=as_json))
        return
    found = chosen(home, wanted)
    if as_json:
        print_json([event_json(event) for event in found])
        return
    print_table(("TIME", "WHAT", "POOL", "HOW AND WHY"), [event_row(event) for event in found], none="nothing like it")


def _follow(home: Home, wanted: EventQuery, *, as_json: bool) -> None:
    from rayfleet.launcher.happening import followed
    from rayfleet.launcher.view import event_json

    for event in followed(home, wanted):
        row = event_row(event)
        text = json.dumps(event_json(event), ensure_ascii=False) if as_json else "  ".join(row)
        print(text, flush=True)


def top(
    cluster: Cluster = None,
    record: Record = None,
    context: KubeContext = None,  # noqa: ARG001 - of clusters in Kubernetes, where the command is run
    as_json: AsJson = False,
) -> None:
    """Show one live screen: cost, nodes by pool and phase, what waits and why, back-offs, what happened last.

    It is made anew each second until Ctrl-C. Where standard output is no terminal, it is printed once.

    Examples:
      rayfleet top
      rayfleet top second
      rayfleet top | head -40
      rayfleet top --json
    """
    home = recorded(cluster, record)
    if as_json:
        from rayfleet.launcher.view import event_json, happenings, status_json

        shown = [event_json(event) for event in happenings(home, _EVENTS_IN_BLOCK)]
        print_json({"status": status_json(home), "events": shown})
    elif sys.stdout.isatty():
        in_place(lambda: _screen(home, live=True))
    else:
        print(_screen(home, live=False))


def _screen(home: Home, *, live: bool) -> str:
    from rayfleet.launcher.view import happenings, latest, warning
    from rayfleet.reports.top_text import Screen, top_text

    size = shutil.get_terminal_size()
    screen = Screen(size.columns, size.lines) if live else Screen()
    events = happenings(home, _EVENTS_ON_SCREEN if live else _EVENTS_IN_BLOCK)
    return top_text(latest(home), events, time.time(), warning(home), screen)
