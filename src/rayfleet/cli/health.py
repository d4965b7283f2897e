"""`doctor`: is this machine fit for it?"""

from __future__ import annotations

import typer

from rayfleet.cli.arguments import AsJson, add
from rayfleet.cli.terminal import EXIT_NOT_OK, colours, print_json

_MARKS = {"ok": ("ok", "\033[32m"), "note": ("note", "\033[33m"), "bad": ("BAD", "\033[31;1m")}


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, doctor)


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine and its clusters for what goes wrong most; ends with 1 when something is.

    Examples:
      rayfleet doctor
      rayfleet doctor --json
    """
    import sys

    from rayfleet.launcher.doctor import State, examine

    findings = examine()
    ok = all(finding.state is not State.BAD for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": [finding.as_json() for finding in findings]})
    else:
        for finding in findings:
            mark, colour = _MARKS[finding.state.value]
            shown = f"{colour}{mark:4}\033[0m" if colours(sys.stdout) else f"{mark:4}"
            print(f"{shown}  {finding.what}: {finding.text}")
            if finding.hint:
                print(f"        {finding.hint}")
    if not ok:
        raise typer.Exit(EXIT_NOT_OK)
