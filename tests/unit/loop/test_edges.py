"""The small parts around the loop: a poller that shares one question, sinks in their lanes, fingerprints."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from rayfleet.contracts import EngineDown, EngineError, EngineView, Machine, Node, fingerprint
from rayfleet.loop import EngineSink, Fanout
from rayfleet.loop.poller import Poller
from rayfleet.loop.watch import kept_up, watch_provider
from rayfleet.model import (
    NO_LABELS,
    Bundle,
    Demand,
    Gang,
    NodeFact,
    Plan,
    Resources,
    Snapshot,
    Strategy,
    TaskDemand,
    TickReport,
)
from rayfleet.testing.fake_engine import FakeEngine
from rayfleet.testing.faults import FakeSink
from rayfleet.testing.virtual_time import START, VirtualClock, run_virtual

# ---- poller -----------------------------------------------------------------------------------------


class Question:
    """Takes `answer_s` for each answer; answers are numbered, and an exception in `errors` comes first."""

    def __init__(self, answer_s: float = 1.0, *errors: Exception) -> None:
        self.answer_s = answer_s
        self.errors = list(errors)
        self.asked = 0

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(self.answer_s)
        if self.errors:
            raise self.errors.pop(0)
        return number

    def poller(self) -> Poller[int]:
        return Poller("engine", self, VirtualClock(), EngineError)


def test_those_who_ask_at_the_same_time_share_one_question() -> None:
    async def story() -> None:
        question = Question()
        poller = question.poller()
        await asyncio.gather(poller.ask(), poller.ask(), poller.ask())
        assert (question.asked, poller.value, poller.asked_at) == (1, 1, START)

    run_virtual(story())


def test_impatience_does_not_end_the_question() -> None:
    async def story() -> None:
        poller = Question(answer_s=5.0).poller()
        await poller.ask(patience_s=2.0)
        assert (poller.value, poller.unanswered, VirtualClock().now()) == (None, True, START + 2)
        await asyncio.sleep(3.1)
        assert (poller.value, poller.asked_at) == (1, START)

    run_virtual(story())


def test_an_answer_that_comes_late_is_told_when_it_is_another_one() -> None:
    async def story() -> None:
        told: list[float] = []
        question = Question(answer_s=5.0)
        poller = question.poller()

        def late() -> None:
            told.append(VirtualClock().now() - START)

        await poller.ask(2.0, late)
        await asyncio.sleep(10)
        assert told == [5.0]
        await poller.ask(6.0, late)  # in time
        question.errors.append(EngineDown("no answer"))
        await poller.ask(2.0, late)  # 12 + 5 + 5: there is no answer any more
        await asyncio.sleep(10)
        await poller.ask(2.0, late)
        await poller.close()
        assert told == [5.0, 22.0]

    run_virtual(story())


def test_a_failure_forgets_the_answer_and_keeps_its_time() -> None:
    async def story() -> None:
        question = Question(1.0)
        poller = question.poller()
        await poller.ask()
        question.errors.append(EngineDown("no answer"))
        await poller.ask()
        assert (poller.value, poller.asked_at, poller.trouble) == (None, START, "engine: no answer")
        await poller.ask()
        assert (poller.value, poller.asked_at, poller.trouble) == (3, START + 2, "")

    run_virtual(story())


def test_an_error_outside_of_the_contract_is_logged_with_its_traceback() -> None:
    async def story() -> None:
        poller = Question(1.0, ZeroDivisionError("oops")).poller()
        with capture_logs() as lines:
            await poller.ask()
        assert (poller.value, poller.trouble) == (None, "engine: unexpected ZeroDivisionError: oops")
        assert [(line["event"], line["log_level"], line["exc_info"]) for line in lines] == [
            ("unexpected_error", "error", True)
        ]

    run_virtual(story())


def test_an_interval_counts_from_the_last_attempt() -> None:
    async def story() -> None:
        poller = Question(1.0).poller()
        assert poller.due(10.0)
        await poller.ask()
        assert not poller.due(10.0)
        await asyncio.sleep(9.0)
        assert poller.due(10.0)

    run_virtual(story())


# ---- watchers ---------------------------------------------------------------------------------------


def test_a_watcher_that_fails_is_logged_and_begins_anew() -> None:
    async def story() -> None:
        began_at: list[float] = []

        async def watch() -> None:
            began_at.append(VirtualClock().now() - START)
            await asyncio.sleep(3.0)
            raise ZeroDivisionError("oops")

        with capture_logs() as lines:
            watching = asyncio.create_task(kept_up(watch, pause_s=1.0))
            await asyncio.sleep(9.0)
        assert began_at == [0.0, 4.0, 8.0]
        assert [(line["event"], line["exc_info"]) for line in lines] == [("watcher_failed", True)] * 2
        watching.cancel()

    run_virtual(story())


def test_a_place_with_news_is_listed_soon_though_its_interval_is_long() -> None:
    """The watcher sleeps through no more than half a second of them; without news it asks as often as before."""

    async def story() -> None:
        asked_at: list[float] = []
        interval_s = 10.0

        async def listing() -> tuple[Machine, ...]:
            nonlocal interval_s
            interval_s = 10.0
            asked_at.append(round(VirtualClock().now() - START, 3))
            return ()

        poller = Poller("place", listing, VirtualClock(), EngineError)
        watching = asyncio.create_task(watch_provider(poller, lambda: interval_s, lambda _why, _within_s: None))
        await asyncio.sleep(23.1)
        interval_s = 0.5
        await asyncio.sleep(10.0)
        assert asked_at == [0.0, 10.0, 20.0, 23.5]
        watching.cancel()

    run_virtual(story())


# ---- sinks ------------------------------------------------------------------------------------------


def report(tick: int, *, engine_up: bool = True) -> TickReport:
    return TickReport(tick, "demo", Snapshot(engine_up=engine_up), Plan())


def test_the_first_sink_is_waited_for_and_the_others_are_not() -> None:
    async def story() -> None:
        first, second = FakeSink("history", write_s=1.0), FakeSink("slow", write_s=100.0)
        fanout = Fanout((first, second))
        await fanout.write(report(1))
        assert VirtualClock().now() == START + 1
        assert (len(first.reports), len(second.reports)) == (1, 0)
        await fanout.close(patience_s=200.0)
        assert len(second.reports) == 1

    run_virtual(story())


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    async def story() -> None:
        slow = FakeSink("slow", write_s=10.0)
        fanout = Fanout((FakeSink("history"), slow), queue_length=3)
        for tick in range(1, 11):
            await fanout.write(report(tick))
        await fanout.close(patience_s=1000.0)
        assert [written.tick for written in slow.reports] == [1, 8, 9, 10]
        assert fanout.dropped == {"history": 0, "slow": 6}

    run_virtual(story())


def test_closing_does_not_wait_for_ever() -> None:
    async def story() -> None:
        stuck = FakeSink("stuck", write_s=1e6)
        fanout = Fanout((FakeSink("history"), stuck))
        await fanout.write(report(1))
        await fanout.close(patience_s=5.0)
        assert VirtualClock().now() == START + 5

    run_virtual(story())


def test_failures_are_counted_and_logged_once_per_series() -> None:
    async def story() -> None:
        sink = FakeSink("history", error=OSError("disk full"))
        fanout = Fanout((sink,))
        with capture_logs() as lines:
            for tick in range(3):
                await fanout.write(report(tick))
            sink.error = None
            await fanout.write(report(3))
            sink.error = OSError("disk full")
            await fanout.write(report(4))
        assert fanout.failed == {"history": 4}
        assert [line["event"] for line in lines] == ["sink_failed", "sink_failed"]
        assert [written.tick for written in sink.reports] == [3]

    run_virtual(story())


def test_the_engine_is_shown_reports_only_while_it_answers() -> None:
    async def story() -> None:
        engine = FakeEngine(VirtualClock(), {}, tuple)
        sink = EngineSink(engine)
        await sink.write(report(1, engine_up=False))
        await sink.write(report(2))
        assert [published.tick for published in engine.reports] == [2]

    run_virtual(story())


# ---- fingerprint ------------------------------------------------------------------------------------

CPU1 = Resources.of({"CPU": 1})
NODE = Node("n1", "m1", "cpu4", NodeFact.ALIVE, CPU1, CPU1, NO_LABELS)
GANG = Gang(Strategy.PACK, (Bundle(CPU1),))
VIEW = EngineView(Demand((TaskDemand(CPU1, 2, age_s=1.0),), (GANG,)), (NODE,), 100.0)


@pytest.mark.parametrize(
    "other",
    [
        replace(VIEW, received_at=200.0),
        replace(VIEW, demand=Demand((TaskDemand(CPU1, 2, age_s=9.0),), (replace(GANG, age_s=5.0),))),
        replace(VIEW, nodes=(replace(NODE, idle_s=3.0, available=Resources(), activity=("busy",)),)),
    ],
)
def test_ages_and_idle_counters_are_no_news(other: EngineView) -> None:
    assert fingerprint(other) == fingerprint(VIEW)


@pytest.mark.parametrize(
    "other",
    [
        replace(VIEW, demand=Demand((TaskDemand(CPU1, 3),), (GANG,))),
        replace(VIEW, demand=Demand((TaskDemand(CPU1, 2),), (GANG, GANG))),
        replace(VIEW, demand=Demand(gangs=(GANG,))),
        replace(VIEW, nodes=(replace(NODE, state=NodeFact.DRAINING),)),
        replace(VIEW, nodes=()),
        replace(VIEW, session="another"),
    ],
)
def test_demand_and_nodes_are(other: EngineView) -> None:
    assert fingerprint(other) != fingerprint(VIEW)
