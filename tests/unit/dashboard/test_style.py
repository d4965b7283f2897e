"""The style sheet: words can be read on whatever they stand, light and dark."""

import re

import pytest

from rayfleet.dashboard.server import style

WORDS = ("ink", "dim", "good", "busy", "warn", "bad", "link")
GROUNDS = ("bg", "panel", "soft")
ENOUGH = 4.5
"""Level AA of the Web Content Accessibility Guidelines, for small text."""


def colours(selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r" \{(.*?)\}", style(), re.DOTALL)
    assert block is not None
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block[1]))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("selector", [":root", "body.body--dark"])
@pytest.mark.parametrize("word", WORDS)
def test_words_can_be_read(selector: str, word: str) -> None:
    found = colours(selector)
    poor = {ground: round(contrast(found[word], found[ground]), 2) for ground in GROUNDS}
    assert {ground: value for ground, value in poor.items() if value < ENOUGH} == {}
