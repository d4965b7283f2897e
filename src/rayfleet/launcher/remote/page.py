"""The dashboard of a cluster elsewhere: its head serves it on its loopback, and OpenSSH forwards it.

One connection does both, and the server ends with it: it reads its input, which ends when we do, however that is.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import invalidate_caches
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from typing import Final

from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.remote import verbs

_PORTS: Final = range(20_000, 32_000)
"""On the head: below those that the kernel gives away. A new one each time, so that two may look at once."""
_EXTRA: Final = re.compile(r"""([^;]+);\s*extra\s*==\s*["']dashboard["']""")


def show(home: Home, here: int, tell: Callable[[str], None]) -> int:
    """Have the head serve its dashboard, at a port of this machine, until Ctrl-C; return the exit code.

    `tell` is called once it answers, with the token that it asks for: whoever reaches the port here may try.

    Raises:
        NotRunning: there is no head, or it does not answer.
        LauncherError: there is no ssh here.
    """
    there = secrets.choice(_PORTS)
    words = verbs.verb(home, ["head-page", str(there)], tty=False, forwards=[(here, there)])
    with _ctrl_c_is_ours():
        child = verbs.begun(words)
    with child:
        try:
            said = child.stdout.readline() if child.stdout else ""
            if said:
                tell(json.loads(said)["token"])
            code = child.wait()
        except KeyboardInterrupt:  # the way to say: enough
            code = 0
        finally:
            if child.stdin:
                child.stdin.close()
    return verbs.answered(home, code)


@contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """Have a program that is started inside not hear Ctrl-C: it ends when its input does, and says nothing about it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# ---- on the head -----------------------------------------------------------------------------------------------------


def have_pages(tell: Callable[[str], None]) -> None:
    """Install what the dashboard needs beside rayfleet, where that is missing.

    Raises:
        LauncherError: it cannot be installed.
    """
    if find_spec("nicegui") is not None:
        return
    needed = needs()
    tell(f"installing {' '.join(needed)} on the head, once")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needed]
    if subprocess.run(pip, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode:
        hint = f"in the cluster's file: setup_commands: [pip install {' '.join(needed)}]"
        raise LauncherError("what the dashboard needs cannot be installed on the head", hint)
    invalidate_caches()


def needs() -> list[str]:
    """Return what rayfleet's extra `dashboard` asks for."""
    try:
        every = requires("rayfleet") or []
    except PackageNotFoundError:
        every = []
    return [found[1].strip() for each in every if (found := _EXTRA.fullmatch(each))] or ["nicegui"]
