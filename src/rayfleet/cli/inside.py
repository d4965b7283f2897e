"""`list`, `summary` and `memory`: what runs inside a cluster, as Ray's own commands of these names tell it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayfleet.cli.arguments import AsJson, KubeContext, Record, add, cluster_names, names_after, on_head
from rayfleet.cli.terminal import fail, print_json, print_table
from rayfleet.contracts.state import DEFAULT_ROWS, MAX_ROWS

if TYPE_CHECKING:
    from rayfleet.launcher.home import Home

TABLES = ("nodes", "actors", "jobs", "tasks", "placement-groups", "placement_groups", "objects", "workers")
SUMMARIES = ("tasks", "actors", "objects")
_WHAT = "nodes|actors|jobs|tasks|placement-groups|objects|workers"
_MOST = 2


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, list_, "list", cls=on_head(0, asks_autoscaler=True, subjects=TABLES, needs_subject=True))
    add(app, summary, cls=on_head(0, asks_autoscaler=True, subjects=SUMMARIES))
    add(app, memory, cls=on_head(0, asks_autoscaler=True))


def list_(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT] [CLUSTER]",
            help=f"WHAT: {_WHAT}. Default: clusters.",
            autocompletion=names_after(_WHAT.split("|")),
            show_default=False,
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", "-f", metavar="KEY=VALUE", help="Only rows where it is so, or KEY!=VALUE; repeatable."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_ROWS, help="How many rows at most.")] = DEFAULT_ROWS,
    detail: Annotated[bool, typer.Option("--detail", help="Every field of each row, one a line.")] = False,
    record: Record = None,
    context: KubeContext = None,  # noqa: ARG001 - of clusters in Kubernetes, where the command is run
    as_json: AsJson = False,
) -> None:
    """Show every cluster that was started on this machine; or what is inside one, as `ray list` does.

    Keys of filters and of --json are those of Ray's state API; whatever Ray has forgotten is not listed.

    Examples:
      rayfleet list                                     the clusters
      rayfleet list nodes
      rayfleet list actors --filter state=ALIVE --limit 1000
      rayfleet list tasks second -f state!=FINISHED --json
      rayfleet list placement-groups --detail
      rayfleet list actors aws.yaml                     on its head
      rayfleet list nodes raycluster.yaml               beside its head
    """
    if not words:
        _clusters(as_json=as_json)
        return
    from rayfleet.launcher import looking

    table = looking.table_named(words[0])
    found = looking.listing(_home(words, record), table, limit, filters or [])
    if as_json:
        print_json({"kind": table, **looking.plain(found)})
        return
    _show(table, found, detail=detail)
    _note(found.warnings)


def _show(table: str, found: Any, *, detail: bool) -> None:
    from rayfleet.cli import state_tables

    if detail:
        for row in found.rows:
            print(f"{table.removesuffix('s')}:")
            print("\n".join(state_tables.details(row)))
    elif found.rows:
        print_table(*state_tables.rows_of(table, found), none="")
    print(state_tables.count_line(table, found))


def summary(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="tasks|actors|objects [CLUSTER]",
            help="What to sum up.",
            autocompletion=names_after(SUMMARIES),
            show_default=False,
        ),
    ],
    record: Record = None,
    context: KubeContext = None,  # noqa: ARG001 - of clusters in Kubernetes, where the command is run
    as_json: AsJson = False,
) -> None:
    """Sum up tasks by function, actors by class, or objects by where they were made, as `ray summary` does.

    Examples:
      rayfleet summary tasks
      rayfleet summary actors second --json
      rayfleet summary objects raycluster.yaml
    """
    from rayfleet.cli import state_tables
    from rayfleet.launcher import looking

    found = looking.summary(_home(words, record), words[0])
    if as_json:
        print_json({"kind": words[0], **looking.plain(found)})
        return
    if words[0] == "objects":
        columns: tuple[str, ...] = ("SIZE", "OBJECTS", "HELD BY", "HELD AS", "MADE AT")
        print_table(columns, state_tables.call_site_rows(found), none="there are no objects")
    else:
        columns = ("NAME", "TYPE", "STATES")
        print_table(columns, state_tables.summary_rows(found), none=f"there are no {words[0]}")
    if found.rows:
        print(state_tables.totals_line(found.totals))
    cut = (f"not all of {found.total} were counted: Ray did not look at the rest",) if found.cut else ()
    _note((*found.warnings, *cut))


def memory(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLUSTER]", autocompletion=cluster_names, show_default=False),
    ] = None,
    entries: Annotated[
        int, typer.Option("--num-entries", "--n", "-n", min=0, max=MAX_ROWS, help="How many references.")
    ] = 20,
    stats_only: Annotated[bool, typer.Option("--stats-only", help="Only what each node holds.")] = False,
    record: Record = None,
    context: KubeContext = None,  # noqa: ARG001 - of clusters in Kubernetes, where the command is run
    as_json: AsJson = False,
) -> None:
    """Show what fills the object stores: each node's, and the largest references with who holds them.

    Where an object was made is told when the cluster's processes have RAY_record_ref_creation_sites=1.

    Examples:
      rayfleet memory
      rayfleet memory -n 100 --json
      rayfleet memory --stats-only
    """
    from rayfleet.cli import state_tables
    from rayfleet.launcher import looking

    home = _home(["memory", *(words or [])], record)
    found = looking.looked(home, lambda state: state.memory(0 if stats_only else entries))
    if as_json:
        print_json(looking.plain(found))
        return
    columns = ("NODE", "MACHINE", "ADDRESS", "OBJECT STORE", "FULL", "EVER SPILLED", "MAIN MEMORY")
    print_table(columns, state_tables.memory_rows(found.nodes), none="no node tells of its memory yet")
    if not stats_only:
        print()
        _show("objects", found.largest, detail=False)
    _note(found.largest.warnings)


def _clusters(*, as_json: bool) -> None:
    from rayfleet.launcher.listing import listing

    entries = listing()
    if as_json:
        print_json([entry.as_json() for entry in entries])
        return
    rows = [(each.name, each.suspended or each.state, each.address or "-", each.controller or "-") for each in entries]
    print_table(("CLUSTER", "STATE", "ADDRESS", "CONTROLLED BY"), rows, none="no cluster was started on this machine")


def _home(words: list[str], record: Path | None) -> Home:
    """Return the cluster that the second word means, or the folder of a record."""
    from rayfleet.cli.show import recorded

    if len(words) > _MOST:
        fail(f"{words[_MOST]!r} is one word too many", "one cluster at a time")
    return recorded(next(iter(words[1:]), None), record)


def _note(warnings: tuple[str, ...]) -> None:
    """Print beside the answer what is missing from it."""
    for warning in warnings:
        print(f"note: {warning}", file=sys.stderr)
