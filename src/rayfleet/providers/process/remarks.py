"""What is odd about pools, given this computer. Nothing is refused: resources are logical, except for objects' room."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from rayfleet.model import OBJECT_STORE, UNITS, Pool
from rayfleet.providers.process.catalogue import this_computer

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where Ray keeps objects; only looked at
GIB: Final = 2**30

Remark = tuple[str, str, str]
"""(pool, resource, what is odd about it)."""


def of_this_computer(pools: Iterable[Pool]) -> Iterator[Remark]:
    """Yield what is odd about pools whose machines are to be processes here."""
    shared_bytes = shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else 0
    yield from large_stores(pools, this_computer().memory_bytes, shared_bytes)


def large_stores(pools: Iterable[Pool], memory_bytes: int, shared_bytes: int) -> Iterator[Remark]:
    """Yield every object store that even a single machine cannot have in memory; both figures are in the text."""
    for pool in pools:
        store_bytes = pool.resources.get(OBJECT_STORE, 0) // UNITS
        if store_bytes > shared_bytes:
            has = f"{SHARED_MEMORY} on this machine holds {_gib(shared_bytes)}: objects will lie on disk, which is slow"
        elif store_bytes > memory_bytes:
            has = f"this machine has {_gib(memory_bytes)} of memory"
        else:
            continue
        yield pool.name, OBJECT_STORE, f"is {_gib(store_bytes)}, but {has}"


def _gib(amount_bytes: int) -> str:
    return f"{amount_bytes / GIB:,.1f} GiB"
