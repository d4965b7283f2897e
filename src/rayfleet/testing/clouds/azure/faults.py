"""What is to go wrong, and the words in which Azure says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class ArmError(Exception):
    """An answer of the 4xx or 5xx kind."""

    def __init__(self, status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> None:
        """Keep what the answer is made of."""
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message or f"the emulator says {code}"
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        return {"error": {"code": self.code, "message": self.message}}


@dataclass(slots=True)
class Fault:
    """The next `times` calls that match end in an error (-1: all of them).

    They match by method, kind (`virtualMachines`), `name` (part of the path) and zone of the body; "" matches anything.
    `late`: the call is accepted and its operation fails, and the machine stays, in state Failed. `lost`: it is done,
    and the connection is cut before the answer; `cut`: before it is done. `retry_after_s`: what the answer says.
    """

    code: str = "InternalServerError"
    status: int = 409
    message: str = ""
    method: str = "PUT"
    kind: str = "virtualMachines"
    name: str = ""
    zone: str = ""
    times: int = 1
    retry_after_s: int | None = None
    late: bool = False
    lost: bool = False
    cut: bool = False

    def matches(self, method: str, path: str, body: Any) -> bool:
        """Say whether a call is meant."""
        zones = body.get("zones") or [] if isinstance(body, dict) else []
        return (
            self.times != 0
            and self.method in ("", method)
            and f"/{self.kind}".lower() in f"{path.lower()}/"
            and self.name in path
            and (not self.zone or self.zone in zones)
        )

    def error(self) -> ArmError:
        """Return the answer."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return ArmError(self.status, self.code, self.message, headers)


@dataclass(slots=True)
class Faults:
    """Everything that is to go wrong."""

    waiting: list[Fault] = field(default_factory=list)

    def take(self, method: str, path: str, body: Any) -> Fault | None:
        """Return the first fault that a call meets, one time less of it left."""
        for fault in self.waiting:
            if fault.matches(method, path, body):
                fault.times -= 1 if fault.times > 0 else 0
                return fault
        return None
