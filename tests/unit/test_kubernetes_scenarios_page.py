"""The page of KubeRay's scenarios has all of them, and every test that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "kubernetes-scenarios.md"
SCENARIOS = 64
COLUMNS = 4
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[list[str]]:
    """Return the cells of every scenario."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_scenario_has_one_row() -> None:
    assert [int(row[0]) for row in rows()] == list(range(1, SCENARIOS + 1))


def test_each_names_its_tests_or_says_why_there_is_none() -> None:
    for row in rows():
        assert len(row) == COLUMNS, row
        assert NAMED.search(row[2]) or row[3], f"scenario {row[0]} is neither held nor excused"


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > SCENARIOS
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {test}"
