"""Markup: whatever somebody calls a cluster, a pool or a node stays text."""

from hypothesis import given
from hypothesis import strategies as st

from rayfleet.dashboard.charts import timeline_chart
from rayfleet.dashboard.markup import Html, joined, table, tag
from rayfleet.dashboard.readings.timeline import LAUNCH, Mark, Timeline

EVIL = "<img src=x onerror=alert(1)>\"'&"


@given(st.text())
def test_text_never_becomes_markup(text: str) -> None:
    made = tag("p", text, title=text)
    inside = made[len("<p") : -len("</p>")]
    assert "<" not in inside
    assert inside.count('"') == 2


def test_markup_is_not_escaped_twice() -> None:
    assert tag("p", tag("b", "a & b"), None, Html("&nbsp;")) == "<p><b>a &amp; b</b>&nbsp;</p>"
    assert isinstance(joined(["a", "b"]), Html)


def test_attributes_are_written_as_html_has_them() -> None:
    made = tag("input", type="text", required=True, disabled=False, aria_label="x", class_="y", title=None)
    assert made == '<input type="text" required aria-label="x" class="y">'


def test_a_table_escapes_its_cells_and_names_itself() -> None:
    made = table(("Pool", "n"), [(EVIL, "1")], numbers=[1], caption="Pools")
    assert "<img" not in made
    assert '<th class="num" scope="col">n</th>' in made
    assert 'aria-label="Pools"' in made


def test_no_text_of_a_cluster_is_javascript_of_a_chart() -> None:
    line = Timeline(0.0, 60.0, (), (Mark(1.0, LAUNCH, 1, (EVIL,)),), ("CPU",))
    scripts = list(_scripts(timeline_chart(line, EVIL)))
    assert len(scripts) > 20
    assert [script for script in scripts if "onerror" in script] == []


def _scripts(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [str(part) for key, part in value.items() if str(key).startswith(":")]
        return own + [each for part in value.values() for each in _scripts(part)]
    return [each for part in value for each in _scripts(part)] if isinstance(value, list) else []
