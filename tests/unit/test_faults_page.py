"""The page about faults names a test for each, and every one of them exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"


def test_every_fault_names_a_test_that_exists() -> None:
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith("| ") and not row.startswith("| fault |")]
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert len(named) == 1, row
        file, test = named[0]
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"
