"""A coordinator's life: the folder, the hosts, the token; then it answers until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayfleet.launcher.coordinator.desk import Desk
from rayfleet.launcher.coordinator.server import Address, serving
from rayfleet.launcher.coordinator.store import Store
from rayfleet.launcher.errors import LauncherError
from rayfleet.wire.coordinator.client import token_in
from rayfleet.wire.coordinator.terms import TOKEN_VARIABLE


@dataclass(frozen=True, slots=True)
class Running:
    """What is told when it listens. `token_file`: where users find the token; "": none is asked for, or known."""

    port: int
    hosts: int
    held: int
    token_file: str


async def run(
    store: Store,
    forms: tuple[Mapping[str, Any], ...],
    address: Address,
    token_file: Path | None,
    told: Callable[[Running], None],
) -> None:
    """Answer until SIGTERM or SIGINT. Without `forms` the pool is as it was the last time.

    Raises:
        LauncherError: there is no host, no token can be read, the folder or the address is another's.
    """
    with store.alone():
        book = store.load()
        if forms:
            book = book.offering(forms)
            store.save(book)
        if not book.hosts:
            raise LauncherError("the pool has no hosts", "--hosts A,B,C or --hosts-file FILE names them")
        token, file = token_of(store, token_file, needed=not address.is_loopback)
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        async with serving(Desk(store, book), address, token) as port:
            told(Running(port, len(book.hosts), sum(host.grant is not None for host in book.hosts), file))
            await stop.wait()


def token_of(store: Store, file: Path | None, *, needed: bool) -> tuple[str, str]:
    """Return the token and where it is: the file that is named, the environment, else this folder's own if needed.

    Raises:
        LauncherError: the file that is named cannot be read, or is empty.
    """
    if file is not None:
        return _token_in(file), str(file)
    told = os.environ.get(TOKEN_VARIABLE, "").strip()
    if told:
        return told, ""
    return (store.made_token(), str(store.token)) if needed else ("", "")


def token_here(store: Store, file: Path | None) -> str:
    """Return the token that a person's command shows a coordinator: as `token_of`, but nothing is made.

    Raises:
        LauncherError: the file that is named cannot be read, or is empty.
    """
    return token_of(store, file, needed=store.token.exists())[0]


def _token_in(file: Path) -> str:
    try:
        token = token_in(str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise LauncherError(f"the token in {file} cannot be read: {error}") from error
    if not token:
        raise LauncherError(f"{file} is empty, and should have the coordinator's token")
    return token
