"""What moves while one waits: on a terminal it is seen and then gone, elsewhere nothing is printed."""

import os
import pty
import subprocess
import sys

WAIT = """
from rayfleet.cli.terminal import waiting
from rayfleet.launcher.progress import Step
with waiting("first words") as progress:
    progress(Step("workers of cpu4", 1, 2))
print("done")
"""


def test_on_a_terminal_each_step_is_shown() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", WAIT], env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "workers of cpu4" in shown
    assert "0:00:00" in shown, "and how long it takes"
    assert done.stdout == "done\n"


def test_elsewhere_nothing_is_printed() -> None:
    done = subprocess.run([sys.executable, "-c", WAIT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
