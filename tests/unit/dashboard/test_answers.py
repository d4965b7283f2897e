"""Answers of Ray: asked once for all, not too often, and kept when Ray falls silent."""

import asyncio
from dataclasses import dataclass, field

import pytest

from rayfleet.contracts import JobsUnavailable
from rayfleet.contracts.state import StateUnavailable
from rayfleet.dashboard.answers import OLD_S, PATIENCE_S, Answers, Told
from rayfleet.dashboard.clusters import NoWayIn
from rayfleet.dashboard.pages.ray_table import asking_html

EVERY_S = 2.0


@dataclass
class Asked:
    """One question, with a clock. `wrong`: what is raised instead of an answer; `held`: the answer waits for this."""

    now: float = 100.0
    times: int = 0
    wrong: Exception | None = None
    held: asyncio.Event | None = None
    answers: Answers = field(init=False)

    def __post_init__(self) -> None:
        self.answers = Answers(lambda: self.now)

    async def answer(self) -> int:
        self.times += 1
        if self.held is not None:
            await self.held.wait()
        if self.wrong is not None:
            raise self.wrong
        return self.times

    async def look(self, after_s: float = 0.0) -> Told[int]:
        """Look, and let what that has begun come to its end."""
        self.now += after_s
        told = await self.answers.of("question", self.answer, EVERY_S)
        for _ in range(3):
            await asyncio.sleep(0)
        return told


async def test_the_first_who_looks_gets_the_answer() -> None:
    assert await Asked().look() == Told(1)


async def test_all_who_look_share_one_answer_until_it_is_due() -> None:
    asked = Asked()
    told = [await asked.look(after_s) for after_s in (0, 0.5, 1.0)]
    assert (told, asked.times) == ([Told(1)] * 3, 1)
    assert await asked.look(EVERY_S) == Told(1)  # the old one at once, while the new one is fetched
    assert (await asked.look(), asked.times) == (Told(2), 2)


@pytest.mark.parametrize(
    ("wrong", "trouble", "hint"),
    [
        (StateUnavailable("no answer", "look"), "no answer", "look"),
        (NoWayIn("it is down", "rayfleet up c"), "it is down", "rayfleet up c"),
        (JobsUnavailable("no job server"), "no job server", ""),
        (KeyError("nobody has thought of this"), "asking Ray failed: KeyError: 'nobody has thought of this'", ""),
    ],
)
async def test_what_is_wrong_is_told_beside_the_last_answer(wrong: Exception, trouble: str, hint: str) -> None:
    asked = Asked()
    await asked.look()
    asked.wrong = wrong
    await asked.look(EVERY_S)
    assert await asked.look() == Told(1, trouble, hint)
    asked.wrong = None
    await asked.look(EVERY_S)
    assert await asked.look() == Told(3)


async def test_how_old_the_last_answer_is_is_told_too() -> None:
    asked = Asked()
    await asked.look()
    asked.wrong = StateUnavailable("no answer", "")
    for _ in range(10):
        await asked.look(EVERY_S)
    told = await asked.look()
    assert told.old_s == 10 * EVERY_S
    assert f"What is shown is {10 * EVERY_S:.0f} s old." in asking_html(told)


async def test_an_answer_that_nobody_has_asked_for_is_not_shown_as_new() -> None:
    asked = Asked()
    await asked.look()
    assert await asked.look(OLD_S + EVERY_S + 1) == Told(2)


async def test_a_question_that_is_under_way_is_not_asked_again() -> None:
    asked = Asked(held=asyncio.Event())
    first = asyncio.create_task(asked.look())
    second = asyncio.create_task(asked.look())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asked.held is not None
    asked.held.set()
    assert [await first, await second] == [Told(1), Told(1)]
    assert asked.times == 1


async def test_who_has_no_patience_does_not_wait() -> None:
    asked = Asked(held=asyncio.Event())
    async with asyncio.timeout(PATIENCE_S / 2):
        assert await asked.answers.of("question", asked.answer, EVERY_S, patience_s=0.0) == Told()
    assert asked.times == 1


async def test_what_somebody_has_changed_is_asked_again_at_once() -> None:
    asked = Asked()
    await asked.look()
    asked.answers.forget("question")
    asked.answers.forget("never asked")
    await asked.look()
    assert await asked.look() == Told(2)
