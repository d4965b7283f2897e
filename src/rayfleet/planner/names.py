"""Names of hosts."""

from __future__ import annotations

from functools import lru_cache


def host_ids(claim: str, count: int) -> tuple[str, ...]:
    """Return the names of a claim's hosts: its own when it has one, `<claim>.<n>` for a replica."""
    return (claim,) if count == 1 else tuple(f"{claim}.{n}" for n in range(count))


@lru_cache(maxsize=2**15)  # the names are the same plan after plan; a large cluster has about so many
def natural(name: str) -> tuple[str, int, str]:
    """Return what sorts `cpu-10` after `cpu-9`: stem, number (0 without one), name."""
    stem, _, number = name.rpartition("-")
    return (stem, int(number), name) if number.isdecimal() else (name, 0, name)
