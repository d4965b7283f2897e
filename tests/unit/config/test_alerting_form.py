"""Who is told of what, as a cluster's file says: every mistake at its place, and no secret in any of it."""

import pytest

from rayfleet.config import ConfigInvalid, check, load
from rayfleet.config.alerting import THRESHOLDS, Alerting, Rule, TargetKind, Threshold
from rayfleet.config.cluster_show import show
from rayfleet.wiring import registry

HOOK = "https://hooks.slack.com/services/T000/B000/verysecret"


def file(section: str) -> str:
    return "provider: {type: process}\nmonitoring_config:\n  alerting:\n" + "".join(
        f"    {line}\n" for line in section.splitlines()
    )


def told(section: str) -> Alerting:
    found = load(file(section), registry(), "f.yaml").monitoring.alerting
    assert found is not None
    return found


def problems(section: str) -> list[str]:
    with pytest.raises(ConfigInvalid) as error:
        load(file(section), registry(), "f.yaml")
    return [str(problem) for problem in error.value.problems]


EVERYTHING = f"""\
slack_webhook: {HOOK}
dingtalk_webhook: https://oapi.dingtalk.com/robot/send?access_token=verysecret
dingtalk_secret: SECverysecret
feishu_webhook: https://open.feishu.cn/open-apis/bot/v2/hook/verysecret
webhook: http://alerts.example.com:9000/verysecret
email: {{to: [ann@example.com, bob@example.com], server: mail.example.com, user: ann, password: "verysecret"}}
urls:
  - discord://4174216298/verysecretverysecretverysecret
  - env:PAGER_URL
repeat_minutes: 30
rules:
  unmet_demand: {{for_s: 120}}
  node_churn: {{count: 100}}
  orphan: false
"""


def test_everybody_who_can_be_named() -> None:
    found = told(EVERYTHING)
    assert found.labels == (*("slack", "dingtalk", "feishu", "webhook", "urls[0] (discord)", "urls[1]", "email"),)
    assert [target.kind for target in found.targets[3:]] == [TargetKind.WEBHOOK, TargetKind.APPRISE, TargetKind.APPRISE]
    assert found.mail is not None
    assert (found.mail.port, found.mail.security, found.mail.sender) == (587, "starttls", "ann@example.com")
    assert found.repeat_s == 1800
    wanted: dict[str, Threshold] = dict(THRESHOLDS)
    wanted[Rule.UNMET_DEMAND] = Threshold(for_s=120)
    wanted[Rule.NODE_CHURN] = Threshold(count=100)
    wanted[Rule.ORPHAN] = Threshold(enabled=False)
    assert dict(found.thresholds) == wanted


def test_no_secret_is_shown() -> None:
    spec = load(file(EVERYTHING), registry(), "f.yaml")
    shown = show(spec)
    assert shown["monitoring"]["alerting"]["receivers"][0] == "slack"
    assert shown["monitoring"]["alerting"]["rules"]["unmet_demand"]["for_s"] == 120
    for text in (str(shown), repr(spec), repr(spec.monitoring), str(spec.notes)):
        assert "verysecret" not in text


@pytest.mark.parametrize(
    "section", ["enabled: false\nslack_webhook: https://a.example.com/x", "enabled: true", "rules: {orphan: true}"]
)
def test_nobody_is_told(section: str) -> None:
    spec = load(file(section), registry(), "f.yaml")
    assert spec.monitoring.alerting is None
    assert show(spec)["monitoring"]["alerting"] is None


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("slack_webhook: verysecret", "f.yaml:4:20: monitoring_config.alerting.slack_webhook: must be a web address"),
        ("slack_webhook: 'https://'", "alerting.slack_webhook: must be a web address (https://...), or env:NAME"),
        ("slack_webhook: [verysecret]", "alerting.slack_webhook: must be text, or env:NAME, or file:PATH"),
        ("slack_webhook: 'env:two words verysecret'", "alerting.slack_webhook: names no variable"),
        ("dingtalk_secret: ''", "alerting.dingtalk_secret: must be text, or env:NAME, or file:PATH"),
        ("urls: [verysecret]", "alerting.urls[0]: must be an address such as discord://"),
        ("urls: ['nosuchservice://verysecret']", "alerting.urls[0]: is no address that apprise can send to"),
        ("urls: ['discord://verysecret']", "alerting.urls[0]: is no address that apprise can send to"),
        ("email: {to: nobody}", "alerting.email.to: must be an e-mail address, not 'nobody'"),
        ("email: {server: mail.example.com}", "alerting.email.to: is required"),
        ("email: {to: a@b.example, security: ssl}", "alerting.email.security: must be 'starttls', 'tls' or 'none'"),
        ("rules: {orphans: false}", "alerting.rules.orphans: unknown key (did you mean orphan?)"),
        ("rules: {orphan: {count: 3}}", "alerting.rules.orphan.count: unknown key"),
        ("rules: {orphan: {for_s: 5m}}", "alerting.rules.orphan.for_s: must be a number, not '5m'"),
        ("repeat_minutes: -1", "alerting.repeat_minutes: must be at least 0.0, not -1"),
        ("teams_webhook: https://example.com", "alerting.teams_webhook: unknown key"),
    ],
)
def test_mistakes(section: str, problem: str) -> None:
    (found,) = problems(section)
    assert problem in found
    assert "verysecret" not in found


