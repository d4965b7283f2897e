"""`simulate`: what would policies cost, and how long would work wait? On virtual time, from files alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayfleet.cli.arguments import AsJson, add
from rayfleet.cli.terminal import EXIT_NOT_OK, fail, print_json

if TYPE_CHECKING:
    from rayfleet.launcher.home import Home
    from rayfleet.simulator.compare import Comparison
    from rayfleet.simulator.replays import Record
    from rayfleet.simulator.trace import Trace


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    add(app, simulate)


def simulate(
    work: Annotated[
        str,
        typer.Argument(
            metavar="TRACE",
            help="A trace (.csv or .parquet), or a made one: diurnal, bursty, batch, training.",
            show_default=False,
        ),
    ],
    policy: Annotated[
        list[Path] | None, typer.Option("--policy", "-p", help="A cluster or scenario file; may be given again.")
    ] = None,
    peer: Annotated[list[str] | None, typer.Option("--peer", help="Beside each policy: ray-v2.")] = None,
    world: Annotated[Path | None, typer.Option(help="What machines do and what goes wrong, as YAML.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same report.")] = 0,
    tick: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between ticks.")] = 5.0,
    until: Annotated[float | None, typer.Option(min=1, help="End after so many seconds.", show_default=False)] = None,
    check: Annotated[bool, typer.Option("--check", help="Look for broken rules in every plan; slower.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a report with charts to this file.")] = None,
    write: Annotated[Path | None, typer.Option(help="Only write the trace to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare policies on a workload: the production loop and planner, on virtual time in a pretend world.

    Examples:
      rayfleet simulate trace.csv --policy a.yaml --policy b.yaml --peer ray-v2
      rayfleet simulate diurnal:hours=24,peak=500 -p cluster.yaml --html report.html
      rayfleet simulate bursty --seed 7 --write trace.csv
    """
    trace = _trace(work, seed)
    if write is not None:
        _write(trace, write)
        return
    if not policy:
        fail("there is no policy", "give at least one file: --policy cluster.yaml")
    from rayfleet.simulator.run import Setting
    from rayfleet.simulator.scene import Scene, read_scene

    scene = Scene() if world is None else read_scene(_existing(world))
    settings = [
        Setting(name, told, trace, scene, seed, tick, planner, until, checked=check)
        for name, told, planner in _sides(policy, peer or [])
    ]
    compared = _compared(settings)
    told = compared.as_json()
    if html is not None:
        from rayfleet.simulator.page import page

        html.write_text(page(compared), encoding="utf-8")
    if as_json:
        print_json(told)
    else:
        _print(told)
        print(*([f"report: {html}"] if html else []), sep="\n", end="" if html is None else "\n")
    if any(result["problems"] for result in told["results"]):
        raise typer.Exit(EXIT_NOT_OK)


def replay_under(subject: str, policy: Path, hours: float, seed: int, html: Path | None, *, as_json: bool) -> None:
    """Replay what a cluster (or a history file) has recorded under another policy, and print what that changes."""
    from rayfleet.simulator.policies import read_policy
    from rayfleet.simulator.replays import replay_record

    replayed = replay_record(_record(subject, hours), read_policy(_existing(policy)), seed)
    told = replayed.as_json()
    if html is not None:
        from rayfleet.simulator.page import page

        html.write_text(page(replayed.compared), encoding="utf-8")
    if as_json:
        print_json(told)
        return
    _print(told)
    from rayfleet.simulator.findings import of_replay

    print("", *of_replay(told), sep="\n")


def _record(subject: str, hours: float) -> Record:
    """Return the last hours of a record: of a history file, or of a cluster that was up here."""
    from rayfleet.launcher.known import choose

    path = Path(subject)
    if path.is_file() and path.suffix == ".sqlite":
        return _hours_of(path, path.name, hours)
    home = choose(subject)
    return _hours_of(home.history, home.name, hours)


