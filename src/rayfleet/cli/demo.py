"""`demo`: a real cluster on this machine grows with its work and shrinks to zero; here is only what one sees of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from rayfleet.cli.arguments import AsJson, add
from rayfleet.cli.terminal import EXIT_INTERRUPTED, EXIT_NOT_OK, fail, print_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rayfleet.launcher.demo.record import Event, Spread
    from rayfleet.launcher.demo.stage import Scene, Show
    from rayfleet.launcher.demo.verdict import Figures, Verdict

_NEWS = 14
_REDRAWS_PER_S = 4


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    add(app, demo)


def demo(
    sleep: Annotated[
        float, typer.Option("--sleep", min=0.0, help="How long each task of the demo sleeps, in s.")
    ] = 3.0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster up afterwards, to look around.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a real Ray cluster on this machine grow with its work and shrink back to zero: a minute or two.

    Three workloads of ordinary Ray programs are played: tasks; detached actors; a placement group and a labelled task.
    Everything that was started is ended, also after Ctrl-C. Ends with 1 when anything is not as it should be.

    Examples:
      rayfleet demo
      rayfleet demo --json              one line for programs; what happens goes to standard error
      rayfleet demo --keep              then: rayfleet status, rayfleet why, rayfleet down
    """
    from rayfleet.launcher.demo.play import Interrupted, play

    try:
        with shown(sys.stderr if as_json else sys.stdout) as show:
            verdict = asyncio.run(play(show, sleep_s=sleep, keep=keep))
    except Interrupted as interrupted:
        fail(str(interrupted), code=EXIT_INTERRUPTED)
    if as_json:
        print(json.dumps(verdict.as_json()))
    else:
        _print_verdict(verdict, kept=keep)
    if not verdict.ok:
        raise typer.Exit(EXIT_NOT_OK)


# ---- while it runs ------------------------------------------------------------------------------


@contextmanager
def shown(stream: TextIO) -> Iterator[Show]:
    """Show scenes: a live view where somebody looks at a terminal, else a line for each event."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), refresh_per_second=_REDRAWS_PER_S, transient=True) as live:
        yield lambda scene: live.update(picture(scene))


class _Lines:
    """Prints each event once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._printed = 0

    def __call__(self, scene: Scene) -> None:
        for event in scene.events[self._printed :]:
            print(line(event, scene.began), file=self._stream, flush=True)
        self._printed = len(scene.events)


def line(event: Event, began: float) -> str:
    """Return an event as a line."""
    return f"{max(0.0, event.at - began):6.1f} s  {event.kind:8}  {event.text}"


def picture(scene: Scene) -> RenderableType:
    """Return a scene as a picture: machines, what waits, and the latest news."""
    from rich.console import Group
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    from rayfleet.launcher.demo.record import rows, waiting

    machines = Table("machine", "pool", "phase", "CPUs", "why", box=None, pad_edge=False, header_style="bold")
    styles = {"READY": "green", "BOOTING": "yellow", "REQUESTED": "yellow"}
    for row in rows(scene.report) if scene.report else ():
        machines.add_row(row.name, row.pool, Text(row.phase, style=styles.get(row.phase, "dim")), row.cpus, row.why)
    waits = waiting(scene.report.snapshot.demand) if scene.report else ()
    news = Text(
        "\n".join(line(event, scene.began) for event in scene.events[-_NEWS:]), style="dim", overflow="ellipsis"
    )
    title = f"rayfleet demo · {scene.at - scene.began:.0f} s · {scene.chapter}"
    demand = Text("waits: " + ("; ".join(waits) or "nothing"), style="bold yellow" if waits else "dim")
    return Group(Rule(title, align="left"), machines, demand, Rule(style="dim"), news)


# ---- at the end ---------------------------------------------------------------------------------


def _print_verdict(verdict: Verdict, *, kept: bool) -> None:
    print()
    columns, *cells = table(verdict)
    print_table(columns, cells, none="no workload was played")
    print(
        "\nTimes in seconds, middle / largest, from the cluster's own record. Demand to launch: from Ray's answer to\n"
        "the provider call. Scale-down: from the end of the work to the last machine gone, beyond the idle time-out."
    )
    print(summary(verdict))
    name = verdict.cluster
    for problem in verdict.problems:
        print(f"NOT OK: {problem}")
    if kept:
        print(f"cluster {name} is still up: rayfleet status {name}, rayfleet why {name}, rayfleet down {name}")
    elif not verdict.ok:
        print(f"the record is kept: rayfleet history {name}, rayfleet logs {name}")


def table(verdict: Verdict) -> list[tuple[str, ...]]:
    """Return the rows of the table of times, the first one its columns."""
    columns = ("WORKLOAD", "NODES", "CPUS", "DEMAND TO LAUNCH", "LAUNCH TO NODE", "FIRST TASK", "SCALE-DOWN")
    chapters = [(chapter.name, *_cells(figures)) for chapter, figures in verdict.chapters]
    return [columns, *chapters, ("all", *_cells(verdict.total))]


def summary(verdict: Verdict) -> str:
    """Return what is below the table."""
    up = "" if verdict.up_s is None else f"up in {verdict.up_s:.1f} s, "
    down = "" if verdict.down_s is None else f"down in {verdict.down_s:.1f} s, "
    left = "kept" if verdict.left_behind is None else f"{verdict.left_behind} processes left behind"
    return f"{verdict.total.tasks_done} tasks done; {up}{down}{left}; {verdict.took_s:.0f} s in all"


def _cells(figures: Figures) -> tuple[str, ...]:
    first, down = figures.first_task_s, figures.scale_down_s
    return (
        str(figures.nodes_peak),
        f"{figures.cpus_peak:g}",
        _spread(figures.demand_to_launch_s),
        _spread(figures.launch_to_node_s),
        "-" if first is None else f"{first:.2f}",
        "-" if down is None else f"{down:.2f}",
    )


def _spread(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.p50:.3f} / {spread.max:.3f}"
