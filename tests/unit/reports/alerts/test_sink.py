"""The sink and its queues beside a loop, on virtual time: nobody who is told holds up anybody else."""

import asyncio
from pathlib import Path

import pytest

from rayfleet.config.alerting import DEFAULT_REPEAT_S, THRESHOLDS, Rule
from rayfleet.model import Policy, Pool, Resources
from rayfleet.reports.alerts.book import Notice, NoticeKind
from rayfleet.reports.alerts.message import Message
from rayfleet.reports.alerts.outbox import QUEUE_LENGTH, TRY_S, WAITS_S, Outbox
from rayfleet.reports.alerts.rules import Severity
from rayfleet.reports.alerts.sink import Alerts, read_state
from rayfleet.testing.fake_receivers import FakeReceiver
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

CPU4 = Pool("cpu4", Resources.of({"CPU": 4}), max_workers=4)


def sink(folder: Path, *receivers: FakeReceiver, repeat_s: float = DEFAULT_REPEAT_S) -> Alerts:
    return Alerts(folder / "alerts.json", lambda: Outbox(receivers), THRESHOLDS, repeat_s)


def message(n: int = 0) -> Message:
    notice = Notice(NoticeKind.FIRING, Rule.LEDGER, f"ledger:{n}", Severity.CRITICAL, "no disk", "look", 900.0, 1000.0)
    return Message("demo", 1000.0 + n, (notice,))


def told(receiver: FakeReceiver) -> list[str]:
    return [f"{notice.kind} {notice.rule}" for each in receiver.got for notice in each.notices]


def test_a_cluster_whose_ledger_fails_and_comes_back(tmp_path: Path) -> None:
    receiver = FakeReceiver()

    async def story() -> None:
        world = World(Policy(pools=(CPU4,), idle_timeout_s=5))
        alerts = sink(tmp_path, receiver)
        async with world.controller(sinks=(world.history, alerts)):
            await asyncio.sleep(60)
            assert receiver.got == []
            world.ledger.write_error = "disk full"
            world.engine.submit(Resources.of({"CPU": 1}), count=3, run_s=3)
            await asyncio.sleep(60)
            assert told(receiver) == ["firing ledger"]
            assert "what is decided cannot be saved, 1 launches are held: disk full" in receiver.got[0].text
            assert read_state(tmp_path / "alerts.json").book.firing[0].condition.rule is Rule.LEDGER
            world.ledger.write_error = ""
            await asyncio.sleep(120)
            assert told(receiver) == ["firing ledger", "over ledger"]
            assert world.engine.done == 3
        await alerts.close()

    run_virtual(story())


def test_demand_that_nothing_can_serve(tmp_path: Path) -> None:
    receiver = FakeReceiver()

    async def story() -> None:
        world = World(Policy(pools=(CPU4,)))
        world.engine.submit(Resources.of({"CPU": 64}), count=2, run_s=3)
        async with world.controller(sinks=(world.history, sink(tmp_path, receiver, repeat_s=600.0))):
            await asyncio.sleep(595)
            assert told(receiver) == []
            await asyncio.sleep(15)
            assert told(receiver) == ["firing unmet_demand"]
            assert receiver.got[0].title == "[rayfleet] world: alert unmet_demand"
            await asyncio.sleep(580)
            assert len(receiver.got) == 1
            await asyncio.sleep(30)
            assert told(receiver)[1:] == ["still unmet_demand"]

    run_virtual(story())


def test_a_controller_that_is_started_again_says_nothing_twice(tmp_path: Path) -> None:
    first, second = FakeReceiver(), FakeReceiver()

    async def story() -> None:
        world = World(Policy(pools=(CPU4,)))
        world.engine.submit(Resources.of({"CPU": 64}), count=2, run_s=3)
        async with world.controller(sinks=(world.history, sink(tmp_path, first))):  # it is killed, not closed
            await asyncio.sleep(700)
        async with world.controller(sinks=(world.history, sink(tmp_path, second))):
            await asyncio.sleep(1200)

    run_virtual(story())
    assert told(first) == ["firing unmet_demand"]
    assert second.got == []


@pytest.mark.parametrize("text", ["", "no JSON", '{"book": 3}', '{"soon": true}'])
def test_a_state_that_cannot_be_read_is_begun_anew(text: str, tmp_path: Path) -> None:
    (tmp_path / "alerts.json").write_text(text, encoding="utf-8")
    assert read_state(tmp_path / "alerts.json").book.entries == ()


