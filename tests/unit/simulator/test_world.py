"""The pretend world: distributions, its file, and what Ray's scheduling does with a few nodes."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from rayfleet.config import ConfigInvalid
from rayfleet.model import NO_LABELS, Market, OfferKey, Resources, Strategy
from rayfleet.simulator.agenda import Agenda
from rayfleet.simulator.chance import Spread, generator
from rayfleet.simulator.gangs import Wanted, place_gang
from rayfleet.simulator.nodes import NodeTable, SimNode
from rayfleet.simulator.scene import Scene, Stock, parse_scene
from rayfleet.simulator.tally import BUCKET_S, Level, Tally

CPU1, CPU2 = Resources.of({"CPU": 1}), Resources.of({"CPU": 2})
GPU1 = Resources.of({"GPU": 1})


# ---- chance and the file ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mean", "off"),
    [
        ("uniform(10, 30)", 20, 0.5),
        ("normal(40, 5)", 40, 0.5),
        ("exponential(30)", 30, 1.5),
        ("lognormal(40, 0.2)", 40.8, 1),
    ],
)
def test_a_distribution_gives_its_mean(text: str, mean: float, off: float) -> None:
    chance, spread = generator(0, "test"), Spread.parse(text)
    drawn = [spread.draw(chance) for _ in range(5000)]
    assert abs(float(np.mean(drawn)) - mean) < off
    assert min(drawn) >= 0
    assert str(spread) == text


@pytest.mark.parametrize("text", ["uniform(1)", "uniform(a, b)", "often", "normal(nan, 1)", "uniform(-1, 2)"])
def test_what_is_no_distribution_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="boot_s"):
        parse_scene(f"boot_s: {text}\n", "world.yaml")


def test_a_world_file_says_everything() -> None:
    scene = parse_scene(
        "boot_s: uniform(30, 60)\nspot_interruptions_per_hour: 0.1\n"
        "stock:\n  - {pool: gpu, market: spot, machines: 4, until_s: 60}\npools:\n  gpu: {boot_s: 100}\n",
        "world.yaml",
    )
    assert scene.boot_s == Spread("uniform", (30.0, 60.0))
    assert scene.stock == (Stock(OfferKey("gpu", market=Market.SPOT), 4, 0.0, 60.0),)
    assert scene.pool("gpu").boot_s == Spread("constant", (100.0,))
    assert scene.pool("cpu").boot_s is None
    assert parse_scene("", "world.yaml") == Scene()


def test_every_mistake_of_a_world_file_is_told_at_once() -> None:
    with pytest.raises(ConfigInvalid) as raised:
        parse_scene("bootes_s: 3\napi_errors: 2\nrun_time: 0\n", "world.yaml")
    assert [(p.line, p.path) for p in raised.value.problems] == [(1, "bootes_s"), (2, "api_errors"), (3, "run_time")]


def test_things_happen_in_the_order_of_their_times() -> None:
    agenda, seen = Agenda(100.0), list[str]()
    agenda.at(102.0, seen.append, "late")
    agenda.at(101.0, seen.append, "first")
    agenda.at(101.0, seen.append, "second")
    agenda.at(101.0, lambda: agenda.at(90.0, seen.append, "at once"))
    agenda.advance(101.5)
    assert (seen, agenda.next_at) == (["first", "second", "at once"], 102.0)


# ---- Ray's choice of a node ---------------------------------------------------------------------------


@pytest.fixture
def add() -> tuple[NodeTable, Callable[..., SimNode]]:
    table = NodeTable(("CPU", "GPU", "memory"), Random(0))

    def one(cpus: float, **more: float) -> SimNode:
        name = f"n{len(table.nodes)}"
        return table.add(name, name, "pool", Resources.of({"CPU": cpus, **more}), NO_LABELS)

    return table, one


Added = tuple[NodeTable, Callable[..., SimNode]]


def spread_of(table: NodeTable, shape: Resources, count: int, first: SimNode | None = None) -> dict[str, int]:
    eligible = np.ones(len(table.rows), np.bool_)
    chosen = table.choose(table.need(shape), count, eligible, first)
    for node, n in chosen:
        table.take(node, table.need(shape), n)
    found: dict[str, int] = {}
    for node, n in chosen:
        found[node.id] = found.get(node.id, 0) + n
    return found


def test_few_nodes_are_filled_to_the_half_and_then_evenly(add: Added) -> None:
    """With fewer than ten nodes the best fifth is one node: the first half of each, then the emptier one."""
    table, one = add
    for _ in range(3):
        one(8)
    assert spread_of(table, CPU1, 4) == {"n0": 4}
    assert spread_of(table, CPU1, 8) == {"n1": 4, "n2": 4}
    assert spread_of(table, CPU1, 3) == {"n0": 1, "n1": 1, "n2": 1}


def test_one_after_the_other_goes_where_many_at_once_go(add: Added) -> None:
    table, one = add
    for _ in range(3):
        one(8)
    alone: dict[str, int] = {}
    for _ in range(15):
        for name, n in spread_of(table, CPU1, 1).items():
            alone[name] = alone.get(name, 0) + n
    assert alone == {"n0": 5, "n1": 5, "n2": 5}


def test_everything_with_room_is_filled_by_more_than_fits(add: Added) -> None:
    table, one = add
    one(4)
    one(2)
    assert spread_of(table, CPU2, 100) == {"n0": 2, "n1": 1}
    assert spread_of(table, CPU1, 1) == {}


def test_work_without_gpus_takes_gpu_nodes_last(add: Added) -> None:
    table, one = add
    one(4, GPU=1)
    one(2)
    assert spread_of(table, CPU1, 2) == {"n1": 2}
    assert spread_of(table, CPU1, 1) == {"n0": 1}
    assert spread_of(table, GPU1, 1) == {"n0": 1}


def test_the_node_of_the_driver_goes_first_while_it_is_as_good(add: Added) -> None:
    table, one = add
    one(4)
    head = one(4)
    assert spread_of(table, CPU1, 2, head) == {"n1": 2}
    assert spread_of(table, CPU1, 1, head) == {"n0": 1}


def test_a_fifth_of_many_nodes_shares_the_work(add: Added) -> None:
    """On 20 nodes the best four take turns by chance, so that work is on more machines than it needs."""
    table, one = add
    for _ in range(20):
        one(100)
    used = spread_of(table, CPU1, 40)
    assert set(used) == {"n0", "n1", "n2", "n3"}


def test_the_busiest_of_cpu_and_memory_counts(add: Added) -> None:
    table, one = add
    one(10, memory=100)
    one(10, memory=100)
    assert spread_of(table, Resources.of({"CPU": 1, "memory": 60}), 1) == {"n0": 1}
    assert spread_of(table, CPU1, 4) == {"n1": 4}


def placed(table: NodeTable, strategy: Strategy, shape: Resources, count: int) -> list[str] | None:
    everywhere = np.ones(len(table.rows), np.bool_)
    found = place_gang(table, strategy, [Wanted(table.need(shape), everywhere)] * count)
    return None if found is None else [node.id for node, _ in found]


def test_placement_groups_go_where_their_strategy_says(add: Added) -> None:
    table, one = add
    for cpus in (4, 4, 8):
        one(cpus)
    assert placed(table, Strategy.STRICT_PACK, CPU2, 2) == ["n0", "n0"]
    assert placed(table, Strategy.STRICT_PACK, CPU2, 4) == ["n2"] * 4
    assert placed(table, Strategy.STRICT_PACK, CPU2, 5) is None
    assert placed(table, Strategy.STRICT_SPREAD, CPU2, 3) == ["n0", "n1", "n2"]
    assert placed(table, Strategy.STRICT_SPREAD, CPU2, 4) is None
    assert placed(table, Strategy.SPREAD, CPU2, 4) == ["n0", "n1", "n2", "n0"]
    assert placed(table, Strategy.PACK, CPU2, 3) == ["n0", "n0", "n1"]
    assert placed(table, Strategy.PACK, CPU2, 9) is None
    assert all(node.free == node.total for node in table.nodes.values())


# ---- what is measured ---------------------------------------------------------------------------------


def test_a_level_knows_its_integral_peak_and_curve() -> None:
    level = Level(1000.0)
    level.add(1000.0, 2)
    level.add(1000.0 + BUCKET_S / 2, 2)
    level.add(1000.0 + 2 * BUCKET_S, -4)
    level.settle(1000.0 + 4 * BUCKET_S)
    assert level.integral == pytest.approx(2 * BUCKET_S / 2 + 4 * 1.5 * BUCKET_S)
    assert level.peak == 4
    assert level.curve(4 * BUCKET_S, 4) == pytest.approx([3, 4, 0, 0])
    assert level.curve(4 * BUCKET_S, 2) == pytest.approx([3.5, 0])


def test_percentiles_count_tasks_and_not_rows() -> None:
    tally = Tally(0.0, wait_goal_s=10.0)
    tally.waited(5.0, 98)
    tally.waited(100.0, 1)
    tally.waited(20.0, 1)
    assert tally.wait_percentiles((50, 98, 99, 100)) == [5.0, 5.0, 20.0, 100.0]
    assert (tally.late, tally.started, tally.wait_sum_s) == (2, 100, 610.0)
    assert tally.waiting_longer((0.0, 5.0, 50.0, 100.0)) == pytest.approx([1.0, 0.02, 0.01, 0.0])