def test_what_is_odd_is_noted_without_its_value() -> None:
    def notes(section: str) -> list[str]:
        return [str(note) for note in check(file(section), registry(), "f.yaml").notices if "alerting" in note.path]

    (example,) = notes("slack_webhook: https://hooks.slack.com/verysecret/...")
    assert example == "f.yaml:4:5: monitoring_config.alerting.slack_webhook: looks like an example, not like an address"
    (nobody,) = notes("enabled: true")
    assert "monitoring_config.alerting: names nobody who is to be told (one of slack_webhook," in nobody
    assert notes("enabled: false") == []
    assert notes(f"slack_webhook: {HOOK}") == []


@pytest.mark.parametrize(
    "section",
    [
        "urls: discord://4174216298/verysecret",
        "urls: {discord: verysecret}",
        "urls: [[discord://4174216298/verysecret]]",
        "email: mailto://ann:verysecret@example.com",
        "email: {to: 'mailto://ann:verysecret@example.com'}",
        "email: {to: [ann@example.com], password: [verysecret]}",
        "email: {to: [ann@example.com], server: 'smtp://ann:verysecret@mail.example.com'}",
        "email: {to: [ann@example.com], server: [verysecret]}",
        "slack_webhook: [https://hooks.slack.com/verysecret]",
        "feishu_secret: {it: verysecret}",
        "webhook: hooks/verysecret",
        "rules: https://hooks.slack.com/verysecret",
    ],
)
def test_no_secret_that_stands_where_it_should_not_is_shown(section: str) -> None:
    found = problems(section)
    assert found
    assert not [problem for problem in found if "verysecret" in problem]


@pytest.mark.parametrize("value", ["https://hooks.slack.com/verysecret", "[https://hooks.slack.com/verysecret]"])
def test_an_address_in_place_of_the_section_is_not_shown(value: str) -> None:
    with pytest.raises(ConfigInvalid) as error:
        load(f"provider: {{type: process}}\nmonitoring_config:\n  alerting: {value}\n", registry(), "f.yaml")
    assert "f.yaml:3:13: monitoring_config.alerting: must be a mapping of keys to values" in str(error.value)
    assert "verysecret" not in str(error.value)


@pytest.mark.parametrize(
    "server",
    [
        "smtp://ann:verysecret@mail.example.com:587",
        "smtps://mail.example.com",
        "ann:verysecret@mail.example.com",
        "mail.example.com:587",
        "mail.example.com/verysecret",
        "",
    ],
)
def test_a_mail_server_is_a_name_and_its_password_goes_elsewhere(server: str) -> None:
    (problem,) = problems(f"email: {{to: [ann@example.com], server: '{server}'}}")
    assert "alerting.email.server: must be the name of a server, without ://, user, password or port" in problem
    assert "with what to password (env:NAME or file:PATH)" in problem
    assert "verysecret" not in problem


@pytest.mark.parametrize("server", ["mail.example.com", "localhost", "10.0.0.1", "2001:db8::1", "::1", "mail_1"])
def test_what_a_mail_server_is_called(server: str) -> None:
    mail = told(f"email: {{to: [ann@example.com], server: '{server}'}}").mail
    assert mail is not None
    assert mail.server == server
