"""What has been spent today."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """USD spent from midnight (UTC) of the day of `at` until `at` (seconds since 1970)."""

    usd: float
    at: float
