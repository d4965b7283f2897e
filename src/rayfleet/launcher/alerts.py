"""Alerts from outside of the controller: a test of those who are told, what fires now, and whether it still looks.

A controller that is dead cannot say so. `look` reads when it last did, from its record, and tells the same people by
itself; it is for cron and timers, keeps its own small book, and so says nothing twice either.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from rayfleet.config import ClusterSpec, ConfigInvalid
from rayfleet.config.alerting import DEFAULT_REPEAT_S, THRESHOLDS, Alerting, Rule, Threshold
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home, is_config
from rayfleet.launcher.known import choose
from rayfleet.launcher.spec import resolve, stored
from rayfleet.reports.alerts.book import Entry, Notice, step, unsaid
from rayfleet.reports.alerts.message import Message
from rayfleet.reports.alerts.message import as_json as notice_json
from rayfleet.reports.alerts.outbox import tried
from rayfleet.reports.alerts.receiver import Receiver
from rayfleet.reports.alerts.receivers import receivers
from rayfleet.reports.alerts.rules import Condition, Judged, Severity
from rayfleet.reports.alerts.sink import State, read_state, write_state
from rayfleet.reports.amounts import duration
from rayfleet.reports.history import HistoryReader, HistoryUnavailable

Json = dict[str, Any]
_TRY_S: Final = 30.0
_HEAD_ANSWERS_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Told:
    """Whether a receiver has taken a message. `error`: why not, without any secret; "" when it has."""

    receiver: str
    error: str = ""

    def as_json(self) -> Json:
        """Return it for programs."""
        return {"receiver": self.receiver, "ok": not self.error, "error": self.error}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look from outside has found. `looked_at`: when the controller last did, None: nobody can tell.

    `text`: in one line. `notices`: what had to be said now, to those in `told`.
    """

    cluster: str
    ok: bool
    text: str
    looked_at: float | None = None
    notices: tuple[Notice, ...] = ()
    told: tuple[Told, ...] = ()

    def as_json(self) -> Json:
        """Return it for programs."""
        return {
            "cluster": self.cluster,
            "ok": self.ok,
            "text": self.text,
            "looked_at": self.looked_at,
            "notices": [notice_json(notice) for notice in self.notices],
            "told": [told.as_json() for told in self.told],
        }


def subject(word: str | None) -> ClusterSpec:
    """Return the cluster that is meant, as its file says; a file need not have been started.

    Raises:
        ConfigInvalid, LauncherError: see `resolve` and `choose`.
    """
    if word is not None and is_config(word):
        return resolve(word).spec
    return stored(choose(word))


def tell(among: Sequence[Receiver], message: Message) -> tuple[Told, ...]:
    """Tell all of them at once, each one time; return how that went, in their order."""

    async def all_of_them() -> tuple[Told, ...]:
        errors = await asyncio.gather(*(tried(receiver, message, _TRY_S) for receiver in among))
        pairs = zip(among, errors, strict=True)
        return tuple(Told(receiver.label, str(error) if error else "") for receiver, error in pairs)

    return asyncio.run(all_of_them())


def send_test(spec: ClusterSpec, now: float) -> tuple[Told, ...]:
    """Send a message that says that it is a test to everybody; nobody, where the file names nobody."""
    told = spec.monitoring.alerting
    return tell(receivers(told), Message(spec.name, now)) if told else ()


def firing(home: Home) -> tuple[Entry, ...]:
    """Return what fires now, the oldest first, as the controller and `look` know it."""
    both = (read_state(path) for path in (home.alerts_check, home.alerts))
    return tuple(entry for state in both for entry in state.book.firing)


# ---- is the controller alive? ----------------------------------------------------------------------------------------


def look_at_all(homes: Sequence[Home], clock: Callable[[], float]) -> list[Seen]:
    """Look at several clusters: one that cannot be looked at does not hide the others. `clock`: asked for each."""
    return [_looked(home, clock()) for home in homes]


