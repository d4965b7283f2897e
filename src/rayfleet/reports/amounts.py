"""Amounts as people read them. Pure."""

from __future__ import annotations

from rayfleet.model import MEMORY, OBJECT_STORE, UNITS, Resources

_BYTES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def amount(resource: str, units: int) -> str:
    """Return an amount with its unit: `1.86GiB` for memory, `0.5` for the rest."""
    value = units / UNITS
    if resource not in {MEMORY, OBJECT_STORE}:
        return f"{value:g}"
    return size(value)


def size(amount_bytes: float) -> str:
    """Return an amount of bytes in the largest unit of which it has one: `1.86GiB`, `12B`."""
    for unit, one in _BYTES:
        if amount_bytes >= one:
            return f"{amount_bytes / one:.4g}{unit}"
    return f"{amount_bytes:g}B"


def shape(resources: Resources) -> str:
    """Return a shape as in `{CPU: 1, memory: 2GiB}`."""
    return "{" + ", ".join(f"{name}: {amount(name, units)}" for name, units in resources.items()) + "}"


def duration(seconds: float) -> str:
    """Return a time span in its largest two units: `45 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = max(0, round(seconds))
    minutes, hours = whole // 60, whole // 3600
    if minutes == 0:
        return f"{whole} s"
    return f"{minutes} min {whole % 60} s" if hours == 0 else f"{hours} h {minutes % 60} min"
