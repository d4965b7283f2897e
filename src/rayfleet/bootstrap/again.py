"""What somebody asks to be done on machines that run already."""

from __future__ import annotations

from rayfleet.model.word import Word


class Again(Word):
    """What is done on a machine that was set up and started before.

    CHANGED: whatever has changed since. SETUP: the same, but Ray is left running (`--no-restart`). START: only the
    start commands, whether they have changed or not (`--restart-only`).
    """

    CHANGED = "changed"
    SETUP = "setup"
    START = "start"
