"""`monitoring_config.alerting` of a cluster file. Addresses are secrets: no message about them shows what they hold."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from rayfleet.config.alerting import DEFAULT_REPEAT_S, THRESHOLDS, Alerting, Mail, Target, TargetKind, Threshold
from rayfleet.config.document import Document
from rayfleet.config.fields import Flag, Measure, Positive, is_web_address, wrong
from rayfleet.config.forms import Form, at
from rayfleet.config.problems import Path, Problem, shown
from rayfleet.model import FrozenMap

PIP_LINE: Final = 'pip install "rayfleet[alerts]"'
SMTP_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_PORT_MAX: Final = 65535
_INDIRECT: Final = re.compile(r"(env|file):(.+)", re.DOTALL)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCHEMA: Final = re.compile(r"([A-Za-z0-9+]{1,20})://")
_HOST: Final = re.compile(r"[\w.-]+|\[?[0-9a-fA-F:]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?")
_MAIL: Final = re.compile(r"[^@\s<>,:]+@[^@\s<>,:/]+")
_WEBHOOKS: Final = ("slack_webhook", "dingtalk_webhook", "feishu_webhook", "webhook")
_RECEIVERS: Final = (*_WEBHOOKS, "email", "urls")


def is_indirect(text: str) -> bool:
    """Say whether a value is not here but in a variable (`env:NAME`) or in a file (`file:PATH`)."""
    return _INDIRECT.fullmatch(text) is not None


def secret(value: Any) -> str:
    """Take text that nobody is to read, or where it is; what it is instead is not told."""
    if not isinstance(value, str) or not value.strip():
        raise wrong("must be text, or env:NAME, or file:PATH")
    found = _INDIRECT.fullmatch(value)
    if found and found[1] == "env" and not _VARIABLE.fullmatch(found[2]):
        raise wrong("names no variable", "write env:NAME, such as env:SLACK_WEBHOOK")
    return value.strip()


def web_address(value: Any) -> str:
    """Take the address of a webhook, or where it is."""
    text = secret(value)
    if not is_indirect(text) and not is_web_address(text):
        raise wrong("must be a web address (https://...), or env:NAME, or file:PATH")
    return text


def any_address(value: Any) -> str:
    """Take an address that apprise knows, or where it is. Without apprise, anything that has its form."""
    text = secret(value)
    if is_indirect(text):
        return text
    if not _SCHEMA.match(text):
        raise wrong("must be an address such as discord://..., json://..., or env:NAME, or file:PATH")
    if not parses(text):
        hint = "its service, or what that wants to know, is not as apprise has it; see apprise's list of services"
        raise wrong("is no address that apprise can send to", hint)
    return text


def parses(address: str) -> bool:
    """Say whether apprise can send to an address, as far as that shows offline; True where it is not installed."""
    try:
        import apprise  # noqa: PLC0415 - hundreds of services, and most files name none of them
    except ImportError:
        return True
    logging.getLogger("apprise").disabled = True  # it tells the address of what it cannot read
    return apprise.Apprise.instantiate(address, suppress_exceptions=True) is not None


def _addresses(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def as_section(value: Any) -> Any:
    """Take a section; what stands in its place may be an address, and is not told."""
    if isinstance(value, str | list):
        raise wrong("must be a mapping of keys to values")
    return value


def _several(value: Any) -> Any:
    if isinstance(value, str | dict):
        raise wrong("must be a list of addresses")
    return value


def _mail_address(value: Any) -> str:
    if not isinstance(value, str) or not _MAIL.fullmatch(value):
        given = "" if ":" in str(value) else f", not {shown(value)}"  # which an address of another kind would have
        raise wrong(f"must be an e-mail address{given}", "such as oncall@example.com")
    return value


def _mail_server(value: Any) -> str:
    """Take the name of a server; an address may hold who logs in there and with what, and is not told."""
    if isinstance(value, str) and _HOST.fullmatch(value.strip()):
        return value.strip().strip("[]")
    hint = "server: mail.example.com; who logs in goes to user, with what to password (env:NAME or file:PATH), and port"
    raise wrong("must be the name of a server, without ://, user, password or port", f"{hint} has a key of its own")


def _rule(value: Any) -> Any:
    """Take a rule's thresholds; true and false alone turn it on and off."""
    return {"enabled": value} if isinstance(value, bool) else {} if value is None else value


