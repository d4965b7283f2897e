"""The command line: parses arguments, makes one call into a room below, prints what comes back."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command `rayfleet`; ends the process with its exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # asked by scripts all the time: not worth loading a parser for
        from rayfleet import __version__

        print(f"rayfleet {__version__}")
        return
    try:
        from rayfleet.cli.app import app

        app(prog_name="rayfleet")
    except KeyboardInterrupt:  # before or after a command of ours could say it better
        sys.exit(EXIT_INTERRUPTED)
