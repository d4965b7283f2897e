"""What is printed when a cluster has been ended, wherever it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayfleet.cli.terminal import EXIT_NOT_OK, complain, fail, print_json

if TYPE_CHECKING:
    from rayfleet.contracts import SilentHost
    from rayfleet.launcher.down import Ended


def tell_end(ended: Ended, *, as_json: bool, gave_up: bool = False) -> None:
    """Tell how a `down` has ended; ends the command with 1 when something is left. `gave_up`: hosts out of reach."""
    away = [out_of_reach(host) for host in ended.unreachable]
    if as_json:
        print_json(ended.as_json())
    else:
        so = "is not down yet" if ended.left_behind or (away and not gave_up) else "is down"
        print(f"cluster {ended.cluster} {so}: {ended.released} machines given back in {ended.took_s:.1f} s")
    if ended.left_behind:
        names = "\n".join((*ended.left_behind, *away))
        fail(f"still there:\n{names}", f"try again: rayfleet down {ended.cluster}", EXIT_NOT_OK)
    if away and gave_up:
        complain("\n".join(("given up, and what runs there runs on:", *away)))
    elif away:
        again = f"when they answer again: rayfleet down {ended.cluster}"
        hint = f"{again}; if they never will: rayfleet down {ended.cluster} --give-up"
        fail("\n".join(("out of reach, and what runs there runs on:", *away)), hint, EXIT_NOT_OK)


def out_of_reach(host: SilentHost) -> str:
    """Return what is known of a host that does not answer."""
    what = "the head" if host.head else f"{host.machine_id} of pool {host.pool}"
    may = f"{what} may still run there" if host.machine_id else "nobody knows what runs there"
    return f"{host.address}: {may} ({host.why})"
