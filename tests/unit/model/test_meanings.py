"""Every reason code is explained: what it means, what its details are, and what a person can do."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet.model import TEXTS, ReasonCode
from rayfleet.model.meanings import MEANINGS, SECTIONS

PACKAGE = Path(__file__).parents[3] / "src" / "rayfleet"


def test_every_code_stands_in_exactly_one_section() -> None:
    assert sorted(code for section in SECTIONS.values() for code in section) == sorted(ReasonCode)


@pytest.mark.parametrize("code", list(ReasonCode))
def test_a_code_says_what_it_means_and_what_to_do(code: ReasonCode) -> None:
    meaning = MEANINGS[code]
    for text in (meaning.says, meaning.do):
        assert len(text.split()) > 3
        assert text.endswith(".")
        assert "  " not in text
    assert all(what and not what.endswith(".") for what in meaning.details.values())


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_detail_of_its_sentence_is_explained_and_no_other(code: ReasonCode) -> None:
    named = {name for _, name, _, _ in string.Formatter().parse(TEXTS[code]) if name}
    assert set(MEANINGS[code].details) == named


def given() -> Iterator[tuple[str, ReasonCode, set[str]]]:
    """Yield place, code and details of every `reason(ReasonCode.X, ...)` and `ReasonCode.X: {...}` of the code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="reason"),
                    args=[ast.Attribute(value=ast.Name(id="ReasonCode"), attr=name)],
                    keywords=keywords,
                ) if all(keyword.arg for keyword in keywords):
                    yield f"{path.name}:{node.lineno}", ReasonCode[name], {str(keyword.arg) for keyword in keywords}
                case ast.Dict(keys=keys, values=values):
                    for key, value in zip(keys, values, strict=True):
                        match key, value:
                            case ast.Attribute(value=ast.Name(id="ReasonCode"), attr=name), ast.Dict(keys=inner):
                                words = {one.value for one in inner if isinstance(one, ast.Constant)}
                                yield f"{path.name}:{key.lineno}", ReasonCode[name], {str(word) for word in words}
                            case _:
                                pass
                case _:
                    pass


def test_what_the_code_gives_is_what_is_explained() -> None:
    found = list(given())
    assert {code for _, code, _ in found} >= set(ReasonCode) - {
        # said through a variable; `tests/unit/planner/test_reasons.py` gives each of them
        ReasonCode.TASKS, ReasonCode.GANG, ReasonCode.REQUESTED, ReasonCode.NODE_DIED, ReasonCode.MACHINE_LOST,
        ReasonCode.DRAINED, ReasonCode.DRAIN_DEADLINE, ReasonCode.REPLICA_BROKEN,
        ReasonCode.BUFFER, ReasonCode.UTILIZATION, ReasonCode.FORECAST,
    }  # fmt: skip
    assert [(place, code) for place, code, words in found if words != set(MEANINGS[code].details)] == []
