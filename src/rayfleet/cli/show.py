"""`status`, `why` and `history`: what is, and why; nothing here changes anything."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayfleet.cli.arguments import AsJson, Cluster, KubeContext, Record, add, in_kubernetes, on_head
from rayfleet.cli.terminal import fail, print_json, print_table, until_interrupted

if TYPE_CHECKING:
    from rayfleet.launcher.home import Home
    from rayfleet.reports.events import Event

_REFRESH_S = 1.0


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, status, cls=on_head(0))
    add(app, why, cls=on_head(0, asks_autoscaler=True))
    add(app, history, cls=on_head(0, asks_autoscaler=True, subjects=["export"]))


def status(
    cluster: Cluster = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what is in use on each node; --json always has it.")
    ] = False,
    context: KubeContext = None,
) -> None:
    """Show nodes, resources, demand, and what is being done about it.

    Examples:
      rayfleet status
      rayfleet status --watch
      rayfleet status -v               each node's use
      rayfleet status second --json
      rayfleet status --watch --json   one object a second
      rayfleet status raycluster.yaml  or k8s:CONTEXT/NAMESPACE/NAME: a RayCluster's head, groups and conditions
    """
    if in_kubernetes(cluster, context):
        from rayfleet.cli import resources
        from rayfleet.launcher.kube.choose import Wanted

        if verbose:
            fail(
                "--verbose is for clusters that rayfleet starts",
                "rayfleet list nodes raycluster.yaml has each node's use",
            )
        resources.status(Wanted(cluster, context), watch=watch, as_json=as_json)
        return
    from rayfleet.cli.suspension import told
    from rayfleet.launcher import suspension
    from rayfleet.launcher.known import choose
    from rayfleet.launcher.view import status_json, status_text

    home = choose(cluster)
    resting = suspension.load(home)
    if resting is not None:
        told(home, resting, as_json=as_json)
    elif watch and as_json:
        until_interrupted(lambda: _forever(lambda: _print_each(status_json(home))))
    elif watch:
        _watch(home, lambda home: status_text(home, verbose=verbose))
    elif as_json:
        print_json(status_json(home))
    else:
        print(status_text(home, verbose=verbose))


def why(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[CLUSTER] [POOL|NODE|SHAPE|CODE]", show_default=False)
    ] = None,
    shape: Annotated[
        str, typer.Option(metavar="SHAPE", help="What each pool and offer has to do with such work: CPU=4,memory=8e9.")
    ] = "",
    pool: Annotated[str, typer.Option(metavar="POOL", help="Only this pool; without --shape the same as POOL.")] = "",
    selector: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=VALUE", help="With a shape: work that asks for this label; repeatable."),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="With a shape: as if so many more such tasks waited.", show_default=False),
    ] = None,
    tick: Annotated[str, typer.Option(metavar="NUMBER|last", help="As it was at this recorded tick.")] = "",
    at: Annotated[
        str, typer.Option(metavar="TIME", help="As it was then: 18:30, '2026-11-22 18:30', or 10m (ago).")
    ] = "",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="From a recorded tick or a scenario file; - reads it.")
    ] = None,
    record: Record = None,
    context: KubeContext = None,  # noqa: ARG001 - of clusters in Kubernetes, where the command is run
    as_json: AsJson = False,
) -> None:
    """Say why the cluster is as it is: a pool, a machine, a shape, a launch that did not happen, or everything.

    Examples:
      rayfleet why
      rayfleet why cpu4
      rayfleet why m3
      rayfleet why '{"CPU": 1, "GPU": 1}'
      rayfleet why --shape CPU=4 --pool cpu16     why no cpu16 is launched for it
      rayfleet why --shape CPU=4 --count 100      as if a hundred more waited
      rayfleet why cpu16 --at 18:30               from the record
      rayfleet why --shape GPU=1 --file scenario.yaml
      rayfleet why upscaling_speed     what a reason's code means, and what to do about it
      rayfleet why raycluster.yaml cpu4           asks the autoscaler beside the head
    """
    from rayfleet.cli.offline import name_of, text_of
    from rayfleet.launcher.asking import Asked, from_file, from_record
    from rayfleet.launcher.known import split

    cluster, rest = split(words or [], 0)
    asked = Asked(" ".join(rest), shape, pool, count, tuple(selector or ()))
    if sum(bool(choice) for choice in (tick, at, file)) > 1:
        fail("--tick, --at and --file each choose a moment", "give one of them")
    if (shape or pool) and asked.subject:
        fail(f"{asked.subject!r} beside --shape or --pool", "give a subject, or options that say what is meant")
    if file is not None:
        told = from_file(text_of(file), name_of(file), asked)
    else:
        told = from_record(recorded(cluster, record), asked, tick, at)
    if as_json:
        print_json(told.as_json(asked))
        return
    print("\n".join(told.lines))


def history(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[export] [CLUSTER]", help="export: write the work as a trace.", show_default=False),
    ] = None,
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="How many entries.")] = 20,
    tick: Annotated[
        str, typer.Option(metavar="NUMBER|last", help="Print the record of one tick, for `rayfleet replay`.")
    ] = "",
    hours: Annotated[float, typer.Option(min=0.01, help="export: the last hours of the record.")] = 24.0,
    write: Annotated[Path | None, typer.Option(help="export: to this file (.csv or .parquet).")] = None,
    record: Record = None,
    context: KubeContext = None,  # noqa: ARG001 - of clusters in Kubernetes, where the command is run
    as_json: AsJson = False,
) -> None:
    """Show what was launched, drained and released, when and why; the newest last.

    `history export` writes what ran and waited as a trace for `rayfleet simulate`.

    Examples:
      rayfleet history
      rayfleet history -n 100 --json
      rayfleet history --tick last > tick.json
      rayfleet history export > trace.csv
      rayfleet history k8s:/team/demo  asks the autoscaler beside the head
    """
    from rayfleet.launcher.view import event_json, happenings, recorded_tick

    exports = (words or [])[:1] == ["export"]
    home = recorded(next(iter((words or [])[exports:]), None), record)
    if exports:
        from rayfleet.cli.simulate import export_record

        export_record(home, hours, write)
        return
    if tick:
        print_json(recorded_tick(home, tick))
        return
    events = happenings(home, last)
    if as_json:
        print_json([event_json(event) for event in events])
        return
    rows = [event_row(event) for event in events]
    print_table(("TIME", "WHAT", "POOL", "HOW AND WHY"), rows, none="nothing has happened yet")


def event_row(event: Event) -> tuple[str, str, str, str]:
    """Return an event as a row: when, what, which pool, how and why."""
    clock = time.strftime("%m-%d %H:%M:%S", time.localtime(event.at))
    return clock, event.kind, event.pool, event.text


def recorded(word: str | None, record: Path | None) -> Home:
    """Return whose record is meant: the one in a folder, else a cluster's."""
    from rayfleet.launcher.home import Home

    if record is None:
        return _any_cluster(word)
    if word is not None:
        fail(f"cluster {word} beside --record", "name one of them")
    home = Home(record.absolute())
    if not home.history.exists():
        fail(f"there is no record in {record}", f"it would be {home.history.name}")
    return home


