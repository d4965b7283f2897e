"""Those who are told, over real connections to servers on this machine; and no secret in what is told of failures."""

import asyncio
import hashlib
import hmac
import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from rayfleet.config.alerting import Alerting, Mail, Rule, Target, TargetKind
from rayfleet.reports.alerts.addresses import NotThere, read, scrubbed
from rayfleet.reports.alerts.book import Notice, NoticeKind
from rayfleet.reports.alerts.message import Message, dingtalk, feishu, slack
from rayfleet.reports.alerts.outbox import tried
from rayfleet.reports.alerts.receiver import NotDelivered, Receiver
from rayfleet.reports.alerts.receivers import Spoken, receivers
from rayfleet.reports.alerts.rules import Severity
from rayfleet.testing.fake_receivers import MailServer, WebhookServer

LIMIT_S = 100.0  # apprise alone is hundreds of modules, and a machine may be busy
SECRET = "T0S3CR3T/B0S3CR3T/x0s3cr3t"
FIRING = Notice(
    NoticeKind.FIRING, Rule.LEDGER, "ledger", Severity.CRITICAL, "no <disk> & no luck", "look", 1_700_000_000.0,
    1_700_000_090.0,
)  # fmt: skip
OVER = Notice(
    NoticeKind.OVER,
    Rule.STOCK_OUT,
    "stock_out:gpu1",
    Severity.WARNING,
    "none",
    "wait",
    1_700_000_000.0,
    1_700_000_090.0,
)
MESSAGE = Message("demo", 1_700_000_090.0, (FIRING, OVER))


@pytest.fixture
def hooks() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


def only(*targets: Target, mail: Mail | None = None, now: float = MESSAGE.at) -> Receiver:
    (found,) = receivers(Alerting(tuple(targets), mail), lambda: now)
    return found


def tell(receiver: Receiver, message: Message = MESSAGE) -> str:
    """Tell a receiver once; return why that failed, "" when it did not."""
    error = asyncio.run(tried(receiver, message, LIMIT_S))
    return "" if error is None else str(error)


# ---- texts -----------------------------------------------------------------------------------------------------------


def test_a_message_in_words() -> None:
    assert MESSAGE.title == "[rayfleet] demo: alert ledger and 1 more"
    assert MESSAGE.text.splitlines() == [
        "CRITICAL: ledger: no <disk> & no luck",
        "  what to do: look",
        "OVER after 1 min 30 s: stock_out: none",
    ]
    still = Message("demo", 0.0, (Notice(NoticeKind.STILL, *_rest(FIRING)),))
    assert still.text.startswith("CRITICAL (for 1 min 30 s now): ledger:")
    assert [m.severity for m in (MESSAGE, Message("d", 0.0, (OVER,)), Message("d", 0.0))] == ["critical", "ok", "info"]
    assert "Nothing is wrong: this was a test." in Message("demo", 0.0).text


def _rest(notice: Notice) -> tuple[Rule, str, Severity, str, str, float, float]:
    return (
        notice.rule, notice.key, notice.severity, notice.text, notice.advice, notice.since, notice.at,
    )  # fmt: skip


def test_names_in_a_message_mention_nobody() -> None:
    shouting = Message("<!channel>", 0.0, (FIRING,))
    assert "<" not in slack(shouting)["text"]
    assert "&lt;!channel&gt;" in slack(shouting)["text"]
    assert "<" not in feishu(Message('<at user_id="all">', 0.0, (FIRING,)))["content"]["text"]
    assert dingtalk(shouting).keys() == {"msgtype", "text"}  # mentions would be under `at`


# ---- webhooks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (TargetKind.SLACK, slack(MESSAGE)),
        (TargetKind.DINGTALK, dingtalk(MESSAGE)),
        (TargetKind.FEISHU, feishu(MESSAGE)),
        (TargetKind.WEBHOOK, MESSAGE.as_json()),
    ],
)
def test_webhooks_get_what_they_take(kind: TargetKind, body: object, hooks: WebhookServer) -> None:
    hooks.answers["/x"] = (200, b'{"errcode": 0, "errmsg": "ok"}')
    assert tell(only(Target(kind, "it", hooks.address("/x")))) == ""
    (post,) = hooks.posts
    assert post.body == body
    assert post.content_type.startswith("application/json")


def test_the_json_of_a_webhook_is_a_format() -> None:
    found = MESSAGE.as_json()
    assert list(found) == ["version", "sender", "cluster", "at", "severity", "title", "text", "notices"]
    assert list(found["notices"][0]) == ["kind", "rule", "key", "severity", "text", "advice", "since", "at"]
    assert json.loads(json.dumps(found)) == found


