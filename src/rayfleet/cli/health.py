"""`health`: is a cluster fit for work? `doctor`: is this machine, or are the hosts of a file, fit for a cluster?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rayfleet.cli.arguments import AsJson, Cluster, KubeContext, Record, add, in_kubernetes, on_head
from rayfleet.cli.elsewhere import is_remote
from rayfleet.cli.terminal import EXIT_NOT_OK, colours, fail, print_json

if TYPE_CHECKING:
    from rayfleet.launcher.doctor import Finding

_MARKS = {"ok": ("ok", "\033[32m"), "note": ("note", "\033[33m"), "bad": ("BAD", "\033[31;1m")}


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, health, cls=on_head(0, asks_autoscaler=True, asks_health=True))
    add(app, doctor)


def health(
    cluster: Cluster = None,
    cpus: Annotated[
        int, typer.Option("--cpus", min=0, metavar="N", help="At least so many CPUs are free or can be started.")
    ] = 1,
    record: Record = None,
    context: KubeContext = None,  # noqa: ARG001 - of clusters in Kubernetes, where the command is run
    as_json: AsJson = False,
) -> None:
    """Say whether a cluster is fit for work; ends with 0 when it is, else with 1.

    Its head answers, its controller has ticked lately, and there are enough CPUs: free now, or such that limits, prices
    and stock allow to start them. A cluster that has shrunk to nothing is fit.

    Examples:
      rayfleet health
      rayfleet health second --cpus 64
      rayfleet health aws.yaml && rayfleet submit aws.yaml train.py
      rayfleet health --json
    """
    from rayfleet.cli.show import recorded
    from rayfleet.launcher.errors import NoCluster
    from rayfleet.launcher.health import health as examined

    try:
        found = examined(recorded(cluster, record), cpus)
    except NoCluster as nothing:  # which is an answer
        fail(str(nothing), nothing.hint, EXIT_NOT_OK)
    if as_json:
        print_json(found.as_json())
    else:
        for check in found.checks:
            _print_mark("ok" if check.ok else "bad", f"{check.name}: {check.text}")
    if not found.ok:
        raise typer.Exit(EXIT_NOT_OK)


def doctor(cluster: Cluster = None, as_json: AsJson = False) -> None:
    """Look for what goes wrong most, on this machine or on a cluster's hosts; ends with 1 when something is.

    Of a cluster elsewhere, or the file of one: its key, the provider's packages, its head if it is up; and every host
    of your own, whether it may be taken: reachable, Python, Ray, clock, disk, ports, sudo. Nothing is changed.

    Examples:
      rayfleet doctor
      rayfleet doctor hosts.yaml
      rayfleet doctor hosts.yaml --json
    """
    if cluster is not None and _of_cluster(cluster, as_json=as_json):
        return
    from rayfleet.launcher.doctor import State, examine

    findings = examine()
    ok = all(finding.state is not State.BAD for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": [finding.as_json() for finding in findings]})
    else:
        for finding in findings:
            _show(finding)
    if not ok:
        raise typer.Exit(EXIT_NOT_OK)


def _of_cluster(word: str, *, as_json: bool) -> bool:
    """Look at a cluster elsewhere; return whether it is one."""
    import asyncio

    if in_kubernetes(word):
        fail("doctor looks at machines that rayfleet starts itself", f"for this cluster: rayfleet status {word}")
    from rayfleet.launcher.remote.examine import examine
    from rayfleet.launcher.spec import resolve

    wanted = resolve(word)
    if not is_remote(wanted.spec):
        return False
    found = asyncio.run(examine(wanted, (lambda _finding: None) if as_json else _show))
    if as_json:
        print_json(found.as_json())
    if not found.ok:
        raise typer.Exit(EXIT_NOT_OK)
    return True


def _show(finding: Finding) -> None:
    """Print one line about it, and one about what to do."""
    _print_mark(finding.state.value, f"{finding.what}: {finding.text}")
    if finding.hint:
        print(f"        {finding.hint}", flush=True)


def _print_mark(state: str, text: str) -> None:
    mark, colour = _MARKS[state]
    shown = f"{colour}{mark:4}\033[0m" if colours(sys.stdout) else f"{mark:4}"
    print(f"{shown}  {text}", flush=True)
