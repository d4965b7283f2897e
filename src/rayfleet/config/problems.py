"""What is wrong with a file that a user wrote: every problem at once, each with its place and a way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches

Path = tuple[str | int, ...]
"""Where a value is inside a document: keys and list positions from the root."""

SHOWN_PROBLEMS = 50
SHOWN_CHARACTERS = 60
CLOSE_ENOUGH = 0.6
PREFIX_CHARACTERS = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to repair. `line` and `column` count from 1; 0: not known. `path` is as `dotted` prints it."""

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""

    def __str__(self) -> str:
        """Print as `file:line:column: path: message (hint)`."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = ": ".join(part for part in (place, self.path, self.message) if part)
        return f"{text} ({self.hint})" if self.hint else text

    def as_json(self) -> dict[str, str | int]:
        """Return the parts that are known, for `--json`."""
        return {name: value for name, value in asdict(self).items() if value}


class ConfigInvalid(Exception):
    """A file cannot be used. `problems` are all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems; the error's text is one line for each."""
        self.problems = tuple(problems)
        super().__init__(block(self.problems))


def block(problems: tuple[Problem, ...]) -> str:
    """Return one readable block with a line for each problem."""
    count = len(problems)
    lines = [str(problem) for problem in problems[:SHOWN_PROBLEMS]]
    if count > SHOWN_PROBLEMS:
        lines.append(f"... and {count - SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def dotted(path: Path) -> str:
    """Return a path as people write it: `policy.pools[0].max_workers`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return `did you mean X?` for the closest known word, "" when none is close."""
    by_case = {name.lower(): name for name in known}
    given = str(word).lower()
    longer = [name for name in by_case if len(given) >= PREFIX_CHARACTERS and name.startswith(given)]
    found = get_close_matches(given, by_case, n=1, cutoff=CLOSE_ENOUGH) or (longer if len(longer) == 1 else [])
    return f"did you mean {by_case[found[0]]}?" if found else ""


def shown(value: object) -> str:
    """Return a value as it may stand in a message: short, and never a wall of text."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than some thousand digits
        return "a huge number"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
