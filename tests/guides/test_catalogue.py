"""The catalogue itself: every row has its proof, and the page in the documentation is what it says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from tests.guides.catalogue import ENTRIES
from tests.guides.entries import Checks, Entry, InPods, OverSsh, Run, Says, State, typed

pytestmark = pytest.mark.guides

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDERS = {Run: HERE, InPods: ROOT / "tests" / "kubernetes", OverSsh: ROOT / "tests" / "e2e" / "remote"}


def functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_row_is_there_twice() -> None:
    names = [entry.id for entry in ENTRIES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_row_has_the_proof_that_its_state_needs(entry: Entry) -> None:
    if isinstance(entry.proof, Run | InPods | OverSsh):
        folder = FOLDERS[type(entry.proof)]
        file, _, function = entry.proof.test.partition("::")
        assert function in functions(folder / file)
        assert entry.state in (State.WORKS, State.EQUIVALENT)
    if isinstance(entry.proof, Says):
        assert entry.state in (State.CLOUD, State.PLANNED)
    if isinstance(entry.proof, Checks):
        assert entry.state is State.WORKS or entry.proof.notes
    assert entry.how or entry.state is State.WORKS
    assert entry.title or "\n" not in entry.typed


def test_every_block_that_is_kept_is_somewhere() -> None:
    used = {entry.typed for entry in ENTRIES} | {text for entry in ENTRIES for text in files_of(entry)}
    unused = [path.name for path in sorted((HERE / "typed").iterdir()) if typed(path.stem) not in used]
    assert unused == []


def files_of(entry: Entry) -> list[str]:
    return list(entry.proof.files.values()) if isinstance(entry.proof, Says) else []


def test_page_is_generated() -> None:
    script = ROOT / "scripts" / "guides_page.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
