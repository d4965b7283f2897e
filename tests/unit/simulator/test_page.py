"""The page of a comparison: titles that state what was found, labels that do not meet, machines told of one by one."""

import html
import itertools
import json
import re

import pytest

from rayfleet.simulator import findings
from rayfleet.simulator.gantt import LANES_MAX, TOLD_MAX, gantt
from rayfleet.simulator.svg import BOTTOM, END, LEFT, TOP, WIDTH, Frame, clock, cut, spread
from rayfleet.simulator.tally import Span

LESS = "b costs 80% less than a, and its work waits"


def result(name: str, usd: float, p95: float = 10.0) -> dict[str, object]:
    return {"name": name, "usd": usd, "wait_s": {"p95": p95}, "utilisation": {"CPU": 0.25}, "machines": {"peak": 1200}}


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([result("a", 3.0)], "a costs $3.00"),
        ([result("a", 15.0), result("b", 3.0)], f"{LESS} as long"),
        ([result("a", 15.0), result("b", 3.0, 40.0)], f"{LESS} 30 s longer (at 95 %)"),
        ([result("a", 15.0, 300.0), result("b", 3.0)], f"{LESS} 4.8 min less (at 95 %)"),
        ([result("a", 3.0), result("b", 3.01), result("c", 3.0)], "a, b and c cost the same"),
        ([result("a", 0.0), result("b", 0.0)], "None of these policies costs anything"),
    ],
)  # fmt: skip
def test_the_title_says_what_was_found(results: list[dict[str, object]], said: str) -> None:
    assert findings.title(results) == said


def test_each_section_says_what_it_shows() -> None:
    both = [result("a", 15.0), result("b", 3.0, 40.0)]
    assert findings.of_cost(both) == "Cost: b ends at $3.00, a ends at $15.00"
    assert findings.of_waits(both) == "Waits: 95 of 100 tasks run within 10 s with a, 40 s with b"
    assert findings.of_waits([both[0], both[0]]).endswith("within 10 s with each policy")
    assert findings.of_use(both[0], "CPU").startswith("a: 25% of the CPUs that were paid for were in use")
    assert findings.of_use(both[0], "GPU") == "a: at most 1,200 machines"
    told = [findings.versus(usd, 3.0) for usd in (3.0, 3.3, 15.0)]
    assert told == ["the cheapest", "10% above the cheapest", "5.0 x the cheapest"]


@pytest.mark.parametrize(
    ("seconds", "step_s", "said"),
    [(0, 10, "0 s"), (60, 10, "1 min"), (0, 1800, "0:00"), (5400, 1800, "1:30"), (97200, 10800, "1d 3:00"),
     (172800, 86400, "day 3")],
)  # fmt: skip
def test_moments_are_written_as_their_steps_need(seconds: float, step_s: float, said: str) -> None:
    assert clock(seconds, step_s) == said


@pytest.mark.parametrize("wished", [[5.0], [50, 50, 50], [0, 1, 2, 100], [100, 99, 98], [200, -10]])
def test_names_never_lie_over_each_other(wished: list[float]) -> None:
    places = spread(wished, 15, 0, 100)
    assert all(0 <= place <= 100 for place in places)
    ordered = sorted(places)
    assert all(b - a >= 15 for a, b in itertools.pairwise(ordered))


def test_a_curve_is_named_at_its_end() -> None:
    text = Frame(100.0, 10.0, right=END).ends([("first", "line c0", [1.0, 9.0], 50.0), ("gone", "line c1", [], 1.0)])
    assert "first" in text
    assert "gone" not in text
    assert f'x="{WIDTH - END + 8}"' in text


def test_long_names_are_cut_and_told_whole_under_the_pointer() -> None:
    assert cut("short<") == "short&lt;"
    assert cut("a-very-long-name-of-a-pool") == "a-very-long-…<title>a-very-long-name-of-a-pool</title>"


def span(lane: int, pool: str = "cpu", how: str = "released") -> Span:
    return Span(pool, "spot", float(lane), lane + 5.0, 100.0, how, 1.5)


def test_machines_are_drawn_by_pool_and_told_of_one_by_one() -> None:
    drawing = gantt([span(0), span(1), span(2, "gpu", "interrupted")], 200.0, {"cpu": 3, "gpu": 4})
    told = json.loads(drawing.told)
    rows = [[told["words"][row[1]], *row[3:6], told["words"][row[6]], row[7]] for row in told["rows"]]
    assert rows[2] == ["gpu", 2, 7, 100, "interrupted", 1.5]
    assert [row[0] for row in told["rows"]] == [0, 1, 2]
    assert drawing.svg.count('class="bar ') == 4
    assert drawing.svg.count('class="bad"') == 1
    assert re.findall(r'class="end c(\d)"[^>]*>(\w+)<', drawing.svg) == [("3", "cpu"), ("4", "gpu")]
    assert html.unescape(drawing.caption).startswith("3 machines")


def test_a_thousand_machines_are_thinned_out_and_fit() -> None:
    together = [Span("cpu", "spot", 10.0, 50.0, 150.0, "released", 1.0) for _ in range(1000)]
    drawing = gantt(together, 200.0, {"cpu": 0})
    assert "250 of 1,000 lines are drawn, every 4th" in drawing.caption
    heights = [float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)H", drawing.svg)]
    height = int(re.findall(r'viewBox="0 0 \d+ (\d+)"', drawing.svg)[0])
    assert max(heights) <= height - BOTTOM + 1
    assert min(heights) >= TOP
    assert height - TOP - BOTTOM <= max(560, 2 * LANES_MAX)
    assert min(float(x) for x in re.findall(r"M([\d.]+) ", drawing.svg)) >= LEFT


def test_too_many_machines_are_not_told_of_one_by_one() -> None:
    short = [Span("cpu", "spot", float(n), n + 0.2, n + 0.5, "released", 0.0) for n in range(TOLD_MAX + 1)]
    assert gantt(short, float(TOLD_MAX), {"cpu": 0}).told == ""