Secret = Annotated[str, BeforeValidator(secret)]
WebAddress = Annotated[str, BeforeValidator(web_address)]
AnyAddress = Annotated[str, BeforeValidator(any_address)]
MailServer = Annotated[str, BeforeValidator(_mail_server)]
MailAddress = Annotated[str, BeforeValidator(_mail_address)]


class EmailForm(Form):
    """E-mail to these people."""

    to: Annotated[list[MailAddress], Field(min_length=1), BeforeValidator(_addresses, json_schema_input_type=Any)]
    """Who gets it: one address or several."""
    server: MailServer = "localhost"
    """The server that takes mail (SMTP): its name alone. Its port, user and password have keys of their own."""
    port: Annotated[Positive, Field(le=_PORT_MAX)] | None = None
    """Its port; left out: 587 with starttls, 465 with tls, 25 with none."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is protected; none: not at all."""
    user: Secret | None = None
    """Who logs in there; left out: nobody. May be env:NAME or file:PATH."""
    password: Secret | None = None
    """With what; better env:NAME or file:PATH."""
    sender: MailAddress | None = Field(default=None, alias="from")
    """Whom it comes from; left out: the first of those who get it."""


class CountlessRuleForm(Form):
    """When a rule is told. `true` and `false` alone turn it on and off."""

    enabled: Flag = True
    """Whether it is told."""
    for_s: Measure | None = None
    """It is told when it has held for so many seconds; left out: as the table of rules says."""


class CountedRuleForm(CountlessRuleForm):
    """When a rule that counts is told. `true` and `false` alone turn it on and off."""

    count: Positive | None = None
    """From so many on; left out: as the table of rules says."""


CountlessRule = Annotated[CountlessRuleForm, BeforeValidator(_rule, json_schema_input_type=bool | CountlessRuleForm)]
CountedRule = Annotated[CountedRuleForm, BeforeValidator(_rule, json_schema_input_type=bool | CountedRuleForm)]


class RulesForm(Form):
    """What is told; every rule is on unless it is turned off here."""

    unmet_demand: CountlessRule = CountlessRuleForm()
    """Work waits and no machine is on its way for it (600 s)."""
    launch_failures: CountedRule = CountedRuleForm()
    """Launches of a pool fail: 3 within ten minutes, or 2 machines in a row that do not join; at once when denied."""
    stock_out: CountlessRule = CountlessRuleForm()
    """No offer of a pool has machines (60 s)."""
    budget: CountlessRule = CountlessRuleForm()
    """A budget holds launches back (60 s)."""
    head_down: CountlessRule = CountlessRuleForm()
    """Ray does not answer (30 s)."""
    controller_down: CountlessRule = CountlessRuleForm()
    """The controller has not looked for so long (60 s); only `rayfleet alerts check` can tell."""
    node_churn: CountedRule = CountedRuleForm()
    """Machines come and go: 30 launched and 30 gone within an hour, and more than there are."""
    orphan: CountlessRule = CountlessRuleForm()
    """A machine carried the cluster's tag, and nobody remembered having asked for it."""
    release_stuck: CountlessRule = CountlessRuleForm()
    """A machine was given back and still exists (600 s)."""
    ledger: CountlessRule = CountlessRuleForm()
    """What was decided cannot be saved, so that nothing is launched (30 s)."""
    tick_failed: CountlessRule = CountlessRuleForm()
    """The controller ran into something that it did not expect."""
    trouble: CountlessRule = CountlessRuleForm()
    """The place of the machines, or another edge, does not answer (120 s)."""


