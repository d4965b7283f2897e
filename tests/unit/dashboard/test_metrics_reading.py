"""What is asked of Prometheus about a series, and the curves that its answers are."""

from typing import Any

import pytest

from rayfleet.dashboard.readings.metrics import MOST_LINES, Kind, asked, current, drawn, first, kinds, selector

NOW = 1_700_000_003.0
OF = {"RayClusterName": 'a"b\\'}


def test_a_histogram_is_one_choice_and_a_counter_is_known_by_its_name() -> None:
    names = ["b_total", "a", "h_bucket", "h_sum", "h_count", "h_created", "other_count"]
    assert kinds(names) == {"a": Kind.GAUGE, "b_total": Kind.COUNTER, "h": Kind.HISTOGRAM, "other_count": Kind.GAUGE}


@pytest.mark.parametrize(
    ("names", "shown"),
    [(["x", "autoscaler_active_nodes", "ray_node_cpu_utilization"], "ray_node_cpu_utilization"), (["y", "x"], "x")],
)
def test_something_is_shown_at_once(names: list[str], shown: str) -> None:
    assert first(kinds(names)) == shown
    assert first({}) is None


def test_a_name_can_end_no_selector() -> None:
    assert selector("x.y", OF) == '{__name__="x.y",RayClusterName="a\\"b\\\\"}'
    assert selector("", {"a": "1\n2"}) == '{a="1\\n2"}'


@pytest.mark.parametrize(
    ("kind", "queries"),
    [
        (Kind.GAUGE, ['{__name__="s",c="d"}']),
        (Kind.COUNTER, ['rate({__name__="s",c="d"}[60s])']),
        (
            Kind.HISTOGRAM,
            [
                f'histogram_quantile({q}, sum by (le) (rate({{__name__="s_bucket",c="d"}}[60s])))'
                for q in (0.5, 0.9, 0.99)
            ],
        ),
    ],
)
def test_each_kind_has_its_queries(kind: Kind, queries: list[str]) -> None:
    found = asked("s", kind, {"c": "d"}, now=NOW, span_s=900.0)
    assert list(found.queries.values()) == queries
    assert (found.step_s, found.until, found.since) == (5.0, 1_700_000_000.0, 1_700_000_000.0 - 900)


def test_long_spans_have_long_steps_and_rates_over_four_of_them() -> None:
    found = asked("s", Kind.COUNTER, {}, now=NOW, span_s=604_800.0)
    assert found.step_s == 2520.0
    assert found.until == 1_700_000_000.0
    assert "[10080s]" in found.queries[""]


GAUGE = asked("s", Kind.GAUGE, {}, now=NOW, span_s=900.0)


def series(*values: str, **labels: str) -> dict[str, Any]:
    return {"metric": {"__name__": "s", "job": "ray", **labels}, "values": [[n, each] for n, each in enumerate(values)]}


def test_lines_are_called_by_the_labels_in_which_they_differ() -> None:
    found = drawn(GAUGE, {"": [series("1", node="a"), series("2", "NaN", node="b", gpu="0")]})
    assert [line.name for line in found.lines] == ["node=a", "gpu=0, node=b"]
    assert found.lines[1].points == ((0.0, 2.0), (1.0, None))
    assert [line.name for line in drawn(GAUGE, {"": [series("1")]}).lines] == ["s"]


def test_what_has_no_number_at_all_is_no_line() -> None:
    assert drawn(GAUGE, {"": [series("NaN", "+Inf")]}).lines == ()


def test_of_many_lines_the_highest_are_shown() -> None:
    found = drawn(GAUGE, {"": [series(str(n), node=f"{n}") for n in range(MOST_LINES + 5)]})
    assert (len(found.lines), found.hidden) == (MOST_LINES, 5)
    assert found.lines[0].name == f"node={MOST_LINES + 4}"


def test_no_two_lines_have_one_name() -> None:
    one = series("1")
    assert [line.name for line in drawn(GAUGE, {"": [one, one]}).lines] == ["s", "s (2)"]


def test_the_exporters_page_is_a_table() -> None:
    text = (
        '# HELP a Text.\n# TYPE a gauge\na{NodeType="x",Empty="",Namespace="n"} 2\n'
        '# TYPE t histogram\nt_bucket{le="1"} 1\nt_bucket{le="+Inf"} 2\nt_sum 3.25\nt_count 2\nb NaN\n'
    )
    rows = [(row["series"], row["labels"], row["value"]) for row in current(text)]
    assert rows == [("a", "NodeType=x", "2"), ("t_sum", "", "3.25"), ("t_count", "", "2"), ("b", "", "nan")]
    assert len({row["id"] for row in current(text)}) == 4


def test_what_is_no_exporter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        current("<html>{}</html>")
