"""A head on the EC2 emulator, beside `ray up` on the same emulator; and a thousand machines.

Everything runs in a network namespace that has nothing but loopback. Each turn has a new account without role, security
group or key. `ray up` is measured until its first attempt to run ssh (a program of that name stands in for it);
rayfleet until the head's public address is known, which is what its provider does for `up`, in a process of its own
from the start of Python on. Ray sleeps twice for 15 s after making a role; rayfleet repeats the launch instead when the
cloud does not know the role yet, which the emulator always does. The thousand machines are one batch, launched with
set-up and then listed once; emulator and provider share a process there. On demand, as it needs the right to make
network namespaces and Ray's side takes a minute for each turn.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured, of_pairs

PEER: Final = "ray up"
TIME, CALLS, LAUNCH_CALLS, LIST_CALLS = 0.1, 0.5, 20.0, 1.0
PROGRAM: Final = "benchmarks.programs.aws_sides"
ROOT: Final = Path(__file__).parents[2]


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it."""
    inside = 'ip link set lo up && exec "$0" "$@"'
    command = ["unshare", "-n", "sh", "-c", inside, sys.executable, "-m", PROGRAM, str(effort.pairs), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{PROGRAM} in a network namespace of its own: {done.stderr[-3000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    samples = {f"{side}_s": found[f"{side}_s"] for side in ("ours", "theirs")}
    return Measured(figures(found), samples, tuple(_calls(found)))


def figures(found: dict[str, Any]) -> tuple[Figure, ...]:
    """Return the figures of what the program has printed. Pure."""
    ours, theirs = (float(max(map(len, found[f"{side}_calls"]))) for side in ("ours", "theirs"))
    many = found["many"]
    return (
        of_pairs("new account -> head's address", found["ours_s"], found["theirs_s"], PEER, Goal(TIME, "ratio")),
        Figure("API calls for that", "calls", ours, theirs, PEER, goal=Goal(CALLS, "ratio")),
        Figure("1,000 machines: API calls, with set-up", "calls", many["launch_calls"], goal=Goal(LAUNCH_CALLS)),
        Figure("1,000 machines: launched", "s", many["launch_s"]),
        Figure("1,000 machines listed: API calls", "calls", many["list_calls"], goal=Goal(LIST_CALLS)),
        Figure("1,000 machines listed", "s", many["list_s"]),
    )


def _calls(found: dict[str, Any]) -> list[str]:
    """Return the calls of each side's first turn, in words."""
    return [f"{side}: {', '.join(found[f'{side}_calls'][0])}" for side in ("ours", "theirs")]
