"""All commands in one place, and the one guard around them: whatever goes wrong ends as one block and an exit code."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rayfleet.cli import (
    alerts,
    archive,
    coordinator,
    dashboard,
    demo,
    health,
    inside,
    kubernetes,
    lifecycle,
    logs,
    metrics,
    offline,
    orders,
    prices,
    reach,
    show,
    simulate,
    suspension,
    watch,
    work,
)
from rayfleet.cli.arguments import help_text
from rayfleet.cli.failures import explained


class Guarded(TyperGroup):
    """The command group; errors of its commands become messages."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with explained():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Guarded,
    name="rayfleet",
    help="Keeps Ray clusters exactly as large as their work needs.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: it is copied into bug reports and documentation, and starts quicker
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from rayfleet import __version__

        print(f"rayfleet {__version__}")
        raise typer.Exit


def rayfleet(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keeps Ray clusters exactly as large as their work needs.

    Start here:
      rayfleet up                          a cluster on this machine
      rayfleet run -- python script.py     ray.init() in it finds the cluster
      rayfleet status --watch              what waits, what boots, what runs
      rayfleet down                        everything ends
    """


app.callback(help=help_text(rayfleet.__doc__ or ""))(rayfleet)
ROOMS = (
    lifecycle, suspension, work, reach, dashboard, show, watch, inside, logs, metrics, alerts, archive, orders,
    offline, prices, simulate, health, kubernetes, coordinator, demo,
)  # fmt: skip
for room in ROOMS:
    room.register(app)
