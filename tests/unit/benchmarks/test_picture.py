"""The planner's picture: titles from the figures, everything within its edges, whatever the figures are."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from benchmarks.growth_picture import Curve
from benchmarks.parts.planner import Row
from benchmarks.problems import picture
from benchmarks.problems.cases import STANDING
from benchmarks.problems.growth import SIZES
from benchmarks.problems.peers import Answer
from benchmarks.problems.words import in_words

ROW = Row(
    "mix100_1000_t50", 100.0, 102.0, 101.0, 40, 0.03, 1.9, 0.01, Answer(210.0, 60, 0, 1.2), Answer(125.0, 50, 0, 0.8)
)  # fmt: skip
CURVES = [Curve(of, tuple((size, 0.004 * size**0.4) for size in sizes)) for of, (_, sizes) in SIZES.items()]
SVG = "{http://www.w3.org/2000/svg}"


def drawn(rows: list[Row]) -> ET.Element:
    """Return the picture as a tree; it is ours, so that a plain parser will do."""
    return ET.fromstring(picture.svg(rows, CURVES))


def texts(tree: ET.Element) -> list[str]:
    return [text.text or "" for text in tree.iter(f"{SVG}text")]


def test_titles_state_what_was_found() -> None:
    said = texts(drawn([ROW]))
    assert said[0] == "rayfleet plans within 2.0% of the least possible price on all of 1 problems"
    assert "Ray's v2 pays up to 2.1 x the least" in said
    assert "40 x as fast as Ray's v2 (median)" in said


def test_every_case_has_words_of_its_own() -> None:
    words = [in_words(name) for name in STANDING]
    assert len(set(words)) == len(words)
    assert [word for word in words if "_" in word] == []
    assert in_words("no_such_case") == "no_such_case"


def test_growth_is_drawn_over_three_decades_of_each_thing() -> None:
    said = texts(drawn([ROW]))
    assert [of for of in SIZES if of not in said] == []
    assert {"1k", "10k", "100k", "1M"} <= set(said)
    assert all(sizes[-1] // sizes[0] == 1000 for _, sizes in SIZES.values())


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        replace(ROW, v2=Answer(3000.0, 9, 0, 500.0), v1=None, thorough_usd=None, thorough_s=None),
        replace(ROW, bound=0.0, usd_per_hour=0.0, v2=None, v1=None, cpu_s=1e-5),
    ],
)
def test_nothing_lies_beyond_the_edges(row: Row) -> None:
    rows = [replace(row, name=name) for name in STANDING]
    tree = drawn(rows)
    width, height = (float(part) for part in tree.attrib["viewBox"].split()[2:])
    for mark in tree.iter():
        for across, down in (("cx", "cy"), ("x", "y"), ("x1", "y1"), ("x2", "y2")):
            assert 0 <= float(mark.get(across, 0)) <= width
            assert 0 <= float(mark.get(down, 0)) <= height
    wide = 6.9  # of a letter of 12 pixels, measured in a browser
    assert [
        t.text for t in tree.iter(f"{SVG}text") if t.get("class") == "name" and len(t.text or "") * wide > 366
    ] == []


def test_who_is_who_shows_without_colours() -> None:
    shapes = {re.sub(r"[\d.]+", "", picture._mark(0, 0, who)) for who in picture._CLASSES}  # noqa: SLF001 - what it draws
    forms = {(text.split()[0], "fill" in text) for text in shapes}
    assert {form for form, _ in forms} == {"<circle", "<path", "<rect"}


def test_the_same_figures_give_the_same_bytes() -> None:
    assert picture.svg([ROW], CURVES) == picture.svg([ROW], CURVES)