class AlertingForm(Form):
    """Where alerts go. Addresses may be given as `env:NAME` or `file:PATH`, so that the file holds no secret."""

    enabled: Flag = True
    """Whether alerts are sent."""
    slack_webhook: WebAddress | None = None
    """Incoming webhook of Slack, or of what speaks like it."""
    dingtalk_webhook: WebAddress | None = None
    """Address of a DingTalk robot."""
    dingtalk_secret: Secret | None = None
    """What its messages are signed with, where it asks for that."""
    feishu_webhook: WebAddress | None = None
    """Address of a Feishu or Lark robot."""
    feishu_secret: Secret | None = None
    """What its messages are signed with, where it asks for that."""
    webhook: WebAddress | None = None
    """Address that gets each message as JSON."""
    email: Annotated[EmailForm | None, BeforeValidator(as_section)] = None
    """E-mail, and the server that takes it."""
    urls: Annotated[list[AnyAddress], BeforeValidator(_several)] = Field(default_factory=list)
    """Any addresses that apprise knows: discord://..., msteams://..., pover://... They need `rayfleet[alerts]`."""
    rules: Annotated[RulesForm, BeforeValidator(as_section)] = RulesForm()
    """What is told, and from when on."""
    repeat_minutes: Measure = DEFAULT_REPEAT_S / 60
    """What lasts is told again after so many minutes; 0: only once."""


def alerting(form: AlertingForm | None) -> Alerting | None:
    """Return who is told of what; None when nobody is."""
    if form is None or not form.enabled:
        return None
    found = Alerting(tuple(_targets(form)), _mail(form.email), _thresholds(form.rules), form.repeat_minutes * 60)
    return found or None


def alerting_notes(document: Document, path: Path) -> Iterator[Problem]:
    """Yield what is odd about the section at `path`, and no mistake. No value of it is told."""
    section = at(document.value, path)
    if not isinstance(section, dict) or section.get("enabled") is False:
        return
    if not any(section.get(key) for key in _RECEIVERS):
        yield document.problem(path, "names nobody who is to be told", f"one of {', '.join(_RECEIVERS)}", of_key=True)
    if section.get("urls") and find_spec("apprise") is None:
        yield document.problem((*path, "urls"), "need a package that is not installed here", PIP_LINE, of_key=True)
    for key in _WEBHOOKS:
        if isinstance(section.get(key), str) and "..." in section[key]:
            yield document.problem((*path, key), "looks like an example, not like an address", of_key=True)


def _targets(form: AlertingForm) -> Iterator[Target]:
    if form.slack_webhook:
        yield Target(TargetKind.SLACK, "slack", form.slack_webhook)
    if form.dingtalk_webhook:
        yield Target(TargetKind.DINGTALK, "dingtalk", form.dingtalk_webhook, form.dingtalk_secret or "")
    if form.feishu_webhook:
        yield Target(TargetKind.FEISHU, "feishu", form.feishu_webhook, form.feishu_secret or "")
    if form.webhook:
        yield Target(TargetKind.WEBHOOK, "webhook", form.webhook)
    for n, address in enumerate(form.urls):
        found = _SCHEMA.match(address)
        kind = f" ({found[1].lower()})" if found else ""
        yield Target(TargetKind.APPRISE, f"urls[{n}]{kind}", address)


def _mail(form: EmailForm | None) -> Mail | None:
    if form is None:
        return None
    port = form.port or SMTP_PORTS[form.security]
    who = (form.sender or form.to[0], form.user or "", form.password or "")
    return Mail(tuple(form.to), form.server, port, form.security, *who)


def _thresholds(form: RulesForm) -> FrozenMap[Threshold]:
    return FrozenMap({rule: _threshold(usual, getattr(form, rule)) for rule, usual in THRESHOLDS.items()})


def _threshold(usual: Threshold, form: CountlessRuleForm) -> Threshold:
    count = getattr(form, "count", None)
    return Threshold(
        form.enabled, usual.for_s if form.for_s is None else form.for_s, usual.count if count is None else count
    )
