"""Those who are told. Each has a thread of its own while it is spoken with, so that one that hangs holds up nobody.

Webhooks of Slack, DingTalk, Feishu and of your own are plain posts, and e-mail is Python's own: they need no package.
Everything else is apprise's, which is imported when a message goes there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import smtplib
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from rayfleet.config.alerting import Alerting, Mail, Target, TargetKind
from rayfleet.config.alerting_form import PIP_LINE
from rayfleet.loop.clock import SystemClock
from rayfleet.reports.alerts import message as bodies
from rayfleet.reports.alerts.addresses import NotThere, read, scrubbed
from rayfleet.reports.alerts.message import Json, Message
from rayfleet.reports.alerts.receiver import NotDelivered, Receiver

ANSWER_WITHIN_S: Final = 10.0
_CLOCK: Final = SystemClock()
_ANSWER_BYTES: Final = 4096
_SHOWN: Final = 160
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_SERVER_FAILED: Final = 500


def receivers(alerting: Alerting, clock: Callable[[], float] = _CLOCK.now) -> tuple[Receiver, ...]:
    """Return everybody who is to be told. `clock`: says when a message is sent. No I/O."""
    mail = alerting.mail
    return (
        *(Spoken(target.label, _sender(target, clock), (target.address, target.secret)) for target in alerting.targets),
        *((Spoken(mail.label, lambda message: send_mail(mail, message), (mail.password, mail.user)),) if mail else ()),
    )


def _sender(target: Target, clock: Callable[[], float]) -> Callable[[Message], None]:
    if target.kind is TargetKind.APPRISE:
        return lambda message: send_by_apprise(read(target.address), message)
    return lambda message: post(target, message, clock())


class Spoken:
    """A receiver that is spoken with in a thread, one message at a time. Its thread never keeps the process alive."""

    def __init__(self, label: str, speak: Callable[[Message], None], secrets: tuple[str, ...] = ()) -> None:
        """Speak by `speak`, whose errors are told without `secrets` (or what they name)."""
        self.label = label
        self._speak = speak
        self._secrets = secrets
        self._thread: threading.Thread | None = None

    async def send(self, message: Message) -> None:
        """Tell it, or raise NotDelivered."""
        if self._thread is not None and self._thread.is_alive():
            raise NotDelivered("it still has not answered the message before")
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()

        def end(error: NotDelivered | None) -> None:
            if not told.done():
                told.set_result(None) if error is None else told.set_exception(error)

        def speak() -> None:
            failed = self._spoken(message)
            if not loop.is_closed():
                loop.call_soon_threadsafe(end, failed)

        self._thread = threading.Thread(target=speak, name=f"rayfleet-alerts {self.label}", daemon=True)
        self._thread.start()
        await told

    def _spoken(self, message: Message) -> NotDelivered | None:
        try:
            self._speak(message)
        except NotDelivered as error:
            return NotDelivered(self._told(str(error)), again=error.again)
        except NotThere as error:
            return NotDelivered(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a receiver's client does; the caller tells of it
            return NotDelivered(self._told(f"{type(error).__name__}: {error}"))
        return None

    def _told(self, text: str) -> str:
        secrets = list(self._secrets)
        for value in self._secrets:
            try:
                secrets.append(read(value))
            except NotThere:
                continue
        return scrubbed(text, *secrets)[:_SHOWN]


# ---- webhooks --------------------------------------------------------------------------------------------------------


def post(target: Target, message: Message, now: float) -> None:
    """Post a message to a webhook. NotDelivered, NotThere.

    `now`: what is signed is signed as of then, seconds since the epoch: robots refuse a signature of an hour ago, and a
    message may have waited for so long behind others.
    """
    address = read(target.address)
    secret = read(target.secret) if target.secret else ""
    body: Json
    match target.kind:
        case TargetKind.SLACK:
            body = bodies.slack(message)
        case TargetKind.DINGTALK:
            body = bodies.dingtalk(message)
            address = bodies.dingtalk_signed(address, secret, now) if secret else address
        case TargetKind.FEISHU:
            body = bodies.feishu(message)
            body = bodies.feishu_signed(body, secret, now) if secret else body
        case TargetKind.WEBHOOK | TargetKind.APPRISE:
            body = message.as_json()
    answer = _posted(address, body)
    if target.kind in {TargetKind.DINGTALK, TargetKind.FEISHU}:
        _check_robot(answer)


class _Stay(HTTPRedirectHandler):
    """Follows nobody elsewhere: a message belongs to the address that was given."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """Refuse; the answer then counts as a failure."""


def _posted(address: str, body: Json) -> bytes:
    if not address.startswith(("https://", "http://")):
        raise NotDelivered("its address does not begin with https://", again=False)
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": bodies.SENDER}
    request = Request(address, json.dumps(body).encode(), headers, method="POST")  # noqa: S310 - see above
    try:
        with build_opener(_Stay).open(request, timeout=ANSWER_WITHIN_S) as answer:
            return bytes(answer.read(_ANSWER_BYTES))
    except HTTPError as error:
        said = error.read(_ANSWER_BYTES).decode(errors="replace").strip()
        again = error.code >= _SERVER_FAILED or error.code in _TRY_AGAIN
        raise NotDelivered(f"it answers {error.code}{': ' if said else ''}{said}", again=again) from None
    except URLError as error:
        raise NotDelivered(f"it cannot be reached: {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise NotDelivered(f"it cannot be reached: {type(error).__name__}: {error}") from None


def _check_robot(answer: bytes) -> None:
    """Read what a robot says: it answers 200 to whatever it does not take."""
    try:
        said = json.loads(answer)
    except ValueError:
        return
    if not isinstance(said, dict):
        return
    code = next((said[key] for key in ("errcode", "code", "StatusCode") if key in said), 0)
    if code != 0:
        why = next((said[key] for key in ("errmsg", "msg", "StatusMessage") if said.get(key)), "no reason given")
        raise NotDelivered(f"it refuses with {code}: {why}", again=code in _ROBOT_IS_BUSY)


_ROBOT_IS_BUSY: Final = frozenset({-1, 130101, 410100, 9499, 11232})
"""Codes of robots that are asked too much at once, or whose own servers are."""

# ---- e-mail ----------------------------------------------------------------------------------------------------------


def send_mail(mail: Mail, message: Message) -> None:
    """Send a message as e-mail. NotDelivered, NotThere."""
    user = read(mail.user) if mail.user else ""
    password = read(mail.password) if mail.password else ""
    letter = letter_of(mail, message)
    try:
        with _server(mail) as server:
            if mail.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if user:
                server.login(user, password)
            refused = server.send_message(letter)
    except smtplib.SMTPAuthenticationError as error:
        raise NotDelivered(f"{mail.server} does not let {mail.label} log in ({error.smtp_code})", again=False) from None
    except smtplib.SMTPRecipientsRefused as error:
        who = ", ".join(sorted(error.recipients))
        raise NotDelivered(f"{mail.server} takes no mail for {who}", again=False) from None
    except smtplib.SMTPException as error:
        raise NotDelivered(f"{mail.server}: {error}") from None
    except OSError as error:
        raise NotDelivered(f"{mail.server}:{mail.port} cannot be reached: {error}") from None
    if refused:  # the others have it
        raise NotDelivered(f"{mail.server} takes no mail for {', '.join(sorted(refused))}", again=False)


def letter_of(mail: Mail, message: Message) -> EmailMessage:
    """Return the letter."""
    letter = EmailMessage()
    letter["Subject"] = " ".join(message.title.split())
    letter["From"] = mail.sender
    letter["To"] = ", ".join(mail.to)
    letter["Date"] = formatdate(message.at)
    letter["Message-ID"] = make_msgid(domain=mail.sender.rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"  # nobody's holiday notice is an answer to this
    letter.set_content(f"{message.text}\n")
    return letter


def _server(mail: Mail) -> smtplib.SMTP:
    if mail.security == "tls":
        return smtplib.SMTP_SSL(mail.server, mail.port, timeout=ANSWER_WITHIN_S, context=ssl.create_default_context())
    return smtplib.SMTP(mail.server, mail.port, timeout=ANSWER_WITHIN_S)


# ---- everything else -------------------------------------------------------------------------------------------------

_KINDS: Final = {"critical": "failure", "warning": "warning", "ok": "success", "info": "info"}


def send_by_apprise(address: str, message: Message) -> None:
    """Send a message to any address that apprise knows. NotDelivered."""
    try:
        import apprise  # noqa: PLC0415 - hundreds of services; nobody pays for them before something goes wrong
    except ImportError:
        raise NotDelivered(f"it needs a package that is not installed here: {PIP_LINE}", again=False) from None
    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.propagate, logger.disabled = False, False  # what it says may hold an address
    logger.addHandler(heard)
    try:
        asset = apprise.AppriseAsset(app_id=bodies.SENDER, async_mode=False)
        service = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
        if service is None:
            raise NotDelivered("apprise cannot read its address", again=False)
        sent = service.notify(
            body=message.text, title=message.title, notify_type=_KINDS[message.severity], body_format="text"
        )
    finally:
        logger.removeHandler(heard)
    if not sent:
        raise NotDelivered(heard.last or "the service did not take it")


class _Heard(logging.Handler):
    """What apprise says in this thread about what went wrong."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()
