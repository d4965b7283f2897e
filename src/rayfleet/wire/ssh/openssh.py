"""How the programs of OpenSSH reach a host: a configuration made of a Target, and a folder with its sockets."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from rayfleet.wire.ssh.known_hosts import host_name
from rayfleet.wire.ssh.session import Target

PERSIST_S: Final = 60
"""A connection that nobody uses ends after so long, even when its owner was killed."""

USERS_FILES: Final = ("~/.ssh/config", "/etc/ssh/ssh_config")


def configuration(target: Target, folder: Path) -> str:
    """Return a configuration for `ssh -F`: ours first (the first value counts), then the user's own files. Pure."""
    login = target.login
    lines = {
        "ControlMaster": "auto",
        "ControlPath": f"{folder}/%C",
        "ControlPersist": str(PERSIST_S),
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "User": login.user,
        "Port": "" if login.port == 22 else str(login.port),  # noqa: PLR2004 - SSH's own port
        "IdentityFile": _quoted(login.private_key),
        "IdentitiesOnly": "yes" if login.private_key else "",
        "ProxyCommand": proxy_command(target, login.user or "%r") if login.proxy_command else "",
        **_keys(target),
    }
    ours = [f"{key} {value}" for key, value in lines.items() if value]
    # For this host alone: the ssh of a host in between, which the user's files may ask for, reads this file as well.
    return "\n".join((f"Host {target.address}", *ours, "Host *", users_configuration()))


def users_configuration() -> str:
    """Return a configuration that is the user's own files and nothing else, whatever ssh takes for their home."""
    return "".join(f'Include "{Path(path).expanduser()}"\n' for path in USERS_FILES)


def _keys(target: Target) -> dict[str, str]:
    if target.known_hosts is None:
        return {}
    # A session is open before anything is copied, so the host's key is in the file.
    return {
        "UserKnownHostsFile": _quoted(str(target.known_hosts)),
        "GlobalKnownHostsFile": "none",
        "HostKeyAlias": host_name(target),
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
    }


def _quoted(path: str) -> str:
    return f'"{path.replace("%", "%%")}"' if path else ""


def proxy_command(target: Target, user: str) -> str:
    """Return the command line that reaches the host, with `%h`, `%p`, `%r` and `%n` filled in. Pure."""
    host = (target.id or target.address) if target.login.proxy_with_id else target.address
    words = {"h": host, "n": target.address, "p": str(target.login.port), "r": user, "%": "%"}
    text, parts = target.login.proxy_command, []
    while text:
        before, percent, after = text.partition("%")
        parts.append(before)
        if percent:
            parts.append(words.get(after[:1], f"%{after[:1]}"))
        text = after[1:]
    return "".join(parts)


class Sockets:
    """One private folder for this process, with the configuration and the control socket of each host.

    Its name is short: the kernel allows 107 characters for a socket's whole path.
    """

    def __init__(self) -> None:
        """Make nothing yet: most processes copy no files."""
        self._folder: Path | None = None
        self._used: dict[Path, str] = {}

    def command(self, target: Target) -> list[str]:
        """Return the beginning of a command line: `ssh`, and where its configuration is."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="rfs-", dir="/tmp"))
            atexit.register(self._remove)
        text = configuration(target, self._folder)
        file = self._folder / hashlib.sha256(f"{target.address}\n{text}".encode()).hexdigest()[:12]
        if file not in self._used:
            file.write_text(text, encoding="utf-8")
            self._used[file] = target.address
        return ["ssh", "-F", str(file)]

    async def close(self) -> None:
        """End the connections that are kept open, and remove the folder."""
        await asyncio.gather(*(_end(file, address) for file, address in self._used.items()))
        self._remove()
        atexit.unregister(self._remove)

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._used = None, {}


async def _end(file: Path, address: str) -> None:
    null = asyncio.subprocess.DEVNULL
    ending = await asyncio.create_subprocess_exec(
        "ssh", "-F", str(file), "-O", "exit", "--", address, stdin=null, stdout=null, stderr=null
    )
    await ending.wait()
