"""What moves while one waits: on a terminal it is seen and then gone, elsewhere nothing is printed."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress

WAIT = """
from rayfleet.cli.terminal import waiting
from rayfleet.launcher.progress import Step
with waiting("first words") as progress:
    progress(Step("workers of cpu4", 1, 2))
print("done")
"""


def all_of(terminal: int) -> str:
    """Read a terminal to its end, and close it. One reading has what the kernel has brought so far."""
    shown = b""
    with suppress(OSError):  # how a terminal says that nobody writes there any more
        while piece := os.read(terminal, 65536):
            shown += piece
    os.close(terminal)
    return shown.decode()


def test_on_a_terminal_each_step_is_shown() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", WAIT], env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
    )
    os.close(theirs)
    shown = all_of(ours)
    assert "workers of cpu4" in shown
    assert re.search(r"0:00:\d\d", shown), "and how long it takes"
    assert done.stdout == "done\n"


def test_elsewhere_nothing_is_printed() -> None:
    done = subprocess.run([sys.executable, "-c", WAIT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
