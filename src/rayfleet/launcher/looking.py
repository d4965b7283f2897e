"""Looks into what runs inside a cluster: its State is opened, asked, and let go of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, TypeVar

from rayfleet import wiring
from rayfleet.contracts.state import Filter, Listing, Query, State, Summary
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher.errors import LauncherError, did_you_mean
from rayfleet.launcher.home import Home
from rayfleet.launcher.job import ray_settings

T = TypeVar("T")

TABLES: Final = ("nodes", "actors", "jobs", "tasks", "placement-groups", "objects", "workers")
"""What can be listed, in the words of `ray list`."""
SUMMARIES: Final = ("tasks", "actors", "objects")


@dataclass(frozen=True, slots=True)
class Opening:
    """How a cluster is looked into; tests put another way in."""

    open: Callable[[RaySettings], State] = wiring.state


@asynccontextmanager
async def opened(home: Home, how: Opening = Opening()) -> AsyncIterator[State]:
    """Give the State of a cluster. Raises NotRunning when it is down."""
    # The folder of a record has no note of who controls the cluster, which `ray_settings` asks for.
    settings = RaySettings.load(home.path) if home.settings.exists() else ray_settings(home)
    state = how.open(settings)
    try:
        yield state
    finally:
        await state.close()


def looked(home: Home, ask: Callable[[State], Awaitable[T]]) -> T:
    """Return what the State of a cluster answers.

    Raises:
        NotRunning: the cluster is down.
        StateUnavailable: Ray does not tell.
    """

    async def within() -> T:
        async with opened(home) as state:
            return await ask(state)

    return asyncio.run(within())


def listing(home: Home, table: str, limit: int, filters: Sequence[str]) -> Listing[Any]:
    """Return rows of one of TABLES. `filters`: KEY=VALUE and KEY!=VALUE.

    Raises:
        LauncherError: there is no such table, or a filter is none.
        StateUnavailable: Ray does not tell.
    """
    name, query = table_named(table), Query(limit, tuple(filter_of(text) for text in filters))
    return looked(home, lambda state: getattr(state, name.replace("-", "_"))(query))


def summary(home: Home, table: str) -> Summary[Any]:
    """Return one of SUMMARIES. Raises as `listing`."""
    if table not in SUMMARIES:
        raise LauncherError(f"there is no summary of {table!r}", did_you_mean(table, list(SUMMARIES)))
    return looked(home, lambda state: getattr(state, f"{table.removesuffix('s')}_summary")())


def table_named(word: str) -> str:
    """Return the table that a word means: `placement_groups` and `placement-groups` are one.

    Raises:
        LauncherError: there is none of that name.
    """
    name = word.lower().replace("_", "-")
    if name not in TABLES:
        raise LauncherError(f"there is no list of {word!r}", did_you_mean(name, list(TABLES)))
    return name


def filter_of(text: str) -> Filter:
    """Read KEY=VALUE or KEY!=VALUE.

    Raises:
        LauncherError: it is neither.
    """
    before, equals, value = text.partition("=")
    key = before.removesuffix("!").strip().lower().replace("-", "_")
    if not equals or not key:
        raise LauncherError(f"--filter {text!r} is not KEY=VALUE or KEY!=VALUE", "for example --filter state=ALIVE")
    return Filter(key, value.strip(), equal=not before.endswith("!"))


def plain(value: Any) -> Any:
    """Return a value of the contract as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    return value
