"""Every command and every file that the documentation shows is one that works, as far as that shows without running it.

The walk goes over all pages and all of their blocks. What it cannot judge is marked in the page, and counted here: a
block that nobody looks at is a failure, and so is a walk that finds less than there was.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.docs import judges
from tests.unit.docs.pages import (
    DOCS,
    ROOT,
    SHELLS,
    Block,
    Command,
    anchors,
    blocks,
    commands,
    indented,
    inline_commands,
    links,
    name_of,
    pages,
    prose,
    shell_commands,
    typed,
)
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.config.forms import Form
from rayfleet.model import ReasonCode
from rayfleet.wiring import registry

PAGES = pages()
BLOCKS = [block for path in PAGES for block in blocks(path)]
COMMANDS = [command for path in PAGES for command in shell_commands(path)]
INLINE = [command for path in PAGES for command in inline_commands(path)]

LANGUAGES = {"yaml", "python", "json", "text", *SHELLS}
"""What a block may be. `text` is what a program prints, or a picture."""

FOREIGN = {
    "kill": "ends a process",
    "systemd-run": "makes a timer",
    "curl": "asks a server for a page",
    "docker": "builds and pushes images",
    "export": "sets a variable of the shell",
    "eval": "takes over what `rayfleet env` prints",
    "helm": "installs charts",
    "jq": "picks a value out of JSON",
    "kubectl": "talks to an API server",
    "prometheus": "scrapes",
}
"""Programs that nothing here knows the words of; files of this project that they name must be there."""

EXCUSED = 2
"""Blocks that are marked as not judged; who adds one raises this."""
ANY_MARK = r"^ *<!-- (?:not judged|file|printed by)\b"
LEAST = {
    "yaml": 66,
    "console": 118,
    "bash": 10,
    "python": 11,
    "json": 6,
    "commands": 366,
    "inline": 248,
    "links": 311,
    "printed": 18,
}
"""The walk finds at least as much as there was when it was written."""


def of(*languages: str) -> list[Any]:
    """Return the blocks of some languages that have to be judged, each named by its place."""
    found = [block for block in BLOCKS if block.language in languages and not block.excuse]
    return [pytest.param(block, id=block.where) for block in found]


def each(found: list[Command]) -> list[Any]:
    return [pytest.param(one, id=f"{one.where} {' '.join(one.words)}") for one in found]


# ---- nothing is passed over -----------------------------------------------------------------------------------------


def test_every_block_says_what_it_is() -> None:
    assert [f"{block.where}: {block.language!r}" for block in BLOCKS if block.language not in LANGUAGES] == []
    assert [f"{name_of(path)}:{line}" for path in PAGES for line in indented(path)] == []


def test_what_is_not_judged_is_marked_and_counted() -> None:
    excused = [f"{block.where}: {block.excuse}" for block in BLOCKS if block.excuse]
    marks = [mark for path in PAGES for mark in re.findall(ANY_MARK, path.read_text(encoding="utf-8"), re.MULTILINE)]
    kept = sum(len(block.marks) for block in BLOCKS)
    assert len(excused) == EXCUSED, excused
    assert len(marks) == kept, "a mark stands above no block"


def test_the_walk_sees_what_there_is() -> None:
    fences = sum(len(re.findall(r"^ *```", path.read_text(encoding="utf-8"), re.MULTILINE)) for path in PAGES)
    assert len(BLOCKS) * 2 == fences
    seen = Counter(block.language for block in BLOCKS if not block.excuse)
    seen.update(commands=len(COMMANDS), inline=len(INLINE), links=sum(len(links(path)) for path in PAGES))
    seen.update(printed=sum("printed by" in block.marks for block in BLOCKS))
    assert [f"{what}: {seen[what]} < {least}" for what, least in LEAST.items() if seen[what] < least] == []


def test_what_programs_print_is_no_place_for_commands() -> None:
    hidden = [
        block.where for block in BLOCKS if block.language == "text" and re.search("^\\$ ", block.text, re.MULTILINE)
    ]
    silent = [block.where for block in BLOCKS if block.language in SHELLS and not list(typed(block))]
    assert (hidden, silent) == ([], [])


# ---- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", each([one for one in COMMANDS if judges.is_ours(one)]))
def test_commands_of_ours_can_be_typed(command: Command) -> None:
    """The real parser takes verb, options and their values; files of the project are there."""
    verb = judges.parsed(command.words)
    assert len(verb) > 1 or set(command.words) & {"--help", "--version"}
    assert [str(path) for path in judges.files_of(command.words) if not path.exists()] == []
    assert judges.settings(command.words) == []


def test_commands_of_others_are_known_to_be_others() -> None:
    others = [command for command in COMMANDS if not judges.is_ours(command)]
    assert [f"{one.where}: {one.words}" for one in others if other_problems(one)] == []
    assert len(others) > len(FOREIGN)
    assert FOREIGN.keys() <= {one.words[0] for one in others}


def other_problems(command: Command) -> list[str]:
    """Return what is wrong with a command that is not ours."""
    first, *words = command.words
    gone = [str(path) for path in judges.files_of(command.words) if not path.exists()]
    match first:
        case "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            return gone + [word for word in words if "=" not in word and word not in targets]
        case "pip":
            return gone + [extra for word in words for extra in re.findall(r"\[(.*)\]", word) if extra not in extras()]
        case "python":
            return gone
        case "ray":
            return gone + [word for word in words[:1] if word not in ray_commands()]
        case _:
            return gone if first in FOREIGN else [first]


def extras() -> dict[str, Any]:
    """Return what can be asked for in brackets behind the package's name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, Any] = project["optional-dependencies"]
    return found


