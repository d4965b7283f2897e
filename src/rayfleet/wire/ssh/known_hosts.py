"""A cluster's own file of host keys, in OpenSSH's format: a host's first key is added and holds from then on."""

from __future__ import annotations

import os
from pathlib import Path

from rayfleet.wire.ssh.session import Target


def host_name(target: Target) -> str:
    """Return what the host is called in the file: by default its address, with the port where that is unusual."""
    if target.key_name:
        return target.key_name
    port = target.login.port
    return target.address if port == 22 else f"[{target.address}]:{port}"  # noqa: PLR2004 - SSH's own port


def keys_of(text: str, name: str) -> tuple[str, ...]:
    """Return the keys of a host, each as kind and key with a blank between."""
    rows = (line.split() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return tuple(" ".join(row[1:3]) for row in rows if row[0] == name)


def without(text: str, name: str) -> str:
    """Return the text without the keys of a host."""
    return "".join(line for line in text.splitlines(keepends=True) if line.split()[:1] != [name])


def read(path: Path) -> str:
    """Return the file's text, "" when there is none yet."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def add(path: Path, name: str, key: str) -> None:
    """Add a key in one write, so that what others add at the same time stays whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(f"{name} {key}\n".encode())


def forget(target: Target) -> None:
    """Remove a host's keys: another host has its address now, and whoever calls this knows that."""
    if target.known_hosts is None:
        return
    name = host_name(target)
    text = read(target.known_hosts)
    if keys_of(text, name):
        new = target.known_hosts.with_name(f"{target.known_hosts.name}.{os.getpid()}")
        new.write_text(without(text, name), encoding="utf-8")
        new.replace(target.known_hosts)
