"""Logging in with asyncssh: what a Target means in its words, and what its errors mean in ours."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncssh

from rayfleet.wire.ssh import known_hosts
from rayfleet.wire.ssh.openssh import USERS_FILES, proxy_command, users_configuration
from rayfleet.wire.ssh.session import HostKeyChanged, LoginRefused, SshError, Target, Unreachable

ALIVE_INTERVAL_S: Final = 5
ALIVE_COUNT: Final = 3
"""A host that was cut off is known to be after the one times the other."""

USUAL_PORT: Final = 22
_TAKES_NEW_KEYS: Final = frozenset({"no", "off", "accept-new", "false"})


async def log_in(target: Target, timeout_s: float) -> asyncssh.SSHClientConnection:
    """Return an open connection. Raises what `Ssh.connect` does."""
    asked = target.known_hosts is None or not target.login.proxy_command
    rules = await asyncio.to_thread(_openssh_rules, target) if asked else {}
    keys = _Keys(target, rules)
    with errors_of(target, keys):
        # Its own time limit, and no other: two that pass at once lose a connection that is made just then.
        return await asyncssh.connect(
            target.address,
            client_factory=lambda: keys,
            config=[str(path) for name in USERS_FILES if (path := Path(name).expanduser()).is_file()],
            connect_timeout=timeout_s,
            keepalive_interval=ALIVE_INTERVAL_S,
            keepalive_count_max=ALIVE_COUNT,
            **_options(target),
            **jump(target, rules),
            **_known(target, rules),
        )
    raise AssertionError("not reached: errors_of swallows nothing")


def _options(target: Target) -> dict[str, Any]:
    """Return what the target says; what it leaves open is decided by the user's ssh_config."""
    login = target.login
    options: dict[str, Any] = {}
    if login.user:
        options["username"] = login.user
    if login.port != USUAL_PORT:
        options["port"] = login.port
    if login.private_key and _readable(login.private_key):
        options["client_keys"] = [login.private_key]
    if login.proxy_command:
        # Through a shell, as OpenSSH does: users write pipes and quotes there.
        line = proxy_command(target, login.user or os.environ.get("USER", "root"))
        options["proxy_command"] = ["/bin/sh", "-c", f"exec {line}"]
    return options


def jump(target: Target, rules: dict[str, str]) -> dict[str, Any]:
    """Return the way over the hosts that the user's ssh_config puts in between: OpenSSH's own, by its rules.

    The file may say for each of them who logs in with which key, and which host keys are taken.
    """
    jumps = rules.get("proxyjump", "none")
    if target.login.proxy_command or jumps == "none":
        return {}
    *before, last = jumps.split(",")
    over = ["-J", ",".join(before)] if before else []
    to = f"[{rules.get('hostname', target.address)}]:{rules.get('port', target.login.port)}"
    configuration = Path("~/.ssh/config").expanduser()
    own = ["-F", str(configuration)] if configuration.is_file() else []
    user, at, host = last.rpartition("@")
    name, colon, port = host.rpartition(":")
    words = ["-p", port, name] if colon and port.isdigit() else [host]
    return {"tunnel": None, "proxy_command": ["ssh", *own, *over, "-W", to, *(["-l", user] if at else []), *words]}


def _known(target: Target, rules: dict[str, str]) -> dict[str, Any]:
    """Return which keys are known. A file that does not exist yet knows none, as with OpenSSH."""
    if target.known_hosts is not None:
        return {"known_hosts": _trusted(target), "host_key_alias": known_hosts.host_name(target)}
    return {"known_hosts": [str(file) for file in _users_files(rules) if file.is_file()] or b""}


def _users_files(rules: dict[str, str]) -> list[Path]:
    """Return the user's files of known hosts, the one that new keys go to first."""
    user = rules.get("userknownhostsfile", "~/.ssh/known_hosts").split()
    return [Path(file).expanduser() for file in (*user, *rules.get("globalknownhostsfile", "").split())]


