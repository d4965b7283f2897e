"""What can go wrong around a cluster's life, each error with the one thing to do about it.

LauncherError
 |- UnknownCluster    no such name here              -> take one of those listed
 |- NoCluster         none is up                     -> rayfleet up
 |- SeveralClusters   which one is meant?            -> name it
 |- AlreadyControlled somebody else holds the lease  -> use or end that one
 |- NotRunning        the cluster is down, or its controller is gone
 |- ControllerDied    it ended while it was needed   -> its last words are in the message
 |- TookTooLong       still not there                -> status, logs
 '- InvalidOrder      an order that can never be met -> the allowed values
"""

from __future__ import annotations

from difflib import get_close_matches


class LauncherError(Exception):
    """The launcher could not do what was asked. `hint`: what to do next, "" when the message says it."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep both, in words for the user."""
        super().__init__(message)
        self.hint = hint


class UnknownCluster(LauncherError):
    """No cluster of that name is known on this machine."""


class OutOfReach(LauncherError):
    """What there is of a cluster cannot be listed; nothing was concluded from that."""


class NoCluster(LauncherError):
    """No cluster is up, and none was named."""


class SeveralClusters(LauncherError):
    """More than one cluster is up, and none was named."""


class AlreadyControlled(LauncherError):
    """Another process holds the cluster's lease."""


class NotRunning(LauncherError):
    """The cluster, or its controller, is not running."""


class ControllerDied(LauncherError):
    """The controller ended while something was waited for."""


class TookTooLong(LauncherError):
    """What was waited for has not happened in time; it may still."""


class InvalidOrder(LauncherError):
    """An order names something that does not exist or a value that cannot be."""


def did_you_mean(word: str, known: list[str]) -> str:
    """Return a hint that names the likely word, or else all of them; "" when there are none."""
    if close := get_close_matches(word, known, n=1):
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(sorted(known))}" if known else ""
