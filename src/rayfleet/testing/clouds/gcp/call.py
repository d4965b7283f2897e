"""One call of the API, as its actions get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayfleet.testing.clouds.gcp.faults import Fault

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `path` and `query` parameters, `body`; `fault`: how its operation is to end."""

    action: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Body
    fault: Fault | None = None

    @property
    def place(self) -> str:
        """Return its zone or region, "" when it is global."""
        return self.path.get("zone") or self.path.get("region") or ""

    @property
    def request_id(self) -> str:
        """Return the token under which it may be repeated."""
        return self.query.get("requestId", "")

    @property
    def error(self) -> tuple[str, str] | None:
        """Return the code and message in which its operation ends."""
        return (self.fault.operation, self.fault.message) if self.fault and self.fault.operation else None
