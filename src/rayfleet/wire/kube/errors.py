"""What the API server can say instead of doing what was asked.

    KubeError
     |- NotFound        it does not exist               -> for a delete: success
     |- AlreadyExists   it exists                       -> for a create under a derived name: success
     |- Conflict        it has changed meanwhile        -> read again, decide again
     |- Expired         that version is forgotten (410) -> list anew, then watch on
     |- QuotaExceeded   a ResourceQuota is full         -> wait; tell the user which
     |- Forbidden       no permission                   -> tell the user; never silently
     |- Invalid         it will never be accepted       -> tell the user
     '- Unavailable     no or no clear answer           -> try again, more and more slowly

Each error names what the caller should do.
"""

from __future__ import annotations


class KubeError(Exception):
    """The API server did not do what was asked. `reason` is its own word for why (`Status.reason`)."""

    def __init__(self, message: str, reason: str = "") -> None:
        """Keep the message, in the server's words, and its reason."""
        super().__init__(message)
        self.reason = reason


class NotFound(KubeError):
    """The object does not exist."""


class AlreadyExists(KubeError):
    """An object of that name exists."""


class Conflict(KubeError):
    """The object is not as the caller believed: a resource version, a uid or a `test` of a patch did not match."""


class Expired(KubeError):
    """The resource version is too old to go on from."""


class Forbidden(KubeError):
    """Not allowed."""


class QuotaExceeded(Forbidden):
    """A ResourceQuota leaves no room."""


class Invalid(KubeError):
    """The API server will not take it as it is."""


class Unavailable(KubeError):
    """No answer, or one that says nothing: connection lost, time-out, too many requests, an error of the server's."""