def ray_commands() -> dict[str, Any]:
    """Return the verbs of the program `ray`."""
    from ray.scripts.scripts import cli

    found: dict[str, Any] = cli.commands
    return found


@pytest.mark.parametrize("command", each(INLINE))
def test_commands_in_the_text_exist(command: Command) -> None:
    """A text may leave words out; its verb is one of ours, and every option the verb's."""
    verb = judges.named_verb(command.words)
    options = {option for param in verb.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    own = command.words[: command.words.index("--")] if "--" in command.words else command.words
    assert [word for word in own if re.match("--[a-z]", word) and word.partition("=")[0] not in options] == []
    typed_in = tuple(re.sub("=N$", "=1", word) for word in own)
    assert len(own) < 2 or "KEY=VALUE" in own or judges.settings(typed_in) == []


def test_commands_of_ray_in_the_text_are_rays() -> None:
    """What a page says about `ray up --no-restart` is about something that Ray has."""
    found = [command for path in PAGES if path.name != "guides.md" for command in inline_commands(path, "ray")]
    assert len(found) > 40
    assert [f"{one.where}: {one.words}" for one in found if not rays_own(one.words)] == []


def rays_own(words: tuple[str, ...]) -> bool:
    """Tell whether Ray has the verb and the long options; a text may leave words out."""
    verbs, verb = ray_commands(), None
    for word in words[1:]:
        if word not in verbs:
            break
        verb = verbs[word]
        verbs = getattr(verb, "commands", {})
    options = {option for param in verb.params for option in param.opts} if verb is not None else set()
    return verb is not None and all(word.partition("=")[0] in options for word in words if re.match("--[a-z]", word))


def test_every_command_is_in_the_readme() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Commands")[2].partition("\n## ")[0]
    named = {
        word for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in re.findall(r"`([\w-]+)", row)
    }
    verbs = {name for name, command in judges.PROGRAMS["rayfleet"].commands.items() if not command.hidden}
    assert verbs - named == {"operator", "kuberay-autoscaler"}


def test_examples_of_the_help_can_be_typed() -> None:
    """Those lines are the documentation of a verb in the terminal, and the reference has them too."""
    import scripts.reference_pages as reference

    found = 0
    for name, command in reference.visible(judges.PROGRAMS["rayfleet"], "rayfleet"):
        for line in re.findall(r"^  (rayfleet .*?)(?:   .*)?$", command.help or "", re.MULTILINE):
            found += 1
            for one in commands(re.sub("  .*", "", line), name):
                assert not judges.is_ours(one) or len(judges.parsed(one.words)) > 1
    assert found > 100


# ---- files and programs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("yaml"))
def test_files_are_taken_as_they_stand(block: Block) -> None:
    assert judges.KINDS[judges.kind_of(block.text)](block.text, block.where) == []


def test_every_kind_of_file_is_met() -> None:
    kinds = Counter(judges.kind_of(block.text) for block in BLOCKS if block.language == "yaml" and not block.excuse)
    assert kinds.keys() == judges.KINDS.keys()


@pytest.mark.parametrize("block", of("python"))
def test_programs_compile_and_find_what_they_import(block: Block) -> None:
    assert judges.program_of(block) == []


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    assert judges.as_json(block) == []


# ---- keys -----------------------------------------------------------------------------------------------------------

GUIDES = [*(DOCS / "howto").glob("*.md"), *(DOCS / "tutorials").glob("*.md"), DOCS / "coming-from.md"]
OF_OTHERS = {
    "accelerator_type", "azure_arm_parameters", "fake_multinode", "gcs_server", "label_selector", "max_restarts",
    "num_cpus", "num_gpus", "request_resources",
}  # fmt: skip
"""Words with an underscore that are Ray's or a cloud's."""


def forms(base: type[Form]) -> Iterator[type[Form]]:
    for form in base.__subclasses__():
        yield form
        yield from forms(form)


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_keys_and_reasons_that_a_text_names_exist(path: Path) -> None:
    """A key of a file, or a code: whatever is written as one, with an underscore."""
    known = {key for form in forms(Form) for key in form.model_fields} | {code.value for code in ReasonCode}
    known |= {key for place in registry().values() for key in place.settings.model_fields} | OF_OTHERS
    quoted = [code for code in re.findall(r"`([^`]+)`", prose(path)) if not code.startswith("tests/")]
    named = {word for code in quoted for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", code)}
    assert sorted(named - known) == []


# ---- what is printed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [pytest.param(one, id=one.where) for one in BLOCKS if "printed by" in one.marks])
def test_what_is_shown_is_what_is_printed(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is run for real, in a folder with the files that its page has shown so far."""
    for one in BLOCKS:
        if one.page == block.page and "file" in one.marks:
            (tmp_path / one.marks["file"]).write_text(one.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    verb, *words = shlex.split(block.marks["printed by"])[1:]
    assert verb in ASKS_NOBODY
    printed = CliRunner().invoke(app, [verb, *words]).output
    assert re.sub(r"^planned in .*\n", "", printed, flags=re.MULTILINE) == block.text


ASKS_NOBODY = {"config", "plan", "up", "why"}
"""Verbs that look at files alone when they are told to (`up --dry-run`, `why --file`)."""


def test_what_is_printed_may_be_tried_by_the_reader() -> None:
    """The command stands on the page, too, and so do the files that it names."""
    for block in BLOCKS:
        if command := block.marks.get("printed by"):
            assert "--dry-run" in command or not command.startswith("rayfleet up")
            files = {one.marks["file"] for one in BLOCKS if one.page == block.page and "file" in one.marks}
            assert files & set(command.split()), block.where
            shown = [one for one in COMMANDS if one.where.startswith(f"{block.page}:")]
            assert tuple(shlex.split(command)) in [one.words for one in shown], block.where


# ---- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Within the repository too, where the built site does not look: READMEs, and pages read on the forge."""
    assert [target for target in links(path) if not leads(path, target)] == []


def leads(path: Path, target: str) -> bool:
    """Tell whether a link of a page has something at its end."""
    file, _, anchor = target.partition("#")
    there = (path.parent / file).resolve() if file else path
    if not there.exists():
        return False
    return not anchor or there.parent.name == "reference" or anchor in anchors(there)


# ---- the walk itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("console", "$ rayfleet upp\n"),
        ("console", "$ rayfleet up --no-such-option\n"),
        ("bash", "rayfleet health --cpus many\n"),
        ("bash", "FOO=1 true && rayfleet health \\\n  --cpus many\n"),
        ("console", '$ eval "$(rayfleet envv)"\n'),
        ("console", "$ kubectl rayfleet stats -n team\n"),
    ],
)
def test_a_command_that_does_not_exist_is_seen(language: str, text: str) -> None:
    block = Block("page.md", 1, language, text)
    ours = [one for line in typed(block) for one in commands(line, block.where) if judges.is_ours(one)]
    assert len(ours) == 1
    with pytest.raises(Exception, match=r"No such|valid integer"):
        judges.parsed(ours[0].words)


@pytest.mark.parametrize(
    "line",
    [
        "rayfleet set max_worker=3",
        "rayfleet set max_workers=many",
        "rayfleet set --clear max_worker",
        "rayfleet plan --what-if cpu4.max_worker=3",
    ],
)
def test_a_setting_that_does_not_exist_is_seen(line: str) -> None:
    assert len(judges.settings(tuple(line.split()))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "max_workers: 3\nidle_timeout_minutes: 5m\n",
        "metadata: {name: a}\nspec: {headGroupSpec: {rayStartParams: 3}}\n",
        "spec: {workerGroupSpecs: [{replica: 3}]}\n",
        "head: {noSuchValue: 3}\n",
        "monitoring_config: {prometheus: {enabled: 9}}\n",
    ],
)
def test_a_file_that_is_wrong_is_seen(text: str) -> None:
    assert judges.KINDS[judges.kind_of(text)](text, "page.md") != []


def test_a_program_that_takes_what_is_not_there_is_seen() -> None:
    block = Block("page.md", 1, "python", "import rayfleet\nfrom json import nothing\nrayfleet.nothing()\n")
    assert judges.program_of(block) == ["page.md:1: json.nothing", "page.md:1: rayfleet.nothing"]
