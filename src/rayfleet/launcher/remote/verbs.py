"""Verbs for a cluster elsewhere: what this machine runs so that the same happens on the head."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from rayfleet import wiring
from rayfleet.config import ConfigInvalid
from rayfleet.contracts import Login, Machine
from rayfleet.launcher.errors import LauncherError, NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.known import CLUSTER_VARIABLE
from rayfleet.launcher.remote import openssh
from rayfleet.launcher.remote.down import as_stored
from rayfleet.launcher.remote.install import COMMAND, home_of
from rayfleet.launcher.remote.login import KEY
from rayfleet.launcher.remote.openssh import Host
from rayfleet.launcher.remote.where import Where, head_of, known_hosts
from rayfleet.launcher.spec import stored

_NOT_FOUND: Final = 127


@dataclass(frozen=True, slots=True)
class Keep:
    """In what a command or shell goes on when we are gone. `new`: not the one that is there."""

    tmux: bool = False
    screen: bool = False
    new: bool = False


def host_of(home: Home, where: Where | None = None) -> Host:
    """Return the head of a cluster, as OpenSSH reaches it.

    Raises:
        NotRunning: there is none.
    """
    where = where or head_of(home)
    return Host(where, known_hosts(where))


def verb(home: Home, words: Sequence[str], *, tty: bool, forwards: Sequence[tuple[int, int]] = ()) -> list[str]:
    """Return the command that runs one of our own verbs on the head, about the cluster.

    `forwards`: ports that it forwards meanwhile, (here, there).

    Raises:
        NotRunning: there is no head.
    """
    host = host_of(home)
    own = f"{CLUSTER_VARIABLE}={shlex.quote(home.name)} exec {COMMAND} {shlex.join(words)}"
    return openssh.ssh(host, openssh.plainly(host.where, own, tty=tty), tty=tty, forwards=forwards)


def command(home: Home, words: Sequence[str], keep: Keep = Keep(), ports: Sequence[int] = ()) -> list[str]:
    """Return the command that runs a user's command on the head: one word is a line of shell, several are its words.

    Raises:
        NotRunning: there is no head.
    """
    line = words[0] if len(words) == 1 else shlex.join(words)
    host, tty = host_of(home), sys.stdin.isatty() and sys.stdout.isatty()
    kept = openssh.kept(line, home.name, tmux=keep.tmux, screen=keep.screen)
    run = openssh.in_shell(host.where, home.name, kept, tty=tty)
    return openssh.ssh(host, run, tty=tty, forwards=[(port, port) for port in ports])


def shell(home: Home, keep: Keep = Keep(), ports: Sequence[int] = (), address: str = "") -> list[str]:
    """Return the command that opens a shell on the head, or on the machine at `address`, which is reached through it.

    Raises:
        NotRunning: there is no head.
    """
    host = host_of(home)
    stay = openssh.joined(home.name, tmux=keep.tmux, screen=keep.screen, new=keep.new)
    line = openssh.in_shell(host.where, home.name, stay, tty=True)
    if address:
        line = openssh.plainly(host.where, _onwards(home, host.where, address, ""), tty=True)  # the key is there
    return openssh.ssh(host, line, tty=True, forwards=[(port, port) for port in ports])


def on_worker(home: Home, machine: Machine, script: str) -> list[str]:
    """Return the command that runs a script of bash on another machine, which is reached through the head.

    The script has the machine's name in RAYFLEET_MACHINE_ID, as all that was set up there.

    Raises:
        NotRunning: there is no head.
    """
    host = host_of(home)
    named = f"RAYFLEET_MACHINE_ID={shlex.quote(machine.id)} exec bash -c {shlex.quote(script)}"
    return openssh.ssh(host, openssh.plainly(host.where, _onwards(home, host.where, machine.address, named)))


def _onwards(home: Home, where: Where, address: str, line: str) -> str:
    """Return the line that logs in to another machine from the head, with the key that the controller there has.

    Each machine is logged in to as the cluster's file says of it, which need not be as the head is.
    """
    key, login = f"{home_of(home.name)}/{KEY}", _login_at(home, where, address)
    user = f"{login.user}@" if login.user else ""
    port = "" if login.port == Login().port else f" -p {login.port}"
    how = "-T" if line else "-tt"
    keyed = f"$([ -f {key} ] && echo -i {key})"
    words = [f"{user}{address}", *([line] if line else [])]
    return f"exec ssh {how} -o LogLevel=ERROR -o StrictHostKeyChecking=accept-new{port} {keyed} {shlex.join(words)}"


def _login_at(home: Home, where: Where, address: str) -> Login:
    """Return who logs in to another machine; where the cluster's file tells nothing any more, whoever does to the head.

    The head's own port says nothing about others'.
    """
    try:
        spec = stored(home)
    except (ConfigInvalid, LauncherError):
        return replace(where.login, port=Login().port)
    return wiring.own_login(spec, wiring.login(spec), address)


def forward(home: Home, here: int, there: int) -> list[str]:
    """Return the command that forwards a port of this machine to one of the head's, until it is ended.

    Raises:
        NotRunning: there is no head.
    """
    return openssh.ssh(host_of(home), "", forwards=[(here, there)])


def copy(home: Home, source: str, target: str, *, up: bool) -> list[str]:
    """Return the command that copies to the head's machine, or from it.

    Raises:
        NotRunning: there is no head.
        LauncherError: Ray is in a container there, whose files only `exec` reaches.
    """
    host = host_of(home)
    if host.where.container:
        hint = "file_mounts in the cluster's file copies into it; exec with `cat` reads from it"
        raise LauncherError(f"Ray is in the container {host.where.container} there, which rsync does not reach", hint)
    return openssh.rsync(host, source, target, up=up)


def copy_to_worker(home: Home, machine: Machine, source: str, target: str) -> list[str]:
    """Return the command that copies from here to a worker, through the head.

    Raises:
        NotRunning: there is no head.
    """
    head = host_of(home)
    login = wiring.own_login(as_stored(home).spec, head.where.login, machine.address)
    there = replace(head.where, machine=machine.id, address=machine.address, login=replace(login, proxy_command=""))
    return openssh.rsync(Host(there, head.known_hosts), source, target, up=True, over=head)


def copied(words: Sequence[str], within_s: float | None = None) -> str:
    """Run such a command; return why it failed, "" when it did not. `within_s`: it is ended then; None: never."""
    try:
        ran = subprocess.run(
            words, capture_output=True, text=True, timeout=within_s, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"{words[0]} was not done within {within_s:.0f} s"
    said = [line for line in ran.stderr.splitlines() if line.strip()]
    return (said or [f"rsync ended with {ran.returncode}"])[0] if ran.returncode else ""


def script_there(script: str) -> str:
    """Return where a script that is submitted is on the head: in the home folder, under its own name."""
    return f"~/{PurePosixPath(script).name}"


def run(home: Home, words: list[str]) -> int:
    """Run a command of the above in our place: its input, output and signals are ours; return its exit code.

    Raises:
        NotRunning: the head does not answer.
        LauncherError: the program is not there.
    """
    with _started(words) as child:
        while True:
            try:
                code = child.wait()
                break
            except KeyboardInterrupt:  # which it has got as well, and answers in its own way
                continue
    return answered(home, code)


def begun(words: list[str]) -> subprocess.Popen[str]:
    """Begin a command of the above; its input and output are pipes.

    Raises:
        LauncherError: the program is not there.
    """
    return _started(words, subprocess.PIPE)


def _started(words: list[str], ends: int | None = None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != CLUSTER_VARIABLE}
    try:
        return subprocess.Popen(words, env=environment, stdin=ends, stdout=ends, text=True)
    except FileNotFoundError:
        hint = f"install it: apt install {_package(words[0])}"
        raise LauncherError(f"there is no {words[0]} on this machine", hint) from None


def answered(home: Home, code: int) -> int:
    """Return the exit code of a command that has ended.

    Raises:
        NotRunning: the head does not answer.
    """
    if code == openssh.UNREACHABLE:
        address = head_of(home).address
        hint = f"rayfleet up {home.name} looks after it; rayfleet down {home.name} ends the cluster without it"
        raise NotRunning(f"the head of {home.name} does not answer at {address}", hint)
    return code if code >= 0 else 128 - code


def _package(program: str) -> str:
    return {"ssh": "openssh-client"}.get(program, program)
