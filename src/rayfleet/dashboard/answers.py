"""Answers of Ray and of Prometheus, asked for once for all who look, and only while somebody does.

A page never waits for them: it shows the last answer, or that there is none yet, and looks again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from rayfleet.contracts import JobsUnavailable
from rayfleet.contracts.state import StateUnavailable
from rayfleet.dashboard.clusters import Inside, NoWayIn

T = TypeVar("T")
_LOG: Final = logging.getLogger(__name__)

PATIENCE_S: Final = 0.5
"""Who asks first waits for so long: most answers come at once."""
OLD_S: Final = 30.0
"""An answer that is older is not shown: nobody has looked for so long."""
KEPT: Final = 256
_REST: Final = 3.0
"""After an answer that took long nobody asks again for so many times as long."""


class NoFigures(Exception):
    """Whoever was asked for figures does not tell. `hint`: what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep both, in words for the user."""
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What Ray is asked; the same `name` has to mean the same `ask`. `every_s`: not more often than that."""

    name: str
    ask: Callable[[Inside], Awaitable[T]]
    every_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """An answer. `value` None: there is none, and without `trouble` it is still to come.

    `trouble`: why there is none, or none that is newer; `hint`: what to do about that; `old_s`: how old `value` was
    when that was found.
    """

    value: T | None = None
    trouble: str = ""
    hint: str = ""
    old_s: float = field(default=0.0, compare=False)


@dataclass(slots=True)
class _Kept:
    told: Told[Any] = field(default_factory=Told)
    told_at: float = float("-inf")
    answered_at: float = float("-inf")
    took_s: float = 0.0
    task: asyncio.Task[None] | None = None


class Answers:
    """Keeps the newest answer to each question. For one event loop. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing asked."""
        self._clock = clock
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    async def of(
        self, key: Hashable, ask: Callable[[], Awaitable[T]], every_s: float, patience_s: float = PATIENCE_S
    ) -> Told[T]:
        """Return the newest answer; has `ask` called when that is due, and waits so long for the first one."""
        kept = self._place(key)
        age_s = self._clock() - kept.answered_at
        if age_s > max(OLD_S, every_s + kept.took_s * _REST):
            kept.told = Told()
        if kept.task is None and age_s >= max(every_s, kept.took_s * _REST):
            kept.task = asyncio.create_task(self._ask(kept, ask))
        if kept.task is not None and kept.told == Told():
            await asyncio.wait({kept.task}, timeout=patience_s)
        return kept.told

    async def _ask(self, kept: _Kept, ask: Callable[[], Awaitable[Any]]) -> None:
        began = self._clock()
        try:
            kept.told, kept.told_at = Told(await ask()), self._clock()
        except (StateUnavailable, NoWayIn, NoFigures) as error:
            kept.told = self._wrong(kept, str(error), error.hint)
        except JobsUnavailable as error:
            kept.told = self._wrong(kept, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is: an old answer must not go on being shown as new
            _LOG.exception("asking Ray failed")
            kept.told = self._wrong(kept, f"asking Ray failed: {type(error).__name__}: {error}")
        finally:
            kept.answered_at = self._clock()
            kept.took_s = kept.answered_at - began
            kept.task = None

    def _wrong(self, kept: _Kept, trouble: str, hint: str = "") -> Told[Any]:
        held = kept.told.value is not None
        return Told(kept.told.value, trouble, hint, self._clock() - kept.told_at if held else 0.0)

    def _place(self, key: Hashable) -> _Kept:
        """Return where an answer is kept; forgets the one that nobody has asked for longest."""
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept

    def forget(self, key: Hashable) -> None:
        """Have a question asked again at once: somebody has just changed what it is about."""
        kept = self._kept.get(key)
        if kept is not None:
            kept.answered_at, kept.took_s = self._clock() - OLD_S, 0.0
