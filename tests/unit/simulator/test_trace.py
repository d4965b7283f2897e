"""Traces: every column, every mistake by its line, and the way back."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayfleet.config import ConfigInvalid
from rayfleet.model import LabelSelector, Resources, Strategy
from rayfleet.simulator.generators import GENERATORS, generated
from rayfleet.simulator.trace import Work, parse_csv, read_trace, to_csv, write_trace

HEAD = "submit_s,shape,count,duration_s,gang,labels\n"


def test_rows_come_in_the_order_of_their_times() -> None:
    trace = parse_csv(HEAD + '60,"{""CPU"": 1}",5,45,,\n0,CPU=2;GPU=0.5,,30,PACK:g1,\n', "t.csv")
    assert trace.rows == (
        Work(0.0, Resources.of({"CPU": 2, "GPU": 0.5}), 30.0, 1, Strategy.PACK, "g1"),
        Work(60.0, Resources.of({"CPU": 1}), 45.0, 5),
    )
    assert (trace.tasks, trace.last_s) == (6, 60.0)


def test_labels_have_alternatives() -> None:
    trace = parse_csv(HEAD + '0,CPU=1,1,1,,"tier=batch;zone=in(a,b)|tier=!web"\n', "t.csv")
    assert trace.rows[0].selectors == (
        LabelSelector.parse({"tier": "batch", "zone": "in(a,b)"}),
        LabelSelector.parse({"tier": "!web"}),
    )


def test_columns_may_stand_in_any_order_and_be_left_out() -> None:
    assert parse_csv("duration_s,submit_s,shape\n30,0,CPU=1\n", "t.csv").rows == (
        Work(0.0, Resources.of({"CPU": 1}), 30.0),
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,CPU=1,1,1,,", "submit_s: must be a number, not 'x'"),
        ("-1,CPU=1,1,1,,", "submit_s: must be from 0 to"),
        ("nan,CPU=1,1,1,,", "submit_s: must be a finite number"),
        ("0,,1,1,,", "shape: is required"),
        ("0,CPU,1,1,,", "shape: 'CPU' is not name=value"),
        ("0,CPU=-1,1,1,,", "shape: no amount may be negative"),
        ("0,{CPU,1,1,,", "shape: is not JSON"),
        ("0,CPU=1,0,1,,", "count: must be a whole number"),
        ("0,CPU=1,1.5,1,,", "count: must be a whole number"),
        ("0,CPU=1,1e12,1,,", "count: must be a whole number"),
        ("0,CPU=1,1,,,", "duration_s: must be a number"),
        ("0,CPU=1,1,1,SIDEWAYS,", "gang: must be one of PACK, SPREAD"),
        ("0,CPU=1,20000,1,PACK,", "count: a placement group has at most"),
        ("0,CPU=1,1,1,,tier=in(a", "label selector tier"),
        ("0,CPU=1,1,1,,,7", "has more values than columns"),
    ],
)
def test_each_mistake_is_named_with_its_line(row: str, said: str) -> None:
    with pytest.raises(ConfigInvalid) as raised:
        parse_csv(f"{HEAD}0,CPU=1,1,1,,\n{row}\n", "t.csv")
    assert str(raised.value).startswith("t.csv:3")
    assert said in str(raised.value)


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(ConfigInvalid) as raised:
        parse_csv(HEAD + "x,CPU=1,1,1,,\n0,CPU=1,1,x,,\n", "t.csv")
    assert [problem.line for problem in raised.value.problems] == [2, 3]


def test_columns_that_are_wrong_are_named() -> None:
    with pytest.raises(ConfigInvalid) as raised:
        parse_csv("submit_s,shape,seconds\n", "t.csv")
    assert [p.message for p in raised.value.problems] == ["unknown column 'seconds'", "column duration_s is missing"]


@pytest.mark.parametrize("word", sorted(GENERATORS))
def test_a_made_trace_survives_the_way_through_a_file(word: str, tmp_path: Path) -> None:
    trace = generated(f"{word}:hours=1", seed=3)
    assert trace.tasks > 0
    write_trace(trace, tmp_path / "t.csv")
    again = read_trace(tmp_path / "t.csv")
    assert to_csv(again) == to_csv(trace)


def test_parquet_says_the_same(tmp_path: Path) -> None:
    trace = generated("training:gangs=3,hours=1", seed=1)
    path = tmp_path / "t.parquet"
    write_trace(trace, path)
    assert to_csv(read_trace(path)) == to_csv(trace)


def test_parquet_of_others_may_hold_objects(tmp_path: Path) -> None:
    """Columns of numbers and of structs, as data frames write them."""
    path = tmp_path / "t.parquet"
    row = {"submit_s": 1.5, "shape": {"CPU": 2.0}, "count": 3, "duration_s": 60, "labels": None}
    pq.write_table(pa.Table.from_pylist([row]), path)
    assert read_trace(path).rows == (Work(1.5, Resources.of({"CPU": 2}), 60.0, 3),)


def test_the_same_seed_makes_the_same_work_and_another_one_does_not() -> None:
    assert to_csv(generated("bursty:hours=1", 1)) == to_csv(generated("bursty:hours=1", 1))
    assert to_csv(generated("bursty:hours=1", 1)) != to_csv(generated("bursty:hours=1", 2))


def test_a_generator_refuses_numbers_that_it_does_not_have() -> None:
    with pytest.raises(ConfigInvalid, match="it takes hours=24"):
        generated("diurnal:hourz=3", 0)


def test_diurnal_work_peaks_at_noon_with_as_many_cpus_as_asked_for() -> None:
    trace = generated("diurnal:hours=24,peak=1000", seed=0)
    cpus = [0.0] * 24
    for row in trace.rows:
        busy = row.count * row.shape.amounts()["CPU"] * row.duration_s / 3600
        cpus[min(23, int(row.submit_s // 3600))] += busy
    assert 850 <= cpus[12] <= 1150
    assert cpus[0] < 300 < cpus[6]
