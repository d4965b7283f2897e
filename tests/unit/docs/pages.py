"""The pages of the documentation, taken apart: their blocks, what is typed in them, and their links.

Lines above a block tell a test what to do with it; readers do not see them:

    <!-- not judged: REASON -->     no test can judge it
    <!-- file: NAME -->             the page goes on as if the reader had saved it under that name
    <!-- printed by: COMMAND -->    this is what the command prints, word for word, with the page's files
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*)(?P<rest>.*)$")
MARK = re.compile(r"^ *<!-- (not judged|file|printed by): (.+) -->$")
SHELLS = ("console", "bash")
ENDS = {"|", "||", "&", "&&", ";", "(", ")"}
REDIRECTIONS = {"<", ">", ">>", ">&", "&>"}
ASSIGNMENT = re.compile(r"^\w+=")
SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it begins, what it is, and what the lines above it say."""

    page: str
    line: int
    language: str
    text: str
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Name the block as an editor opens it."""
        return f"{self.page}:{self.line}"

    @property
    def excuse(self) -> str:
        """Return why nothing judges it; empty: it is judged."""
        return self.marks.get("not judged", "")


@dataclass(frozen=True, slots=True)
class Command:
    """One program with its words, as typed on a page."""

    where: str
    words: tuple[str, ...]


def pages() -> list[Path]:
    """List every page that users read: of the site, the READMEs that lead to it, and those of providers."""
    readmes = [*ROOT.glob("README*.md"), ROOT / "examples" / "README.md", *ROOT.glob("src/rayfleet/**/README.md")]
    return sorted([*readmes, *DOCS.rglob("*.md")])


def name_of(path: Path) -> str:
    """Return a page's path from the root."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, without the indentation that a list gives them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        found = FENCE.match(lines[at])
        if found is None:
            at += 1
            continue
        end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == found["ticks"])
        inside = [line.removeprefix(found["indent"]) for line in lines[at + 1 : end]]
        text = "".join(f"{line}\n" for line in inside)
        yield Block(name_of(path), at + 1, found["language"], text, dict(marks(lines[:at])))
        at = end + 1


def marks(above: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what the last of the lines say about the block below them."""
    for line in reversed(above):
        found = MARK.match(line)
        if found is None:
            return
        yield found[1], found[2]


def prose(path: Path) -> str:
    """Return a page without its blocks, with as many lines."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"^ *```.*?^ *```$", text, re.DOTALL | re.MULTILINE):
        text = text.replace(block, "\n" * block.count("\n"), 1)
    return text


def indented(path: Path) -> list[int]:
    """Return the lines at which a block is indented instead of fenced, so that nothing says what it is."""
    lines = prose(path).splitlines()
    found: list[int] = []
    in_list = False
    for number, (before, line) in enumerate(zip(["", *lines], lines, strict=False), start=1):
        if line and not line.startswith(" "):
            in_list = bool(re.match(r"(\d+\.|[-*:]|!!!|\?\?\?|===) ", line))
        elif line.startswith("    ") and not before.strip() and not in_list:
            found.append(number)
    return found


# ---- what is typed ------------------------------------------------------------------------------------------------


def typed(block: Block) -> Iterator[str]:
    """Yield the lines that a shell gets: of a console those after `$ `; continued ones as one."""
    waiting = ""
    for line in block.text.splitlines():
        if not waiting and block.language == "console":
            if not line.startswith("$ "):
                continue
            text = line[2:]
        else:
            text = waiting + line.strip()
        waiting = text.removesuffix("\\") if text.endswith("\\") else ""
        if text.strip() and not waiting:
            yield text.strip()


def commands(line: str, where: str) -> Iterator[Command]:
    """Yield the programs of one line of shell, those in `$(...)` too."""
    for inner in SUBSTITUTION.findall(line):
        yield from commands(inner, where)
    lexer = shlex.shlex(SUBSTITUTION.sub("SUBSTITUTED", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    skipped = False
    for word in [*lexer, ";"]:
        if skipped or word in REDIRECTIONS:
            skipped = not skipped
        elif word in ENDS:
            yield from program(words, where)
            words = []
        else:
            words.append(word)


def program(words: list[str], where: str) -> Iterator[Command]:
    """Yield the command that the words are, without assignments before it; nothing where that is all."""
    while words and ASSIGNMENT.match(words[0]):
        words = words[1:]
    if words:
        yield Command(where, tuple(words))


def shell_commands(path: Path) -> Iterator[Command]:
    """Yield everything that is typed on a page."""
    for block in blocks(path):
        if block.language in SHELLS and not block.excuse:
            for line in typed(block):
                yield from commands(line, block.where)


def inline_commands(path: Path, programs: str = "(?:kubectl )?rayfleet") -> Iterator[Command]:
    """Yield the commands of a program that a page's text names: `rayfleet verb --option`."""
    text = prose(path)
    sentence = "rayfleet needs "  # what it prints, not what is typed
    for found in re.finditer(rf"(?<!`)`({programs} [a-z][^`]*)`(?!`)", text):
        line = text.count("\n", 0, found.start()) + 1
        if not found[1].startswith(sentence):
            yield Command(f"{name_of(path)}:{line}", tuple(found[1].replace("\n", " ").split()))


# ---- links --------------------------------------------------------------------------------------------------------


def links(path: Path) -> list[str]:
    """Return the targets of a page's links that stay within the project."""
    found = re.findall(r"(?<!\\)\]\(([^()\s]+)\)", prose(path))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(path: Path) -> set[str]:
    """Return what can be linked to within a page."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    given = re.findall(r"\{ *#([\w-]+) *\}", prose(path))
    plain = (re.sub(r"\{ *#[\w-]+ *\}|\[|\]\([^)]*\)", "", heading) for heading in headings)
    return {*given, *(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", words).strip().lower()) for words in plain)}
