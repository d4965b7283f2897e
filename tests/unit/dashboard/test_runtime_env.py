"""A runtime environment as somebody types it."""

import pytest

from rayfleet.dashboard.readings.inside import runtime_env


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (" \n", {}),
        ("{}", {}),
        ('{"pip": ["a"],\n "env_vars": {"A": "1"}}', {"pip": ["a"], "env_vars": {"A": "1"}}),
    ],
)
def test_it_is_read_as_json(text: str, found: dict[str, object]) -> None:
    assert runtime_env(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"pip":\n ["a",]}', r"is no JSON: .* \(line 2, column \d+\)\. Write for example"),
        ("pip: [a]", r"is no JSON: Expecting value \(line 1, column 1\)"),
        ('["pip"]', "has to be an object: for example"),
        ('"x"', "has to be an object"),
    ],
)
def test_what_it_is_not_is_told_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        runtime_env(text)