def _looked(home: Home, now: float) -> Seen:
    try:
        return look(home, now)
    except (ConfigInvalid, LauncherError, OSError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        return Seen(home.name, ok=False, text=f"nobody can look: {first}")


def look(home: Home, now: float, among: Sequence[Receiver] | None = None) -> Seen:
    """Look whether the cluster's controller still does, and tell people when not, or when it does again.

    `among`: who is told; None: whom the cluster's file names. `now`: seconds since the epoch.

    Raises:
        ConfigInvalid, LauncherError: the cluster's file cannot be read.
    """
    if not home.is_up or home.is_suspended:
        return Seen(home.name, ok=True, text="suspended" if home.is_suspended else "down, as somebody ordered")
    if not home.is_elsewhere:
        return _judged(home, now, _last_sign(home), among)
    answer = _head_says(home)
    lost = _unreachable(home.name)
    notices, sent = _said(home, now, lost if answer is None else None, among)
    if answer is None:
        return Seen(home.name, ok=False, text=lost.text, notices=notices, told=sent)
    return replace(answer, notices=notices, told=(*answer.told, *sent))


def _last_sign(home: Home) -> float:
    """Return when the controller last looked, or was last started."""
    try:
        beat = HistoryReader(home.history).heartbeat()
    except HistoryUnavailable:
        beat = None
    started = home.controller.stat().st_mtime if home.controller.exists() else 0.0
    return max(beat.at if beat else 0.0, started)


def _judged(home: Home, now: float, looked_at: float, among: Sequence[Receiver] | None) -> Seen:
    condition = _silent(home.name, now, looked_at)
    late = now - looked_at >= _thresholds(stored(home).monitoring.alerting)[condition.rule].for_s
    notices, sent = _said(home, now, condition if late else None, among)
    text = condition.text if late else f"the controller looked {duration(now - looked_at)} ago"
    return Seen(home.name, not late, text, looked_at, notices, sent)


def _said(
    home: Home, now: float, wrong: Condition | None, among: Sequence[Receiver] | None
) -> tuple[tuple[Notice, ...], tuple[Told, ...]]:
    """Bring the book up to date and tell people what is new in it; return that, and who has taken it.

    What nobody has taken is said again at the next look. A disk that is full keeps nobody from being told, only from
    being told once.
    """
    told = stored(home).monitoring.alerting if among is None else None
    thresholds, state = _thresholds(told), read_state(home.alerts_check)
    holds = (wrong,) if wrong is not None and thresholds[wrong.rule].enabled else ()
    judged = Judged(holds, frozenset(), state.memory)
    book, notices = step(state.book, judged, now, thresholds, told.repeat_s if told else DEFAULT_REPEAT_S)
    with suppress(OSError):
        write_state(home.alerts_check, State(book, state.memory, now))
    who = receivers(told) if told else among or ()
    sent = tell(who, Message(home.name, now, tuple(notices))) if notices and who else ()
    if sent and all(each.error for each in sent):
        with suppress(OSError):
            write_state(home.alerts_check, State(unsaid(book, notices), state.memory, now))
    return tuple(notices), sent


def _thresholds(told: Alerting | None) -> dict[Rule, Threshold]:
    given = told.thresholds if told else THRESHOLDS
    return {Rule(name): threshold for name, threshold in given.items()}


def _unreachable(cluster: str) -> Condition:
    text = "the head cannot be reached over SSH: whether its controller still looks, nobody knows"
    advice = f"`rayfleet up {cluster}` looks after it"
    return Condition(Rule.HEAD_DOWN, "head_unreachable", Severity.CRITICAL, text, advice)


def _silent(cluster: str, now: float, looked_at: float) -> Condition:
    text = (
        f"the controller has not looked for {duration(now - looked_at)}: nothing is launched or given back; "
        "machines and jobs go on, and cost"
    )
    advice = f"`rayfleet up {cluster}` starts it again; its last words: `rayfleet logs {cluster}`"
    return Condition(Rule.CONTROLLER_DOWN, Rule.CONTROLLER_DOWN, Severity.CRITICAL, text, advice, looked_at)


def _head_says(home: Home) -> Seen | None:
    """Have the head of a cluster elsewhere look, and tell people itself; None: it does not answer."""
    from rayfleet.launcher.remote import verbs

    words = verbs.verb(home, ["alerts", "check", home.name, "--json"], tty=False)
    try:
        ran = subprocess.run(words, capture_output=True, timeout=_HEAD_ANSWERS_S, check=False, stdin=subprocess.DEVNULL)
        (said,) = json.loads(ran.stdout)["clusters"]
    except FileNotFoundError:
        raise LauncherError(
            f"there is no {words[0]} on this machine", "install it: apt install openssh-client"
        ) from None
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return None
    told = tuple(Told(each["receiver"], each["error"]) for each in said["told"])
    return Seen(home.name, said["ok"], said["text"], said["looked_at"], (), told)