def _readable(private_key: str) -> bool:
    """Say whether a key needs no passphrase. One that does is the agent's to use, if there is one."""
    try:
        asyncssh.read_private_key(private_key)
    except asyncssh.KeyImportError as error:
        if "passphrase" in str(error).lower() and os.environ.get("SSH_AUTH_SOCK"):
            return False
        raise LoginRefused(f"{private_key}: {error}; `ssh-add` it, or name a key without a passphrase") from error
    except OSError as error:
        raise LoginRefused(f"the private key cannot be read: {error}") from error
    return True


def _trusted(target: Target) -> tuple[list[Any], list[Any], list[Any]]:
    file = target.known_hosts
    keys = () if file is None else known_hosts.keys_of(known_hosts.read(file), known_hosts.host_name(target))
    return [asyncssh.import_public_key(key) for key in keys], [], []


class _Keys(asyncssh.SSHClient):
    """Judges the key of a host that is in none of the files of known hosts that were read."""

    def __init__(self, target: Target, rules: dict[str, str]) -> None:
        self._target = target
        self._rules = rules
        self.problem: SshError | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Take a first key where that is the rule; keep why not otherwise."""
        line = " ".join(key.export_public_key().decode().split()[:2])
        if self._target.known_hosts is not None:
            self.problem = self._first_of_ours(self._target.known_hosts, line)
        else:
            self.problem = self._by_users_rules((host, addr, port), line)
        return self.problem is None

    def _first_of_ours(self, file: Path, line: str) -> SshError | None:
        name = known_hosts.host_name(self._target)
        known = known_hosts.keys_of(known_hosts.read(file), name)
        if known and line not in known:
            return HostKeyChanged(
                f"{self._target.address} shows another host key than the one in {file}: is it another machine? "
                f"If that is right, remove it: ssh-keygen -f {file} -R '{name}'"
            )
        if not known:
            known_hosts.add(file, name, line)
        return None

    def _by_users_rules(self, place: tuple[str, str, int], line: str) -> SshError | None:
        files = _users_files(self._rules)
        readable = [str(file) for file in files if file.is_file()]
        known = bool(readable and asyncssh.match_known_hosts(readable, *place)[0])
        rule = self._rules.get("stricthostkeychecking", "ask")
        if known and rule not in {"no", "off", "false"}:
            return HostKeyChanged(f"{self._target.address} shows another host key than {files[0]} has for it")
        if rule not in _TAKES_NEW_KEYS:
            return LoginRefused(
                f"the host key of {self._target.address} is not in {files[0]}: `ssh {self._target.address}` once, or "
                "set StrictHostKeyChecking accept-new in your ssh_config"
            )
        if not known:
            known_hosts.add(files[0], place[0] if place[2] == USUAL_PORT else f"[{place[0]}]:{place[2]}", line)
        return None


def _openssh_rules(target: Target) -> dict[str, str]:
    """Return what OpenSSH makes of the user's ssh_config for a host; nothing where it is not installed."""
    user = ("-l", target.login.user) if target.login.user else ()
    port = ("-p", str(target.login.port)) if target.login.port != USUAL_PORT else ()
    try:
        told = subprocess.run(
            ["ssh", "-F", "/dev/stdin", "-G", *port, *user, "--", target.address],
            input=users_configuration(),
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {key: value for key, _, value in (line.partition(" ") for line in told.stdout.splitlines())}


@contextmanager
def errors_of(target: Target, keys: _Keys | None = None) -> Iterator[None]:
    """Turn asyncssh's errors into ours."""
    at = target.address if target.id in ("", target.address) else f"{target.address} ({target.id})"
    try:
        yield
    except asyncssh.HostKeyNotVerifiable as error:
        raise (keys and keys.problem) or HostKeyChanged(f"{at}: {error}") from error
    except (asyncssh.PermissionDenied, asyncssh.KeyImportError, asyncssh.IllegalUserName) as error:
        raise LoginRefused(f"{at} does not let {target.login.user or 'us'} in: {error}") from error
    except asyncssh.ConfigParseError as error:
        raise SshError(f"the SSH configuration cannot be read: {error}") from error
    except TimeoutError as error:
        raise Unreachable(f"{at} does not answer") from error
    except (OSError, asyncssh.Error) as error:
        raise Unreachable(f"{at}: {str(error) or type(error).__name__}") from error
