"""Names of hosts."""

from __future__ import annotations


def host_ids(claim: str, count: int) -> tuple[str, ...]:
    """Return the names of a claim's hosts: its own when it has one, `<claim>.<n>` for a replica."""
    return (claim,) if count == 1 else tuple(f"{claim}.{n}" for n in range(count))
