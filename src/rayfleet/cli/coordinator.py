"""`coordinator`: hands out the hosts of a shared pool; `coordinator hosts` and `coordinator free` ask a running one."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rayfleet.cli.arguments import AsJson, add, help_text
from rayfleet.cli.terminal import fail, print_json, print_table

if TYPE_CHECKING:
    from rayfleet.launcher.coordinator.running import Running
    from rayfleet.wire.coordinator.terms import PoolHost

Address = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Where it is. Default: RAYFLEET_COORDINATOR, else this machine.",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="What has to be shown. Default: RAYFLEET_COORDINATOR_TOKEN, else what a coordinator here has made.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    text = help_text(coordinator.__doc__ or "")
    group = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
    group.callback(help=text, short_help="Hand out the hosts of a shared pool")(coordinator)
    add(group, hosts)
    add(group, free)
    app.add_typer(group, name="coordinator")


def coordinator(
    context: typer.Context,
    addresses: Annotated[
        str, typer.Option("--hosts", "--ips", metavar="A,B,C", help="The pool's hosts.", show_default=False)
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--hosts-file", metavar="FILE", help="A list with more about each (YAML).", show_default=False),
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="0.0.0.0: every address of this machine.")
    ] = "127.0.0.1:8375",
    host: Annotated[str | None, typer.Option("--host", help="As in --listen.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option("--port", help="As in --listen.", show_default=False)] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="What clusters have to show. Default: RAYFLEET_COORDINATOR_TOKEN, else one is made where needed.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="FOLDER", help="Where it is written down who has what.", show_default=False),
    ] = None,
) -> None:
    """Hand out hosts of one pool to the clusters of several users, until it is ended.

    Clusters name it instead of hosts: provider: {type: local, coordinator_address: HOST:PORT}. Started again, it knows
    all that it knew; without hosts the pool is as it was. Beyond this machine a token is asked for.

    Examples:
      rayfleet coordinator --hosts 10.0.0.1,10.0.0.2,10.0.0.3 --listen 10.0.0.9:8375
      rayfleet coordinator --hosts-file rack.yaml
      rayfleet coordinator hosts
      rayfleet coordinator free 10.0.0.2
    """
    if context.invoked_subcommand is not None:
        return
    from dataclasses import replace

    from rayfleet.launcher.coordinator import offered, running
    from rayfleet.launcher.coordinator.server import Address as Listening
    from rayfleet.launcher.coordinator.store import Store, default_folder

    found = Listening.parse(listen)
    found = replace(found, host=host or found.host, port=found.port if port is None else port)
    forms = offered.forms((part.strip() for part in addresses.split(",") if part.strip()), file)
    store = Store((state or default_folder()).absolute())
    asyncio.run(running.run(store, forms, found, token_file, lambda told: _tell(told, found.host)))


def _tell(told: Running, host: str) -> None:
    where = f"[{host}]:{told.port}" if ":" in host else f"{host}:{told.port}"
    print(f"{told.hosts} host{'s' * (told.hosts != 1)}, {told.held} of them held; listening at {where}", flush=True)
    if told.token_file:
        print(f"clusters show the token in {told.token_file}: provider.coordinator_token_file", flush=True)


def hosts(address: Address = "", token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the pool: which cluster has which host, and since when.

    Examples:
      rayfleet coordinator hosts
      rayfleet coordinator hosts --address 10.0.0.9:8375 --json
    """
    from rayfleet.launcher.coordinator import asking

    pool = asyncio.run(asking.hosts(asking.reached(address, token_file)))
    now = time.time()
    if as_json:
        print_json({"hosts": [asking.as_json(host, now) for host in pool]})
        return
    print_table(("HOST", "CLUSTER", "FOR", "NOTE"), [_row(host, now) for host in pool], none="the pool has no hosts")


def _row(host: PoolHost, now: float) -> tuple[str, ...]:
    notes = [host.note, "" if host.listed else "leaves the pool"]
    note = "; ".join(filter(None, notes))
    if host.grant is None:
        return host.address, "-", "", note
    return host.address, host.grant.cluster, _duration(now - host.grant.since), note


def _duration(seconds: float) -> str:
    minutes, left = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s" if minutes else f"{left} s"


def free(
    host: Annotated[str, typer.Argument(metavar="HOST", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    address: Address = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Take a host back from a cluster that is no more. Its lease on the host stays: see what this prints.

    Examples:
      rayfleet coordinator free 10.0.0.2
      rayfleet coordinator free 10.0.0.2 --yes
    """
    from rayfleet.launcher.coordinator import asking

    coordinator = asking.reached(address, token_file)
    found = asyncio.run(asking.held(coordinator, host))
    print(asking.consequences(found), file=sys.stderr)
    if found.grant is not None and not yes:
        if not sys.stdin.isatty():
            fail(f"{host} is left with cluster {found.grant.cluster}", "--yes takes it back")
        typer.confirm("take it back?", abort=True, err=True)
    if found.grant is not None:
        asyncio.run(asking.free(coordinator, host))
    if as_json:
        print_json({"host": host, "was": found.grant.cluster if found.grant else None})