def _hours_of(file: Path, name: str, hours: float) -> Record:
    from rayfleet.launcher.view import recorded_in
    from rayfleet.reports.history import HistoryReader
    from rayfleet.simulator.replays import Record

    reader = HistoryReader(file)
    newest = reader.latest()
    since = newest.snapshot.now - hours * 3600 if newest else 0.0
    return Record(name, lambda: recorded_in(file, since), lambda: reader.work(since))


def export_record(home: Home, hours: float, write: Path | None) -> None:
    """Write the work that a cluster has recorded as a trace, to a file or to standard output."""
    from rayfleet.simulator.recorded import trace_of_record
    from rayfleet.simulator.trace import to_csv

    trace = trace_of_record(home.name, _hours_of(home.history, home.name, hours).work())
    if write is not None:
        _write(trace, write)
    else:
        print(to_csv(trace), end="")


def _sides(policies: list[Path], peers: list[str]) -> list[tuple[str, Any, Any]]:
    """Return name, policy and planner of each side: every policy, then every policy as each peer would run it."""
    from rayfleet.simulator.peer import as_peer, peer_planner, peers_known
    from rayfleet.simulator.policies import read_policy

    unknown = [name for name in peers if name not in peers_known()]
    if unknown:
        fail(f"there is no peer {unknown[0]!r}", f"peers are {', '.join(peers_known())}")
    candidates = [read_policy(_existing(path)) for path in policies]
    names = {candidate.name for candidate in candidates}
    if len(names) < len(candidates):
        fail("two policies have the same file name", "their columns could not be told apart: rename one")
    sides: list[tuple[str, Any, Any]] = [(each.name, each.policy, None) for each in candidates]
    for name in peers:
        for each in candidates:
            shown = name if len(candidates) == 1 else f"{name} ({each.name})"
            sides.append((shown, as_peer(each.policy), peer_planner(name, each.policy)))
    return sides


def _trace(work: str, seed: int) -> Trace:
    from rayfleet.simulator.generators import GENERATORS, generated, is_generator
    from rayfleet.simulator.trace import read_trace

    if is_generator(work) and not Path(work).exists():
        return generated(work, seed)
    path = Path(work)
    if not path.exists() and "." not in path.name:
        fail(f"there is neither a file nor a generator {work!r}", f"generators are {', '.join(GENERATORS)}")
    return read_trace(_existing(path))


def _existing(path: Path) -> Path:
    if not path.is_file():
        fail(f"there is no file {path}", f"looked in {Path.cwd()}" if not path.is_absolute() else "")
    return path


def _write(trace: Trace, path: Path) -> None:
    from rayfleet.simulator.trace import write_trace

    write_trace(trace, path)
    print(f"{path}: {trace.tasks:,} tasks in {len(trace.rows):,} rows")


def _compared(settings: list[Any]) -> Comparison:
    """Run everything, with a bar for each side as long as somebody looks."""
    from rayfleet.simulator.compare import compare

    if not sys.stderr.isatty():
        return compare(settings)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        bars = {each.name: display.add_task(each.name, total=1.0) for each in settings}
        return compare(
            settings,
            lambda name, passed_s, last_s: display.update(bars[name], completed=min(1.0, passed_s / max(1.0, last_s))),
        )


def _print(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from rayfleet.simulator.findings import never_done
    from rayfleet.simulator.table import headline, lines

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for result in told["results"]:
        table.add_column(result["name"], justify="right")
    for line in lines(told):
        cells = [f"[bold green]{cell}[/]" if n in line.best else cell for n, cell in enumerate(line.cells)]
        table.add_row(line.label, *cells)
    console.print(headline(told), style="dim", markup=False, soft_wrap=True)
    console.print(table)
    for result in told["results"]:
        if result["tasks"]["left"]:
            console.print(never_done(result), markup=False, soft_wrap=True)
        for problem in result["problems"]:
            console.print(f"{result['name']}: {problem}", style="red", markup=False, soft_wrap=True)
