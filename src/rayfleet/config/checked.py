"""What is known of a file after a look at it."""

from __future__ import annotations

from typing import NamedTuple

from rayfleet.config.cluster_spec import ClusterSpec
from rayfleet.config.problems import Problem


class Checked(NamedTuple):
    """What is known of a file. `spec` None: it has problems, or describes no cluster that this version can read.

    `notices`: nothing is wrong, but good to know. `can_run`: `up` takes it. `part`: what it is a part of, when it is
    no whole file.
    """

    spec: ClusterSpec | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...]
    can_run: bool = False
    part: str = ""

    def verdict(self, file: str) -> str:
        """Return in one line what a file without problems is good for, and how far that has been looked at."""
        if self.can_run:
            return f"{file} is fine"
        if self.part:
            return f"{file} is fine as {self.part}"
        looked = "nothing is wrong with it"
        if self.spec is not None:
            looked = f"nothing is wrong as far as it can be checked without provider {self.spec.provider}"
        return f"{file}: {looked}; `rayfleet up` cannot run it in this version"
