"""The house numbers, measured: sizes, names and docstrings of the package, and no mock library in its tests."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "rayfleet"

FUNCTION_LINES_MEDIAN = 10
FUNCTION_LINES_P90 = 35
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 600
# Names that say nothing about what is inside: each such file becomes the place where things are put.
BANNED_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"}
MARK_LINES = 5  # a generated file says so within its first lines

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Function:
    """One function or method, and its lines without the docstring (signature and decorators count)."""

    where: str
    lines: int


def is_generated(text: str) -> bool:
    """Tell whether the file was written by a program, which no house number is meant for."""
    return any("@generated" in line for line in text.splitlines()[:MARK_LINES])


def sources(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield path from the root and text of every hand-written Python file below the folder."""
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not is_generated(text):
            yield path.relative_to(ROOT).as_posix(), text


def function_lines(node: FunctionNode) -> int:
    """Count from the first decorator to the last line of the body, without the docstring."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    docstring = 0
    if ast.get_docstring(node, clean=False) is not None:
        docstring = (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return (node.end_lineno or 0) - first + 1 - docstring


def functions(folder: Path) -> list[Function]:
    """Measure every function below the folder, nested ones and methods too."""
    return [
        Function(f"{path}:{node.lineno} {node.name}", function_lines(node))
        for path, text in sources(folder)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, FunctionNode)
    ]


def test_no_function_is_longer_than_a_screen() -> None:
    """A function that long has parts with names of their own."""
    long = [
        f"{function.where}: {function.lines}" for function in functions(PACKAGE) if function.lines > FUNCTION_LINES_MAX
    ]
    assert not long, f"over {FUNCTION_LINES_MAX} lines"


def test_most_functions_are_short() -> None:
    """The median and the 90th percentile over the whole package."""
    lines = sorted(function.lines for function in functions(PACKAGE))
    p90 = quantiles(lines, n=10, method="inclusive")[-1]
    assert median(lines) <= FUNCTION_LINES_MEDIAN
    assert p90 <= FUNCTION_LINES_P90


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_files_stay_readable_in_one_sitting(folder: str) -> None:
    long = [path for path, text in sources(ROOT / folder) if len(text.splitlines()) > FILE_LINES_MAX]
    assert not long, f"over {FILE_LINES_MAX} lines"


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_names_say_what_is_inside(folder: str) -> None:
    names = [path.relative_to(ROOT) for path in sorted((ROOT / folder).rglob("*")) if path.stem in BANNED_NAMES]
    assert not names


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_every_module_says_what_it_is_for(folder: str) -> None:
    silent = [path for path, text in sources(ROOT / folder) if not ast.get_docstring(ast.parse(text))]
    assert not silent


def test_lines_of_a_function_are_counted_without_its_docstring() -> None:
    """The ruler itself: two lines of signature and decorator, one of code; the docstring's three do not count."""
    node = ast.parse('@cache\ndef f():\n    """One.\n\n    Two."""\n    return 1\n').body[0]
    assert isinstance(node, ast.FunctionDef)
    assert function_lines(node) == 3


# ---- no mock library ------------------------------------------------------------------------------------------


def mock_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of whatever swaps code under a test: mock modules, `mocker`, `monkeypatch` on code."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (
                    (node.lineno, name.name) for name in names if name.name in {"unittest.mock", "mock", "pytest_mock"}
                )
            case ast.ImportFrom(module="unittest.mock" | "mock" | "pytest_mock" as module):
                yield node.lineno, module
            case ast.ImportFrom(module="unittest", names=names) if any(name.name == "mock" for name in names):
                yield node.lineno, "unittest.mock"
            case ast.arg(arg="mocker"):
                yield node.lineno, "mocker"
            case ast.Attribute(
                value=ast.Name(id="monkeypatch"), attr="setattr" | "setitem" | "delattr" | "delitem" as attr
            ):
                yield node.lineno, f"monkeypatch.{attr}"
            case _:
                pass


def test_fakes_are_product_code_and_nothing_is_patched() -> None:
    """Every edge has a contract, and its fake is in rayfleet.testing; only variables and the folder may be set."""
    patched = [
        f"{path}:{line} {what}" for path, text in sources(ROOT / "tests") for line, what in mock_uses(ast.parse(text))
    ]
    assert not patched


@pytest.mark.parametrize(
    "line",
    [
        "import unittest.mock",
        "from unittest import mock",
        "from unittest.mock import patch",
        "def test(mocker): ...",
        "monkeypatch.setattr(module, 'name', 1)",
    ],
)
def test_each_way_to_patch_is_seen(line: str) -> None:
    assert list(mock_uses(ast.parse(line)))


@pytest.mark.parametrize(
    "line", ["monkeypatch.setenv('A', '1')", "monkeypatch.chdir(path)", "from unittest import TestCase"]
)
def test_variables_and_folders_may_be_set(line: str) -> None:
    assert not list(mock_uses(ast.parse(line)))


# ---- whom the package ends -------------------------------------------------------------------------------------------

SIGNALLERS = {
    "src/rayfleet/providers/process/procfs.py": "whoever has this pid and start time",
    "src/rayfleet/engines/ray/node_main.py": "its own descendants",
    "src/rayfleet/launcher/demo/drivers.py": "its own children",
    "src/rayfleet/wire/ssh/rsync.py": "its own child, whose copy nobody waits for any more",
}
SENDS = {"kill", "killpg", "pidfd_send_signal", "send_signal", "terminate"}
BY_NAME = re.compile(r"\b(pkill|killall|ray stop)\b|[\"']stop[\"'], *[\"']--force")


def signals(tree: ast.Module) -> bool:
    """Say whether a file sends signals by itself."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    senders = (call for call in calls if isinstance(call, ast.Attribute) and call.attr in SENDS)
    return any(not isinstance(call.value, ast.Name) or call.value.id not in {"ray", "procfs"} for call in senders)


def test_signals_are_sent_from_few_places_and_never_by_name() -> None:
    """Everything else asks `procfs`, which looks at the start time first."""
    package = list(sources(ROOT / "src"))
    assert {path for path, text in package if signals(ast.parse(text))} == SIGNALLERS.keys()
    assert [path for path, text in package if BY_NAME.search(text)] == []
    assert BY_NAME.search("subprocess.run(['ray', 'stop', '--force'])")
