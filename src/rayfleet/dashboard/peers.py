"""Whose connection it is: on one machine the kernel tells which user has opened it.

A page on loopback can be reached by every user of the machine, and whoever reaches it may submit jobs in our name. So
only our own connections (and root's) come in as they are; others log in, as they would from elsewhere.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from starlette.types import Scope

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _USER, _INODE = 1, 2, 7, 9
_WORD: Final = 4
_ROOT: Final = 0


def ours(tables: Iterable[Path] = _TABLES) -> Callable[[Scope], bool]:
    """Return what says whether a request comes over a connection of this process's user, or of root.

    `tables`: of the kernel's connections. Where there are none (macOS), nobody is known to be ours.
    """
    trusted = {os.getuid(), _ROOT}

    def is_ours(scope: Scope) -> bool:
        client, server = scope.get("client"), scope.get("server")
        if not client or not server:
            return False
        return user_of((client[0], client[1]), (server[0], server[1]), tables) in trusted

    return is_ours


def user_of(client: tuple[str, int], server: tuple[str, int], tables: Iterable[Path]) -> int | None:
    """Return the id of the user whose end of a connection `client` is; None: nobody's of this machine any more."""
    try:
        here, there = set(_written(*client)), set(_written(*server))
    except ValueError:
        return None  # no address: a test's, or a socket of another kind
    for table in tables:
        for line in _lines(table):
            parts = line.split()
            if len(parts) > _INODE and parts[_LOCAL] in here and parts[_REMOTE] in there:
                # An end that its process has closed has no inode, and many kernels write user 0 for it: nobody's word.
                return int(parts[_USER]) if parts[_INODE] != "0" else None
    return None


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text(encoding="ascii").splitlines()
    except OSError:
        return []


def _written(host: str, port: int) -> Iterator[str]:
    """Yield an address as the kernel's tables have it: words of the machine's order, in hexadecimal digits."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    forms: list[bytes] = [address.packed]
    if isinstance(address, ipaddress.IPv4Address):
        forms.append(bytes(10) + b"\xff\xff" + address.packed)  # of a program that speaks both
    for form in forms:
        words = (form[at : at + _WORD][::-1] for at in range(0, len(form), _WORD))
        yield f"{b''.join(words).hex().upper()}:{port:04X}"
