"""Command lines of OpenSSH for people's terminals: shells, commands and ports of a head. Pure.

Commands that rayfleet itself runs go through `wire.ssh`; here a person's own terminal is handed over, so that signals,
window size and exit codes are those of the program on the head.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayfleet.launcher.remote.where import Where
from rayfleet.wire.ssh.openssh import proxy_command
from rayfleet.wire.ssh.session import Target

UNREACHABLE: Final = 255
"""The exit code of OpenSSH's own troubles."""
_PORT: Final = 22


@dataclass(frozen=True, slots=True)
class Host:
    """A head as OpenSSH reaches it. `known_hosts`: the cluster's own file of host keys, None: the user's."""

    where: Where
    known_hosts: Path | None


def ssh(host: Host, line: str, *, tty: bool = False, forwards: Sequence[tuple[int, int]] = ()) -> list[str]:
    """Return the command that runs a line of shell on the machine itself; "": a connection that only forwards.

    `forwards`: (port here, port there).
    """
    ports = [word for here, there in forwards for word in ("-L", f"localhost:{here}:localhost:{there}")]
    strict = ["-o", "ExitOnForwardFailure=yes"] if forwards else []
    how = ["-tt"] if tty else ["-T"]
    return ["ssh", *how, *options(host), *strict, *ports, *([] if line else ["-N"]), destination(host), *_word(line)]


def _word(line: str) -> list[str]:
    return [line] if line else []


def destination(host: Host) -> str:
    """Return whom to log in as, and where."""
    user = host.where.login.user
    return f"{user}@{host.where.address}" if user else host.where.address


def options(host: Host) -> list[str]:
    """Return the options by which OpenSSH reaches a head: the login's key, port and proxy, the cluster's host keys."""
    login = host.where.login
    found = {"ServerAliveInterval": "15", "ConnectTimeout": "15", "LogLevel": "ERROR"}
    if login.private_key:
        found |= {"IdentityFile": f'"{login.private_key}"', "IdentitiesOnly": "yes"}
    if login.port != _PORT:
        found["Port"] = str(login.port)
    if login.proxy_command:
        target = Target(host.where.address, login, host.where.machine)
        found["ProxyCommand"] = proxy_command(target, login.user or "%r")
    if host.known_hosts is not None:
        found |= {
            "UserKnownHostsFile": f'"{host.known_hosts}"',
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "accept-new",
            "UpdateHostKeys": "no",
        }
        if host.where.key_name:
            found["HostKeyAlias"] = host.where.key_name
    return [word for key, value in found.items() for word in ("-o", f"{key}={value}")]


def rsync(host: Host, source: str, target: str, *, up: bool, over: Host | None = None) -> list[str]:
    """Return the command that copies a file or folder to a machine, or from it. `over`: by which it is reached."""
    there = f"{destination(host)}:"
    ends = (source, there + target) if up else (there + source, target)
    return [
        "rsync",
        "-rlptz",
        "--partial",
        "-e",
        shlex.join(["ssh", *options(host), *(_over(over) if over else [])]),
        *ends,
    ]


def _over(host: Host) -> list[str]:
    """Return the options by which a machine is reached that only `host` reaches."""
    way = shlex.join(["ssh", *options(host)]).replace("%", "%%")
    return ["-o", f"ProxyCommand={way} -W [%h]:%p {destination(host)}"]


def plainly(where: Where, line: str, *, tty: bool = False) -> str:
    """Return a line for the machine that runs a line of our own where Ray is, without anybody's profile."""
    return f"exec {shlex.join(_inside(where, ['bash', '-c', line], tty=tty))}"


def in_shell(where: Where, cluster: str, line: str, *, tty: bool = False) -> str:
    """Return a line for the machine that runs `line` where Ray is, as if somebody had logged in there and typed it.

    Ray's own commands find the cluster in it. "" is a shell to stay in.
    """
    found = _variables(cluster)
    if tty:
        script = f"{found}\n{line or 'exec bash --login -i'}"
        return f"exec {shlex.join(_inside(where, ['bash', '--login', '-i', '-c', script], tty=True))}"
    # Interactive, since what people add to .bashrc often stands behind a check for that; what such a shell has to say
    # about the terminal that it lacks, and when it is left, is of no use to anybody: hence also the shell within.
    script = f"exec 2>&3 3>&-\n{found}\n(\n{line}\n)"
    shell = f"exec {shlex.join(['bash', '--login', '-i', '-c', script])} 3>&2 2>/dev/null"
    return f"exec {shlex.join(_inside(where, ['bash', '-c', shell], tty=False))}"


def _inside(where: Where, words: list[str], *, tty: bool) -> list[str]:
    if not where.container:
        return words
    return [where.container_program, "exec", "-it" if tty else "-i", where.container, *words]


def _variables(cluster: str) -> str:
    """Return the line of shell after which Ray's own commands find the cluster."""
    client = f'"$HOME/.rayfleet/{cluster}/client.sh"'
    return f"if [ -f {client} ]; then . {client}; fi"


def kept(line: str, cluster: str, *, tmux: bool = False, screen: bool = False) -> str:
    """Return a line that runs `line` in a tmux or screen that goes on without us, and stays open when it has ended.

    Ray's own commands find the cluster in it, also where the tmux that it joins was started by somebody else.
    """
    if not (tmux or screen):
        return line
    stays = ["bash", "-c", f"{_variables(cluster)}\n{line}\nexec bash"]
    return shlex.join(["tmux", "new", "-d", *stays] if tmux else ["screen", "-L", "-dm", *stays])


def joined(cluster: str, *, tmux: bool = False, screen: bool = False, new: bool = False) -> str:
    """Return the line that opens a shell to stay in: plain, or in the tmux or screen that is there, unless `new`."""
    fresh = shlex.join(["bash", "-c", f"{_variables(cluster)}\nexec bash"])
    if tmux:
        return f"tmux new {fresh}" if new else f"tmux attach || tmux new {fresh}"
    if screen:
        # Without the dashes it would take the shell for the name of a session, and the shell's options for its own.
        return f"screen -L -- {fresh}" if new else f"screen -L -xRR -- {fresh}"
    return ""
