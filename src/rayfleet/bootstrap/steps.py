"""The words of a recipe: what is done on a machine, in order. Pure values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from rayfleet.model.word import Word
from rayfleet.wire.ssh.session import Files


class Where(Word):
    """Where a step is done. NODE: where Ray runs, which is the container if there is one, else the machine itself."""

    MACHINE = "machine"
    NODE = "node"


class Shell(Word):
    """Who interprets a command.

    USER: as if somebody had logged in and typed it, so that what profiles set up (conda, PATH) is there. PLAIN: nothing
    of that; for commands of our own, which are quicker so.
    """

    USER = "user"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Run:
    """Run a command line. `name`: what people see of it.

    `again`: a command of our own that is run where it has failed, before it is repeated; "": none. `starts`: it is one
    of those that start the engine.
    """

    command: str
    name: str
    on: Where = Where.NODE
    shell: Shell = Shell.USER
    again: str = ""
    starts: bool = False

    @property
    def tidying(self) -> Run | None:
        """Return what is to be run before a repetition."""
        return Run(self.again, self.name, self.on, Shell.PLAIN) if self.again else None


@dataclass(frozen=True, slots=True)
class Put:
    """Copy from the machine that delivers the recipe to the machine itself. `optional`: the source need not exist."""

    files: Files
    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """Make a file; `~` is the home of who runs the recipe. The content is never shown."""

    path: str
    content: bytes = field(repr=False)
    name: str
    mode: int = 0o600
    on: Where = Where.NODE


Step = Run | Put | Write


@dataclass(frozen=True, slots=True)
class Start:
    """How the engine is started on a machine: commands, and lines of shell that come before each of a user's (exports).

    `words`: what the file itself says about it. `beside`: what else is done after each start, such as a watch that
    ends with the node.
    """

    commands: tuple[str, ...]
    exports: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    beside: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """The container that Ray runs in. `program`: docker or podman."""

    name: str
    program: str = "docker"


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that makes a machine a node of `cluster`.

    `setup` is done once, and again when `setup_words` have changed; `start` after every boot, and when
    `start_words` have. `files` are those of the set-up's steps that bring files: they are done again on machines that
    were set up before, since what files contain changes. The words are those of the file: a newer rayfleet with other
    steps of its own is no reason to start anything again. `exports`: lines of shell before every command of a user's.
    """

    cluster: str
    setup: tuple[Step, ...]
    start: tuple[Step, ...]
    exports: tuple[str, ...] = ()
    container: Container | None = None
    setup_words: tuple[str, ...] = ()
    start_words: tuple[str, ...] = ()
    files: tuple[Step, ...] = ()

    @property
    def has_files(self) -> bool:
        """Say whether files are copied, which only SSH can do."""
        return any(isinstance(step, Put) for step in (*self.setup, *self.start))

    @property
    def setup_digest(self) -> str:
        """Return what differs whenever the file asks for another set-up. What copied files contain is not in it."""
        return _digest(self.setup_words)

    @property
    def start_digest(self) -> str:
        """Return what differs whenever the file asks for another set-up or start."""
        return _digest((*self.setup_words, "start", *self.start_words))


def _digest(words: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