def _any_cluster(word: str | None) -> Home:
    """Return the cluster that is meant; what is recorded of one that is down may be read too."""
    from rayfleet.launcher import home as homes
    from rayfleet.launcher.errors import NoCluster
    from rayfleet.launcher.known import choose

    try:
        return choose(word)
    except NoCluster:
        every = homes.known()
        if len(every) != 1:
            raise
        return every[0]


def _watch(home: Home, text: Callable[[Home], str]) -> None:
    """Show `text` anew each second: in place on a terminal, else whenever it says something new."""
    if sys.stdout.isatty():
        in_place(lambda: text(home))
    else:
        until_interrupted(lambda: _print_news(lambda: text(home)))


def in_place(text: Callable[[], str]) -> None:
    """Show `text` on the whole terminal, anew each second, until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(Text(text()), console=Console(), auto_refresh=False, screen=True) as live:

        def again() -> None:
            time.sleep(_REFRESH_S)
            live.update(Text(text()), refresh=True)

        until_interrupted(lambda: _forever(again))


def _print_each(value: Any) -> None:
    print_json(value)
    sys.stdout.flush()
    time.sleep(_REFRESH_S)


def _print_news(text: Callable[[], str]) -> None:
    shown = ""
    while True:
        now = text()
        if now.partition("\n")[2] != shown.partition("\n")[2]:  # the first line holds the time
            print(now, end="\n\n", flush=True)
            shown = now
        time.sleep(_REFRESH_S)


def _forever(step: Callable[[], None]) -> None:
    while True:
        step()
