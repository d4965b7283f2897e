"""Rules between the keys that scenarios and cluster files share: names taken twice or unknown, limits that contradict.

They read the plain document, whatever is in it, so that they report together with wrong types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rayfleet.config.document import Document
from rayfleet.config.forms import at
from rayfleet.config.problems import Path, Problem, did_you_mean

COUNT_MAX: Final = 1_000_000
"""Largest number of pieces that are kept free, and of machines that are held."""

Pools = Mapping[str, Mapping[str, Any]]
"""Plain sections of the pools by name."""


def shared_contradictions(document: Document, base: Path, pools: Pools) -> Iterator[Problem]:
    """Yield what contradicts in the shared keys below `base`."""
    yield from _names(document, (*base, "buffers"), "buffer")
    yield from _names(document, (*base, "schedules"), "schedule")
    yield from _schedules(document, base, pools)
    yield from _sizes(document, base)
    taken: set[tuple[str, str]] = set()
    for path, row in rows(document, (*base, "quotas")):
        owner = (str(row.get("label")), str(row.get("value")))
        if owner in taken:
            yield document.problem(path, f"the quota of {owner[0]}={owner[1]} is given twice")
        taken.add(owner)
    for path, row in rows(document, (*base, "overlays")):
        match = row.get("match")
        if isinstance(match, dict):
            yield from unknown_pool(document, (*path, "match", "pool"), match.get("pool"), pools)


def _sizes(document: Document, base: Path) -> Iterator[Problem]:
    """Yield what is so large that a plan for it would not end."""
    schedules = [path for path, _ in rows(document, (*base, "schedules"))]
    for place in ((*base, "buffers"), *((*path, "buffers") for path in schedules)):
        yield from too_many(document, place, "pieces of room")
    for path, row in rows(document, (*base, "schedules")):
        if _number(row.get("min_workers"), 0) > COUNT_MAX:
            yield document.problem((*path, "min_workers"), f"at most {COUNT_MAX:,} machines can be planned")


def too_many(document: Document, place: Path, what: str) -> Iterator[Problem]:
    """Yield a problem for a list whose counts add up to more than can be planned."""
    total = 0.0
    for path, row in rows(document, place):
        total += max(0.0, _number(row.get("count"), 0))
        if total > COUNT_MAX:
            yield document.problem((*path, "count"), f"at most {COUNT_MAX:,} {what} can be planned")
            return


def rows(document: Document, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield place and value of each mapping in the list at `path`."""
    listed = at(document.value, path)
    for n, row in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(row, dict):
            yield (*path, n), row


def unknown_pool(document: Document, path: Path, name: Any, pools: Pools) -> Iterator[Problem]:
    """Yield a problem when `name` at `path` is the name of no pool."""
    if isinstance(name, str) and name and name not in pools:
        hint = did_you_mean(name, list(pools)) or f"pools: {', '.join(pools) or 'none'}"
        yield document.problem(path, f"there is no pool {name}", hint)


def _names(document: Document, path: Path, what: str) -> Iterator[Problem]:
    taken: set[str] = set()
    for place, row in rows(document, path):
        name = row.get("name")
        if isinstance(name, str) and name in taken:
            yield document.problem((*place, "name"), f"the {what} {name} is given twice")
        taken.add(str(name))


def _schedules(document: Document, base: Path, pools: Pools) -> Iterator[Problem]:
    for path, row in rows(document, (*base, "schedules")):
        yield from _names(document, (*path, "buffers"), "buffer")
        name = row.get("pool")
        yield from unknown_pool(document, (*path, "pool"), name, pools)
        pool = pools.get(name, {}) if isinstance(name, str) else {}
        least = row.get("min_workers")
        most = row.get("max_workers") if row.get("max_workers") is not None else pool.get("max_workers")
        if _number(least, 0) > _number(most, float("inf")):
            yield document.problem((*path, "min_workers"), f"{least} is more than max_workers, {most}")


def _number(value: Any, default: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default
