"""One row of the guides: what a reader types or is shown, how it stands with rayfleet, and what proves that.

A proof is data wherever it can be: `Checks` and `Says` are read by the tests themselves. `Run` names the test,
with real Ray, that types it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

_TYPED = Path(__file__).with_name("typed")


class Guide(StrEnum):
    """The guides, under names of our own."""

    CLUSTERS = "Cluster management"
    MODULE = "Autoscaler module"
    KUBERAY = "KubeRay autoscaling"
    ACK = "ACK"


class State(StrEnum):
    """How it stands with what a guide shows."""

    WORKS = "works"
    EQUIVALENT = "works by this equivalent"
    CLOUD = "needs a real cloud"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Checks:
    """A cluster file that passes `rayfleet config check` alone. `notes`: parts of what is said about it."""

    file: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Says:
    """What `rayfleet ARGUMENTS` answers today where no cluster is up. `files`: name -> text, in its folder.

    `words` are parts of its output, which is never a traceback.
    """

    arguments: tuple[str, ...]
    code: int
    words: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """The test that types it in: `file::function`, in this folder."""

    test: str


@dataclass(frozen=True, slots=True)
class InPods:
    """The test, on a real Kubernetes control plane, that types it in: `file::function`, in tests/kubernetes."""

    test: str


@dataclass(frozen=True, slots=True)
class OverSsh:
    """The test, with real Ray on hosts of its own, that types it in: `file::function`, in tests/e2e/remote."""

    test: str


Proof = Checks | Says | Run | InPods | OverSsh


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a guide shows. `typed`: exactly that; `title`: what it is, where it has several lines.

    `how`: the equivalent with its reason, or what is missing.
    """

    id: str
    guide: Guide
    heading: str
    typed: str
    state: State
    proof: Proof
    how: str = ""
    title: str = ""


def typed(name: str) -> str:
    """Return a block of a guide that is kept as a file."""
    return (_TYPED / f"{name}.txt").read_text(encoding="utf-8")
