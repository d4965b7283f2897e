"""What can be told to go wrong at the emulator, and what it says then."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


class ApiFault(Exception):
    """An answer that is an error: HTTP status, Google's `reason` and a message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Keep all three."""
        super().__init__(message)
        self.status = status
        self.reason = reason

    def body(self) -> dict[str, Any]:
        """Return it as the service writes it."""
        text = str(self)
        error = {"message": text, "domain": "global", "reason": self.reason}
        return {"error": {"code": self.status, "message": text, "errors": [error]}}


@dataclass(slots=True)
class Fault:
    """What the next `times` calls of `action` (such as `compute.instances.insert`) meet; in `zone` only, where given.

    With `operation` the call is accepted and its operation ends in that code; `made`: so many machines of a bulkInsert
    are made all the same. Otherwise the call is answered with `status` and `reason`; `done`: after having been done.
    """

    action: str
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    reason: str = "backendError"
    message: str = "as told"
    operation: str = ""
    made: int = 0
    zone: str = ""
    times: int = 1
    done: bool = False

    def meets(self, action: str, zone: str) -> bool:
        """Say whether a call is to meet it."""
        return self.times > 0 and self.action in {action, "*"} and self.zone in {"", zone}


def bad_request(message: str) -> ApiFault:
    """Return the answer to a call that is not valid."""
    return ApiFault(HTTPStatus.BAD_REQUEST, "invalid", message)


def not_found(what: str) -> ApiFault:
    """Return the answer to a call about something that is not there."""
    return ApiFault(HTTPStatus.NOT_FOUND, "notFound", f"The resource '{what}' was not found")
