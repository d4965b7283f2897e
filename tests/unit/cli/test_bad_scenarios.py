"""Bad scenarios through the command line: one readable error or a plan in time, never a hang or a traceback."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rayfleet.cli.app import app

POOL = "{name: a, resources: {CPU: 4}, offers: [{usd_per_hour: 1}]}"
POLICY = f"policy: {{pools: [{POOL}]}}"
BILLION = 10**9
MANY = "at most 1,000,000 can be planned"


def planned(text: str, tmp_path: Path, *words: str) -> Result:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return CliRunner().invoke(app, ["plan", str(path), *words], prog_name="rayfleet")


def with_policy(rest: str) -> str:
    return f"policy: {{pools: [{POOL}], {rest}}}"


def tasks(rest: str) -> str:
    return f"{POLICY}\ndemand: {{tasks: [{{shape: {{CPU: 1}}, {rest}}}]}}"


LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
NESTED = "[" * 5000

REFUSED = {
    "a negative count": (tasks("count: -5"), "demand.tasks[0].count: must be at least 0, not -5"),
    "a negative price": (POLICY.replace("1}", "-1}"), "usd_per_hour: must be at least 0"),
    "a negative maximum": (with_policy("max_workers: -1"), "policy.max_workers: must be at least 0, not -1"),
    "NaN": (tasks("age_s: .nan"), "must be a finite number, not nan"),
    "infinity": (with_policy("max_usd_per_hour: .inf"), "must be a finite number, not inf"),
    "an unknown key": (f"{POLICY}\ndemnd: {{}}", "demnd: unknown key (did you mean demand?)"),
    "no pools": ("policy: {pools: []}", "policy.pools: must not be empty"),
    "no offers": ("policy: {pools: [{name: a, offers: []}]}", "offers: must not be empty"),
    "a pool twice": (f"policy: {{pools: [{POOL}, {POOL}]}}", "the pool a is given twice"),
    "a list for a mapping": ("policy: []", "policy: "),
    "nothing": ("", "must be a mapping of keys to values, not nothing"),
    "no YAML": ("{", "s.yaml"),
    "a value that holds itself": ("policy: &p\n  pools: *p", "is nested too deeply"),
    "aliases that multiply": (f"{LAUGHS}policy: *a8", "has too many values"),
    "depth": (NESTED, "is nested too deeply"),
    "10^9 tasks": (tasks(f"count: {BILLION}"), MANY),
    "10^10 tasks": (tasks(f"count: {BILLION}0"), "at most 1,000,000"),
    "10^9 requested": (
        f"{POLICY}\ndemand: {{requested: [{{shape: {{CPU: 1}}, count: {BILLION}}}]}}", MANY
    ),
    "10^9 gangs": (
        f"{POLICY}\ndemand: {{gangs: [{{bundles: [{{CPU: 1}}], count: {BILLION}}}]}}", MANY
    ),
    "a minimum of 10^9": (
        POLICY.replace("{CPU: 4}", f"{{CPU: 4}}, min_workers: {BILLION}"), "at most 1,000,000 machines"
    ),
    "a buffer of 10^9": (
        with_policy(f"buffers: [{{name: b, shape: {{CPU: 1}}, count: {BILLION}}}]"),
        "policy.buffers[0].count: at most 1,000,000 pieces of room can be planned",
    ),
    "a scheduled buffer of 10^9": (
        with_policy(
            'schedules: [{name: s, cron: "* * * * *", duration_s: 60, '
            f"buffers: [{{name: b, shape: {{CPU: 1}}, count: {BILLION}}}]}}]"
        ),
        "policy.schedules[0].buffers[0].count: at most 1,000,000",
    ),
    "a scheduled minimum of 10^9": (
        with_policy(f'schedules: [{{name: s, cron: "* * * * *", duration_s: 60, pool: a, min_workers: {BILLION}}}]'),
        "policy.schedules[0].min_workers: at most 1,000,000 machines",
    ),
    "10^9 expected": (
        f"{POLICY}\nexpected: [{{name: e, shape: {{CPU: 1}}, count: {BILLION}}}]",
        "expected[0].count: at most 1,000,000 expected pieces",
    ),
    "effort without end": (f"{POLICY}\neffort: {BILLION}", "effort: must be at most 1,000,000"),
    "two buffers that are too many together": (
        with_policy("buffers: [{name: b, shape: {CPU: 1}, count: 600000}, {name: c, shape: {CPU: 1}, count: 600000}]"),
        "policy.buffers[1].count: at most 1,000,000",
    ),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_readable_block(name: str, tmp_path: Path) -> None:
    text, said = REFUSED[name]
    result = planned(text, tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


PLANNED = {
    "fallbacks in a circle": (tasks("count: 5, selectors: [{x: a}, {x: b}, {x: a}]"), 5),
    "a pool that has nothing": (f"policy: {{pools: [{{name: a}}]}}\n{tasks('count: 3').partition(chr(10))[2]}", 3),
    "work that asks for nothing": (f"{POLICY}\ndemand: {{tasks: [{{shape: {{}}, count: 3}}]}}", 0),
    "as many tasks as may be": (tasks("count: 1000000"), 0),
    "tasks of next to nothing": (tasks("count: 1000000").replace("CPU: 1}", "CPU: 0.0001}"), 0),
    "a maximum of nothing": (f"{with_policy('max_workers: 0')}\n{tasks('count: 3').partition(chr(10))[2]}", 3),
    "an order about no pool": (f"{POLICY}\norders: [{{kind: scale, target: b, value: '3'}}]", 0),
    "an order that is no number": (f"{POLICY}\norders: [{{kind: set, target: max_workers, value: many}}]", 0),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", PLANNED)
def test_it_is_planned_all_the_same(name: str, tmp_path: Path) -> None:
    text, unmet = PLANNED[name]
    result = planned(text, tmp_path, "--json")
    assert result.exit_code == 0, result.stderr
    assert sum(row["count"] for row in json.loads(result.stdout)["unmet"]) == unmet
