"""Notices as people and programs get them. Pure. The JSON is a stable interface: keys are only ever added."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus

from rayfleet.reports.alerts.book import Notice, NoticeKind
from rayfleet.reports.alerts.rules import Severity
from rayfleet.reports.amounts import duration

Json = dict[str, Any]
SENDER: Final = "rayfleet"
"""Stands in every message: robots of DingTalk and Feishu may ask for a word that does."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is told at one moment about one cluster. No notices: it is a test."""

    cluster: str
    at: float
    notices: tuple[Notice, ...] = ()

    @property
    def severity(self) -> str:
        """Return the worst of what begins or lasts: critical or warning; ok: all of it is over; info: a test."""
        lasting = [notice.severity for notice in self.notices if notice.kind is not NoticeKind.OVER]
        if not self.notices:
            return "info"
        return "ok" if not lasting else min(lasting, key=list(Severity).index).value

    @property
    def title(self) -> str:
        """Return one line: whose it is, and what."""
        if not self.notices:
            return f"[{SENDER}] {self.cluster}: test of alerts"
        first, others = self.notices[0], len(self.notices) - 1
        more = f" and {others} more" if others else ""
        return f"[{SENDER}] {self.cluster}: {_VERBS[first.kind]} {first.rule}{more}"

    @property
    def text(self) -> str:
        """Return the message in full, without its title: a line or two for each notice."""
        if not self.notices:
            return f"Alerts of cluster {self.cluster} reach you. Nothing is wrong: this was a test."
        return "\n".join(line for notice in self.notices for line in _lines(notice))

    def as_json(self) -> Json:
        """Return the message for programs."""
        return {
            "version": 1,
            "sender": SENDER,
            "cluster": self.cluster,
            "at": self.at,
            "severity": self.severity,
            "title": self.title,
            "text": self.text,
            "notices": [as_json(notice) for notice in self.notices],
        }


_VERBS: Final = {NoticeKind.FIRING: "alert", NoticeKind.STILL: "still", NoticeKind.OVER: "over:"}


def as_json(notice: Notice) -> Json:
    """Return one notice for programs. Times in seconds since the epoch."""
    return {
        "kind": notice.kind.value,
        "rule": notice.rule.value,
        "key": notice.key,
        "severity": notice.severity.value,
        "text": notice.text,
        "advice": notice.advice,
        "since": notice.since,
        "at": notice.at,
    }


def _lines(notice: Notice) -> tuple[str, ...]:
    lasted = duration(notice.at - notice.since)
    if notice.kind is NoticeKind.OVER:
        return (f"OVER after {lasted}: {notice.rule}: {notice.text}",)
    again = f" (for {lasted} now)" if notice.kind is NoticeKind.STILL else ""
    return (f"{notice.severity.upper()}{again}: {notice.rule}: {notice.text}", f"  what to do: {notice.advice}")


# ---- the bodies of webhooks ------------------------------------------------------------------------------------------


def slack(message: Message) -> Json:
    """Return what an incoming webhook of Slack takes. Nothing in it is a mention or a link."""
    text = f"*{message.title}*\n{message.text}"
    for char, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, escaped)
    return {"text": text}


def dingtalk(message: Message) -> Json:
    """Return what a robot of DingTalk takes."""
    return {"msgtype": "text", "text": {"content": f"{message.title}\n{message.text}"}}


def dingtalk_signed(address: str, secret: str, at: float) -> str:
    """Return a robot's address with the signature that it asks for."""
    stamp = str(round(at * 1000))
    signed = hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256).digest()
    joint = "&" if "?" in address else "?"
    return f"{address}{joint}timestamp={stamp}&sign={quote_plus(base64.b64encode(signed))}"


def feishu(message: Message) -> Json:
    """Return what a robot of Feishu or Lark takes; a name of ours must not become a mention there."""
    text = f"{message.title}\n{message.text}".replace("<", "\uff1c")
    return {"msg_type": "text", "content": {"text": text}}


def feishu_signed(body: Json, secret: str, at: float) -> Json:
    """Return a robot's message with the signature that it asks for."""
    stamp = str(int(at))
    signed = hmac.new(f"{stamp}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return {"timestamp": stamp, "sign": base64.b64encode(signed).decode(), **body}
