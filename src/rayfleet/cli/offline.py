"""`plan`, `replay`, `config` and `schema`: from files alone, no cluster needed."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayfleet.cli.arguments import AsJson, add, cluster_names
from rayfleet.cli.terminal import EXIT_NOT_OK, EXIT_USAGE, fail, print_json

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Path of the file; - reads standard input.", show_default=False)
]
if TYPE_CHECKING:
    from rayfleet.model import Snapshot

_STANDARD_INPUT = Path("-")


class Format(StrEnum):
    """The public formats that have a schema."""

    SCENARIO = "scenario"
    CLUSTER = "cluster"
    STATUS = "status"


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, plan)
    add(app, replay)
    add(app, schema)
    configuration = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check or show a cluster's file.")
    add(configuration, config_check, "check")
    add(configuration, config_show, "show")
    app.add_typer(configuration, name="config")


def plan(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[SCENARIO|CLUSTER]",
            help="A scenario file (- reads standard input), or a cluster. Default: the only one that is up.",
            autocompletion=cluster_names,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    placements: Annotated[bool, typer.Option("--placements", help="Also say where each demand goes.")] = False,
    what_if: Annotated[
        list[str] | None,
        typer.Option("--what-if", metavar="KEY=VALUE", help="As if this were set (as in `rayfleet set`); repeatable."),
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            metavar="fast|thorough|N", help="How long to look for cheaper machines; default: as the file says."
        ),
    ] = None,
) -> None:
    """Print what would be done in a situation: a scenario file, or the cluster as it is now.

    Examples:
      rayfleet plan scenario.yaml
      rayfleet plan scenario.yaml --json --placements
      rayfleet plan                    the cluster that is up, as it is now
      rayfleet plan second             the cluster `second`; a file of that name is ./second
      rayfleet plan --what-if max_workers=200 --what-if cpu4.min_workers=3
      rayfleet plan scenario.yaml --effort thorough
    """
    from rayfleet.launcher.known import is_known
    from rayfleet.launcher.planning import live_snapshot, plan_timed, scenario_snapshot, with_effort

    live = subject is None or is_known(subject)
    file = Path(subject or "")
    snapshot = live_snapshot(subject) if live else scenario_snapshot(text_of(file), name_of(file))
    snapshot = with_effort(snapshot, effort)
    if what_if:
        _plan_what_if(snapshot, what_if, as_json=as_json, placements=placements)
        return
    timed = plan_timed(snapshot)
    if as_json:
        print_json(timed.as_json(placements=placements))
    else:
        print("\n".join(timed.lines(placements=placements)))


def _plan_what_if(snapshot: Snapshot, sets: list[str], *, as_json: bool, placements: bool) -> None:
    """Print the plan as it would be, and how it differs from the plan as it is."""
    from rayfleet.launcher.comparing import changes, comparison
    from rayfleet.launcher.planning import difference, plan_timed, what_if

    now, then = plan_timed(snapshot), plan_timed(what_if(snapshot, sets))
    differs = difference(now.plan, then.plan)
    if as_json:
        told = {**then.as_json(placements=placements), "what_if": sets, "difference": differs}
        print_json({**told, "changes": changes(now.plan, then.plan)})
        return
    print(f"if {', '.join(sets)}:", *then.lines(placements=placements), sep="\n")
    other = "the same launches, machines and unmet work; only reasons differ" if differs else "the same plan"
    print("", "compared with now:", *(comparison(now.plan, then.plan) or [other]), sep="\n")


def replay(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FILE|CLUSTER", help="A recorded tick (- reads standard input); with --policy, a history."
        ),
    ],
    policy: Annotated[
        Path | None, typer.Option("--policy", "-p", help="Replay a whole record under this cluster or scenario file.")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="With --policy: the last hours of the record.")] = 24.0,
    seed: Annotated[int, typer.Option(help="With --policy: same seed, same report.")] = 0,
    html: Annotated[Path | None, typer.Option(help="With --policy: write a report with charts to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Plan a recorded tick again and show what differs; ends with 1 when something does.

    With --policy, a cluster's recorded ticks are planned again under another policy, and the recorded work is simulated
    under both: the difference in cost and waiting.

    Examples:
      rayfleet history --tick last > tick.json
      rayfleet replay tick.json
      rayfleet replay mycluster --policy other.yaml --hours 24
    """
    if policy is not None:
        from rayfleet.cli.simulate import replay_under

        replay_under(subject, policy, hours, seed, html, as_json=as_json)
        return
    from rayfleet.launcher.planning import replayed

    file = Path(subject)
    difference = replayed(text_of(file), name_of(file))
    if as_json:
        print_json({"same": not difference, "difference": difference})
    else:
        print("\n".join(difference) if difference else "the same plan, byte for byte")
    if difference:
        raise typer.Exit(EXIT_NOT_OK)


def config_check(file: File, as_json: AsJson = False) -> None:
    """Check a cluster file; every problem at once, each with its line and a hint.

    Files that this version cannot run yet are checked as far as it knows them, and it says so.

    Examples:
      rayfleet config check cluster.yaml
      rayfleet config check cluster.yaml --json
    """
    from rayfleet.launcher.spec import checked

    found = checked(text_of(file), name_of(file))
    if as_json:
        told = {"problems": found.problems, "notices": found.notices}
        lists = {key: [problem.as_json() for problem in problems] for key, problems in told.items()}
        print_json({"ok": not found.problems, "can_run": found.can_run, **lists})
        if found.problems:
            raise typer.Exit(EXIT_USAGE)
        return
    for notice in found.notices:
        print(f"note: {notice}")
    if found.problems:
        fail("\n".join(str(problem) for problem in found.problems))
    print(found.verdict(name_of(file)))


def config_show(file: File) -> None:
    """Print what a cluster file means once every default is filled in.

    Examples:
      rayfleet config show cluster.yaml
    """
    from rayfleet.launcher.spec import shown

    print_json(shown(text_of(file), name_of(file)))


def schema(of: Annotated[Format, typer.Argument(metavar="FORMAT", help="Which format.")]) -> None:
    """Print the JSON Schema of a public format.

    Examples:
      rayfleet schema scenario
      rayfleet schema cluster > cluster.schema.json
    """
    print_json(_schema(of))


def _schema(of: Format) -> Any:
    match of:
        case Format.SCENARIO:
            from rayfleet.config import scenario_schema

            return scenario_schema()
        case Format.CLUSTER:
            from rayfleet.config import cluster_schema

            return cluster_schema()
        case Format.STATUS:
            from rayfleet.reports.status_text import status_schema

            return status_schema()


def text_of(path: Path) -> str:
    """Return the text of a file, or of standard input for `-`; ends the command when it cannot be read."""
    if path == _STANDARD_INPUT:
        return sys.stdin.read()
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        fail(f"there is no file {path}", f"looked in {Path.cwd()}" if not path.is_absolute() else "")
    except IsADirectoryError:
        fail(f"{path} is a folder", "give the path of a file")
    except UnicodeDecodeError as error:
        fail(f"{path} is not text: {error}")
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")


def name_of(path: Path) -> str:
    """Return how a file is called in messages."""
    return "standard input" if path == _STANDARD_INPUT else str(path)