def test_robots_that_want_a_signature_get_one(hooks: WebhookServer) -> None:
    assert tell(only(Target(TargetKind.DINGTALK, "it", hooks.address("/robot?access_token=x"), "SEC1"))) == ""
    query = parse_qs(urlsplit(hooks.posts[0].path).query)
    wanted = hmac.new(b"SEC1", b"1700000090000\nSEC1", hashlib.sha256).digest()
    assert (query["timestamp"], query["access_token"]) == (["1700000090000"], ["x"])
    assert b64decode(query["sign"][0]) == wanted
    assert tell(only(Target(TargetKind.FEISHU, "it", hooks.address("/hook"), "SEC2"))) == ""
    body = hooks.posts[1].body
    assert body["timestamp"] == "1700000090"
    assert b64decode(body["sign"]) == hmac.new(b"1700000090\nSEC2", b"", hashlib.sha256).digest()


def test_a_message_that_has_waited_is_signed_when_it_is_sent(hooks: WebhookServer) -> None:
    """Robots refuse a signature that is older than an hour; a queue behind one that was away may be."""
    later = MESSAGE.at + 7200
    assert tell(only(Target(TargetKind.DINGTALK, "it", hooks.address("/robot"), "SEC1"), now=later)) == ""
    assert parse_qs(urlsplit(hooks.posts[0].path).query)["timestamp"] == ["1700007290000"]
    assert tell(only(Target(TargetKind.FEISHU, "it", hooks.address("/hook"), "SEC2"), now=later)) == ""
    assert hooks.posts[1].body["timestamp"] == "1700007290"


@pytest.mark.parametrize(
    ("kind", "status", "answer", "told", "again"),
    [
        (TargetKind.SLACK, 404, b"no_service", "it answers 404: no_service", False),
        (TargetKind.SLACK, 429, b"", "it answers 429", True),
        (TargetKind.WEBHOOK, 503, b"later", "it answers 503: later", True),
        (TargetKind.WEBHOOK, 302, b"", "it answers 302", False),
        (
            TargetKind.DINGTALK,
            200,
            b'{"errcode": 310000, "errmsg": "keywords"}',
            "refuses with 310000: keywords",
            False,
        ),
        (TargetKind.DINGTALK, 200, b'{"errcode": 130101, "errmsg": "too fast"}', "with 130101: too fast", True),
        (TargetKind.FEISHU, 200, b'{"code": 19021, "msg": "sign match fail"}', "with 19021: sign match fail", False),
    ],
)
def test_why_a_webhook_took_nothing(
    kind: TargetKind, status: int, answer: bytes, told: str, again: bool, hooks: WebhookServer
) -> None:
    hooks.answers["/x"] = (status, answer)
    error = asyncio.run(tried(only(Target(kind, "it", hooks.address("/x"))), MESSAGE))
    assert error is not None
    assert told in str(error)
    assert error.again is again
    assert [post.path for post in hooks.posts] == ["/x"]  # nobody was followed elsewhere


def test_who_does_not_answer_holds_up_nobody_else(hooks: WebhookServer) -> None:
    async def story() -> tuple[NotDelivered | None, NotDelivered | None]:
        it = only(Target(TargetKind.SLACK, "it", hooks.address("/hang")))
        waiting = asyncio.create_task(it.send(MESSAGE))
        await asyncio.to_thread(hooks.hangs.wait)
        other = await tried(only(Target(TargetKind.SLACK, "other", hooks.address("/fine"))), MESSAGE)
        again = await tried(it, MESSAGE)
        waiting.cancel()
        return other, again

    other, again = asyncio.run(story())
    assert other is None
    assert str(again) == "it still has not answered the message before"


def test_nobody_listens() -> None:
    with WebhookServer() as gone:
        address = gone.address(f"/services/{SECRET}")
    assert "it cannot be reached: " in tell(only(Target(TargetKind.SLACK, "slack", address)))


# ---- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_may_be_elsewhere(hooks: WebhookServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_HOOK", hooks.address("/from-env"))
    (tmp_path / "hook").write_text(hooks.address("/from-file") + "\n", encoding="utf-8")
    for value in ("env:MY_HOOK", f"file:{tmp_path / 'hook'}"):
        assert tell(only(Target(TargetKind.SLACK, "slack", value))) == ""
    assert [post.path for post in hooks.posts] == ["/from-env", "/from-file"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("env:NOT_SET_ANYWHERE", "the variable NOT_SET_ANYWHERE is not set where alerts are sent from"),
        ("file:/nowhere/hook", "the file /nowhere/hook cannot be read: No such file or directory"),
    ],
)
def test_a_secret_that_is_not_there(value: str, told: str) -> None:
    assert tell(only(Target(TargetKind.SLACK, "slack", value))) == told


def test_an_empty_file_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("\n", encoding="utf-8")
    with pytest.raises(NotThere, match="is empty"):
        read(f"file:{tmp_path / 'hook'}")


