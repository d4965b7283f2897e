"""The translated pages show what the English ones show: the same blocks, sections, tables and commands."""

import re
from pathlib import Path

import pytest
from tests.unit.docs.pages import DOCS, ROOT, blocks, prose

PAIRS = [(ROOT / "README.md", ROOT / "README.zh.md"), (DOCS / "quickstart.md", DOCS / "zh" / "quick-start.md")]
LEAST_BLOCKS = 4


def shown(path: Path) -> list[tuple[str, str]]:
    """Return language and text of a page's blocks, without what is said in comments."""
    return [(block.language, re.sub(r" +# .*$", "", block.text, flags=re.MULTILINE)) for block in blocks(path)]


def shape(path: Path) -> list[int]:
    """Return the levels of a page's headings, in their order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(path), re.MULTILINE)]


def rows(path: Path) -> list[list[str]]:
    """Return what the rows of a page's tables have as code: verbs, options, keys."""
    lines = [line for line in prose(path).splitlines() if line.startswith("| ") and "`" in line]
    return [sorted(re.findall(r"`([^`]+)`", line)) for line in lines]


@pytest.mark.parametrize(("english", "other"), PAIRS, ids=["README", "quick start"])
def test_a_translation_has_the_same_blocks(english: Path, other: Path) -> None:
    assert len(shown(english)) >= LEAST_BLOCKS
    assert shown(other) == shown(english)


@pytest.mark.parametrize(("english", "other"), PAIRS, ids=["README", "quick start"])
def test_a_translation_has_the_same_sections_and_rows(english: Path, other: Path) -> None:
    assert shape(other) == shape(english)
    assert rows(other) == rows(english)


@pytest.mark.parametrize(("english", "other"), PAIRS, ids=["README", "quick start"])
def test_it_is_a_translation_and_no_copy(english: Path, other: Path) -> None:
    """Every paragraph of it is in Chinese; what the pages say in comments, too."""
    ideographs = re.compile("[\u4e00-\u9fff]")
    paragraphs = [text for text in re.split(r"\n\n+", prose(other)) if len(text) > len("[English](README.md)") * 2]
    assert [text for text in paragraphs if not ideographs.search(text)] == []
    remarks = [remark for block in blocks(other) for remark in re.findall(r" # (.*)$", block.text, re.MULTILINE)]
    assert [remark for remark in remarks if not ideographs.search(remark)] == []
    assert len(remarks) == sum(len(re.findall(r" # .*$", block.text, re.MULTILINE)) for block in blocks(english))


def test_both_languages_are_linked() -> None:
    assert "(README.zh.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(README.md)" in (ROOT / "README.zh.md").read_text(encoding="utf-8")
    assert "(zh/quick-start.md)" in (DOCS / "index.md").read_text(encoding="utf-8")
