"""Amounts, moments and money as pages write them. Pure."""

from __future__ import annotations

from rayfleet.model import MEMORY, OBJECT_STORE, UNITS
from rayfleet.reports.amounts import duration

_GIB = 2**30


def charted(resource: str, units: int) -> float:
    """Return an amount as charts and bars count it: memory in GiB, the rest as it is."""
    value = units / UNITS
    return round(value / _GIB, 3) if resource in {MEMORY, OBJECT_STORE} else round(value, 4)


def title_of(resource: str) -> str:
    """Return the name of a resource with its unit."""
    names = {MEMORY: "Memory (GiB)", OBJECT_STORE: "Object store (GiB)"}
    return names.get(resource, resource)


def number(value: float) -> str:
    """Return a number with as many places as matter: 1,234, 12.5, 0.25."""
    if value == round(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.2f}".rstrip("0").rstrip(".")  # noqa: PLR2004 - as read


def usd(value: float) -> str:
    """Return an amount of money: $0.048, $3.20, $1,204."""
    if value == 0:
        return "$0"
    if abs(value) < 0.1:  # noqa: PLR2004 - small machines cost cents
        return f"${value:.3f}"
    return f"${value:,.2f}" if abs(value) < 1000 else f"${value:,.0f}"  # noqa: PLR2004 - cents of thousands are noise


def ago(seconds: float) -> str:
    """Return how long ago something was."""
    return "now" if seconds < 1.5 else f"{duration(seconds)} ago"  # noqa: PLR2004 - of what is written each second