def test_a_folder_that_cannot_be_written_keeps_nobody_from_being_told(tmp_path: Path) -> None:
    receiver = FakeReceiver()

    async def story() -> None:
        world = World(Policy(pools=(CPU4,)))
        world.ledger.write_error = "disk full"
        world.engine.submit(Resources.of({"CPU": 4}), count=2, run_s=3)
        async with world.controller(sinks=(world.history, sink(tmp_path / "gone", receiver))) as reconciler:
            await asyncio.sleep(60)
            assert reconciler.fanout.failed["alerts"] == 0

    run_virtual(story())
    assert told(receiver) == ["firing ledger"]


def test_who_hangs_or_fails_holds_up_neither_the_loop_nor_the_others(tmp_path: Path) -> None:
    hanging, failing, slow, fine = (
        FakeReceiver("hanging", hangs=True), FakeReceiver("failing", failures=99),
        FakeReceiver("slow", takes_s=20.0), FakeReceiver("fine"),
    )  # fmt: skip

    async def ticks(*receivers: FakeReceiver) -> tuple[list[float], list[str]]:
        world = World(Policy(pools=(CPU4,), idle_timeout_s=5))
        world.ledger.write_error = "disk full"
        world.engine.submit(Resources.of({"CPU": 4}), count=2, run_s=3)
        folder = tmp_path / str(len(receivers))
        folder.mkdir()
        async with world.controller(sinks=(world.history, sink(folder, *receivers))) as reconciler:
            await asyncio.sleep(300)
            assert reconciler.fanout.dropped["alerts"] == 0
        return [report.snapshot.now for report in world.history.reports], told(fine)

    alone, _ = run_virtual(ticks(FakeReceiver()))
    beside, said = run_virtual(ticks(hanging, failing, slow, fine))
    assert beside == alone
    assert said == ["firing ledger"]
    assert fine.got[0].at == fine.got[0].notices[0].at
    assert (failing.tries, hanging.tries) == (4, 4)  # the fifth try comes after five more minutes


def test_a_message_is_tried_again_and_delivered_once() -> None:
    async def story() -> None:
        began = asyncio.get_running_loop().time()
        receiver = FakeReceiver(failures=2)
        outbox = Outbox([receiver])
        outbox.put(message())
        outbox.put(message(1))
        await asyncio.sleep(60)
        assert [each.at for each in receiver.got] == [1000.0, 1001.0]
        assert receiver.tries == 4
        assert (outbox.delivered, outbox.failed, outbox.errors) == ({"fake": 2}, {"fake": 0}, {})
        assert asyncio.get_running_loop().time() - began == 60

    run_virtual(story())


def test_a_refusal_is_not_tried_again_and_the_next_message_is() -> None:
    async def story() -> None:
        receiver = FakeReceiver(failures=1, again=False)
        outbox = Outbox([receiver])
        for n in range(2):
            outbox.put(message(n))
            await asyncio.sleep(1)
        assert [each.at for each in receiver.got] == [1001.0]
        assert (outbox.failed, outbox.delivered) == ({"fake": 1}, {"fake": 1})

    run_virtual(story())


def test_a_full_queue_drops_its_oldest_and_counts() -> None:
    async def story() -> None:
        receiver = FakeReceiver(takes_s=1.0)
        outbox = Outbox([receiver])
        for n in range(QUEUE_LENGTH + 5):
            outbox.put(message(n))
        await asyncio.sleep(1000)
        assert outbox.dropped == {"fake": 5}
        assert [each.at for each in receiver.got] == [1000.0 + n for n in range(5, QUEUE_LENGTH + 5)]

    run_virtual(story())


def test_closing_waits_a_moment_and_counts_what_was_not_said() -> None:
    async def story() -> None:
        quick, hanging = FakeReceiver("quick", takes_s=1.0), FakeReceiver("hanging", hangs=True)
        outbox = Outbox([quick, hanging])
        outbox.put(message())
        began = asyncio.get_running_loop().time()
        await outbox.close(3.0)
        assert asyncio.get_running_loop().time() - began == 3.0
        assert (len(quick.got), outbox.dropped) == (1, {"quick": 0, "hanging": 1})

    run_virtual(story())


def test_who_hangs_is_given_up_after_a_while() -> None:
    async def story() -> None:
        outbox = Outbox([FakeReceiver(hangs=True)])
        outbox.put(message())
        await asyncio.sleep(sum(WAITS_S) + TRY_S * len(WAITS_S) + 1)
        assert outbox.errors == {"fake": "it did not answer within 30 s"}
        assert outbox.failed == {"fake": 1}

    run_virtual(story())