@pytest.mark.parametrize("kind", [TargetKind.SLACK, TargetKind.APPRISE])
def test_no_error_shows_a_secret(kind: TargetKind, hooks: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    address = hooks.address(f"/services/{SECRET}?token=al50s3cr3t")
    address = address.replace("http://", "json://") if kind is TargetKind.APPRISE else address
    monkeypatch.setenv("MY_HOOK", address)
    hooks.answers[f"/services/{SECRET}"] = (404, f"no such hook: /services/{SECRET}?token=al50s3cr3t".encode())
    for value in (address, "env:MY_HOOK"):
        target = Target(kind, "it", value)
        told = tell(only(target))
        assert told
        for part in (*SECRET.split("/"), "al50s3cr3t"):
            assert part not in told
            assert part not in repr(target)
            assert part not in repr(Alerting((target,)))


def test_parts_of_a_secret_are_hidden_and_words_stay() -> None:
    told = scrubbed(
        "cannot reach hooks.slack.com/services/T0S3CR3T: not found", f"https://hooks.slack.com/services/{SECRET}"
    )
    assert told == "cannot reach hooks.slack.com/services/...: not found"
    assert scrubbed("bad login pass%20word", "mailto://ann:pass%20word@example.com") == "bad login ..."
    assert scrubbed("fine", "") == "fine"


def test_a_client_that_breaks_is_told_of_without_secrets() -> None:
    def broken(_message: Message) -> None:
        raise RuntimeError("could not post to https://h.example/x0s3cr3t")

    assert tell(Spoken("it", broken, ("https://h.example/x0s3cr3t",))) == "RuntimeError: could not post to ..."


# ---- e-mail, and what apprise does -----------------------------------------------------------------------------------


def test_mail() -> None:
    with MailServer() as server:
        mail = Mail(("ann@example.com", "bob@example.com"), "127.0.0.1", server.port, "none", "fleet@example.com")
        assert tell(only(mail=mail)) == ""
    (letter,) = server.letters
    assert (letter.sender, letter.to) == ("fleet@example.com", ("ann@example.com", "bob@example.com"))
    head, _, body = letter.text.partition("\n\n")
    assert "Subject: [rayfleet] demo: alert ledger and 1 more" in head
    assert "To: ann@example.com, bob@example.com" in head
    assert "Auto-Submitted: auto-generated" in head
    assert body.splitlines() == MESSAGE.text.splitlines()


def test_mail_that_is_not_taken() -> None:
    with MailServer(refuses=frozenset({"bob@example.com"})) as server:
        one = Mail(("bob@example.com",), "127.0.0.1", server.port, "none", "fleet@example.com")
        assert tell(only(mail=one)) == "127.0.0.1 takes no mail for bob@example.com"
        both = Mail(("ann@example.com", "bob@example.com"), "127.0.0.1", server.port, "none", "fleet@example.com")
        assert tell(only(mail=both)) == "127.0.0.1 takes no mail for bob@example.com"
        assert server.letters.pop().to == ("ann@example.com",)
        locked = Mail(("ann@example.com",), "127.0.0.1", server.port, "starttls", "fleet@example.com")
        assert "STARTTLS" in tell(only(mail=locked))
        keyed = Mail(("ann@example.com",), "127.0.0.1", server.port, "none", "fleet@example.com", "ann", "p4ssw0rd")
        assert "127.0.0.1:" in tell(only(mail=keyed))
    assert server.letters == []


def test_any_address_of_apprise(hooks: WebhookServer) -> None:
    address = hooks.address("/apprise").replace("http://", "json://")
    assert tell(only(Target(TargetKind.APPRISE, "urls[0] (json)", address))) == ""
    (post,) = hooks.posts
    assert post.path == "/apprise"
    assert (post.body["title"], post.body["type"]) == (MESSAGE.title, "failure")
    assert post.body["message"].splitlines()[0] == MESSAGE.text.splitlines()[0]
    assert tell(only(Target(TargetKind.APPRISE, "it", "nosuch://there"))) == "apprise cannot read its address"


def test_mail_by_apprise() -> None:
    with MailServer() as server:
        address = f"mailto://127.0.0.1:{server.port}/?from=fleet@example.com&to=ann@example.com&mode=insecure"
        assert tell(only(Target(TargetKind.APPRISE, "it", address))) == ""
    assert server.letters[0].to == ("ann@example.com",)


PIP_LINE = 'pip install "rayfleet[alerts]"'
WITHOUT_APPRISE = """
import asyncio, sys
sys.modules["apprise"] = None  # as if it were not installed
from rayfleet.config import check
from rayfleet.config.alerting import Alerting, Target, TargetKind
from rayfleet.reports.alerts.message import Message
from rayfleet.reports.alerts.outbox import tried
from rayfleet.reports.alerts.receivers import receivers
from rayfleet.wiring import registry

FILE = "cluster_name: x\\nprovider: {type: process}\\nmonitoring_config: {alerting: {urls: ['discord://s3cr3t']}}\\n"
found = check(FILE, registry(), "f.yaml")
print(found.problems, *[note for note in found.notices if "urls" in note.path], sep="\\n")
(it,) = receivers(Alerting((Target(TargetKind.APPRISE, "it", "discord://s3cr3t"),)))
error = asyncio.run(tried(it, Message("demo", 0.0)))
print(error, error.again, sep="\\n")
"""


def test_without_its_package_one_is_told_how_to_get_it() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT_APPRISE], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines() == [
        "()",
        f"f.yaml:3:32: monitoring_config.alerting.urls: need a package that is not installed here ({PIP_LINE})",
        f"it needs a package that is not installed here: {PIP_LINE}",
        "False",
    ]
